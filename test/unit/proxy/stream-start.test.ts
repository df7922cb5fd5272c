import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { outcomeOf, StreamStart, type StreamVerdict } from '../../../app/src/proxy/stream-start.ts';

const event = (data: object | string, name?: string): string =>
  `${name === undefined ? '' : `event: ${name}\n`}data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`;

/** The verdict on these events, in one piece. */
function verdict(...events: readonly string[]): StreamVerdict {
  return new StreamStart().take(Buffer.from(events.join('')));
}

const created = event({ type: 'response.created', response: { error: null } }, 'response.created');
const filter = event({ choices: [], prompt_filter_results: [{ prompt_index: 0 }] });
const role = event({
  choices: [{ index: 0, delta: { role: 'assistant', content: '', refusal: null }, finish_reason: null }],
});
const word = event({ choices: [{ index: 0, delta: { content: 'Hi' }, finish_reason: null }] });

/** As seen on the wire (wire facts 3.4). */
const AZURE_ERROR = {
  type: 'error',
  error: {
    type: 'too_many_requests',
    code: 'rate_limit_exceeded',
    headers: { 'x-ms-fe-error': 'true' },
    message: 'Your requests to the deployment have exceeded rate limit.',
  },
  sequence_number: 2,
};

describe('the start of a stream', () => {
  for (const [what, text] of [
    ['nothing', ''],
    ['half an event', event({ type: 'response.output_text.delta', delta: 'Hi' }).slice(0, -1)],
    ['comments and blank lines', ': keep-alive\n\n\n\n: x\n'],
    [
      'a response that was created, queued and begun',
      created + event({ type: 'response.queued' }) + event({ type: 'response.in_progress' }),
    ],
    [
      'an event that only says that it goes on',
      created + event({ type: 'keepalive', sequence_number: 1 }, 'keepalive') + event({ type: 'response.in_progress' }),
    ],
    ['what the filter says of the prompt', filter],
    ['a role', filter + role],
    ['an empty text', event({ choices: [{ text: '', index: 0, finish_reason: null }] })],
    ['a failure whose reason is yet to come', created + event({ type: 'response.failed', response: { error: null } })],
  ] as const) {
    it(`leaves it open with ${what}`, () => assert.equal(verdict(text), 'more'));
  }

  for (const [what, text] of [
    ['text of a chat', filter + role + word],
    ['text of a response', created + event({ type: 'response.output_text.delta', delta: 'Hi' })],
    ['an item of a response', created + event({ type: 'response.output_item.added', item: {} })],
    ['a call of a tool', role + event({ choices: [{ delta: { tool_calls: [{ index: 0 }] } }] })],
    ['an end', role + event({ choices: [{ delta: {}, finish_reason: 'stop' }] })],
    ['the end mark', event('[DONE]')],
    ['an event that nobody here knows', event({ type: 'response.next_year' })],
    ['what is no JSON', event('hello')],
    ['a refusal by the content filter', event({ error: { code: 'content_filter', type: null, message: 'Filtered.' } })],
    ['a failure for the prompt', event({ type: 'response.failed', response: { error: { code: 'invalid_prompt' } } })],
    ['an error of no known kind', event({ message: 'odd' }, 'error')],
  ] as const) {
    it(`commits with ${what}`, () => assert.equal(verdict(text), 'content'));
  }

  for (const [what, text] of [
    [
      'as Azure says it after a failed response',
      created + event({ type: 'response.failed', response: { error: null } }) + event(AZURE_ERROR, 'error'),
    ],
    [
      'inside the failed response',
      created + event({ type: 'response.failed', response: { error: { code: 'rate_limit_exceeded', message: 'x' } } }),
    ],
    ['as an error of a chat', filter + event({ error: { code: '429', message: 'x' } })],
    ['as an error without one around it', event({ type: 'error', code: 'rate_limit_exceeded', message: 'x' }, 'error')],
    ['by its type alone', event({ error: { type: 'too_many_requests', message: 'x' } })],
    ['by a number', event({ error: { code: 429, message: 'x' } })],
  ] as const) {
    it(`is a throttle ${what}`, () => assert.equal(verdict(text), 'throttled'));
  }

  for (const [what, text] of [
    ['an overloaded model', event({ error: { message: 'That model is currently overloaded', type: 'server_error' } })],
    ['a failed response', created + event({ type: 'response.failed', response: { error: { code: 'server_error' } } })],
    ['a status', event({ error: { code: '500', message: 'x' } })],
  ] as const) {
    it(`is a failure of the backend with ${what}`, () => assert.equal(verdict(text), 'failed'));
  }

  for (const [what, text] of [
    ['a status', event({ error: { code: '503', message: 'x' } })],
    ['a time that ran out', event({ error: { statusCode: 408 } })],
    ['its own word', event({ error: { code: 'engine_overloaded' } })],
  ] as const) {
    it(`is an overload of the backend with ${what}`, () => assert.equal(verdict(text), 'overloaded'));
  }

  for (const code of [
    'RateLimitReached',
    'TooManyRequests',
    'rate_limit_error',
    'quota_exceeded',
    'RATE-LIMIT-EXCEEDED',
  ]) {
    it(`knows a throttle by the word ${code}`, () => {
      assert.equal(verdict(event({ error: { code, message: 'x' } })), 'throttled');
      assert.equal(verdict(event({ error: 'Slow down.', code })), 'throttled');
    });
  }

  it('does not take what comes after content for its beginning', () => {
    assert.equal(verdict(word, event(AZURE_ERROR)), 'content');
  });

  it('reads the same however it is cut, and with every kind of line end', () => {
    const stream = `\u{feff}: hello\n\n${created}${event({ type: 'response.failed', response: { error: null } })}${event(AZURE_ERROR, 'error')}`;
    const ends = fc.constantFrom('\n', '\r\n');
    fc.assert(
      fc.property(ends, fc.array(fc.integer({ min: 1, max: 60 })), (lineEnd, lengths) => {
        const bytes = Buffer.from(stream.replaceAll('\n', lineEnd));
        const start = new StreamStart();
        let at = 0;
        let last: StreamVerdict = 'more';
        for (const length of [...lengths, bytes.length]) {
          if (last !== 'more' || at >= bytes.length) break;
          last = start.take(bytes.subarray(at, at + length));
          at += length;
        }
        assert.equal(last, 'throttled');
      }),
    );
  });

  for (const lineEnd of ['\n', '\r\n', '\r']) {
    it(`reads to the last byte, wherever it is cut, with lines that end with ${JSON.stringify(lineEnd)}`, () => {
      const bytes = Buffer.from(`${created}${event(AZURE_ERROR, 'error')}: end\n\n`.replaceAll('\n', lineEnd));
      for (let at = 1; at < bytes.length; at += 1) {
        const start = new StreamStart();
        const first = start.take(bytes.subarray(0, at));
        assert.equal(first === 'more' ? start.take(bytes.subarray(at)) : first, 'throttled', `cut at ${at}`);
      }
    });
  }

  it('sees the end of the last event however its blank line is cut', () => {
    const bytes = Buffer.from(event(AZURE_ERROR).replaceAll('\n', '\r\n'));
    for (let at = bytes.length - 4; at < bytes.length; at += 1) {
      const start = new StreamStart();
      assert.equal(start.take(bytes.subarray(0, at)), 'more');
      assert.equal(start.take(bytes.subarray(at)), 'throttled', `cut at ${at}`);
    }
  });

  it('keeps the name of an event to that event, and the lines of its data apart', () => {
    assert.equal(verdict('event: error\n\n', event({ code: '429' })), 'content');
    assert.equal(verdict('data: {"error":{"code":\ndata: 429}}\n\n'), 'throttled');
    assert.equal(verdict('data: {"error":{"code":42\ndata: 9}}\n\n'), 'content');
  });

  it('takes a byte order mark for one at the beginning of a stream only, however it is cut', () => {
    const marked = Buffer.from(`\uFEFF${event(AZURE_ERROR)}`);
    assert.equal(new StreamStart().take(marked), 'throttled');
    const start = new StreamStart();
    assert.equal(start.take(Buffer.from(': hello\n\n')), 'more');
    assert.equal(start.take(marked), 'more');
  });

  it('sees the end of an event by the byte behind a CR', () => {
    const start = new StreamStart();
    assert.equal(start.take(Buffer.from(event(AZURE_ERROR).replace(/\n\n$/, '\n\r'))), 'more');
    assert.equal(start.take(Buffer.from('d')), 'throttled');
  });

  it('gives the outcome of the attempt', () => {
    assert.deepEqual(outcomeOf('throttled', 2500), { kind: 'throttled', inStream: true, retryAfterMs: 2500 });
    assert.deepEqual(outcomeOf('throttled', undefined), { kind: 'throttled', inStream: true });
    assert.deepEqual(outcomeOf('overloaded', 2500), { kind: 'failed', cause: 'in-stream' });
    // Its blame waits, as that of every 500: it may be the request's own fault.
    assert.deepEqual(outcomeOf('failed', 2500), { kind: 'failed', status: 500, cause: 'status' });
  });
});
