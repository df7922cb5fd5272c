import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import type { Standing } from '../../../app/src/balancer/circuit-breaker.ts';
import { select, type Candidate } from '../../../app/src/balancer/selection.ts';
import { backend } from '../../support/pool.ts';
import { randomFrom } from '../../../bench/random.ts';

interface Given {
  readonly standing?: Standing;
  readonly priority?: number;
  readonly weight?: number;
  readonly inFlight?: number;
  readonly failedAt?: number;
  readonly rank?: number;
  readonly affinity?: number;
}

function candidate(name: string, given: Given = {}): Candidate {
  const {
    standing = 'available',
    priority = 1,
    weight = 1,
    inFlight = 0,
    failedAt = 0,
    rank = 0.5,
    affinity = 0,
  } = given;
  return { backend: backend(name, { priority, weight }), standing, inFlight, failedAt, rank, affinity };
}

function chosen(candidates: readonly Candidate[], random: () => number = () => 0): string | undefined {
  return select(candidates, random)?.backend.name;
}

/** The better one wins wherever it stands. */
function assertBeats(better: Candidate, worse: Candidate): void {
  assert.equal(chosen([better, worse]), better.backend.name);
  assert.equal(chosen([worse, better]), better.backend.name);
}

describe('selection: order of choice', () => {
  it('prefers an available backend to a reserve, and a reserve to an open one, whatever their priority and load', () => {
    const available = candidate('available', { priority: 9, inFlight: 100 });
    const reserve = candidate('reserve', { standing: 'reserve', priority: 5, inFlight: 50 });
    const open = candidate('open', { standing: 'open', priority: 1 });
    assertBeats(available, reserve);
    assertBeats(reserve, open);
    assertBeats(available, open);
  });

  it('prefers the lower priority number, whatever the load', () => {
    assertBeats(candidate('first', { priority: 1, inFlight: 100 }), candidate('second', { priority: 2 }));
  });

  it('prefers the one that has more of the key, whatever the rank and the load, and no key to a priority', () => {
    assertBeats(candidate('a', { affinity: 2, rank: 0.9, inFlight: 9 }), candidate('b', { affinity: 1, rank: 0.1 }));
    assertBeats(candidate('a', { affinity: 1 }), candidate('b', { affinity: 2, priority: 2 }));
    assertBeats(candidate('a', { affinity: 1 }), candidate('b', { affinity: 2, standing: 'reserve' }));
  });

  it('prefers the lower rank, whatever the load, and no rank to a priority', () => {
    assertBeats(candidate('a', { rank: 0.1, inFlight: 9 }), candidate('b', { rank: 0.2 }));
    assertBeats(candidate('a', { rank: 0.9 }), candidate('b', { rank: 0.1, priority: 2 }));
  });

  it('asks nobody whose quota is not enough', () => {
    assert.equal(chosen([candidate('a', { standing: 'short' })]), undefined);
  });

  it('prefers the smaller load for its weight', () => {
    assertBeats(candidate('idle'), candidate('busy', { inFlight: 1 }));
    assertBeats(candidate('big', { inFlight: 3, weight: 4 }), candidate('small', { inFlight: 1, weight: 1 }));
  });

  it('tries the least recently failed of the open ones, whatever their priority', () => {
    assertBeats(
      candidate('long ago', { standing: 'open', priority: 9, inFlight: 5, failedAt: 10 }),
      candidate('just now', { standing: 'open', priority: 1, failedAt: 11 }),
    );
  });

  it('orders open ones that failed at the same time by priority, then load', () => {
    assertBeats(candidate('a', { standing: 'open', priority: 1 }), candidate('b', { standing: 'open', priority: 2 }));
    assertBeats(candidate('a', { standing: 'open' }), candidate('b', { standing: 'open', inFlight: 1 }));
  });

  it('does not look at old failures of those that are not open', () => {
    assertBeats(candidate('a', { failedAt: 99 }), candidate('b', { inFlight: 1, failedAt: 1 }));
    assertBeats(
      candidate('a', { standing: 'reserve', failedAt: 99 }),
      candidate('b', { standing: 'reserve', inFlight: 1, failedAt: 1 }),
    );
  });

  it('never chooses one that is cooling down, quarantined or missing', () => {
    const resting = (['cooldown', 'quarantined', 'missing'] as const).map((standing) =>
      candidate(standing, { standing }),
    );
    assert.equal(chosen(resting), undefined);
    assert.equal(chosen([...resting, candidate('open', { standing: 'open' }), ...resting]), 'open');
  });

  it('chooses nobody of nobody', () => {
    assert.equal(chosen([]), undefined);
  });
});

describe('selection: ties', () => {
  it('does not roll the dice for a single best one', () => {
    assert.equal(
      chosen([candidate('a'), candidate('b', { priority: 2 })], () => assert.fail('rolled')),
      'a',
    );
  });

  it('shares by weight', () => {
    const random = randomFrom(7);
    const weights = { a: 1, b: 3, c: 6 };
    const candidates = Object.entries(weights).map(([name, weight]) => candidate(name, { weight }));
    const counts = new Map<string, number>();
    const rounds = 20_000;
    for (let i = 0; i < rounds; i += 1) {
      const name = chosen(candidates, random) ?? '';
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    for (const [name, weight] of Object.entries(weights)) {
      const share = (counts.get(name) ?? 0) / rounds;
      assert.ok(Math.abs(share - weight / 10) < 0.015, `${name} has ${share}`);
    }
  });

  it('draws the line between shares exactly', () => {
    const candidates = [candidate('a', { weight: 1 }), candidate('b', { weight: 3 })];
    assert.equal(
      chosen(candidates, () => 0),
      'a',
    );
    assert.equal(
      chosen(candidates, () => 0.249_999),
      'a',
    );
    assert.equal(
      chosen(candidates, () => 0.25),
      'b',
    );
    assert.equal(
      chosen(candidates, () => 1 - 2 ** -53),
      'b',
    );
  });

  it('gives the last one what rounding leaves over', () => {
    const candidates = [
      candidate('a', { weight: 0.1 }),
      candidate('b', { weight: 0.2 }),
      candidate('c', { weight: 0.3 }),
    ];
    // 0.1 + 0.2 + 0.3 sums to more than 0.6: taking the weights off again one by one leaves more than nothing.
    assert.equal(
      chosen(candidates, () => 1),
      'c',
    );
  });

  it('chooses the best one by every rule, however many there are', () => {
    const given = fc.record({
      standing: fc.constantFrom<Standing>('available', 'reserve', 'open', 'missing', 'cooldown', 'quarantined'),
      priority: fc.integer({ min: 0, max: 2 }),
      weight: fc.integer({ min: 1, max: 3 }),
      inFlight: fc.integer({ min: 0, max: 3 }),
      failedAt: fc.integer({ min: 0, max: 3 }),
    });
    const rank = ['available', 'reserve', 'open'];
    fc.assert(
      fc.property(fc.array(given, { maxLength: 8 }), fc.double({ min: 0, max: 0.999, noNaN: true }), (all, point) => {
        const got = select(
          all.map((one, index) => candidate(String(index), one)),
          () => point,
        );
        const askable = all.filter((one) => rank.includes(one.standing));
        if (got === undefined) return assert.equal(askable.length, 0);
        for (const other of askable) {
          assert.ok(rank.indexOf(got.standing) <= rank.indexOf(other.standing));
          if (got.standing !== other.standing) continue;
          if (got.standing === 'open') {
            assert.ok(got.failedAt <= other.failedAt);
            if (got.failedAt !== other.failedAt) continue;
          }
          assert.ok(got.backend.priority <= other.priority);
          if (got.backend.priority !== other.priority) continue;
          assert.ok(got.inFlight / got.backend.weight <= other.inFlight / other.weight);
        }
      }),
    );
  });
});
