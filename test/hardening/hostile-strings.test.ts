import assert from 'node:assert/strict';
import { createLog } from '../../app/src/telemetry/log.ts';
import { CLIENT_KEY, startBalancer, type BalancerSetup, type RunningBalancer } from '../support/balancer.ts';
import { HOSTILE, UNSAFE } from '../support/hostile.ts';
import { connectTo, head } from '../support/raw.ts';
import { startRawUpstream, type RawUpstream } from '../support/raw-upstream.ts';

/** Nobody reads longer lines. */
const LONGEST_LINE = 4096;
const KEY = `api-key: ${CLIENT_KEY}`;
const OPERATOR_KEY = 'operator-key';
const SETTINGS = { OPERATOR_KEYS: `alice=${OPERATOR_KEY}` };
const OK = 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}';

describe('a hostile text', () => {
  let running: RunningBalancer;
  let upstream: RawUpstream;
  let answered: string | Buffer;
  beforeEach(async () => {
    answered = OK;
    upstream = await startRawUpstream((socket) => socket.end(answered));
  });
  afterEach(async () => {
    await running.close();
    await upstream.close();
  });

  async function start(setup: BalancerSetup = {}): Promise<void> {
    running = await startBalancer({
      backends: 1,
      ...setup,
      settings: { BACKEND_1_URL: upstream.url, ...SETTINGS, ...setup.settings },
    });
  }

  /** All that comes until the connection is closed. */
  async function talk(bytes: string | Buffer): Promise<string> {
    const connection = await connectTo(running.port);
    connection.write(bytes);
    return connection.rest();
  }

  function post(target: string, lines: readonly string[], body: string): Promise<string> {
    const length = `Content-Length: ${Buffer.byteLength(body)}`;
    const text = head(`POST ${target} HTTP/1.1`, 'Host: x', KEY, ...lines, length, 'Connection: close');
    return talk(Buffer.concat([Buffer.from(text, 'latin1'), Buffer.from(body)]));
  }

  /** Every event is one line, printable, of a length that is read; in both formats. */
  function assertLogIsSafe(): void {
    assert.ok(running.log.length > 0, 'nothing was logged');
    for (const line of running.log) {
      assert.match(line, /^[\x20-\x7e]+\n$/);
      assert.ok(line.length <= LONGEST_LINE, line);
      assert.doesNotMatch(line, /^(?:ERROR )?forged|^POST \/forged/);
    }
    const json: string[] = [];
    const log = createLog(
      { format: 'json' },
      (text) => json.push(text),
      () => new Date(0),
    );
    for (const event of running.events) log(event);
    assert.equal(json.length, running.log.length);
    for (const line of json) {
      assert.ok(line.endsWith('\n'));
      assert.doesNotMatch(line.slice(0, -1), UNSAFE);
      const entry: unknown = JSON.parse(line);
      assert.ok(typeof entry === 'object' && entry !== null && 'kind' in entry);
      assert.ok(line.length <= LONGEST_LINE * 6, line); // Each letter may be written as six.
    }
  }

  /** One answer, with headers of printable characters (and bytes of backends), none of them forged. */
  function assertNotSplit(text: string): void {
    const [first = '', ...lines] = headOf(text).split('\r\n');
    assert.match(first, /^HTTP\/1\.1 \d{3} [\w ]*$/);
    for (const line of lines) {
      assert.match(line, /^[\w-]+: ?[\t\x20-\x7e\x80-\xff]*$/);
      assert.doesNotMatch(line, /^x-evil/i);
    }
    for (const line of lines.filter((name) => /^x-balancer-/i.test(name))) assert.match(line, /^[\x20-\x7e]+$/);
    assert.equal(text.match(/^HTTP\/1\.1 /gm)?.length, 1, text);
  }

  /** What operators read says it so that no terminal and no parser stumbles. */
  async function assertPagesAreSafe(): Promise<void> {
    for (const path of ['/status', '/metrics', '/ledger']) {
      const text = await talk(head(`GET ${path} HTTP/1.1`, 'Host: x', `api-key: ${OPERATOR_KEY}`, 'Connection: close'));
      assertNotSplit(text);
      assert.equal(status(text), 200);
      const body = bodyOf(text);
      assert.ok(body.endsWith('\n'));
      const lines = body.split(path === '/ledger' ? '\r\n' : '\n');
      for (const line of lines) assert.doesNotMatch(line, UNSAFE);
      if (path === '/status') assert.match(JSON.stringify(JSON.parse(body)), /"openai1"/);
      else if (path === '/metrics') for (const line of lines) assert.match(line, SAMPLE);
    }
  }

  for (const [how, text] of Object.entries(HOSTILE)) {
    describe(`as the name of a deployment: ${how}`, () => {
      for (const [where, ask] of [
        [
          'in JSON',
          () => post('/v1/chat/completions', ['Content-Type: application/json'], JSON.stringify({ model: text })),
        ],
        [
          'in an upload',
          () => {
            const part = `--b\r\nContent-Disposition: form-data; name="model"\r\n\r\n${text}\r\n--b--\r\n`;
            return post('/v1/audio/transcriptions', ['Content-Type: multipart/form-data; boundary=b'], part);
          },
        ],
        [
          'in the path',
          () => {
            const name = encodeURIComponent(text.toWellFormed());
            return post(`/openai/deployments/${name}/chat/completions?api-version=1`, [], '{}');
          },
        ],
      ] as const) {
        it(`${where}, that works`, async () => {
          // What a backend counted is shown by deployment.
          const body = JSON.stringify({ usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 } });
          answered = `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
          await start();
          const answer = await ask();
          assert.ok([200, 400].includes(status(answer)), answer);
          assertNotSplit(answer);
          assertLogIsSafe();
          await assertPagesAreSafe();
          running.assertIdle();
        });

        it(`${where}, that nobody has`, async () => {
          const body = '{"error":{"code":"DeploymentNotFound"}}';
          answered = `HTTP/1.1 404 No\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
          await start();
          const answer = await ask();
          assert.ok([400, 404].includes(status(answer)), answer);
          assertNotSplit(answer);
          assert.doesNotMatch(bodyOf(answer), UNSAFE);
          assertLogIsSafe();
          await assertPagesAreSafe();
          running.assertIdle();
        });
      }
    });

    it(`as a path, as it is and encoded: ${how}`, async () => {
      await start();
      const encoded = encodeURIComponent(text.toWellFormed());
      for (const target of [
        `/v1/${text}`,
        `/v1/files/${encoded}`,
        `/${encoded}`,
        `http://x/${encoded}/../y`,
        `/${text}`,
      ]) {
        const answer = await talk(Buffer.from(head(`GET ${target} HTTP/1.1`, 'Host: x', KEY, 'Connection: close')));
        assert.ok([200, 400, 401, 404].includes(status(answer)), answer);
        assertNotSplit(answer.replace(/^(HTTP[^]*)HTTP\/1\.1 400[^]*$/, '$1')); // What stands behind a line break is a request too.
      }
      assertLogIsSafe();
      for (const request of upstream.requests) assert.match(request, /^GET \/openai\/v1\/[\x21-\x7e]+ HTTP\/1\.1\r\n/);
      running.assertIdle();
    });

    it(`as a query, a method and the value of a header: ${how}`, async () => {
      await start();
      const bytes = Buffer.from(text);
      const end = Buffer.from('\r\nConnection: close\r\n\r\n');
      const of = (before: string, middle: Buffer, after: Buffer): Buffer =>
        Buffer.concat([Buffer.from(before), middle, after]);
      const line = Buffer.from(` HTTP/1.1\r\nHost: x\r\n${KEY}`);
      const requests = [
        of('GET /v1/models?after=', bytes, Buffer.concat([line, end])),
        of('GET /v1/models?after=', Buffer.from(encodeURIComponent(text.toWellFormed())), Buffer.concat([line, end])),
        of('', bytes, Buffer.concat([Buffer.from(' /v1/models'), line, end])),
        ...[
          'x-ms-client-request-id',
          'tracestate',
          'traceparent',
          'accept',
          'openai-beta',
          'user-agent',
          'x-strange',
        ].map((name) => of(`GET /v1/models HTTP/1.1\r\nHost: x\r\n${KEY}\r\n${name}: `, bytes, end)),
        of(`GET /v1/models HTTP/1.1\r\n${KEY}\r\nHost: `, bytes, end),
        of('GET /v1/models HTTP/1.1\r\nHost: x\r\napi-key: ', bytes, end),
        of('GET /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ', bytes, end),
        of(`GET /v1/models HTTP/1.1\r\nHost: x\r\n${KEY}\r\n`, bytes, Buffer.concat([Buffer.from(': x'), end])),
      ];
      for (const request of requests) {
        const answer = await talk(request);
        assert.ok([200, 400, 401, 405, 431].includes(status(answer)), answer);
        assertNotSplit(answer);
      }
      assertLogIsSafe();
      for (const request of upstream.requests) {
        const [asked = ''] = request.split('\r\n\r\n', 1);
        assert.doesNotMatch(asked, /[^\t\r\n\x20-\x7e\x80-\xff]/);
        assert.equal(asked.split('\r\n').filter((name) => /^(?:host|api-key):/i.test(name)).length, 2);
      }
      running.assertIdle();
    });

    it(`of a backend, in its status, headers, codes and waits: ${how}`, async () => {
      await start();
      const body = JSON.stringify({ error: { code: text, message: text, innererror: { code: text } } });
      const answers = [
        ['200 ', text, 'content-type: application/json'],
        ['200 OK', '', `content-type: ${text}`],
        ['200 OK', '', `x-note: ${text}`],
        ['200 OK', '', `x-balancer-trace: ${text}`],
        ['200 OK', '', `${text}: x`],
        ['200 OK', '', `x-ratelimit-remaining-tokens: ${text}`],
        ['200 OK', '', `content-encoding: ${text}`],
        ['302 Found', '', `location: ${text}`],
        ['400 Bad', '', 'content-type: application/json'],
        ['401 Denied', '', `www-authenticate: ${text}`],
        ['404 No', '', 'content-type: application/json'],
        ['429 Busy', '', `retry-after: ${text}`],
        ['429 Busy', '', `retry-after-ms: ${text}`],
        ['429 Busy', '', `x-ratelimit-reset-tokens: ${text}`],
        ['500 ', text, 'content-type: application/json'],
        ['503 ', text, `retry-after: ${text}`],
      ];
      for (const [line = '', phrase = '', header = ''] of answers) {
        answered = Buffer.from(
          `HTTP/1.1 ${line}${phrase}\r\n${header}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
        );
        const name = `gpt-${line}-${header.split(':', 1)[0]?.slice(0, 20)}`.replaceAll(/[^\w-]/g, '-');
        const answer = await post('/v1/responses', ['Content-Type: application/json'], JSON.stringify({ model: name }));
        assert.ok([200, 302, 400, 404, 429, 500, 502, 503].includes(status(answer)), answer);
        for (const told of headOf(answer).split('\r\n').slice(1)) {
          assert.match(told, /^[!#$%&'*+.^_`|~\w-]+: ?[\t\x20-\x7e\x80-\xff]*$/);
          if (/^x-balancer-/i.test(told)) assert.match(told, /^x-balancer-[a-z-]+: [\w=.() -]+$/);
        }
      }
      assertLogIsSafe();
      await assertPagesAreSafe();
      running.assertIdle();
    });
  }
});

function status(text: string): number {
  return Number(/^HTTP\/1\.1 (\d{3}) /.exec(text)?.[1]);
}

function headOf(text: string): string {
  return text.split('\r\n\r\n', 1)[0] ?? '';
}

function bodyOf(text: string): string {
  return Buffer.from(text.slice(text.indexOf('\r\n\r\n') + 4), 'latin1').toString();
}

/** A line of what Prometheus reads: empty, a comment or a sample. */
const SAMPLE = /^(?:$|# (?:HELP|TYPE) .*|[a-zA-Z_:][\w:]*(?:\{(?:[a-zA-Z_]\w*="(?:[^"\\]|\\[\\"n])*",?)*\})? \S+)$/;
