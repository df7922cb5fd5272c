import assert from 'node:assert/strict';
import { route, understand, type Asked, type Route } from '../../../app/src/proxy/front-door.ts';
import { createTokenEstimator } from '../../../app/src/proxy/token-estimate.ts';
import { bytesOf, isRecord, parsedJson, type Target } from '../target.ts';
import { jsonSamples, jsonWords } from './json-members.ts';

const JSON_TYPES = ['application/json', 'application/json; charset=utf-8', '', 'text/plain'] as const;
const V1 = routeOf('/v1/responses');
const LEGACY = routeOf('/openai/deployments/gpt/chat/completions?api-version=1');
const OTHER = 'another " \\ größe';

function routeOf(target: string): Route {
  const found = route(target);
  assert.ok(found.kind === 'route');
  return found;
}

export const request: Target = {
  name: 'JSON bodies of requests',
  property:
    'a body is understood as JSON.parse reads it, goes upstream as the same document with another model, and costs a finite number of tokens',
  samples: [
    ...jsonSamples,
    ...bytesOf(
      '{"model":"m","input":[{"content":[{"type":"input_image","image_url":"data:image/png;base64,AAAA"}]}],"n":3}',
      `{"model":"m","messages":[{"image_url":{"url":"data:image/png;base64,${'A'.repeat(600)}"}}],"max_tokens":7}`,
      '{"model":"m","max_tokens":9007199254740993,"n":99999999999,"max_output_tokens":7}',
      `{"model":"m","input_audio":{"data":"${'B'.repeat(600)}","format":"wav"},"prompt_cache_key":"k"}`,
      `{"prompt_cache_key":"k","user":"u","instructions":"${'i'.repeat(5000)}","input":"x"}`,
    ),
  ],
  words: [
    ...jsonWords,
    ...bytesOf(
      ';base64,',
      '"data":"',
      '"data": "',
      '"url":"data:image/png;base64,',
      '"max_output_tokens":5',
      '"best_of":99',
    ),
    ...bytesOf('"prompt_cache_key":"k"', '"instructions":"', 'A'.repeat(600), 'i'.repeat(4200)),
  ],
  longest: 6000,
  check(bytes, chance) {
    const holder = { bytes };
    const type = chance.pick(JSON_TYPES);
    const asked = understand(V1, 'POST', type, holder);
    const parsed = parsedJson(bytes)?.value;
    checkCost(asked, bytes);
    const legacy = understand(LEGACY, 'POST', type, holder);
    assert.equal(legacy.deployment, 'gpt');
    assert.equal(legacy.upstreamBody(OTHER), bytes);
    assert.equal(asked.upstreamBody(asked.deployment), bytes);
    for (const affinity of ['off', 'user', 'prefix'] as const) {
      const key = asked.affinityKey(affinity);
      assert.equal(key, understand(V1, 'POST', type, { bytes: Buffer.from(bytes) }).affinityKey(affinity));
      assert.ok(
        key === undefined || (affinity !== 'off' && /^(?:prompt_cache_key|user|prefix) [\w+/=]{28}$/.test(key)),
      );
    }
    const upstream = asked.upstreamBody(OTHER);
    if (!isRecord(parsed)) {
      if (parsed !== undefined || bytes.length === 0) assert.equal(upstream, bytes);
      return asked.deployment === '' ? 'no name' : 'a name, though it is no JSON';
    }
    const { model } = parsed;
    assert.equal(asked.deployment, typeof model === 'string' ? model : '');
    assert.equal(asked.stream, parsed['stream'] === true);
    assert.equal(asked.creates, parsed['background'] === true);
    if (typeof model === 'string' && model !== OTHER) {
      assert.deepEqual(parsedJson(upstream)?.value, { ...parsed, model: OTHER });
    } else assert.equal(upstream, bytes);
    return `${typeof model} ${asked.stream} ${asked.creates} ${asked.affinityKey('prefix')?.split(' ')[0]} ${asked.cost()?.mostCompletionTokens !== undefined}`;
  },
};

const estimator = createTokenEstimator();

/** Finite, whole, and no more than the text is long but for images, of which there cannot be more than fit. */
function checkCost(asked: Asked, body: Buffer): void {
  const cost = asked.cost();
  if (body.length === 0) return assert.equal(cost, undefined);
  assert.ok(cost !== undefined);
  const { promptTokens, mostCompletionTokens = 0 } = cost;
  assert.ok(
    Number.isSafeInteger(promptTokens) && promptTokens >= 0 && promptTokens <= body.length * 2 + 1,
    `${promptTokens}`,
  );
  assert.ok(Number.isSafeInteger(mostCompletionTokens) && mostCompletionTokens >= 0, `${mostCompletionTokens}`);
  const estimate = estimator.estimate('client', 'gpt', cost);
  assert.ok(Number.isSafeInteger(estimate) && estimate >= 0 && estimate <= 1_000_000_000, `${estimate}`);
  const { tokens, openTokens } = estimator.need('client', 'gpt', cost);
  assert.ok(openTokens >= 0 && openTokens <= tokens);
}
