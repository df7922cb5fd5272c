// The openai package, unchanged but for its URL and key, in front of a first backend that throttles: it never notices.
// Its own retries are off, so that nothing is hidden.

import assert from 'node:assert/strict';
import OpenAI, { APIError, AzureOpenAI, NotFoundError, RateLimitError, toFile } from 'openai';
import type { Fault } from '../../simulator/scenario.ts';
import { CLIENT_KEY, startBalancer, type RunningBalancer } from '../support/balancer.ts';
import { callCounts, credentialsIn, hasNoOpenRequests, statesOf } from '../support/observed.ts';
import { takeDown } from '../support/outage.ts';
import { until } from '../support/until.ts';

const model = 'gpt-5.4-mini';
const embeddingModel = 'text-embedding-3-large';
const transcriber = 'gpt-4o-transcribe';
const messages = [{ role: 'user' as const, content: 'What is new?' }];
const answer = 'openai2 answers: What is new?';
const apiVersion = '2024-10-21';
const once = { apiKey: CLIENT_KEY, maxRetries: 0 };

interface Client {
  readonly name: string;
  readonly make: (url: string) => OpenAI;
  /** The upstream path of an operation. */
  readonly path: (operation: string, deployment: string) => string;
}

const v1 = (operation: string): string => `/openai/v1/${operation}`;
/** AzureOpenAI names the deployment in the path, but for what is not its deployments'. */
const legacy = (operation: string, deployment: string): string => {
  const scope = operation === 'responses' || operation === 'models' ? '' : `/deployments/${deployment}`;
  return `/openai${scope}/${operation}?api-version=${apiVersion}`;
};

const clients: readonly Client[] = [
  { name: 'OpenAI at the bare URL', make: (url) => new OpenAI({ ...once, baseURL: url }), path: v1 },
  { name: 'OpenAI at the bare URL with a slash', make: (url) => new OpenAI({ ...once, baseURL: `${url}/` }), path: v1 },
  { name: 'OpenAI at /v1', make: (url) => new OpenAI({ ...once, baseURL: `${url}/v1` }), path: v1 },
  { name: 'OpenAI at /openai/v1', make: (url) => new OpenAI({ ...once, baseURL: `${url}/openai/v1` }), path: v1 },
  { name: 'OpenAI at /openai/v1/', make: (url) => new OpenAI({ ...once, baseURL: `${url}/openai/v1/` }), path: v1 },
  {
    name: 'AzureOpenAI with a key',
    make: (url) => new AzureOpenAI({ ...once, endpoint: url, apiVersion }),
    path: legacy,
  },
  {
    name: 'AzureOpenAI with a token provider',
    make: (url) => {
      const azureADTokenProvider = (): Promise<string> => Promise.resolve(CLIENT_KEY);
      return new AzureOpenAI({ endpoint: url, apiVersion, azureADTokenProvider, maxRetries: 0 });
    },
    path: legacy,
  },
];

interface Troubled {
  readonly name: string;
  readonly fault: Fault | 'not listening';
}

const troubles: readonly Troubled[] = [
  { name: 'throttles', fault: { kind: 'throttle', retryAfterMs: 50_000 } },
  { name: 'resets connections', fault: { kind: 'reset-before-headers' } },
  { name: 'answers 503', fault: { kind: 'status', status: 503 } },
  { name: 'is down', fault: 'not listening' },
];

for (const { name, make, path } of clients) {
  for (const { name: trouble, fault } of troubles) {
    describe(`${name}, while the first backend ${trouble}`, () => {
      let running: RunningBalancer;
      let client: OpenAI;
      beforeEach(async () => {
        running = await startBalancer();
        const [first] = running.resources;
        if (fault === 'not listening') await takeDown(first);
        else first?.always(fault);
        client = make(running.url);
      });
      afterEach(() => running.close());

      /** The first was asked once, in vain, and the second once, for this path, with its own key. */
      async function assertFailedOver(operation: string, deployment: string): Promise<void> {
        const expected = path(operation, deployment);
        for (const [index, { calls }] of running.resources.entries()) {
          for (const call of calls) {
            assert.equal(call.path, expected);
            assert.deepEqual(credentialsIn(call), ['api-key', `key-${index + 1}`]);
          }
        }
        assert.deepEqual(callCounts(running), [fault === 'not listening' ? 0 : 1, 1, 0]);
        await until(() => hasNoOpenRequests(running));
        running.assertIdle();
      }

      it('gets a chat completion', async () => {
        const completion = await client.chat.completions.create({ model, messages });
        assert.equal(completion.choices[0]?.message.content, answer);
        assert.equal(completion.usage?.total_tokens, 11);
        await assertFailedOver('chat/completions', model);
      });

      it('gets a streamed chat completion', async () => {
        const options = { include_usage: true };
        const stream = await client.chat.completions.create({ model, messages, stream: true, stream_options: options });
        let text = '';
        let tokens = 0;
        for await (const chunk of stream) {
          text += chunk.choices[0]?.delta.content ?? '';
          tokens = chunk.usage?.total_tokens ?? tokens;
        }
        assert.equal(text, answer);
        assert.equal(tokens, 11);
        await assertFailedOver('chat/completions', model);
      });

      it('gets embeddings', async () => {
        const ask = { model: embeddingModel, input: ['one', 'two'], dimensions: 8 };
        const { data } = await client.embeddings.create(ask);
        assert.deepEqual(
          data.map(({ embedding }) => embedding.length),
          [8, 8],
        );
        await assertFailedOver('embeddings', embeddingModel);
      });

      it('gets a response', async () => {
        const response = await client.responses.create({
          model,
          input: messages,
          max_output_tokens: 100,
          store: false,
        });
        assert.equal(response.output_text, answer);
        await assertFailedOver('responses', model);
      });

      it('gets a streamed response, asked for as the chat app does', async () => {
        const stream = await client.responses.create({
          model,
          input: messages,
          max_output_tokens: 1024,
          store: false,
          temperature: 0.3,
          stream: true,
        });
        let text = '';
        const numbers: number[] = [];
        let last = '';
        for await (const event of stream) {
          if (event.type === 'response.output_text.delta') text += event.delta;
          numbers.push(event.sequence_number);
          last = event.type;
        }
        assert.equal(text, answer);
        assert.equal(last, 'response.completed');
        assert.deepEqual(
          numbers,
          numbers.map((_, index) => index),
        );
        await assertFailedOver('responses', model);
      });

      it('gets the list of models', async () => {
        const ids: string[] = [];
        for await (const { id } of client.models.list()) ids.push(id);
        assert.deepEqual(ids.toSorted(), [transcriber, model, embeddingModel].toSorted());
        await assertFailedOver('models', '');
      });

      it('gets a transcription', async () => {
        const file = await toFile(Buffer.alloc(70_000, 1), 'speech.wav');
        const { text } = await client.audio.transcriptions.create({ model: transcriber, file });
        assert.equal(text, `openai2 heard 70000 bytes with ${transcriber}`);
        await assertFailedOver('audio/transcriptions', transcriber);
      });
    });
  }
}

describe('the openai package', () => {
  let running: RunningBalancer;
  beforeEach(async () => {
    running = await startBalancer();
  });
  afterEach(() => running.close());

  for (const { name, make } of clients) {
    it(`throws our error when a stream breaks after its first content (${name})`, async () => {
      running.resources[0]?.always({ kind: 'reset-mid-stream', afterChunks: 6 });
      const client = make(running.url);
      const chatting = async (): Promise<void> => {
        for await (const chunk of await client.chat.completions.create({ model, messages, stream: true })) {
          text += chunk.choices[0]?.delta.content ?? '';
        }
      };
      const responding = async (): Promise<void> => {
        for await (const event of await client.responses.create({ model, input: 'x', store: false, stream: true })) {
          if (event.type === 'response.output_text.delta') text += event.delta;
        }
      };
      let text = '';
      for (const read of [chatting, responding]) {
        text = '';
        await assert.rejects(read(), (error) => {
          assert.ok(error instanceof APIError);
          assert.equal(error.code, 'stream_broken');
          assert.equal(error.type, 'server_error');
          assert.match(error.message, /Send the request again\.$/);
          return true;
        });
        assert.ok(text !== '' && 'openai1 answers: What is new?'.startsWith(text), text);
      }
      assert.deepEqual(callCounts(running), [2, 0, 0]);
      assert.deepEqual(statesOf(running), ['closed/closed', 'closed/closed', 'closed/closed']);
      running.assertIdle();
    });
  }

  for (const { name, make } of clients) {
    it(`reads the honest 429 (${name})`, async () => {
      for (const resource of running.resources) resource.always({ kind: 'throttle', retryAfterMs: 90_000 });
      await assert.rejects(make(running.url).chat.completions.create({ model, messages }), (error) => {
        assert.ok(error instanceof RateLimitError);
        assert.equal(error.code, 'all_backends_throttled');
        assert.equal(error.type, 'too_many_requests');
        assert.equal(error.headers.get('x-should-retry'), 'false');
        return true;
      });
      running.assertIdle();
    });
  }

  it('waits for retry-after-ms and is served by its own retry', async () => {
    for (const resource of running.resources) resource.script({ kind: 'throttle', retryAfterMs: 150 });
    const client = new OpenAI({ baseURL: running.url, apiKey: CLIENT_KEY, maxRetries: 1 });
    const completion = await client.chat.completions.create({ model, messages });
    assert.match(completion.choices[0]?.message.content ?? '', /^openai[123] answers: What is new\?$/);
    const finished = running.events.flatMap((event) => (event.kind === 'request-finished' ? [event.status] : []));
    assert.deepEqual(finished, [429, 200]);
    running.assertIdle();
  });

  it('does not retry what recovers in more than a minute', async () => {
    for (const resource of running.resources) resource.throttle(3_600_000);
    const client = new OpenAI({ baseURL: running.url, apiKey: CLIENT_KEY, maxRetries: 2 });
    await assert.rejects(client.chat.completions.create({ model, messages }), RateLimitError);
    assert.deepEqual(callCounts(running), [1, 1, 1]);
    running.assertIdle();
  });

  it('reads a content filter’s words', async () => {
    running.resources[0]?.script({ kind: 'content-filter' });
    const client = new OpenAI({ baseURL: running.url, apiKey: CLIENT_KEY, maxRetries: 0 });
    await assert.rejects(client.chat.completions.create({ model, messages }), (error) => {
      assert.ok(error instanceof APIError);
      assert.deepEqual([error.status, error.code, error.param], [400, 'content_filter', 'prompt']);
      return true;
    });
    assert.deepEqual(callCounts(running), [1, 0, 0]);
    running.assertIdle();
  });

  it('is told which deployment nobody has', async () => {
    const client = new AzureOpenAI({ ...once, endpoint: running.url, apiVersion });
    await assert.rejects(client.chat.completions.create({ model: 'gpt-99', messages }), (error) => {
      assert.ok(error instanceof NotFoundError);
      assert.equal(error.code, 'DeploymentNotFound');
      assert.match(error.message, /"gpt-99"/);
      return true;
    });
    assert.deepEqual(callCounts(running), [1, 1, 1]);
    running.assertIdle();
  });

  it('cancels the upstream request when it leaves a stream', async () => {
    running.resources[0]?.script({ kind: 'stall', afterChunks: 4 });
    const client = new OpenAI({ baseURL: running.url, apiKey: CLIENT_KEY, maxRetries: 0 });
    const finished = running.event('request-finished');
    for await (const chunk of await client.chat.completions.create({ model, messages, stream: true })) {
      if (chunk.choices[0]?.delta.content !== '') break;
    }
    assert.equal((await finished).ending, 'abandoned');
    await until(() => hasNoOpenRequests(running));
    running.assertIdle();
  });

  it('is told that a key is not known here', async () => {
    const client = new OpenAI({ baseURL: running.url, apiKey: 'key-1', maxRetries: 0 });
    await assert.rejects(client.chat.completions.create({ model, messages }), (error) => {
      assert.ok(error instanceof APIError);
      assert.deepEqual([error.status, error.code], [401, 'unknown_credential']);
      return true;
    });
    assert.deepEqual(callCounts(running), [0, 0, 0]);
    running.assertIdle();
  });
});
