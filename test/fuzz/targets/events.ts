import assert from 'node:assert/strict';
import { completeEventsLength, endsWithDone } from '../../../app/src/proxy/sse.ts';
import { StreamStart, type StreamVerdict } from '../../../app/src/proxy/stream-start.ts';
import { slowEvents, slowEventsLength } from '../../support/slow-events.ts';
import { piecesOf } from '../mutate.ts';
import { bytesOf, once, type Target, wordsOf } from '../target.ts';

const ERROR = '{"error":{"code":"429","message":"Too many requests."}}';
const ROLE = '{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}';
const CONTENT = '{"choices":[{"index":0,"delta":{"content":"größe 😀"}}]}';

export const eventSamples = bytesOf(
  `data: ${ROLE}\n\ndata: ${CONTENT}\n\ndata: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\ndata: [DONE]\n\n`,
  `\uFEFF: hello\r\n\r\nevent: error\r\ndata: ${ERROR}\r\n\r\n`,
  'event: response.created\ndata: {"type":"response.created","response":{"error":null}}\n\ndata: {"type":"response.failed","response":{"error":{"code":"server_error"}}}\n\n',
  'event: response.output_text.delta\rdata: {"type":"response.output_text.delta","delta":"a"}\r\rdata: [DONE]\r\r',
  'data: {"type":"response.in_progress"}\n\nid: 1\nretry: 5\ndata: {"error":\ndata: "x","code":"overloaded"}\n\n',
  'data: {"choices":[{"text":"","finish_reason":null}]}\n\ndata: {"choices":[{"text":"x"}]}\n\n',
  'data: {"type":"response.completed","response":{"usage":{"input_tokens":3,"output_tokens":2}}}\n\n',
);
export const eventWords = [
  ...wordsOf(
    '\n¦\r¦\r\n¦\n\n¦\r\r¦\r\n\r\n¦\n\r¦: ¦data:¦data: ¦data¦event: error\n¦event:¦id: 1\n¦[DONE]',
    'data: [DONE]\n\n¦\uFEFF¦{¦}¦"¦\\¦"error":¦"code":"503"¦"type":"error"¦"type":"response.failed"¦null',
    '{"choices":[]}¦: keep-alive\n',
  ),
  ...bytesOf(`data: ${ERROR}\n\n`, `data: ${ROLE}\n\n`, `data: ${CONTENT}\n\n`),
];

export const eventEnds: Target = {
  name: 'ends of events',
  property:
    'the last complete event ends where a reader finds it that goes line by line; [DONE] is seen when it is the last line',
  samples: eventSamples,
  words: eventWords,
  check(bytes) {
    const text = bytes.toString('latin1');
    const length = completeEventsLength(bytes);
    assert.equal(length, slowEventsLength(text));
    const complete = text.slice(0, length);
    const isDone = complete.split(/[\r\n]+/).findLast((line) => line !== '') === 'data: [DONE]';
    assert.equal(endsWithDone(bytes.subarray(0, length)), isDone);
    return `${length === 0 ? 'none' : length === bytes.length ? 'all' : 'some'} ${isDone}`;
  },
};

export const streamStart: Target = {
  name: 'beginnings of streams',
  property:
    'however a stream is cut, the verdict comes with the same event, and is that on the first event that has one, as a reader of the standard finds it',
  samples: eventSamples,
  words: eventWords,
  share: 0.5,
  regressions: [once('data:\n\ra', 1), once('a\n\n\uFEFFdata:a\n\n'), once('\uFEFFdata:a\n\n', 4)],
  check(bytes, chance) {
    const start = new StreamStart();
    let verdict: StreamVerdict = 'more';
    let taken = 0;
    for (const piece of piecesOf(bytes, chance)) {
      taken += piece.length;
      verdict = start.take(piece);
      if (verdict !== 'more') break;
      assert.equal(expectedOf(bytes.subarray(0, taken)), 'more', 'an event was there before');
    }
    assert.equal(verdict, expectedOf(bytes.subarray(0, taken)));
    return verdict;
  },
};

/** Of every event by itself, in the plainest form. */
function expectedOf(bytes: Buffer): StreamVerdict {
  const complete = bytes.toString('utf8', 0, slowEventsLength(bytes.toString('latin1')));
  for (const { name, data } of slowEvents(complete)) {
    const lines = [`event: ${name}`, ...data.map((line) => `data: ${line}`)];
    const verdict = new StreamStart().take(Buffer.from(`${lines.join('\n')}\n\n`));
    if (verdict !== 'more') return verdict;
  }
  return 'more';
}
