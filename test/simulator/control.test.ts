import assert from 'node:assert/strict';
import { ask, chatBody, jsonOf, messageOf, withResource } from './support.ts';
import type { Question } from './support.ts';

const post = (path: string): Question => ({ path: `/simulator/${path}`, body: '' });

describe('control API', () => {
  it('throttles for so many milliseconds, one deployment or all', () =>
    withResource({}, async (resource) => {
      assert.equal((await ask(resource, post('throttle?ms=30000&deployment=chat'))).status, 200);
      assert.equal((await ask(resource)).status, 200);
      assert.equal((await ask(resource, post('throttle?ms=30000'))).status, 200);
      assert.equal((await ask(resource)).status, 429);
    }));

  it('scripts a fault for so many requests, or for good', () =>
    withResource({}, async (resource) => {
      await ask(resource, post('fault?name=status:503&times=2'));
      await ask(resource, post('fault?name=status:500&times=always'));
      const seen = [await ask(resource), await ask(resource), await ask(resource), await ask(resource)];
      assert.deepEqual(
        seen.map((reply) => reply.status),
        [503, 503, 500, 500],
      );
      await ask(resource, post('clear'));
      assert.equal((await ask(resource)).status, 200);
    }));

  it('reduces the tokens a minute for so long', () => {
    let now = 0;
    return withResource({ deployments: { chat: { model: 'm', tpm: 6000 } }, now: () => now }, async (resource) => {
      const question = { body: { ...chatBody, model: 'chat' } };
      assert.equal((await ask(resource, post('limit?tpm=2000&ms=60000'))).status, 200);
      assert.equal((await ask(resource, question)).headers['x-ratelimit-limit-tokens'], '2000');
      now = 60_000;
      assert.equal((await ask(resource, question)).headers['x-ratelimit-limit-tokens'], '6000');
    });
  });

  it('takes the role from tokens for so long, or until it is cleared', () => {
    let now = 0;
    return withResource({ bearerToken: 'token', now: () => now }, async (resource) => {
      const question = { headers: { authorization: 'Bearer token' } };
      assert.equal((await ask(resource, post('no-role?ms=30000'))).status, 200);
      assert.equal((await ask(resource, question)).status, 401);
      now = 30_000;
      assert.equal((await ask(resource, question)).status, 200);
      await ask(resource, post('no-role?ms=30000'));
      await ask(resource, post('clear'));
      assert.equal((await ask(resource, question)).status, 200);
    });
  });

  it('shows its state and does not count itself among the calls', () =>
    withResource({}, async (resource) => {
      await ask(resource, post('fault?name=hang'));
      await ask(resource, post('throttle?ms=60000'));
      const state = jsonOf(await ask(resource, { path: '/simulator/state', method: 'GET' }));
      assert.ok(typeof state === 'object' && state !== null && 'throttledForMs' in state && 'openSockets' in state);
      const { throttledForMs, openSockets, ...rest } = state;
      assert.ok(typeof openSockets === 'number' && openSockets >= 1); // the one that asks
      assert.ok(typeof throttledForMs === 'object' && throttledForMs !== null && '*' in throttledForMs);
      assert.deepEqual(rest, {
        name: 'openai1',
        url: resource.url,
        calls: 0,
        openRequests: 0,
        scriptedFaults: [{ kind: 'hang' }],
        reduced: {},
        withoutRoleForMs: 0,
      });
      assert.equal(resource.calls.length, 0);
    }));

  const wrong = [
    'throttle',
    'throttle?ms=soon',
    'throttle?ms=-1',
    'limit',
    'limit?tpm=0&ms=1',
    'limit?tpm=2000',
    'no-role',
    'no-role?ms=long',
    'fault',
    'fault?name=nonsense',
    'fault?name=hang&times=0',
    'fault?name=hang&times=1001',
    'fault?name=hang&times=often',
  ];
  for (const path of wrong) {
    it(`answers 400 to ${path} and changes nothing`, () =>
      withResource({}, async (resource) => {
        const reply = await ask(resource, post(path));
        assert.equal(reply.status, 400);
        assert.notEqual(messageOf(reply), '');
        assert.equal((await ask(resource)).status, 200);
      }));
  }

  it('knows no other path and no other method', () =>
    withResource({}, async (resource) => {
      assert.equal((await ask(resource, post('nonsense'))).status, 404);
      assert.equal((await ask(resource, { path: '/simulator/clear', method: 'GET' })).status, 404);
    }));

  const strangers = [
    { host: 'evil.example' },
    { host: '127.0.0.1.evil.example' },
    { host: 'localhost.evil.example:80' },
    { origin: 'https://evil.example' },
  ];
  for (const headers of strangers) {
    it(`turns away ${JSON.stringify(headers)}`, () =>
      withResource({}, async (resource) => {
        assert.equal((await ask(resource, { ...post('throttle?ms=30000'), headers })).status, 403);
        assert.equal((await ask(resource)).status, 200);
      }));
  }

  it('takes any name of the loopback', () =>
    withResource({}, async (resource) => {
      for (const host of ['localhost', 'LOCALHOST:80', '[::1]:8101']) {
        assert.equal((await ask(resource, { ...post('clear'), headers: { host } })).status, 200);
      }
    }));
});
