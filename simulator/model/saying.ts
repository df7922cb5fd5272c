// What the simulated model says to one prompt: the text or the call, how it ends, and the tokens it counts.

import type { Saying } from './answers.ts';
import { exampleOf } from './example-value.ts';
import { isJsonObject, numberIn, textIn } from '../answering/json.ts';
import type { JsonObject } from '../answering/json.ts';
import type { Circumstances, TextContent } from './model.ts';
import { lastUserText } from './prompt.ts';
import type { Prompt } from './prompt.ts';
import { tokensIn } from '../limits/quota.ts';
import type { Fault } from '../scenario.ts';
import { calledTool } from './tools.ts';

const EXCERPT_LENGTH = 40;
const MAX_CHOICES = 128;

/** How long a reasoning model thinks, in tokens. */
const reasoningTokens: Readonly<Record<string, number>> = {
  none: 0,
  minimal: 16,
  low: 64,
  medium: 128,
  high: 256,
  xhigh: 512,
  max: 1024,
};
const DEFAULT_EFFORT = 'medium';

export function sayingOf({ operation, json, prompt }: TextContent, circumstances: Circumstances): Saying {
  const { resourceName, id, createdAt, model, generation, cachedTokens } = circumstances;
  // Tokens are spent on reasoning first, so a low limit may leave none for the answer.
  const limit = prompt.maxTokens !== undefined && prompt.maxTokens >= 1 ? Math.floor(prompt.maxTokens) : Infinity;
  const thought = operation === 'completions' ? 0 : Math.min(limit, tokensOfReasoning(json, circumstances.reasons));
  const excerpt = excerptOf(prompt.lastUserText);
  const call = operation === 'completions' ? undefined : calledTool(json, excerpt);
  const wanted = circumstances.answerTokens;
  const isFiltered = call === undefined && isFilteredBy(circumstances.fault);
  const allowed = isFiltered ? Math.floor(wanted / 2) : wanted;
  const answerTokens = call === undefined ? Math.min(allowed, limit - thought) : wanted;
  const full = operation === 'completions' ? undefined : structured(json, excerpt);
  const text = (full ?? plainText(circumstances, prompt)).padEnd(wanted, full === undefined ? '.' : ' ');
  const isCut = answerTokens < wanted;
  const ending = isFiltered ? 'content_filter' : isCut ? 'length' : 'stop';
  return {
    id,
    createdAt,
    model,
    generation,
    body: json,
    text: isCut ? text.slice(0, Math.floor((answerTokens * text.length) / wanted)) : text,
    call,
    ending: call === undefined ? ending : 'tool_calls',
    choices: operation === 'responses' ? 1 : choicesIn(json),
    promptTokens: tokensIn(prompt.characters),
    cachedTokens,
    answerTokens,
    reasoningTokens: thought,
    encryptedReasoning: thought > 0 ? encryptedBy(resourceName, id) : '',
  };
}

/** Whether the filter cuts the answer in its middle. */
function isFilteredBy(fault: Fault | undefined): boolean {
  return fault?.kind === 'content-filter' && fault.variant === 'answer';
}

/** What an answer took of the quota besides its prompt. */
export function outputTokensOf({ answerTokens, choices, reasoningTokens: thought }: Saying): number {
  return answerTokens * choices + thought;
}

/** The text of an answer, as speech says it too. */
export function plainText({ resourceName }: Circumstances, { lastUserText: asked, before }: Prompt): string {
  const text = `${resourceName} answers: ${excerptOf(asked)}`;
  const earlier = before.length === 0 ? '' : lastUserText(before);
  return earlier === '' ? text : `${text} (before: ${excerptOf(earlier)})`;
}

function excerptOf(text: string): string {
  return text.slice(0, EXCERPT_LENGTH).toWellFormed();
}

/** The JSON a structured output is; undefined when free text was asked for. */
function structured(json: JsonObject, text: string): string | undefined {
  const settings = json['text'];
  const format = json['response_format'] ?? (isJsonObject(settings) ? settings['format'] : undefined);
  if (!isJsonObject(format)) {
    return undefined;
  }
  switch (format['type']) {
    case 'json_object':
      return JSON.stringify({ answer: text });
    case 'json_schema': {
      // Chat completions put the schema into json_schema, responses beside the type.
      const inner = format['json_schema'];
      return JSON.stringify(exampleOf((isJsonObject(inner) ? inner : format)['schema'], text));
    }
    default:
      return undefined;
  }
}

function tokensOfReasoning(json: JsonObject, isReasoningModel: boolean): number {
  const asked = json['reasoning'];
  const effort = isJsonObject(asked) ? textIn(asked, 'effort') : textIn(json, 'reasoning_effort');
  if (effort === undefined && !isReasoningModel && !isJsonObject(asked)) {
    return 0;
  }
  return reasoningTokens[effort ?? DEFAULT_EFFORT] ?? 0;
}

function choicesIn(json: JsonObject): number {
  const asked = numberIn(json, 'n');
  return asked !== undefined && asked >= 1 ? Math.min(MAX_CHOICES, Math.floor(asked)) : 1;
}

/** Only says where it was made; that is all the simulated resource needs to know its own. */
function encryptedBy(resourceName: string, id: string): string {
  return `gAAA${Buffer.from(`${resourceName}\n${id}`).toString('base64')}`;
}

export function isEncryptedBy(resourceName: string, content: string): boolean {
  return (
    content.startsWith('gAAA') && Buffer.from(content.slice(4), 'base64').toString().startsWith(`${resourceName}\n`)
  );
}
