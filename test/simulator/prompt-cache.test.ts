// Which prompts a resource finds in its cache, and how it says so.

import assert from 'node:assert/strict';
import { PromptCache } from '../../simulator/model/prompt-cache.ts';
import { readPrompt } from '../../simulator/model/prompt.ts';
import type { Prompt } from '../../simulator/model/prompt.ts';
import { ask, askEvents, askJson, chatBody, valueAt, withResource } from './support.ts';

const MINUTE = 60_000;
const NOW = 1_000_000;

/** A prompt of one message of so many tokens of four characters. */
function prompt(tokens: number, more: object = {}, filling = 'abc '): Prompt {
  return readPrompt({ messages: [{ role: 'user', content: filling.repeat(tokens) }], ...more });
}

function cacheWith(...prompts: readonly Prompt[]): PromptCache {
  const cache = new PromptCache();
  for (const each of prompts) {
    cache.remember('chat', each, NOW);
  }
  return cache;
}

function cached(cache: PromptCache, asked: Prompt, now = NOW): number {
  return cache.cachedTokensOf('chat', asked, now);
}

describe('prompt cache', () => {
  it('knows a prompt it saw, in steps of 128 tokens from 1,024 on', () => {
    for (const [tokens, hit] of [
      [1023, 0],
      [1024, 1024],
      [1151, 1024],
      [1152, 1152],
      [2000, 1920],
    ] as const) {
      assert.equal(cached(cacheWith(prompt(tokens)), prompt(tokens)), hit, `${tokens} tokens`);
    }
  });

  it('knows nothing it did not see, and does not come to know it by being asked', () => {
    const cache = new PromptCache();
    assert.equal(cached(cache, prompt(2000)), 0);
    assert.equal(cached(cache, prompt(2000)), 0);
  });

  it('knows as much of a prompt as begins like one it saw', () => {
    const cache = cacheWith(prompt(2048));
    const content = `${'abc '.repeat(1300)}${'xyz '.repeat(700)}`;
    assert.equal(cached(cache, readPrompt({ messages: [{ role: 'user', content }] })), 1280);
    const early = `x${'abc '.repeat(2047)}`;
    assert.equal(cached(cache, readPrompt({ messages: [{ role: 'user', content: early }] })), 0);
  });

  it('knows a conversation that went on', () => {
    const system = { role: 'system', content: 'abc '.repeat(1100) };
    const messages = [system, { role: 'user', content: 'What is new?' }];
    const cache = cacheWith(readPrompt({ messages }));
    const longer = [...messages, { role: 'assistant', content: 'All.' }, { role: 'user', content: 'abc '.repeat(400) }];
    assert.equal(cached(cache, readPrompt({ messages: longer })), 1024);
    const others = [{ ...system, role: 'user' }, ...messages.slice(1)];
    assert.equal(cached(cache, readPrompt({ messages: others })), 0);
  });

  it('counts instructions and what was said before into the prompt', () => {
    const instructions = 'abc '.repeat(1100);
    const cache = cacheWith(readPrompt({ instructions, input: 'one' }));
    assert.equal(cached(cache, readPrompt({ instructions, input: 'two' })), 1024);
    const before = [{ role: 'user', content: 'abc '.repeat(1100) }];
    cache.remember('chat', readPrompt({ input: 'one' }, before), NOW);
    assert.equal(cached(cache, readPrompt({ input: 'two' }, before)), 1024);
  });

  const different: readonly (readonly [string, object])[] = [
    ['tools', { tools: [{ type: 'function', function: { name: 'clock' } }] }],
    ['output format', { response_format: { type: 'json_object' } }],
    ['prompt_cache_key', { prompt_cache_key: 'key-2' }],
    ['user', { user: 'user-2' }],
  ];
  for (const [name, more] of different) {
    it(`tells prompts apart by their ${name}`, () => {
      const cache = cacheWith(prompt(1024));
      assert.equal(cached(cache, prompt(1024, more)), 0);
      cache.remember('chat', prompt(1024, more), NOW);
      assert.equal(cached(cache, prompt(1024, more)), 1024);
    });
  }

  it('compares the key and not the user when there is one', () => {
    const key = { prompt_cache_key: 'key-1' };
    const cache = cacheWith(prompt(1024, { ...key, user: 'user-1' }));
    assert.equal(cached(cache, prompt(1024, { ...key, user: 'user-2' })), 1024);
  });

  it('is one for each deployment', () => {
    assert.equal(cacheWith(prompt(1024)).cachedTokensOf('other', prompt(1024), NOW), 0);
  });

  it('forgets five minutes after the last use', () => {
    const cache = cacheWith(prompt(1024));
    assert.equal(cached(cache, prompt(1024), NOW + 5 * MINUTE - 1), 1024);
    assert.equal(cached(cache, prompt(1024), NOW + 5 * MINUTE), 0);
    cache.remember('chat', prompt(1024), NOW + 4 * MINUTE);
    assert.equal(cached(cache, prompt(1024), NOW + 8 * MINUTE), 1024);
  });

  it('forgets the longest unused when it is full', () => {
    const cache = cacheWith(prompt(1024));
    for (let at = 0; at < 140; at += 1) {
      cache.remember('chat', prompt(16_384, {}, `${String(at).padStart(3)} `), NOW);
    }
    assert.equal(cached(cache, prompt(1024)), 0);
    assert.equal(cached(cache, prompt(16_384, {}, '139 ')), 16_384);
  });
});

describe('simulator: cached tokens', () => {
  const content = 'abc '.repeat(1500);
  const messages = [{ role: 'user', content }];
  const RESPONSES = '/openai/v1/responses';

  it('reports them from the second time on, in chat', () =>
    withResource({}, async (resource) => {
      const body = { ...chatBody, messages };
      const tokens = async (more: object): Promise<unknown> => {
        const events = await askEvents(resource, { body: { ...body, ...more } });
        return valueAt(events.at(-1), 'usage', 'prompt_tokens_details', 'cached_tokens');
      };
      const first = await askJson(resource, { body });
      assert.equal(valueAt(first.body, 'usage', 'prompt_tokens_details', 'cached_tokens'), 0);
      const second = await askJson(resource, { body });
      assert.equal(valueAt(second.body, 'usage', 'prompt_tokens_details', 'cached_tokens'), 1408);
      assert.equal(valueAt(second.body, 'usage', 'prompt_tokens'), 1500);
      assert.equal(await tokens({ stream: true, stream_options: { include_usage: true } }), 1408);
    }));

  it('reports them in a response, and for what was said before it', () =>
    withResource({}, async (resource) => {
      const body = { model: 'chat', input: content };
      const first = await askJson(resource, { path: RESPONSES, body });
      const streamed = await askEvents(resource, { path: RESPONSES, body: { ...body, stream: true } });
      assert.equal(valueAt(streamed.at(-1), 'response', 'usage', 'input_tokens_details', 'cached_tokens'), 1408);
      const next = { model: 'chat', input: 'And?', previous_response_id: first.body['id'] };
      const second = await askJson(resource, { path: RESPONSES, body: next });
      assert.equal(valueAt(second.body, 'usage', 'input_tokens_details', 'cached_tokens'), 1408);
    }));

  it('counts them against no provisioned deployment', () => {
    let now = 0;
    const provisioned = { tokensPerMinute: 60_000 };
    return withResource(
      { now: () => now, deployments: { chat: { model: 'gpt-5.4-mini', provisioned } } },
      async (resource) => {
        const body = { model: 'chat', messages, max_tokens: 92 };
        const utilization = async (): Promise<unknown> => {
          const reply = await ask(resource, { body });
          return reply.headers['azure-openai-deployment-utilization'];
        };
        // Of 10,000 tokens that it holds: 1,500 and 92; then, of which 1,408 are cached, 184.
        assert.equal(await utilization(), '16%');
        now += 60_000;
        assert.equal(await utilization(), '2%');
      },
    );
  });

  it('caches nothing of a request that it throttled', () =>
    withResource({ deployments: { chat: { model: 'gpt-5.4-mini' } } }, async (resource) => {
      const body = { model: 'chat', messages };
      resource.script({ kind: 'throttle' });
      assert.equal((await ask(resource, { body })).status, 429);
      const reply = await askJson(resource, { body });
      assert.equal(valueAt(reply.body, 'usage', 'prompt_tokens_details', 'cached_tokens'), 0);
    }));
});
