// The front door on the wire: every form of path, names that become other names, and which headers cross.

import assert from 'node:assert/strict';
import type { Call } from '../../simulator/server.ts';
import { CLIENT_KEY, startBalancer, type BalancerSetup, type RunningBalancer } from '../support/balancer.ts';
import { chat, errorOf, send, type Received, type Sent } from '../support/http.ts';
import { answerOf, callCounts, credentialsIn } from '../support/observed.ts';
import { PATH_FORMS } from '../support/path-forms.ts';

const VERSION = '?api-version=2024-10-21';

describe('the front door', () => {
  let running: RunningBalancer;

  async function start(setup: BalancerSetup = {}): Promise<void> {
    running = await startBalancer(setup);
  }

  afterEach(async () => {
    running.assertIdle();
    await running.close();
  });

  const ask = (path: string, sent: Sent = {}): Promise<Received> => send(running.url + path, sent);

  /** The one call that the first backend got. */
  function onlyCall(): Call {
    assert.deepEqual(callCounts(running), [1, 0, 0].slice(0, running.resources.length));
    const call = running.resources[0]?.calls[0];
    assert.ok(call !== undefined);
    return call;
  }

  for (const { asked, upstream } of PATH_FORMS) {
    it(`asks ${upstream} for GET ${asked}`, async () => {
      await start();
      const received = await ask(asked);
      assert.equal(received.status, 200);
      const call = onlyCall();
      assert.equal(call.method, 'GET');
      assert.equal(call.path, upstream);
      assert.equal(call.headers['content-length'], undefined);
      assert.deepEqual(credentialsIn(call), ['api-key', 'key-1']);
      const direct = await send(running.resources[0]?.url + upstream, { headers: { 'api-key': 'key-1' } });
      assert.ok(received.body.equals(direct.body));
    });
  }

  const operations = ['chat/completions', 'completions', 'embeddings', 'responses', 'images/generations'];
  for (const operation of operations) {
    for (const prefix of ['', '/v1', '/openai/v1']) {
      it(`asks /openai/v1/${operation} for POST ${prefix}/${operation}`, async () => {
        await start();
        const body = JSON.stringify({ model: 'gpt-5.4-mini', input: 'x', prompt: 'x', messages: [] });
        const received = await ask(`${prefix}/${operation}`, { body });
        assert.equal(received.status, 200);
        const call = onlyCall();
        assert.deepEqual([call.method, call.path, call.body.toString()], ['POST', `/openai/v1/${operation}`, body]);
      });
    }
  }

  const unknown = [
    '/',
    '/openai',
    '/openai/v1',
    '/v1',
    '/v2/chat/completions',
    '/favicon.ico',
    '/openai/v1/',
    '/admin',
  ];
  for (const path of unknown) {
    for (const method of ['GET', 'POST']) {
      it(`answers ${method} ${path} with what is served`, async () => {
        await start();
        const received = await ask(path, method === 'POST' ? { body: chat() } : {});
        assert.equal(received.status, 404);
        const { code, message, type } = errorOf(received);
        assert.equal(code, 'unknown_path');
        assert.equal(type, 'invalid_request_error');
        for (const form of [
          '/openai/deployments/{deployment}/',
          '/openai/v1/',
          '/v1/',
          'chat',
          'responses',
          '/healthz',
        ]) {
          assert.ok(message.includes(form), `${message} does not name ${form}`);
        }
        assert.deepEqual(callCounts(running), [0, 0, 0]);
      });
    }
  }

  for (const path of ['/openai/v1/files/a%2fb', '/v1/a%5cb', '/v1/files/%00', '/v1/%', '/v1/..%2fadmin']) {
    it(`refuses ${path}`, async () => {
      await start();
      const received = await ask(path);
      assert.equal(received.status, 400);
      assert.equal(errorOf(received).code, 'invalid_path');
      assert.deepEqual(callCounts(running), [0, 0, 0]);
    });
  }

  describe('names', () => {
    /** Each backend serves the deployment `chat` under a name of its own. */
    const mapped = (settings: Record<string, string>, names: readonly string[]): BalancerSetup => ({
      resource: (index) => ({ deployments: { [names[index] ?? '']: { model: 'gpt-5.4-mini' } } }),
      settings,
      backends: names.length,
    });
    const perBackend = mapped({ BACKEND_1_DEPLOYMENTS: 'chat=gpt-eu', BACKEND_2_DEPLOYMENT_NAME: 'gpt-us' }, [
      'gpt-eu',
      'gpt-us',
      'chat',
    ]);

    const legacyPaths = [
      {
        asked: `/openai/deployments/chat/chat/completions${VERSION}`,
        upstream: (name: string) => `/openai/deployments/${name}/chat/completions${VERSION}`,
      },
      {
        asked: `/openai/deployments/chat/chat/completions${VERSION}&chat=/chat/`,
        upstream: (name: string) => `/openai/deployments/${name}/chat/completions${VERSION}&chat=/chat/`,
      },
      {
        asked: `/openai/deployments/%63hat/chat/completions${VERSION}`,
        upstream: (name: string) => `/openai/deployments/${name}/chat/completions${VERSION}`,
      },
    ];
    for (const { asked, upstream } of legacyPaths) {
      it(`change in one segment of ${asked} only, at each backend to its own`, async () => {
        await start(perBackend);
        running.resources[0]?.script({ kind: 'throttle', retryAfterMs: 5000 });
        running.resources[1]?.script({ kind: 'throttle', retryAfterMs: 5000 });
        const body = chat({ model: 'chat', chat: 'chat' });
        const received = await ask(asked, { body });
        assert.equal(answerOf(received), 'openai3 answers: Say hello.');
        const calls = running.resources.map((resource) => resource.calls[0]);
        assert.deepEqual(
          calls.map((call) => call?.path),
          ['gpt-eu', 'gpt-us', 'chat'].map((name) => upstream(name)),
        );
        // The path names the deployment; the body's model is nobody's business.
        for (const call of calls) assert.equal(call?.body.toString(), body);
      });
    }

    it('change in the model of a body only, at each backend to its own', async () => {
      await start(perBackend);
      running.resources[0]?.script({ kind: 'throttle', retryAfterMs: 5000 });
      running.resources[1]?.script({ kind: 'throttle', retryAfterMs: 5000 });
      const body = (name: string): string =>
        ` { "chat" : "chat", "metadata":{"model":"chat"},\n"messages":[{"role":"user","content":"\\"model\\":\\"chat\\" \\ud83d\\ude00 é"}],"model" :  "${name}" , "n":1.0 }\n`;
      const received = await ask('/openai/v1/chat/completions', { body: body('chat') });
      assert.match(answerOf(received), /^openai3 answers: "model":"chat"/);
      assert.deepEqual(
        running.resources.map(({ calls }) => calls[0]?.path),
        Array.from({ length: 3 }, () => '/openai/v1/chat/completions'),
      );
      assert.deepEqual(
        running.resources.map(({ calls }) => calls[0]?.body.toString()),
        ['gpt-eu', 'gpt-us', 'chat'].map((name) => body(name)),
      );
    });

    it('change by alias for every backend, before its own mapping', async () => {
      await start(
        mapped({ DEPLOYMENT_ALIASES: 'chat=gpt-5.4-mini', BACKEND_1_DEPLOYMENTS: 'gpt-5.4-mini=gpt-eu' }, [
          'gpt-eu',
          'gpt-5.4-mini',
        ]),
      );
      running.resources[0]?.script({ kind: 'throttle', retryAfterMs: 5000 });
      const received = await ask('/chat/completions', { body: chat({ model: 'chat' }) });
      assert.equal(answerOf(received), 'openai2 answers: Say hello.');
      assert.deepEqual(
        running.resources.map(({ calls }) => calls[0]?.body.toString()),
        [chat({ model: 'gpt-eu' }), chat({ model: 'gpt-5.4-mini' })],
      );
      const state = running.balancer.pool.snapshot(0).backends.map(({ deployments }) => deployments[0]?.deployment);
      assert.deepEqual(state, ['gpt-eu', 'gpt-5.4-mini']);
    });

    it('that a backend does not serve are not asked of it', async () => {
      await start(mapped({ BACKEND_1_DEPLOYMENTS: 'other=gpt-eu' }, ['gpt-eu', 'chat']));
      const received = await ask('/chat/completions', { body: chat({ model: 'chat' }) });
      assert.equal(answerOf(received), 'openai2 answers: Say hello.');
      assert.equal(received.headers['x-balancer-attempts'], '1');
      assert.deepEqual(callCounts(running), [0, 1]);
    });

    it('that no backend serves are a 404, and nobody is asked', async () => {
      await start(
        mapped({ BACKEND_1_DEPLOYMENTS: 'a=gpt-eu', BACKEND_2_DEPLOYMENTS: 'b=gpt-us' }, ['gpt-eu', 'gpt-us']),
      );
      const received = await ask('/chat/completions', { body: chat({ model: 'chat' }) });
      assert.equal(received.status, 404);
      assert.equal(errorOf(received).code, 'DeploymentNotFound');
      assert.equal(received.headers['x-balancer-attempts'], '0');
      assert.deepEqual(callCounts(running), [0, 0]);
    });

    it('of a kind that needs escaping arrive as they are', async () => {
      await start({
        backends: 1,
        resource: () => ({ deployments: { 'a "b" é/c': { model: 'gpt-5.4-mini' } } }),
        settings: { BACKEND_1_DEPLOYMENTS: 'chat=a "b" é/c' },
      });
      const inBody = await ask('/chat/completions', { body: chat({ model: 'chat' }) });
      assert.equal(inBody.status, 200);
      const inPath = await ask(`/openai/deployments/chat/chat/completions${VERSION}`, { body: chat() });
      assert.equal(inPath.status, 200);
      const [first, second] = running.resources[0]?.calls ?? [];
      assert.equal(first?.body.toString(), chat({ model: 'a "b" é/c' }));
      assert.equal(second?.path, `/openai/deployments/${encodeURIComponent('a "b" é/c')}/chat/completions${VERSION}`);
    });

    it('change in the field of a form only; the file stays byte for byte what it was', async () => {
      await start({
        backends: 2,
        resource: (index) => ({ deployments: { [['heard-eu', 'hear'][index] ?? '']: { model: 'gpt-4o-transcribe' } } }),
        settings: { BACKEND_1_DEPLOYMENTS: 'hear=heard-eu' },
      });
      running.resources[0]?.script({ kind: 'throttle', retryAfterMs: 5000 });
      // A file that looks like a field, a field that looks like a model, and every byte there is.
      const file = Buffer.concat([
        Buffer.from('\r\n--other\r\ncontent-disposition: form-data; name="model"\r\n\r\nhear\r\n'),
        Buffer.from(Array.from({ length: 70_000 }, (_, n) => n % 256)),
      ]);
      const form = (model: string): Buffer =>
        Buffer.concat([
          Buffer.from(
            '--line\r\ncontent-disposition: form-data; name="file"; filename="model"\r\ncontent-type: audio/wav\r\n\r\n',
          ),
          file,
          Buffer.from(
            `\r\n--line\r\ncontent-disposition: form-data; name="prompt"\r\n\r\nhear\r\n--line\r\ncontent-disposition: form-data; name="model"\r\n\r\n${model}\r\n--line--\r\n`,
          ),
        ]);
      const headers = { 'content-type': 'multipart/form-data; boundary=line' };
      const received = await ask('/v1/audio/transcriptions', { body: form('hear'), headers });
      assert.equal(received.status, 200);
      const { text }: { text?: unknown } = JSON.parse(received.body.toString());
      assert.equal(text, `openai2 heard ${file.length} bytes with gpt-4o-transcribe`);
      const [eu, us] = running.resources.map(({ calls }) => calls[0]);
      assert.ok(eu !== undefined && us !== undefined);
      assert.ok(eu.body.equals(form('heard-eu')));
      assert.ok(us.body.equals(form('hear')));
      assert.equal(eu.headers['content-type'], headers['content-type']);
      assert.equal(eu.headers['content-length'], String(form('heard-eu').length));
    });
  });

  describe('headers', () => {
    const credentials: readonly (readonly [string, Record<string, string>])[] = [
      ['a key in api-key', { 'api-key': CLIENT_KEY }],
      ['a key as Bearer', { 'api-key': '', authorization: `Bearer ${CLIENT_KEY}` }],
      ['both, the key in api-key', { 'api-key': CLIENT_KEY, authorization: 'Bearer placeholder' }],
      ['both, the key as Bearer', { 'api-key': 'placeholder', authorization: `Bearer ${CLIENT_KEY}` }],
    ];
    for (const [what, headers] of credentials) {
      it(`of the caller stay here: ${what}`, async () => {
        await start();
        running.resources[0]?.script({ kind: 'throttle', retryAfterMs: 5000 });
        const others = {
          cookie: 'session=secret',
          'proxy-authorization': 'Basic c2VjcmV0',
          'ocp-apim-subscription-key': 'secret',
          'x-api-key': 'secret',
          'x-ms-authorization-auxiliary': 'Bearer secret',
          'x-forwarded-for': '10.1.2.3',
          'x-forwarded-host': 'secret.example',
          'x-original-url': '/secret',
          'x-stainless-lang': 'js',
          'user-agent': 'caller/1',
          referer: 'https://secret.example/',
          origin: 'https://secret.example',
        };
        const received = await ask('/chat/completions', { body: chat(), headers: { ...headers, ...others } });
        assert.equal(received.status, 200);
        for (const index of [0, 1]) {
          const call = running.resources[index]?.calls[0];
          assert.ok(call !== undefined);
          assert.deepEqual(credentialsIn(call), ['api-key', `key-${index + 1}`]);
          assert.doesNotMatch(
            call.rawHeaders.join('\n'),
            /secret|placeholder|client-key|10\.1\.2\.3|caller\/1|stainless/,
          );
        }
      });
    }

    it('that cross to the backend are an allow-list', async () => {
      await start();
      const allowed = {
        'content-type': 'application/json',
        accept: 'application/json',
        'openai-beta': 'assistants=v2',
        traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
        tracestate: 'a=b',
        'x-ms-client-request-id': 'mine',
        'x-ms-spillover-deployment': 'spill',
        'idempotency-key': 'only-once',
      };
      const others = {
        'x-anything': '1',
        'accept-encoding': 'gzip',
        te: 'trailers',
        'accept-language': 'de',
        range: 'x',
      };
      const received = await ask('/chat/completions', { body: chat(), headers: { ...allowed, ...others } });
      assert.equal(received.headers['x-ms-client-request-id'], 'mine');
      const { headers } = onlyCall();
      const { connection, ...sent } = headers;
      assert.equal(connection, 'keep-alive');
      assert.deepEqual(sent, {
        host: new URL(running.resources[0]?.url ?? '').host,
        ...allowed,
        'accept-encoding': 'identity',
        'content-length': String(chat().length),
        'api-key': 'key-1',
      });
    });

    it('of the answer cross but for those about the connection, the site and ourselves', async () => {
      await start();
      running.resources[0]?.script({
        kind: 'status',
        status: 409,
        headers: {
          'set-cookie': 'a=b',
          'alt-svc': 'h3=":443"',
          'x-balancer-backend': 'forged',
          'x-balancer-anything': 'forged',
          'x-request-id': 'theirs',
          'retry-after': '17',
          'x-custom': 'kept',
        },
      });
      const { headers, status } = await ask('/chat/completions', { body: chat() });
      assert.equal(status, 409);
      assert.equal(headers['set-cookie'], undefined);
      assert.equal(headers['alt-svc'], undefined);
      assert.equal(headers['strict-transport-security'], undefined);
      assert.equal(headers['x-balancer-backend'], 'openai1');
      assert.equal(headers['x-balancer-anything'], undefined);
      assert.equal(headers['x-request-id'], 'theirs');
      assert.equal(headers['retry-after'], '17');
      assert.equal(headers['x-custom'], 'kept');
    });

    it('show the identity’s token to a backend without a key, and nothing else', async () => {
      await start({
        backends: 2,
        resource: (index) => (index === 0 ? { apiKey: 'key-1', bearerToken: 'token-of-the-identity' } : {}),
        settings: { BACKEND_1_APIKEY: undefined },
        credential: () =>
          Promise.resolve({
            getToken: () =>
              Promise.resolve({ token: 'token-of-the-identity', expiresOnTimestamp: Date.now() + 3_600_000 }),
          }),
      });
      const received = await ask('/chat/completions', { body: chat(), headers: { authorization: 'Bearer entra' } });
      assert.equal(received.headers['x-balancer-backend'], 'openai1');
      const call = running.resources[0]?.calls[0];
      assert.ok(call !== undefined);
      assert.deepEqual(credentialsIn(call), ['authorization', 'Bearer token-of-the-identity']);
    });

    it('do not cross from a caller without a key: it is told so, and nobody is asked', async () => {
      await start();
      for (const [headers, code] of [
        [{ 'api-key': '' }, 'missing_credential'],
        [{ 'api-key': 'key-1' }, 'unknown_credential'],
        [{ 'api-key': '', authorization: `Basic ${CLIENT_KEY}` }, 'missing_credential'],
        [{ 'api-key': '', authorization: 'Bearer nonsense' }, 'unknown_credential'],
      ] as const) {
        const received = await ask('/chat/completions', { body: chat(), headers });
        assert.equal(received.status, 401);
        assert.equal(errorOf(received).code, code);
        assert.equal(received.headers['www-authenticate'], 'Bearer');
      }
      assert.deepEqual(callCounts(running), [0, 0, 0]);
    });
  });
});
