import assert from 'node:assert/strict';
import { CLIENT_KEY, startBalancer, type BalancerSetup, type RunningBalancer } from '../support/balancer.ts';
import { chat, send } from '../support/http.ts';
import { codeOf, connectTo, exchange, head, type RawAnswer } from '../support/raw.ts';

describe('who may call', () => {
  let running: RunningBalancer;
  afterEach(() => running.close());

  async function start(setup: BalancerSetup = {}): Promise<void> {
    running = await startBalancer(setup);
  }

  function ask(path: string, ...lines: readonly string[]): Promise<RawAnswer> {
    const host = lines.some((line) => /^host:/i.test(line)) ? [] : [`Host: 127.0.0.1:${running.port}`];
    return exchange(running.port, head(`GET ${path} HTTP/1.1`, ...host, ...lines, 'Connection: close'));
  }

  function calls(): number {
    return running.resources.reduce((sum, resource) => sum + resource.calls.length, 0);
  }

  function clients(): readonly string[] {
    return running.events.flatMap((event) => (event.kind === 'request-finished' ? [event.client] : []));
  }

  describe('with CLIENT_API_KEYS', () => {
    for (const [how, line] of [
      ['api-key', `api-key: ${CLIENT_KEY}`],
      ['Authorization: Bearer', `Authorization: Bearer ${CLIENT_KEY}`],
      ['authorization: bearer, in small letters', `authorization: bearer ${CLIENT_KEY}`],
    ] as const) {
      it(`is served with a key in ${how}`, async () => {
        await start();
        const answer = await ask('/v1/models', line);
        assert.equal(answer.status, 200);
        assert.equal(calls(), 1);
        assert.deepEqual(clients(), ['tester']);
        running.assertIdle();
      });
    }

    it('is served with a key in the one header and a placeholder in the other', async () => {
      await start();
      const right = [`api-key: ${CLIENT_KEY}`, 'Authorization: Bearer placeholder'];
      assert.equal((await ask('/v1/models', ...right)).status, 200);
      const left = ['api-key: placeholder', `Authorization: Bearer ${CLIENT_KEY}`];
      assert.equal((await ask('/v1/models', ...left)).status, 200);
      assert.deepEqual(clients(), ['tester', 'tester']);
    });

    for (const [how, ...lines] of [
      ['no credential'],
      ['an empty api-key', 'api-key:'],
      ['an empty bearer', 'Authorization: Bearer '],
      ['another scheme', `Authorization: Basic ${CLIENT_KEY}`],
      ['no scheme', `Authorization: ${CLIENT_KEY}`],
      ['a cookie', `Cookie: api-key=${CLIENT_KEY}`],
      ['another header', `x-api-key: ${CLIENT_KEY}`],
    ] as const) {
      it(`is refused with 401 missing_credential: ${how}`, async () => {
        await start();
        const answer = await ask('/v1/models', ...lines);
        assert.equal(answer.status, 401);
        assert.equal(codeOf(answer), 'missing_credential');
        assert.equal(answer.headers['www-authenticate'], 'Bearer');
        assert.match(answer.body, /api-key/);
        assert.equal(calls(), 0);
        assert.deepEqual(clients(), ['']);
        running.assertIdle();
      });
    }

    for (const [how, ...lines] of [
      ['another key', 'api-key: other'],
      ['another bearer', 'Authorization: Bearer other'],
      ['a longer key', `api-key: ${CLIENT_KEY}x`],
      ['a shorter key', `api-key: ${CLIENT_KEY.slice(0, -1)}`],
      ['the key in capitals', `api-key: ${CLIENT_KEY.toUpperCase()}`],
      ['the name with the key', `api-key: tester=${CLIENT_KEY}`],
      ['the key of a backend', 'api-key: key-1'],
      ['the key twice, which HTTP joins', `api-key: ${CLIENT_KEY}`, `api-key: ${CLIENT_KEY}`],
    ] as const) {
      it(`is refused with 401 unknown_credential: ${how}`, async () => {
        await start();
        const answer = await ask('/v1/models', ...lines);
        assert.equal(answer.status, 401);
        assert.equal(codeOf(answer), 'unknown_credential');
        assert.equal(answer.headers['www-authenticate'], 'Bearer');
        assert.match(answer.body, /CLIENT_API_KEYS/);
        assert.ok(!answer.body.includes('other'));
        assert.equal(calls(), 0);
        running.assertIdle();
      });
    }

    it('is refused before a body is read, whatever its size', async () => {
      await start();
      const connection = await connectTo(running.port);
      connection.write(head('POST /v1/responses HTTP/1.1', 'Host: x', 'Content-Length: 1000000000'));
      assert.equal((await connection.answer()).status, 401);
      connection.socket.destroy();
      assert.equal(running.balancer.admission.bodies.taken, 0);
    });

    it('is served with either of the two keys of a client, and told apart by the name alone', async () => {
      await start({ settings: { CLIENT_API_KEYS: 'team-a=old,team-a=new,team-b=third' } });
      for (const key of ['old', 'new', 'third']) {
        assert.equal((await ask('/v1/models', `api-key: ${key}`)).status, 200);
      }
      assert.equal((await ask('/v1/models', `api-key: ${CLIENT_KEY}`)).status, 401);
      assert.deepEqual(clients(), ['team-a', 'team-a', 'team-b', '']);
    });
  });

  it('is everybody on a loopback address without CLIENT_API_KEYS', async () => {
    await start({ settings: { CLIENT_API_KEYS: undefined } });
    assert.equal((await ask('/v1/models')).status, 200);
    assert.equal((await ask('/v1/models', 'api-key: anything')).status, 200);
    assert.deepEqual(clients(), ['anonymous', 'anonymous']);
    const sent = running.resources.flatMap(({ calls: made }) => made.map(({ headers }) => headers['api-key']));
    assert.deepEqual(sent, ['key-1', 'key-1']);
  });

  for (const [path, body] of [
    ['/healthz', { status: 'alive' }],
    ['/readyz', { status: 'ready' }],
  ] as const) {
    it(`${path} needs no credential, under any Host, and asks no backend`, async () => {
      await start({ settings: { OPERATOR_KEYS: 'alice=operator-key' } });
      for (const lines of [[], ['Host: 10.0.0.7:8080'], ['api-key: wrong']]) {
        const answer = await ask(path, ...lines);
        assert.equal(answer.status, 200);
        assert.deepEqual(JSON.parse(answer.body), body);
        assert.equal(answer.headers['cache-control'], 'no-store');
      }
      assert.equal(calls(), 0);
    });
  }

  describe('/status', () => {
    const OPERATOR = { OPERATOR_KEYS: 'alice=operator-key' };
    const NOTHING = { CLIENT_API_KEYS: undefined };

    it('opens to an operator key, in either header and under any Host', async () => {
      await start({ settings: OPERATOR });
      for (const line of ['api-key: operator-key', 'Authorization: Bearer operator-key']) {
        const answer = await ask('/status', line, 'Host: balancer.example');
        assert.equal(answer.status, 200);
        assert.match(answer.body, /"name": "openai1"/);
        for (const secret of ['key-1', 'operator-key', CLIENT_KEY]) assert.ok(!answer.body.includes(secret));
      }
    });

    for (const [how, settings, ...lines] of [
      ['no credential', OPERATOR],
      ['no credential, and no client keys', { ...OPERATOR, ...NOTHING }],
      ['a client key', OPERATOR, `api-key: ${CLIENT_KEY}`],
      ['a wrong key', OPERATOR, 'api-key: wrong'],
      ['a client key, and no operator keys', {}, `api-key: ${CLIENT_KEY}`],
      ['no credential, and only client keys', {}],
    ] as const) {
      it(`is 401: ${how}`, async () => {
        await start({ settings });
        const answer = await ask('/status', ...lines);
        assert.equal(answer.status, 401);
        assert.equal(codeOf(answer), 'operator_credential_needed');
        assert.match(answer.headers['www-authenticate'] ?? '', /^Basic realm="[^"]+", charset="UTF-8"$/);
        assert.ok(!answer.body.includes('openai1'));
      });
    }

    it('is 401 under a loopback Host when HOST is not a loopback address', async () => {
      await start({ settings: { ...NOTHING, HOST: '0.0.0.0', ALLOW_ANONYMOUS: 'true' } });
      const answer = await ask('/status');
      assert.equal(answer.status, 401);
      assert.equal(codeOf(answer), 'operator_credential_needed');
    });

    for (const host of [
      '127.0.0.1:8080',
      '127.0.0.1',
      'localhost:8080',
      'localhost',
      'LocalHost:8080',
      '[::1]:8080',
      '[::1]',
    ]) {
      it(`is open when nothing is configured and the Host is loopback: ${host}`, async () => {
        await start({ settings: NOTHING });
        const answer = await ask('/status', `Host: ${host}`);
        assert.equal(answer.status, 200);
        assert.match(answer.body, /"state": "serving"/);
      });
    }

    for (const host of [
      'balancer.example',
      'balancer.example:8080',
      '10.0.0.7:8080',
      'localhost.evil.example',
      '127.0.0.1.evil.example',
      'evil.example:127',
      '0.0.0.0:8080',
      '127.0.0.1@evil.example',
      '127.0.0.1, evil.example',
      '',
    ]) {
      it(`is 403 when nothing is configured and the Host is another: ${host}`, async () => {
        await start({ settings: NOTHING });
        const answer = await ask('/status', `Host: ${host}`);
        assert.equal(answer.status, 403);
        assert.equal(codeOf(answer), 'host_not_local');
        assert.ok(!answer.body.includes('openai1'));
      });
    }
  });

  it('gets errors that show no stack, no path of the machine and no software', async () => {
    await start({ backends: 1, settings: { MAX_BODY_BYTES: '1000', OPERATOR_KEYS: 'alice=operator-key' } });
    const key = `api-key: ${CLIENT_KEY}`;
    const answers = [
      await ask('/v1/../x', key),
      await ask('/%', key),
      await ask('/nowhere', key),
      await ask('/v1/models'),
      await ask('/status'),
      await ask('/v1/realtime', key, 'Upgrade: websocket', 'Connection: Upgrade'),
      await exchange(running.port, head('TRACE / HTTP/1.1', 'Host: x')),
      await exchange(running.port, head('CONNECT x:1 HTTP/1.1', 'Host: x')),
      await exchange(running.port, head('GET / HTTP/9.9')),
      await exchange(running.port, head(`GET /${'x'.repeat(40_000)} HTTP/1.1`, 'Host: x')),
      await exchange(
        running.port,
        `${head('POST /v1/responses HTTP/1.1', 'Host: x', key, 'Content-Length: 2000')}${' '.repeat(2000)}`,
      ),
    ];
    await running.resources[0]?.stopListening();
    answers.push(await ask('/v1/models', key));
    assert.deepEqual(
      answers.map(({ status }) => status),
      [400, 400, 404, 401, 401, 501, 405, 405, 400, 431, 413, 502],
    );
    for (const answer of answers) {
      assert.notEqual(codeOf(answer), '');
      assert.doesNotMatch(answer.body, /\\n +at |node_modules|\.ts\b|\.js\b|file:|Error:|127\.0\.0\.1/);
      assert.doesNotMatch(answer.head, /x-powered-by|\nserver:/i);
      assert.equal(answer.headers['content-type'], 'application/json');
    }
    running.assertIdle();
  });

  it('gets 500 internal_error for a bug; its stack stands in the log alone, on one line', async () => {
    let isBroken = false;
    await start({
      backends: 1,
      clock: () => {
        if (isBroken) throw new Error('a bug\nGET /forged 200');
        return 0;
      },
    });
    isBroken = true;
    const received = await send(`${running.url}/v1/chat/completions`, { body: chat() });
    isBroken = false;
    assert.equal(received.status, 500);
    assert.equal(codeOf({ body: received.body.toString() }), 'internal_error');
    assert.doesNotMatch(received.body.toString(), /a bug|\.ts/);
    assert.equal(running.log.length, 1);
    assert.match(running.log[0] ?? '', /^ERROR A request failed on a bug: Error: a bug\?GET \/forged 200.*\n$/);
    assert.equal(calls(), 0);
    running.assertIdle();
    assert.equal((await send(`${running.url}/v1/chat/completions`, { body: chat() })).status, 200);
  });
});
