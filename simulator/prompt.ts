// What the simulated model needs to know of a request: how long its prompt is, what was said last and how much it may
// answer. Reads the JSON bodies of chat completions, completions, embeddings, responses, speech and images.

import { isJsonObject, numberIn, textIn } from './json.ts';
import type { JsonObject } from './json.ts';

export interface Prompt {
  readonly characters: number;
  readonly lastUserText: string;
  readonly maxTokens: number | undefined;
}

export function readPrompt(body: JsonObject): Prompt {
  const said = body['messages'] ?? body['input'] ?? body['prompt'];
  return {
    characters: charactersIn(said) + (textIn(body, 'instructions')?.length ?? 0),
    lastUserText: lastUserText(said),
    maxTokens:
      numberIn(body, 'max_completion_tokens') ?? numberIn(body, 'max_output_tokens') ?? numberIn(body, 'max_tokens'),
  };
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
  return isJsonObject(said) ? charactersIn(said['content'] ?? said['text'] ?? '') : 0;
}

function lastUserText(said: unknown): string {
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
