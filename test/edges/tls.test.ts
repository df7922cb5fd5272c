import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createSecureServer } from 'node:https';
import { createServer, type Server, type Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { startResource, type SimulatedResource } from '../../simulator/server.ts';
import { createAuthority, type Authority, type ServerCertificate } from '../../simulator/tls.ts';
import { startBalancer, type BalancerSetup, type RunningBalancer } from '../support/balancer.ts';
import { behind } from '../support/held-upstream.ts';
import { chat, errorOf, send, type Received } from '../support/http.ts';
import { answerOf, assertCall, callCounts, course, statesOf } from '../support/observed.ts';
import { trust } from '../support/trust.ts';
import { until } from '../support/until.ts';
import { assertAtRest, watch } from '../support/watched.ts';

const PATH = '/v1/chat/completions';
const UPSTREAM_PATH = '/openai/v1/chat/completions';
const BODY = chat();
const DEPLOYMENTS = { 'gpt-5.4-mini': { model: 'gpt-5.4-mini' } };
const STREAM = chat({ stream: true });

describe('a backend behind TLS', () => {
  let authority: Authority;
  let good: ServerCertificate;
  let forget: () => void;
  before(async () => {
    authority = await createAuthority();
    good = await authority.issue();
    forget = trust(authority);
  });
  after(() => forget());

  let running: RunningBalancer;
  const servers: Server[] = [];
  const sockets = new Set<Socket>();
  afterEach(async () => {
    await running.close();
    for (const socket of sockets) socket.destroy();
    for (const server of servers.splice(0)) await new Promise((resolve) => server.close(resolve));
  });

  const ask = (body = BODY): Promise<Received> => send(running.url + PATH, { body });

  /** openai1 shows this certificate, the others a good one. */
  async function startShowing(tls: ServerCertificate, setup: BalancerSetup = {}): Promise<SimulatedResource> {
    running = await startBalancer({
      backends: 2,
      resource: (index) => ({ tls: index === 0 ? tls : good }),
      ...setup,
    });
    const [first] = running.resources;
    assert.ok(first !== undefined);
    return first;
  }

  /** openai1 is this URL, openai2 a simulated resource. */
  async function startBeside(url: string, settings: Readonly<Record<string, string>> = {}): Promise<void> {
    running = await startBalancer({ backends: 2, settings: { BACKEND_1_URL: url, ...settings } });
  }

  /** A server of bare connections; its URL with this scheme. */
  async function listen(scheme: 'http' | 'https', onConnection: (socket: Socket) => void): Promise<string> {
    return listenWith(createServer(onConnection), scheme);
  }

  async function listenWith(server: Server, scheme: 'http' | 'https'): Promise<string> {
    server.on('connection', (socket: Socket) => {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => sockets.delete(socket));
    });
    servers.push(server.listen(0, '127.0.0.1'));
    await once(server, 'listening');
    const address = server.address();
    assert.ok(typeof address === 'object' && address !== null);
    return `${scheme}://127.0.0.1:${address.port}`;
  }

  /** openai2 answered; openai1 could not be reached, and the log, not the caller, says why. */
  async function assertNotReached(reason: RegExp): Promise<void> {
    for (const body of [BODY, STREAM]) {
      const { received, finished, line, changes } = await watch(running, () => ask(body));
      assert.equal(received.status, 200);
      assert.equal(answerOf(received), 'openai2 answers: Say hello.');
      const isFirst = body === BODY;
      assert.deepEqual(course(received), {
        backend: 'openai2',
        attempts: isFirst ? '2' : '1',
        trace: isFirst ? 'openai1=connect openai2=200' : 'openai2=200',
      });
      assert.ok(!JSON.stringify(received.rawHeaders).includes('reason'));
      assert.equal(finished.ending, 'delivered');
      if (!isFirst) continue;
      const code = /^openai1=(\S+)$/.exec(finished.reasons ?? '')?.[1] ?? '';
      assert.match(code, reason);
      assert.ok(line.includes(` reasons=openai1=${code} `), line);
      assert.equal(changes.length, 1);
      const [change = ''] = changes;
      assert.ok(
        /^WARNING Backend openai1 failing: not asked for (?:9\d\d|1000) ms while others answer/.test(change),
        change,
      );
      assert.ok(change.endsWith(` backend=openai1 state=open reason=${code}\n`), change);
    }
    assertCall(running.resources[1]?.calls[0], { path: UPSTREAM_PATH, body: BODY, key: 'key-2' });
    assert.deepEqual(callCounts(running), [0, 2]);
    assert.deepEqual(statesOf(running), ['open/closed', 'closed/closed']);
    await assertAtRest(running);
  }

  it('is asked over connections that are kept, plain and streamed', async () => {
    const first = await startShowing(good);
    assert.match(first.url, /^https:/);
    for (const body of [BODY, STREAM, BODY]) {
      const received = await ask(body);
      assert.equal(answerOf(received), 'openai1 answers: Say hello.');
      assert.deepEqual(course(received), { backend: 'openai1', attempts: '1', trace: 'openai1=200' });
      assertCall(first.calls.at(-1), { path: UPSTREAM_PATH, body, key: 'key-1' });
    }
    assert.equal(first.openSockets, 1);
    assert.ok(running.log.some((line) => line.startsWith(`Proxying to ${first.url}${UPSTREAM_PATH} `)));
    await assertAtRest(running);
  });

  it('is asked by its name, which its certificate is for', async () => {
    const resource = await startResource({ name: 'openai1', apiKey: 'key-1', deployments: DEPLOYMENTS, tls: good });
    const byName = resource.url.replace('127.0.0.1', 'localhost');
    try {
      running = await startBalancer({ backends: 0, settings: behind(byName) });
      assert.equal(answerOf(await ask()), 'openai1 answers: Say hello.');
      assert.equal(resource.calls[0]?.headers.host, byName.replace('https://', ''));
      await assertAtRest(running);
    } finally {
      await resource.close();
    }
  });

  it('is not believed with an expired certificate', async () => {
    await startShowing(await authority.issue({ validUntil: new Date(Date.now() - 1000) }));
    await assertNotReached(/^CERT_HAS_EXPIRED$/);
  });

  it('is not believed with a certificate that is not valid yet', async () => {
    const soon = new Date(Date.now() + 86_400_000);
    await startShowing(await authority.issue({ validFrom: soon, validUntil: new Date(soon.getTime() + 86_400_000) }));
    await assertNotReached(/^CERT_NOT_YET_VALID$/);
  });

  it('is not believed with a certificate for another name', async () => {
    await startShowing(await authority.issue({ names: ['openai1.openai.azure.com'] }));
    await assertNotReached(/^ERR_TLS_CERT_ALTNAME_INVALID$/);
  });

  it('is not believed with a certificate of an authority that nobody here knows', async () => {
    const stranger = await createAuthority('Somebody else');
    await startShowing(await stranger.issue());
    await assertNotReached(/^(?:UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER_CERT_LOCALLY)$/);
  });

  it('is not spoken to when there is no TLS behind its https URL', async () => {
    const plain: string[] = [];
    const url = await listen('https', (socket) => {
      socket.on('data', (bytes) => {
        plain.push(bytes.toString('latin1'));
        socket.end('HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n');
      });
    });
    await startBeside(url);
    await assertNotReached(/^(?:EPROTO|ERR_SSL_[A-Z_]+)$/);
    assert.ok(plain.every((text) => !text.includes('key-1')));
  });

  it('is failed over when its URL says http but it speaks TLS', async () => {
    const secure = createSecureServer(good, () => assert.fail('a request came through'));
    secure.on('tlsClientError', () => undefined);
    await startBeside(await listenWith(secure, 'http'));
    const { received, finished } = await watch(running, ask);
    assert.equal(answerOf(received), 'openai2 answers: Say hello.');
    assert.deepEqual(course(received), {
      backend: 'openai2',
      attempts: '2',
      trace: 'openai1=reset openai2=200',
    });
    // TLS says so with bytes that are no HTTP, or ends the connection.
    assert.match(finished.reasons ?? '', /^openai1=(?:HPE_INVALID_[A-Z]+|ECONNRESET)$/);
    assert.deepEqual(statesOf(running), ['closed/closed(1)', 'closed/closed']);
    await assertAtRest(running);
  });

  it('whose handshake never ends is given up after CONNECT_TIMEOUT_SECONDS, and its connection closed', async () => {
    let connections = 0;
    const url = await listen('https', (socket) => {
      connections += 1;
      socket.resume();
    });
    await startBeside(url, { CONNECT_TIMEOUT_SECONDS: '0.2' });
    await assertNotReached(/^CONNECT_TIMEOUT$/);
    assert.equal(connections, 1);
    await until(() => sockets.size === 0);
  });

  for (const [how, end] of [
    ['reset', (socket: Socket): unknown => socket.resetAndDestroy()],
    ['ended', (socket: Socket): unknown => socket.end()],
  ] as const) {
    it(`whose connection is ${how} in the handshake is failed over`, async () => {
      await startBeside(await listen('https', (socket) => void socket.once('data', () => end(socket))));
      await assertNotReached(/^ECONNRESET$/);
      await until(() => sockets.size === 0);
    });
  }

  it('that is the only one and not believed makes an honest 502, which tells the caller no reason', async () => {
    const expired = await authority.issue({ validUntil: new Date(Date.now() - 1000) });
    running = await startBalancer({ backends: 1, resource: () => ({ tls: expired }) });
    const { received, finished, line } = await watch(running, ask);
    assert.equal(received.status, 502);
    assert.equal(errorOf(received).code, 'backends_unreachable');
    assert.deepEqual(course(received), { backend: undefined, attempts: '1', trace: 'openai1=connect' });
    assert.ok(
      !received.body.toString().includes('EXPIRED') && !JSON.stringify(received.rawHeaders).includes('EXPIRED'),
    );
    assert.deepEqual([finished.ending, finished.reasons], ['refused', 'openai1=CERT_HAS_EXPIRED']);
    assert.match(line, /^WARNING POST \/v1\/chat\/completions 502 refused +code=backends_unreachable /);
    await assertAtRest(running);
    await until(() => running.resources[0]?.openSockets === 0);
  });

  it('is believed again once its certificate is good', async () => {
    const expired = await authority.issue({ validUntil: new Date(Date.now() - 1000) });
    let now = 1000;
    const first = await startShowing(expired, { clock: () => now });
    assert.equal(answerOf(await ask()), 'openai2 answers: Say hello.');
    await first.close();
    const renewed = await startResource({
      name: 'openai1',
      apiKey: 'key-1',
      deployments: DEPLOYMENTS,
      port: Number(new URL(first.url).port),
      tls: good,
    });
    try {
      now += 1000;
      assert.equal(answerOf(await ask()), 'openai1 answers: Say hello.');
      assert.deepEqual(statesOf(running), ['recovering/closed', 'closed/closed']);
    } finally {
      await renewed.close();
    }
  });

  it('that resets before its headers is failed over, as without TLS', async () => {
    const first = await startShowing(good);
    first.script({ kind: 'reset-before-headers' });
    const { received, finished } = await watch(running, ask);
    assert.equal(answerOf(received), 'openai2 answers: Say hello.');
    assert.deepEqual(course(received), { backend: 'openai2', attempts: '2', trace: 'openai1=reset openai2=200' });
    assert.equal(finished.reasons, 'openai1=ECONNRESET');
    assertCall(first.calls[0], { path: UPSTREAM_PATH, body: BODY, key: 'key-1' });
    assertCall(running.resources[1]?.calls[0], { path: UPSTREAM_PATH, body: BODY, key: 'key-2' });
    assert.deepEqual(statesOf(running), ['closed/closed(1)', 'closed/closed']);
    await assertAtRest(running);
  });

  for (const fault of [
    { kind: 'reset-mid-stream', afterChunks: 2 },
    { kind: 'reset-mid-stream', afterChunks: 2, midEvent: true },
    { kind: 'truncated', afterChunks: 2 },
  ] as const) {
    it(`that breaks in the middle of a stream makes an error in-band: ${JSON.stringify(fault)}`, async () => {
      const first = await startShowing(good);
      first.script(fault);
      const { received, finished } = await watch(running, () => ask(STREAM));
      assert.equal(received.status, 200);
      assert.equal(received.isComplete, false);
      assert.match(
        received.body.toString(),
        /^data: [^\n]+\n\ndata: [^\n]+\n\nevent: error\ndata: \{[^\n]*"code":"stream_broken"[^\n]*\}\n\n$/,
      );
      assert.deepEqual([finished.ending, finished.status], ['broken', 200]);
      assert.deepEqual(callCounts(running), [1, 0]);
      assert.deepEqual(statesOf(running), ['closed/closed', 'closed/closed']);
      await assertAtRest(running);
      assert.equal(answerOf(await ask()), 'openai1 answers: Say hello.');
    });
  }

  it('that closed its kept connection costs the caller nothing', async () => {
    const first = await startShowing(good);
    for (let n = 0; n < 20; n += 1) {
      for (const body of [BODY, STREAM]) {
        const received = await ask(body);
        assert.equal(answerOf(received), 'openai1 answers: Say hello.');
        assert.equal(received.headers['x-balancer-trace'], 'openai1=200');
        first.dropIdleSockets();
      }
    }
    assert.deepEqual(callCounts(running), [40, 0]);
    assert.deepEqual(statesOf(running), ['closed/closed', 'closed/closed']);
    await assertAtRest(running);
  });

  for (const body of [BODY, STREAM, chat({ x: 'y'.repeat(5 * 2 ** 20) })]) {
    it(`that loses a kept connection with a request is asked once more, unblamed (${body.length} bytes)`, async () => {
      const first = await startShowing(good);
      await ask();
      first.script({ kind: 'reset-before-headers' });
      const received = await ask(body);
      assert.equal(answerOf(received), 'openai1 answers: Say hello.');
      assert.deepEqual(course(received), { backend: 'openai1', attempts: '2', trace: 'openai1=200' });
      assert.deepEqual(callCounts(running), [3, 0]);
      assertCall(first.calls[2], { path: UPSTREAM_PATH, body, key: 'key-1' });
      assert.deepEqual(statesOf(running), ['closed/closed', 'closed/closed']);
      await assertAtRest(running);
    });
  }

  it('resumes its TLS session on the next connection', async () => {
    const resumed: boolean[] = [];
    const secure = createSecureServer(good, (req, res) => {
      req.resume();
      res.writeHead(200, { connection: 'close', 'content-type': 'application/json' }).end('{}');
    });
    secure.on('secureConnection', (socket: TLSSocket) => resumed.push(socket.isSessionReused()));
    await startBeside(await listenWith(secure, 'https'));
    for (let n = 0; n < 3; n += 1) {
      const received = await ask();
      assert.deepEqual([received.status, received.body.toString()], [200, '{}']);
    }
    assert.deepEqual(resumed, [false, true, true]);
    await assertAtRest(running);
  });
});
