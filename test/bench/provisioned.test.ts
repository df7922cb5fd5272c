import assert from 'node:assert/strict';
import { admittedCalls, figuresOf, PROVISIONED } from '../../bench/provisioned/accounting.ts';
import type { Answered, Observed } from '../../bench/provisioned/accounting.ts';
import { chooseBackend, parkedUntilAfter } from '../../bench/provisioned/ancestor-rule.ts';
import { planArrivals, tokensOf } from '../../bench/provisioned/arrivals.ts';
import type { Arrival } from '../../bench/provisioned/arrivals.ts';
import { whenEveryRequestAsks } from '../../bench/provisioned/asked.ts';
import { hadRoom } from '../../bench/provisioned/bucket.ts';
import { OptionsError, readOptions } from '../../bench/provisioned/options.ts';
import { ANSWER_TOKENS, answerMs, shapes } from '../../bench/provisioned/shapes.ts';

/** 1,000 tokens a second, of which the bucket holds two. */
const limits = { tokensPerMinute: 60_000, burstMs: 2000 };

/** Takes 500 tokens, exactly what it is counted as on arrival. */
function arrivalOf(id: number, atMs: number): Arrival {
  return { id, atMs, promptTokens: 500 - ANSWER_TOKENS, maxTokens: ANSWER_TOKENS, isStreamed: false };
}

function answeredBy(backend: string, id: number, sentAtMs: number): Answered {
  return { id, sentAtMs, status: 200, backend, contentAtMs: sentAtMs + 210, endedAtMs: sentAtMs + 220 };
}

/** Four requests in a window of 2 s, a second into the clock: three served by the PTU, the last one spilled. */
function observed(changes: Partial<Observed> = {}): Observed {
  const times = [1000, 1100, 1200, 2900];
  return {
    arrivals: times.map((atMs, index) => arrivalOf(index + 1, atMs)),
    answers: times.map((atMs, index) => answeredBy(index < 3 ? PROVISIONED : 'payg1', index + 1, atMs)),
    provisionedCalls: [1, 2, 3].map((id) => ({ id, atMs: (times[id - 1] ?? 0) + 1 })),
    paygCalls: [{ id: 4, atMs: 2901 }],
    fill: [],
    limits,
    window: { fromMs: 1000, toMs: 3000 },
    ownMs: { streamed: 250, whole: 200 },
    ...changes,
  };
}

describe('the accounting of a provisioned deployment in the bench', () => {
  it('takes the last call of a request that it answered for the admitted one', () => {
    const calls = [
      { id: 1, atMs: 10 },
      { id: 2, atMs: 11 },
      { id: 1, atMs: 50 },
    ];
    const answers = [answeredBy(PROVISIONED, 1, 0), answeredBy('payg2', 2, 0)];
    assert.deepEqual(admittedCalls(calls, answers), [{ id: 1, atMs: 50 }]);
  });

  it('sets what was taken in the window against what leaks out, and against what was offered', () => {
    const { usedPercent, ofAttainablePercent, needlessPercent, spilledPercent, requests } = figuresOf(observed());
    assert.deepEqual(
      { usedPercent, ofAttainablePercent, needlessPercent, spilledPercent, requests },
      { usedPercent: 75, ofAttainablePercent: 75, needlessPercent: 25, spilledPercent: 25, requests: 4 },
    );
  });

  it('asks no more of it than was offered', () => {
    const { usedPercent, ofAttainablePercent } = figuresOf(
      observed({ limits: { ...limits, tokensPerMinute: 120_000 } }),
    );
    assert.deepEqual([usedPercent, ofAttainablePercent], [37.5, 75]);
  });

  it('calls nothing needless when the capacity was used, and counts no more than was spilled', () => {
    const full = figuresOf(observed({ limits: { ...limits, tokensPerMinute: 45_000 } }));
    assert.deepEqual([full.usedPercent, full.needlessPercent], [100, 0]);
    const unanswered = observed().answers.map(({ id, sentAtMs, endedAtMs }) => ({ id, sentAtMs, endedAtMs }));
    assert.equal(figuresOf(observed({ answers: unanswered })).needlessPercent, 0);
  });

  it('leaves out what was taken before and after the window', () => {
    const { usedPercent, requests } = figuresOf(observed({ window: { fromMs: 1050, toMs: 2050 } }));
    assert.deepEqual([usedPercent, requests], [100, 2]);
  });

  it('counts the refusals: calls that were not admitted', () => {
    const calls = [...observed().provisionedCalls, { id: 4, atMs: 2900 }].sort((a, b) => a.atMs - b.atMs);
    assert.equal(figuresOf(observed({ provisionedCalls: calls })).refusedPerAnswer, 0.25);
    assert.equal(figuresOf(observed()).refusedPerAnswer, 0);
  });

  it('says what was spilled while the bucket had room', () => {
    assert.equal(figuresOf(observed()).spilledWithRoomPercent, 25);
    const greedy = observed().arrivals.map((arrival) => (arrival.id === 3 ? { ...arrival, maxTokens: 3000 } : arrival));
    assert.equal(figuresOf(observed({ arrivals: greedy })).spilledWithRoomPercent, 25, 'given back at its end');
    const fill = [{ kind: 'taken', atMs: 2800, tokens: 2200 }] as const;
    assert.equal(figuresOf(observed({ fill })).spilledWithRoomPercent, 0);
  });

  it('takes the backend’s own time off, and keeps 429s and failures apart', () => {
    const [first, second, third, fourth] = observed().answers;
    assert.ok(first && second && third && fourth);
    const answers = [
      first,
      { ...second, status: 429 },
      { ...third, status: 502 },
      { id: 4, sentAtMs: 2900, endedAtMs: 2950, problem: 'ECONNRESET' },
    ];
    const { addedP50Ms, throttled, unanswered, problems } = figuresOf(observed({ answers }));
    assert.deepEqual(
      { addedP50Ms, throttled, unanswered, problems },
      { addedP50Ms: 10, throttled: 1, unanswered: 2, problems: { 'status 502': 1, ECONNRESET: 1 } },
    );
  });
});

describe('the bucket beside the simulated one', () => {
  const full = { kind: 'taken', atMs: 0, tokens: 2500 } as const;

  it('has room as soon as it leaked below full, whatever the order of the questions', () => {
    assert.deepEqual(hadRoom([600, 400, -1], [full], limits), [true, false, true]);
  });

  it('gives back what was counted too much', () => {
    assert.deepEqual(hadRoom([400], [full, { kind: 'given-back', atMs: 300, tokens: 400 }], limits), [true]);
  });

  it('believes what the deployment did: it was full when it refused, and below when it took one', () => {
    assert.deepEqual(hadRoom([900], [full, { kind: 'refused', atMs: 899 }], limits), [false]);
    // Without the second it were at 2,400 and full for 400 ms more.
    assert.deepEqual(hadRoom([200], [full, { kind: 'taken', atMs: 100, tokens: 50 }], limits), [true]);
  });

  it('computes what it would have taken if every request had asked', () => {
    const arrivals = [0, 10, 20, 30, 40, 600].map((atMs, index) => arrivalOf(index + 1, atMs));
    const asked = whenEveryRequestAsks({ arrivals, limits, fillTokens: 500, leadMs: 0, windowMs: 2000 });
    // They find 500, 990, 1,480 and 1,970; then it is full, and 1,900 later: five of the six, 2,500 tokens.
    assert.deepEqual(asked, {
      usedPercent: 125,
      ofAttainablePercent: 125,
      needlessPercent: 0,
      spilledPercent: (1 / 6) * 100,
      refusedPerAnswer: 1 / 6,
      requests: 6,
    });
  });

  it('computes with the maximum on arrival and what was used from the answer’s end', () => {
    const greedy = { ...arrivalOf(1, 0), maxTokens: 3000 };
    const plan = { limits, fillTokens: 0, leadMs: 0, windowMs: 1000 };
    const early = whenEveryRequestAsks({ ...plan, arrivals: [greedy, arrivalOf(2, answerMs(false) - 1)] });
    const late = whenEveryRequestAsks({ ...plan, arrivals: [greedy, arrivalOf(2, answerMs(false))] });
    assert.deepEqual([early.usedPercent, late.usedPercent], [50, 100]);
  });
});

describe('the arrivals of the bench', () => {
  const plan = { shape: shapes.large, load: 1.2, leadMs: 2000, windowMs: 10_000, seed: 7 };

  it('offer the load to within half a request, before and in the window', () => {
    const arrivals = planArrivals(plan);
    const sumOf = (chosen: readonly Arrival[]): number => chosen.reduce((sum, each) => sum + tokensOf(each), 0);
    assert.ok(Math.abs(sumOf(arrivals.filter(({ atMs }) => atMs >= 0)) - 480_000) <= 800);
    assert.ok(Math.abs(sumOf(arrivals.filter(({ atMs }) => atMs < 0)) - 96_000) <= 800);
  });

  it('come in order, within their time, of all sizes, and the same for the same seed', () => {
    const arrivals = planArrivals(plan);
    assert.deepEqual(planArrivals(plan), arrivals);
    assert.notDeepEqual(planArrivals({ ...plan, seed: 8 }), arrivals);
    assert.ok(arrivals.every(({ atMs }, index) => atMs >= (arrivals[index - 1]?.atMs ?? -2000) && atMs < 10_000));
    const sizes = arrivals.map(tokensOf);
    assert.ok(Math.min(...sizes) >= 400 && Math.min(...sizes) < 450, `${Math.min(...sizes)}`);
    assert.ok(Math.max(...sizes) <= 1600 && Math.max(...sizes) > 1550, `${Math.max(...sizes)}`);
  });
});

describe('the ancestor’s rule', () => {
  const backends = [
    { priority: 1, parkedUntil: 0 },
    { priority: 2, parkedUntil: 0 },
    { priority: 2, parkedUntil: 0 },
  ];
  const parked = (...until: readonly number[]) =>
    backends.map((backend, index) => ({ ...backend, parkedUntil: until[index] ?? 0 }));

  it('asks any healthy backend of the best priority', () => {
    assert.equal(
      chooseBackend(backends, 1000, () => 0.99),
      0,
    );
    assert.equal(
      chooseBackend(parked(1001), 1000, () => 0),
      1,
    );
    assert.equal(
      chooseBackend(parked(1001), 1000, () => 0.99),
      2,
    );
    assert.equal(
      chooseBackend(parked(1001, 1001), 1000, () => 0),
      2,
    );
  });

  it('asks a parked one again when its time has come', () => {
    assert.equal(
      chooseBackend(parked(1000), 1000, () => 0.99),
      0,
    );
  });

  it('asks any of all when none is healthy', () => {
    const all = [0, 0.5, 0.99].map((chance) => chooseBackend(parked(2000, 2000, 2000), 1000, () => chance));
    assert.deepEqual(all, [0, 1, 2]);
  });

  it('parks for whole seconds, and for ten when the refusal does not say', () => {
    assert.equal(parkedUntilAfter(429, '1', 500), 1500);
    assert.equal(parkedUntilAfter(503, '86400', 0), 86_400_000);
    assert.equal(parkedUntilAfter(429, undefined, 500), 10_500);
    assert.equal(parkedUntilAfter(500, 'Fri, 27 Nov 2026 16:00:00 GMT', 500), 10_500);
    assert.equal(parkedUntilAfter(429, '0.043', 500), 10_500);
  });

  it('parks nobody for an answer', () => {
    assert.deepEqual(
      [200, 400, 404].map((status) => parkedUntilAfter(status, '5', 0)),
      [undefined, undefined, undefined],
    );
  });
});

describe('the command line of the provisioned bench', () => {
  it('measures all loads, shapes and buckets unless told otherwise', () => {
    const { loads, shapes: chosen, bucketsMs } = readOptions([]);
    assert.deepEqual(
      [loads, chosen, bucketsMs],
      [
        [0.5, 0.9, 1, 1.2, 2],
        ['small', 'large'],
        [10_000, 1000],
      ],
    );
  });

  it('measures only what it is told to', () => {
    const options = readOptions(['--load', '1.2', '--load', '3', '--shape', 'large', '--bucket', '0.5']);
    assert.deepEqual([options.loads, options.shapes, options.bucketsMs], [[1.2, 3], ['large'], [500]]);
  });

  it('says everything that is wrong', () => {
    assert.throws(() => readOptions(['--load', 'much', '--shape', 'round']), /--load much[^]*--shape round/);
    assert.throws(() => readOptions(['--loads', '1']), OptionsError);
  });
});
