import assert from 'node:assert/strict';
import type { BreakerState, Cooldown } from '../../../app/src/balancer/circuit-breaker.ts';
import { INDIFFERENT, type Need } from '../../../app/src/balancer/foresight.ts';
import { optionOf, type Option } from '../../../app/src/balancer/option.ts';
import { createPoolState, type Entry } from '../../../app/src/balancer/pool-state.ts';
import { backend, GPT } from '../../support/pool.ts';

const NOW = 10_000;
const NEED: Need = { tokens: 1000, openTokens: 0 };

/** An entry in this state, of whose quota 50 tokens are left for two more seconds. */
function entryIn(state: BreakerState): Entry {
  const { hosts, entryOf } = createPoolState([backend('a')], 10);
  const [host] = hosts;
  assert.ok(host !== undefined);
  const entry = entryOf(host, GPT, 0);
  const { foresight } = entry;
  foresight.sent(1, NEED, NOW);
  foresight.told(1, { limitTokens: 60_000, remainingTokens: 50 }, true);
  foresight.refused(1, { remainingTokens: 50 }, 2000, NOW);
  entry.state = state;
  return entry;
}

function option(state: BreakerState, need: Need | undefined = NEED): Option {
  return optionOf(entryIn(state), need, undefined, NOW);
}

function cooldown(more: Partial<Cooldown> = {}): Cooldown {
  return { kind: 'cooldown', until: NOW + 900, recoversAt: NOW + 900, times: 1, heardAfterMs: 20, ...more };
}

describe('an option', () => {
  it('whose quota is not enough is short, available or in reserve', () => {
    const returning: BreakerState = {
      kind: 'returning',
      after: cooldown(),
      since: NOW,
      window: 1,
      asked: [NOW],
      softFailures: 0,
    };
    for (const state of [{ kind: 'closed', softFailures: 0 } as const, returning]) {
      const { standing, fitsAt, rank } = option(state);
      assert.deepEqual([standing, fitsAt, rank], ['short', NOW + 2000, 50 / 60_000], state.kind);
    }
  });

  it('that rests does so whatever its quota, and has no place among the others', () => {
    const { standing, fitsAt, rank, restsUntil } = option(cooldown());
    assert.deepEqual([standing, fitsAt, rank, restsUntil], ['cooldown', NOW, INDIFFERENT, NOW + 900]);
  });

  it('is as it is for a request that spends nothing', () => {
    const { standing, rank, restsUntil } = optionOf(
      entryIn({ kind: 'closed', softFailures: 0 }),
      undefined,
      undefined,
      NOW,
    );
    assert.deepEqual([standing, rank, restsUntil], ['available', INDIFFERENT, 0]);
  });

  it('that refused something large is there for all that is smaller, as it counts them', () => {
    const large = cooldown({ leastTokens: 41 });
    assert.equal(option(large, { tokens: 40, openTokens: 0 }).standing, 'available');
    assert.equal(option(large, { tokens: 41, openTokens: 0 }).standing, 'cooldown');
    // It learned that answers without a maximum come to less than they may.
    const entry = entryIn(large);
    entry.foresight.sent(2, { tokens: 45, openTokens: 40 }, NOW);
    entry.foresight.told(2, { remainingTokens: 40 }, false);
    assert.ok(entry.foresight.amountOf({ tokens: 42, openTokens: 40 }) < 41);
    assert.equal(optionOf(entry, { tokens: 42, openTokens: 40 }, undefined, NOW).standing, 'available');
  });
});
