import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import type { Acquired, Lease } from '../../../app/src/balancer/pool.ts';
import { createHold, longestHoldMs, type Hold } from '../../../app/src/proxy/hold.ts';
import { useManualTimers, type ManualTimers } from '../../support/manual-timers.ts';
import { GPT, SERVED, startPool, throttled, type PoolDriver } from '../../support/pool.ts';

/** A pool and a hold under one clock, and the requests that came, in their order. */
class House {
  readonly driver: PoolDriver;
  readonly hold: Hold;
  readonly timers: ManualTimers;
  /** Names of requests, in the order in which they got something, and what that was. */
  readonly got: (readonly [name: string, got: Acquired | undefined])[] = [];
  readonly callers = new Map<string, AbortController>();
  readonly cameAt = new Map<string, number>();
  readonly longest = new Map<string, number>();

  constructor(timers: ManualTimers, backends = ['a']) {
    this.timers = timers;
    this.driver = startPool(backends);
    this.hold = createHold(this.driver.clock.now);
  }

  /** A request that may wait so long; it waits whatever the pool says, as one behind others does. */
  come(name: string, maxHoldMs: number, until = this.driver.clock.now()): void {
    const { driver, hold } = this;
    const caller = new AbortController();
    this.callers.set(name, caller);
    this.cameAt.set(name, driver.clock.now());
    const deadline = driver.clock.now() + maxHoldMs;
    const ask = { deployment: GPT, tried: new Set<string>(), tokens: 0 };
    void hold
      .wait({
        deployment: GPT,
        acquire: (patient) => {
          const now = driver.clock.now();
          const got = driver.pool.acquire(patient ? { ...ask, patient, holdUntil: deadline } : ask, now);
          if (got.kind !== 'wait') this.left(name);
          return got;
        },
        until,
        deadline,
        signal: caller.signal,
      })
      .then((got) => this.got.push([name, got]));
  }

  private left(name: string): void {
    this.longest.set(name, this.driver.clock.now() - (this.cameAt.get(name) ?? 0));
  }

  pass(ms: number): void {
    for (let n = 0; n < ms; n += 1) {
      this.driver.clock.advance(1);
      this.timers.advance(1);
    }
  }

  async turn(): Promise<void> {
    for (let n = 0; n < 4; n += 1) await Promise.resolve();
  }

  names(): readonly string[] {
    return this.got.map(([name]) => name);
  }

  lease(name: string): Lease {
    const got = this.got.find(([who]) => who === name)?.[1];
    assert.ok(got?.kind === 'lease', `${name} got ${got?.kind}`);
    return got.lease;
  }
}

describe('hold', () => {
  let timers: ManualTimers;
  beforeEach(() => {
    timers = useManualTimers();
  });
  afterEach(() => timers.restore());

  it('wakes a request at the recovery, to the millisecond, and not before', async () => {
    const house = new House(timers);
    house.driver.attempt('a', throttled(700));
    house.come('first', 2000, house.driver.clock.now() + 700);
    assert.equal(house.hold.hasWaiters(GPT), true);
    house.pass(699);
    await house.turn();
    assert.deepEqual(house.names(), []);
    house.pass(1);
    await house.turn();
    assert.equal(house.lease('first').probe, true);
    assert.deepEqual([house.hold.size, house.hold.hasWaiters(GPT), timers.pending], [0, false, 0]);
  });

  it('lets one go to see whether it is back, the others as it answers, in the order they came', async () => {
    const house = new House(timers);
    house.driver.attempt('a', throttled(100));
    for (const name of ['1', '2', '3', '4']) house.come(name, 2000, house.driver.clock.now() + 100);
    house.pass(100);
    await house.turn();
    assert.deepEqual(house.names(), ['1']);
    house.driver.firstContent(house.lease('1'));
    house.hold.wake();
    await house.turn();
    // Two at a time while it is just back, and one of them is under way.
    assert.deepEqual(house.names(), ['1', '2']);
    house.driver.serve(house.lease('2'));
    house.hold.wake();
    await house.turn();
    assert.deepEqual(house.names(), ['1', '2', '3', '4']);
  });

  it('gives up at the deadline with what there is then, so that nobody waits longer than they said', async () => {
    const house = new House(timers);
    house.driver.attempt('a', throttled(100));
    for (const name of ['1', '2']) house.come(name, 150, house.driver.clock.now() + 100);
    house.pass(100);
    await house.turn();
    assert.deepEqual(house.names(), ['1']);
    // A timer may be a little early by the clock: one millisecond more.
    house.pass(51);
    await house.turn();
    assert.deepEqual(house.names(), ['1', '2']);
    assert.equal(house.lease('2').probe, true);
  });

  it('sends away at once who would wait in vain: it was throttled again, for longer', async () => {
    const house = new House(timers);
    house.driver.attempt('a', throttled(100));
    for (const name of ['1', '2']) house.come(name, 2000, house.driver.clock.now() + 100);
    house.pass(100);
    await house.turn();
    house.driver.settle(house.lease('1'), throttled(9000));
    house.hold.wake();
    await house.turn();
    assert.deepEqual(house.names(), ['1', '2']);
    assert.deepEqual(house.got[1]?.[1], {
      kind: 'none',
      why: 'throttled',
      recoversAt: house.driver.clock.now() + 9000,
    });
  });

  it('does not send the line to a backend that is failing, while another is back in time', async () => {
    const house = new House(timers, ['a', 'b']);
    house.driver.attempt('a', throttled(700));
    house.driver.attempt('b', { kind: 'failed', status: 503, cause: 'status' });
    for (const name of ['1', '2']) house.come(name, 2000, house.driver.clock.now() + 700);
    house.hold.wake();
    await house.turn();
    assert.deepEqual(house.names(), []);
    house.pass(700);
    await house.turn();
    assert.equal(house.lease('1').backend.name, 'a');
  });

  it('takes a backend for back that has not throttled for half a second, however slowly it answers', async () => {
    const house = new House(timers);
    house.driver.attempt('a', throttled(100));
    for (const name of ['1', '2', '3', '4', '5', '6']) house.come(name, 5000, house.driver.clock.now() + 100);
    house.pass(100);
    await house.turn();
    assert.deepEqual(house.names(), ['1']);
    house.pass(550);
    await house.turn();
    assert.deepEqual(house.names(), ['1', '2', '3', '4', '5', '6']);
    assert.equal(house.hold.size, 0);
  });

  it('waits for a recovery at the very deadline', async () => {
    const house = new House(timers);
    house.driver.attempt('a', throttled(700));
    house.come('first', 700, house.driver.clock.now() + 700);
    house.pass(701);
    await house.turn();
    assert.equal(house.lease('first').probe, true);
  });

  it('leaves no timer behind when the last one leaves', () => {
    const house = new House(timers);
    house.driver.attempt('a', throttled(700));
    house.come('first', 2000, house.driver.clock.now() + 700);
    house.callers.get('first')?.abort();
    assert.deepEqual([timers.pending, house.hold.size], [0, 0]);
  });

  it('forgets a caller who left, and goes on with the next', async () => {
    const house = new House(timers);
    house.driver.attempt('a', throttled(100));
    for (const name of ['1', '2']) house.come(name, 2000, house.driver.clock.now() + 100);
    house.callers.get('1')?.abort();
    house.pass(100);
    await house.turn();
    assert.deepEqual(house.names(), ['1', '2']);
    assert.equal(house.got[0]?.[1], undefined);
    assert.equal(house.lease('2').probe, true);
    assert.equal(timers.pending, 0);
  });

  it('takes nobody in whose caller is gone already', async () => {
    const house = new House(timers);
    const gone = AbortSignal.abort();
    const acquire = (): Acquired => assert.fail('asked for nobody');
    const request = { deployment: GPT, acquire, until: 0, deadline: 1000, signal: gone };
    assert.equal(await house.hold.wait(request), undefined);
    assert.deepEqual([house.hold.size, timers.pending], [0, 0]);
  });

  it('never loses anybody, never keeps anybody beyond their time, and is empty in the end, whatever happens', async () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('come' as const), ms: fc.integer({ min: 1, max: 400 }) }),
      fc.record({ kind: fc.constant('pass' as const), ms: fc.integer({ min: 1, max: 200 }) }),
      fc.record({ kind: fc.constantFrom('serve' as const, 'throttle' as const, 'leave' as const), ms: fc.nat(300) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const house = new House(timers, ['a', 'b']);
        const open: Lease[] = [];
        let taken = 0;
        let came = 0;
        for (const name of ['a', 'b']) house.driver.attempt(name, throttled(150));
        const collect = async (): Promise<void> => {
          await house.turn();
          for (; taken < house.got.length; taken += 1) {
            const got = house.got[taken]?.[1];
            if (got?.kind === 'lease') open.push(got.lease);
          }
        };
        for (const { kind, ms } of steps) {
          if (kind === 'come') house.come(String((came += 1)), ms);
          else if (kind === 'pass') house.pass(ms);
          else if (kind === 'leave') house.callers.get(String(ms % Math.max(1, came)))?.abort();
          else {
            const lease = open.shift();
            if (lease !== undefined) house.driver.settle(lease, kind === 'serve' ? SERVED : throttled(ms));
            house.hold.wake();
          }
          await collect();
        }
        house.pass(500);
        await collect();
        assert.equal(house.got.length, came);
        assert.deepEqual([house.hold.size, house.hold.hasWaiters(GPT), timers.pending], [0, false, 0]);
        for (const [name, ms] of house.longest) assert.ok(ms <= 401, `${name} waited ${ms} ms`);
        for (const lease of open) house.driver.settle(lease, SERVED);
        assert.equal(house.driver.host('a').inFlight + house.driver.host('b').inFlight, 0);
      }),
      { numRuns: 200 },
    );
  });

  it('lasts as long as the setting says, or less where the caller says so', () => {
    assert.equal(longestHoldMs(undefined, 2000), 2000);
    assert.equal(longestHoldMs('500', 2000), 500);
    assert.equal(longestHoldMs('0', 2000), 0);
    assert.equal(longestHoldMs('999999999', 2000), 2000);
    for (const text of ['', '-1', '1.5', '1e3', 'soon', '1, 2', '9'.repeat(10)]) {
      assert.equal(longestHoldMs(text, 2000), undefined, text);
    }
  });
});
