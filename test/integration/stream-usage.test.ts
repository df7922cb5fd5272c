import assert from 'node:assert/strict';
import OpenAI, { AzureOpenAI } from 'openai';
import type { ChatCompletionChunk } from 'openai/resources/chat/completions';
import type { SimulatedResource } from '../../simulator/server.ts';
import { CLIENT_KEY, startBalancer, type BalancerSetup, type RunningBalancer } from '../support/balancer.ts';
import { chat, errorOf, send, type Received } from '../support/http.ts';
import { course, eventsIn, hasNoOpenRequests } from '../support/observed.ts';
import { open } from '../support/reading.ts';
import { until } from '../support/until.ts';
import { assertAtRest, watch } from '../support/watched.ts';

const V1 = '/v1/chat/completions';
const LEGACY = '/openai/deployments/gpt-5.4-mini/chat/completions?api-version=';
const ADDED = '"stream_options":{"include_usage":true}';
const model = 'gpt-5.4-mini';
const messages = [{ role: 'user' as const, content: 'Say hello.' }];

describe('usage of chat streams', () => {
  let running: RunningBalancer;
  afterEach(() => running.close());

  async function start(setup: BalancerSetup = {}): Promise<SimulatedResource> {
    running = await startBalancer({ backends: 1, ...setup });
    const [first] = running.resources;
    assert.ok(first !== undefined);
    return first;
  }

  function ask(body: string, path = V1): Promise<Received> {
    return send(running.url + path, { body });
  }

  /** Bodies that the backend was sent. */
  function sent(index = 0): readonly string[] {
    return running.resources[index]?.calls.map(({ body }) => body.toString()) ?? [];
  }

  /** A stream as the backend itself gives it, or as it comes through here, without what differs from answer to answer. */
  function alike(text: string): string {
    return text.replaceAll(/"id":"chatcmpl-[^"]+"/g, '"id":"x"').replaceAll(/"created":\d+/g, '"created":0');
  }

  for (const [name, clientOf] of [
    ['OpenAI', (url: string, apiKey: string) => new OpenAI({ baseURL: `${url}/openai/v1`, apiKey, maxRetries: 0 })],
    [
      'AzureOpenAI',
      (endpoint: string, apiKey: string) =>
        new AzureOpenAI({ endpoint, apiKey, apiVersion: '2024-10-21', maxRetries: 0 }),
    ],
  ] as const) {
    for (const options of [
      undefined,
      { include_usage: true },
      { include_usage: false },
      { include_obfuscation: false },
    ]) {
      it(`${name} with ${JSON.stringify(options) ?? 'no options'} sees what it would see without the balancer`, async () => {
        const resource = await start();
        const chunksFrom = async (url: string, key: string): Promise<readonly ChatCompletionChunk[]> => {
          const more = options === undefined ? {} : { stream_options: options };
          const stream = await clientOf(url, key).chat.completions.create({ model, messages, stream: true, ...more });
          const chunks: ChatCompletionChunk[] = [];
          // A usage of null says as much as none.
          for await (const { usage, ...chunk } of stream) chunks.push(usage ? { ...chunk, usage } : chunk);
          return chunks.map((chunk) => ({ ...chunk, id: 'x', created: 0 }));
        };
        const direct = await chunksFrom(resource.url, 'key-1');
        const { received, finished } = await watch(running, () => chunksFrom(running.url, CLIENT_KEY));
        assert.deepEqual(received, direct);
        assert.equal(received.at(-1)?.usage?.total_tokens, options?.include_usage === true ? 11 : undefined);
        const { usage } = finished;
        assert.deepEqual(usage, { promptTokens: 3, completionTokens: 8, cachedTokens: 0, reasoningTokens: 0 });
        await until(() => hasNoOpenRequests(running));
        running.assertIdle();
      });
    }
  }

  it('are given byte for byte but for the one chunk, and a null where the others have the usage', async () => {
    const resource = await start();
    for (const path of ['/openai/v1/chat/completions', `${LEGACY}2024-10-21`]) {
      const body = chat({ stream: true, n: 2 });
      const headers = { 'api-key': 'key-1' };
      const plain = await send(resource.url + path, { body, headers });
      const asked = await send(resource.url + path, {
        body: chat({ stream: true, n: 2, stream_options: { include_usage: true } }),
        headers,
      });
      const received = await ask(body, path);
      const chunk = `data: ${eventsIn(asked.body.toString()).at(-2)}\n\n`;
      assert.match(chunk, /"choices":\[\].*"total_tokens":/);
      const text = alike(received.body.toString());
      assert.equal(text, alike(asked.body.toString().replace(chunk, '')));
      assert.equal(text.replaceAll(',"usage":null', ''), alike(plain.body.toString()));
      assert.equal(text.includes('prompt_filter_results'), path.startsWith(LEGACY));
    }
    assert.equal(sent().at(-1), chat({ stream: true, n: 2 }).replace('"stream":true', `"stream":true,${ADDED}`));
  });

  it('are asked for where the deployment has another name at the backend', async () => {
    await start({
      settings: { BACKEND_1_DEPLOYMENTS: 'chat=gpt-eu' },
      resource: () => ({ deployments: { 'gpt-eu': { model } } }),
    });
    const body = chat({ model: 'chat', stream: true });
    assert.equal((await ask(body)).status, 200);
    assert.deepEqual(sent(), [body.replace('"chat"', '"gpt-eu"').replace('"stream":true', `"stream":true,${ADDED}`)]);
  });

  for (const [why, body, path, settings] of [
    ['the caller asks', chat({ stream: true, stream_options: { include_usage: true } }), V1, {}],
    ['the api-version is older', chat({ stream: true }), `${LEGACY}2024-02-01`, {}],
    ['it goes to data of ones own', chat({ stream: true, data_sources: [{ type: 'azure_search' }] }), V1, {}],
    ['it is no stream', chat(), V1, {}],
    ['it is no chat', JSON.stringify({ model, input: 'x', stream: true }), '/v1/responses', {}],
    ['it is a legacy completion', JSON.stringify({ model, prompt: 'x', stream: true }), '/v1/completions', {}],
    ['it is switched off', chat({ stream: true }), V1, { STREAM_USAGE: 'off' }],
  ] as const) {
    it(`are not touched where ${why}: not a byte of request and answer changes`, async () => {
      const resource = await start({ settings });
      const direct = await send(resource.url + path.replace(/^\/v1/, '/openai/v1'), {
        body,
        headers: { 'api-key': 'key-1' },
      });
      const { received, finished } = await watch(running, () => ask(body, path));
      assert.deepEqual(sent(), [body, body]);
      const same = (text: Buffer): string => alike(text.toString()).replaceAll(/(?:openai1-|_at":)[\w.-]+/g, '');
      assert.equal(same(received.body), same(direct.body));
      const isSaid = !/older|own|legacy|off/.test(why);
      assert.equal(finished.usage?.isEstimated, isSaid ? undefined : true);
    });
  }

  describe('at a backend that does not know the option', () => {
    const withoutOptions: BalancerSetup['resource'] = () => ({
      deployments: { [model]: { model, hasStreamOptions: false } },
    });

    it('is asked again without, unblamed, and not asked with it the next time', async () => {
      await start({ resource: withoutOptions });
      const body = chat({ stream: true });
      const withIt = body.replace('"stream":true', `"stream":true,${ADDED}`);
      const { received, finished, changes } = await watch(running, () => ask(body));
      assert.equal(received.status, 200);
      assert.ok(received.body.toString().endsWith('data: [DONE]\n\n'));
      assert.deepEqual(course(received), {
        backend: 'openai1',
        attempts: '2',
        trace: 'openai1=400(stream_options) openai1=200',
      });
      assert.deepEqual(sent(), [withIt, body]);
      assert.deepEqual(changes, []);
      const text = Math.ceil(Buffer.byteLength('openai1 answers: Say hello.') / 4);
      assert.deepEqual(finished.usage, {
        promptTokens: Math.ceil(body.length / 4),
        completionTokens: text,
        isEstimated: true,
      });
      const outcomes = running.events.flatMap((event) => (event.kind === 'attempt-ended' ? [event.outcome] : []));
      assert.deepEqual(outcomes, [
        { kind: 'refused', status: 400 },
        { kind: 'served', status: 200 },
      ]);
      assert.equal(course(await ask(body)).attempts, '1');
      assert.equal(course(await ask(body, `${LEGACY}2024-10-21`)).attempts, '2');
      assert.deepEqual(sent().slice(2), [body, withIt, body]);
      await assertAtRest(running);
    });

    it('refuses what the caller asks for itself in its own words, at the first attempt', async () => {
      await start({ resource: withoutOptions });
      const received = await ask(chat({ stream: true, stream_options: { include_usage: true } }));
      assert.deepEqual([received.status, course(received).attempts], [400, '1']);
      assert.equal(errorOf(received).code, 'unknown_parameter');
    });

    it('is asked with it again when it was something else that it refused', async () => {
      const resource = await start();
      const error = {
        error: { message: 'stream_options and n', type: 'invalid_request_error', param: null, code: 'x' },
      };
      for (let n = 0; n < 2; n += 1) {
        resource.script({ kind: 'status', status: 400, body: error }, { kind: 'status', status: 400, body: error });
        const received = await ask(chat({ stream: true }));
        assert.deepEqual([received.status, course(received).attempts], [400, '2']);
        assert.deepEqual(JSON.parse(received.body.toString()), error);
      }
      assert.deepEqual(
        sent().map((body) => body.includes(ADDED)),
        [true, false, true, false],
      );
    });

    it('goes on to another when it then fails, which is asked with it', async () => {
      await start({ backends: 2, resource: (index) => (index === 0 ? (withoutOptions?.(0) ?? {}) : {}) });
      const refusal = {
        kind: 'status',
        status: 400,
        body: { error: { message: 'stream_options', code: 'x' } },
      } as const;
      running.resources[0]?.script(refusal, { kind: 'throttle', retryAfterMs: 60_000 });
      const { received, finished } = await watch(running, () => ask(chat({ stream: true })));
      assert.equal(course(received).trace, 'openai1=400(stream_options) openai1=429(60000ms) openai2=200');
      assert.doesNotMatch(received.body.toString(), /total_tokens/);
      assert.deepEqual([finished.usage?.promptTokens, finished.usage?.isEstimated], [3, undefined]);
      assert.match(sent(1)[0] ?? '', /include_usage/);
    });
  });

  it('is estimated, and said to be, where the caller leaves or the stream breaks', async () => {
    const resource = await start();
    const body = chat({ stream: true });
    const promptTokens = Math.ceil(body.length / 4);
    resource.script({ kind: 'stall', afterChunks: 4 }, { kind: 'reset-mid-stream', afterChunks: 4 });
    const { finished: left } = await watch(running, async () => {
      const reading = await open(running.url + V1, { body });
      await reading.came((text) => eventsIn(text).length === 4);
      reading.leave();
      await reading.done;
    });
    assert.equal(left.ending, 'abandoned');
    const { finished: broken } = await watch(running, () => ask(body));
    assert.equal(broken.ending, 'broken');
    for (const { usage, backend } of [left, broken]) {
      assert.equal(backend, 'openai1');
      const { completionTokens = 0, ...rest } = usage ?? {};
      assert.deepEqual(rest, { promptTokens, isEstimated: true });
      assert.ok(completionTokens > 0 && completionTokens < 8, `${completionTokens} tokens`);
    }
    const outcomes = running.events.flatMap((event) => (event.kind === 'attempt-ended' ? [event.outcome] : []));
    // The pool reckons only with what backends say.
    assert.deepEqual(outcomes, [{ kind: 'abandoned' }, { kind: 'broken', cause: 'reset' }]);
  });

  it('is the prompt of whoever leaves before the answer comes', async () => {
    const resource = await start();
    const body = chat({ stream: true });
    resource.script({ kind: 'hang' });
    const leaving = new AbortController();
    const { finished } = await watch(running, async () => {
      const asked = send(running.url + V1, { body, signal: leaving.signal });
      await resource.onceCalled();
      leaving.abort();
      await assert.rejects(asked);
    });
    assert.deepEqual([finished.ending, finished.status, finished.backend], ['abandoned', 499, 'openai1']);
    assert.deepEqual(finished.usage, {
      promptTokens: Math.ceil(body.length / 4),
      completionTokens: 0,
      isEstimated: true,
    });
  });
});
