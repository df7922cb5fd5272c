// The books: what a resource counted for each answer it began to give, which is what the answer says, if it says so.

import assert from 'node:assert/strict';
import type { SimulatedResource } from '../../simulator/server.ts';
import { until } from '../support/until.ts';
import { ask, CHAT, chatBody, open, valueAt, withResource } from './support.ts';
import type { Question } from './support.ts';
import { uploadForText } from './uploads.ts';

const long = 'word '.repeat(2000);
const streamed = { ...chatBody, stream: true };
const asked = { model: 'chat', input: 'What is new?' };

/** Those whose answers say what was counted. */
const telling: Readonly<Record<string, Question>> = {
  'a chat completion': { body: chatBody },
  'a chat completion that is streamed with its usage': {
    body: { ...streamed, stream_options: { include_usage: true } },
  },
  'a chat completion that thinks': { body: { ...chatBody, reasoning_effort: 'low', n: 3 } },
  'a chat completion that is cut': { body: { ...chatBody, max_tokens: 3 } },
  'a completion': { path: '/openai/v1/completions', body: { model: 'chat', prompt: 'x' } },
  'a response': { path: '/openai/v1/responses', body: { ...asked, reasoning: { effort: 'low' } } },
  'a response that is streamed': { path: '/openai/v1/responses', body: { ...asked, stream: true } },
  embeddings: { path: '/openai/v1/embeddings', body: { ...asked, input: ['one', 'three'] } },
  images: { path: '/openai/v1/images/generations', body: { model: 'chat', prompt: 'a cat' } },
  'speech as events': { path: '/openai/v1/audio/speech', body: { ...asked, stream_format: 'sse' } },
};

/** Those whose answers do not. */
const silent: Readonly<Record<string, Question>> = {
  'a chat completion that is streamed without its usage': { body: streamed },
  'speech as sound': { path: '/openai/v1/audio/speech', body: asked },
  'a response in the background': { path: '/openai/v1/responses', body: { ...asked, background: true } },
};

/** The last usage in an answer, by the names of the books. */
function saidIn(text: string): unknown {
  const at = text.lastIndexOf('"usage":{');
  const usage = at === -1 ? undefined : objectAt(text, at + '"usage":'.length);
  const details = (side: string): unknown => valueAt(usage, `${side}_tokens_details`);
  return {
    promptTokens: valueAt(usage, 'prompt_tokens') ?? valueAt(usage, 'input_tokens'),
    completionTokens: valueAt(usage, 'completion_tokens') ?? valueAt(usage, 'output_tokens') ?? 0,
    cachedTokens: valueAt(details('prompt') ?? details('input'), 'cached_tokens') ?? 0,
    reasoningTokens: valueAt(details('completion') ?? details('output'), 'reasoning_tokens') ?? 0,
  };
}

/** The object that begins there, as far as its braces go. */
function objectAt(text: string, from: number): unknown {
  let depth = 0;
  for (let at = from; at < text.length; at += 1) {
    depth += text[at] === '{' ? 1 : text[at] === '}' ? -1 : 0;
    if (depth === 0) {
      return JSON.parse(text.slice(from, at + 1));
    }
  }
  return undefined;
}

async function settled(resource: SimulatedResource): Promise<void> {
  await until(() => resource.openRequests === 0);
}

describe('simulator: its books', () => {
  for (const [name, question] of Object.entries(telling)) {
    it(`have what the answer says: ${name}`, () =>
      withResource({}, async (resource) => {
        const { status, body } = await ask(resource, question);
        assert.equal(status, 200);
        await settled(resource);
        const [entry, ...more] = resource.books;
        assert.deepEqual(more, []);
        const { deployment, operation, isTold, end, ...counted } = entry ?? {};
        assert.deepEqual([isTold, end], [true, 'whole']);
        assert.ok(typeof deployment === 'string' && typeof operation === 'string');
        assert.deepEqual(counted, saidIn(body.toString()));
      }));
  }

  for (const [name, question] of Object.entries(silent)) {
    it(`have what the answer does not say: ${name}`, () =>
      withResource({}, async (resource) => {
        await ask(resource, question);
        await settled(resource);
        const [entry] = resource.books;
        assert.deepEqual([entry?.isTold, entry?.end], [false, 'whole']);
        assert.ok((entry?.promptTokens ?? 0) > 0 && (entry?.completionTokens ?? 0) > 0);
      }));
  }

  it('have what was heard, whether the form of the answer says so or not', () =>
    withResource({}, async (resource) => {
      const path = '/openai/v1/audio/transcriptions';
      for (const more of [{}, { stream: 'true' }, { response_format: 'text' }]) {
        await uploadForText(resource, {
          path,
          content: Buffer.alloc(32_001),
          fields: { model: 'gpt-4o-transcribe', ...more },
        });
      }
      await settled(resource);
      const told = resource.books.map(({ isTold, promptTokens, completionTokens }) => [
        isTold,
        promptTokens,
        completionTokens,
      ]);
      assert.deepEqual(told, [
        [true, 20, 6],
        [true, 20, 6],
        [false, 20, 6],
      ]);
    }));

  it('have what was found in the prompt cache', () =>
    withResource({}, async (resource) => {
      const body = { ...chatBody, messages: [{ role: 'user', content: long }] };
      for (let n = 0; n < 2; n += 1) {
        await ask(resource, { body });
      }
      assert.deepEqual(
        resource.books.map(({ cachedTokens }) => cachedTokens > 0),
        [false, true],
      );
    }));

  it('say of an answer that broke, or whose caller left, that it was not given whole', () =>
    withResource({}, async (resource) => {
      resource.script({ kind: 'reset-mid-stream', afterChunks: 2 }, { kind: 'stall', afterChunks: 2 });
      await ask(resource, { body: streamed });
      const res = await open(resource, { body: streamed });
      assert.equal(resource.books[1]?.end, 'open');
      res.destroy();
      await settled(resource);
      assert.deepEqual(
        resource.books.map(({ end, completionTokens }) => [end, completionTokens]),
        [
          ['broken', 8],
          ['broken', 8],
        ],
      );
    }));

  it('have nothing of what was refused or failed before its answer', () =>
    withResource({}, async (resource) => {
      resource.script(
        { kind: 'throttle' },
        { kind: 'status', status: 500 },
        { kind: 'throttle-in-stream', shape: 'chat-error' },
        { kind: 'reset-before-headers' },
      );
      for (let n = 0; n < 3; n += 1) {
        await ask(resource, { body: streamed });
      }
      await assert.rejects(ask(resource, { body: streamed }));
      await ask(resource, { body: { ...chatBody, model: 'unknown' } });
      await ask(resource, { path: CHAT, method: 'GET' });
      assert.deepEqual(resource.books, []);
    }));

  it('are shown by the control API', () =>
    withResource({}, async (resource) => {
      await ask(resource, { body: chatBody });
      const reply = await ask(resource, { path: '/simulator/books', method: 'GET' });
      assert.deepEqual(JSON.parse(reply.body.toString()), { name: 'openai1', books: resource.books });
    }));
});
