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
  roomAt,
  standing,
  type BreakerState,
  type Cooldown,
  type Rest,
  type Returning,
} from '../../../app/src/balancer/circuit-breaker.ts';

const NOW = 50_000;

const SOFT: BreakerState = { kind: 'closed', softFailures: 1 };
type Failing = Exclude<Rest, Cooldown>;

const OPEN: Failing & { readonly kind: 'open' } = { kind: 'open', since: NOW, until: NOW + 1000, times: 1 };
const COOLDOWN: Cooldown = { kind: 'cooldown', until: NOW + 1000, recoversAt: NOW + 1000, times: 1, heardAfterMs: 30 };
const MISSING: Failing = { kind: 'missing', since: NOW, until: NOW + 300_000 };
const QUARANTINED: Failing = { kind: 'quarantined', since: NOW, until: NOW + 60_000, isNew: false };
const FAILING: readonly Failing[] = [OPEN, MISSING, QUARANTINED];
const RESTS: readonly Rest[] = [...FAILING, COOLDOWN];

function probing(after: Failing, askedAt = NOW): BreakerState {
  return { kind: 'probing', after, askedAt };
}

function returning(more: Partial<Returning> = {}): Returning {
  return { kind: 'returning', after: COOLDOWN, since: NOW, window: 1, asked: [NOW], softFailures: 0, ...more };
}

function recovering(after: Failing, limit = 2, since = NOW): BreakerState {
  return { kind: 'recovering', after, since, limit };
}

const EVERY: readonly BreakerState[] = [
  CLOSED,
  SOFT,
  ...RESTS,
  ...FAILING.map((rest) => probing(rest)),
  ...FAILING.map((rest) => recovering(rest)),
  returning(),
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
  const cooldown = (waitMs: number, times: number, heardAfterMs = 30): Cooldown => ({
    kind: 'cooldown',
    until: NOW + waitMs,
    recoversAt: NOW + waitMs,
    times,
    heardAfterMs,
  });

  it('cools a deployment down for the milliseconds it was told', () => {
    const state = onThrottled(CLOSED, 1234, 7, NOW);
    assert.deepEqual(state, cooldown(1234, 0, 7));
    assert.equal(standing(state, 0, NOW + 1233), 'cooldown');
    assert.equal(standing(state, 0, NOW + 1234), 'available');
  });

  it('cools down for a second when it was told nothing, and doubles with each time in a row up to a minute', () => {
    let state: BreakerState = CLOSED;
    for (const [index, seconds] of [1, 2, 4, 8, 16, 32, 60, 60].entries()) {
      state = onThrottled(state.kind === 'cooldown' ? returning({ after: state }) : state, undefined, 30, NOW);
      assert.deepEqual(state, cooldown(seconds * 1000, index + 1));
    }
  });

  it('keeps to a wait that it was told, after which it doubles from a second again', () => {
    const told = onThrottled(returning({ after: { ...COOLDOWN, times: 9 } }), 20, 30, NOW);
    assert.ok(told.kind === 'cooldown');
    assert.deepEqual(told, cooldown(20, 0));
    assert.deepEqual(onThrottled(returning({ after: told }), undefined, 30, NOW), cooldown(1000, 1));
  });

  it('asks after a minute at the latest, and still tells the recovery that the backend gave', () => {
    const state = onThrottled(CLOSED, 86_400_000, 30, NOW);
    assert.deepEqual(state, { ...cooldown(60_000, 0), recoversAt: NOW + 86_400_000 });
    assert.equal(standing(state, 0, NOW + 59_999), 'cooldown');
    assert.equal(standing(state, 0, NOW + 60_000), 'available');
  });

  it('counts only throttles in a row: after another rest it starts at a second again', () => {
    for (const before of FAILING) {
      for (const state of [before, probing(before), recovering(before)]) {
        assert.deepEqual(onThrottled(state, undefined, 30, NOW), cooldown(1000, 1));
      }
    }
  });
});

describe('circuit breaker: closed → missing, quarantined', () => {
  it('takes a deployment as missing for five minutes, to the millisecond', () => {
    const state = onMissing(NOW);
    assert.deepEqual(state, { kind: 'missing', since: NOW, until: NOW + 300_000 });
    assert.equal(standing(state, 0, NOW + 299_999), 'missing');
    assert.equal(standing(state, 0, NOW + 300_000), 'available');
  });

  it('quarantines for a minute, to the millisecond; for five seconds one that never let us in and is new', () => {
    for (const [isNew, ms] of [
      [false, 60_000],
      [true, 5000],
    ] as const) {
      const state = onUnauthorized(CLOSED, isNew, NOW);
      assert.deepEqual(state, { kind: 'quarantined', since: NOW, until: NOW + ms, isNew });
      assert.equal(standing(state, 0, NOW + ms - 1), 'quarantined');
      assert.equal(standing(state, 0, NOW + ms), 'available');
    }
  });

  it('keeps the time since when it is quarantined while that lasts', () => {
    for (const state of [QUARANTINED, probing(QUARANTINED), recovering(QUARANTINED)]) {
      const again: BreakerState = { ...QUARANTINED, until: NOW + 120_007 };
      assert.deepEqual(onUnauthorized(state, false, NOW + 60_007), again);
    }
    for (const state of [OPEN, probing(OPEN), recovering(OPEN)]) {
      const since = NOW + 7;
      assert.deepEqual(onUnauthorized(state, false, since), { ...QUARANTINED, since, until: since + 60_000 });
    }
  });
});

describe('circuit breaker: rest → probing', () => {
  for (const rest of FAILING) {
    it(`goes out of ${rest.kind} with a probe, from the very millisecond at which that ends`, () => {
      assert.equal(standing(rest, 0, rest.until - 1), rest.kind);
      assert.equal(standing(rest, 0, rest.until), 'available');
      assert.deepEqual(onAsked(rest, rest.until), { kind: 'probing', after: rest, askedAt: rest.until });
    });
  }

  for (const [kind, patienceMs] of Object.entries({ open: 5000, missing: 1000, quarantined: 5000 })) {
    it(`lets another probe follow after ${patienceMs} ms when the one after ${kind} is not heard of`, () => {
      const rest = FAILING.find((one) => one.kind === kind);
      assert.ok(rest !== undefined);
      const state = probing(rest);
      assert.equal(standing(state, 1, NOW + patienceMs - 1), 'reserve');
      assert.equal(standing(state, 1, NOW + patienceMs), 'available');
      const again: BreakerState = onAsked(state, NOW + patienceMs);
      assert.deepEqual(again, { kind: 'probing', after: rest, askedAt: NOW + patienceMs });
      assert.equal(standing(again, 2, NOW + patienceMs + 1), 'reserve');
    });
  }

  it('changes nothing by asking one that is closed or recovering', () => {
    for (const state of [CLOSED, SOFT, recovering(OPEN)]) assert.equal(onAsked(state, NOW), state);
  });
});

describe('circuit breaker: probing → recovering or closed', () => {
  it('lets two requests at a time in when the probe after a failure is answered', () => {
    assert.deepEqual(onSuccess(probing(OPEN), NOW), recovering(OPEN, 2));
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

describe('circuit breaker: cooldown → returning', () => {
  /** Twice the 30 ms that its 429 took. */
  const REFUSAL_MS = 60;

  it('is asked by one at the very millisecond at which it recovers, and by the next when that one was not refused', () => {
    assert.equal(standing(COOLDOWN, 0, NOW + 999), 'cooldown');
    assert.equal(standing(COOLDOWN, 0, NOW + 1000), 'available');
    const state = onAsked(COOLDOWN, NOW + 1000);
    assert.deepEqual(state, returning({ since: NOW + 1000, asked: [NOW + 1000] }));
    assert.equal(standing(state, 1, NOW + 1000 + REFUSAL_MS - 1), 'reserve');
    assert.equal(standing(state, 1, NOW + 1000 + REFUSAL_MS), 'available');
  });

  it('is asked by two more when the first was taken: by its answer, or by the time a refusal takes', () => {
    const answered = onSuccess(returning(), NOW + 5);
    assert.deepEqual(answered, returning({ window: 2, asked: [] }));
    const silent = onAsked(returning(), NOW + REFUSAL_MS);
    assert.deepEqual(silent, returning({ window: 2, asked: [NOW + REFUSAL_MS] }));
    for (const [state, now] of [
      [answered, NOW + 5],
      [silent, NOW + REFUSAL_MS],
    ] as const) {
      let next: BreakerState = state;
      let more = 0;
      for (; standing(next, 0, now) === 'available'; more += 1) next = onAsked(next, now);
      assert.equal(more, state === answered ? 2 : 1);
    }
  });

  it('is asked whatever is in flight there: a quota is not used up by answers that are long', () => {
    assert.equal(standing(returning({ window: 2, asked: [] }), 500, NOW), 'available');
  });

  it('says when it has room for one more', () => {
    assert.equal(roomAt(returning(), NOW + 1), NOW + REFUSAL_MS);
    assert.equal(roomAt(returning({ window: 2 }), NOW + 1), NOW + 1);
    const three = returning({ window: 2, asked: [NOW, NOW + 10, NOW + 20] });
    assert.equal(roomAt(three, NOW + 30), NOW + 10 + REFUSAL_MS);
    // The first was taken meanwhile, and the window is three.
    assert.equal(roomAt(three, NOW + REFUSAL_MS), NOW + REFUSAL_MS);
  });

  it('takes between 20 and 250 ms for the time of a refusal, whatever the last one took', () => {
    for (const [heardAfterMs, ms] of [
      [0, 20],
      [10, 20],
      [11, 22],
      [125, 250],
      [9000, 250],
    ] as const) {
      assert.equal(roomAt(returning({ after: { ...COOLDOWN, heardAfterMs } }), NOW), NOW + ms, `${heardAfterMs} ms`);
    }
  });

  it('has room for all comers after ten seconds, to the millisecond', () => {
    const full = returning({ asked: [NOW + 9990], after: { ...COOLDOWN, heardAfterMs: 200 } });
    assert.equal(standing(full, 0, NOW + 9999), 'reserve');
    assert.equal(standing(full, 0, NOW + 10_000), 'available');
  });

  it('closes when sixteen were taken, or ten seconds are over', () => {
    assert.deepEqual(onSuccess(returning({ window: 14 }), NOW), returning({ window: 15, asked: [] }));
    assert.deepEqual(onSuccess(returning({ window: 15 }), NOW), CLOSED);
    assert.deepEqual(onSuccess(returning({ window: 1 }), NOW + 9999), returning({ window: 2, asked: [] }));
    assert.deepEqual(onSuccess(returning({ window: 1 }), NOW + 10_000), CLOSED);
  });

  it('counts an answer once: that of one whose time was over has been counted', () => {
    assert.deepEqual(onSuccess(returning(), NOW + REFUSAL_MS), returning({ window: 2, asked: [] }));
    assert.deepEqual(onSuccess(returning({ window: 2, asked: [] }), NOW), returning({ window: 2, asked: [] }));
  });

  it('forgives one soft failure, as a closed one does, and not two in a row', () => {
    const once = onFailure(returning(), 'soft', NOW);
    assert.deepEqual(once, returning({ softFailures: 1 }));
    assert.deepEqual(onFailure(once, 'soft', NOW), OPEN);
    assert.deepEqual(onSuccess(once, NOW), returning({ window: 2, asked: [] }));
    assert.deepEqual(onFailure(returning(), 'hard', NOW), OPEN);
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
    for (const rest of [MISSING, QUARANTINED] as const) {
      for (const state of [probing(rest), recovering(rest), rest])
        assert.deepEqual(onFailure(state, 'soft', NOW), OPEN);
    }
    assert.deepEqual(onFailure(COOLDOWN, 'soft', NOW), OPEN);
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
      const isFull = state.kind === 'probing' || state.kind === 'returning';
      assert.equal(how, isRest(state) ? state.kind : isFull ? 'reserve' : 'available', nameOf(state));
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
          else if (what === 'throttle') state = onThrottled(state, undefined, ms / 100, now);
          else if (what === 'told') state = onThrottled(state, ms * 1000 + 1, ms, now);
          else if (what === 'missing') state = onMissing(now);
          else if (what === 'unauthorized') state = onUnauthorized(state, ms % 2 === 0, now);
          else state = onFailure(state, what === 'hard' ? 'hard' : 'soft', now);
          if (state.kind === 'cooldown' || state.kind === 'open' || state.kind === 'quarantined') {
            assert.ok(state.until <= now + 60_000 && Number.isFinite(state.until));
          }
          if (state.kind === 'cooldown') assert.ok(state.recoversAt >= state.until);
          if (state.kind === 'returning') {
            assert.ok(state.window >= 1 && state.softFailures < 2);
            assert.ok(roomAt(state, now) >= now && roomAt(state, now) <= now + 250);
          }
          if (state.kind === 'recovering') assert.ok(state.limit >= 2 && state.limit < 16);
        }
      }),
    );
  });
});
