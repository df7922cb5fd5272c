import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { completeEventsLength, endsWithDone, isEventStream, KEEP_ALIVE } from '../../../app/src/proxy/sse.ts';
import { slowEventsLength } from '../../support/slow-events.ts';

function isStream(headers: Readonly<Record<string, string>>): boolean {
  return isEventStream((name) => headers[name]);
}

describe('sse: what an event stream is', () => {
  it('is text/event-stream, with or without parameters, in any case', () => {
    for (const type of [
      'text/event-stream',
      'text/event-stream; charset=utf-8',
      'Text/Event-Stream ;x=1',
      'text/event-stream;',
    ]) {
      assert.ok(isStream({ 'content-type': type }), type);
    }
  });

  it('is no other type, and not a longer name', () => {
    for (const type of [
      'application/json',
      'text/event-streams',
      'text/event-stream+json',
      'x-text/event-stream',
      '',
    ]) {
      assert.ok(!isStream({ 'content-type': type }), type);
    }
    assert.ok(!isStream({}));
  });

  it('is not one that is compressed', () => {
    assert.ok(!isStream({ 'content-type': 'text/event-stream', 'content-encoding': 'gzip' }));
    assert.ok(isStream({ 'content-type': 'text/event-stream', 'content-encoding': 'Identity' }));
  });
});

describe('sse: where the last complete event ends', () => {
  const lengths: readonly (readonly [string, number])[] = [
    ['', 0],
    ['\n', 0],
    ['\r\n', 0],
    ['data: 1', 0],
    ['data: 1\n', 0],
    ['data: 1\r\n', 0],
    ['data: 1\n\n', 9],
    ['data: 1\r\n\r\n', 11],
    ['data: 1\r\n\r', 0],
    ['data: 1\n\r\n', 10],
    ['data: 1\r\n\n', 10],
    ['data: 1\n\ndata: 2', 9],
    ['data: 1\n\ndata: 2\n', 9],
    ['data: 1\n\ndata: 2\n\n', 18],
    ['data: 1\n\n\n', 10],
    [': keep-alive\n', 0],
    [': keep-alive\n\n', 14],
    ['data: 1\n \n', 0],
    ['data: 1\r', 0],
    ['data: 1\r\r', 9],
    ['data: 1\r\r\n', 10],
    ['data: 1\r\rdata: 2\r', 9],
    ['data: 1\n\r', 0],
    ['data: 1\n\rdata: 2', 9],
    ['data: 1\r\n\r\ndata: 2\r\n', 11],
    ['\n\n', 2],
  ];
  for (const [text, length] of lengths) {
    it(`is at ${length} in ${JSON.stringify(text)}`, () => {
      assert.equal(completeEventsLength(Buffer.from(text)), length);
    });
  }

  it('is where a splitter finds it that goes line by line, for text cut anywhere', () => {
    const piece = fc.constantFrom(
      'data: 1',
      'event: error',
      ':',
      '\n',
      '\r\n',
      '\n\n',
      '\r\n\r\n',
      '\r',
      '\r\r',
      'ü',
      ' ',
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), fc.nat(), fc.nat(), (pieces, first, second) => {
        const whole = Buffer.from(pieces.join(''));
        const from = first % (whole.length + 1);
        const cut = whole.subarray(from, from + (second % (whole.length - from + 1)));
        assert.equal(completeEventsLength(cut), slowEventsLength(cut.toString('latin1')));
      }),
      { numRuns: 2000 },
    );
  });

  it('loses and repeats no byte when a stream is taken apart and put together by it', () => {
    const event = fc.constantFrom('data: 1\n\n', 'data: 2\r\n\r\n', 'event: x\ndata: y\n\n', ': comment\r\r');
    fc.assert(
      fc.property(fc.array(event), fc.array(fc.integer({ min: 1, max: 20 })), (events, sizes) => {
        const whole = Buffer.from(events.join(''));
        let sent = '';
        let tail = Buffer.alloc(0);
        for (let at = 0, i = 0; at < whole.length; i += 1) {
          const size = sizes[i] ?? 7;
          const bytes = Buffer.concat([tail, whole.subarray(at, at + size)]);
          const length = completeEventsLength(bytes);
          const complete = bytes.toString('utf8', 0, length);
          assert.match(complete, /^$|\n\n$|\n\r\n$|\r\r$/);
          sent += complete;
          tail = bytes.subarray(length);
          at += size;
        }
        assert.equal(sent, whole.toString());
        assert.equal(tail.length, 0);
      }),
    );
  });

  it('is not looked for more than once through a long event', () => {
    assert.equal(completeEventsLength(Buffer.alloc(5_000_000, 'data: x\n')), 0);
  });

  it('keeps a stream alive with a comment, which is no event by itself', () => {
    assert.equal(KEEP_ALIVE.toString(), ': keep-alive\n');
    assert.equal(completeEventsLength(KEEP_ALIVE), 0);
  });
});

describe('sse: the last event of a stream', () => {
  const cases: readonly (readonly [string, boolean])[] = [
    ['data: [DONE]\n\n', true],
    ['data: [DONE]\r\n\r\n', true],
    ['data: 1\n\ndata: [DONE]\n\n', true],
    ['data: [DONE]\n\ndata: 1\n\n', false],
    ['data: {"choices":[]}\n\n', false],
    ['data: 1\r\rdata: [DONE]\r\r', true],
    ['data: say data: [DONE]\n\n', false],
    [': data: [DONE]\n\n', false],
    ['data: [1]\n\n', false],
    ['[DONE]\n\n', false],
    ['\n\n', false],
    ['', false],
  ];
  for (const [text, isDone] of cases) {
    it(`${isDone ? 'has come with' : 'has not come with'} ${JSON.stringify(text)}`, () => {
      assert.equal(endsWithDone(Buffer.from(text)), isDone);
    });
  }
});
