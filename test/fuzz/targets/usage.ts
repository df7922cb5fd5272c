import assert from 'node:assert/strict';
import type { Usage } from '../../../app/src/balancer/outcome.ts';
import { createUsageTap, type UsageTap } from '../../../app/src/proxy/usage-tap.ts';
import { slowEvents } from '../../support/slow-events.ts';
import { piecesOf } from '../mutate.ts';
import { bytesOf, isRecord, parsedJson, type Target, wordsOf } from '../target.ts';
import { eventSamples, eventWords } from './events.ts';

const MOST_HELD = 262_144;
const MOST_HELD_OF_BODY = 65_536;
const LONGEST_USAGE = 8192;
const USAGE = '"usage":{"prompt_tokens":12,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":0}}';

function tapFor(contentType: string): UsageTap {
  const tap = createUsageTap((name) => (name === 'content-type' ? contentType : undefined));
  assert.ok(tap !== undefined);
  return tap;
}

/** All that a tap holds, in bytes and in pieces. */
function heldBy(tap: UsageTap): { readonly bytes: number; readonly pieces: number } {
  const held: unknown = Reflect.get(tap, 'held');
  assert.ok(Array.isArray(held));
  let bytes = 0;
  for (const piece of held) bytes += Buffer.isBuffer(piece) ? piece.length : 0;
  return { bytes, pieces: held.length };
}

/** As the tap takes it: whole counts, the prompt's at least. */
function usageOf(value: unknown): Usage | undefined {
  if (!isRecord(value)) return undefined;
  const promptTokens = value['prompt_tokens'] ?? value['input_tokens'];
  const completionTokens = value['completion_tokens'] ?? value['output_tokens'] ?? 0;
  if (!isCount(promptTokens) || !isCount(completionTokens)) return undefined;
  const cachedTokens = partOf(value['prompt_tokens_details'] ?? value['input_tokens_details'], 'cached_tokens');
  const completionDetails = value['completion_tokens_details'] ?? value['output_tokens_details'];
  const reasoningTokens = partOf(completionDetails, 'reasoning_tokens');
  return {
    promptTokens,
    completionTokens,
    ...(isCount(cachedTokens) && cachedTokens <= promptTokens ? { cachedTokens } : {}),
    ...(isCount(reasoningTokens) && reasoningTokens <= completionTokens ? { reasoningTokens } : {}),
  };
}

function partOf(details: unknown, name: string): unknown {
  return isRecord(details) ? details[name] : undefined;
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

/** Of a document its own, else that of its `response`. */
function usageIn(document: unknown): Usage | undefined {
  if (!isRecord(document)) return undefined;
  const { usage, response } = document;
  if (isRecord(usage)) return usageOf(usage);
  return isRecord(response) ? usageOf(response['usage']) : undefined;
}

export const usageOfStreams: Target = {
  name: 'usage in streams',
  property:
    'however a stream comes, its usage is that of the last event which has one, as JSON.parse reads it; what is held is bounded',
  samples: [
    ...eventSamples,
    ...bytesOf(`data: {"choices":[{"delta":{"content":"\\"usage\\":{}"}}],${USAGE}}\n\ndata: {"usage":null}\n\n`),
  ],
  words: [
    ...eventWords,
    ...bytesOf(USAGE, `{${USAGE}}`, '"usage": {', '"usage" : null', '"response":{', '"input_tokens":5', '"content":"'),
  ],
  longest: 300_000,
  share: 0.1,
  check(bytes, chance) {
    const tap = tapFor('text/event-stream');
    const cuts = piecesOf(bytes, chance);
    // Given as `relay` does: up to the end of an event, or a part of one that is too long.
    let at = 0;
    for (const [index, piece] of cuts.entries()) {
      at += piece.length;
      const end = bytes.toString('latin1', Math.max(0, at - 4), at);
      const isWhole = index === cuts.length - 1 || /(?:\n\n|\r\r|\r\n\r\n)$/.test(end);
      tap.take(piece, isWhole);
      if (index % 97 !== 0) continue;
      const held = heldBy(tap);
      assert.ok(held.bytes <= MOST_HELD && held.pieces <= 513, `${held.bytes} bytes in ${held.pieces} pieces`);
    }
    const { textBytes = -1 } = tap;
    assert.ok(textBytes >= 0 && textBytes <= bytes.length);
    const usage = tap.usage();
    assertUsage(usage);
    const text = bytes.toString('latin1');
    // The longest event is looked into; CR alone ends no line here.
    if (bytes.length > MOST_HELD || /\r(?!\n)/.test(text)) return `${usage !== undefined} long or odd`;
    const events = slowEvents(`${bytes.toString('utf8')}\n\n`);
    if (
      !events.every(
        ({ data }) =>
          data.length === 1 &&
          (parsedJson(Buffer.from(data.join(''))) !== undefined || !data.join('').includes('"usage"')),
      )
    ) {
      return `${usage !== undefined} no JSON`;
    }
    if (text.includes('usage\\') || text.includes('\\u') || !events.every(({ data }) => isPlainUsage(data.join(''))))
      return 'odd';
    const expected = events
      .map(({ data }) => usageIn(parsedJson(Buffer.from(data.join('')))?.value))
      .findLast((each) => each !== undefined);
    assert.deepEqual(usage, expected);
    return `${usage !== undefined}`;
  },
};

/** `"usage"` may stand apart from its colon by blanks alone, and is no longer than any. */
function isPlainUsage(data: string): boolean {
  return !/"usage"[\t\r\n]|"usage" *:[\t\r\n]/.test(data) && data.length < LONGEST_USAGE;
}

export const usageOfBodies: Target = {
  name: 'usage in bodies',
  property:
    'however a body comes, its usage is the outermost one, as JSON.parse reads it; of a long body one near its end; what is held is bounded',
  samples: bytesOf(
    `{"id":"x","choices":[{"message":{"content":"größe \\"usage\\":{\\"prompt_tokens\\":1}"}}],${USAGE}}`,
    `{"object":"response","response":{${USAGE}},"usage":{"input_tokens":3,"output_tokens":2}}`,
    `{"data":[{"embedding":"${'A'.repeat(400)}"}],"model":"m",${USAGE}}`,
    '{"usage":{"prompt_tokens":-1}}',
    '{"usage":{"prompt_tokens":1,"completion_tokens":1.5}}',
    '{"usage":null,"usage":{"prompt_tokens":1e400}}',
  ),
  words: [
    ...wordsOf(
      '"usage":¦"usage" : {¦{¦}¦"¦\\"¦,¦[¦]¦null¦"response":{¦"input_tokens":5¦"prompt_tokens":-1',
      '"completion_tokens":1.5¦"prompt_tokens":"1"¦"\\u0075sage":{}',
    ),
    ...bytesOf(USAGE, `,${USAGE}`, 'A'.repeat(900), `{${USAGE}}`),
  ],
  longest: 200_000,
  share: 0.1,
  check(bytes, chance) {
    const tap = tapFor('application/json; charset=utf-8');
    for (const [index, piece] of piecesOf(bytes, chance).entries()) {
      tap.take(piece, false);
      if (index % 97 !== 0) continue;
      const held = heldBy(tap);
      assert.ok(held.bytes <= MOST_HELD_OF_BODY && held.pieces <= 513, `${held.bytes} bytes in ${held.pieces} pieces`);
    }
    const usage = tap.usage();
    assertUsage(usage);
    const parsed = parsedJson(bytes)?.value;
    if (bytes.length > MOST_HELD_OF_BODY) return checkLong(bytes, parsed, usage);
    const whole = tapFor('application/json');
    whole.take(bytes, true);
    assert.deepEqual(usage, whole.usage());
    if (parsed === undefined) return `${usage !== undefined} no JSON`;
    const own = isRecord(parsed) ? parsed['usage'] : undefined;
    if (isRecord(own) && JSON.stringify(own).length * 2 > LONGEST_USAGE) return 'large';
    assert.deepEqual(usage, usageIn(parsed));
    return `${usage !== undefined}`;
  },
};

/** Of a long document that ends with its usage, that. */
function checkLong(bytes: Buffer, parsed: unknown, usage: Usage | undefined): string {
  const end = `,${USAGE}}`;
  if (parsed === undefined || !bytes.subarray(-end.length).equals(Buffer.from(end)))
    return `long ${usage !== undefined}`;
  assert.deepEqual(usage, { promptTokens: 12, completionTokens: 3 });
  return 'long, with its own';
}

function assertUsage(usage: Usage | undefined): void {
  if (usage !== undefined) assert.ok(isCount(usage.promptTokens) && isCount(usage.completionTokens));
}
