// What the simulated model needs to know of a request: how long its prompt is, what was said last and how much it may
// answer. Reads the JSON bodies of chat completions, completions, embeddings, responses, speech and images.

import { isJsonObject, numberIn, textIn } from '../answering/json.ts';
import type { JsonObject } from '../answering/json.ts';

export interface Prompt {
  readonly body: JsonObject;
  /** What was said in this conversation before the request, oldest first: items of the responses API. */
  readonly before: readonly JsonObject[];
  /** Of all that is said, before and now. */
  readonly characters: number;
  readonly lastUserText: string;
  readonly maxTokens: number | undefined;
  /** How many answers of that length a completion may be chosen from. */
  readonly bestOf: number;
}

const NOTHING: readonly JsonObject[] = [];

export function readPrompt(body: JsonObject, before: readonly JsonObject[] = NOTHING): Prompt {
  const said = saidIn(body);
  return {
    body,
    before,
    characters: charactersIn(before) + charactersIn(said) + (textIn(body, 'instructions')?.length ?? 0),
    lastUserText: lastUserText(said),
    maxTokens:
      numberIn(body, 'max_completion_tokens') ?? numberIn(body, 'max_output_tokens') ?? numberIn(body, 'max_tokens'),
    bestOf: numberIn(body, 'best_of') ?? 1,
  };
}

/** The messages, the input or the prompt. */
export function saidIn(body: JsonObject): unknown {
  return body['messages'] ?? body['input'] ?? body['prompt'];
}

function charactersIn(said: unknown): number {
  if (typeof said === 'string') {
    return said.length;
  }
  if (typeof said === 'number') {
    return 4; // one token of a prompt sent as token ids
  }
  if (Array.isArray(said)) {
    let sum = 0;
    for (const item of said) {
      sum += charactersIn(item);
    }
    return sum;
  }
  // A message has content, a part of one text, the result of a call output and a call arguments.
  return isJsonObject(said)
    ? charactersIn(said['content'] ?? said['text'] ?? said['output'] ?? said['arguments'] ?? '')
    : 0;
}

/** The text of the last user's message, empty when there is none. */
export function lastUserText(said: unknown): string {
  if (typeof said === 'string') {
    return said;
  }
  if (!Array.isArray(said)) {
    return '';
  }
  for (let at = said.length - 1; at >= 0; at -= 1) {
    const item: unknown = said[at];
    if (typeof item === 'string') {
      return item;
    }
    if (isJsonObject(item) && item['role'] === 'user') {
      return textOf(item['content']);
    }
  }
  return '';
}

function textOf(content: unknown): string {
  if (typeof content === 'string') {
    return content;
  }
  if (!Array.isArray(content)) {
    return '';
  }
  return content.map((part: unknown) => (isJsonObject(part) ? (textIn(part, 'text') ?? '') : '')).join('');
}
