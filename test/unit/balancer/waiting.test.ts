import assert from 'node:assert/strict';
import type { BreakerState, Cooldown, Returning, Standing } from '../../../app/src/balancer/circuit-breaker.ts';
import {
  lastMissing,
  spilledFrom,
  whyNobody,
  worthWaiting,
  type Patience,
  type Waited,
} from '../../../app/src/balancer/waiting.ts';
import { backend } from '../../support/pool.ts';

const NOW = 10_000;
const CLOSED: BreakerState = { kind: 'closed', softFailures: 0 };

function cooldown(until: number): Cooldown {
  return { kind: 'cooldown', until, recoversAt: until, times: 1, heardAfterMs: 20 };
}

/** Asked at `at` by the one that it takes for now; 40 ms later there is room. */
function returning(at: number): Returning {
  return { kind: 'returning', after: cooldown(NOW), since: NOW, window: 1, asked: [at], softFailures: 0 };
}

interface More {
  readonly priority?: number;
  readonly host?: BreakerState;
  readonly fitsAt?: number;
}

function option(name: string, standing: Standing, state: BreakerState = CLOSED, more: More = {}): Waited {
  const { priority = 1, host = CLOSED, fitsAt = NOW } = more;
  const restsUntil = 'until' in state ? state.until : 0;
  return {
    backend: backend(name, { priority }),
    standing,
    entry: { state, host: { state: host } },
    restsUntil,
    fitsAt,
  };
}

const NOBODY: ReadonlySet<string> = new Set();

function waits(all: readonly Waited[], chosen: Waited | undefined, patience: Partial<Patience>, now = NOW) {
  return worthWaiting(all, chosen, { tried: NOBODY, ...patience }, now);
}

/** In a line, with all the time in the world. */
const IN_LINE = { holdUntil: NOW + 60_000, isInLine: true };
const THROTTLED = option('a', 'cooldown', cooldown(NOW + 100));

function throttle(until: number) {
  return { until, why: 'throttled' };
}

describe('worth waiting', () => {
  it('is nothing for a request that does not wait, or whose time is over', () => {
    assert.equal(waits([THROTTLED], undefined, {}), undefined);
    assert.equal(waits([option('a', 'cooldown', cooldown(NOW))], undefined, { holdUntil: NOW }), undefined);
  });

  it('is the earliest recovery in time, looked for every 250 ms', () => {
    const far = option('b', 'cooldown', cooldown(NOW + 900));
    assert.deepEqual(waits([far, THROTTLED], undefined, { holdUntil: NOW + 100 }), throttle(NOW + 100));
    assert.deepEqual(waits([far], undefined, { holdUntil: NOW + 900 }), throttle(NOW + 250));
    assert.equal(waits([far], undefined, { holdUntil: NOW + 899 }), undefined);
  });

  it('is nothing where nobody is throttled', () => {
    assert.equal(waits([option('a', 'missing')], undefined, { holdUntil: NOW + 900 }), undefined);
  });

  it('is nothing where somebody can be asked, unless the request is in a line', () => {
    for (const standing of ['available', 'reserve', 'open'] as const) {
      const chosen = option('b', standing);
      assert.equal(waits([THROTTLED, chosen], chosen, { holdUntil: NOW + 900 }), undefined, standing);
    }
    const free = option('b', 'available');
    assert.equal(waits([THROTTLED, free], free, IN_LINE), undefined);
  });

  it('is the room of a backend that is just back, for whoever would wait; at the end of its time it goes anyway', () => {
    const chosen = option('a', 'reserve', returning(NOW));
    assert.deepEqual(waits([chosen], chosen, { holdUntil: NOW + 40 }, NOW + 1), throttle(NOW + 40));
    assert.deepEqual(waits([chosen], chosen, { holdUntil: NOW + 39 }, NOW + 1), throttle(NOW + 39));
    assert.equal(waits([chosen], chosen, {}, NOW + 1), undefined);
  });

  it('is when the quota of a backend is enough for it again', () => {
    const short = option('a', 'short', CLOSED, { fitsAt: NOW + 70 });
    assert.deepEqual(waits([short], undefined, { holdUntil: NOW + 70 }), throttle(NOW + 70));
    assert.equal(waits([short], undefined, { holdUntil: NOW + 69 }), undefined);
    assert.deepEqual(whyNobody([short, THROTTLED]), { why: 'throttled', recoversAt: NOW + 70 });
  });

  it('is nothing where it is the host that has no room, of which nobody knows when', () => {
    const state = returning(NOW - 50);
    const chosen = option('a', 'reserve', state);
    assert.equal(waits([chosen], chosen, { holdUntil: NOW + 900 }), undefined);
  });

  it('is the recovery for a line that could ask none but a failing backend, or one that is back from a failure', () => {
    const failing = option('b', 'open', { kind: 'open', until: NOW + 1000, since: NOW, times: 1 });
    assert.deepEqual(waits([THROTTLED, failing], failing, IN_LINE), throttle(NOW + 100));
    assert.equal(waits([failing], failing, IN_LINE), undefined);
    const back = option('b', 'reserve');
    assert.deepEqual(waits([THROTTLED, back], back, IN_LINE), throttle(NOW + 100));
    assert.equal(waits([back], back, IN_LINE), undefined);
  });

  it('is now where one that throttled in this pass is back before the last has refused', () => {
    const throttled = new Set(['a']);
    const patience = { holdUntil: NOW + 2000, tried: new Set(['a', 'b']), throttled };
    const far = option('b', 'cooldown', cooldown(NOW + 20_000));
    for (const standing of ['available', 'reserve'] as const) {
      assert.deepEqual(waits([option('a', standing), far], undefined, patience), throttle(NOW), standing);
    }
    assert.equal(waits([option('b', 'available'), option('a', 'open')], undefined, patience), undefined);
  });

  it('is not one that failed the request, though it is throttled as well', () => {
    assert.equal(waits([THROTTLED], undefined, { holdUntil: NOW + 900, tried: new Set(['a']) }), undefined);
  });
});

describe('worth waiting for a better priority', () => {
  const WORSE = option('b', 'available', CLOSED, { priority: 2 });
  const better = (until: number): Waited => option('a', 'cooldown', cooldown(until));

  it('is its recovery, when that is in time, to the millisecond', () => {
    const patience = { spillAt: NOW + 150 };
    assert.deepEqual(waits([better(NOW + 150), WORSE], WORSE, patience), { until: NOW + 150, why: 'priority' });
    assert.equal(waits([better(NOW + 151), WORSE], WORSE, patience), undefined);
    assert.equal(waits([better(NOW + 1), WORSE], WORSE, { spillAt: NOW }), undefined);
    assert.equal(waits([better(NOW + 1), WORSE], WORSE, {}), undefined);
  });

  it('is the room of one that is just back', () => {
    const back = option('a', 'reserve', returning(NOW));
    assert.deepEqual(waits([back, WORSE], WORSE, { spillAt: NOW + 40 }, NOW + 1), { until: NOW + 40, why: 'priority' });
    assert.equal(waits([back, WORSE], WORSE, { spillAt: NOW + 39 }, NOW + 1), undefined);
  });

  it('is the first of several, and nobody of the same priority', () => {
    const patience = { spillAt: NOW + 150 };
    const all = [better(NOW + 90), better(NOW + 80), WORSE];
    assert.deepEqual(waits(all, WORSE, patience), { until: NOW + 80, why: 'priority' });
    const same = option('c', 'cooldown', cooldown(NOW + 10), { priority: 2 });
    assert.equal(waits([same, WORSE], WORSE, patience), undefined);
  });

  it('is one that throttled the request, and none that failed it or is failing', () => {
    const tried = new Set(['a']);
    const patience = { spillAt: NOW + 150, tried };
    assert.deepEqual(waits([better(NOW + 90), WORSE], WORSE, { ...patience, throttled: tried }), {
      until: NOW + 90,
      why: 'priority',
    });
    assert.equal(waits([better(NOW + 90), WORSE], WORSE, patience), undefined);
    const open = option('a', 'open', { kind: 'open', until: NOW + 10, since: NOW, times: 1 });
    assert.equal(waits([open, WORSE], WORSE, { spillAt: NOW + 150 }), undefined);
  });

  it('is nothing for a request that nobody can take: that is for its hold to say', () => {
    assert.equal(waits([better(NOW + 90)], undefined, { spillAt: NOW + 150 }), undefined);
    assert.deepEqual(
      waits([better(NOW + 90)], undefined, { spillAt: NOW + 150, holdUntil: NOW + 90 }),
      throttle(NOW + 90),
    );
  });
});

describe('spilled from', () => {
  const WORSE = option('b', 'available', CLOSED, { priority: 3 });
  const NOT_THROTTLED = undefined;

  it('is the best one that is throttled, or throttled the request', () => {
    const middle = option('m', 'cooldown', cooldown(NOW + 9), { priority: 2 });
    assert.equal(spilledFrom([middle, THROTTLED, WORSE], WORSE, NOT_THROTTLED, NOW), 'a');
    assert.equal(spilledFrom([THROTTLED, middle, WORSE], WORSE, NOT_THROTTLED, NOW), 'a');
    assert.equal(spilledFrom([option('a', 'reserve', returning(NOW)), WORSE], WORSE, NOT_THROTTLED, NOW), 'a');
    assert.equal(spilledFrom([option('a', 'available'), WORSE], WORSE, new Set(['a']), NOW), 'a');
  });

  it('is nobody where the better ones fail, and nobody of its own priority', () => {
    assert.equal(spilledFrom([option('a', 'open'), WORSE], WORSE, NOT_THROTTLED, NOW), undefined);
    const same = option('c', 'cooldown', cooldown(NOW + 9), { priority: 3 });
    assert.equal(spilledFrom([same, WORSE], WORSE, NOT_THROTTLED, NOW), undefined);
  });
});

describe('why nobody', () => {
  for (const [why, standings] of [
    ['missing', ['missing', 'missing']],
    ['unauthorized', ['missing', 'quarantined']],
    ['failing', ['open', 'quarantined']],
  ] as const) {
    it(`is ${why} with ${standings.join(' and ')}`, () => {
      assert.deepEqual(whyNobody(standings.map((standing) => option('a', standing))), { why });
    });
  }

  it('is that they do not let us in yet, with the time of the next try, where one is new', () => {
    const quarantined = (until: number, isNew: boolean): BreakerState => ({
      kind: 'quarantined',
      since: 0,
      until,
      isNew,
    });
    const all = [
      option('a', 'quarantined', CLOSED, { host: quarantined(NOW + 1000, false) }),
      option('b', 'quarantined', CLOSED, { host: quarantined(NOW + 5000, true) }),
      option('c', 'quarantined', CLOSED, { host: quarantined(NOW + 3000, true) }),
    ];
    assert.deepEqual(whyNobody(all), { why: 'not-yet', recoversAt: NOW + 3000 });
    assert.deepEqual(whyNobody(all.slice(0, 1)), { why: 'unauthorized' });
  });

  it('is a throttle before all else, with the earliest recovery', () => {
    assert.deepEqual(whyNobody([option('b', 'open'), THROTTLED]), { why: 'throttled', recoversAt: NOW + 100 });
  });
});

describe('the last missing', () => {
  it('is the one found missing longest ago, when it is missing everywhere and nobody was asked', () => {
    const missing = [300, 100].map((until, index) =>
      option(String(index), 'missing', { kind: 'missing', until, since: 0 }),
    );
    assert.equal(lastMissing(missing, new Set())?.backend.name, '1');
    assert.equal(lastMissing(missing, new Set(['0'])), undefined);
    assert.equal(lastMissing([...missing, THROTTLED], new Set()), undefined);
  });
});
