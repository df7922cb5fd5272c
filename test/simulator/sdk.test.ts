// The openai package, unchanged, against one simulated resource: what it accepts here it accepts from Azure OpenAI.

import assert from 'node:assert/strict';
import OpenAI, { APIError, AzureOpenAI, BadRequestError, NotFoundError, RateLimitError, toFile } from 'openai';
import { startResource } from '../../simulator/server.ts';
import type { SimulatedResource } from '../../simulator/server.ts';
import { deployments } from './support.ts';

const apiKey = 'key-1';
const bearerToken = 'entra-token-1';
const model = 'gpt-5.4-mini';
const messages = [{ role: 'user' as const, content: 'What is new?' }];
const answer = 'openai1 answers: What is new?';

let resource: SimulatedResource;
before(async () => {
  resource = await startResource({ name: 'openai1', deployments, apiKey, bearerToken, answerTokens: 5 });
});
after(() => resource.close());
afterEach(() => {
  resource.clearFaults();
  resource.clearCalls();
});

const clients: readonly (readonly [string, () => OpenAI])[] = [
  [
    'AzureOpenAI with a key',
    () => new AzureOpenAI({ endpoint: resource.url, apiKey, apiVersion: '2024-10-21', maxRetries: 0 }),
  ],
  [
    'AzureOpenAI with an Entra token',
    () =>
      new AzureOpenAI({
        endpoint: resource.url,
        azureADTokenProvider: () => Promise.resolve(bearerToken),
        apiVersion: '2024-10-21',
        maxRetries: 0,
      }),
  ],
  ['OpenAI on v1', () => new OpenAI({ baseURL: `${resource.url}/openai/v1`, apiKey, maxRetries: 0 })],
];

for (const [name, client] of clients) {
  describe(`simulator: ${name}`, () => {
    it('gets a chat completion', async () => {
      const completion = await client().chat.completions.create({ model, messages });
      assert.equal(completion.choices[0]?.message.content, answer);
      assert.equal(completion.model, model);
      assert.deepEqual(
        [completion.usage?.prompt_tokens, completion.usage?.completion_tokens, completion.usage?.total_tokens],
        [3, 5, 8],
      );
    });

    it('gets a streamed chat completion with its usage', async () => {
      const options = { include_usage: true };
      const stream = await client().chat.completions.create({ model, messages, stream: true, stream_options: options });
      const deltas: string[] = [];
      let total = 0;
      let finish = '';
      for await (const chunk of stream) {
        deltas.push(chunk.choices[0]?.delta.content ?? '');
        finish = chunk.choices[0]?.finish_reason ?? finish;
        total = chunk.usage?.total_tokens ?? total;
      }
      assert.equal(deltas.join(''), answer);
      assert.equal(deltas.filter((delta) => delta !== '').length, 5);
      assert.equal(finish, 'stop');
      assert.equal(total, 8);
    });

    it('gets a completion, whole and streamed', async () => {
      const whole = await client().completions.create({ model, prompt: 'What is new?' });
      assert.equal(whole.choices[0]?.text, answer);
      let text = '';
      for await (const chunk of await client().completions.create({ model, prompt: 'What is new?', stream: true })) {
        text += chunk.choices[0]?.text ?? '';
      }
      assert.equal(text, answer);
    });

    it('gets the same embedding for the same text, in base64 as in numbers', async () => {
      const ask = { model: 'text-embedding-3-large', input: ['one', 'two', 'one'], dimensions: 8 };
      const packed = await client().embeddings.create(ask); // the package asks for base64 and unpacks it
      const plain = await client().embeddings.create({ ...ask, encoding_format: 'float' });
      assert.deepEqual(packed.data, plain.data);
      const [first, second, third] = packed.data.map((item) => item.embedding);
      assert.equal(first?.length, 8);
      assert.deepEqual(first, third);
      assert.notDeepEqual(first, second);
      assert.ok(Math.abs(Math.hypot(...(first ?? [])) - 1) < 1e-6);
    });

    it('gets 1,536 dimensions when it asks for no number of them', async () => {
      const { data } = await client().embeddings.create({ model: 'text-embedding-3-large', input: 'one' });
      assert.equal(data[0]?.embedding.length, 1536);
    });

    it('gets a response', async () => {
      const response = await client().responses.create({ model, input: 'What is new?' });
      assert.equal(response.output_text, answer);
      assert.equal(response.status, 'completed');
      assert.equal(response.usage?.total_tokens, 8);
    });

    it('gets a streamed response whose events are numbered in order', async () => {
      const input = [{ role: 'user' as const, content: 'What is new?' }];
      const types: string[] = [];
      const numbers: number[] = [];
      let text = '';
      for await (const event of await client().responses.create({ model, input, stream: true })) {
        types.push(event.type);
        numbers.push(event.sequence_number);
        text += event.type === 'response.output_text.delta' ? event.delta : '';
        if (event.type === 'response.completed') {
          assert.equal(event.response.output[0]?.type, 'message');
          assert.equal(event.response.usage?.output_tokens, 5);
        }
      }
      assert.equal(text, answer);
      assert.deepEqual(
        numbers,
        numbers.map((_, index) => index),
      );
      assert.deepEqual(types.slice(0, 4), [
        'response.created',
        'response.in_progress',
        'response.output_item.added',
        'response.content_part.added',
      ]);
      assert.deepEqual(types.slice(-4), [
        'response.output_text.done',
        'response.content_part.done',
        'response.output_item.done',
        'response.completed',
      ]);
    });

    it('lists the models and retrieves one', async () => {
      const ids: string[] = [];
      for await (const listed of client().models.list()) {
        ids.push(listed.id);
      }
      assert.deepEqual(ids, ['gpt-5.4-mini', 'text-embedding-3-large', 'gpt-4o-transcribe']);
      const retrieved = await client().models.retrieve(model);
      assert.equal(retrieved.id, model);
    });

    it('has a file transcribed', async () => {
      const file = await toFile(Buffer.alloc(1234), 'speech.wav');
      const transcription = await client().audio.transcriptions.create({ model: 'gpt-4o-transcribe', file });
      assert.equal(transcription.text, 'openai1 heard 1234 bytes with gpt-4o-transcribe');
    });

    it('gets speech as bytes', async () => {
      const speech = await client().audio.speech.create({ model: 'chat', voice: 'alloy', input: 'hello' });
      assert.equal(speech.headers.get('content-type'), 'audio/mpeg');
      assert.equal((await speech.arrayBuffer()).byteLength, 4096);
    });

    it('gets as many images as it asks for', async () => {
      const generated = await client().images.generate({ model: 'chat', prompt: 'a cat', n: 2 });
      assert.equal(generated.data?.length, 2);
      assert.match(generated.data?.[0]?.b64_json ?? '', /^iVBOR/);
    });

    it('has an image edited', async () => {
      const image = await toFile(Buffer.alloc(99), 'cat.png', { type: 'image/png' });
      const edited = await client().images.edit({ model: 'chat', prompt: 'a hat', image });
      assert.equal(edited.data?.length, 1);
    });

    it('raises a rate limit error that carries the wait', async () => {
      resource.script({ kind: 'throttle', retryAfterMs: 1500 });
      await assert.rejects(client().chat.completions.create({ model, messages }), (error) => {
        assert.ok(error instanceof RateLimitError);
        assert.equal(error.headers.get('retry-after-ms'), '1500');
        assert.equal(error.headers.get('retry-after'), '2');
        return true;
      });
    });

    it('raises the content filter as a bad request', async () => {
      resource.script({ kind: 'content-filter' });
      await assert.rejects(client().chat.completions.create({ model, messages }), (error) => {
        assert.ok(error instanceof BadRequestError);
        assert.equal(error.code, 'content_filter');
        return true;
      });
    });

    it('raises an error for a rate limit inside a 200 stream', async () => {
      resource.script({ kind: 'throttle-in-stream', shape: 'error-event' });
      const stream = await client().responses.create({ model, input: 'hi', stream: true });
      await assert.rejects(async () => {
        for await (const event of stream) {
          assert.equal(event.type, 'response.failed');
        }
      }, APIError);
    });
  });
}

describe('simulator: what AzureOpenAI alone sees', () => {
  it('begins a streamed chat completion with the filter results of the prompt', async () => {
    const client = new AzureOpenAI({ endpoint: resource.url, apiKey, apiVersion: '2024-10-21', maxRetries: 0 });
    const stream = await client.chat.completions.create({ model, messages, stream: true });
    for await (const chunk of stream) {
      assert.deepEqual(chunk.choices, []);
      assert.ok('prompt_filter_results' in chunk);
      return;
    }
  });

  it('raises not found for a deployment that is not there', async () => {
    const client = new AzureOpenAI({ endpoint: resource.url, apiKey, apiVersion: '2024-10-21', maxRetries: 0 });
    await assert.rejects(client.chat.completions.create({ model: 'gpt-99', messages }), NotFoundError);
  });
});
