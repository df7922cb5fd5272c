import assert from 'node:assert/strict';
import { mock } from 'node:test';
import * as fc from 'fast-check';
import {
  createClientLimiter,
  type ClientLimiter,
  type LimitReached,
  type Pass,
} from '../../../app/src/auth/client-limits.ts';
import type { ClientLimit } from '../../../app/src/auth/limit.ts';

const MINUTE_MS = 60_000;

function limiterFor(limits: Readonly<Record<string, ClientLimit>>): ClientLimiter {
  return createClientLimiter(new Map(Object.entries(limits)), Date.now);
}

async function enter(limiter: ClientLimiter, client = 'a'): Promise<Pass> {
  const entered = await limiter.enter(client);
  assert.ok(entered?.kind === 'pass', 'it was not let in');
  return entered;
}

async function refusal(limiter: ClientLimiter, client = 'a'): Promise<Pick<LimitReached, 'what' | 'most' | 'waitMs'>> {
  const entered = await limiter.enter(client);
  assert.ok(entered?.kind === 'limit-reached', 'it was let in');
  const { what, most, waitMs } = entered;
  return { what, most, waitMs };
}

/** What is left of the tokens after a request that takes none. */
async function remaining(limiter: ClientLimiter, client = 'a'): Promise<number | undefined> {
  const pass = await enter(limiter, client);
  const reached = await pass.charge(0);
  await pass.leave(0);
  return (reached?.shown ?? pass.shown).tokens?.remaining;
}

describe('client limits', () => {
  beforeEach(() => mock.timers.enable({ apis: ['Date', 'setTimeout'], now: 1_700_000_000_000 }));
  afterEach(() => mock.timers.reset());

  it('has nothing to do for a client without limits', () => {
    assert.equal(limiterFor({}).enter('a'), undefined);
    assert.equal(limiterFor({ b: { concurrent: 1 } }).enter('a'), undefined);
  });

  describe('requests a minute', () => {
    it('lets in so many a minute, which begins with the first and ends 60 s later', async () => {
      const limiter = limiterFor({ a: { requestsPerMinute: 2 } });
      const first = await enter(limiter);
      assert.deepEqual(first.shown, { requests: { limit: 2, remaining: 1, resetMs: MINUTE_MS } });
      mock.timers.tick(20_000);
      const second = await enter(limiter);
      assert.deepEqual(second.shown, { requests: { limit: 2, remaining: 0, resetMs: 40_000 } });
      assert.deepEqual(await refusal(limiter), { what: 'requests', most: 2, waitMs: 40_000 });
      mock.timers.tick(39_999);
      assert.deepEqual(await refusal(limiter), { what: 'requests', most: 2, waitMs: 1 });
      mock.timers.tick(1);
      assert.equal((await enter(limiter)).shown.requests?.remaining, 1);
    });

    it('counts a request when it comes, however it ends, and none that was refused', async () => {
      const limiter = limiterFor({ a: { requestsPerMinute: 1 } });
      await (await enter(limiter)).leave(0);
      for (let n = 0; n < 5; n += 1) await refusal(limiter);
      mock.timers.tick(MINUTE_MS);
      await enter(limiter);
      await refusal(limiter);
    });

    it('is not fooled by requests that come together', async () => {
      const limiter = limiterFor({ a: { requestsPerMinute: 3 } });
      const entered = await Promise.all(Array.from({ length: 10 }, async () => limiter.enter('a')));
      assert.equal(entered.filter((one) => one?.kind === 'pass').length, 3);
    });
  });

  describe('requests at a time', () => {
    it('lets in so many at a time, and another as soon as one has left', async () => {
      const limiter = limiterFor({ a: { concurrent: 2 } });
      const first = await enter(limiter);
      assert.deepEqual(first.shown, {});
      assert.equal(first.countsTokens, false);
      const second = await enter(limiter);
      assert.deepEqual(await refusal(limiter), { what: 'concurrent', most: 2, waitMs: 1000 });
      await first.leave(undefined);
      const third = await enter(limiter);
      await refusal(limiter);
      await second.leave(undefined);
      await third.leave(undefined);
      await enter(limiter);
    });

    it('keeps no place for one that is refused for another limit', async () => {
      const limiter = limiterFor({ a: { concurrent: 2, requestsPerMinute: 1 } });
      const first = await enter(limiter);
      assert.equal((await refusal(limiter)).what, 'requests');
      assert.equal((await refusal(limiter)).what, 'requests');
      await first.leave(0);
      mock.timers.tick(MINUTE_MS);
      await enter(limiter);
    });

    it('never loses count, whatever comes and goes', () =>
      fc.assert(
        fc.asyncProperty(fc.integer({ min: 1, max: 4 }), fc.array(fc.boolean()), async (concurrent, comings) => {
          const limiter = limiterFor({ a: { concurrent } });
          const inside: Pass[] = [];
          for (const comes of comings) {
            if (!comes) {
              await inside.shift()?.leave(undefined);
              continue;
            }
            const entered = await limiter.enter('a');
            assert.equal(entered?.kind === 'pass', inside.length < concurrent);
            if (entered?.kind === 'pass') inside.push(entered);
          }
        }),
      ));
  });

  describe('tokens a minute', () => {
    it('lets a request in while anything of the minute is left, even one that takes more', async () => {
      const limiter = limiterFor({ a: { tokensPerMinute: 100 } });
      const first = await enter(limiter);
      assert.equal(await first.charge(99), undefined);
      assert.deepEqual(first.shown, { tokens: { limit: 100, remaining: 1, resetMs: MINUTE_MS } });
      const second = await enter(limiter);
      assert.equal(await second.charge(5000), undefined);
      assert.equal(second.shown.tokens?.remaining, 0);
      mock.timers.tick(10_000);
      const third = await enter(limiter);
      const reached = await third.charge(1);
      assert.deepEqual(reached, {
        kind: 'limit-reached',
        client: 'a',
        what: 'tokens',
        most: 100,
        waitMs: 50_000,
        shown: { tokens: { limit: 100, remaining: 0, resetMs: 50_000 } },
      });
      await third.leave(0);
      mock.timers.tick(50_000);
      assert.equal(await remaining(limiter), 100);
    });

    it('gives back at the end what the request did not come to', async () => {
      const limiter = limiterFor({ a: { tokensPerMinute: 100 } });
      const pass = await enter(limiter);
      await pass.charge(80);
      await pass.leave(30);
      assert.equal(await remaining(limiter), 70);
    });

    it('takes at the end what the request came to beyond its estimate', async () => {
      const limiter = limiterFor({ a: { tokensPerMinute: 100 } });
      const pass = await enter(limiter);
      await pass.charge(10);
      await pass.leave(95);
      assert.equal(await remaining(limiter), 5);
    });

    it('lets the estimate stand when nobody knows what it came to', async () => {
      const limiter = limiterFor({ a: { tokensPerMinute: 100 } });
      const pass = await enter(limiter);
      await pass.charge(40);
      await pass.leave(undefined);
      assert.equal(await remaining(limiter), 60);
    });

    it('takes nothing for a request that was refused, nor counts it among the requests', async () => {
      const limiter = limiterFor({ a: { tokensPerMinute: 100, requestsPerMinute: 2 } });
      const first = await enter(limiter);
      await first.charge(100);
      const refused = await enter(limiter);
      const reached = await refused.charge(500);
      assert.equal(reached?.what, 'tokens');
      assert.equal(reached?.shown.requests?.remaining, 1);
      await refused.leave(0);
      await first.leave(50);
      assert.equal(await remaining(limiter), 50);
      assert.equal((await refusal(limiter)).what, 'requests');
    });

    it('gives nothing back into another minute, and takes there what was too much', async () => {
      const limiter = limiterFor({ a: { tokensPerMinute: 100 } });
      const small = await enter(limiter);
      await small.charge(50);
      const large = await enter(limiter);
      await large.charge(10);
      mock.timers.tick(MINUTE_MS);
      await small.leave(0);
      assert.equal(await remaining(limiter), 100);
      await large.leave(35);
      assert.equal(await remaining(limiter), 75);
    });

    it('gives nothing back into another minute that others have begun', async () => {
      const limiter = limiterFor({ a: { tokensPerMinute: 100 } });
      const first = await enter(limiter);
      await first.charge(50);
      mock.timers.tick(MINUTE_MS);
      const second = await enter(limiter);
      await second.charge(40);
      await first.leave(0);
      assert.equal(await remaining(limiter), 60);
    });

    it('gives no request back into a minute that began while a body was read', async () => {
      const limiter = limiterFor({ a: { tokensPerMinute: 100, requestsPerMinute: 2 } });
      const slow = await enter(limiter);
      mock.timers.tick(MINUTE_MS / 2);
      const greedy = await enter(limiter);
      await greedy.charge(100);
      mock.timers.tick(MINUTE_MS / 2);
      await enter(limiter);
      assert.equal((await slow.charge(10))?.what, 'tokens');
      await slow.leave(0);
      await enter(limiter);
      assert.equal((await refusal(limiter)).what, 'requests');
    });

    it('never begins a minute with more than its limit, whatever is charged, corrected and waited for', () =>
      fc.assert(
        fc.asyncProperty(
          fc.array(fc.tuple(fc.nat(200), fc.nat(300), fc.nat(90_000)), { maxLength: 20 }),
          async (requests) => {
            const limiter = limiterFor({ a: { tokensPerMinute: 100 } });
            const inside: [Pass, number][] = [];
            for (const [estimate, actual, waitMs] of requests) {
              const pass = await enter(limiter);
              const reached = await pass.charge(estimate);
              inside.push([pass, reached === undefined ? actual : 0]);
              mock.timers.tick(waitMs);
              if (inside.length > 2) {
                const [oldest, spent] = inside.shift() ?? [pass, 0];
                await oldest.leave(spent);
              }
              const left = (await remaining(limiter)) ?? -1;
              assert.ok(left >= 0 && left <= 100, `${left} left`);
            }
          },
        ),
        { numRuns: 50 },
      ));
  });

  describe('everybody else', () => {
    it('counts each client that is not named by itself, and named ones by their own limit alone', async () => {
      const limiter = limiterFor({ a: { requestsPerMinute: 2 }, '*': { requestsPerMinute: 1 } });
      await enter(limiter, 'a');
      await enter(limiter, 'a');
      assert.equal((await refusal(limiter, 'a')).most, 2);
      for (const other of ['b', 'c', 'constructor', '__proto__']) {
        await enter(limiter, other);
        assert.equal((await refusal(limiter, other)).most, 1);
      }
    });
  });

  it('names no wait beyond the minute when the clock is set back', async () => {
    const limiter = limiterFor({ a: { requestsPerMinute: 1 } });
    await enter(limiter);
    mock.timers.setTime(1_700_000_000_000 - 3_600_000);
    assert.ok((await refusal(limiter)).waitMs <= MINUTE_MS);
  });
});
