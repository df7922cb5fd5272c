// The bodies of successful answers that are not streamed. The frequent ones are written as text around the few parts
// that change, which is several times faster than serialising the whole object.

import { isJsonObject, numberIn, textIn } from '../answering/json.ts';
import type { JsonObject } from '../answering/json.ts';
import type { Generation } from '../answering/routes.ts';
import type { ToolCall } from './tools.ts';

/** All that goes into one answer of text. */
export interface Saying {
  readonly id: string;
  readonly createdAt: number;
  readonly model: string;
  readonly generation: Generation;
  /** The request's body; a response repeats much of it. */
  readonly body: JsonObject;
  readonly text: string;
  /** What is called in place of saying the text. */
  readonly call: ToolCall | undefined;
  readonly ending: 'stop' | 'length' | 'tool_calls' | 'content_filter';
  /** How many times the same is said. */
  readonly choices: number;
  readonly promptTokens: number;
  /** Those of the prompt's tokens that were in the prompt cache. */
  readonly cachedTokens: number;
  /** Of the text of one choice. */
  readonly answerTokens: number;
  readonly reasoningTokens: number;
  /** Goes out again with a reasoning item; only the resource that made it takes it back. */
  readonly encryptedReasoning: string;
}

const SAFE =
  '{"hate":{"filtered":false,"severity":"safe"},"self_harm":{"filtered":false,"severity":"safe"},"sexual":{"filtered":false,"severity":"safe"},"violence":{"filtered":false,"severity":"safe"}}';
export const promptFilterResults = `[{"prompt_index":0,"content_filter_results":${SAFE}}]`;
export const contentFilterResults = SAFE;

export function chatCompletion(saying: Saying): string {
  const { id, createdAt, model, generation, ending } = saying;
  const choiceFilter = generation === 'legacy' ? `"content_filter_results":${SAFE},` : '';
  const promptFilter = generation === 'legacy' ? `"prompt_filter_results":${promptFilterResults},` : '';
  const message = chatMessage(saying);
  const choice = (index: number): string =>
    `{${choiceFilter}"finish_reason":"${ending}","index":${index},"logprobs":null,"message":${message}}`;
  const choices = repeated(saying.choices, choice);
  return `{"choices":[${choices}],"created":${createdAt},"id":"chatcmpl-${id}","model":${JSON.stringify(model)},"object":"chat.completion",${promptFilter}"system_fingerprint":"fp_simulated","usage":${chatUsage(saying)}}`;
}

function chatMessage({ id, text, call }: Saying): string {
  return call === undefined
    ? `{"annotations":[],"content":${JSON.stringify(text)},"refusal":null,"role":"assistant"}`
    : `{"annotations":[],"content":null,"refusal":null,"role":"assistant","tool_calls":[{"function":{"arguments":${JSON.stringify(call.arguments)},"name":${JSON.stringify(call.name)}},"id":"call_${id}","type":"function"}]}`;
}

export function textCompletion(saying: Saying): string {
  const { id, createdAt, model, text, ending } = saying;
  const choice = (index: number): string =>
    `{"text":${JSON.stringify(text)},"index":${index},"finish_reason":"${ending}","logprobs":null}`;
  return `{"id":"cmpl-${id}","object":"text_completion","created":${createdAt},"model":${JSON.stringify(model)},"choices":[${repeated(saying.choices, choice)}],"usage":${chatUsage(saying)}}`;
}

function repeated(count: number, write: (index: number) => string): string {
  let text = write(0);
  for (let index = 1; index < count; index += 1) {
    text += `,${write(index)}`;
  }
  return text;
}

export function chatUsage({ promptTokens, cachedTokens, answerTokens, reasoningTokens, choices }: Saying): string {
  const completionTokens = answerTokens * choices + reasoningTokens;
  return `{"completion_tokens":${completionTokens},"completion_tokens_details":{"accepted_prediction_tokens":0,"audio_tokens":0,"reasoning_tokens":${reasoningTokens},"rejected_prediction_tokens":0},"prompt_tokens":${promptTokens},"prompt_tokens_details":{"audio_tokens":0,"cached_tokens":${cachedTokens}},"total_tokens":${promptTokens + completionTokens}}`;
}

const DEFAULT_DIMENSIONS = 1536;
const MAX_DIMENSIONS = 3072;

/** Vectors that depend on nothing but the text and the number of dimensions, of length 1. */
export function embeddings(body: JsonObject, model: string, promptTokens: number): string {
  const asked = numberIn(body, 'dimensions') ?? DEFAULT_DIMENSIONS;
  const dimensions = Math.min(MAX_DIMENSIONS, Math.max(1, Math.floor(asked)));
  const isBase64 = textIn(body, 'encoding_format') === 'base64';
  const data = inputsOf(body['input']).map((input, index) => {
    const vector = embed(input, dimensions);
    const embedding = isBase64 ? Buffer.from(vector.buffer).toString('base64') : Array.from(vector);
    return { object: 'embedding', index, embedding };
  });
  return JSON.stringify({
    object: 'list',
    data,
    model,
    usage: { prompt_tokens: promptTokens, total_tokens: promptTokens },
  });
}

function inputsOf(input: unknown): readonly string[] {
  if (typeof input === 'string') {
    return [input];
  }
  if (!Array.isArray(input)) {
    return [];
  }
  // An array of numbers is one input given as token ids; an array of texts or of arrays is as many inputs.
  if (typeof input[0] === 'number') {
    return [input.join(' ')];
  }
  return input.map((item: unknown) => (Array.isArray(item) ? item.join(' ') : String(item)));
}

function embed(text: string, dimensions: number): Float32Array<ArrayBuffer> {
  let state = 2166136261;
  for (let at = 0; at < text.length; at += 1) {
    state = Math.imul(state ^ text.charCodeAt(at), 16777619); // FNV-1a
  }
  const vector = new Float32Array(dimensions);
  let sumOfSquares = 0;
  for (let at = 0; at < dimensions; at += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0; // a linear congruential step
    const value = state / 2 ** 31;
    vector[at] = value;
    sumOfSquares += value * value;
  }
  const length = Math.sqrt(sumOfSquares);
  return length === 0 ? vector : vector.map((value) => value / length);
}

/** The models of a resource, not its deployments: that is what Azure lists. */
export function modelList(models: readonly string[]): string {
  return JSON.stringify({ object: 'list', data: models.map((model) => modelEntry(model)) });
}

export function modelObject(model: string): string {
  return JSON.stringify(modelEntry(model));
}

function modelEntry(model: string): JsonObject {
  return {
    id: model,
    object: 'model',
    created: 1_750_000_000,
    owned_by: 'azure-openai',
    status: 'succeeded',
    lifecycle_status: 'generally-available',
    capabilities: { fine_tune: false, inference: true },
  };
}

/** Whether a streamed chat completion is to end with its usage. */
export function wantsUsage(body: JsonObject): boolean {
  const options = body['stream_options'];
  return isJsonObject(options) && options['include_usage'] === true;
}
