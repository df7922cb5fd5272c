import assert from 'node:assert/strict';
import type { BreakerState, Cooldown, Rest } from '../../../app/src/balancer/circuit-breaker.ts';
import { describeState } from '../../../app/src/telemetry/state-words.ts';

const THROTTLED: Cooldown = { kind: 'cooldown', until: 0, recoversAt: 0, times: 1, heardAfterMs: 9 };
const OPEN: Exclude<Rest, Cooldown> = { kind: 'open', since: 0, until: 1500, times: 1 };

describe('state words', () => {
  const words: readonly (readonly [BreakerState, RegExp])[] = [
    [{ kind: 'closed', softFailures: 1 }, /^serving$/],
    [{ kind: 'probing', after: OPEN, askedAt: 0 }, /^probing: /],
    [{ kind: 'recovering', after: OPEN, since: 0, limit: 5 }, /^recovering: at most 5 requests/],
    [OPEN, /^failing: not asked for 500 ms/],
    [{ kind: 'missing', since: 0, until: 301_000 }, /^missing: .* in 300000 ms$/],
    [
      { kind: 'returning', after: THROTTLED, since: 0, window: 1, asked: [], softFailures: 0 },
      /^returning: its throttle is over/,
    ],
    [
      { kind: 'quarantined', since: 0, until: 6000, isNew: true },
      /^quarantined: .* yet \(401\/403\), tried again in 5000 ms\. The role/,
    ],
    [
      { kind: 'quarantined', since: 0, until: 61_000, isNew: false },
      /^quarantined: .*401\/403.* in 60000 ms\. Check its key/,
    ],
  ];
  for (const [state, pattern] of words) {
    it(`tells of ${state.kind} what a person needs to know`, () => {
      assert.match(describeState(state, 1000), pattern);
    });
  }

  it('tells the recovery that the backend gave, not when the probe goes out', () => {
    const state: BreakerState = { ...THROTTLED, until: 61_000, recoversAt: 86_401_000 };
    assert.match(describeState(state, 1000), /^cooling down for 86400000 ms/);
  });

  it('never counts below zero, and in whole milliseconds', () => {
    assert.match(describeState(OPEN, 9000), / 0 ms /);
    assert.match(describeState(OPEN, 1000.4), / 500 ms /);
  });

  it('hands on a state that it does not know', () => {
    const unknown = JSON.parse('{"kind":"future"}');
    assert.equal(describeState(unknown, 0), unknown);
  });
});
