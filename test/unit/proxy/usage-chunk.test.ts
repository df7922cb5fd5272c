import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { withoutUsageChunk } from '../../../app/src/proxy/usage-chunk.ts';

const COUNTED = { prompt_tokens: 11, completion_tokens: 5, total_tokens: 16 };
const CHUNK = `data: ${JSON.stringify({ choices: [], id: 'x', usage: COUNTED })}\n\n`;
const FILTER = 'data: {"choices":[],"id":"","prompt_filter_results":[{"prompt_index":0}]}\n\n';
const TEXT = 'data: {"choices":[{"delta":{"content":"H\u00e9 \\"usage\\":{"}}],"usage":null}\n\n';
const DONE = 'data: [DONE]\n\n';

function left(text: string, isWhole = true): string {
  return withoutUsageChunk(Buffer.from(text), isWhole).toString();
}

describe('usage chunk', () => {
  it('is left out from between any others, which stay as they are', () => {
    assert.equal(left(FILTER + TEXT + CHUNK + DONE), FILTER + TEXT + DONE);
    assert.equal(left(CHUNK), '');
    assert.equal(left(CHUNK + DONE), DONE);
    assert.equal(left(TEXT + CHUNK.trimEnd()), TEXT);
  });

  it('is known with blanks, with other line ends, in two lines of data, and beside other fields', () => {
    const spaced = 'data: { "choices": [ ], "usage" : { "prompt_tokens": 1 } }\n\n';
    const inTwo = 'event: chunk\ndata:{"choices":[],\ndata:"usage":{"prompt_tokens":1}}\nid: 7\n\n';
    for (const chunk of [spaced, inTwo, `: a comment\n${CHUNK}`]) {
      for (const lineEnd of ['\n', '\r\n', '\r']) {
        const inLines = (text: string): string => text.replaceAll('\n', lineEnd);
        assert.equal(left(inLines(TEXT + chunk + DONE)), inLines(TEXT + DONE), JSON.stringify([chunk, lineEnd]));
      }
    }
  });

  it('is no other: with choices, without a usage, with one that is null or deeper, or no data at all', () => {
    for (const event of [
      FILTER,
      `data: {"choices":[],"usage":null}\n\n`,
      `data: {"choices":[{"delta":{}}],"usage":${JSON.stringify(COUNTED)}}\n\n`,
      `data: {"choices":[],"x":{"usage":${JSON.stringify(COUNTED)}}}\n\n`,
      `data: {"x":{"choices":[]},"usage":${JSON.stringify(COUNTED)}}\n\n`,
      `data: {"usage":${JSON.stringify(COUNTED)}}\n\n`,
      `: {"choices":[],"usage":{}}\n\n`,
      `id: {"choices":[],"usage":{}}\n\n`,
      `data: "choices":[],"usage":{}\n\n`,
      `data: {"choices":[],"usage":{}\n\n`,
    ]) {
      const bytes = Buffer.from(event + TEXT + DONE);
      assert.ok(withoutUsageChunk(bytes).equals(bytes), event);
    }
  });

  it('gives back the very same bytes when it is not among them', () => {
    const bytes = Buffer.from(FILTER + TEXT + DONE);
    assert.equal(withoutUsageChunk(bytes), bytes);
  });

  it('is not seen in the end of an event that began before', () => {
    assert.equal(left(CHUNK + TEXT, false), CHUNK + TEXT);
    assert.equal(left(TEXT + CHUNK, false), TEXT);
  });

  it('leaves out nothing else of whatever comes, whatever the bytes', () => {
    const event = fc.constantFrom(
      FILTER,
      TEXT,
      CHUNK,
      DONE,
      ': keep-alive\n\n',
      '\n',
      'data: \ud83d\ude00"usage":{\n\n',
      'x\r\n\r\n',
    );
    fc.assert(
      fc.property(fc.array(event), (events) => {
        assert.equal(left(events.join('')), events.filter((text) => text !== CHUNK).join(''));
      }),
    );
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        assert.ok(withoutUsageChunk(Buffer.from(bytes)).equals(Buffer.from(bytes)));
      }),
    );
  });
});
