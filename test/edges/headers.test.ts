import assert from 'node:assert/strict';
import { CLIENT_KEY, startBalancer, type RunningBalancer } from '../support/balancer.ts';
import { chat } from '../support/http.ts';
import { exchange, head, type RawAnswer } from '../support/raw.ts';
import { rawAnswer, startRawUpstream, type RawUpstream } from '../support/raw-upstream.ts';

/** Every credential that a caller could send; none may be seen again anywhere. */
const SECRETS = ['secret-in-bearer', 'secret-in-cookie', 'secret-for-proxy', 'secret-in-subscription', CLIENT_KEY];

const HOP_BY_HOP = [
  'Keep-Alive: timeout=5',
  'TE: trailers',
  'Trailer: X-Checksum',
  'Proxy-Connection: keep-alive',
  'Proxy-Authorization: Basic secret-for-proxy',
];

const CREDENTIALS = [
  'Authorization: Bearer secret-in-bearer',
  'Cookie: session=secret-in-cookie',
  'Ocp-Apim-Subscription-Key: secret-in-subscription',
];

describe('a header', () => {
  let upstream: RawUpstream;
  let running: RunningBalancer;
  let answered: string;
  beforeEach(async () => {
    answered = rawAnswer('200 OK', ['content-type: application/json'], '{}');
    upstream = await startRawUpstream((socket) => socket.write(answered, 'latin1'));
    running = await startBalancer({ backends: 1, settings: { BACKEND_1_URL: upstream.url } });
  });
  afterEach(async () => {
    await running.close();
    await upstream.close();
  });

  async function ask(...lines: readonly string[]): Promise<{ readonly answer: RawAnswer; readonly sent: string[] }> {
    const body = chat();
    const start = ['POST /v1/chat/completions HTTP/1.1', 'Host: balancer.example', `api-key: ${CLIENT_KEY}`];
    const more = lines.some((line) => /^connection:/i.test(line)) ? lines : [...lines, 'Connection: close'];
    const answer = await exchange(
      running.port,
      Buffer.from(
        head(...start, ...more, 'Content-Type: application/json', `Content-Length: ${body.length}`) + body,
        'latin1',
      ),
    );
    const [request = ''] = upstream.requests;
    return { answer, sent: request.slice(0, request.indexOf('\r\n\r\n')).split('\r\n').slice(1) };
  }

  const always = (): string[] => [
    `host: ${upstream.host}`,
    'content-type: application/json',
    'accept-encoding: identity',
    `content-length: ${chat().length}`,
    'api-key: key-1',
    'connection: keep-alive',
    // The first request's, of a balancer whose chance is always 0.
    'x-ms-client-request-id: 000000-1',
  ];

  it('goes upstream only when it is on the list: no credential, cookie, hop-by-hop or strange one does', async () => {
    const forwarding = ['X-Forwarded-For: 203.0.113.9', 'Forwarded: for=203.0.113.9', 'Via: 1.1 x', 'X-Strange: yes'];
    const { answer, sent } = await ask(...HOP_BY_HOP, ...CREDENTIALS, ...forwarding, 'Accept-Encoding: gzip, br');
    assert.equal(answer.status, 200);
    assert.deepEqual(sent.map((line) => line.replace(/^Connection/, 'connection')).toSorted(), always().toSorted());
    running.assertIdle();
  });

  it('goes upstream unchanged when it is on the list', async () => {
    const listed = [
      'accept: text/event-stream',
      'openai-beta: assistants=v2',
      'traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      'tracestate: a=b',
      'x-ms-client-request-id: 4f1c',
      'x-ms-spillover-deployment: other',
      'idempotency-key: 7',
    ];
    const { sent } = await ask(...listed);
    for (const line of listed) assert.ok(sent.includes(line), `${line} is missing in ${sent.join('\n')}`);
    // Its own name for the request stands in the place of ours.
    assert.equal(sent.length, always().length + listed.length - 1);
  });

  it('of the caller that Connection names stays on that connection, even one on the list (RFC 9110 §7.6.1)', async () => {
    const { sent } = await ask('Connection: close, TraceParent, X-Hop', 'TraceParent: 00-hop', 'X-Hop: 1');
    assert.deepEqual(
      sent.filter((line) => /^(traceparent|x-hop)/i.test(line)),
      [],
    );
  });

  it('with a credential of the caller is seen by no backend, no line of the log, no event and no answer', async () => {
    const { answer } = await ask(...CREDENTIALS, 'Proxy-Authorization: Basic secret-for-proxy');
    const refused = await exchange(
      running.port,
      head('GET /v1/models HTTP/1.1', 'Host: x', ...CREDENTIALS, 'Connection: close'),
    );
    assert.equal(refused.status, 401);
    const seen = [
      ...upstream.requests,
      ...running.log,
      JSON.stringify(running.events),
      answer.head,
      answer.body,
      refused.head,
      refused.body,
    ];
    for (const secret of [...SECRETS, 'key-1']) {
      const where = seen.filter((text) => text.includes(secret));
      assert.deepEqual(where, secret === 'key-1' ? upstream.requests : []);
    }
    assert.equal(upstream.requests.length, 1);
  });

  it('of the backend reaches the caller as it is, but for hop-by-hop ones and those of its site', async () => {
    const passed = [
      'apim-request-id: 4f',
      'X-MS-Region: Sweden Central',
      'retry-after-ms: 7',
      'Warning: caf\u00e9',
      'x-empty:',
    ];
    const hidden = [
      'Connection: Keep-Alive, X-Hop',
      'X-Hop: 1',
      'Keep-Alive: timeout=1',
      'Proxy-Connection: close',
      'Proxy-Authenticate: Basic',
      'Trailer: X-Checksum',
      'TE: trailers',
      'Upgrade: h2c',
      'Set-Cookie: ARRAffinity=1',
      'Set-Cookie: second=2',
      'Strict-Transport-Security: max-age=1',
      'Alt-Svc: h3=":443"',
      'x-balancer-backend: forged',
      'X-Balancer-Trace: forged',
      'X-Balancer-Anything: forged',
    ];
    answered = rawAnswer('200 Fine', [...passed, ...hidden], '{}');
    const { answer } = await ask();
    assert.deepEqual(
      answer.head.split('\r\n').filter((line) => line !== '' && !/^date:/i.test(line)),
      [
        'HTTP/1.1 200 OK',
        ...passed.map((line) => (line.endsWith(':') ? `${line} ` : line)),
        'x-balancer-request-id: 000000-1',
        'x-balancer-attempts: 1',
        'x-balancer-backend: openai1',
        'x-balancer-trace: openai1=200',
        'content-length: 2',
        'Connection: close',
      ],
    );
    running.assertIdle();
  });

  it('of the backend that comes several times reaches the caller as often', async () => {
    answered = rawAnswer('200 OK', ['x-note: one', 'x-note: two', 'vary: a', 'vary: b'], '{}');
    const { answer } = await ask();
    assert.deepEqual([answer.headers['x-note'], answer.headers['vary']], ['one, two', 'a, b']);
  });

  it('is in every answer but names no software: no X-Powered-By, no Server, no Via', async () => {
    const { answer } = await ask();
    const refused = await exchange(running.port, head('GET /nowhere HTTP/1.1', 'Host: x', 'Connection: close'));
    const alive = await exchange(running.port, head('GET /healthz HTTP/1.1', 'Host: x', 'Connection: close'));
    for (const { headers } of [answer, refused, alive]) {
      assert.deepEqual(
        ['x-powered-by', 'server', 'via', 'etag'].filter((name) => headers[name] !== undefined),
        [],
      );
      assert.ok(headers['content-length'] !== undefined && headers['date'] !== undefined);
    }
  });
});
