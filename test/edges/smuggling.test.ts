import assert from 'node:assert/strict';
import { CLIENT_KEY, startBalancer, type RunningBalancer } from '../support/balancer.ts';
import { chat } from '../support/http.ts';
import { codeOf, connectTo, exchange, head } from '../support/raw.ts';

const START = [
  'POST /v1/chat/completions HTTP/1.1',
  'Host: balancer.example',
  `api-key: ${CLIENT_KEY}`,
  'Content-Type: application/json',
];
const BODY = chat();
const LENGTH = BODY.length;
const LAST_CHUNK = '0\r\n\r\n';
const CHUNKED = `${LENGTH.toString(16)}\r\n${BODY}\r\n${LAST_CHUNK}`;

/** What a smuggler hides behind the first request: nobody may ever answer it. */
const HIDDEN = head('GET /v1/models HTTP/1.1', 'Host: hidden.example', `api-key: ${CLIENT_KEY}`, 'Connection: close');

/** Requests whose end two parsers could see in different places. */
const AMBIGUOUS: Readonly<Record<string, string>> = {
  'a content-length and a transfer-encoding':
    head(...START, `Content-Length: ${LENGTH}`, 'Transfer-Encoding: chunked') + LAST_CHUNK,
  'a transfer-encoding and a content-length':
    head(...START, 'Transfer-Encoding: chunked', `Content-Length: ${LENGTH}`) + LAST_CHUNK,
  'two different content-lengths': head(...START, `Content-Length: ${LENGTH}`, 'Content-Length: 5') + BODY,
  'the same content-length twice': head(...START, `Content-Length: ${LENGTH}`, `Content-Length: ${LENGTH}`) + BODY,
  'a list of content-lengths': head(...START, `Content-Length: ${LENGTH}, ${LENGTH}`) + BODY,
  'a negative content-length': head(...START, 'Content-Length: -1') + BODY,
  'a hexadecimal content-length': head(...START, 'Content-Length: 0x10') + BODY,
  'a content-length with a plus': head(...START, `Content-Length: +${LENGTH}`) + BODY,
  'a content-length with a fraction': head(...START, `Content-Length: ${LENGTH}.0`) + BODY,
  'an empty content-length': head(...START, 'Content-Length:') + BODY,
  'a content-length beyond 64 bits': head(...START, `Content-Length: ${2n ** 64n + BigInt(LENGTH)}`) + BODY,
  'a transfer-encoding that ends in identity': head(...START, 'Transfer-Encoding: chunked, identity') + CHUNKED,
  'chunked twice': head(...START, 'Transfer-Encoding: chunked, chunked') + CHUNKED,
  'an unknown transfer-encoding': head(...START, 'Transfer-Encoding: xchunked') + CHUNKED,
  'a transfer-encoding behind a control character': head(...START, 'Transfer-Encoding: \x0bchunked') + CHUNKED,
  'two transfer-encodings': head(...START, 'Transfer-Encoding: chunked', 'Transfer-Encoding: identity') + CHUNKED,
  'a folded header': head(...START, 'X-Note: one', ' two', `Content-Length: ${LENGTH}`) + BODY,
  'a folded transfer-encoding': head(...START, 'Transfer-Encoding:', ' chunked') + CHUNKED,
  'a folded first header': head(START[0] ?? '', ' Host: x', ...START.slice(1), `Content-Length: ${LENGTH}`) + BODY,
  'lines that end with a bare LF': `${[...START, `Content-Length: ${LENGTH}`].join('\n')}\n\n${BODY}`,
  'a bare LF in a header': head(...START, 'X-Note: one\nX-Other: two', `Content-Length: ${LENGTH}`) + BODY,
  'a bare CR in a header': head(...START, 'X-Note: one\rX-Other: two', `Content-Length: ${LENGTH}`) + BODY,
  'a NUL in a header': head(...START, 'X-Note: one\0two', `Content-Length: ${LENGTH}`) + BODY,
  'a space before the colon of content-length': head(...START, `Content-Length : ${LENGTH}`) + BODY,
  'a space before the colon of transfer-encoding': head(...START, 'Transfer-Encoding : chunked') + CHUNKED,
  'a space in a header name': head(...START, 'X Note: one', `Content-Length: ${LENGTH}`) + BODY,
  'a header without a name': head(...START, ': one', `Content-Length: ${LENGTH}`) + BODY,
  'a header without a colon': head(...START, 'X-Note', `Content-Length: ${LENGTH}`) + BODY,
  'a chunk size that overflows': `${head(...START, 'Transfer-Encoding: chunked')}fffffffffffffffff1\r\nx\r\n${LAST_CHUNK}`,
  'a negative chunk size': `${head(...START, 'Transfer-Encoding: chunked')}-1\r\nx\r\n${LAST_CHUNK}`,
  'a chunk size with 0x': `${head(...START, 'Transfer-Encoding: chunked')}0x2\r\n{}\r\n${LAST_CHUNK}`,
  'a chunk size behind a blank': `${head(...START, 'Transfer-Encoding: chunked')} 2\r\n{}\r\n${LAST_CHUNK}`,
  'a chunk size that ends with a bare LF': `${head(...START, 'Transfer-Encoding: chunked')}2\n{}\r\n${LAST_CHUNK}`,
  'a chunk that is longer than its size': `${head(...START, 'Transfer-Encoding: chunked')}2\r\n{}}}\r\n${LAST_CHUNK}`,
  'a space in the target': head('GET /v1/mod els HTTP/1.1', ...START.slice(1)),
  'a version that does not exist': head('GET /v1/models HTTP/1.2', ...START.slice(1)),
  'a method in small letters': head('get /v1/models HTTP/1.1', ...START.slice(1)),
  'a method that does not exist': head('FROB /v1/models HTTP/1.1', ...START.slice(1)),
  'the preface of HTTP/2': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  'the hello of TLS': '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n',
  'a content-length among the trailers': `${head(...START, 'Transfer-Encoding: chunked')}${LENGTH.toString(16)}\r\n${BODY}\r\n0\r\nContent-Length: 5\r\n\r\n`,
};

/** Requests that every parser must refuse, though all see the same end (RFC 9112 §3.2 and §6.1). */
const INVALID: Readonly<Record<string, string>> = {
  'no Host': head(...START.filter((line) => !line.startsWith('Host')), `Content-Length: ${LENGTH}`) + BODY,
  'two Hosts': head(...START, 'Host: other.example', `Content-Length: ${LENGTH}`) + BODY,
};

describe('a request that two parsers could read differently', () => {
  let running: RunningBalancer;
  beforeEach(async () => {
    running = await startBalancer();
  });
  afterEach(() => running.close());

  /** Refused with 400 and a closed connection, and nothing of it, or behind it, was served. */
  async function assertRefused(request: string): Promise<void> {
    const answer = await exchange(running.port, Buffer.from(request + HIDDEN, 'latin1'));
    assert.equal(answer.status, 400);
    assert.equal(answer.headers['connection'], 'close');
    assert.deepEqual(
      running.resources.map(({ calls }) => calls.length),
      [0, 0, 0],
    );
    assert.equal(answer.rest, '');
    assert.equal(codeOf(answer), 'malformed_request');
    assert.equal(answer.headers['content-type'], 'application/json');
    assert.equal((await exchange(running.port, head('GET /healthz HTTP/1.0'))).status, 200);
    running.assertIdle();
  }

  for (const [name, request] of Object.entries({ ...AMBIGUOUS, ...INVALID })) {
    it(`is refused: ${name}`, () => assertRefused(request));
  }

  it('is refused: a transfer coding beside chunked, which nobody here would undo', async () => {
    const answer = await exchange(
      running.port,
      head(...START, 'Connection: close', 'Transfer-Encoding: gzip, chunked') + CHUNKED,
    );
    assert.ok([400, 415, 501].includes(answer.status), `answered ${answer.status}`);
    assert.deepEqual(
      running.resources.map(({ calls }) => calls.length),
      [0, 0, 0],
    );
  });

  it('is served when it is only unusual: chunk extensions and trailers are dropped, the body is whole', async () => {
    const answer = await exchange(
      running.port,
      head(...START, 'Connection: close', 'Transfer-Encoding: chunked') +
        `${LENGTH.toString(16)};note=one\r\n${BODY}\r\n0\r\nX-Trailer: two\r\n\r\n`,
    );
    assert.equal(answer.status, 200);
    const [call] = running.resources[0]?.calls ?? [];
    assert.equal(call?.body.toString(), BODY);
    assert.equal(call.headers['content-length'], String(LENGTH));
    assert.equal(call.headers['transfer-encoding'], undefined);
    assert.equal(call.headers['x-trailer'], undefined);
    running.assertIdle();
  });

  it('never writes its refusal into the answer that is under way before it', async () => {
    const [resource] = running.resources;
    resource?.script({ kind: 'stall', afterChunks: 2 });
    const body = chat({ stream: true });
    const connection = await connectTo(running.port);
    const whole = new Promise<string>((resolve) => {
      let text = '';
      connection.socket.on('data', (bytes) => {
        const isFirst = !text.includes('data: ');
        text += bytes.toString('latin1');
        if (isFirst && text.includes('data: ')) connection.write('\x01garbage\r\n\r\n');
      });
      connection.socket.on('close', () => resolve(text));
    });
    connection.write(head(...START, `Content-Length: ${body.length}`) + body);
    const text = await whole;
    assert.match(text, /^HTTP\/1\.1 200 /);
    assert.equal(text.indexOf('HTTP/1.1', 1), -1, text);
    assert.ok(!text.endsWith(LAST_CHUNK), 'a stream that was cut must not end as if it were whole');
  });
});
