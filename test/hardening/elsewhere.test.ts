import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { CLIENT_KEY, startBalancer, type RunningBalancer } from '../support/balancer.ts';
import { overrideNames, type Names } from '../support/names.ts';
import { connectTo, head } from '../support/raw.ts';
import { rawAnswer, startRawUpstream, type RawUpstream } from '../support/raw-upstream.ts';

const KEY = `api-key: ${CLIENT_KEY}`;
const OK = rawAnswer('200 OK', ['content-type: application/json'], '{}');

/**
 * The balancer connects to its backends and to nowhere else, and looks no other name up, whatever a caller or a backend says. `TRAP` stands for a
 * server that nobody may ask. What test/edges/targets.test.ts and upstream.test.ts hold already is not repeated here.
 */
describe('the only servers that are asked are the backends', () => {
  let upstream: RawUpstream;
  let trap: RawUpstream;
  let running: RunningBalancer;
  let answered: string;
  let names: Names;
  beforeEach(async () => {
    names = overrideNames();
    answered = OK;
    upstream = await startRawUpstream((socket) => socket.write(answered));
    trap = await startRawUpstream((socket) => socket.write(OK));
    running = await startBalancer({ backends: 1, settings: { BACKEND_1_URL: upstream.url } });
  });
  afterEach(async () => {
    names.restore();
    await running.close();
    await upstream.close();
    await trap.close();
  });

  async function talk(...parts: readonly string[]): Promise<string> {
    const connection = await connectTo(running.port);
    for (const part of parts) connection.write(part.replaceAll('TRAP', trap.host));
    return connection.rest();
  }

  function status(text: string): number {
    return Number(/^HTTP\/1\.1 (\d{3}) /.exec(text)?.[1]);
  }

  /** The trap was left alone, and the backends got our own Host and credential. */
  function assertOnlyBackends(requests: number): void {
    assert.equal(trap.connections, 0);
    assert.deepEqual(names.lookups, []);
    assert.equal(upstream.requests.length, requests);
    for (const request of upstream.requests) {
      const hosts = request.match(/^host: .*$/gim);
      assert.deepEqual(hosts, [`host: ${upstream.host}`]);
      assert.match(request, /^api-key: key-1\r$/m);
      assert.doesNotMatch(request, new RegExp(CLIENT_KEY));
    }
    running.assertIdle();
  }

  for (const [target, expected, sent] of [
    ['/\\TRAP/openai/v1/models', 400],
    ['/\\\\TRAP/openai/v1/models', 400],
    ['/%2f%2fTRAP/openai/v1/models', 400],
    ['/%5cTRAP/openai/v1/models', 400],
    ['//someone@TRAP/openai/v1/models', 404],
    ['/@TRAP/openai/v1/models', 404],
    ['/.TRAP/openai/v1/models', 404],
    ['/;@TRAP/openai/v1/models', 404],
    ['/openai@TRAP/v1/models', 404],
    ['/v1@TRAP/models', 404],
    ['/v1/@TRAP/models', 200, '/openai/v1/%40TRAP/models'],
    ['/v1/models@TRAP', 200, '/openai/v1/models%40TRAP'],
    ['/v1//TRAP/models', 200, '/openai/v1/TRAP/models'],
    ['/v1/http://TRAP/models', 200, '/openai/v1/http:/TRAP/models'],
    ['/v1/models?url=http://TRAP/&host=TRAP', 200, '/openai/v1/models?url=http://TRAP/&host=TRAP'],
    ['http://TRAP@balancer.test/v1/models', 200, '/openai/v1/models'],
    ['http://balancer.test@TRAP/v1/models', 200, '/openai/v1/models'],
    ['http://TRAP:80@TRAP/v1/models?x', 200, '/openai/v1/models?x'],
    ['http://TRAP/\\TRAP/v1/models', 400],
    ['https://TRAP//TRAP/v1/models', 404],
    ['HTTP://TRAP/V1/models', 404],
    ['http://[::1]/v1/models', 200, '/openai/v1/models'],
    ['file:///etc/passwd', 404],
    ['gopher://TRAP/v1/models', 404],
    ['ws://TRAP/v1/realtime', 404],
    [
      '/openai/deployments/TRAP/chat/completions?api-version=1',
      200,
      '/openai/deployments/TRAP/chat/completions?api-version=1',
    ],
    ['/openai/deployments/@TRAP/x?api-version=1', 200, '/openai/deployments/%40TRAP/x?api-version=1'],
    ['/openai/deployments/http:%2f%2fTRAP/x?api-version=1', 400],
    ['/openai/deployments//TRAP/x?api-version=1', 200, '/openai/deployments/TRAP/x?api-version=1'],
  ] as const) {
    it(`whatever the target says: ${target}`, async () => {
      const answer = await talk(head(`GET ${target} HTTP/1.1`, 'Host: TRAP', KEY, 'Connection: close'));
      assert.equal(status(answer), expected, answer);
      assertOnlyBackends(sent === undefined ? 0 : 1);
      if (sent === undefined) return;
      const path = upstream.requests[0]?.split(' ', 2)[1];
      const encoded = (text: string): string => text.replaceAll('TRAP', trap.host);
      // Where a name of a deployment is encoded, so is the colon of the port.
      assert.ok([encoded(sent), encoded(sent).replace(/127\.0\.0\.1:/, '127.0.0.1%3A')].includes(path ?? ''), path);
    });
  }

  it('whatever headers say of another host, URL or way', async () => {
    const lines = [
      'X-Forwarded-Host: TRAP',
      'X-Forwarded-Server: TRAP',
      'X-Forwarded-Port: 1',
      'X-Forwarded-Proto: http',
      'X-Forwarded-For: 127.0.0.1',
      'X-Real-IP: 127.0.0.1',
      'Forwarded: for=127.0.0.1;host=TRAP;proto=http',
      'X-Host: TRAP',
      'X-HTTP-Host-Override: TRAP',
      'X-Original-URL: http://TRAP/v1/models',
      'X-Rewrite-URL: //TRAP/v1/models',
      'X-HTTP-Method-Override: CONNECT',
      'Destination: http://TRAP/',
      'Origin: http://TRAP',
      'Referer: http://TRAP/',
      'Location: http://TRAP/',
      'Proxy-Connection: keep-alive',
      'Proxy: http://TRAP/',
      'Alt-Used: TRAP',
      'HTTP2-Settings: AAMAAABkAAQAAP__',
    ];
    for (const host of ['TRAP', 'trap.test', 'someone@TRAP', 'TRAP/openai/v1', '127.0.0.1', '']) {
      for (const upgrade of [[], ['Upgrade: h2c'], ['Upgrade: TLS/1.0']]) {
        const connection = upgrade.length === 0 ? 'close' : 'Upgrade, HTTP2-Settings, close';
        const start = ['GET /v1/models HTTP/1.1', `Host: ${host}`, `Connection: ${connection}`];
        const answer = await talk(head(...start, KEY, ...upgrade, ...lines));
        assert.equal(status(answer), 200, answer);
      }
    }
    assertOnlyBackends(18);
    for (const request of upstream.requests) {
      assert.ok(!request.includes(trap.host), request);
      assert.deepEqual(
        request
          .match(/^[\w-]+(?=: )/gm)
          ?.map((name) => name.toLowerCase())
          .toSorted(),
        ['accept-encoding', 'api-key', 'connection', 'host', 'x-ms-client-request-id'],
      );
    }
  });

  it('whatever a body says to fetch: that is for the backend alone', async () => {
    const url = 'http://TRAP/x';
    const bodies = [
      JSON.stringify({ model: url, input: [{ type: 'input_image', image_url: url }], tools: [{ server_url: url }] }),
      JSON.stringify({ model: '//TRAP', webhook: url, file_url: url, base_url: url, stream: true }),
      JSON.stringify({ model: '@TRAP/../..', endpoint: url, callback: url, background: true }),
    ].map((body) => body.replaceAll('TRAP', trap.host));
    for (const body of bodies) {
      const lines = ['Host: TRAP', KEY, 'Content-Type: application/json', `Content-Length: ${body.length}`];
      const answer = await talk(head('POST /v1/responses HTTP/1.1', ...lines, 'Connection: close') + body);
      assert.equal(status(answer), 200, answer);
    }
    assertOnlyBackends(3);
    assert.deepEqual(
      upstream.requests.map((request) => request.split('\r\n\r\n')[1]),
      bodies,
    );
  });

  for (const [how, line, ...more] of [
    ['CONNECT', 'CONNECT TRAP HTTP/1.1', KEY],
    ['CONNECT with a name and password', 'CONNECT someone:secret@TRAP HTTP/1.1', KEY],
    ['CONNECT to a name', 'CONNECT trap.test:443 HTTP/1.1', KEY],
    ['CONNECT without a Host', 'CONNECT TRAP HTTP/1.0', 'Proxy-Authorization: Basic eDp5'],
    ['an older proxy request', 'GET http://TRAP/ HTTP/1.0'],
    ['a WebSocket', 'GET ws://TRAP/v1/realtime HTTP/1.1', KEY, 'Upgrade: websocket', 'Connection: Upgrade, close'],
    ['a WebSocket at a path of ours', 'GET /v1/realtime HTTP/1.1', KEY, 'Upgrade: WebSocket', 'Connection: upgrade'],
    ['an HTTP/2 preface', 'PRI * HTTP/2.0'],
    ['a SOCKS greeting', '\u0005\u0001\u0000'],
  ] as const) {
    it(`and it is no proxy: ${how}`, async () => {
      const lines = line.endsWith('HTTP/1.1') ? ['Host: TRAP', ...more] : more;
      const answer = await talk(head(line, ...lines), head('GET / HTTP/1.1', 'Host: TRAP', 'Connection: close'));
      assert.ok([400, 404, 405, 501].includes(status(answer)), answer);
      assert.doesNotMatch(answer, /HTTP\/1\.1 (?:2|101)/);
      assertOnlyBackends(0);
    });
  }

  for (const [statusLine, ...headers] of [
    ['300 Multiple Choices', 'location: http://TRAP/x', 'alternates: {"http://TRAP/x" 1.0}'],
    ['305 Use Proxy', 'location: http://TRAP/'],
    ['306 Switch Proxy', 'location: http://TRAP/', 'set-proxy: set; proxyURI=http://TRAP/'],
    ['302 Found', 'location: //TRAP/openai/v1/models'],
    ['302 Found', 'location: http://someone:secret@TRAP/'],
    ['307 Temporary Redirect', 'location: /\\TRAP/openai/v1/models'],
    ['308 Permanent Redirect', 'location: http://TRAP/', 'location: http://TRAP/again'],
    ['201 Created', 'location: http://TRAP/x', 'content-location: http://TRAP/x'],
    ['202 Accepted', 'operation-location: http://TRAP/x', 'azure-asyncoperation: http://TRAP/x', 'retry-after: 0'],
    ['200 OK', 'refresh: 0; url=http://TRAP/', 'link: <http://TRAP/x>; rel=preload', 'alt-svc: h2="TRAP"'],
    ['401 Unauthorized', 'www-authenticate: Bearer authorization_uri="http://TRAP/"'],
    ['407 Proxy Authentication Required', 'proxy-authenticate: Basic realm="http://TRAP/"'],
    ['421 Misdirected Request', 'alt-svc: h2="TRAP"; ma=1'],
    ['429 Busy', 'retry-after: 0', 'location: http://TRAP/'],
    ['503 Busy', 'location: http://TRAP/', 'retry-after: 0'],
  ] as const) {
    it(`and no answer leads elsewhere: ${statusLine}, ${headers.join(', ')}`, async () => {
      const told = headers.map((line) => line.replaceAll('TRAP', trap.host));
      answered = rawAnswer(statusLine, [...told, 'content-type: application/json'], '{}');
      const answer = await talk(head('GET /v1/models HTTP/1.1', 'Host: x', KEY, 'Connection: close'));
      assertOnlyBackends(1);
      // The caller may follow it, with a credential of its own; what the balancer answers itself names nobody.
      const isPassedOn = /^(?:20|30|407|421|503)/.test(statusLine);
      if (!isPassedOn) return assert.ok(!answer.includes(trap.host), answer);
      assert.equal(status(answer), Number(statusLine.slice(0, 3)));
      for (const line of told) {
        assert.equal(answer.includes(`\r\n${line}\r\n`), !/^(?:alt-svc|proxy-authenticate):/.test(line), answer);
      }
    });
  }

  it('and interim answers, upgrades and what is pushed lead nowhere', async () => {
    const hints = `HTTP/1.1 103 Early Hints\r\nlink: <http://${trap.host}/x>; rel=preload\r\n\r\n`;
    for (const [bytes, expected] of [
      [hints + OK, 200],
      [`HTTP/1.1 101 Switching Protocols\r\nupgrade: ${trap.host}\r\nconnection: upgrade\r\n\r\n`, 502],
      [`HTTP/1.1 305 Use Proxy\r\nlocation: http://${trap.host}/\r\ncontent-length: 0\r\n\r\n${OK}`, 305],
    ] as const) {
      answered = bytes;
      const answer = await talk(head('GET /v1/models HTTP/1.1', 'Host: x', KEY, 'Connection: close'));
      assert.equal(status(answer), expected, answer);
    }
    assertOnlyBackends(4); // A kept connection that ends without an answer is followed by a fresh one, once.
  });

  it('and the trap would tell', async () => {
    const connection = await connectTo(Number(new URL(trap.url).port));
    connection.write(head('GET / HTTP/1.1', 'Host: x'));
    await connection.answer();
    connection.socket.destroy();
    assert.throws(() => assertOnlyBackends(0), /1 !== 0/);
    await assert.rejects(once(connect(80, 'trap.test'), 'connect'), /ENOTFOUND trap\.test/);
    assert.deepEqual(names.lookups, ['trap.test']);
  });
});
