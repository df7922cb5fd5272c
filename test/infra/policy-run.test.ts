// What the policy of API Management does, on the wire: the policy's own files, run by an emulator of the elements that they use, in front of
// simulated resources. The service itself was not run; where its documentation leaves a choice, rules are checked in each reading.

import assert from 'node:assert/strict';
import OpenAI, { APIError, AzureOpenAI } from 'openai';
import { takeDown } from '../support/outage.ts';
import { chat, errorOf, send, sendBare, type Received, type Sent } from '../support/http.ts';
import { answerOf, credentialsIn } from '../support/observed.ts';
import { PATH_FORMS } from '../support/path-forms.ts';
import {
  APP,
  FOREIGN_TENANT,
  LIFETIME,
  MADE_AT,
  OBJECT,
  OTHER_TENANT,
  PERSON,
  signingKey,
  TENANT,
  tokenBy,
  v1Claims,
  v2Claims,
} from '../support/tokens.ts';
import { asIs } from './policy/asking.ts';
import type { Readings } from './policy/emulator.ts';
import {
  callsOf,
  IDENTITY_TOKEN,
  onlyCall,
  OTHER_TENANT_KEY,
  startStage,
  TEAM_KEY,
  TENANT_KEY,
  type Stage,
  type StageSetup,
} from './policy/stage.ts';

const VERSION = '?api-version=2024-10-21';
const LEGACY = `/openai/deployments/gpt-5.4-mini/chat/completions${VERSION}`;
const GOOD = tokenBy(TENANT_KEY, v1Claims());

const READINGS: readonly Partial<Readings>[] = [
  {},
  { emptyPool: 'error' },
  { emptyPool: 'error', failure: 'raised' },
  { isCacheSlow: true },
  { isCacheSlow: true, emptyPool: 'error', failure: 'raised' },
];

describe('the policy of API Management, run', () => {
  let stage: Stage;

  async function start(setup: StageSetup = {}): Promise<void> {
    stage = await startStage(setup);
  }

  afterEach(async () => {
    stage.assertNoAccident();
    await stage.close();
  });

  /** With the team's key, unless headers say otherwise. */
  const ask = (path: string, sent: Sent = {}): Promise<Received> =>
    send(stage.url + path, { ...sent, headers: { 'api-key': TEAM_KEY, ...sent.headers } });
  const askAs = (headers: Readonly<Record<string, string>>, path = '/chat/completions'): Promise<Received> =>
    sendBare(stage.url + path, { headers, body: chat() });

  function throttleAll(...seconds: readonly number[]): void {
    for (const [index, resource] of stage.resources.entries()) resource.throttle((seconds[index] ?? 0) * 1000);
  }

  function assertExhausted(received: Received, ms: number): void {
    assert.equal(received.status, 429);
    assert.deepEqual(errorOf(received).code, 'all_backends_throttled');
    assert.equal(errorOf(received).type, 'too_many_requests');
    assert.equal(received.headers['retry-after-ms'], String(ms));
    assert.equal(received.headers['retry-after'], String(Math.ceil(ms / 1000)));
    assert.equal(received.headers['x-should-retry'], String(ms <= 60_000));
    assert.equal(received.headers['content-type'], 'application/json');
  }

  describe('failover', () => {
    for (const reading of READINGS) {
      describe(`(${JSON.stringify(reading)})`, () => {
        it('has another resource answer at once what one throttles', async () => {
          await start({ readings: reading });
          stage.resources[0]?.throttle(20_000);
          const body = chat();
          const received = await ask('/chat/completions', { body });
          assert.equal(answerOf(received), 'openai2 answers: Say hello.');
          assert.equal(received.headers['x-balancer-attempts'], '2');
          assert.equal(received.headers['x-balancer-backend'], '127.0.0.1');
          assert.deepEqual(callsOf(stage), [1, 1, 0]);
          for (const { calls } of stage.resources.slice(0, 2)) assert.equal(calls[0]?.body.toString(), body);
        });

        it('does not ask a throttled resource again before it recovers', async () => {
          await start({ resources: 2, readings: reading });
          stage.resources[0]?.throttle(20_000);
          for (let n = 0; n < 4; n += 1) assert.equal((await ask('/chat/completions', { body: chat() })).status, 200);
          assert.deepEqual(callsOf(stage), [1, 4]);
          stage.clock.advance(20_000);
          for (let n = 0; n < 2; n += 1) assert.equal((await ask('/chat/completions', { body: chat() })).status, 200);
          assert.deepEqual(callsOf(stage), [2, 5]);
        });

        it('answers a throttled fleet with 429 and the earliest recovery, also later, until then', async () => {
          await start({ readings: reading });
          throttleAll(30, 7, 90);
          assertExhausted(await ask('/chat/completions', { body: chat() }), 7000);
          assert.deepEqual(callsOf(stage), [1, 1, 1]);
          stage.clock.advance(2500);
          assertExhausted(await ask('/chat/completions', { body: chat() }), 4500);
          assertExhausted(await ask('/files', { body: '{}' }), 4500);
          assert.deepEqual(callsOf(stage), [1, 1, 1]);
          stage.clock.advance(4500);
          assert.equal(answerOf(await ask('/chat/completions', { body: chat() })), 'openai2 answers: Say hello.');
        });

        it('tells the next recovery when the first to recover is throttled again', async () => {
          await start({ readings: reading });
          throttleAll(5, 8, 90);
          assertExhausted(await ask('/chat/completions', { body: chat() }), 5000);
          stage.clock.advance(6000);
          stage.resources[0]?.throttle(120_000);
          assertExhausted(await ask('/chat/completions', { body: chat() }), 2000);
          stage.clock.advance(1000);
          assertExhausted(await ask('/chat/completions', { body: chat() }), 1000);
        });

        it('tells clients not to wait when every resource is throttled for more than a minute', async () => {
          await start({ readings: reading });
          throttleAll(3600, 3600, 3600);
          assertExhausted(await ask('/chat/completions', { body: chat() }), 3_600_000);
          stage.clock.advance(3_000_000);
          assertExhausted(await ask('/chat/completions', { body: chat() }), 600_000);
        });

        for (const retryAfter of [undefined, '0', '-5', 'soon', '99999999999999999999', '9223372036854775807']) {
          it(`waits ten seconds after a 429 with Retry-After ${retryAfter ?? 'missing'}`, async () => {
            await start({ resources: 1, readings: reading });
            const headers = { 'retry-after': retryAfter, 'retry-after-ms': undefined };
            stage.resources[0]?.always({ kind: 'throttle', headers });
            assertExhausted(await ask('/chat/completions', { body: chat() }), 10_000);
          });
        }

        it('gives 502 when no resource is there, and asks each once', async () => {
          await start({ readings: reading });
          for (const resource of stage.resources) await takeDown(resource);
          const received = await ask('/chat/completions', { body: chat() });
          assert.equal(received.status, 502);
          assert.equal(errorOf(received).code, 'backends_unreachable');
        });

        it('does not call it throttled when resources fail', async () => {
          await start({ readings: reading });
          for (const resource of stage.resources) resource.always({ kind: 'status', status: 503 });
          const first = await ask('/chat/completions', { body: chat() });
          assert.equal(first.status, 503);
          const second = await ask('/chat/completions', { body: chat() });
          assert.ok([502, 503].includes(second.status));
          assert.deepEqual(callsOf(stage), [1, 1, 1]);
        });
      });
    }

    for (const status of [408, 500, 502, 503, 504]) {
      it(`has another resource answer after ${status} what may be repeated`, async () => {
        await start();
        stage.resources[0]?.script({ kind: 'status', status });
        assert.equal(answerOf(await ask('/chat/completions', { body: chat() })), 'openai2 answers: Say hello.');
        assert.deepEqual(callsOf(stage), [1, 1, 0]);
      });

      it(`gives the caller a ${status} as it came for what could be made twice`, async () => {
        await start();
        stage.resources[0]?.script({ kind: 'status', status, body: '{"error":{"code":"own"}}' });
        const received = await ask('/openai/v1/conversations', { body: '{}' });
        assert.deepEqual([received.status, received.body.toString()], [status, '{"error":{"code":"own"}}']);
        assert.deepEqual(callsOf(stage), [1, 0, 0]);
      });
    }

    it('repeats a legacy request, a GET and a DELETE after 500, and no PUT or PATCH', async () => {
      await start();
      for (const resource of stage.resources) resource.always({ kind: 'status', status: 500 });
      const attempts = async (path: string, sent: Sent): Promise<unknown> =>
        (await ask(path, sent)).headers['x-balancer-attempts'];
      assert.equal(await attempts(LEGACY, { body: chat() }), '3');
      for (const method of ['GET', 'DELETE']) assert.equal(await attempts('/files/file-1', { method }), '3');
      for (const method of ['PUT', 'PATCH']) assert.equal(await attempts('/files/file-1', { method }), '1');
    });

    it('passes a resource’s own 503 on, though another is throttled', async () => {
      await start();
      stage.resources[0]?.throttle(20_000);
      for (const resource of stage.resources.slice(1))
        resource.script({ kind: 'status', status: 503, body: '{"own":1}' });
      const received = await ask('/chat/completions', { body: chat() });
      assert.deepEqual([received.status, received.body.toString()], [503, '{"own":1}']);
      assert.deepEqual(callsOf(stage), [1, 1, 1]);
    });

    it('does not say that all are throttled when others are not there', async () => {
      await start();
      stage.resources[0]?.throttle(20_000);
      for (const resource of stage.resources.slice(1)) await takeDown(resource);
      const received = await ask('/chat/completions', { body: chat() });
      assert.deepEqual([received.status, errorOf(received).code], [502, 'backends_unreachable']);
    });

    it('has another resource answer when one refuses connections, and leaves that one alone for ten seconds', async () => {
      await start();
      await takeDown(stage.resources[0]);
      assert.equal(answerOf(await ask('/chat/completions', { body: chat() })), 'openai2 answers: Say hello.');
      const received = await ask('/chat/completions', { body: chat() });
      assert.equal(received.headers['x-balancer-attempts'], '1');
    });

    it('has nothing repeated after a broken connection that could be made twice', async () => {
      await start();
      stage.resources[0]?.script({ kind: 'reset-before-headers' });
      const received = await ask('/v1/conversations', { body: '{}' });
      assert.equal(received.status, 502);
      assert.equal(errorOf(received).code, 'backends_unreachable');
      assert.deepEqual(callsOf(stage), [1, 0, 0]);
    });

    it('cannot fail over after a broken connection if the service raises its errors at once: 502, and the next is served', async () => {
      await start({ readings: { failure: 'raised' } });
      stage.resources[0]?.script({ kind: 'reset-before-headers' });
      assert.equal((await ask('/chat/completions', { body: chat() })).status, 502);
      assert.equal((await ask('/chat/completions', { body: chat() })).status, 200);
      assert.deepEqual(callsOf(stage), [1, 1, 0]);
    });

    it('goes on to another resource with what is made when it was throttled: nothing was', async () => {
      await start();
      stage.resources[0]?.script({ kind: 'throttle', retryAfterMs: 20_000 });
      const received = await ask('/v1/conversations', { body: '{}' });
      assert.equal(received.status, 200);
      assert.deepEqual(callsOf(stage), [1, 1, 0]);
    });

    it('takes a response in the background for something made', async () => {
      await start();
      stage.resources[0]?.script({ kind: 'status', status: 500 });
      const body = JSON.stringify({ model: 'gpt-5.4-mini', input: 'x', background: true });
      assert.equal((await ask('/responses', { body })).status, 500);
      stage.resources[1]?.script({ kind: 'status', status: 500 });
      const plain = body.replace('true', 'false');
      assert.equal((await ask('/responses', { body: plain })).status, 200);
      assert.deepEqual(callsOf(stage), [1, 1, 1]);
    });

    for (const status of [400, 401, 403, 404, 413, 422]) {
      it(`passes a ${status} on as it came`, async () => {
        await start();
        stage.resources[0]?.script({ kind: 'status', status, body: '{"error":{"code":"own"}}' });
        const received = await ask('/chat/completions', { body: chat() });
        assert.deepEqual([received.status, received.body.toString()], [status, '{"error":{"code":"own"}}']);
        assert.deepEqual(callsOf(stage), [1, 0, 0]);
      });
    }

    it('asks a lower priority only while the higher one rests', async () => {
      await start({ priorities: [1, 2, 2] });
      for (let n = 0; n < 3; n += 1) await ask('/chat/completions', { body: chat() });
      assert.deepEqual(callsOf(stage), [3, 0, 0]);
      stage.resources[0]?.throttle(20_000);
      for (let n = 0; n < 2; n += 1) await ask('/chat/completions', { body: chat() });
      assert.deepEqual([callsOf(stage)[0], (callsOf(stage)[1] ?? 0) + (callsOf(stage)[2] ?? 0)], [4, 2]);
      stage.clock.advance(20_000);
      await ask('/chat/completions', { body: chat() });
      assert.equal(callsOf(stage)[0], 5);
    });

    it('works with a single resource, which is asked once and not twice when it throttles', async () => {
      await start({ resources: 1 });
      stage.resources[0]?.throttle(20_000);
      assertExhausted(await ask('/chat/completions', { body: chat() }), 20_000);
      assert.deepEqual(callsOf(stage), [1]);
    });

    it('passes a stream on byte by byte', async () => {
      await start();
      stage.resources[0]?.throttle(20_000);
      const body = chat({ stream: true });
      const received = await ask('/chat/completions', { body });
      assert.equal(answerOf(received), 'openai2 answers: Say hello.');
      assert.match(received.headers['content-type'] ?? '', /^text\/event-stream/);
      const direct = await sendBare(`${stage.resources[1]?.url}/openai/v1/chat/completions`, {
        headers: { authorization: `Bearer ${IDENTITY_TOKEN}` },
        body,
      });
      const shape = (text: string): string => text.replaceAll(/"(id|created|obfuscation)":(?:"[^"]*"|\d+)/g, '"$1":0');
      assert.equal(shape(received.body.toString()), shape(direct.body.toString()));
    });

    it('hands the first events of a stream on while the rest is not there', async () => {
      await start({ resources: 1 });
      stage.resources[0]?.script({ kind: 'stall', afterChunks: 2 });
      const leave = new AbortController();
      const first = Promise.withResolvers<string>();
      const asked = ask('/chat/completions', {
        body: chat({ stream: true }),
        onData: (piece) => first.resolve(piece.toString()),
        signal: leave.signal,
      });
      assert.match(await first.promise, /^data: /);
      leave.abort();
      await asked.catch(() => undefined);
    });
  });

  describe('what reaches a resource', () => {
    const VALUES = {
      cookie: 'session=secret',
      'proxy-authorization': 'Basic secret',
      'ocp-apim-subscription-key': 'secret',
      'x-api-key': 'secret',
      'x-ms-authorization-auxiliary': 'Bearer secret',
      'x-forwarded-for': '10.1.2.3',
      'x-forwarded-host': 'secret.example',
    };
    const STAINLESS = [
      'arch',
      'async',
      'custom-poll-interval',
      'helper-method',
      'lang',
      'os',
      'package-version',
      'poll-helper',
      'read-timeout',
      'retry-count',
      'runtime',
      'runtime-version',
      'timeout',
    ];

    for (const [what, credential] of [
      ['a key', { 'api-key': TEAM_KEY }],
      ['a token', { authorization: `Bearer ${GOOD}` }],
      ['a key beside a token', { 'api-key': TEAM_KEY, authorization: `Bearer ${GOOD}` }],
      ['a key beside something else', { 'api-key': TEAM_KEY, authorization: 'Bearer placeholder' }],
    ] as const) {
      it(`is one credential, the identity's, and nothing that is the caller's own, from a caller with ${what}`, async () => {
        await start();
        stage.resources[0]?.throttle(20_000);
        const stainless = Object.fromEntries(STAINLESS.map((name) => [`X-Stainless-${name}`, 'own']));
        const query =
          '?api-version=preview&api-key=secret&subscription-key=secret&access_token=secret&x=%2F..%2F&Api-Key=secret';
        const received = await sendBare(`${stage.url}/openai/v1/chat/completions${query}`, {
          headers: { ...credential, ...VALUES, ...stainless, 'openai-beta': 'assistants=v2' },
          body: chat(),
        });
        // Microsoft: the query parameter is looked at only when the header is missing.
        assert.equal(received.status, 'api-key' in credential ? 200 : 401);
        for (const { calls } of stage.resources) {
          for (const call of calls) {
            assert.deepEqual(credentialsIn(call), ['authorization', `Bearer ${IDENTITY_TOKEN}`]);
            assert.equal(call.path, '/openai/v1/chat/completions?api-version=preview&x=%2F..%2F');
            assert.doesNotMatch(
              call.rawHeaders.join('\n'),
              /secret|placeholder|team-key|10\.1\.2\.3|stainless|cookie/i,
            );
            assert.equal(call.headers['openai-beta'], 'assistants=v2');
          }
        }
        assert.deepEqual(callsOf(stage), 'api-key' in credential ? [1, 1, 0] : [0, 0, 0]);
      });
    }

    it('is no key that was sent in the query', async () => {
      await start();
      const received = await sendBare(`${stage.url}/models?api-key=${TEAM_KEY}&limit=2`);
      assert.equal(received.status, 200);
      assert.equal(onlyCall(stage).path, '/openai/v1/models?limit=2');
    });

    it('is no cookie on the way back', async () => {
      await start();
      stage.resources[0]?.script({
        kind: 'status',
        status: 200,
        headers: { 'set-cookie': 'own=1', 'x-ms-region': 'r' },
      });
      const received = await ask('/chat/completions', { body: chat() });
      assert.deepEqual([received.headers['set-cookie'], received.headers['x-ms-region']], [undefined, 'r']);
    });
  });

  describe('paths', () => {
    for (const { asked, upstream } of PATH_FORMS) {
      it(`are ${upstream} for GET ${asked}`, async () => {
        await start();
        const received = await ask(asked);
        assert.equal(received.status, 200);
        assert.equal(onlyCall(stage).path, upstream);
      });
    }

    for (const operation of ['chat/completions', 'completions', 'embeddings', 'responses', 'images/generations']) {
      for (const prefix of ['', '/v1', '/openai/v1']) {
        it(`are /openai/v1/${operation} for POST ${prefix}/${operation}`, async () => {
          await start();
          const body = JSON.stringify({ model: 'gpt-5.4-mini', input: 'x', prompt: 'x', messages: [] });
          assert.equal((await ask(`${prefix}/${operation}`, { body })).status, 200);
          const { method, path, body: sent } = onlyCall(stage);
          assert.deepEqual([method, path, sent.toString()], ['POST', `/openai/v1/${operation}`, body]);
        });
      }
    }

    for (const [asked, upstream] of [
      [LEGACY, LEGACY],
      [LEGACY.replace('gpt-5.4-mini', 'chat'), LEGACY],
      [LEGACY.replace('gpt-5.4-mini', '%63hat'), LEGACY],
      [`${LEGACY.replace('gpt-5.4-mini', 'chat')}&chat=/chat/`, `${LEGACY}&chat=/chat/`],
      [
        `/openai/deployments/embedding/embeddings${VERSION}`,
        `/openai/deployments/text-embedding-3-large/embeddings${VERSION}`,
      ],
    ] as const) {
      it(`are ${upstream} for POST ${asked}, and the body stays`, async () => {
        await start();
        const body = JSON.stringify({ model: 'chat', input: 'x', messages: [{ role: 'user', content: 'chat' }] });
        assert.equal((await ask(asked, { body })).status, 200);
        const call = onlyCall(stage);
        assert.deepEqual([call.path, call.body.toString()], [upstream, body]);
      });
    }

    it('with escapes are what the container front makes of them', async () => {
      await start();
      await ask(`/openai/deployments/${encodeURIComponent('a "b" é')}/chat/completions${VERSION}`, { body: chat() });
      await ask('/v1/videos:remix/a%20b', { body: '{}' });
      assert.deepEqual(
        stage.resources.flatMap(({ calls }) => calls.map(({ path }) => path)),
        [`/openai/deployments/a%20%22b%22%20%C3%A9/chat/completions${VERSION}`, '/openai/v1/videos:remix/a%20b'],
      );
    });

    for (const path of [
      '/',
      '/openai',
      '/openai/v1',
      '/v1',
      '/v2/chat/completions',
      '/favicon.ico',
      '/openai/v1/',
      '/admin',
    ]) {
      it(`that are not Azure OpenAI's are unknown: ${path}`, async () => {
        await start();
        for (const sent of [{}, { body: chat() }]) {
          const received = await ask(path, sent);
          assert.deepEqual([received.status, errorOf(received).code], [404, 'unknown_path']);
        }
        assert.deepEqual(callsOf(stage), [0, 0, 0]);
      });
    }

    for (const path of [
      '/openai/v1/files/a%2fb',
      '/v1/a%5cb',
      '/v1/files/%00',
      '/v1/%',
      '/v1/..%2fadmin',
      '/v1/../admin',
      '/v1/%2e%2e/admin',
      '/v1/%2E./admin',
      '/v1/./models',
      '/openai/deployments/../../admin/x',
    ]) {
      it(`that could climb out are refused: ${path}`, async () => {
        await start();
        const received = await asIs(stage.gateway.port, path);
        assert.deepEqual([received.status, received.code], [400, 'invalid_path']);
        assert.deepEqual(callsOf(stage), [0, 0, 0]);
      });
    }

    for (const path of [
      '/realtime',
      '/Realtime',
      '/openai/v1/realtime',
      '/v1/realtime/client_secrets',
      '/openai/v1/realtime/client_secrets',
      `/openai/realtimeapi/sessions${VERSION}`,
      '/openai/v1/%72ealtime/sessions',
      '/openai/v1/Realtime/sessions',
      '/v1/chatkit/sessions',
      `/openai/deployments/gpt-5.4-mini/realtime/sessions${VERSION}`,
    ]) {
      it(`of realtime sessions are not served: ${path}`, async () => {
        await start();
        const received = await ask(path, { body: '{}' });
        assert.deepEqual([received.status, errorOf(received).code], [501, 'realtime_not_supported']);
        assert.deepEqual(callsOf(stage), [0, 0, 0]);
      });
    }

    it('take no methods but those that have an operation', async () => {
      await start();
      assert.equal((await ask('/models', { method: 'OPTIONS' })).status, 404);
      for (const method of ['DELETE', 'PATCH', 'PUT']) await ask('/files/file-1', { method });
      assert.deepEqual(stage.resources.flatMap(({ calls }) => calls.map(({ method }) => method)).toSorted(), [
        'DELETE',
        'PATCH',
        'PUT',
      ]);
    });
  });

  describe('the old names', () => {
    for (const [name, deployment] of [
      ['chat', 'gpt-5.4-mini'],
      ['embedding', 'text-embedding-3-large'],
    ] as const) {
      it(`${name} becomes ${deployment} in a body, whose other bytes stay`, async () => {
        await start();
        const body = (model: string): string =>
          ` { "chat" : "chat",\n"messages":[{"role":"user","content":"\\"model\\":\\"chat\\" \\ud83d\\ude00 é"}],"model" \t:\n "${model}" , "n":1.0, "at":"2026-01-01T00:00:00Z", "seed":12345678901234567890 }\n`;
        await ask('/openai/v1/chat/completions', { body: body(name) });
        assert.equal(onlyCall(stage).body.toString(), body(deployment));
      });
    }

    it('stay in a body that names another, in a form, and in one that is not JSON', async () => {
      await start();
      const form = '--line\r\ncontent-disposition: form-data; name="model"\r\n\r\nchat\r\n--line--\r\n';
      const asked = [
        { headers: { 'content-type': 'application/json' }, body: chat({ model: 'chatty' }) },
        { headers: { 'content-type': 'multipart/form-data; boundary=line' }, body: form },
        { headers: { 'content-type': 'text/plain' }, body: '"model":"chat"' },
      ];
      for (const sent of asked) await ask('/audio/transcriptions', sent);
      assert.deepEqual(
        stage.resources.flatMap(({ calls }) => calls.map(({ body }) => body.toString())),
        asked.map(({ body }) => body),
      );
    });

    it('are no accident in a POST without a body', async () => {
      await start();
      await ask('/v1/responses/resp_1/cancel', { method: 'POST', headers: { 'content-type': 'application/json' } });
      assert.deepEqual(onlyCall(stage).body.length, 0);
    });

    it('of a large body are changed as in a small one', async () => {
      await start();
      const words = 'x'.repeat(2_000_000);
      stage.resources[0]?.throttle(20_000);
      await ask('/chat/completions', { body: chat({ user: words, model: 'chat' }) });
      for (const index of [0, 1]) {
        assert.equal(stage.resources[index]?.calls[0]?.body.toString(), chat({ user: words, model: 'gpt-5.4-mini' }));
      }
    });
  });

  describe('who is let in', () => {
    async function assertRefused(headers: Readonly<Record<string, string>>, code: string, status = 401): Promise<void> {
      const received = await askAs(headers);
      assert.deepEqual([received.status, errorOf(received).code], [status, code]);
      assert.equal(received.headers['www-authenticate'], 'Bearer');
      assert.deepEqual(callsOf(stage), [0, 0, 0]);
      for (const secret of Object.values(headers)) {
        const part = secret.split(' ').at(-1)?.split('.').at(-1) ?? '';
        if (part.length > 6) assert.ok(!received.body.toString().includes(part));
      }
    }

    async function assertServed(headers: Readonly<Record<string, string>>): Promise<void> {
      const received = await askAs(headers);
      assert.equal(answerOf(received), 'openai1 answers: Say hello.');
    }

    const bearer = (token: string): { readonly authorization: string } => ({ authorization: `Bearer ${token}` });

    it('is nobody without a credential', async () => {
      await start();
      await assertRefused({}, 'missing_credential');
      await assertRefused({ authorization: 'Basic dGVhbTpzZWNyZXQ=' }, 'missing_credential');
      await assertRefused({ authorization: 'Bearer' }, 'missing_credential');
      await assertRefused({ authorization: 'Bearer ' }, 'missing_credential');
    });

    it('is nobody with a key that is none of ours, whatever else is sent', async () => {
      await start();
      await assertRefused({ 'api-key': 'key-of-a-resource' }, 'unknown_credential');
      await assertRefused({ 'api-key': 'key-of-a-resource', ...bearer(GOOD) }, 'unknown_credential');
    });

    it('is nobody at all by key without CLIENT_API_KEYS', async () => {
      await start({ settings: { clientApiKeys: '' } });
      await assertRefused({ 'api-key': TEAM_KEY }, 'unknown_credential');
      await assertRefused({ 'api-key': '' }, 'unknown_credential');
      await assertRefused({}, 'missing_credential');
    });

    it('is each client by each of its keys', async () => {
      await start({ settings: { clientApiKeys: 'team-a=one=1,team-a=two, team-b = three ' } });
      for (const key of ['one=1', 'two', 'three']) {
        assert.equal((await askAs({ 'api-key': key })).status, 200);
      }
    });

    it('is nobody by a key that was taken out of CLIENT_API_KEYS, though its subscription was left behind', async () => {
      await start({ settings: { clientApiKeys: 'team-b=new' }, subscriptions: { old: 'client-key-2-team-b' } });
      await assertRefused({ 'api-key': 'old' }, 'unknown_credential');
      await assertServed({ 'api-key': 'new' });
    });

    it('is nobody by such a key when no keys are left either', async () => {
      await start({ settings: { clientApiKeys: '' }, subscriptions: { old: 'client-key-1-team' } });
      await assertRefused({ 'api-key': 'old' }, 'unknown_credential');
    });

    it('is whoever has a subscription that was made in the portal', async () => {
      await start({ subscriptions: { portal: 'partner' } });
      await assertServed({ 'api-key': 'portal' });
    });

    for (const [what, token] of [
      ['of an application, v1', GOOD],
      ['of an application, v2', tokenBy(TENANT_KEY, v2Claims())],
      ['of somebody who signed in, v1', tokenBy(TENANT_KEY, v1Claims(PERSON))],
      ['of somebody who signed in, v2', tokenBy(TENANT_KEY, v2Claims(PERSON))],
      ['for the audience with a slash', tokenBy(TENANT_KEY, v1Claims({ aud: 'https://cognitiveservices.azure.com/' }))],
      ['for the audience of the newer endpoint', tokenBy(TENANT_KEY, v2Claims({ aud: 'https://ai.azure.com' }))],
    ] as const) {
      it(`is a token ${what}`, async () => {
        await start();
        await assertServed(bearer(token));
        await assertRefusedElsewhere(token);
      });
    }

    /** API Management takes what is in api-key for a key. */
    async function assertRefusedElsewhere(token: string): Promise<void> {
      const received = await askAs({ 'api-key': token });
      assert.deepEqual([received.status, errorOf(received).code], [401, 'unknown_credential']);
    }

    it('is a token under a word in any case', async () => {
      await start();
      await assertServed({ authorization: `bearer ${GOOD}` });
    });

    const foreign = { iss: `https://sts.windows.net/${FOREIGN_TENANT}/`, tid: FOREIGN_TENANT };
    const other = { iss: `https://sts.windows.net/${OTHER_TENANT}/`, tid: OTHER_TENANT };
    const refused = [
      ['expired', tokenBy(TENANT_KEY, v1Claims({ exp: MADE_AT - 600 })), 'token_expired'],
      [
        'for another audience',
        tokenBy(TENANT_KEY, v1Claims({ aud: 'https://graph.microsoft.com' })),
        'token_wrong_audience',
      ],
      ['signed by nobody known', tokenBy(signingKey('attacker'), v1Claims()), 'token_signature_invalid'],
      ['with another signature', `${GOOD.slice(0, -8)}AAAAAAAA`, 'token_signature_invalid'],
      [
        'signed with another key of the same name',
        tokenBy(signingKey('attacker'), v1Claims(), { kid: 'key-a' }),
        'token_signature_invalid',
      ],
      ['without a signature', `${GOOD.split('.').slice(0, 2).join('.')}.`, 'token_signature_invalid'],
      ['with none as its algorithm', tokenBy(TENANT_KEY, v1Claims(), { alg: 'none' }), 'token_malformed'],
      ['of a tenant that is not ours', tokenBy(TENANT_KEY, v1Claims(foreign)), 'token_wrong_tenant'],
      [
        'of the second tenant, where only one is ours',
        tokenBy(OTHER_TENANT_KEY, v1Claims(other)),
        'token_wrong_tenant',
      ],
      ['of no tenant', tokenBy(TENANT_KEY, v1Claims({ tid: undefined })), 'token_wrong_tenant'],
      ['of an empty tenant', tokenBy(TENANT_KEY, v1Claims({ tid: '' })), 'token_wrong_tenant'],
      ['of two tenants at once', tokenBy(TENANT_KEY, v1Claims({ tid: [TENANT, OTHER_TENANT] })), 'token_wrong_tenant'],
      ['whose issuer is not its tenant', tokenBy(TENANT_KEY, v1Claims({ iss: foreign.iss })), 'token_wrong_tenant'],
      ['that names no application', tokenBy(TENANT_KEY, v2Claims({ azp: undefined })), 'token_malformed'],
      ['that is none', 'not-a-token', 'token_malformed'],
      ['that is a key', TEAM_KEY, 'token_malformed'],
      ['with claims that are no object', 'eyJhbGciOiJSUzI1NiJ9.W10.AAAA', 'token_malformed'],
    ] as const;
    for (const tokenSource of ['validate-azure-ad-token', 'validate-jwt'] as const) {
      for (const [what, token, code] of refused) {
        it(`is no token ${what} (errors of ${tokenSource})`, async () => {
          await start({ readings: { tokenSource } });
          await assertRefused(bearer(token), code);
        });
      }
    }

    it('is no token of two tenants at once where both are ours', async () => {
      await start({ settings: { entraTenantIds: `${TENANT},${OTHER_TENANT}` } });
      await assertRefused(bearer(tokenBy(TENANT_KEY, v1Claims({ tid: [TENANT, OTHER_TENANT] }))), 'token_wrong_tenant');
    });

    it('is each of two tenants by its own keys', async () => {
      await start({ settings: { entraTenantIds: ` ${TENANT.toUpperCase()}, ${OTHER_TENANT}` } });
      await assertRefused(bearer(tokenBy(TENANT_KEY, v1Claims(other))), 'token_signature_invalid');
      await assertRefused(bearer(tokenBy(OTHER_TENANT_KEY, v1Claims())), 'token_signature_invalid');
      await assertRefused(bearer(tokenBy(TENANT_KEY, v1Claims(foreign))), 'token_wrong_tenant');
      await assertServed(bearer(GOOD));
      assert.equal((await askAs(bearer(tokenBy(OTHER_TENANT_KEY, v1Claims(other))))).status, 200);
    });

    it('is a token until it ends', async () => {
      await start();
      await assertServed(bearer(GOOD));
      stage.clock.advance(LIFETIME * 1000);
      assert.equal(errorOf(await askAs(bearer(GOOD))).code, 'token_expired');
    });

    const SOMEBODY = '99999999-0000-4000-8000-000000000000';
    for (const [what, token, allowed, isLetIn] of [
      ['appid', GOOD, APP, true],
      ['appid, named and in capitals', GOOD, `${SOMEBODY},chat-app= ${APP.toUpperCase()}`, true],
      ['azp', tokenBy(TENANT_KEY, v2Claims()), `chat-app=${APP}`, true],
      ['appid in capitals', tokenBy(TENANT_KEY, v1Claims({ appid: APP.toUpperCase() })), APP, true],
      ['oid', GOOD, `ada=${OBJECT},${SOMEBODY}`, true],
      ['none of them', GOOD, SOMEBODY, false],
      ['a part of one', tokenBy(TENANT_KEY, v1Claims({ appid: 'aaaa', oid: '0000' })), `${SOMEBODY},aaaa-0000`, false],
      ['an empty one', tokenBy(TENANT_KEY, v1Claims({ oid: '' })), SOMEBODY, false],
      ['no oid', tokenBy(TENANT_KEY, v1Claims({ oid: undefined })), SOMEBODY, false],
    ] as const) {
      it(`is ${isLetIn ? 'somebody' : 'nobody'} whose ${what} is in ENTRA_ALLOWED_CLIENTS`, async () => {
        await start({ settings: { entraAllowedClients: allowed } });
        if (isLetIn) await assertServed(bearer(token));
        else await assertRefused(bearer(token), 'client_not_allowed', 403);
      });
    }

    it('is a client with a key, whatever ENTRA_ALLOWED_CLIENTS says', async () => {
      await start({ settings: { entraAllowedClients: SOMEBODY } });
      await assertServed({ 'api-key': TEAM_KEY });
    });
  });

  describe('the openai package', () => {
    const messages = [{ role: 'user' as const, content: 'What is new?' }];
    const model = 'gpt-5.4-mini';
    const clients: readonly (readonly [string, (url: string) => OpenAI])[] = [
      [
        'AzureOpenAI with a key',
        (endpoint) => new AzureOpenAI({ endpoint, apiVersion: '2024-10-21', apiKey: TEAM_KEY, maxRetries: 0 }),
      ],
      [
        'AzureOpenAI with a token provider',
        (endpoint) =>
          new AzureOpenAI({
            endpoint,
            apiVersion: '2024-10-21',
            azureADTokenProvider: () => Promise.resolve(GOOD),
            maxRetries: 0,
          }),
      ],
      ...['', '/v1', '/openai/v1'].map(
        (path) =>
          [
            `OpenAI with a token at ${path === '' ? 'the bare URL' : path}`,
            (url: string) => new OpenAI({ baseURL: url + path, apiKey: GOOD, maxRetries: 0 }),
          ] as const,
      ),
    ];
    for (const [name, make] of clients) {
      it(`gets a completion, a stream, a response and an embedding past a throttled resource: ${name}`, async () => {
        await start({ resources: 2 });
        stage.resources[0]?.throttle(50_000);
        const client = make(stage.url);
        const completion = await client.chat.completions.create({ model, messages });
        assert.equal(completion.choices[0]?.message.content, 'openai2 answers: What is new?');
        let text = '';
        for await (const chunk of await client.chat.completions.create({ model, messages, stream: true })) {
          text += chunk.choices[0]?.delta.content ?? '';
        }
        assert.equal(text, 'openai2 answers: What is new?');
        const response = await client.responses.create({ model, input: messages, store: false });
        assert.equal(response.output_text, 'openai2 answers: What is new?');
        const embedding = await client.embeddings.create({ model: 'embedding', input: 'x' });
        assert.ok((embedding.data[0]?.embedding.length ?? 0) > 0);
        assert.deepEqual(callsOf(stage), [1, 4]);
      });

      it(`is not made to wait for longer than a minute, and reads why: ${name}`, async () => {
        await start({ resources: 1 });
        stage.resources[0]?.throttle(3_600_000);
        const client = make(stage.url).withOptions({ maxRetries: 2 });
        await assert.rejects(client.chat.completions.create({ model, messages }), (error) => {
          assert.ok(error instanceof APIError);
          assert.deepEqual([error.status, error.code], [429, 'all_backends_throttled']);
          return true;
        });
        assert.deepEqual(callsOf(stage), [1]);
      });
    }
  });
});
