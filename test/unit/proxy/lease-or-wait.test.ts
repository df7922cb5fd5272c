import assert from 'node:assert/strict';
import { Course } from '../../../app/src/proxy/course.ts';
import { createHold, type Hold } from '../../../app/src/proxy/hold.ts';
import { acquireLater, acquireNow, type NextLease } from '../../../app/src/proxy/lease-or-wait.ts';
import { useManualTimers, type ManualTimers } from '../../support/manual-timers.ts';
import { GPT, startPool, throttled, type PoolDriver } from '../../support/pool.ts';

describe('a lease, or waiting for one', () => {
  let timers: ManualTimers;
  let driver: PoolDriver;
  let hold: Hold;
  let parts: NextLease;
  beforeEach(() => {
    timers = useManualTimers();
    driver = startPool(['a']);
    hold = createHold(driver.clock.now);
    parts = { pool: driver.pool, hold, clock: driver.clock.now };
  });
  afterEach(() => timers.restore());

  function later(caller: AbortController, ms: number): ReturnType<typeof acquireLater> {
    const now = driver.clock.now();
    return acquireLater(parts, GPT, new Course(), { until: now + 100, deadline: now + ms, signal: caller.signal });
  }

  const now = (holdMs?: number, deployment = GPT): string =>
    acquireNow(parts, deployment, new Course(), holdMs === undefined ? undefined : driver.clock.now() + holdMs).kind;

  it('puts a newcomer behind a line, though a backend is free; not behind a line for something else', async () => {
    const caller = new AbortController();
    const waiting = later(caller, 2000);
    assert.equal(now(2000), 'wait');
    assert.equal(now(2000, 'other'), 'lease');
    caller.abort();
    assert.equal(await waiting, undefined);
    assert.equal(now(2000), 'lease');
  });

  it('gives who may not wait, or whose time is over, what there is', async () => {
    const caller = new AbortController();
    const waiting = later(caller, 2000);
    assert.equal(now(), 'lease');
    assert.equal(now(0), 'lease');
    caller.abort();
    await waiting;
  });

  it('lets only the first of a line go to a backend that is just back', async () => {
    driver.attempt('a', throttled(100));
    const caller = new AbortController();
    const got: string[] = [];
    const line = ['1', '2'].map((name) => later(caller, 2000).then((what) => got.push(`${name}: ${what?.kind}`)));
    for (let ms = 0; ms < 120; ms += 1) {
      driver.clock.advance(1);
      timers.advance(1);
    }
    await line[0];
    assert.deepEqual(got, ['1: lease']);
    assert.equal(hold.size, 1);
    caller.abort();
    await Promise.all(line);
  });
});
