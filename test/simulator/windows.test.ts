// The three rules by which a limit may be counted, and the bucket of a provisioned deployment.

import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { emptyMeter, turn, use, waitFor, waitForAll, windowKinds } from '../../simulator/limits/meter.ts';
import type { MeterRule } from '../../simulator/limits/meter.ts';
import { correctProvisioned, decideProvisioned, emptyBucket } from '../../simulator/limits/provisioned.ts';
import type { ProvisionedLimits } from '../../simulator/limits/provisioned.ts';
import { decideQuota, freshQuota } from '../../simulator/limits/quota.ts';
import type { QuotaLimits, QuotaVerdict } from '../../simulator/limits/quota.ts';

const MINUTE_MS = 60_000;

/** A meter and a clock that only the test moves. */
function startMeter(rule: MeterRule) {
  let state = emptyMeter;
  let now = 0;
  return {
    at(ms: number) {
      now = ms;
      return this;
    },
    used(): number {
      state = turn(state, rule, now);
      return state.used;
    },
    wait(amount: number): number {
      state = turn(state, rule, now);
      return waitFor(state, amount, rule, now);
    },
    waitForAll(): number {
      state = turn(state, rule, now);
      return waitForAll(state, rule, now);
    },
    use(amount: number) {
      state = use(turn(state, rule, now), amount, rule, now);
      return this;
    },
  };
}

describe('a fixed window', () => {
  const rule: MeterRule = { kind: 'fixed', limit: 100, windowMs: MINUTE_MS };

  it('begins with the first request and forgets all at its end', () => {
    const meter = startMeter(rule).at(5000).use(60);
    assert.equal(meter.at(64_999).used(), 60);
    assert.equal(meter.wait(41), 1);
    assert.equal(meter.at(65_000).used(), 0);
  });

  it('with a phase begins at that place of every minute, whenever the first request comes', () => {
    const meter = startMeter({ ...rule, phaseMs: 17_000 })
      .at(20_000)
      .use(100);
    assert.equal(meter.wait(1), 57_000);
    assert.equal(meter.at(76_999).used(), 100);
    assert.equal(meter.at(77_000).used(), 0);
  });
});

describe('a sliding window', () => {
  const rule: MeterRule = { kind: 'sliding', limit: 100, windowMs: MINUTE_MS };

  it('forgets each second a minute after that second began, and nothing earlier', () => {
    const meter = startMeter(rule).at(500).use(30).at(10_900).use(50);
    assert.equal(meter.at(59_999).used(), 80);
    assert.equal(meter.at(60_000).used(), 50);
    assert.equal(meter.at(69_999).used(), 50);
    assert.equal(meter.at(70_000).used(), 0);
  });

  it('asks to wait until just so many seconds are forgotten as make room', () => {
    const meter = startMeter(rule).at(0).use(30).at(10_000).use(50).at(20_000).use(20);
    assert.equal(meter.wait(30), 40_000);
    assert.equal(meter.wait(31), 50_000);
    assert.equal(meter.waitForAll(), 60_000);
  });

  it('never admits a second minute of quota at the turn of a minute, as a fixed one does', () => {
    const fixed = startMeter({ ...rule, kind: 'fixed', phaseMs: 0 })
      .at(59_000)
      .use(100)
      .at(60_000);
    const sliding = startMeter(rule).at(59_000).use(100).at(60_000);
    assert.equal(fixed.wait(100), 0);
    assert.equal(sliding.wait(100), 59_000);
  });
});

describe('a leaky bucket', () => {
  const rule: MeterRule = { kind: 'leaky', limit: 60_000, windowMs: MINUTE_MS };

  it('leaks its size in a minute, little by little', () => {
    const meter = startMeter(rule).at(0).use(60_000);
    assert.equal(meter.at(1).used(), 59_999);
    assert.equal(meter.at(30_000).used(), 30_000);
    assert.equal(meter.at(90_000).used(), 0);
  });

  it('asks to wait just as long as it takes to leak what is too much', () => {
    const meter = startMeter(rule).at(0).use(60_000);
    assert.equal(meter.wait(43), 43);
    assert.equal(meter.waitForAll(), 60_000);
  });
});

describe('any window', () => {
  it('never admits what is more than its limit', () => {
    for (const kind of windowKinds) {
      const meter = startMeter({ kind, limit: 100, windowMs: MINUTE_MS });
      assert.equal(meter.wait(101), MINUTE_MS);
      assert.equal(meter.at(MINUTE_MS).wait(101), MINUTE_MS);
    }
  });

  it('admits after the wait that it asked for, and not a millisecond before', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...windowKinds),
        fc.option(fc.integer({ min: 0, max: 59_999 }), { nil: undefined }),
        fc.array(fc.tuple(fc.integer({ min: 0, max: 20_000 }), fc.integer({ min: 1, max: 400 })), { maxLength: 40 }),
        fc.integer({ min: 1, max: 1000 }),
        (kind, phaseMs, uses, amount) => {
          const rule: MeterRule = {
            kind,
            limit: 1000,
            windowMs: MINUTE_MS,
            ...(phaseMs === undefined ? {} : { phaseMs }),
          };
          let now = 1_000_000;
          let state = emptyMeter;
          for (const [gap, used] of uses) {
            now += gap;
            state = turn(state, rule, now);
            if (waitFor(state, used, rule, now) === 0) state = use(state, used, rule, now);
            assert.ok(state.used <= rule.limit + 1e-6);
          }
          const wait = waitFor(turn(state, rule, now), amount, rule, now);
          const at = (ms: number): number => waitFor(turn(state, rule, ms), amount, rule, ms);
          assert.ok(wait >= 0 && wait <= MINUTE_MS, String(wait));
          assert.equal(at(now + wait), 0);
          if (wait > 0) assert.ok(at(now + wait - 1) > 0);
        },
      ),
      { numRuns: 2000 },
    );
  });
});

describe('slices of the minute', () => {
  function startQuota(limits: QuotaLimits) {
    let state = freshQuota;
    return (now: number): QuotaVerdict => {
      const decided = decideQuota(state, { tokens: 0 }, limits, now);
      state = decided.state;
      return decided.verdict;
    };
  }

  it('of a second admit a sixtieth of the minute, rounded up', () => {
    const ask = startQuota({ rpm: 90, requestSlicesMs: [1000] });
    assert.deepEqual(
      [ask(0), ask(10), ask(20), ask(1000)].map(({ kind }) => kind),
      ['admitted', 'admitted', 'refused', 'admitted'],
    );
  });

  it('of several lengths hold together, and the longest wait is told', () => {
    const ask = startQuota({ rpm: 60, requestSlicesMs: [1000, 10_000] });
    for (let second = 0; second < 10; second += 1) ask(second * 900);
    const verdict = ask(9_500);
    assert.equal(verdict.kind === 'refused' && verdict.retryAfterMs, 500);
    const alone = startQuota({ rpm: 6, requestSlicesMs: [1000, 10_000] });
    alone(0);
    const refused = alone(500);
    assert.equal(refused.kind === 'refused' && refused.retryAfterMs, 9_500);
  });

  it('can be none, so that the whole minute may come at once', () => {
    const ask = startQuota({ rpm: 12, requestSlicesMs: [] });
    const kinds = Array.from({ length: 13 }, () => ask(0).kind);
    assert.deepEqual(kinds, [...Array.from({ length: 12 }, () => 'admitted'), 'refused']);
  });

  it('count in a minute that slides or leaks too', () => {
    for (const window of ['sliding', 'leaky'] as const) {
      const ask = startQuota({ rpm: 12, window });
      assert.deepEqual(
        [ask(0), ask(1), ask(2), ask(10_000)].map(({ kind }) => kind),
        ['admitted', 'admitted', 'refused', 'admitted'],
      );
    }
  });
});

describe('a provisioned deployment', () => {
  const limits: ProvisionedLimits = { tokensPerMinute: 60_000, burstMs: 1000 }; // holds 1,000, leaks 1 a millisecond

  it('admits until its bucket is full, even beyond by the last request', () => {
    const first = decideProvisioned(emptyBucket, { tokens: 999 }, limits, 0);
    assert.deepEqual(first.verdict, { kind: 'admitted', utilizationPercent: 100 });
    const second = decideProvisioned(first.state, { tokens: 500 }, limits, 0);
    assert.deepEqual(second.verdict, { kind: 'admitted', utilizationPercent: 150 });
  });

  it('refuses for exactly the milliseconds until it is below full', () => {
    const { state } = decideProvisioned(emptyBucket, { tokens: 1042 }, limits, 0);
    const { verdict } = decideProvisioned(state, { tokens: 1 }, limits, 0);
    assert.deepEqual(verdict, { kind: 'refused', utilizationPercent: 104, retryAfterMs: 43 });
    assert.equal(decideProvisioned(state, { tokens: 1 }, limits, 42).verdict.kind, 'refused');
    assert.equal(decideProvisioned(state, { tokens: 1 }, limits, 43).verdict.kind, 'admitted');
  });

  it('counts nothing for what it refused', () => {
    const { state } = decideProvisioned(emptyBucket, { tokens: 1500 }, limits, 0);
    const refused = decideProvisioned(state, { tokens: 900 }, limits, 0);
    assert.equal(refused.state.level, 1500);
  });

  it('gives back what a request did not use', () => {
    const { state } = decideProvisioned(emptyBucket, { tokens: 1500 }, limits, 0);
    const corrected = correctProvisioned(state, -1400, limits, 100);
    assert.equal(corrected.level, 0);
    assert.equal(correctProvisioned(state, -1000, limits, 100).level, 400);
  });
});
