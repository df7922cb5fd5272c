import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import type { Acquired, Lease } from '../../../app/src/balancer/pool.ts';
import { createHold, longestWaitMs, type Hold } from '../../../app/src/proxy/hold.ts';
import { useManualTimers, type ManualTimers } from '../../support/manual-timers.ts';
import { backend, GPT, SERVED, startPool, throttled, type PoolDriver } from '../../support/pool.ts';

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

  constructor(timers: ManualTimers, backends: Parameters<typeof startPool>[0] = ['a']) {
    this.timers = timers;
    this.driver = startPool(backends);
    this.hold = createHold({ clock: this.driver.clock.now });
  }

  /** A request that may wait so long; it waits whatever the pool says, as one behind others does. */
  come(
    name: string,
    maxHoldMs: number,
    until = this.driver.clock.now(),
    { failedBy = [], spillAfterMs = 0 }: { readonly failedBy?: readonly string[]; readonly spillAfterMs?: number } = {},
  ): void {
    const { driver, hold } = this;
    const caller = new AbortController();
    this.callers.set(name, caller);
    this.cameAt.set(name, driver.clock.now());
    const deadline = driver.clock.now() + maxHoldMs;
    const spillAt = driver.clock.now() + spillAfterMs;
    const ask = { deployment: GPT, tried: new Set(failedBy), tokens: 0, isInLine: true, holdUntil: deadline, spillAt };
    void hold
      .wait({
        line: GPT,
        acquire: () => {
          const got = driver.pool.acquire(ask, driver.clock.now());
          if (got.kind !== 'wait') this.left(name);
          return got;
        },
        until,
        deadlines: spillAfterMs > 0 ? [spillAt, deadline] : [deadline],
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
    assert.equal(house.hold.serve(GPT), 1);
    house.pass(699);
    await house.turn();
    assert.deepEqual(house.names(), []);
    house.pass(1);
    await house.turn();
    assert.equal(house.lease('first').probe, true);
    assert.deepEqual([house.hold.size, house.hold.serve(GPT), timers.pending], [0, 0, 0]);
  });

  it('lets one go to see whether it is back, the others as it takes them, in the order they came', async () => {
    const house = new House(timers);
    house.driver.attempt('a', throttled(100));
    for (const name of ['1', '2', '3', '4', '5', '6']) house.come(name, 2000, house.driver.clock.now() + 100);
    house.pass(100);
    await house.turn();
    assert.deepEqual(house.names(), ['1']);
    house.driver.firstContent(house.lease('1'));
    house.hold.wake();
    await house.turn();
    // Two that may still be refused at a time, then three, while its throttle is just over.
    assert.deepEqual(house.names(), ['1', '2', '3']);
    house.driver.serve(house.lease('2'));
    house.hold.wake();
    await house.turn();
    assert.deepEqual(house.names(), ['1', '2', '3', '4', '5']);
  });

  it('lets the next go when the first was not refused in the time that a refusal takes, however slow its answer', async () => {
    const house = new House(timers);
    house.driver.attempt('a', throttled(100)); // Refused at once, so 20 ms are enough.
    for (const name of ['1', '2', '3', '4']) house.come(name, 5000, house.driver.clock.now() + 100);
    house.pass(119);
    await house.turn();
    assert.deepEqual(house.names(), ['1']);
    house.pass(1);
    await house.turn();
    assert.deepEqual(house.names(), ['1', '2', '3']);
    house.pass(20);
    await house.turn();
    assert.deepEqual(house.names(), ['1', '2', '3', '4']);
    assert.equal(house.hold.size, 0);
  });

  it('gives up at the deadline with what there is then, so that nobody waits longer than they said', async () => {
    const house = new House(timers);
    house.driver.attempt('a', throttled(100));
    for (const name of ['1', '2']) house.come(name, 110, house.driver.clock.now() + 100);
    house.pass(100);
    await house.turn();
    assert.deepEqual(house.names(), ['1']);
    // A timer may be a little early by the clock: one millisecond more.
    house.pass(11);
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

  it('serves who can be served behind one that cannot', async () => {
    const house = new House(timers, ['a', 'b']);
    house.driver.attempt('a', throttled(700));
    house.come('failed by b', 2000, house.driver.clock.now() + 700, { failedBy: ['b'] });
    house.come('plain', 2000);
    assert.equal(house.hold.serve(GPT), 1);
    await house.turn();
    assert.deepEqual(house.names(), ['plain']);
    assert.equal(house.lease('plain').backend.name, 'b');
    house.pass(700);
    await house.turn();
    assert.equal(house.lease('failed by b').backend.name, 'a');
  });

  it('looks at sixty-four who cannot be served, and no more', async () => {
    const house = new House(timers);
    const asked: number[] = [];
    const signal = new AbortController().signal;
    for (let n = 0; n < 100; n += 1) {
      const acquire = (): Acquired => {
        asked.push(n);
        return n === 50 ? { kind: 'none', why: 'missing' } : { kind: 'wait', until: 2_000_000, why: 'throttled' };
      };
      void house.hold.wait({ line: GPT, acquire, until: 2_000_000, deadlines: [3_000_000], signal });
    }
    assert.equal(house.hold.serve(GPT), 99);
    assert.deepEqual(
      asked,
      Array.from({ length: 65 }, (_, n) => n),
    );
    await house.turn();
  });

  it('is looked at when the first of all could be served, whoever came last', async () => {
    const house = new House(timers, ['a', 'b']);
    house.driver.attempt('a', throttled(40));
    house.driver.attempt('b', throttled(900));
    house.come('first', 2000, house.driver.clock.now() + 40, { failedBy: ['b'] });
    house.come('second', 2000, house.driver.clock.now() + 250, { failedBy: ['a'] });
    house.pass(40);
    await house.turn();
    assert.deepEqual(house.names(), ['first']);
  });

  it('is looked at again for the first of all, whoever stands at its end', async () => {
    const house = new House(timers, ['a', 'b']);
    house.driver.attempt('a', throttled(40));
    house.driver.attempt('b', throttled(240));
    house.come('first', 2000, undefined, { failedBy: ['b'] });
    house.come('second', 2000, undefined, { failedBy: ['a'] });
    house.hold.wake();
    house.pass(40);
    await house.turn();
    assert.deepEqual(house.names(), ['first']);
  });

  it('looks at those further behind when one of the sixty-four leaves', async () => {
    const { hold } = new House(timers);
    const callers: AbortController[] = [];
    const got: (Acquired | undefined)[] = [];
    for (let n = 0; n < 65; n += 1) {
      const caller = new AbortController();
      callers.push(caller);
      const acquire = (): Acquired =>
        n === 64 ? { kind: 'none', why: 'missing' } : { kind: 'wait', until: 2_000_000, why: 'throttled' };
      const request = { line: GPT, acquire, until: 2_000_000, deadlines: [3_000_000], signal: caller.signal };
      void hold.wait(request).then((one) => got.push(one));
    }
    assert.equal(hold.serve(GPT), 65);
    callers[0]?.abort();
    timers.advance(0);
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(got, [undefined, { kind: 'none', why: 'missing' }]);
    for (const caller of callers) caller.abort();
    assert.equal(timers.pending, 0);
  });

  it('goes to the worse priority when its time for the better is over, and waits on when that is throttled', async () => {
    const house = new House(timers, [backend('a'), backend('b', { priority: 2 })]);
    house.driver.attempt('a', throttled(300));
    house.driver.attempt('b', throttled(140));
    house.come('1', 2000, house.driver.clock.now() + 140, { spillAfterMs: 120 });
    house.pass(125);
    await house.turn();
    assert.deepEqual(house.names(), []);
    house.pass(15);
    await house.turn();
    assert.equal(house.lease('1').backend.name, 'b');
    assert.equal(house.lease('1').spilledFrom, 'a');
    assert.equal(timers.pending, 0);
  });

  it('waits for a recovery at the very deadline', async () => {
    const house = new House(timers);
    house.driver.attempt('a', throttled(700));
    house.come('first', 700, house.driver.clock.now() + 700);
    house.pass(701);
    await house.turn();
    assert.equal(house.lease('first').probe, true);
  });

  it('waits for a recovery at the very deadline when timers go off early by the clock', async () => {
    const house = new House(timers);
    house.driver.attempt('a', throttled(700));
    house.come('first', 700, house.driver.clock.now() + 700);
    for (let n = 0; n < 701; n += 1) {
      timers.advance(1);
      house.driver.clock.advance(1);
    }
    await house.turn();
    assert.equal(house.lease('first').probe, true);
  });

  it('leaves no timer behind when the last one leaves, however often it was looked at', () => {
    const house = new House(timers);
    house.driver.attempt('a', throttled(700));
    house.come('first', 2000, house.driver.clock.now() + 700);
    house.come('second', 2000, house.driver.clock.now() + 600);
    house.hold.wake();
    // Two deadlines and a look at the line.
    assert.equal(timers.pending, 3);
    for (const caller of house.callers.values()) caller.abort();
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
    const request = { line: GPT, acquire, until: 0, deadlines: [1000], signal: gone };
    assert.equal(await house.hold.wait(request), undefined);
    assert.deepEqual([house.hold.size, timers.pending], [0, 0]);
  });

  it('never loses anybody, never keeps anybody beyond their time, and is empty in the end, whatever happens', async () => {
    const step = fc.oneof(
      fc.record({
        kind: fc.constant('come' as const),
        ms: fc.integer({ min: 1, max: 400 }),
        spillAfterMs: fc.integer({ min: 0, max: 200 }),
        failedBy: fc.subarray(['a', 'b']),
      }),
      fc.record({ kind: fc.constant('pass' as const), ms: fc.integer({ min: 1, max: 200 }) }),
      fc.record({ kind: fc.constantFrom('serve' as const, 'throttle' as const, 'leave' as const), ms: fc.nat(300) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const house = new House(timers, [backend('a'), backend('b', { priority: 2 })]);
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
        for (const { kind, ms, ...more } of steps) {
          if (kind === 'come') house.come(String((came += 1)), ms, undefined, more);
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
        assert.deepEqual([house.hold.size, house.hold.serve(GPT), timers.pending], [0, 0, 0]);
        for (const [name, ms] of house.longest) assert.ok(ms <= 401, `${name} waited ${ms} ms`);
        for (const lease of open) house.driver.settle(lease, SERVED);
        assert.equal(house.driver.host('a').inFlight + house.driver.host('b').inFlight, 0);
      }),
      { numRuns: 200 },
    );
  });

  it('lasts no longer than the caller says, if it says so', () => {
    assert.equal(longestWaitMs(undefined), Number.POSITIVE_INFINITY);
    assert.equal(longestWaitMs('500'), 500);
    assert.equal(longestWaitMs('0'), 0);
    for (const text of ['', '-1', '1.5', '1e3', 'soon', '1, 2', '9'.repeat(10)]) {
      assert.equal(longestWaitMs(text), undefined, text);
    }
  });
});
