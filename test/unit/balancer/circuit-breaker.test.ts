import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import {
  CLOSED,
  isRest,
  onAsked,
  onFailure,
  onMissing,
  onSuccess,
  onThrottled,
  onUnauthorized,
  standing,
  type BreakerState,
  type Rest,
} from '../../../app/src/balancer/circuit-breaker.ts';

const NOW = 50_000;

const SOFT: BreakerState = { kind: 'closed', softFailures: 1 };
const OPEN: Rest = { kind: 'open', since: NOW, until: NOW + 1000, times: 1 };
const COOLDOWN: Rest = { kind: 'cooldown', until: NOW + 1000, recoversAt: NOW + 1000, times: 1 };
const MISSING: Rest = { kind: 'missing', since: NOW, until: NOW + 300_000 };
const QUARANTINED: Rest = { kind: 'quarantined', since: NOW, until: NOW + 60_000 };
const RESTS: readonly Rest[] = [OPEN, COOLDOWN, MISSING, QUARANTINED];

function probing(after: Rest, askedAt = NOW): BreakerState {
  return { kind: 'probing', after, askedAt };
}

function recovering(after: Rest, limit = 2, since = NOW): BreakerState {
  return { kind: 'recovering', after, since, limit };
}

const EVERY: readonly BreakerState[] = [
  CLOSED,
  SOFT,
  ...RESTS,
  ...RESTS.map((rest) => probing(rest)),
  ...RESTS.map((rest) => recovering(rest)),
];

/** `probing after open`: a state in the words of the table. */
function nameOf(state: BreakerState): string {
  return 'after' in state ? `${state.kind} after ${state.after.kind}` : state.kind;
}

describe('circuit breaker: closed → open', () => {
  it('opens for a second at the first hard failure', () => {
    assert.deepEqual(onFailure(CLOSED, 'hard', NOW), { kind: 'open', since: NOW, until: NOW + 1000, times: 1 });
    assert.deepEqual(onFailure(SOFT, 'hard', NOW), { kind: 'open', since: NOW, until: NOW + 1000, times: 1 });
  });

  it('opens at the second soft failure in a row, not at the first', () => {
    const once = onFailure(CLOSED, 'soft', NOW);
    assert.deepEqual(once, SOFT);
    assert.equal(standing(once, 0, NOW), 'available');
    assert.deepEqual(onFailure(once, 'soft', NOW + 5), { kind: 'open', since: NOW + 5, until: NOW + 1005, times: 1 });
  });

  it('forgets a soft failure at a success between', () => {
    assert.deepEqual(onSuccess(SOFT, NOW), CLOSED);
    assert.deepEqual(onFailure(onSuccess(SOFT, NOW), 'soft', NOW), SOFT);
  });

  it('stays the very same state at a success when nothing was wrong', () => {
    assert.equal(onSuccess(CLOSED, NOW), CLOSED);
  });
});

describe('circuit breaker: closed → cooldown', () => {
  it('cools a deployment down for the milliseconds it was told', () => {
    const state = onThrottled(CLOSED, 1234, NOW);
    assert.deepEqual(state, { kind: 'cooldown', until: NOW + 1234, recoversAt: NOW + 1234, times: 1 });
    assert.equal(standing(state, 0, NOW + 1233), 'cooldown');
    assert.equal(standing(state, 0, NOW + 1234), 'available');
  });

  it('cools down for a second when it was told nothing, and doubles with each time in a row up to a minute', () => {
    let state: BreakerState = CLOSED;
    for (const [index, seconds] of [1, 2, 4, 8, 16, 32, 60, 60].entries()) {
      state = onThrottled(state.kind === 'cooldown' ? probing(state) : state, undefined, NOW);
      const until = NOW + seconds * 1000;
      assert.deepEqual(state, { kind: 'cooldown', until, recoversAt: until, times: index + 1 });
    }
  });

  it('keeps to a wait that it was told, however often it was throttled before', () => {
    const often: Rest = { ...COOLDOWN, times: 9 };
    const state = onThrottled(probing(often), 20, NOW);
    assert.deepEqual(state, { kind: 'cooldown', until: NOW + 20, recoversAt: NOW + 20, times: 10 });
  });

  it('sends the probe after a minute at the latest, and still tells the recovery that the backend gave', () => {
    const state = onThrottled(CLOSED, 86_400_000, NOW);
    assert.deepEqual(state, { kind: 'cooldown', until: NOW + 60_000, recoversAt: NOW + 86_400_000, times: 1 });
    assert.equal(standing(state, 0, NOW + 59_999), 'cooldown');
    assert.equal(standing(state, 0, NOW + 60_000), 'available');
  });

  it('counts only throttles in a row: after another rest it starts at a second again', () => {
    for (const before of [OPEN, MISSING, QUARANTINED]) {
      for (const state of [before, probing(before), recovering(before)]) {
        const until = NOW + 1000;
        assert.deepEqual(onThrottled(state, undefined, NOW), { kind: 'cooldown', until, recoversAt: until, times: 1 });
      }
    }
  });

  it('doubles when it is throttled again while recovering', () => {
    assert.deepEqual(onThrottled(recovering(COOLDOWN), undefined, NOW), {
      kind: 'cooldown',
      until: NOW + 2000,
      recoversAt: NOW + 2000,
      times: 2,
    });
  });
});

describe('circuit breaker: closed → missing, quarantined', () => {
  it('takes a deployment as missing for five minutes, to the millisecond', () => {
    const state = onMissing(NOW);
    assert.deepEqual(state, { kind: 'missing', since: NOW, until: NOW + 300_000 });
    assert.equal(standing(state, 0, NOW + 299_999), 'missing');
    assert.equal(standing(state, 0, NOW + 300_000), 'available');
  });

  it('quarantines for a minute, to the millisecond', () => {
    const state = onUnauthorized(CLOSED, NOW);
    assert.deepEqual(state, { kind: 'quarantined', since: NOW, until: NOW + 60_000 });
    assert.equal(standing(state, 0, NOW + 59_999), 'quarantined');
    assert.equal(standing(state, 0, NOW + 60_000), 'available');
  });

  it('keeps the time since when it is quarantined while that lasts', () => {
    for (const state of [QUARANTINED, probing(QUARANTINED), recovering(QUARANTINED)]) {
      assert.deepEqual(onUnauthorized(state, NOW + 60_007), { kind: 'quarantined', since: NOW, until: NOW + 120_007 });
    }
    for (const state of [OPEN, probing(OPEN), recovering(OPEN)]) {
      assert.deepEqual(onUnauthorized(state, NOW + 7), { kind: 'quarantined', since: NOW + 7, until: NOW + 60_007 });
    }
  });
});

describe('circuit breaker: rest → probing', () => {
  for (const rest of RESTS) {
    it(`goes out of ${rest.kind} with a probe, from the very millisecond at which that ends`, () => {
      assert.equal(standing(rest, 0, rest.until - 1), rest.kind);
      assert.equal(standing(rest, 0, rest.until), 'available');
      assert.deepEqual(onAsked(rest, rest.until), { kind: 'probing', after: rest, askedAt: rest.until });
    });
  }

  for (const [kind, patienceMs] of Object.entries({ cooldown: 250, open: 5000, missing: 1000, quarantined: 5000 })) {
    it(`lets another probe follow after ${patienceMs} ms when the one after ${kind} is not heard of`, () => {
      const rest = RESTS.find((one) => one.kind === kind);
      assert.ok(rest !== undefined);
      const state = probing(rest);
      assert.equal(standing(state, 1, NOW + patienceMs - 1), 'reserve');
      assert.equal(standing(state, 1, NOW + patienceMs), 'available');
      const again = onAsked(state, NOW + patienceMs);
      assert.deepEqual(again, { kind: 'probing', after: rest, askedAt: NOW + patienceMs });
      assert.equal(standing(again, 2, NOW + patienceMs + 1), 'reserve');
    });
  }

  it('changes nothing by asking one that is closed or recovering', () => {
    for (const state of [CLOSED, SOFT, recovering(OPEN)]) assert.equal(onAsked(state, NOW), state);
  });
});

describe('circuit breaker: probing → recovering or closed', () => {
  it('lets two requests at a time in when the probe after a cooldown or a failure is answered', () => {
    for (const rest of [COOLDOWN, OPEN]) {
      assert.deepEqual(onSuccess(probing(rest), NOW), { kind: 'recovering', after: rest, since: NOW, limit: 2 });
    }
  });

  it('closes at once when the probe after missing or quarantined is answered', () => {
    for (const rest of [MISSING, QUARANTINED]) assert.deepEqual(onSuccess(probing(rest), NOW), CLOSED);
  });

  it('clears an open or missing one that answers, and no cooldown and no quarantine', () => {
    assert.deepEqual(onSuccess(OPEN, NOW), { kind: 'recovering', after: OPEN, since: NOW, limit: 2 });
    assert.deepEqual(onSuccess(MISSING, NOW), CLOSED);
    assert.equal(onSuccess(COOLDOWN, NOW), COOLDOWN);
    assert.equal(onSuccess(QUARANTINED, NOW), QUARANTINED);
  });
});

describe('circuit breaker: recovering', () => {
  it('is available below its limit and a reserve at it', () => {
    const state = recovering(OPEN, 3);
    assert.equal(standing(state, 2, NOW), 'available');
    assert.equal(standing(state, 3, NOW), 'reserve');
    assert.equal(standing(state, 99, NOW), 'reserve');
  });

  it('grows by one with every answer and closes at sixteen', () => {
    let state = recovering(OPEN, 2);
    for (let limit = 3; limit < 16; limit += 1) {
      state = onSuccess(state, NOW);
      assert.deepEqual(state, recovering(OPEN, limit));
    }
    assert.deepEqual(onSuccess(state, NOW), CLOSED);
  });

  it('takes all comers after ten seconds, and closes with the next answer, to the millisecond', () => {
    const state = recovering(OPEN, 2);
    assert.equal(standing(state, 99, NOW + 9999), 'reserve');
    assert.equal(standing(state, 99, NOW + 10_000), 'available');
    assert.deepEqual(onSuccess(state, NOW + 9999), recovering(OPEN, 3));
    assert.deepEqual(onSuccess(state, NOW + 10_000), CLOSED);
  });
});

describe('circuit breaker: probing or recovering → back to rest, longer', () => {
  it('doubles the rest of a failing one with each probe that fails, softly or hard, up to a minute', () => {
    for (const weight of ['hard', 'soft'] as const) {
      let state = onFailure(CLOSED, 'hard', NOW);
      let now = NOW;
      for (const [index, seconds] of [2, 4, 8, 16, 32, 60, 60].entries()) {
        assert.ok(state.kind === 'open');
        now = state.until;
        state = onFailure(onAsked(state, now), weight, now);
        assert.deepEqual(state, { kind: 'open', since: now, until: now + seconds * 1000, times: index + 2 });
      }
    }
  });

  it('rests longer when it fails while recovering, at the first soft failure', () => {
    for (const weight of ['hard', 'soft'] as const) {
      const until = NOW + 2000;
      assert.deepEqual(onFailure(recovering(OPEN), weight, NOW), { kind: 'open', since: NOW, until, times: 2 });
    }
  });

  it('starts at a second when what came before was no failure', () => {
    for (const rest of [COOLDOWN, MISSING, QUARANTINED]) {
      for (const state of [probing(rest), recovering(rest), rest]) {
        assert.deepEqual(onFailure(state, 'soft', NOW), { kind: 'open', since: NOW, until: NOW + 1000, times: 1 });
      }
    }
  });

  it("takes a last resort's failure as no news until the rest is over", () => {
    assert.equal(onFailure(OPEN, 'hard', NOW + 999), OPEN);
    assert.deepEqual(onFailure(OPEN, 'hard', NOW + 1000), {
      kind: 'open',
      since: NOW + 1000,
      until: NOW + 3000,
      times: 2,
    });
  });
});

describe('circuit breaker: every state', () => {
  it('says which states only time ends', () => {
    for (const state of EVERY)
      assert.equal(
        isRest(state),
        RESTS.some((rest) => rest === state),
        nameOf(state),
      );
  });

  it('has a standing, and rests stand as what they are', () => {
    for (const state of EVERY) {
      const how = standing(state, 0, NOW);
      const expected = isRest(state) ? state.kind : state.kind === 'probing' ? 'reserve' : 'available';
      assert.equal(how, expected, nameOf(state));
    }
  });

  it('becomes available by time alone, within five minutes', () => {
    for (const state of EVERY) assert.equal(standing(state, 1000, NOW + 300_000), 'available', nameOf(state));
  });

  it('hands on a state that it does not know', () => {
    const unknown = JSON.parse('{"kind":"future"}');
    assert.equal(standing(unknown, 0, NOW), unknown);
    assert.equal(onSuccess(unknown, NOW), unknown);
  });

  it('never rests longer than a minute for a throttle or a failure, whatever happened before', () => {
    const step = fc.constantFrom('ask', 'success', 'throttle', 'told', 'hard', 'soft', 'missing', 'unauthorized');
    fc.assert(
      fc.property(fc.array(fc.tuple(step, fc.integer({ min: 0, max: 90_000 }))), (steps) => {
        let state: BreakerState = CLOSED;
        let now = NOW;
        for (const [what, ms] of steps) {
          now += ms;
          if (what === 'ask') state = onAsked(state, now);
          else if (what === 'success') state = onSuccess(state, now);
          else if (what === 'throttle') state = onThrottled(state, undefined, now);
          else if (what === 'told') state = onThrottled(state, ms * 1000 + 1, now);
          else if (what === 'missing') state = onMissing(now);
          else if (what === 'unauthorized') state = onUnauthorized(state, now);
          else state = onFailure(state, what === 'hard' ? 'hard' : 'soft', now);
          if (state.kind === 'cooldown' || state.kind === 'open' || state.kind === 'quarantined') {
            assert.ok(state.until <= now + 60_000 && Number.isFinite(state.until));
          }
          if (state.kind === 'cooldown') assert.ok(state.recoversAt >= state.until);
          if (state.kind === 'recovering') assert.ok(state.limit >= 2 && state.limit < 16);
        }
      }),
    );
  });
});
