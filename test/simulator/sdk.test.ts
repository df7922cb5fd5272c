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

async function readAll(stream: AsyncIterable<unknown>): Promise<void> {
  for await (const event of stream) {
    assert.ok(event);
  }
}

function isServerError(error: unknown): boolean {
  return error instanceof APIError && error.type === 'server_error';
}

let resource: SimulatedResource;
let now = 1_700_000_000_000;
before(async () => {
  const options = { name: 'openai1', deployments, apiKey, bearerToken, answerTokens: 5 };
  resource = await startResource({ ...options, now: () => now, jobStepMs: 1000 });
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

    it('retrieves a response, lists its input and deletes it', async () => {
      const { responses } = client();
      const input = [
        { role: 'user' as const, content: 'One' },
        { role: 'user' as const, content: 'Two' },
      ];
      const created = await responses.create({ model, input, metadata: { a: 'b' } });
      assert.deepEqual(await responses.retrieve(created.id), created);
      const items: string[] = [];
      for await (const item of responses.inputItems.list(created.id, { limit: 1, order: 'asc' })) {
        items.push(item.type === 'message' ? JSON.stringify(item.content) : item.type);
      }
      assert.deepEqual(items, ['[{"type":"input_text","text":"One"}]', '[{"type":"input_text","text":"Two"}]']);
      await responses.delete(created.id);
      await assert.rejects(responses.retrieve(created.id), NotFoundError);
    });

    it('continues a response, and is told when there is none', async () => {
      const first = await client().responses.create({ model, input: 'One' });
      const second = await client().responses.create({ model, input: 'Two', previous_response_id: first.id });
      assert.equal(second.output_text, 'openai1 answers: Two (before: One)');
      const unknown = { model, input: 'Two', previous_response_id: 'resp_unknown' };
      await assert.rejects(client().responses.create(unknown), (error) => {
        assert.ok(error instanceof BadRequestError);
        assert.equal(error.code, 'previous_response_not_found');
        return true;
      });
    });

    it('polls and cancels responses in the background, and reads their streams again', async () => {
      const { responses } = client();
      const one = await responses.create({ model, input: 'One', background: true });
      const two = await responses.create({ model, input: 'Two', background: true });
      assert.equal(one.status, 'queued');
      const cancelled = await responses.cancel(two.id);
      assert.equal(cancelled.status, 'cancelled');
      now += 2000;
      const done = await responses.retrieve(one.id);
      assert.deepEqual([done.status, done.output_text], ['completed', 'openai1 answers: One']);
      let id = '';
      for await (const event of await responses.create({ model, input: 'Three', background: true, stream: true })) {
        id = event.type === 'response.created' ? event.response.id : id;
      }
      const numbers: number[] = [];
      for await (const event of await responses.retrieve(id, { stream: true, starting_after: 9 })) {
        numbers.push(event.sequence_number);
      }
      assert.equal(numbers[0], 10);
    });

    it('collects the calls of functions from a stream, in both APIs', async () => {
      const parameters = { type: 'object', properties: { city: { type: 'string' } } };
      const written = '{"city":"Where?"}';
      const chatRun = client().chat.completions.stream({
        model,
        messages: [{ role: 'user', content: 'Where?' }],
        tools: [{ type: 'function', function: { name: 'weather', parameters } }],
        tool_choice: 'required',
      });
      const completion = await chatRun.finalChatCompletion();
      const call = completion.choices[0]?.message.tool_calls?.[0];
      assert.equal(completion.choices[0]?.finish_reason, 'tool_calls');
      assert.ok(call?.type === 'function');
      assert.deepEqual([call.function.name, call.function.arguments], ['weather', written]);
      const run = client().responses.stream({
        model,
        input: 'Where?',
        tools: [{ type: 'function', name: 'weather', parameters, strict: false }],
        tool_choice: { type: 'function', name: 'weather' },
      });
      const response = await run.finalResponse();
      const [item] = response.output;
      assert.ok(item?.type === 'function_call');
      assert.deepEqual([item.name, item.arguments], ['weather', written]);
    });

    it('collects a reasoning response and an incomplete one from their streams', async () => {
      const reasoning = { effort: 'low' as const, summary: 'auto' as const };
      const thought = await client().responses.stream({ model, input: 'Why?', reasoning }).finalResponse();
      assert.deepEqual(
        thought.output.map((item) => item.type),
        ['reasoning', 'message'],
      );
      assert.equal(thought.usage?.output_tokens_details.reasoning_tokens, 64);
      const cut: unknown[] = [];
      const body = { model, input: 'Why?', max_output_tokens: 2, stream: true as const };
      for await (const event of await client().responses.create(body)) {
        if (event.type === 'response.incomplete') {
          cut.push(event.response.status, event.response.incomplete_details?.reason);
        }
      }
      assert.deepEqual(cut, ['incomplete', 'max_output_tokens']);
    });

    it('uploads a file, reads it back and deletes it', async () => {
      const { files } = client();
      const bytes = Buffer.from([0, 1, 2, 254, 255]);
      const file = await files.create({ file: await toFile(bytes, 'a.bin'), purpose: 'user_data' });
      assert.deepEqual([file.filename, file.bytes, file.purpose], ['a.bin', 5, 'user_data']);
      assert.deepEqual(await files.retrieve(file.id), file);
      const content = await files.content(file.id);
      assert.deepEqual(Buffer.from(await content.arrayBuffer()), bytes);
      const listed: string[] = [];
      for await (const each of files.list({ purpose: 'user_data' })) {
        listed.push(each.id);
      }
      assert.ok(listed.includes(file.id));
      assert.equal((await files.delete(file.id)).deleted, true);
      await assert.rejects(files.retrieve(file.id), NotFoundError);
    });

    it('has a batch run, and reads its output', async () => {
      const { batches, files } = client();
      const body = { model, messages };
      const line = JSON.stringify({ custom_id: 'a', method: 'POST', url: '/v1/chat/completions', body });
      const file = await files.create({ file: await toFile(Buffer.from(`${line}\n`), 'in.jsonl'), purpose: 'batch' });
      const ask = { input_file_id: file.id, endpoint: '/v1/chat/completions', completion_window: '24h' } as const;
      const created = await batches.create(ask);
      assert.equal(created.status, 'validating');
      now += 3000;
      const done = await batches.retrieve(created.id);
      assert.deepEqual([done.status, done.request_counts?.completed], ['completed', 1]);
      const output = await files.content(done.output_file_id ?? '');
      assert.match(await output.text(), /"custom_id":"a".*openai1 answers: What is new\?/);
      const other = await batches.create(ask);
      assert.equal((await batches.cancel(other.id)).status, 'cancelling');
      const ids: string[] = [];
      for await (const each of batches.list({ limit: 1 })) {
        ids.push(each.id);
      }
      assert.deepEqual(ids.slice(0, 2), [other.id, created.id]);
    });

    it('streams images', async () => {
      const ask = { model: 'chat', prompt: 'a cat', stream: true, partial_images: 1 } as const;
      const types: string[] = [];
      for await (const event of await client().images.generate(ask)) {
        types.push(event.type);
      }
      assert.deepEqual(types, ['image_generation.partial_image', 'image_generation.completed']);
      const image = await toFile(Buffer.alloc(99), 'cat.png', { type: 'image/png' });
      const edits: string[] = [];
      for await (const event of await client().images.edit({ ...ask, image })) {
        edits.push(event.type);
      }
      assert.deepEqual(edits, ['image_edit.partial_image', 'image_edit.completed']);
    });

    it('streams a transcription and gets it as subtitles', async () => {
      const recording = (): Promise<File> => toFile(Buffer.alloc(10), 'speech.wav');
      const ask = { model: 'gpt-4o-transcribe' };
      const { transcriptions } = client().audio;
      let text = '';
      for await (const event of await transcriptions.create({ ...ask, file: await recording(), stream: true })) {
        text += event.type === 'transcript.text.delta' ? event.delta : '';
      }
      assert.equal(text, 'openai1 heard 10 bytes with gpt-4o-transcribe');
      const subtitles = await transcriptions.create({ ...ask, file: await recording(), response_format: 'srt' });
      assert.match(subtitles, /^1\n00:00:00,000 --> /);
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

    it('gets a response through keepalive events', async () => {
      resource.script({ kind: 'keepalive' });
      let text = '';
      for await (const event of await client().responses.create({ model, input: 'What is new?', stream: true })) {
        text += event.type === 'response.output_text.delta' ? event.delta : '';
      }
      assert.equal(text, answer);
    });

    it('raises an error for a failure in the middle of a stream, in both APIs', async () => {
      resource.always({ kind: 'error-mid-stream', afterChunks: 5 });
      const chat = await client().chat.completions.create({ model, messages, stream: true });
      await assert.rejects(readAll(chat), isServerError);
      const response = await client().responses.create({ model, input: 'What is new?', stream: true });
      await assert.rejects(readAll(response), isServerError);
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

describe('simulator: what OpenAI on v1 alone sees', () => {
  const client = (): OpenAI => new OpenAI({ baseURL: `${resource.url}/openai/v1`, apiKey, maxRetries: 0 });

  it('keeps chat completions, shows, changes and deletes them', async () => {
    const { completions } = client().chat;
    const created = await completions.create({ model, messages, store: true, metadata: { a: 'b' } });
    const listed: string[] = [];
    for await (const each of completions.list()) {
      listed.push(each.id);
    }
    assert.deepEqual(listed, [created.id]);
    const changed = await completions.update(created.id, { metadata: { c: 'd' } });
    assert.deepEqual(changed.metadata, { c: 'd' });
    assert.equal((await completions.retrieve(created.id)).choices[0]?.message.content, answer);
    const said: unknown[] = [];
    for await (const message of completions.messages.list(created.id)) {
      said.push(message.content);
    }
    assert.deepEqual(said, ['What is new?']);
    assert.equal((await completions.delete(created.id)).deleted, true);
    await assert.rejects(completions.retrieve(created.id), NotFoundError);
  });

  it('holds a conversation', async () => {
    const { conversations, responses } = client();
    const conversation = await conversations.create({ items: [{ type: 'message', role: 'user', content: 'One' }] });
    const response = await responses.create({ model, input: 'Two', conversation: conversation.id });
    assert.equal(response.output_text, 'openai1 answers: Two (before: One)');
    const types: string[] = [];
    for await (const item of conversations.items.list(conversation.id, { order: 'asc', limit: 2 })) {
      types.push(item.type === 'message' ? item.role : item.type);
    }
    assert.deepEqual(types, ['user', 'user', 'assistant']);
    assert.equal((await conversations.delete(conversation.id)).deleted, true);
  });
});
