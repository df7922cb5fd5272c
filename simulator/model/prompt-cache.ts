// The prompt cache of a resource: which beginnings of long prompts each deployment saw of late. Hits come in steps of
// 128 tokens from 1,024 on, and a beginning is forgotten five minutes after it was last used.

import { isJsonObject, textIn } from '../answering/json.ts';
import type { JsonObject } from '../answering/json.ts';
import { saidIn } from './prompt.ts';
import type { Prompt } from './prompt.ts';
import { tokensIn } from '../limits/quota.ts';

const LEAST_TOKENS = 1024;
const STEP_TOKENS = 128;
const STEP_CHARACTERS = 512;
const KEPT_MS = 5 * 60_000;
/** Of each deployment. */
const MAX_PREFIXES = 16_384;

/** A prompt's beginnings of 1,024 tokens, 1,152 and so on, as hashes. */
type Prefixes = readonly number[];

export class PromptCache {
  /** Deployment → prefix → when it was last used, the longest unused first. */
  private readonly deployments = new Map<string, Map<number, number>>();
  private readonly prefixesOfPrompt = new WeakMap<Prompt, Prefixes>();

  /** How many tokens of the prompt this deployment has in its cache. Changes nothing, so it may be asked at any time. */
  cachedTokensOf(deployment: string, prompt: Prompt, now: number): number {
    const known = this.deployments.get(deployment);
    if (known === undefined || tokensIn(prompt.characters) < LEAST_TOKENS) {
      return 0;
    }
    const prefixes = this.prefixesOf(prompt);
    for (let at = prefixes.length - 1; at >= 0; at -= 1) {
      const usedAt = known.get(prefixes[at] ?? 0);
      if (usedAt !== undefined && now - usedAt < KEPT_MS) {
        return LEAST_TOKENS + at * STEP_TOKENS;
      }
    }
    return 0;
  }

  /** Notes that the deployment read the prompt. */
  remember(deployment: string, prompt: Prompt, now: number): void {
    if (tokensIn(prompt.characters) < LEAST_TOKENS) {
      return;
    }
    let known = this.deployments.get(deployment);
    if (known === undefined) {
      known = new Map();
      this.deployments.set(deployment, known);
    }
    for (const prefix of this.prefixesOf(prompt)) {
      known.delete(prefix); // so that it is entered anew, at the end
      known.set(prefix, now);
    }
    for (const [prefix, usedAt] of known) {
      if (known.size <= MAX_PREFIXES && now - usedAt < KEPT_MS) {
        return;
      }
      known.delete(prefix);
    }
  }

  private prefixesOf(prompt: Prompt): Prefixes {
    const made = this.prefixesOfPrompt.get(prompt);
    if (made !== undefined) {
      return made;
    }
    const prefixes = hashPrefixes(prompt);
    this.prefixesOfPrompt.set(prompt, prefixes);
    return prefixes;
  }
}

function hashPrefixes({ body, before, characters }: Prompt): Prefixes {
  const key = textIn(body, 'prompt_cache_key') ?? textIn(body, 'user') ?? '';
  const format = body['response_format'] ?? body['text'] ?? null;
  // What comes before all messages: another tool or another format is another prompt from its first token on.
  let hash = hashed(2166136261, JSON.stringify([key, body['tools'] ?? null, format]));
  const text = (textIn(body, 'instructions') ?? '') + written(before) + written(saidIn(body));
  const prefixes: number[] = [];
  // No more tokens can be cached than the prompt is counted as, whatever else was written into the text.
  const steps = Math.floor(Math.min(text.length, characters) / STEP_CHARACTERS);
  for (let step = 1; step <= steps; step += 1) {
    hash = hashed(hash, text, (step - 1) * STEP_CHARACTERS, step * STEP_CHARACTERS);
    if (step * STEP_TOKENS >= LEAST_TOKENS) {
      prefixes.push(hash);
    }
  }
  return prefixes;
}

function hashed(from: number, text: string, start = 0, end = text.length): number {
  let hash = from;
  for (let at = start; at < end; at += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(at), 16777619); // FNV-1a
  }
  return hash;
}

/** The messages one after another, each begun by who says it. */
function written(said: unknown): string {
  if (typeof said === 'string') {
    return `user\n${said}\n`;
  }
  return Array.isArray(said)
    ? said.map((item: unknown) => (isJsonObject(item) ? message(item) : String(item))).join('')
    : '';
}

function message(item: JsonObject): string {
  const { role, content, tool_calls: calls } = item;
  const said = contentText(content) ?? JSON.stringify({ ...item, id: undefined });
  return `${String(role)}\n${said}\n${calls === undefined ? '' : JSON.stringify(calls)}`;
}

function contentText(content: unknown): string | undefined {
  if (typeof content === 'string') {
    return content;
  }
  return Array.isArray(content)
    ? content.map((part: unknown) => (isJsonObject(part) && textIn(part, 'text')) || JSON.stringify(part)).join('')
    : undefined;
}
