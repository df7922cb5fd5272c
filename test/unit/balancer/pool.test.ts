import assert from 'node:assert/strict';
import type { Outcome } from '../../../app/src/balancer/outcome.ts';
import { createPool, type Acquired, type Ask, type Lease, type LimitChange } from '../../../app/src/balancer/pool.ts';
import {
  ABANDONED,
  FORBIDDEN,
  GPT,
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

function leases(driver: PoolDriver, count: number): readonly Lease[] {
  return Array.from({ length: count }, () => driver.lease());
}

describe('pool: is there another than the one that is slow?', () => {
  function hasOther(driver: PoolDriver, lease: Lease, tried: readonly string[] = [], worseThan?: number): boolean {
    const ask = {
      deployment: GPT,
      tokens: 0,
      tried: new Set(tried),
      ...(worseThan === undefined ? {} : { worseThan }),
    };
    return driver.pool.hasOther(lease, ask, driver.clock.now());
  }

  it('is when it may be asked, of whatever priority', () => {
    const driver = startPool(['a', backend('b', { priority: 2 })]);
    const lease = driver.lease();
    assert.equal(hasOther(driver, lease), true);
    assert.equal(hasOther(driver, lease, ['b']), false);
    assert.equal(hasOther(driver, lease, [], 2), false);
  });

  it('is not when it rests, or does not serve the deployment', () => {
    const driver = startPool(['a', 'b', backend('c', { deployments: new Map([['other', 'other']]) })]);
    driver.attempt('b', throttled(1000));
    const lease = driver.lease();
    assert.equal(lease.backend.name, 'a');
    assert.equal(hasOther(driver, lease), false);
    driver.clock.advance(1000);
    assert.equal(hasOther(driver, lease), true);
  });

  it('is when it has as many on their way as it should, for it takes one more', () => {
    const driver = startPool(['a', 'b']);
    const lease = driver.lease();
    driver.attempt('b', throttled(1000));
    driver.clock.advance(1000);
    driver.lease(['a']);
    assert.equal(driver.entry('b').state.kind, 'returning');
    assert.equal(hasOther(driver, lease), true);
  });
});

describe('pool: leases', () => {
  it('lends the backend, the deployment as sent upstream and the time', () => {
    const driver = startPool([backend('a', { deployments: new Map([['chat', 'gpt-eu']]) })]);
    const lease = driver.lease([], 'chat');
    assert.equal(lease.backend.name, 'a');
    assert.equal(lease.deployment, 'gpt-eu');
    assert.equal(lease.startedAt, driver.clock.now());
    assert.equal(lease.probe, false);
  });

  it('numbers every lease differently', () => {
    const driver = startPool(['a', 'b']);
    assert.equal(new Set(leases(driver, 20).map((lease) => lease.id)).size, 20);
  });

  it('counts what is in flight by backend and by deployment, until it is settled', () => {
    const driver = startPool(['a']);
    const first = driver.lease([], 'x');
    const second = driver.lease([], 'y');
    const third = driver.lease([], 'y');
    assert.deepEqual(
      [driver.host('a').inFlight, driver.entry('a', 'x').inFlight, driver.entry('a', 'y').inFlight],
      [3, 1, 2],
    );
    driver.settle(second, SERVED);
    assert.deepEqual(
      [driver.host('a').inFlight, driver.entry('a', 'x').inFlight, driver.entry('a', 'y').inFlight],
      [2, 1, 1],
    );
    driver.settle(first, UNREACHABLE);
    driver.settle(third, ABANDONED);
    assert.equal(driver.inFlight(), 0);
  });

  it('throws when a lease is settled twice, and counts it once', () => {
    const driver = startPool(['a']);
    const lease = driver.lease();
    driver.settle(lease, SERVED);
    assert.throws(() => driver.settle(lease, SERVED), /settled twice/);
    assert.throws(() => driver.settle(lease, ABANDONED), /settled twice/);
    assert.equal(driver.inFlight(), 0);
  });

  it('looks away from what is seen of a lease that is settled', () => {
    const driver = startPool(['a']);
    const lease = driver.lease();
    driver.settle(lease, UNAVAILABLE);
    driver.firstContent(lease);
    assert.equal(driver.state('a').kind, 'open');
  });

  it('takes a lease of an unknown outcome back, too', () => {
    const driver = startPool(['a']);
    driver.settle(driver.lease(), JSON.parse('{"kind":"future"}'));
    driver.settle(driver.lease(), JSON.parse('{"kind":"failed","cause":"future"}'));
    assert.equal(driver.inFlight(), 0);
    assert.deepEqual(driver.state('a'), { kind: 'closed', softFailures: 0 });
  });

  it('balances by load over weight, and ties by weighted chance', () => {
    const driver = startPool([backend('a', { weight: 1 }), backend('b', { weight: 3 })], { random: () => 0.5 });
    const names = leases(driver, 8).map((lease) => lease.backend.name);
    assert.equal(names.filter((name) => name === 'b').length, 6);
  });

  it('counts the load of the asked deployment only', () => {
    const driver = startPool(['a', 'b']);
    driver.lease(['b'], 'x');
    driver.lease(['b'], 'x');
    assert.equal(driver.lease([], 'y').backend.name, 'a');
    assert.equal(driver.lease([], 'x').backend.name, 'b');
  });

  it('asks a lower priority only when no higher one is available', () => {
    const driver = startPool([backend('far', { priority: 2 }), 'near']);
    for (const lease of leases(driver, 5)) assert.equal(lease.backend.name, 'near');
    driver.attempt('near', throttled(1000));
    assert.equal(driver.lease().backend.name, 'far');
    driver.clock.advance(1000);
    assert.equal(driver.lease().backend.name, 'near');
  });

  it('never lends a backend that was tried in this pass', () => {
    const driver = startPool(['a', 'b']);
    assert.equal(driver.lease(['a']).backend.name, 'b');
    assert.equal(driver.acquire(['a', 'b']).kind, 'none');
  });

  it('lends only backends that serve the deployment', () => {
    const driver = startPool([backend('a', { deployments: new Map([['chat', 'gpt']]) }), 'b']);
    assert.equal(driver.lease([], 'chat').backend.name, 'a');
    assert.equal(driver.lease([], 'embedding').backend.name, 'b');
    assert.equal(driver.acquire(['b'], 'embedding').kind, 'none');
  });

  it('maps names by the aliases', () => {
    const driver = startPool(['a'], { aliases: new Map([['chat', 'gpt-5.4-mini']]) });
    assert.equal(driver.lease([], 'chat').deployment, 'gpt-5.4-mini');
  });

  it('lends every backend for a request that names no deployment', () => {
    const driver = startPool([backend('a', { deployments: new Map([['chat', 'gpt']]) })]);
    assert.equal(driver.lease([], '').deployment, '');
  });
});

describe('pool: throttles', () => {
  it('rests the throttled deployment at that backend, not its others and not the host', () => {
    const driver = startPool(['a']);
    driver.attempt('a', throttled(5000));
    assert.equal(driver.standing('a'), 'cooldown');
    assert.equal(driver.host('a').standing, 'available');
    assert.equal(driver.lease([], 'other').backend.name, 'a');
  });

  it('refuses with the earliest recovery while all are cooling down, to the millisecond', () => {
    const driver = startPool(['a', 'b']);
    driver.attempt('a', throttled(5000));
    driver.attempt('b', throttled(1500));
    const at = driver.clock.now();
    assert.deepEqual(driver.acquire(), { kind: 'none', why: 'throttled', recoversAt: at + 1500 });
    driver.clock.advance(1499);
    assert.deepEqual(driver.acquire(), { kind: 'none', why: 'throttled', recoversAt: at + 1500 });
    driver.clock.advance(1);
    assert.deepEqual(driver.acquire(['b']), { kind: 'none', why: 'throttled', recoversAt: at + 5000 });
    const lease = driver.lease();
    assert.equal(lease.backend.name, 'b');
    assert.equal(lease.probe, true);
  });

  it('tells the recovery that the backend gave, and probes after a minute', () => {
    const driver = startPool(['a']);
    driver.attempt('a', throttled(86_400_000));
    const at = driver.clock.now();
    assert.deepEqual(driver.acquire(), { kind: 'none', why: 'throttled', recoversAt: at + 86_400_000 });
    driver.clock.advance(60_000);
    assert.equal(driver.lease().probe, true);
  });

  it('says throttled although others fail, are missing or quarantined', () => {
    const driver = startPool(['a', 'b', 'c', 'd']);
    driver.attempt('a', throttled(5000));
    driver.attempt('b', MISSING);
    driver.attempt('c', UNAUTHORIZED);
    driver.attempt('d', UNAVAILABLE);
    assert.deepEqual(driver.acquire(['d']), { kind: 'none', why: 'throttled', recoversAt: driver.clock.now() + 5000 });
  });

  it('tells no recovery of a backend that is quarantined: waiting for it does not help', () => {
    const driver = startPool(['a']);
    const first = driver.lease();
    const second = driver.lease();
    driver.settle(first, throttled(5000));
    driver.settle(second, UNAUTHORIZED);
    assert.deepEqual(driver.acquire(), { kind: 'none', why: 'unauthorized' });
  });

  it('tells which status refused our credential', () => {
    const driver = startPool(['openai1']);
    driver.attempt('openai1', { kind: 'unauthorized', scope: 'host', status: 403 });
    assert.deepEqual(
      driver.changes.map(({ to, reason }) => [to.kind, reason]),
      [['quarantined', '403']],
    );
  });

  it('doubles once for fifty simultaneous 429s', () => {
    const driver = startPool(['a']);
    for (const lease of leases(driver, 50)) driver.settle(lease, throttled());
    const first = driver.clock.now();
    assert.deepEqual(driver.state('a'), {
      kind: 'cooldown',
      until: first + 1000,
      recoversAt: first + 1000,
      times: 1,
      heardAfterMs: 0,
    });
    driver.clock.advance(1000);
    for (const lease of leases(driver, 50)) driver.settle(lease, throttled());
    const second = driver.clock.now();
    assert.deepEqual(driver.state('a'), {
      kind: 'cooldown',
      until: second + 2000,
      recoversAt: second + 2000,
      times: 2,
      heardAfterMs: 0,
    });
    assert.equal(driver.inFlight(), 0);
  });

  it('keeps the wait of the first of simultaneous 429s', () => {
    const driver = startPool(['a']);
    const [first, second] = leases(driver, 2);
    assert.ok(first !== undefined && second !== undefined);
    driver.settle(first, throttled(3000));
    const at = driver.clock.now();
    driver.clock.advance(10);
    driver.settle(second, throttled(9000));
    assert.deepEqual(driver.state('a'), {
      kind: 'cooldown',
      until: at + 3000,
      recoversAt: at + 3000,
      times: 0,
      heardAfterMs: 0,
    });
  });

  it('is not cleared by an answer to a request that began before the cooldown', () => {
    const driver = startPool(['a']);
    const [throttledLease, slow] = leases(driver, 2);
    assert.ok(throttledLease !== undefined && slow !== undefined);
    driver.settle(throttledLease, throttled(3000));
    driver.serve(slow);
    assert.equal(driver.standing('a'), 'cooldown');
  });

  it('lends a cooling one never, and an open one as the last resort', () => {
    const driver = startPool(['a', 'b']);
    driver.attempt('a', throttled(500));
    driver.attempt('b', UNAVAILABLE);
    assert.equal(driver.lease().backend.name, 'b');
  });
});

describe('pool: probe and ramp', () => {
  it('sends one, and two more when it was not refused for twice as long as its last 429 took', () => {
    const driver = startPool(['a', 'b']);
    const refused = driver.lease(['b']);
    driver.clock.advance(40);
    driver.settle(refused, throttled(1000));
    driver.clock.advance(1000);
    const probe = driver.lease();
    assert.deepEqual([probe.backend.name, probe.probe], ['a', true]);
    for (const lease of leases(driver, 9)) assert.equal(lease.backend.name, 'b');
    driver.clock.advance(79);
    assert.equal(driver.lease().backend.name, 'b');
    driver.clock.advance(1);
    assert.deepEqual(
      leases(driver, 3).map((lease) => [lease.backend.name, lease.probe]),
      [
        ['a', false],
        ['a', false],
        ['b', false],
      ],
    );
  });

  it('uses one that is being probed when nobody is available', () => {
    const driver = startPool(['a']);
    driver.attempt('a', throttled(1000));
    driver.clock.advance(1000);
    for (const lease of leases(driver, 3)) assert.equal(lease.backend.name, 'a');
  });

  it('hears the first probe although a second followed', () => {
    const driver = startPool(['a']);
    driver.attempt('a', throttled(1000));
    driver.clock.advance(1000);
    const probe = driver.lease();
    driver.clock.advance(19);
    driver.lease();
    driver.firstContent(probe);
    const { state } = driver.entry('a');
    assert.ok(state.kind === 'returning' && state.window === 2);
  });

  it('learns the success of a probe at the first content, not at the headers and not only at the end', () => {
    const driver = startPool(['a']);
    driver.attempt('a', UNAVAILABLE);
    driver.clock.advance(1000);
    const probe = driver.lease();
    driver.headers(probe);
    assert.equal(driver.state('a').kind, 'probing');
    driver.firstContent(probe);
    assert.equal(driver.state('a').kind, 'recovering');
    assert.equal(driver.entry('a').inFlight, 1);
  });

  it('lets two in at a time after the probe, and one more with every answer', () => {
    const driver = startPool(['a', backend('b', { priority: 2 })]);
    driver.attempt('a', UNAVAILABLE);
    driver.clock.advance(1000);
    driver.serve(driver.lease());
    assert.deepEqual(limitOf(driver), 2);
    const round = [driver.lease(), driver.lease()];
    assert.deepEqual(
      round.map((lease) => lease.backend.name),
      ['a', 'a'],
    );
    assert.equal(driver.lease().backend.name, 'b');
    for (const [index, lease] of round.entries()) {
      driver.serve(lease);
      assert.equal(limitOf(driver), 3 + index);
    }
    const next = leases(driver, 5).map((lease) => lease.backend.name);
    assert.deepEqual(next, ['a', 'a', 'a', 'a', 'b']);
  });

  it('takes everybody ten seconds after the probe, and closes with the next answer', () => {
    const driver = startPool(['a', backend('b', { priority: 2 })]);
    driver.attempt('a', UNAVAILABLE);
    driver.clock.advance(1000);
    driver.serve(driver.lease());
    driver.clock.advance(9999);
    assert.deepEqual(
      leases(driver, 3).map((lease) => lease.backend.name),
      ['a', 'a', 'b'],
    );
    driver.clock.advance(1);
    const lease = driver.lease();
    assert.equal(lease.backend.name, 'a');
    driver.serve(lease);
    assert.deepEqual(driver.state('a'), { kind: 'closed', softFailures: 0 });
  });

  it('goes back to rest, longer, when it fails while recovering', () => {
    const driver = startPool(['a']);
    driver.attempt('a', throttled());
    driver.clock.advance(1000);
    driver.serve(driver.lease());
    driver.attempt('a', throttled());
    const until = driver.clock.now() + 2000;
    assert.deepEqual(driver.state('a'), { kind: 'cooldown', until, recoversAt: until, times: 2, heardAfterMs: 0 });
  });

  it('starts afresh after it has fully recovered', () => {
    const driver = startPool(['a']);
    driver.attempt('a', throttled());
    driver.clock.advance(1000);
    driver.serve(driver.lease());
    driver.clock.advance(10_000);
    driver.serve(driver.lease());
    driver.attempt('a', throttled());
    const until = driver.clock.now() + 1000;
    assert.deepEqual(driver.state('a'), { kind: 'cooldown', until, recoversAt: until, times: 1, heardAfterMs: 0 });
  });

  it('stays with its probe when the caller of the probe leaves', () => {
    const driver = startPool(['a', 'b']);
    driver.attempt('a', throttled(1000));
    driver.clock.advance(1000);
    driver.settle(driver.lease(['b']), ABANDONED);
    assert.equal(driver.standing('a'), 'reserve');
    driver.clock.advance(20);
    assert.equal(driver.standing('a'), 'available');
  });
});

function limitOf(driver: PoolDriver): number {
  const state = driver.state('a');
  assert.equal(state.kind, 'recovering');
  assert.ok(state.kind === 'recovering');
  return state.limit;
}

describe('pool: missing deployments', () => {
  it('remembers nothing as missing for requests that name no deployment', () => {
    const driver = startPool(['a']);
    driver.attempt('a', MISSING, '');
    assert.equal(driver.standing('a', ''), 'available');
  });

  it('remembers a missing deployment for five minutes, to the millisecond', () => {
    const driver = startPool(['a', 'b']);
    driver.attempt('a', MISSING);
    assert.equal(driver.lease().backend.name, 'b');
    driver.clock.advance(299_999);
    assert.equal(driver.standing('a'), 'missing');
    driver.clock.advance(1);
    assert.equal(driver.standing('a'), 'available');
  });

  it('asks one again when all are missing, once a pass, and the one found missing longest ago', () => {
    const driver = startPool(['a', 'b']);
    driver.attempt('b', MISSING);
    driver.clock.advance(10);
    driver.attempt('a', MISSING);
    driver.clock.advance(10);
    const lease = driver.lease();
    assert.equal(lease.backend.name, 'b');
    assert.equal(lease.probe, true);
    driver.settle(lease, MISSING);
    assert.deepEqual(driver.acquire(['b']), { kind: 'none', why: 'missing' });
    assert.equal(driver.lease().backend.name, 'a');
  });

  it('serves again at once from the one that is asked again and answers', () => {
    const driver = startPool(['a', 'b']);
    driver.attempt('a', MISSING);
    driver.attempt('b', MISSING);
    driver.serve(driver.lease());
    assert.deepEqual(driver.state('a'), { kind: 'closed', softFailures: 0 });
    for (const lease of leases(driver, 9)) assert.equal(lease.backend.name, 'a');
  });

  it('asks no missing one while another fails: it is not missing everywhere', () => {
    const driver = startPool(['a', 'b']);
    driver.attempt('a', MISSING);
    driver.attempt('b', UNAVAILABLE);
    assert.equal(driver.lease().backend.name, 'b');
    assert.deepEqual(driver.acquire(['b']), { kind: 'none', why: 'failing' });
  });

  it('keeps other deployments of the backend in rotation', () => {
    const driver = startPool(['a']);
    driver.attempt('a', MISSING);
    assert.equal(driver.lease([], 'other').probe, false);
  });

  it('is missing when no backend serves the name at all', () => {
    const driver = startPool([backend('a', { deployments: new Map([['chat', 'gpt']]) })]);
    assert.deepEqual(driver.acquire([], 'unheard-of'), { kind: 'none', why: 'missing' });
  });
});

describe('pool: our own credential', () => {
  it('quarantines the whole host for a minute, then tries again', () => {
    const driver = startPool(['a', 'b']);
    driver.attempt('a', UNAUTHORIZED);
    assert.equal(driver.host('a').state.kind, 'quarantined');
    for (const deployment of [GPT, 'other', '']) assert.equal(driver.lease([], deployment).backend.name, 'b');
    driver.clock.advance(59_999);
    assert.equal(driver.host('a').standing, 'quarantined');
    driver.clock.advance(1);
    const lease = driver.lease(['b']);
    assert.deepEqual([lease.backend.name, lease.probe], ['a', true]);
    driver.serve(lease);
    assert.deepEqual(driver.host('a').state, { kind: 'closed', softFailures: 0 });
  });

  it('keeps the time since when it refuses us, however often it is tried', () => {
    const driver = startPool(['a']);
    driver.attempt('a', UNAUTHORIZED);
    const since = driver.clock.now();
    driver.clock.advance(60_000);
    driver.attempt('a', UNAUTHORIZED);
    assert.deepEqual(driver.host('a').state, { kind: 'quarantined', since, until: since + 120_000, isNew: false });
  });

  /** Asked with our identity's token, whose role takes some minutes to take effect. */
  const byIdentity = (name: string) => backend(name, { byIdentity: true });

  it('tries one that never let us in every five seconds for a quarter of an hour, then every minute', () => {
    const driver = startPool([byIdentity('a')]);
    const began = driver.clock.now();
    for (let tries = 0; driver.clock.now() < began + 15 * 60_000; tries += 1) {
      assert.ok(tries < 181);
      driver.attempt('a', UNAUTHORIZED);
      const at = driver.clock.now();
      assert.deepEqual(driver.acquire(), { kind: 'none', why: 'not-yet', recoversAt: at + 5000, isNew: true });
      driver.clock.advance(5000);
    }
    driver.attempt('a', UNAUTHORIZED);
    assert.deepEqual(driver.acquire(), { kind: 'none', why: 'unauthorized' });
    const { state } = driver.host('a');
    assert.ok(state.kind === 'quarantined' && state.until === driver.clock.now() + 60_000);
  });

  it('quarantines one that let us in once for a minute, and for no operation alone', () => {
    for (const accepted of [SERVED, throttled(1), MISSING]) {
      const driver = startPool([byIdentity('a')]);
      driver.attempt('a', accepted);
      driver.attempt('a', FORBIDDEN, 'other');
      assert.equal(driver.host('a').state.kind, 'closed', accepted.kind);
      driver.attempt('a', UNAUTHORIZED, 'other');
      assert.deepEqual(driver.acquire([], 'other'), { kind: 'none', why: 'unauthorized' });
    }
  });

  it('takes no failure of one that is new for a proof that it lets us in', () => {
    const driver = startPool([byIdentity('a')]);
    driver.attempt('a', UNAVAILABLE);
    driver.clock.advance(1000);
    driver.attempt('a', UNAUTHORIZED);
    const { state } = driver.host('a');
    assert.ok(state.kind === 'quarantined' && state.isNew);
  });

  it('keeps nobody from one that is new for an operation that it does not permit', () => {
    const driver = startPool([byIdentity('a')]);
    driver.attempt('a', FORBIDDEN, 'files');
    assert.equal(driver.lease().backend.name, 'a');
    assert.deepEqual(driver.acquire(['a']), { kind: 'none', why: 'failing', isNew: true });
  });

  it('waits for no role where it is asked with a key', () => {
    const driver = startPool([backend('a', { byIdentity: false })]);
    driver.attempt('a', UNAUTHORIZED);
    assert.deepEqual(driver.acquire(), { kind: 'none', why: 'unauthorized' });
  });

  it('refuses when all are quarantined, without asking anybody', () => {
    const driver = startPool(['a', 'b']);
    driver.attempt('a', UNAUTHORIZED);
    driver.attempt('b', UNAUTHORIZED);
    assert.deepEqual(driver.acquire(), { kind: 'none', why: 'unauthorized' });
  });

  it('is unauthorized when the others are missing, and failing when another fails', () => {
    const driver = startPool(['a', 'b']);
    driver.attempt('a', UNAUTHORIZED);
    driver.attempt('b', MISSING);
    assert.deepEqual(driver.acquire(), { kind: 'none', why: 'unauthorized' });
    driver.attempt('b', UNAVAILABLE, 'other');
    assert.deepEqual(driver.acquire(['b'], 'other'), { kind: 'none', why: 'failing' });
  });

  it('quarantines nobody for an operation that we may not use, and takes it as an answer', () => {
    const driver = startPool(['a']);
    for (const outcome of [FORBIDDEN, UNSUPPORTED]) {
      driver.attempt('a', outcome);
      assert.equal(driver.host('a').standing, 'available');
      assert.equal(driver.standing('a'), 'available');
    }
    driver.attempt('a', RESET);
    driver.attempt('a', FORBIDDEN);
    assert.deepEqual(driver.state('a'), { kind: 'closed', softFailures: 0 });
  });

  it('is not lifted by an answer to a request that began before', () => {
    const driver = startPool(['a']);
    const [refused, slow] = leases(driver, 2);
    assert.ok(refused !== undefined && slow !== undefined);
    driver.settle(refused, UNAUTHORIZED);
    driver.serve(slow);
    assert.equal(driver.host('a').standing, 'quarantined');
  });
});

describe('pool: failures', () => {
  it('opens the whole host at once when it cannot be connected to', () => {
    const driver = startPool(['a', 'b']);
    driver.attempt('a', UNREACHABLE);
    const at = driver.clock.now();
    assert.deepEqual(driver.host('a').state, { kind: 'open', since: at, until: at + 1000, times: 1 });
    for (const deployment of [GPT, 'other']) assert.equal(driver.lease([], deployment).backend.name, 'b');
  });

  it('opens the deployment at that backend at once for 408, 502, 503 and 504', () => {
    for (const status of [408, 502, 503, 504]) {
      const driver = startPool(['a', 'b']);
      driver.attempt('a', { kind: 'failed', status, cause: 'status' });
      const at = driver.clock.now();
      assert.deepEqual(driver.state('a'), { kind: 'open', since: at, until: at + 1000, times: 1 });
      assert.equal(driver.host('a').standing, 'available');
      assert.equal(driver.lease(['b'], 'other').probe, false);
    }
  });

  it('opens it at once for an error that comes inside a stream', () => {
    const driver = startPool(['a']);
    driver.attempt('a', { kind: 'failed', cause: 'in-stream' });
    assert.equal(driver.standing('a'), 'open');
  });

  it('opens it at the second reset in a row', () => {
    const driver = startPool(['a']);
    driver.attempt('a', RESET);
    assert.equal(driver.standing('a'), 'available');
    driver.attempt('a', RESET);
    assert.equal(driver.standing('a'), 'open');
    assert.equal(driver.host('a').standing, 'available');
  });

  it('forgives a reset when the next request is answered', () => {
    const driver = startPool(['a']);
    driver.attempt('a', RESET);
    driver.serve(driver.lease());
    driver.attempt('a', RESET);
    assert.equal(driver.standing('a'), 'available');
  });

  it("counts resets of simultaneous requests once: they tell of one moment's trouble", () => {
    const driver = startPool(['a']);
    for (const lease of leases(driver, 50)) driver.settle(lease, RESET);
    assert.deepEqual(driver.state('a'), { kind: 'closed', softFailures: 1 });
  });

  it('blames nobody for a stale socket, a missing credential of ours, a caller who left or a break after commit', () => {
    const driver = startPool(['a']);
    const blameless: readonly Outcome[] = [
      { kind: 'failed', cause: 'stale-socket' },
      { kind: 'failed', cause: 'credential' },
      { kind: 'broken', cause: 'reset' },
      { kind: 'broken', cause: 'idle' },
      ABANDONED,
    ];
    for (const outcome of blameless) {
      driver.attempt('a', outcome);
      driver.attempt('a', outcome);
      assert.deepEqual(driver.state('a'), { kind: 'closed', softFailures: 0 });
      assert.deepEqual(driver.host('a').state, { kind: 'closed', softFailures: 0 });
    }
    assert.deepEqual(driver.changes, []);
  });

  it('blames silence when the backend answered nothing else meanwhile', () => {
    const driver = startPool(['a']);
    for (const cause of ['header-timeout', 'first-token-timeout'] as const) {
      const lease = driver.lease();
      driver.clock.advance(230_000);
      driver.settle(lease, { kind: 'failed', cause });
    }
    assert.equal(driver.standing('a'), 'open');
  });

  it('does not blame silence about one request while the backend answered others, of any deployment', () => {
    for (const deployment of [GPT, 'other']) {
      const driver = startPool(['a']);
      for (let i = 0; i < 3; i += 1) {
        const silent = driver.lease();
        driver.clock.advance(1);
        driver.headers(driver.lease([], deployment));
        driver.clock.advance(230_000);
        driver.settle(silent, SILENT);
      }
      assert.deepEqual(driver.state('a'), { kind: 'closed', softFailures: 0 });
    }
  });

  it('blames silence although the backend answered before it began, and another backend meanwhile', () => {
    const driver = startPool(['a', 'b']);
    driver.serve(driver.lease(['b']));
    driver.clock.advance(1);
    const silent = driver.lease(['b']);
    driver.clock.advance(1);
    driver.serve(driver.lease(['a']));
    driver.settle(silent, SILENT);
    assert.deepEqual(driver.state('a'), { kind: 'closed', softFailures: 1 });
  });

  it('blames silence after headers: those of the silent request itself are no answer to another', () => {
    const driver = startPool(['a']);
    for (const cause of ['first-token-timeout', 'header-timeout'] as const) {
      const lease = driver.lease();
      driver.clock.advance(5);
      driver.headers(lease);
      driver.clock.advance(60_000);
      driver.settle(lease, { kind: 'failed', cause });
    }
    assert.equal(driver.standing('a'), 'open');
  });

  it('learns from any status that the host can be reached again', () => {
    for (const outcome of [UNAVAILABLE, SERVER_ERROR, throttled(100), MISSING]) {
      const driver = startPool(['a']);
      driver.attempt('a', UNREACHABLE);
      driver.clock.advance(1000);
      driver.attempt('a', outcome);
      assert.equal(driver.host('a').state.kind, 'recovering');
    }
  });

  it('doubles the rest of a host that still cannot be reached', () => {
    const driver = startPool(['a']);
    driver.attempt('a', UNREACHABLE);
    driver.clock.advance(1000);
    driver.attempt('a', UNREACHABLE);
    const at = driver.clock.now();
    assert.deepEqual(driver.host('a').state, { kind: 'open', since: at, until: at + 2000, times: 2 });
  });
});

describe('pool: 500s', () => {
  it('blames nobody for a 500 until the request is concluded', () => {
    const driver = startPool(['a']);
    for (let i = 0; i < 5; i += 1) driver.attempt('a', SERVER_ERROR);
    assert.deepEqual(driver.state('a'), { kind: 'closed', softFailures: 0 });
  });

  it('blames those that gave 500 when another backend then answered', () => {
    const driver = startPool(['a', 'b', 'c']);
    for (let i = 0; i < 2; i += 1) {
      const failed = [driver.attempt('a', SERVER_ERROR), driver.attempt('b', SERVER_ERROR)];
      driver.serve(driver.lease(['a', 'b']));
      driver.pool.conclude(failed, true, driver.clock.now());
    }
    assert.deepEqual([driver.standing('a'), driver.standing('b'), driver.standing('c')], ['open', 'open', 'available']);
  });

  it('blames the one that gave 500, and not the one that answered', () => {
    for (const [bad, good] of [
      ['a', 'b'],
      ['b', 'a'],
    ] as const) {
      const driver = startPool(['a', 'b']);
      for (let i = 0; i < 2; i += 1) {
        const failed = driver.attempt(bad, SERVER_ERROR);
        driver.serve(driver.lease([bad]));
        driver.pool.conclude([failed], true, driver.clock.now());
        assert.deepEqual([driver.standing(bad), driver.standing(good)], [i === 0 ? 'available' : 'open', 'available']);
      }
    }
  });

  it('opens nothing for a poison request, however often it comes', () => {
    const driver = startPool(['a', 'b']);
    for (let i = 0; i < 20; i += 1) {
      const failed = [driver.attempt('a', SERVER_ERROR), driver.attempt('b', SERVER_ERROR)];
      driver.pool.conclude(failed, false, driver.clock.now());
    }
    for (const name of ['a', 'b']) assert.deepEqual(driver.state(name), { kind: 'closed', softFailures: 0 });
    assert.deepEqual(driver.changes, []);
  });

  it('does not blame what began before the present state', () => {
    const driver = startPool(['a', 'b']);
    const early = driver.attempt('a', SERVER_ERROR);
    driver.attempt('a', UNAVAILABLE);
    driver.clock.advance(1000);
    driver.serve(driver.lease(['b']));
    driver.pool.conclude([early], true, driver.clock.now());
    assert.equal(driver.state('a').kind, 'recovering');
  });

  it('blames nothing that has been forgotten', () => {
    const driver = startPool(['a'], { maxEntries: 1 });
    const failed = driver.attempt('a', SERVER_ERROR, 'x');
    driver.serve(driver.lease([], 'y'));
    driver.pool.conclude([failed], true, driver.clock.now());
    assert.deepEqual(
      driver.host('a').deployments.map((entry) => entry.deployment),
      ['y'],
    );
  });
});

describe('pool: the last resort', () => {
  it('asks the least recently failed one when all are open, whatever its priority', () => {
    const driver = startPool(['a', backend('b', { priority: 3 }), 'c']);
    driver.attempt('b', UNAVAILABLE);
    driver.clock.advance(10);
    driver.attempt('c', UNREACHABLE);
    driver.clock.advance(10);
    driver.attempt('a', UNAVAILABLE);
    const order: string[] = [];
    for (let i = 0; i < 3; i += 1) {
      const lease = driver.lease(order);
      order.push(lease.backend.name);
      driver.settle(lease, ABANDONED);
    }
    assert.deepEqual(order, ['b', 'c', 'a']);
  });

  it('counts a 500 as a failure for that order, although nobody is blamed', () => {
    const driver = startPool(['a', 'b']);
    const [first, late] = [driver.lease(['b']), driver.lease(['b'])];
    driver.settle(first, UNAVAILABLE);
    driver.clock.advance(10);
    driver.attempt('b', UNAVAILABLE);
    driver.clock.advance(10);
    driver.settle(late, SERVER_ERROR);
    assert.equal(driver.lease().backend.name, 'b');
  });

  it('never refuses while any may be asked', () => {
    const driver = startPool(['a']);
    driver.attempt('a', UNAVAILABLE);
    for (let i = 0; i < 5; i += 1) driver.attempt('a', UNAVAILABLE);
    assert.equal(driver.acquire().kind, 'lease');
  });

  it('does not make the rest longer when the last resort fails before its rest is over', () => {
    const driver = startPool(['a', 'b']);
    driver.attempt('a', UNAVAILABLE);
    driver.attempt('b', UNAVAILABLE);
    const rest = driver.state('a');
    for (let i = 0; i < 5; i += 1) {
      driver.clock.advance(1);
      driver.attempt('a', UNAVAILABLE);
      driver.attempt('b', UNAVAILABLE);
    }
    assert.deepEqual(driver.state('a'), rest);
  });

  it('recovers when the last resort answers', () => {
    const driver = startPool(['a', 'b']);
    driver.attempt('a', UNAVAILABLE);
    driver.attempt('b', UNAVAILABLE);
    const lease = driver.lease();
    driver.serve(lease);
    assert.equal(driver.state(lease.backend.name).kind, 'recovering');
    assert.equal(driver.lease().backend.name, lease.backend.name);
  });
});

describe('pool: what began before the present state', () => {
  const outcomes: Readonly<Record<string, Outcome>> = {
    served: SERVED,
    throttled: throttled(9000),
    missing: MISSING,
    unauthorized: UNAUTHORIZED,
    'not permitted': FORBIDDEN,
    unsupported: UNSUPPORTED,
    unavailable: UNAVAILABLE,
    unreachable: UNREACHABLE,
    reset: RESET,
    silent: SILENT,
  };
  for (const [name, present] of Object.entries({
    throttled: throttled(5000),
    missing: MISSING,
    unavailable: UNAVAILABLE,
  })) {
    for (const [late, outcome] of Object.entries(outcomes)) {
      it(`neither extends nor clears "${name}" when it comes to "${late}"`, () => {
        const driver = startPool(['a']);
        const [first, second] = leases(driver, 2);
        assert.ok(first !== undefined && second !== undefined);
        driver.settle(first, present);
        const before = driver.state('a');
        driver.clock.advance(100);
        driver.firstContent(second);
        driver.settle(second, outcome);
        driver.pool.conclude([second], true, driver.clock.now());
        assert.deepEqual(driver.state('a'), before);
      });
    }
  }

  it('counts against another deployment and the host as ever', () => {
    const driver = startPool(['a']);
    const [x, y] = [driver.lease([], 'x'), driver.lease([], 'y')];
    driver.settle(x, UNAVAILABLE);
    driver.settle(y, UNAVAILABLE);
    assert.deepEqual([driver.standing('a', 'x'), driver.standing('a', 'y')], ['open', 'open']);
  });
});

describe('pool: what is remembered', () => {
  it('keeps a thousand deployments and forgets the least recent', () => {
    const driver = startPool(['a']);
    for (let i = 0; i < 1000; i += 1) driver.serve(driver.lease([], `model-${i}`));
    driver.serve(driver.lease([], 'model-0'));
    driver.serve(driver.lease([], 'one-more'));
    const known = driver.host('a').deployments.map((entry) => entry.deployment);
    assert.equal(known.length, 1000);
    assert.ok(known.includes('model-0'), 'the one that was just used is forgotten');
    assert.ok(!known.includes('model-1'), 'the least recent one is kept');
    assert.ok(known.includes('one-more'));
  });

  it('never forgets one that is in use', () => {
    const driver = startPool(['a'], { maxEntries: 2 });
    const used = driver.lease([], 'used');
    for (let i = 0; i < 10; i += 1) driver.serve(driver.lease([], `model-${i}`));
    assert.equal(driver.entry('a', 'used').inFlight, 1);
    driver.settle(used, UNAVAILABLE);
    assert.equal(driver.standing('a', 'used'), 'open');
  });

  it('never forgets the one it is about to lend, however many are in use', () => {
    const driver = startPool(['a', 'b'], { maxEntries: 2 });
    const held = [driver.lease(['b'], 'x'), driver.lease(['a'], 'x')];
    const lease = driver.lease(['b'], 'y');
    assert.equal(driver.entry('a', 'y').inFlight, 1);
    driver.settle(lease, throttled(60_000));
    assert.equal(driver.standing('a', 'y'), 'cooldown');
    for (const one of held) driver.settle(one, SERVED);
  });

  it('takes more than the most when all are in use, and is back at the most afterwards', () => {
    const driver = startPool(['a'], { maxEntries: 2 });
    const held = ['v', 'w', 'x', 'y', 'z'].map((deployment) => driver.lease([], deployment));
    assert.equal(driver.host('a').deployments.length, 5);
    for (const lease of held) driver.serve(lease);
    driver.serve(driver.lease([], 'next'));
    driver.serve(driver.lease([], 'another'));
    assert.equal(driver.host('a').deployments.length, 2);
  });

  it('forgets the state with the deployment', () => {
    const driver = startPool(['a'], { maxEntries: 1 });
    driver.attempt('a', throttled(60_000), 'x');
    driver.serve(driver.lease([], 'y'));
    assert.equal(driver.lease([], 'x').probe, false);
  });

  it('keeps the quota that was seen last', () => {
    const driver = startPool(['a']);
    const lease = driver.lease();
    const at = driver.clock.now();
    driver.pool.observe(lease, { kind: 'headers', quota: { remainingTokens: 100 } }, at);
    driver.pool.observe(lease, { kind: 'headers' }, at);
    assert.deepEqual(driver.entry('a').quota, { remainingTokens: 100 });
    driver.pool.observe(lease, { kind: 'headers', quota: { remainingTokens: 50 } }, at);
    assert.deepEqual(driver.entry('a').quota, { remainingTokens: 50 });
  });
});

describe('pool: what is left of a quota', () => {
  const QUOTA = { limitTokens: 10_000, limitRequests: 600, remainingRequests: 500 };

  function ask(driver: PoolDriver, tokens: number, more: Partial<Ask> = {}): Acquired {
    const asked = { deployment: GPT, tried: new Set<string>(), tokens, ...more };
    return driver.pool.acquire(asked, driver.clock.now());
  }

  function leaseOf(got: Acquired): Lease {
    assert.ok(got.kind === 'lease', got.kind);
    return got.lease;
  }

  /** One request of so many tokens, after which so much is left. */
  function answered(driver: PoolDriver, tried: readonly string[], tokens: number, remainingTokens: number): void {
    const lease = leaseOf(ask(driver, tokens, { tried: new Set(tried) }));
    const quota = { ...QUOTA, remainingTokens };
    driver.pool.observe(lease, { kind: 'headers', quota }, driver.clock.now());
    driver.serve(lease);
  }

  /** One request of so many tokens is refused, with so much left. */
  function refused(driver: PoolDriver, tokens: number, remainingTokens: number, retryAfterMs: number): void {
    const lease = leaseOf(ask(driver, tokens));
    const quota = { ...QUOTA, remainingTokens };
    driver.pool.observe(lease, { kind: 'headers', quota, isRefused: true }, driver.clock.now());
    driver.settle(lease, throttled(retryAfterMs));
  }

  it('prefers the fullest one whose quota is enough, when it is getting short', () => {
    const driver = startPool(['a', 'b']);
    answered(driver, ['b'], 10, 9000);
    answered(driver, ['a'], 10, 4000);
    assert.equal(leaseOf(ask(driver, 100)).backend.name, 'b');
    assert.equal(leaseOf(ask(driver, 0)).backend.name, 'a');
  });

  it('lets smaller ones go on to a backend that refused one for its size, and waits with those that are as large', () => {
    const driver = startPool(['a']);
    refused(driver, 5000, 1000, 2000);
    assert.equal(leaseOf(ask(driver, 900)).backend.name, 'a');
    const at = driver.clock.now();
    assert.deepEqual(ask(driver, 1001), { kind: 'none', why: 'throttled', recoversAt: at + 2000 });
    assert.deepEqual(ask(driver, 1001, { holdUntil: at + 2000 }), { kind: 'wait', until: at + 250, why: 'throttled' });
    // Of one whose size nobody knows nobody knows whether it is smaller.
    assert.equal(ask(driver, 0).kind, 'none');
    driver.clock.advance(2000);
    assert.equal(leaseOf(ask(driver, 5000)).backend.name, 'a');
  });

  it('makes it another than a slow one for those only for whom it is enough', () => {
    const driver = startPool(['a', 'b']);
    refused(driver, 5000, 1000, 2000);
    const slow = leaseOf(ask(driver, 1001));
    assert.equal(slow.backend.name, 'b');
    const hasOther = (tokens: number): boolean =>
      driver.pool.hasOther(slow, { deployment: GPT, tried: new Set(), tokens }, driver.clock.now());
    assert.deepEqual([hasOther(900), hasOther(1001)], [true, false]);
  });

  it('refuses all when it refused without a word about its quota, or inside a stream', () => {
    const driver = startPool(['a']);
    driver.settle(leaseOf(ask(driver, 5000)), throttled(2000));
    assert.equal(ask(driver, 1).kind, 'none');
    driver.clock.advance(2000);
    const lease = leaseOf(ask(driver, 5000));
    driver.pool.observe(lease, { kind: 'headers', quota: { ...QUOTA, remainingTokens: 100 } }, driver.clock.now());
    driver.settle(lease, { kind: 'throttled', inStream: true, retryAfterMs: 2000 });
    assert.equal(ask(driver, 1).kind, 'none');
  });

  it('does not ask a backend that will not take it, and says when it will', () => {
    const driver = startPool(['a', 'b']);
    // 1,000 refused with 900 left, and back in two seconds: the end of a window, as far as anybody knows.
    refused(driver, 1000, 900, 2000);
    driver.clock.advance(1990);
    const at = driver.clock.now();
    const small = leaseOf(ask(driver, 800, { tried: new Set(['b']) }));
    assert.equal(small.backend.name, 'a');
    // 100 are left, ten milliseconds before the end.
    assert.equal(leaseOf(ask(driver, 200)).backend.name, 'b');
    const onlyA = { tried: new Set(['b']) };
    assert.deepEqual(ask(driver, 200, onlyA), { kind: 'none', why: 'throttled', recoversAt: at + 10 });
    assert.deepEqual(ask(driver, 200, { ...onlyA, holdUntil: at + 10 }), {
      kind: 'wait',
      until: at + 10,
      why: 'throttled',
    });
    driver.clock.advance(10);
    assert.equal(leaseOf(ask(driver, 200, onlyA)).backend.name, 'a');
  });

  it('takes a limit of nothing for nonsense', () => {
    const driver = startPool(['a', 'b']);
    for (let n = 0; n < 40; n += 1) {
      const lease = leaseOf(ask(driver, 100, { tried: new Set(['b']) }));
      const quota = { limitTokens: 0, limitRequests: 0, remainingTokens: 0, remainingRequests: 0 };
      driver.pool.observe(lease, { kind: 'headers', quota }, driver.clock.now());
      driver.serve(lease);
      driver.clock.advance(1000);
    }
    assert.equal(leaseOf(ask(driver, 100)).backend.name, 'a');
    assert.equal(driver.entry('a').reduction, undefined);
  });

  it('counts the answer by what it was guessed at, where no maximum is named', () => {
    const driver = startPool(['a']);
    refused(driver, 5000, 1000, 2000);
    assert.equal(leaseOf(ask(driver, 900, { openTokens: 500 })).backend.name, 'a');
  });

  it('takes the capacity of the settings for what is there before the first answer', () => {
    const driver = startPool([backend('a'), backend('b', { capacity: 1000 })]);
    // 300 are left before any answer came.
    leaseOf(ask(driver, 700, { tried: new Set(['a']) }));
    assert.equal(leaseOf(ask(driver, 10)).backend.name, 'b');
    assert.equal(leaseOf(ask(driver, 0)).backend.name, 'a');
  });
});

describe('pool: requests that share a key', () => {
  it('prefer one backend while it has room, and the same again after it had none', () => {
    const driver = startPool(['a', 'b', 'c']);
    const homeOf = (affinityKey: string): string => {
      const ask = { deployment: GPT, tried: new Set<string>(), tokens: 0, affinityKey };
      const got = driver.pool.acquire(ask, driver.clock.now());
      assert.ok(got.kind === 'lease');
      return got.lease.backend.name;
    };
    const keys = Array.from({ length: 20 }, (_, n) => `key ${n}`);
    const homes = keys.map(homeOf);
    assert.deepEqual(keys.map(homeOf), homes);
    assert.equal(new Set(homes).size, 3);
    driver.settle(driver.lease(['b', 'c']), throttled(1000));
    const [moved, rest] = [keys.filter((_, n) => homes[n] === 'a'), keys.filter((_, n) => homes[n] !== 'a')];
    for (const key of moved) assert.notEqual(homeOf(key), 'a');
    assert.deepEqual(
      rest.map(homeOf),
      homes.filter((home) => home !== 'a'),
    );
    driver.clock.advance(1000);
    assert.equal(homeOf(moved[0] ?? ''), 'a');
  });
});

describe('pool: a limit that the platform reduces', () => {
  it('is told once, shown while it lasts, and told again when it is over', () => {
    const told: LimitChange[] = [];
    const driver = startPool(['a'], { onLimitChange: (change) => told.push(change) });
    const say = (limitTokens: number | undefined): void => {
      const got = driver.pool.acquire({ deployment: GPT, tried: new Set(), tokens: 10 }, driver.clock.now());
      assert.ok(got.kind === 'lease');
      const quota = { remainingTokens: 900, ...(limitTokens === undefined ? {} : { limitTokens }) };
      driver.pool.observe(got.lease, { kind: 'headers', quota }, driver.clock.now());
      driver.serve(got.lease);
    };
    for (const limit of [undefined, 3000, 3000, 1200, 1200, undefined]) say(limit);
    const reduction = { limit: 1200, usual: 3000 };
    assert.deepEqual(
      told.map((change) => change.reduction),
      [reduction],
    );
    assert.deepEqual(driver.entry('a').reduction, reduction);
    for (const limit of [900, 3000, 4000]) say(limit);
    assert.deepEqual(
      told.slice(1).map((change) => [change.backend.name, change.deployment, change.reduction]),
      [
        ['a', GPT, { limit: 900, usual: 3000 }],
        ['a', GPT, undefined],
      ],
    );
    assert.equal(driver.entry('a').reduction, undefined);
  });

  it('is none that the settings have larger: they are of all its deployments', () => {
    const driver = startPool([backend('a', { capacity: 3000 })]);
    const got = driver.pool.acquire({ deployment: GPT, tried: new Set(), tokens: 10 }, driver.clock.now());
    assert.ok(got.kind === 'lease');
    const quota = { limitTokens: 1000, remainingTokens: 900 };
    driver.pool.observe(got.lease, { kind: 'headers', quota }, driver.clock.now());
    assert.equal(driver.entry('a').reduction, undefined);
  });
});

describe('pool: priorities', () => {
  const START = [backend('ptu'), backend('paygo', { priority: 2 })];

  it('says whom a request was spilled from, and nobody when it was not', () => {
    const driver = startPool(START);
    assert.equal(driver.lease().spilledFrom, undefined);
    driver.attempt('ptu', throttled(5000));
    assert.deepEqual([driver.lease().backend.name, driver.lease().spilledFrom], ['paygo', 'ptu']);
    driver.clock.advance(5000);
    assert.equal(driver.lease().spilledFrom, undefined);
  });

  it('gives only those of a worse priority than the one that could not serve it', () => {
    const driver = startPool([...START, backend('third', { priority: 3 })]);
    const worseThan = (priority: number) => {
      const ask = { deployment: GPT, tried: new Set<string>(), tokens: 0, worseThan: priority };
      const got = driver.pool.acquire(ask, driver.clock.now());
      return got.kind === 'lease' ? got.lease.backend.name : got.kind;
    };
    assert.deepEqual([0, 1, 2, 3].map(worseThan), ['ptu', 'paygo', 'third', 'none']);
  });

  it('takes a prompt that is too long for it as no fault of a backend', () => {
    const driver = startPool(START);
    driver.attempt('ptu', throttled(10));
    driver.clock.advance(10);
    driver.attempt('ptu', { kind: 'too-long' });
    const { state } = driver.entry('ptu');
    assert.ok(state.kind === 'returning' && state.window === 2);
  });
});

describe('pool: snapshot', () => {
  it('shows every backend, in the order of the settings, with its deployments', () => {
    const driver = startPool(['a', backend('b', { priority: 2 })]);
    driver.attempt('a', throttled(5000), 'x');
    const held = driver.lease(['b'], 'y');
    assert.deepEqual(driver.pool.snapshot(driver.clock.now()), {
      backends: [
        {
          backend: backend('a'),
          standing: 'available',
          state: { kind: 'closed', softFailures: 0 },
          inFlight: 1,
          deployments: [
            {
              deployment: 'x',
              standing: 'cooldown',
              state: {
                kind: 'cooldown',
                until: held.startedAt + 5000,
                recoversAt: held.startedAt + 5000,
                times: 0,
                heardAfterMs: 0,
              },
              inFlight: 0,
            },
            { deployment: 'y', standing: 'available', state: { kind: 'closed', softFailures: 0 }, inFlight: 1 },
          ],
        },
        {
          backend: backend('b', { priority: 2 }),
          standing: 'available',
          state: { kind: 'closed', softFailures: 0 },
          inFlight: 0,
          deployments: [
            { deployment: 'x', standing: 'available', state: { kind: 'closed', softFailures: 0 }, inFlight: 0 },
            { deployment: 'y', standing: 'available', state: { kind: 'closed', softFailures: 0 }, inFlight: 0 },
          ],
        },
      ],
    });
  });

  it('changes nothing by looking', () => {
    const driver = startPool(['a']);
    driver.attempt('a', throttled(5000));
    driver.clock.advance(5000);
    const first = driver.pool.snapshot(driver.clock.now());
    assert.deepEqual(driver.pool.snapshot(driver.clock.now()), first);
    assert.equal(driver.state('a').kind, 'cooldown');
  });

  it('is not changed by what happens later', () => {
    const driver = startPool(['a']);
    driver.attempt('a', SERVED);
    const before = driver.pool.snapshot(driver.clock.now());
    const copy = structuredClone(before);
    driver.attempt('a', UNAVAILABLE);
    driver.lease();
    assert.deepEqual(before, copy);
  });
});

describe('pool: state changes', () => {
  function told(driver: PoolDriver): readonly string[] {
    return driver.changes.map(({ backend: { name }, deployment, from, to }) => {
      const who = deployment === undefined ? name : `${name}/${deployment}`;
      return `${who} ${from.kind}→${to.kind}`;
    });
  }

  it('tells each step of a throttle and of its end once', () => {
    const driver = startPool(['a']);
    driver.attempt('a', throttled(1000));
    driver.clock.advance(1000);
    driver.serve(driver.lease());
    driver.serve(driver.lease());
    driver.clock.advance(10_000);
    driver.serve(driver.lease());
    assert.deepEqual(told(driver), ['a/gpt closed→cooldown', 'a/gpt cooldown→returning', 'a/gpt returning→closed']);
  });

  it('tells each step of a rest and a recovery once', () => {
    const driver = startPool(['a']);
    driver.attempt('a', UNAVAILABLE);
    driver.clock.advance(1000);
    driver.serve(driver.lease());
    driver.serve(driver.lease());
    driver.clock.advance(10_000);
    driver.serve(driver.lease());
    assert.deepEqual(told(driver), [
      'a/gpt closed→open',
      'a/gpt open→probing',
      'a/gpt probing→recovering',
      'a/gpt recovering→closed',
    ]);
  });

  it('tells of the host without a deployment', () => {
    const driver = startPool(['a', 'b']);
    driver.attempt('a', UNAUTHORIZED);
    driver.attempt('b', UNREACHABLE);
    assert.deepEqual(told(driver), ['a closed→quarantined', 'b closed→open']);
    assert.ok(driver.changes.every((change) => !('deployment' in change)));
  });

  it('tells the reason of a failure: what the network said, else what failed, else the status', () => {
    const driver = startPool(['a', 'b', 'c']);
    driver.attempt('a', { kind: 'failed', cause: 'connect', code: 'CERT_HAS_EXPIRED' });
    driver.attempt('b', RESET);
    driver.attempt('b', RESET);
    driver.attempt('c', UNAVAILABLE);
    const answering = driver.lease(['a', 'b'], 'other');
    driver.settle(answering, SERVER_ERROR);
    driver.pool.conclude([answering], true, driver.clock.now());
    const again = driver.lease(['a', 'b'], 'other');
    driver.settle(again, SERVER_ERROR);
    driver.pool.conclude([again], true, driver.clock.now());
    assert.deepEqual(
      driver.changes.map(({ backend: { name }, deployment = '', to, reason }) => [name, deployment, to.kind, reason]),
      [
        ['a', '', 'open', 'CERT_HAS_EXPIRED'],
        ['b', 'gpt', 'open', 'reset'],
        ['c', 'gpt', 'open', '503'],
        ['c', 'other', 'open', '500'],
      ],
    );
  });

  it('tells no reason where none is needed', () => {
    const driver = startPool(['a']);
    driver.attempt('a', throttled(1000));
    driver.clock.advance(1000);
    driver.serve(driver.lease());
    assert.equal(driver.changes.length, 2);
    assert.ok(driver.changes.every((change) => !('reason' in change)));
  });

  it('tells nothing of a single soft failure, a second probe or a wider ramp', () => {
    const driver = startPool(['a']);
    driver.attempt('a', RESET);
    assert.deepEqual(told(driver), []);
    driver.attempt('a', UNAVAILABLE);
    driver.clock.advance(1000);
    const probe = driver.lease();
    driver.clock.advance(5000);
    driver.lease();
    driver.serve(probe);
    driver.serve(driver.lease());
    assert.deepEqual(told(driver), ['a/gpt closed→open', 'a/gpt open→probing', 'a/gpt probing→recovering']);
  });

  it('tells nothing of one that is missing and is found missing again', () => {
    const driver = startPool(['a']);
    for (let i = 0; i < 5; i += 1) {
      driver.attempt('a', MISSING);
      driver.clock.advance(1);
    }
    assert.deepEqual(told(driver), ['a/gpt closed→missing']);
  });

  it('tells of fifty simultaneous 429s once', () => {
    const driver = startPool(['a']);
    for (const lease of leases(driver, 50)) driver.settle(lease, throttled());
    assert.deepEqual(told(driver), ['a/gpt closed→cooldown']);
  });

  it('needs no listener', () => {
    const pool = createPool({ backends: [backend('a')], random: () => 0 });
    const got = pool.acquire({ deployment: GPT, tried: new Set(), tokens: 0 }, 0);
    assert.ok(got.kind === 'lease');
    pool.settle(got.lease, UNAVAILABLE, 0);
    assert.equal(pool.snapshot(0).backends[0]?.deployments[0]?.standing, 'open');
  });
});
