import assert from 'node:assert/strict';
import type { Acquired } from '../../../app/src/balancer/pool.ts';
import { Course } from '../../../app/src/proxy/course.ts';
import { createHold, type Hold } from '../../../app/src/proxy/hold.ts';
import { Crowds, nextLease, Patience, type NextLease } from '../../../app/src/proxy/lease-or-wait.ts';
import { useManualTimers, type ManualTimers } from '../../support/manual-timers.ts';
import { backend, GPT, startPool, throttled, type PoolDriver } from '../../support/pool.ts';

describe('a lease, or waiting for one', () => {
  let timers: ManualTimers;
  let driver: PoolDriver;
  let hold: Hold;
  let parts: NextLease;
  let caller: AbortController;
  beforeEach(() => {
    timers = useManualTimers();
    start(['a']);
  });
  afterEach(() => timers.restore());

  function start(backends: Parameters<typeof startPool>[0]): void {
    driver = startPool(backends);
    hold = createHold({ clock: driver.clock.now });
    caller = new AbortController();
    parts = { pool: driver.pool, hold, clock: driver.clock.now, lineOf: (name) => name, crowds: new Crowds() };
  }

  function next(
    waits: { readonly holdMs?: number; readonly priorityMs?: number },
    deployment = GPT,
    course = new Course('r-1'),
  ): ReturnType<typeof nextLease> {
    const patience = new Patience({ holdMs: 0, priorityMs: 0, ...waits });
    return nextLease(parts, { deployment, tokens: 0 }, course, patience, caller.signal);
  }

  function kindOf(got: ReturnType<typeof nextLease>): string {
    return got instanceof Promise ? 'waits' : got.kind;
  }

  function pass(ms: number): void {
    for (let n = 0; n < ms; n += 1) {
      driver.clock.advance(1);
      timers.advance(1);
    }
  }

  it('is given at once where there is one', () => {
    assert.equal(kindOf(next({ holdMs: 2000, priorityMs: 150 })), 'lease');
  });

  it('gives a newcomer what those who came before leave, and what is in no line at once', async () => {
    driver.attempt('a', throttled(100));
    const waiting = next({ holdMs: 2000 });
    pass(99);
    driver.clock.advance(1); // The line has not been looked at yet.
    assert.equal(kindOf(next({ holdMs: 2000 })), 'waits');
    assert.equal((await waiting)?.kind, 'lease');
    assert.equal(kindOf(next({ holdMs: 2000 }, 'other')), 'lease');
    caller.abort();
    assert.equal(hold.size, 0);
  });

  it('gives who would not wait what there is', async () => {
    driver.attempt('a', throttled(100));
    const waiting = next({ holdMs: 2000 });
    driver.clock.advance(100);
    assert.equal(kindOf(next({})), 'lease');
    caller.abort();
    await waiting;
  });

  it('sends away at once who would wait in vain behind others', async () => {
    driver.attempt('a', throttled(1000));
    const waiting = next({ holdMs: 2000 });
    assert.equal(kindOf(next({ holdMs: 999 })), 'none');
    caller.abort();
    await waiting;
  });

  it('tells the trace how long it waited, and tries again who throttled it', async () => {
    driver.attempt('a', throttled(100));
    const course = new Course('r-1');
    course.tried.add('a');
    course.throttled.add('a');
    const waiting = next({ holdMs: 2000 }, GPT, course);
    pass(100);
    assert.equal((await waiting)?.kind, 'lease');
    assert.equal(course.trace(), 'held=100ms');
    assert.equal(course.tried.size, 0);
  });

  it('is no longer waited for than the request would be held in all, whatever it waited for', async () => {
    start([backend('ptu'), backend('paygo', { priority: 2 })]);
    const patience = new Patience({ holdMs: 300, priorityMs: 150 });
    const course = new Course('r-1');
    const nextOne = (): ReturnType<typeof nextLease> =>
      nextLease(parts, { deployment: GPT, tokens: 0 }, course, patience, caller.signal);
    driver.attempt('ptu', throttled(140));
    const waiting = nextOne();
    pass(140);
    const got = await waiting;
    assert.ok(got?.kind === 'lease');
    driver.settle(got.lease, throttled(9000));
    course.add(got.lease, throttled(9000), undefined);
    driver.attempt('paygo', throttled(161));
    // In 301 ms from its first waiting on.
    const { kind } = (await nextOne()) ?? {};
    assert.equal(kind, 'none');
  });

  it('is for nobody of a priority that could not serve it, in a line either', async () => {
    start([backend('small'), backend('large', { priority: 2 })]);
    driver.attempt('large', throttled(100));
    const course = new Course('r-1');
    course.worseThan = 1;
    const waiting = next({ holdMs: 2000 }, GPT, course);
    hold.wake();
    assert.equal(hold.size, 1);
    pass(100);
    const got = await waiting;
    assert.ok(got?.kind === 'lease');
    assert.equal(got.lease.backend.name, 'large');
  });

  it('is waited for up to the deadlines in their order, whichever is first', async () => {
    start([backend('ptu'), backend('paygo', { priority: 2 })]);
    driver.attempt('ptu', throttled(50));
    const now = driver.clock.now();
    const seen: (readonly number[])[] = [];
    const wait: Hold['wait'] = ({ deadlines }) => {
      seen.push(deadlines);
      return Promise.resolve(undefined);
    };
    parts = { ...parts, hold: { ...hold, wait } };
    await next({ holdMs: 100, priorityMs: 150 });
    await next({ holdMs: 2000, priorityMs: 150 });
    await next({ priorityMs: 150 });
    assert.deepEqual(seen, [[now + 100, now + 150], [now + 150, now + 2000], [now + 150]]);
  });

  describe('of a better priority', () => {
    beforeEach(() => start([backend('ptu'), backend('paygo', { priority: 2 })]));

    function nameOf(got: Acquired | undefined): string | undefined {
      return got?.kind === 'lease' ? got.lease.backend.name : got?.kind;
    }

    it('is waited for when it is back in time, whatever may be held', async () => {
      driver.attempt('ptu', throttled(43));
      const waiting = next({ priorityMs: 150 });
      pass(42);
      assert.equal(hold.size, 1);
      pass(1);
      assert.equal(nameOf(await waiting), 'ptu');
    });

    it('is not waited for when it is back later: the request is spilled at once', async () => {
      driver.attempt('ptu', throttled(151));
      const got = await next({ priorityMs: 150 });
      assert.ok(got?.kind === 'lease');
      assert.equal(got.lease.backend.name, 'paygo');
      assert.equal(got.lease.spilledFrom, 'ptu');
    });

    it('is waited for by one at a time, for a second, when somebody waited in vain', async () => {
      driver.attempt('ptu', throttled(100));
      const first = next({ priorityMs: 150 });
      const second = next({ priorityMs: 150 });
      pass(100);
      const got = await first;
      assert.ok(got?.kind === 'lease');
      driver.settle(got.lease, throttled(140));
      hold.wake();
      pass(51);
      assert.equal(nameOf(await second), 'paygo');
      // 89 ms are left to the recovery.
      const only = next({ priorityMs: 150 });
      assert.equal(kindOf(only), 'waits');
      assert.equal(nameOf(await next({ priorityMs: 150 })), 'paygo');
      assert.equal(hold.serve(GPT), 1);
      pass(89);
      assert.equal(nameOf(await only), 'ptu');
      pass(1000);
      driver.attempt('ptu', throttled(100));
      const [one, other] = [next({ priorityMs: 150 }), next({ priorityMs: 150 })];
      assert.deepEqual([kindOf(one), kindOf(other)], ['waits', 'waits']);
      caller.abort();
      await one;
      await other;
    });

    it('was waited for in vain by those who went to the worse after all, and by nobody else', async () => {
      const isCrowded = (): boolean => parts.crowds.isCrowded(GPT, driver.clock.now());
      driver.attempt('ptu', throttled(43));
      const served = next({ priorityMs: 150 });
      pass(43);
      assert.equal(nameOf(await served), 'ptu');
      assert.equal(isCrowded(), false);
      // Throttled both: it waits for whoever is back first.
      pass(1000);
      driver.attempt('ptu', throttled(9000));
      driver.attempt('paygo', throttled(100));
      const held = next({ holdMs: 2000, priorityMs: 150 });
      pass(100);
      const got = await held;
      assert.ok(got?.kind === 'lease');
      assert.deepEqual([got.lease.backend.name, got.lease.spilledFrom], ['paygo', 'ptu']);
      assert.equal(isCrowded(), false);
      // Longer than it said.
      start([backend('ptu'), backend('paygo', { priority: 2 })]);
      driver.attempt('ptu', throttled(43));
      const [first, spilled] = [next({ priorityMs: 150 }), next({ priorityMs: 150 })];
      pass(43);
      const probe = await first;
      assert.ok(probe?.kind === 'lease');
      driver.settle(probe.lease, throttled(9000));
      hold.wake();
      assert.equal(nameOf(await spilled), 'paygo');
      assert.equal(isCrowded(), true);
    });

    it('is waited for so long in all, however often it throttles the request', async () => {
      const patience = new Patience({ holdMs: 0, priorityMs: 150 });
      const course = new Course('r-1');
      const took: string[] = [];
      const began = driver.clock.now();
      driver.attempt('ptu', throttled(40));
      for (let n = 0; n < 20 && took.at(-1) !== 'paygo'; n += 1) {
        const waiting = nextLease(parts, { deployment: GPT, tokens: 0 }, course, patience, caller.signal);
        pass(40);
        const got = await waiting;
        assert.ok(got?.kind === 'lease');
        took.push(got.lease.backend.name);
        if (took.at(-1) === 'ptu') {
          driver.settle(got.lease, throttled(40));
          course.add(got.lease, throttled(40), undefined);
          patience.throttled();
        }
      }
      assert.deepEqual(took, ['ptu', 'ptu', 'ptu', 'paygo']);
      assert.ok(driver.clock.now() - began <= 160 + 40);
    });
  });
});

describe('patience', () => {
  it('runs from the first waiting, for whatever, and is over when it was throttled eight times after waiting', () => {
    const patience = new Patience({ holdMs: 2000, priorityMs: 150 });
    assert.deepEqual(patience.at(1000), { holdUntil: 3000, spillAt: 1150 });
    patience.begin(1000);
    patience.begin(1200);
    for (let n = 0; n < 8; n += 1) {
      assert.deepEqual(patience.at(1300), { holdUntil: 3000, spillAt: 1150 });
      patience.throttled();
    }
    assert.deepEqual(patience.at(1400), {});
  });

  it('counts no throttle before it waited', () => {
    const patience = new Patience({ holdMs: 2000, priorityMs: 150 });
    for (let n = 0; n < 20; n += 1) patience.throttled();
    assert.deepEqual(patience.at(1000), { holdUntil: 3000, spillAt: 1150 });
  });

  it('has nothing left for a better priority once it is spilled', () => {
    const patience = new Patience({ holdMs: 2000, priorityMs: 150 });
    patience.spill();
    assert.deepEqual(patience.at(1000), { holdUntil: 3000 });
  });

  it('is none where there is none', () => {
    assert.deepEqual(new Patience({ holdMs: 0, priorityMs: 0 }).at(1000), {});
  });
});
