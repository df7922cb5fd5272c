import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import type { Usage } from '../../../app/src/balancer/outcome.ts';
import { createUsageTap } from '../../../app/src/proxy/usage-tap.ts';

type Tap = NonNullable<ReturnType<typeof createUsageTap>>;

function tapOf(contentType: string, encoding?: string): Tap | undefined {
  return createUsageTap((name) => (name === 'content-type' ? contentType : encoding));
}

function eventTap(): Tap {
  const tap = tapOf('text/event-stream; charset=utf-8');
  assert.ok(tap !== undefined);
  return tap;
}

function bodyTap(): Tap {
  const tap = tapOf('application/json');
  assert.ok(tap !== undefined);
  return tap;
}

function usageOfBody(body: unknown, pieceLength = 1000): Usage | undefined {
  const bytes = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
  const tap = bodyTap();
  for (let at = 0; at < bytes.length; at += pieceLength) tap.take(bytes.subarray(at, at + pieceLength), true);
  return tap.usage();
}

function event(data: unknown): Buffer {
  return Buffer.from(`data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`);
}

const COUNTED = { prompt_tokens: 11, completion_tokens: 5, total_tokens: 16 };
const USAGE = { promptTokens: 11, completionTokens: 5 };

describe('usage tap: whole bodies', () => {
  it('reads the usage of chat completions, embeddings and responses', () => {
    assert.deepEqual(usageOfBody({ id: 'x', choices: [], usage: COUNTED }), USAGE);
    assert.deepEqual(usageOfBody({ data: [], usage: { prompt_tokens: 8, total_tokens: 8 } }), {
      promptTokens: 8,
      completionTokens: 0,
    });
    assert.deepEqual(usageOfBody({ output: [], usage: { input_tokens: 11, output_tokens: 5 } }), USAGE);
  });

  it('reads what was found in the prompt cache and what nobody reads, by the names of chat and of responses', () => {
    const expected = { promptTokens: 11, completionTokens: 5, cachedTokens: 8, reasoningTokens: 2 };
    const chat = {
      prompt_tokens: 11,
      prompt_tokens_details: { audio_tokens: 0, cached_tokens: 8 },
      completion_tokens: 5,
      completion_tokens_details: { reasoning_tokens: 2, audio_tokens: 0 },
    };
    const response = {
      input_tokens: 11,
      input_tokens_details: { cached_tokens: 8 },
      output_tokens: 5,
      output_tokens_details: { reasoning_tokens: 2 },
    };
    assert.deepEqual(usageOfBody({ usage: chat }), expected);
    assert.deepEqual(usageOfBody({ usage: response }), expected);
    assert.deepEqual(usageOfBody({ usage: { ...chat, completion_tokens_details: null } }), {
      promptTokens: 11,
      completionTokens: 5,
      cachedTokens: 8,
    });
  });

  it('takes for a part only what the whole can have', () => {
    for (const details of [null, 7, 'x', {}, { cached_tokens: 12 }, { cached_tokens: -1 }, { cached_tokens: '1' }]) {
      const usage = { ...COUNTED, prompt_tokens_details: details, completion_tokens_details: details };
      assert.deepEqual(usageOfBody({ usage }), USAGE, JSON.stringify(details));
    }
  });

  it('reads the usage of images and of what was heard; seconds are no tokens', () => {
    const image = { input_tokens: 11, input_tokens_details: { image_tokens: 0, text_tokens: 11 }, output_tokens: 5 };
    assert.deepEqual(usageOfBody({ created: 1, data: [{ b64_json: 'x' }], usage: image }), USAGE);
    const heard = { type: 'tokens', input_tokens: 11, input_token_details: { audio_tokens: 11 }, output_tokens: 5 };
    assert.deepEqual(usageOfBody({ text: 'x', usage: heard }), USAGE);
    assert.equal(usageOfBody({ text: 'x', usage: { type: 'duration', seconds: 3 } }), undefined);
  });

  it('reads it at the end of a body of megabytes, however it is cut', () => {
    for (const size of [300_000, 3_000_000]) {
      for (const piece of [997, 65_536]) {
        const data = [{ embedding: 'A'.repeat(size) }];
        assert.deepEqual(usageOfBody({ data, model: 'm', usage: COUNTED }, piece), USAGE);
      }
    }
  });

  it('takes the outermost usage: what lies deeper may be what a caller wrote', () => {
    const forged = { usage: { input_tokens: 0, output_tokens: 0 } };
    const tools = [{ parameters: { properties: forged, ...forged } }];
    assert.deepEqual(usageOfBody({ tools, usage: COUNTED, metadata: forged }), USAGE);
    assert.equal(usageOfBody({ tools, metadata: forged }), undefined);
    assert.deepEqual(usageOfBody({ text: JSON.stringify(forged), usage: COUNTED }), USAGE);
  });

  it('has none where there is none, or it is no count', () => {
    for (const usage of [
      undefined,
      null,
      'many',
      7,
      [],
      {},
      { prompt_tokens: -1 },
      { prompt_tokens: 1.5 },
      { prompt_tokens: '11' },
      { prompt_tokens: 1e300 },
      { prompt_tokens: 11, completion_tokens: -5 },
      { seconds: 3, type: 'duration' },
      { ...COUNTED, more: 'x'.repeat(10_000) },
    ]) {
      assert.equal(usageOfBody({ usage }), undefined, JSON.stringify(usage)?.slice(0, 60));
    }
    for (const body of ['', '[]', '{', '{"usage":{', '{"usage":{"prompt_tokens":1}', 'null']) {
      assert.equal(usageOfBody(body), undefined, body);
    }
  });

  it('is not there for what has no usage that could be read', () => {
    assert.equal(tapOf('audio/mpeg'), undefined);
    assert.equal(tapOf('application/octet-stream'), undefined);
    assert.equal(tapOf('application/jsonl'), undefined);
    assert.equal(tapOf('application/json', 'gzip'), undefined);
    assert.equal(tapOf('text/event-stream', 'gzip'), undefined);
  });
});

describe('usage tap: event streams', () => {
  it('reads the last chunk of a chat stream that was asked for it, among chunks that say null', () => {
    const tap = eventTap();
    tap.take(event({ choices: [{ delta: { content: 'Hello' } }], usage: null }), true);
    assert.equal(tap.usage(), undefined);
    tap.take(Buffer.concat([event({ choices: [], usage: COUNTED }), event('[DONE]')]), true);
    assert.deepEqual(tap.usage(), USAGE);
  });

  it('reads the end of a response, in an event of any length up to 256 KiB that comes in parts', () => {
    for (const length of [10, 70_000, 200_000]) {
      const usage = { input_tokens: 11, output_tokens: 5 };
      const completed = event({ type: 'response.completed', response: { output: 'x'.repeat(length), usage } });
      const tap = eventTap();
      for (let at = 0; at < completed.length; at += 60_000) {
        tap.take(completed.subarray(at, at + 60_000), at + 60_000 >= completed.length);
      }
      assert.deepEqual(tap.usage(), USAGE);
    }
  });

  it('gives up on an event that is longer, and reads the next', () => {
    const tap = eventTap();
    const usage = { input_tokens: 1, output_tokens: 1 };
    tap.take(Buffer.from('data: "'), false);
    for (let n = 0; n < 40; n += 1) tap.take(Buffer.alloc(10_000, 'x'), false);
    tap.take(Buffer.from(`","usage":${JSON.stringify(usage)}}\n\n`), true);
    assert.equal(tap.usage(), undefined);
    tap.take(event({ usage: COUNTED }), true);
    assert.deepEqual(tap.usage(), USAGE);
  });

  it('takes nothing for usage that a caller can have quoted: tools, texts, comments, other lines', () => {
    const forged = { prompt_tokens: 0, completion_tokens: 0 };
    const tap = eventTap();
    tap.take(event({ response: { tools: [{ usage: forged }], usage: null } }), true);
    tap.take(event({ choices: [{ delta: { content: JSON.stringify({ usage: forged }) } }] }), true);
    tap.take(Buffer.from(`: "usage":${JSON.stringify(forged)}\n\n`), true);
    tap.take(Buffer.from(`id: {"usage":${JSON.stringify(forged)}}\n\n`), true);
    assert.equal(tap.usage(), undefined);
  });

  it('looks at each line once, however often it says usage', () => {
    const tap = eventTap();
    const schema = Object.fromEntries(Array.from({ length: 2000 }, (_, n) => [`p${n}`, { usage: {} }]));
    const line = event({ type: 'response.created', response: { tools: [schema], usage: null } });
    let looked = 0;
    Object.defineProperty(line, 'subarray', {
      value: (start: number, end: number) => {
        looked += 1;
        return Buffer.prototype.subarray.call(line, start, end);
      },
    });
    tap.take(line, true);
    assert.equal(looked, 1);
    assert.equal(tap.usage(), undefined);
  });

  it('counts the text of a response once, though it is said again when it is done', () => {
    const tap = eventTap();
    tap.take(event({ type: 'response.output_text.delta', delta: 'Hello' }), true);
    tap.take(event({ type: 'response.output_text.done', text: 'Hello' }), true);
    tap.take(event({ type: 'response.content_part.done', part: { text: 'Hello' } }), true);
    assert.equal(tap.textBytes, 5);
  });

  it('counts a text to its end, past the quotes in it', () => {
    const tap = eventTap();
    tap.take(event({ choices: [{ delta: { content: 'a "b" \\' } }] }), true);
    assert.equal(tap.textBytes, String.raw`a \"b\" \\`.length);
    tap.take(Buffer.from('data: {"content":"cut'), true);
    assert.equal(tap.textBytes, 10);
  });

  it('counts what is said in a chat, and no name, role or other member beside it', () => {
    const tap = eventTap();
    const call = { index: 0, id: 'call_1', type: 'function', function: { name: 'look', arguments: '{"a"' } };
    const delta = { role: 'assistant', content: 'Hi', refusal: null, tool_calls: [call], x: { content: 'yes' } };
    tap.take(event({ id: 'content', choices: [{ delta, finish_reason: null, index: 0 }], model: 'text' }), true);
    assert.equal(tap.textBytes, String.raw`Hi{\"a\"yes`.length);
    tap.take(event({ choices: [{ delta: {}, finish_reason: 'stop' }], text: 'x' }), true);
    tap.take(event({ choices: [{ delta: null }] }), true);
    tap.take(Buffer.from('data: {"delta": {"content":"cut'), true);
    tap.take(Buffer.from('data: {"delta":"cut'), true);
    assert.equal(tap.textBytes, String.raw`Hi{\"a\"yes`.length);
  });

  it('counts the same whether events come one by one or together', () => {
    const data = fc.oneof(
      fc.string().map((content) => ({ choices: [{ delta: { content } }], id: 'x', usage: null })),
      fc.string().map((content) => ({ choices: [{ delta: { content, role: 'assistant' } }] })),
      fc.string().map((content) => ({ choices: [{ delta: { refusal: content, content: null } }] })),
      fc
        .string()
        .map((text) => ({ id: 'x', choices: [{ delta: { tool_calls: [{ function: { arguments: text } }] } }] })),
      fc.string().map((delta) => ({ type: 'response.output_text.delta', delta })),
      fc.constant({ choices: [], usage: COUNTED }),
    );
    fc.assert(
      fc.property(fc.array(data), (said) => {
        const [together, apart] = [eventTap(), eventTap()];
        const events = said.map((one) => event(one));
        const tells = events.map((one) => apart.take(one, true));
        assert.equal(together.take(Buffer.concat(events), true), tells.includes(true));
        assert.deepEqual(
          tells,
          said.map((one) => 'usage' in one && one.usage !== null),
        );
        assert.deepEqual([together.textBytes, together.usage()], [apart.textBytes, apart.usage()]);
      }),
    );
  });

  it('tells of each piece whether a usage may be in it', () => {
    const tap = eventTap();
    assert.equal(tap.take(event({ choices: [], usage: null }), true), false);
    assert.equal(tap.take(Buffer.from('data: {"usage":'), false), false);
    assert.equal(tap.take(Buffer.from(`${JSON.stringify(COUNTED)}}\n\n`), true), true);
    // Of what was too long to be held nobody knows.
    for (let n = 0; n < 30; n += 1) assert.equal(tap.take(Buffer.alloc(10_000, 'x'), false), false);
    assert.equal(tap.take(Buffer.from('\n\n'), true), true);
    assert.equal(bodyTap().take(Buffer.from(JSON.stringify({ usage: COUNTED })), true), false);
  });

  it('counts the bytes of text of every kind of stream', () => {
    for (const data of [
      { choices: [{ delta: { content: 'Hello' } }] },
      { choices: [{ delta: { reasoning_content: 'Hello' } }] },
      { choices: [{ delta: { tool_calls: [{ function: { arguments: 'Hello' } }] } }] },
      { type: 'response.output_text.delta', delta: 'Hello' },
      { choices: [{ text: 'Hello' }] },
    ]) {
      const tap = eventTap();
      tap.take(event(data), true);
      tap.take(Buffer.concat([event(data), event(data)]), true);
      assert.equal(tap.textBytes, 15, JSON.stringify(data));
    }
    assert.equal(eventTap().textBytes, 0);
    assert.equal(bodyTap().textBytes, undefined);
  });
});
