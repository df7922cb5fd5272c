import assert from 'node:assert/strict';
import { startBalancer, type BalancerSetup, type RunningBalancer } from '../support/balancer.ts';
import { chat, send, type Sent } from '../support/http.ts';
import { watch, type Watched } from '../support/watched.ts';

describe('the ids of a request', () => {
  let running: RunningBalancer;
  afterEach(() => running.close());

  async function start(setup: BalancerSetup = {}): Promise<void> {
    running = await startBalancer({ backends: 2, ...setup });
  }

  function ask(sent: Sent = {}, path = '/v1/chat/completions'): Promise<Watched<Awaited<ReturnType<typeof send>>>> {
    return watch(running, () => send(running.url + path, { body: chat(), ...sent }));
  }

  /** What each backend was told, in the order of BACKEND_n. */
  function told(): readonly unknown[] {
    return running.resources.flatMap(({ calls }) => calls.map(({ headers }) => headers['x-ms-client-request-id']));
  }

  it('are made here when the caller has none, told to it, and to every backend that is asked', async () => {
    await start();
    running.resources[0]?.script({ kind: 'status', status: 503 });
    const { received, finished, line } = await ask();
    assert.equal(received.status, 200);
    assert.match(finished.requestId, /^[0-9a-z]{6}-[0-9a-z]+$/);
    assert.equal(received.headers['x-balancer-request-id'], finished.requestId);
    assert.deepEqual(told(), [finished.requestId, finished.requestId]);
    assert.ok(line.endsWith(` request_id=${finished.requestId}\n`), line);
    const attempts = running.log.filter((text) => text.startsWith('Proxying to '));
    assert.equal(attempts.length, 2);
    for (const text of attempts) assert.ok(text.endsWith(` request_id=${finished.requestId}\n`), text);
    const again = await ask();
    assert.notEqual(again.finished.requestId, finished.requestId);
  });

  for (const name of ['x-ms-client-request-id', 'x-request-id', 'x-client-request-id']) {
    it(`are the caller's in ${name}: the backend is told it, the log has both, the answer ours`, async () => {
      await start();
      const { received, finished, line } = await ask({ headers: { [name]: '4f1c-77' } });
      assert.deepEqual(told(), ['4f1c-77']);
      assert.equal(received.headers['x-balancer-request-id'], finished.requestId);
      assert.ok(line.endsWith(` client_request_id=4f1c-77 request_id=${finished.requestId}\n`), line);
    });
  }

  it('of the backend reach the caller as they are', async () => {
    await start();
    const { received } = await ask();
    assert.match(String(received.headers['apim-request-id']), /^[0-9a-f-]{36}$/);
    assert.match(String(received.headers['x-request-id']), /^[0-9a-f-]{36}$/);
  });

  it('of a caller that are long or not plain are neither believed nor passed on', async () => {
    await start();
    for (const id of ['a'.repeat(129), 'a b', 'a"b', '\u00fc']) {
      const { received, finished, line } = await ask({ headers: { 'x-ms-client-request-id': id } });
      assert.equal(received.status, 200);
      assert.equal(told().at(-1), finished.requestId);
      assert.ok(!line.includes('client_request_id'), line);
    }
  });

  it('are on every error that is made here too', async () => {
    await start({ settings: { MAX_BODY_BYTES: '2000', OPERATOR_KEYS: 'alice=operator-key' } });
    for (const resource of running.resources) resource.always({ kind: 'throttle', retryAfterMs: 70_000 });
    for (const [code, path, sent] of [
      ['missing_credential', '/v1/chat/completions', { headers: { 'api-key': '', 'x-request-id': 'mine' } }],
      ['unknown_path', '/nowhere', {}],
      ['body_too_large', '/v1/chat/completions', { body: ' '.repeat(3000) }],
      ['all_backends_throttled', '/v1/chat/completions', {}],
      ['operator_credential_needed', '/status', { method: 'GET', body: '' }],
    ] as const) {
      const { received, finished } = await ask(sent, path);
      assert.equal(finished.code, code);
      assert.equal(received.headers['x-balancer-request-id'], finished.requestId, code);
      assert.equal(finished.clientRequestId, code === 'missing_credential' ? 'mine' : undefined);
    }
  });

  it('are on a stream that was begun before any backend answered', async () => {
    await start({ backends: 1, handlerLimits: { sseKeepAliveMs: 20 } });
    running.resources[0]?.script({ kind: 'slow-first-byte', ms: 100 });
    const { received, finished } = await ask({ body: chat({ stream: true }) });
    assert.match(received.body.toString(), /^: keep-alive/);
    assert.equal(received.headers['x-balancer-request-id'], finished.requestId);
  });

  it('are on the answer and in the log when a request fails on a bug', async () => {
    let bug: (() => never) | undefined;
    await start({ random: () => bug?.() ?? 0 });
    bug = () => {
      throw new Error('a bug');
    };
    const { received, finished } = await ask();
    bug = undefined;
    assert.deepEqual([received.status, finished.code], [500, 'internal_error']);
    assert.equal(received.headers['x-balancer-request-id'], finished.requestId);
    const stack = running.log.find((line) => line.startsWith('ERROR '));
    assert.ok(stack?.startsWith(`ERROR The request ${finished.requestId} failed on a bug: Error: a bug`), stack);
    running.assertIdle();
  });
});
