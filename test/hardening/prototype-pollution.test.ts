import assert from 'node:assert/strict';
import { readConfig } from '../../app/src/config.ts';
import type { ProxyEvent } from '../../app/src/telemetry/events.ts';
import { CLIENT_KEY, startBalancer, type BalancerSetup, type RunningBalancer } from '../support/balancer.ts';
import { chat, errorOf, send, type Received } from '../support/http.ts';
import { callCounts, course } from '../support/observed.ts';
import { exchange, head } from '../support/raw.ts';

/** What every object has already, so that a table that is an object finds it. */
const INHERITED = [
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'hasOwnProperty',
  'valueOf',
  '__defineGetter__',
  '__lookupSetter__',
  'isPrototypeOf',
];

const POLLUTING =
  '"__proto__":{"polluted":true,"model":"gpt-5.4-mini","stream":true},' +
  '"constructor":{"prototype":{"polluted":true}},"__proto__.polluted":true';

const PROTOTYPES = [Object.prototype, Array.prototype, Function.prototype, String.prototype, Map.prototype];
const propertiesOf = (): readonly string[] =>
  PROTOTYPES.flatMap((prototype) => Reflect.ownKeys(prototype).map((name) => String(name)));

describe('the prototypes of all objects', () => {
  const before = propertiesOf();
  let running: RunningBalancer;
  afterEach(async () => {
    const after = propertiesOf();
    const isPolluted = 'polluted' in {} || 'model' in {} || 'stream' in [];
    // Whatever was found, the tests after this one have their objects back.
    for (const name of Reflect.ownKeys(Object.prototype)) {
      if (!before.includes(String(name))) Reflect.deleteProperty(Object.prototype, name);
    }
    await running.close();
    assert.deepEqual(after, before);
    assert.equal(isPolluted, false);
    running.assertIdle();
  });

  async function start(setup: BalancerSetup = {}): Promise<void> {
    running = await startBalancer({ backends: 2, ...setup });
  }

  function ask(body: string, path = '/v1/chat/completions'): Promise<Received> {
    return send(`${running.url}${path}`, { body });
  }

  it('stay as they are when a body names them, and the body goes on as it is', async () => {
    await start();
    const body = `{${POLLUTING},"model":"gpt-5.4-mini","messages":[{"role":"user","content":"x",${POLLUTING}}]}`;
    const received = await ask(body);
    assert.equal(received.status, 200);
    assert.match(received.headers['content-type'] ?? '', /^application\/json/); // `stream` there is not ours.
    assert.equal(running.resources[0]?.calls[0]?.body.toString(), body);
  });

  it('give no request a model', async () => {
    await start();
    const received = await ask(`{${POLLUTING},"messages":[]}`);
    const finished = running.events.find(({ kind }) => kind === 'request-finished');
    assert.ok(finished?.kind === 'request-finished');
    assert.equal(finished.deployment, '');
    assert.notEqual(received.status, 200);
  });

  it('stay as they are when a query or a header names them', async () => {
    await start();
    const lines = INHERITED.flatMap((name) => [`${name}: polluted`, `${name.toUpperCase()}: polluted`]);
    const query = INHERITED.map((name) => `${name}[polluted]=true&${name}=x`).join('&');
    const answer = await exchange(
      running.port,
      head(
        `GET /v1/models?${query} HTTP/1.1`,
        'Host: x',
        `api-key: ${CLIENT_KEY}`,
        ...lines,
        `Connection: close, ${INHERITED.join(', ')}`,
      ),
    );
    assert.equal(answer.status, 200);
    const [call] = running.resources[0]?.calls ?? [];
    assert.equal(call?.path, `/openai/v1/models?${query}`);
    const names = call?.rawHeaders.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase());
    assert.deepEqual(names?.toSorted(), ['accept-encoding', 'api-key', 'connection', 'host', 'x-ms-client-request-id']);
  });

  it('stay as they are when a backend names them, in what fails and in what it counted', async () => {
    await start();
    const error = `{${POLLUTING},"error":{${POLLUTING},"code":"__proto__","innererror":{${POLLUTING}}}}`;
    const answer = `{${POLLUTING},"usage":{${POLLUTING},"prompt_tokens":1,"completion_tokens":1}}`;
    const headers = {
      constructor: 'x',
      hasownproperty: 'x',
      'x-balancer-__proto__': 'x',
      'x-ratelimit-limit-__proto__': '1',
    };
    for (const status of [400, 401, 404, 500, 503]) {
      running.resources[0]?.script({ kind: 'status', status, body: error, headers });
      await ask(chat());
    }
    running.resources[1]?.always({ kind: 'status', status: 200, body: answer, headers });
    const received = await ask(chat());
    assert.deepEqual([received.status, received.body.toString()], [200, answer]);
    assert.equal(received.headers['x-balancer-__proto__'], undefined);
  });

  for (const isListed of [true, false]) {
    it(`make no deployment known, where backends ${isListed ? 'list theirs' : 'are asked'}`, async () => {
      const listed = { BACKEND_1_DEPLOYMENTS: 'a=gpt-5.4-mini', BACKEND_2_DEPLOYMENTS: 'a=gpt-5.4-mini,b=c' };
      await start({ clock: () => 0, settings: { DEPLOYMENT_ALIASES: 'x=gpt-5.4-mini', ...(isListed ? listed : {}) } });
      /** All that can be seen of a request for this name, with the name taken out of it. */
      const seen = async (name: string, how: 'body' | 'path' | 'upload'): Promise<unknown> => {
        running.resources.forEach((resource) => resource.clearCalls());
        const from = running.events.length;
        const received = await (how === 'body'
          ? ask(chat({ model: name }))
          : how === 'path'
            ? ask('{"messages":[]}', `/openai/deployments/${name}/chat/completions?api-version=2024-10-21`)
            : send(`${running.url}/v1/audio/transcriptions`, {
                headers: { 'content-type': 'multipart/form-data; boundary=b' },
                body: `--b\r\nContent-Disposition: form-data; name="model"\r\n\r\n${name}\r\n--b--\r\n`,
              }));
        const { code, message } = errorOf(received);
        const events = running.events.slice(from).map((event) => described(event, name));
        return {
          status: received.status,
          code,
          message: message.replace(name, '…'),
          ...course(received),
          events,
          calls: callCounts(running),
        };
      };
      for (const how of ['body', 'path', 'upload'] as const) {
        const unknown = await seen('no-such-name', how);
        assert.match(JSON.stringify(unknown), /"status":404,"code":"DeploymentNotFound","message":"No backend has/);
        for (const name of INHERITED) assert.deepEqual(await seen(name, how), unknown, name);
      }
      // Nor is any of them found missing for the others.
      assert.equal((await ask(chat({ model: isListed ? 'a' : 'x' }))).status, 200);
    });
  }

  it('are names like others for clients, operators, backends and deployments', async () => {
    const names = ['constructor', 'toString', 'hasOwnProperty', 'valueOf'];
    await start({
      settings: {
        BACKEND_1_NAME: 'constructor',
        BACKEND_2_NAME: 'toString',
        BACKEND_1_DEPLOYMENTS: '__proto__=gpt-5.4-mini,constructor=gpt-5.4-mini',
        BACKEND_2_DEPLOYMENTS: 'valueOf=gpt-5.4-mini',
        DEPLOYMENT_ALIASES: 'hasOwnProperty=__proto__',
        CLIENT_API_KEYS: names.map((name) => `${name}=key-of-${name}`).join(','),
        CLIENT_LIMITS: 'constructor=1rpm:5concurrent',
        OPERATOR_KEYS: 'constructor=operator-key',
      },
    });
    const by = (client: string, model: string): Promise<Received> =>
      send(`${running.url}/v1/chat/completions`, { headers: { 'api-key': `key-of-${client}` }, body: chat({ model }) });
    for (const [model, backend] of [
      ['__proto__', 'constructor'],
      ['constructor', 'constructor'],
      ['valueOf', 'toString'],
      ['hasOwnProperty', 'constructor'],
    ] as const) {
      const received = await by('toString', model);
      assert.deepEqual([received.status, received.headers['x-balancer-backend']], [200, backend], model);
    }
    assert.equal((await by('toString', 'toString')).status, 404);
    assert.equal((await by('constructor', '__proto__')).status, 200);
    assert.equal((await by('constructor', '__proto__')).status, 429); // Its one request a minute is used.
    for (const name of ['__proto__', 'prototype', 'isPrototypeOf']) {
      assert.equal((await by(name, '__proto__')).status, 401);
    }
    for (const path of ['/status', '/metrics']) {
      const page = await send(`${running.url}${path}`, { headers: { 'api-key': 'operator-key' } });
      assert.equal(page.status, 200);
      assert.match(page.body.toString(), path === '/status' ? /"name": "constructor"/ : /client="constructor"/);
    }
  });

  it('stay as they are when settings name them', async () => {
    await start();
    const env: Record<string, string> = JSON.parse(
      '{"__proto__":"x","constructor":"x","hasOwnProperty":"x","BACKEND_1_URL":"https://one.openai.azure.com"}',
    );
    assert.deepEqual(readConfig(env), readConfig({ BACKEND_1_URL: 'https://one.openai.azure.com' }));
    for (const name of ['BACKEND_1___proto__', 'BACKEND___proto___URL', 'BACKEND_1_constructor']) {
      assert.throws(
        () => readConfig({ ...env, [name]: 'x' }),
        (error: unknown) => error instanceof Error && error.message.includes(`${name}: is not a setting`),
      );
    }
  });
});

/** Without what differs from request to request. */
function described(event: ProxyEvent, name: string): unknown {
  const text = JSON.stringify(event, (member, value: unknown) =>
    ['requestId', 'url', 'path'].includes(member) ? '' : value,
  );
  return text.replaceAll(JSON.stringify(name), '"…"');
}
