// The bodies of successful answers that are not streamed. The frequent ones are written as text around the few parts
// that change, which is several times faster than serialising the whole object.

import { isJsonObject, numberIn, textIn } from './json.ts';
import type { JsonObject } from './json.ts';
import type { Generation } from './routes.ts';

/** All that goes into one answer of text. */
export interface Saying {
  readonly id: string;
  readonly createdAt: number;
  readonly model: string;
  readonly generation: Generation;
  readonly text: string;
  readonly promptTokens: number;
  readonly answerTokens: number;
}

const SAFE =
  '{"hate":{"filtered":false,"severity":"safe"},"self_harm":{"filtered":false,"severity":"safe"},"sexual":{"filtered":false,"severity":"safe"},"violence":{"filtered":false,"severity":"safe"}}';
export const promptFilterResults = `[{"prompt_index":0,"content_filter_results":${SAFE}}]`;
export const contentFilterResults = SAFE;

export function chatCompletion(saying: Saying): string {
  const { id, createdAt, model, text, generation } = saying;
  const choiceFilter = generation === 'legacy' ? `"content_filter_results":${SAFE},` : '';
  const promptFilter = generation === 'legacy' ? `"prompt_filter_results":${promptFilterResults},` : '';
  return `{"choices":[{${choiceFilter}"finish_reason":"stop","index":0,"logprobs":null,"message":{"annotations":[],"content":${JSON.stringify(text)},"refusal":null,"role":"assistant"}}],"created":${createdAt},"id":"chatcmpl-${id}","model":${JSON.stringify(model)},"object":"chat.completion",${promptFilter}"system_fingerprint":"fp_simulated","usage":${chatUsage(saying)}}`;
}

export function textCompletion(saying: Saying): string {
  const { id, createdAt, model, text } = saying;
  return `{"id":"cmpl-${id}","object":"text_completion","created":${createdAt},"model":${JSON.stringify(model)},"choices":[{"text":${JSON.stringify(text)},"index":0,"finish_reason":"stop","logprobs":null}],"usage":${chatUsage(saying)}}`;
}

export function chatUsage({ promptTokens, answerTokens }: Saying): string {
  return `{"completion_tokens":${answerTokens},"completion_tokens_details":{"accepted_prediction_tokens":0,"audio_tokens":0,"reasoning_tokens":0,"rejected_prediction_tokens":0},"prompt_tokens":${promptTokens},"prompt_tokens_details":{"audio_tokens":0,"cached_tokens":0},"total_tokens":${promptTokens + answerTokens}}`;
}

export function response(saying: Saying): string {
  return responseObject(saying, { status: 'completed', output: `[${responseMessage(saying, 'completed')}]` });
}

export function responseObject(
  saying: Saying,
  state: { readonly status: 'completed' | 'in_progress' | 'failed'; readonly output: string; readonly error?: string },
): string {
  const { id, createdAt, model, promptTokens, answerTokens } = saying;
  const usage =
    state.status === 'completed'
      ? `{"input_tokens":${promptTokens},"input_tokens_details":{"cached_tokens":0},"output_tokens":${answerTokens},"output_tokens_details":{"reasoning_tokens":0},"total_tokens":${promptTokens + answerTokens}}`
      : 'null';
  return `{"id":"resp_${id}","object":"response","created_at":${createdAt},"status":"${state.status}","background":false,"error":${state.error ?? 'null'},"incomplete_details":null,"instructions":null,"max_output_tokens":null,"model":${JSON.stringify(model)},"output":${state.output},"parallel_tool_calls":true,"previous_response_id":null,"reasoning":{"effort":null,"summary":null},"store":true,"temperature":1.0,"text":{"format":{"type":"text"}},"tool_choice":"auto","tools":[],"top_p":1.0,"truncation":"disabled","usage":${usage},"user":null,"metadata":{}}`;
}

export function responseMessage({ id, text }: Saying, status: 'completed' | 'in_progress'): string {
  const content = status === 'completed' ? `[${responseContent(text)}]` : '[]';
  return `{"id":"msg_${id}","type":"message","status":"${status}","content":${content},"role":"assistant"}`;
}

export function responseContent(text: string): string {
  return `{"type":"output_text","annotations":[],"logprobs":[],"text":${JSON.stringify(text)}}`;
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

/** One pixel as a PNG. */
const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

export function images(count: number, createdAt: number): string {
  const data = Array.from({ length: count }, () => ({ b64_json: PIXEL }));
  const usage = {
    input_tokens: 8,
    input_tokens_details: { image_tokens: 0, text_tokens: 8 },
    output_tokens: 16,
    total_tokens: 24,
  };
  return JSON.stringify({ created: createdAt, data, usage });
}

/** Whether a streamed chat completion is to end with its usage. */
export function wantsUsage(body: JsonObject): boolean {
  const options = body['stream_options'];
  return isJsonObject(options) && options['include_usage'] === true;
}
