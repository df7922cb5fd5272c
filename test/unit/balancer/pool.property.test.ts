/**
 * What must hold of the pool whatever happens in whatever order. The first group plays random histories against the
 * interface alone; the second plays the failover loop of proxy/handler.ts on it, without any network.
 */
import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import type { Standing } from '../../../app/src/balancer/circuit-breaker.ts';
import { decide, refuse, type Failure, type NoneReason } from '../../../app/src/balancer/failover.ts';
import type { Outcome } from '../../../app/src/balancer/outcome.ts';
import type { Lease } from '../../../app/src/balancer/pool.ts';
import {
  ABANDONED,
  FORBIDDEN,
  MISSING,
  RESET,
  SERVED,
  SERVER_ERROR,
  SILENT,
  UNAUTHORIZED,
  UNAVAILABLE,
  UNREACHABLE,
  UNSUPPORTED,
  backend,
  startPool,
  throttled,
  type PoolDriver,
} from '../../support/pool.ts';
import { randomFrom } from '../../../bench/random.ts';

const DEPLOYMENTS = ['x', 'y', ''];

const RETRYABLE: readonly Outcome[] = [
  throttled(),
  throttled(1),
  throttled(700),
  throttled(86_400_000),
  { kind: 'throttled', retryAfterMs: 40, inStream: true },
  MISSING,
  UNSUPPORTED,
  UNAUTHORIZED,
  FORBIDDEN,
  UNAVAILABLE,
  SERVER_ERROR,
  UNREACHABLE,
  RESET,
  SILENT,
  { kind: 'failed', cause: 'credential' },
  { kind: 'failed', cause: 'in-stream' },
  { kind: 'failed', cause: 'first-token-timeout' },
];

const EVERY_OUTCOME: readonly Outcome[] = [
  ...RETRYABLE,
  SERVED,
  ABANDONED,
  { kind: 'refused', status: 400 },
  { kind: 'broken', cause: 'reset' },
  { kind: 'failed', cause: 'stale-socket' },
];

const anyOutcome = fc.constantFrom(...EVERY_OUTCOME);
const anyMs = fc.oneof(
  fc.constantFrom(0, 1, 249, 250, 999, 1000, 5000, 10_000, 60_000, 300_000),
  fc.integer({ min: 0, max: 4000 }),
);

type Step =
  | { readonly kind: 'acquire'; readonly deployment: string; readonly tried: readonly string[] }
  | { readonly kind: 'settle'; readonly at: number; readonly outcome: Outcome }
  | { readonly kind: 'headers' | 'content'; readonly at: number }
  | { readonly kind: 'conclude'; readonly count: number; readonly answered: boolean }
  | { readonly kind: 'pass'; readonly ms: number };

const NAMES = ['a', 'b', 'c'];
const at = fc.nat({ max: 20 });

const anyStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('acquire' as const),
      deployment: fc.constantFrom(...DEPLOYMENTS),
      tried: fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, fc.subarray(NAMES)),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('settle' as const), at, outcome: anyOutcome }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('headers' as const, 'content' as const), at }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('conclude' as const), count: fc.nat({ max: 3 }), answered: fc.boolean() }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: anyMs }) },
);

/** A pool of three, of two priorities, and all that is known about the history so far. */
class History {
  readonly driver: PoolDriver;
  readonly open: Lease[] = [];
  /** How many changes had been told when a lease began. */
  readonly begunAt = new Map<number, number>();
  readonly failed500: Lease[] = [];

  constructor(seed: number) {
    const backends = ['a', backend('b', { weight: 3 }), backend('c', { priority: 2 })];
    this.driver = startPool(backends, { random: randomFrom(seed) });
  }

  play(step: Step): void {
    const { driver } = this;
    if (step.kind === 'pass') return driver.clock.advance(step.ms);
    if (step.kind === 'acquire') return this.acquire(step.tried, step.deployment);
    if (step.kind === 'conclude') {
      for (const lease of this.failed500.splice(0, step.count)) {
        this.assertLateIsNoNews(lease, () => driver.pool.conclude([lease], step.answered, driver.clock.now()));
      }
      return;
    }
    const lease = this.open[step.at % Math.max(1, this.open.length)];
    if (lease === undefined) return;
    if (step.kind === 'settle') this.settle(lease, step.outcome);
    else if (step.kind === 'headers') this.assertLateIsNoNews(lease, () => driver.headers(lease));
    else this.assertLateIsNoNews(lease, () => driver.firstContent(lease));
  }

  private acquire(tried: readonly string[], deployment: string): void {
    const { driver } = this;
    const before = new Map(NAMES.map((name) => [name, this.standingOf(name, deployment)]));
    const untried = NAMES.filter((name) => !tried.includes(name)).map((name) => before.get(name));
    const got = driver.acquire(tried, deployment);
    if (got.kind !== 'lease') {
      assert.ok(
        untried.every((how) => how === 'cooldown' || how === 'quarantined' || how === 'missing'),
        `refused while one stood as ${untried.join()}`,
      );
      return;
    }
    const { lease } = got;
    assert.ok(!tried.includes(lease.backend.name), 'a backend was repeated in a pass');
    const chosen = before.get(lease.backend.name);
    assert.ok(chosen !== 'cooldown' && chosen !== 'quarantined', `one was asked that stood as ${chosen}`);
    if (untried.includes('available')) assert.equal(chosen, 'available');
    else if (untried.includes('reserve')) assert.equal(chosen, 'reserve');
    else if (untried.includes('open')) assert.equal(chosen, 'open');
    else assert.ok([...before.values()].every((how) => how === 'missing') && tried.length === 0);
    this.open.push(lease);
    this.begunAt.set(lease.id, driver.changes.length);
  }

  settle(lease: Lease, outcome: Outcome): void {
    const { driver } = this;
    this.open.splice(this.open.indexOf(lease), 1);
    this.assertLateIsNoNews(lease, () => driver.settle(lease, outcome));
    assert.throws(() => driver.settle(lease, outcome), /settled twice/);
    if (outcome.kind === 'failed' && outcome.status === 500) this.failed500.push(lease);
  }

  assertCounts(): void {
    for (const name of NAMES) {
      const here = this.open.filter((lease) => lease.backend.name === name);
      const host = this.driver.host(name);
      assert.equal(host.inFlight, here.length);
      for (const { deployment, inFlight } of host.deployments) {
        assert.equal(inFlight, here.filter((lease) => lease.deployment === deployment).length);
      }
    }
  }

  /** A host's standing and a deployment's, whichever is stricter, as an operator reads it off the snapshot. */
  private standingOf(name: string, deployment: string): Standing {
    const order: readonly Standing[] = ['available', 'reserve', 'open', 'missing', 'cooldown', 'quarantined'];
    const host = this.driver.host(name);
    const entry = host.deployments.find((one) => one.deployment === deployment);
    const entryStanding = entry?.standing ?? 'available';
    return order.indexOf(host.standing) > order.indexOf(entryStanding) ? host.standing : entryStanding;
  }

  /** Runs what tells of this lease; a part whose state began after the lease must come out of it unchanged. */
  private assertLateIsNoNews(lease: Lease, tell: () => void): void {
    const { changes } = this.driver;
    const begun = this.begunAt.get(lease.id) ?? 0;
    const since = changes.slice(begun).filter((change) => change.backend.name === lease.backend.name);
    const hostIsNew = since.some((change) => change.deployment === undefined);
    const entryIsNew = since.some((change) => change.deployment === lease.deployment);
    const host = this.driver.host(lease.backend.name).state;
    const entry = this.driver.state(lease.backend.name, lease.deployment);
    tell();
    if (hostIsNew) assert.deepEqual(this.driver.host(lease.backend.name).state, host);
    if (entryIsNew) assert.deepEqual(this.driver.state(lease.backend.name, lease.deployment), entry);
  }
}

describe('pool: any history', () => {
  it('asks by the order of choice, refuses only for rests that time ends, repeats nobody and counts exactly', () => {
    fc.assert(
      fc.property(fc.array(anyStep, { maxLength: 120 }), fc.integer(), (steps, seed) => {
        const history = new History(seed);
        for (const step of steps) {
          history.play(step);
          history.assertCounts();
        }
        for (const lease of history.open.slice()) history.settle(lease, SERVED);
        assert.equal(history.driver.inFlight(), 0);
      }),
      { numRuns: 300 },
    );
  });

  it('asks everybody again five minutes after the last outcome', () => {
    fc.assert(
      fc.property(fc.array(anyStep, { maxLength: 60 }), fc.integer(), (steps, seed) => {
        const history = new History(seed);
        for (const step of steps) history.play(step);
        for (const lease of history.open.slice()) history.settle(lease, ABANDONED);
        history.driver.clock.advance(300_000);
        for (const deployment of DEPLOYMENTS) {
          const asked: string[] = [];
          for (const name of NAMES) {
            assert.ok(NAMES.includes(name));
            asked.push(history.driver.lease(asked, deployment).backend.name);
          }
          assert.deepEqual(asked.toSorted(), NAMES);
        }
      }),
    );
  });

  it('refuses nobody for breakers alone, however often and in whatever order they open', () => {
    const failing = fc.constantFrom(UNAVAILABLE, UNREACHABLE, RESET, SILENT, SERVER_ERROR);
    fc.assert(
      fc.property(fc.array(fc.tuple(failing, anyMs, fc.boolean()), { maxLength: 100 }), (attempts) => {
        const driver = startPool(NAMES);
        const tried: string[] = [];
        for (const [outcome, ms, isNewPass] of attempts) {
          if (isNewPass || tried.length === NAMES.length) tried.length = 0;
          const lease = driver.lease(tried);
          tried.push(lease.backend.name);
          driver.clock.advance(ms);
          driver.settle(lease, outcome);
          driver.pool.conclude([lease], true, driver.clock.now());
        }
      }),
    );
  });
});

type Served =
  | { readonly kind: 'answered'; readonly by: string; readonly asked: readonly string[] }
  | { readonly kind: 'refused'; readonly refusal: unknown; readonly asked: readonly string[] };

/** One request through the failover loop: as proxy/handler.ts does it, with `answer` for the network. */
class Request {
  readonly asked: string[] = [];
  private readonly failures: (Failure & { readonly lease: Lease })[] = [];
  private readonly tried = new Set<string>();
  private readonly driver: PoolDriver;
  private readonly deployment: string;
  private readonly answer: (name: string) => Outcome;
  private lease: Lease | undefined;
  result: Served | undefined;

  constructor(driver: PoolDriver, deployment: string, answer: (name: string) => Outcome) {
    this.driver = driver;
    this.deployment = deployment;
    this.answer = answer;
  }

  /** Sends the next attempt, or hears how the present one ended. */
  advance(): void {
    const { driver, lease } = this;
    if (this.result !== undefined) return;
    if (lease === undefined) return this.send();
    const now = driver.clock.now();
    const outcome = this.answer(lease.backend.name);
    const name = lease.backend.name;
    this.lease = undefined;
    if (outcome.kind === 'served') {
      driver.headers(lease);
      driver.firstContent(lease);
      driver.pool.conclude(this.failed500(), true, now);
      driver.settle(lease, outcome);
      this.result = { kind: 'answered', by: name, asked: this.asked };
      return;
    }
    if (!(outcome.kind === 'failed' && outcome.status === undefined)) driver.headers(lease);
    driver.settle(lease, outcome);
    this.tried.add(name);
    this.failures.push({ lease, outcome, hasAnswer: true });
    if (decide(outcome, false) === 'deliver') this.refuse('failing');
    else this.send();
  }

  private send(): void {
    const got = this.driver.pool.acquire(
      { deployment: this.deployment, tried: this.tried, tokens: 0 },
      this.driver.clock.now(),
    );
    if (got.kind === 'lease') {
      assert.ok(!this.asked.includes(got.lease.backend.name), 'a backend was asked twice in a pass');
      this.asked.push(got.lease.backend.name);
      this.lease = got.lease;
      return;
    }
    this.refuse(got.kind === 'none' ? got.why : got.why === 'priority' ? 'failing' : got.why);
  }

  private refuse(why: NoneReason): void {
    const now = this.driver.clock.now();
    this.driver.pool.conclude(this.failed500(), false, now);
    this.result = { kind: 'refused', refusal: refuse(this.failures, { why }, now), asked: this.asked };
  }

  private failed500(): readonly Lease[] {
    return this.failures
      .filter(({ outcome }) => outcome.kind === 'failed' && outcome.status === 500)
      .map(({ lease }) => lease);
  }
}

describe('pool: any outage with one healthy backend', () => {
  const names = ['a', 'b', 'c', 'd'];

  /** Requests begin and go on interleaved as `turns` says, while the clock moves. */
  function play(
    healthy: string,
    outcomes: readonly Outcome[],
    turns: readonly (readonly [number, number])[],
    priorities: readonly number[],
  ): readonly Request[] {
    const driver = startPool(
      names.map((name, index) => backend(name, { priority: priorities[index] ?? 1 })),
      { random: randomFrom(turns.length) },
    );
    let next = 0;
    const answer = (name: string): Outcome => {
      next += 1;
      return name === healthy ? SERVED : (outcomes[next % outcomes.length] ?? UNAVAILABLE);
    };
    const requests = Array.from({ length: 12 }, (_, index) => new Request(driver, index % 3 === 0 ? 'y' : 'x', answer));
    for (const [who, ms] of turns) {
      driver.clock.advance(ms);
      requests[who % requests.length]?.advance();
    }
    for (const request of requests) {
      while (request.result === undefined) request.advance();
    }
    assert.equal(driver.inFlight(), 0);
    return requests;
  }

  it('answers every request, each from the healthy one and after asking each backend at most once', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...names),
        fc.array(fc.constantFrom(...RETRYABLE), { minLength: 1, maxLength: 30 }),
        fc.array(fc.tuple(fc.nat({ max: 50 }), anyMs), { maxLength: 100 }),
        fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 4, maxLength: 4 }),
        (healthy, outcomes, turns, priorities) => {
          for (const { result, asked } of play(healthy, outcomes, turns, priorities)) {
            assert.deepEqual(result, { kind: 'answered', by: healthy, asked });
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  it('asks the healthy one alone while the others rest', () => {
    for (const healthy of names) {
      const driver = startPool(names);
      for (const name of names) if (name !== healthy) driver.attempt(name, throttled(60_000), 'x');
      for (let i = 0; i < 5; i += 1) {
        const request = new Request(driver, 'x', () => SERVED);
        while (request.result === undefined) request.advance();
        assert.deepEqual(request.result, { kind: 'answered', by: healthy, asked: [healthy] });
      }
    }
  });
});

describe('pool: any outage without a healthy backend', () => {
  it('ends every request with a refusal, after asking each backend at most once', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.constantFrom(...RETRYABLE), anyMs), { minLength: 1, maxLength: 60 }),
        (turns) => {
          const driver = startPool(NAMES);
          let next = 0;
          for (const [, ms] of turns) {
            driver.clock.advance(ms);
            const request = new Request(driver, 'x', () => {
              next += 1;
              return turns[next % turns.length]?.[0] ?? UNAVAILABLE;
            });
            let steps = 0;
            while (request.result === undefined) {
              request.advance();
              steps += 1;
              assert.ok(steps <= 2 * NAMES.length + 1);
            }
            assert.equal(request.result.kind, 'refused');
          }
          assert.equal(driver.inFlight(), 0);
        },
      ),
    );
  });
});
