import assert from 'node:assert/strict';
import { CLIENT_KEY, startBalancer, type RunningBalancer } from '../support/balancer.ts';
import { chat } from '../support/http.ts';
import { codeOf, exchange, head, type RawAnswer } from '../support/raw.ts';
import { rawAnswer, startRawUpstream, type RawUpstream } from '../support/raw-upstream.ts';

const LEGACY = '/chat/completions?api-version=2024-10-21';

describe('a request target', () => {
  let upstream: RawUpstream;
  let elsewhere: RawUpstream;
  let running: RunningBalancer;
  beforeEach(async () => {
    const answer = rawAnswer('200 OK', ['content-type: application/json'], '{}');
    upstream = await startRawUpstream((socket) => socket.write(answer));
    elsewhere = await startRawUpstream((socket) => socket.write(answer));
    running = await startBalancer({ backends: 1, settings: { BACKEND_1_URL: upstream.url } });
  });
  afterEach(async () => {
    await running.close();
    await upstream.close();
    await elsewhere.close();
  });

  function ask(target: string, method = 'GET', host = 'balancer.example', body = ''): Promise<RawAnswer> {
    const lines = [`Host: ${host}`, `api-key: ${CLIENT_KEY}`, 'Connection: close'];
    if (body !== '') lines.push('Content-Type: application/json', `Content-Length: ${Buffer.byteLength(body)}`);
    return exchange(
      running.port,
      Buffer.concat([Buffer.from(head(`${method} ${target} HTTP/1.1`, ...lines), 'latin1'), Buffer.from(body)]),
    );
  }

  /** Every entry of the log is one line of its own, without a character that could make it look like two. */
  function assertNoForgedLine(lines: number): void {
    assert.equal(running.log.length, lines, running.log.join(''));
    for (const line of running.log) assert.match(line, /^[\x20-\x7e]+\n$/);
  }

  describe('with a host in it (absolute form)', () => {
    for (const scheme of ['http', 'https']) {
      it(`is served by our backends, never by that host: ${scheme}`, async () => {
        const answer = await ask(`${scheme}://${elsewhere.host}/openai/v1/models?after=x`, 'GET', elsewhere.host);
        assert.equal(answer.status, 200);
        assert.equal(upstream.requests.length, 1);
        const [sent = ''] = upstream.requests;
        assert.match(sent, /^GET \/openai\/v1\/models\?after=x HTTP\/1\.1\r\n/);
        assert.match(sent, new RegExp(`\\r\\nhost: ${upstream.host}\\r\\n`, 'i'));
        assert.ok(!sent.includes(elsewhere.host));
        assert.equal(elsewhere.connections, 0);
        assertNoForgedLine(2);
        running.assertIdle();
      });
    }

    it('keeps a name and password in it out of the log', async () => {
      const answer = await ask(`http://someone:pass-word@${elsewhere.host}/openai/v1/models`);
      assert.equal(answer.status, 200);
      assert.equal(elsewhere.connections, 0);
      assert.ok(!upstream.requests.join('').includes('pass-word'));
      assert.ok(!running.log.join('').includes('pass-word'), running.log.join(''));
      assert.ok(!JSON.stringify(running.events).includes('pass-word'));
    });

    for (const target of [
      'http://HOST',
      'http://HOST/',
      'http://HOST?/openai/v1/models',
      'ftp://HOST/openai/v1/models',
    ]) {
      it(`is 404 where it names no path of ours: ${target}`, async () => {
        const answer = await ask(target.replace('HOST', elsewhere.host));
        assert.equal(answer.status, 404);
        assert.equal(codeOf(answer), 'unknown_path');
        assert.deepEqual([upstream.connections, elsewhere.connections], [0, 0]);
        assertNoForgedLine(1);
      });
    }
  });

  for (const target of ['//HOST/openai/v1/models', '///HOST/v1/models', '*', '/http://HOST/openai/v1/models']) {
    it(`is 404 when it only looks like another host: ${target}`, async () => {
      const answer = await ask(target.replace('HOST', elsewhere.host), target === '*' ? 'OPTIONS' : 'GET');
      assert.equal(answer.status, 404);
      assert.equal(codeOf(answer), 'unknown_path');
      assert.deepEqual([upstream.connections, elsewhere.connections], [0, 0]);
      assertNoForgedLine(1);
    });
  }

  for (const target of [
    'HOST/openai/v1/models',
    '@HOST/openai/v1/models',
    'HOST:443',
    '/v1/models\u0080',
    '/v1/mod\u00e9ls',
  ]) {
    it(`is 400 when HTTP knows no such form: ${JSON.stringify(target)}`, async () => {
      const answer = await ask(target.replace('HOST', elsewhere.host));
      assert.equal(answer.status, 400);
      assert.equal(codeOf(answer), 'malformed_request');
      assert.deepEqual([upstream.connections, elsewhere.connections], [0, 0]);
      assertNoForgedLine(1);
    });
  }

  const CLIMBING = [
    '/v1/../v1/models',
    '/v1/./models',
    '/v1/models/..',
    '/../../openai/v1/models',
    '/openai/deployments/../../secret',
    '/v1/%2e%2e/models',
    '/v1/%2E%2E/models',
    '/v1/.%2e/models',
    '/v1/%2e/models',
    '/v1/a%2fb',
    '/v1/a%2Fb',
    '/v1/models%2f..%2f..%2fsecret',
    '/v1/models\\..\\secret',
    '/v1/models%5c..%5csecret',
    '/v1/models%00',
    '/v1/models%00.json',
    '/v1/models%09',
    '/v1/models%7f',
    '/v1/%c0%ae%c0%ae/models',
    '/v1/%zz',
    '/v1/%',
    '/v1/models%0d%0aX-Evil:%20yes',
    '/v1/models%0aGET%20/secret',
    '/v1/models%0d',
    `/openai/deployments/gpt%0d%0aX-Evil:%201${LEGACY}`,
    `/openai/deployments/gpt%0aProxying%20to%20https:%2f%2fforged${LEGACY}`,
    `/openai/deployments/..${LEGACY}`,
    `/openai/deployments/%2e%2e${LEGACY}`,
    `/openai/deployments/a%2f..%2fb${LEGACY}`,
    '/healthz/../v1/models',
  ];
  for (const target of CLIMBING) {
    it(`is 400 when it could climb out of its prefix or split a line: ${target}`, async () => {
      const answer = await ask(target);
      assert.equal(answer.status, 400);
      assert.equal(codeOf(answer), 'invalid_path');
      assert.equal(answer.headers['connection'], 'close');
      assert.equal(upstream.connections, 0);
      assertNoForgedLine(1);
      running.assertIdle();
    });
  }

  it('goes upstream with every odd character encoded, so that a second decoding finds nothing new', async () => {
    const answer = await ask('/v1/%252e%252e/%3Fx/%23y/a;b=c/caf%c3%a9/videos:remix');
    assert.equal(answer.status, 200);
    assert.match(
      upstream.requests[0] ?? '',
      /^GET \/openai\/v1\/%252e%252e\/%3Fx\/%23y\/a%3Bb%3Dc\/caf%C3%A9\/videos:remix HTTP\/1\.1\r\n/,
    );
    assertNoForgedLine(2);
  });

  it('keeps its query as it was sent, encoded line ends included, and out of the log', async () => {
    const answer = await ask('/v1/models?a=%0d%0aX-Evil:%20yes&b=../..&c=%00');
    assert.equal(answer.status, 200);
    const [sent = ''] = upstream.requests;
    assert.match(sent, /^GET \/openai\/v1\/models\?a=%0d%0aX-Evil:%20yes&b=\.\.\/\.\.&c=%00 HTTP\/1\.1\r\n/);
    assert.ok(!/^x-evil/im.test(sent));
    assert.ok(!running.log.join('').includes('X-Evil'));
    assertNoForgedLine(2);
  });

  it('writes a deployment name with line ends into no header and no second line of the log', async () => {
    const body = chat({ model: 'gpt\r\nX-Evil: yes\r\n\r\nProxying to https://forged.example/ \u001b[31m' });
    const answer = await ask('/v1/chat/completions', 'POST', 'balancer.example', body);
    assert.equal(answer.status, 200);
    const [sent = ''] = upstream.requests;
    assert.ok(sent.endsWith(`\r\n\r\n${body}`));
    assert.ok(!/^x-evil/im.test(sent.slice(0, sent.indexOf('\r\n\r\n'))));
    assert.ok(!/x-evil/i.test(answer.head));
    assertNoForgedLine(2);
  });

  it('writes a model name of an upload into no header and no second line of the log', async () => {
    const part = 'gpt\nX-Evil: yes\n\u001b[31mProxying to https://forged.example/';
    const body = `--b\r\nContent-Disposition: form-data; name="model"\r\n\r\n${part}\r\n--b--\r\n`;
    const lines = [
      'POST /v1/audio/transcriptions HTTP/1.1',
      'Host: x',
      `api-key: ${CLIENT_KEY}`,
      'Content-Type: multipart/form-data; boundary=b',
      `Content-Length: ${body.length}`,
      'Connection: close',
    ];
    const answer = await exchange(running.port, head(...lines) + body);
    assert.equal(answer.status, 200);
    assert.equal(upstream.requests.length, 1);
    assert.ok(upstream.requests[0]?.endsWith(`\r\n\r\n${body}`));
    assertNoForgedLine(2);
  });

  it('shows a strange deployment name in an error only made printable', async () => {
    upstream = await replaced(upstream, rawAnswer('404 Not Found', [], '{"error":{"code":"DeploymentNotFound"}}'));
    await running.close();
    running = await startBalancer({ backends: 1, settings: { BACKEND_1_URL: upstream.url } });
    const body = chat({ model: `no\r\n<script>\u0000\u202e${'x'.repeat(200)}` });
    const answer = await ask('/v1/chat/completions', 'POST', 'balancer.example', body);
    assert.equal(answer.status, 404);
    assert.equal(answer.headers['content-type'], 'application/json');
    assertNoForgedLine(3);
    const message = Buffer.from(answer.body, 'latin1').toString();
    assert.match(message, /no backend has a deployment named \\"no\?\?<script>\?\?x{80,90}…\\"\./i);
  });

  it('keeps no deployment name of any length in the state of the pool', async () => {
    upstream = await replaced(upstream, rawAnswer('404 Not Found', [], '{"error":{"code":"DeploymentNotFound"}}'));
    await running.close();
    running = await startBalancer({ backends: 1, settings: { BACKEND_1_URL: upstream.url } });
    const answer = await ask('/v1/chat/completions', 'POST', 'balancer.example', chat({ model: 'x'.repeat(200_000) }));
    assert.ok([400, 404].includes(answer.status));
    const kept = running.balancer.pool.snapshot(0).backends.flatMap(({ deployments }) => deployments);
    assert.deepEqual(
      kept.map(({ deployment }) => deployment.length).filter((length) => length > 1024),
      [],
    );
  });

  it('writes a deployment name of any length into lines of the log that stay short', async () => {
    const answer = await ask('/v1/chat/completions', 'POST', 'balancer.example', chat({ model: 'x'.repeat(200_000) }));
    assert.ok([200, 400, 404].includes(answer.status));
    assert.ok(running.log.length > 0);
    assertNoForgedLine(running.log.length);
    assert.deepEqual(
      running.log.map(({ length }) => length).filter((length) => length > 4096),
      [],
    );
  });
});

async function replaced(upstream: RawUpstream, answer: string): Promise<RawUpstream> {
  await upstream.close();
  return startRawUpstream((socket) => socket.write(answer));
}
