// Whatever backends say and callers ask for.

import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { Foresight } from '../../../app/src/balancer/foresight.ts';
import type { Quota } from '../../../app/src/balancer/quota.ts';

const number = fc.option(fc.constantFrom(0, 1, 5, 3.7, 1000, 30_000, 99_999, 1e31), { nil: undefined });

const quota = fc
  .record({ limitTokens: number, limitRequests: number, remainingTokens: number, remainingRequests: number })
  .map((said): Quota => Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined)));

const step = fc.record({
  passMs: fc.oneof(fc.integer({ min: 0, max: 2000 }), fc.integer({ min: 0, max: 90_000 })),
  tokens: fc.constantFrom(1, 100, 5000, 1_000_000_000),
  isOpen: fc.boolean(),
  late: fc.nat({ max: 5 }),
  told: fc.option(quota, { nil: undefined }),
  isRefused: fc.boolean(),
  retryAfterMs: fc.option(fc.integer({ min: 1, max: 100_000 }), { nil: undefined }),
});

const SMALL = { tokens: 1, openTokens: 0 };

describe('foresight, whatever is said', () => {
  it('never believes for more than a window that a request will not be taken, and always has a rank', () => {
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 60 }),
        fc.option(fc.constantFrom(1000, 30_000), { nil: undefined }),
        (steps, capacity) => {
          const foresight = new Foresight(capacity);
          let now = 500_000;
          for (const [index, { passMs, tokens, isOpen, late, told, isRefused, retryAfterMs }] of steps.entries()) {
            now += passMs;
            foresight.sent(index + 1, { tokens, openTokens: isOpen ? tokens / 2 : 0 }, now);
            const seq = Math.max(1, index + 1 - late);
            if (told !== undefined) foresight.told(seq, told, isRefused);
            if (isRefused) foresight.refused(seq, told, retryAfterMs, now);
            const need = { tokens: 500, openTokens: isOpen ? 400 : 0 };
            const at = foresight.outlook(need, now).fitsAt;
            assert.ok(at >= now && at <= now + 60_000, `${at - now} ms`);
            const rank = foresight.outlook(SMALL, now).rank;
            assert.ok(rank >= 0 && rank <= 1, String(rank));
            assert.ok(foresight.amountOf(need) >= 100);
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  it('is not misled by a request that asks for more than there is', () => {
    const foresight = new Foresight();
    for (let seq = 1; seq < 20; seq += 1) {
      foresight.sent(seq, { tokens: 10, openTokens: 0 }, seq);
      foresight.told(seq, { limitTokens: 30_000, remainingTokens: 20_000 }, false);
    }
    foresight.sent(20, { tokens: 1_000_000_000, openTokens: 0 }, 30);
    assert.equal(foresight.outlook({ tokens: 19_000, openTokens: 0 }, 30).fitsAt, 30);
    assert.equal(foresight.outlook(SMALL, 30).rank, 0.5);
  });
});
