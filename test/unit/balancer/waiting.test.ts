import assert from 'node:assert/strict';
import type { BreakerState, Rest, Standing } from '../../../app/src/balancer/circuit-breaker.ts';
import { lastMissing, whyNobody, worthWaiting, type Option } from '../../../app/src/balancer/waiting.ts';
import { backend } from '../../support/pool.ts';

const NOW = 10_000;
const CLOSED: BreakerState = { kind: 'closed', softFailures: 0 };

function cooldown(until: number): Rest {
  return { kind: 'cooldown', until, recoversAt: until, times: 1 };
}

function option(name: string, standing: Standing, state: BreakerState = CLOSED): Option {
  return { backend: backend(name), standing, entry: { state }, restsUntil: 'until' in state ? state.until : 0 };
}

/** In a line, with all the time in the world. */
const PATIENT = { holdUntil: NOW + 60_000, patient: true };
const THROTTLED = option('a', 'cooldown', cooldown(NOW + 100));

describe('worth waiting', () => {
  it('is nothing for a request that does not wait', () => {
    assert.equal(worthWaiting([THROTTLED], undefined, {}, NOW), undefined);
  });

  it('is the earliest recovery in time, looked for every 250 ms', () => {
    const far = option('b', 'cooldown', cooldown(NOW + 900));
    assert.equal(worthWaiting([far, THROTTLED], undefined, { holdUntil: NOW + 100 }, NOW), NOW + 100);
    assert.equal(worthWaiting([far], undefined, { holdUntil: NOW + 900 }, NOW), NOW + 250);
    assert.equal(worthWaiting([far], undefined, { holdUntil: NOW + 899 }, NOW), undefined);
  });

  it('is nothing where nobody is throttled', () => {
    assert.equal(worthWaiting([option('a', 'missing')], undefined, { holdUntil: NOW + 900 }, NOW), undefined);
  });

  it('is nothing where somebody can be asked, unless the request is in a line', () => {
    for (const standing of ['available', 'reserve', 'open'] as const) {
      const chosen = option('b', standing);
      assert.equal(worthWaiting([THROTTLED, chosen], chosen, { holdUntil: NOW + 900 }, NOW), undefined, standing);
    }
    const free = option('b', 'available');
    assert.equal(worthWaiting([THROTTLED, free], free, PATIENT, NOW), undefined);
  });

  it('is a while for a line whose backend is just back, half a second at most', () => {
    for (const state of [
      { kind: 'probing', after: cooldown(NOW), askedAt: NOW },
      { kind: 'recovering', after: cooldown(NOW), since: NOW, limit: 2 },
    ] as const) {
      const chosen = option('a', 'reserve', state);
      assert.equal(worthWaiting([chosen], chosen, PATIENT, NOW + 499), NOW + 549);
      assert.equal(worthWaiting([chosen], chosen, PATIENT, NOW + 500), undefined);
    }
  });

  it('is the recovery for a line that could ask none but a failing backend, or one that is back from a failure', () => {
    const failing = option('b', 'open', { kind: 'open', until: NOW + 1000, since: NOW, times: 1 });
    assert.equal(worthWaiting([THROTTLED, failing], failing, PATIENT, NOW), NOW + 100);
    assert.equal(worthWaiting([failing], failing, PATIENT, NOW), undefined);
    const back = option('b', 'reserve');
    assert.equal(worthWaiting([THROTTLED, back], back, PATIENT, NOW), NOW + 100);
    assert.equal(worthWaiting([back], back, PATIENT, NOW), undefined);
  });

  it('is now where one that throttled in this pass is back before the last has refused', () => {
    const throttled = new Set(['a']);
    const far = option('b', 'cooldown', cooldown(NOW + 20_000));
    for (const standing of ['available', 'reserve'] as const) {
      const all = [option('a', standing), far];
      assert.equal(worthWaiting(all, undefined, { holdUntil: NOW + 2000, throttled }, NOW), NOW, standing);
    }
    const failed = [option('b', 'available'), option('a', 'open')];
    assert.equal(worthWaiting(failed, undefined, { holdUntil: NOW + 2000, throttled }, NOW), undefined);
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
