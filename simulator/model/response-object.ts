// The response object of the responses API and the items of its output, written as text.

import type { Saying } from './answers.ts';
import { isJsonObject, textIn } from '../answering/json.ts';
import type { JsonObject } from '../answering/json.ts';

export type ResponseStatus = 'queued' | 'in_progress' | 'completed' | 'incomplete' | 'failed' | 'cancelled';
type ItemStatus = 'in_progress' | 'completed' | 'incomplete';

/** What a response repeats from its request, and what it says where the request said nothing. */
const repeatedKeys: readonly (readonly [string, string])[] = [
  ['background', 'false'],
  ['instructions', 'null'],
  ['max_output_tokens', 'null'],
  ['max_tool_calls', 'null'],
  ['metadata', '{}'],
  ['parallel_tool_calls', 'true'],
  ['previous_response_id', 'null'],
  ['prompt_cache_key', 'null'],
  ['safety_identifier', 'null'],
  ['service_tier', '"default"'],
  ['store', 'true'],
  ['temperature', '1.0'],
  ['text', '{"format":{"type":"text"}}'],
  ['tool_choice', '"auto"'],
  ['tools', '[]'],
  ['top_p', '1.0'],
  ['truncation', '"disabled"'],
  ['user', 'null'],
];

/** A limit of tokens or a filter that cuts a response short leaves it incomplete. */
export function finalStatus({ ending }: Saying): 'completed' | 'incomplete' {
  return ending === 'length' || ending === 'content_filter' ? 'incomplete' : 'completed';
}

/** The finished response. */
export function response(saying: Saying): string {
  return responseObject(saying, { status: finalStatus(saying) });
}

/** A response that is finished has its output and its usage; before that and when it failed it has neither. */
export function responseObject(
  saying: Saying,
  state: { readonly status: ResponseStatus; readonly error?: string },
): string {
  const { id, createdAt, model, body } = saying;
  const { status } = state;
  const isFinished = status === 'completed' || status === 'incomplete';
  const output = isFinished ? `[${outputItems(saying).join(',')}]` : '[]';
  const usage = isFinished ? responseUsage(saying) : 'null';
  const reason = saying.ending === 'length' ? 'max_output_tokens' : saying.ending;
  const incomplete = status === 'incomplete' ? `{"reason":"${reason}"}` : 'null';
  return `{"id":"resp_${id}","object":"response","created_at":${createdAt},"status":"${status}","error":${state.error ?? 'null'},"incomplete_details":${incomplete},"model":${JSON.stringify(model)},"output":${output},"usage":${usage},"reasoning":${reasoningOf(body)},"conversation":${conversationOf(body)}${repeatedFrom(body)}}`;
}

function responseUsage({ promptTokens, cachedTokens, answerTokens, reasoningTokens }: Saying): string {
  const outputTokens = answerTokens + reasoningTokens;
  return `{"input_tokens":${promptTokens},"input_tokens_details":{"cached_tokens":${cachedTokens}},"output_tokens":${outputTokens},"output_tokens_details":{"reasoning_tokens":${reasoningTokens}},"total_tokens":${promptTokens + outputTokens}}`;
}

const repeatedByDefault = repeatedKeys.map(([key, otherwise]) => `,"${key}":${otherwise}`).join('');

function repeatedFrom(body: JsonObject): string {
  if (!repeatedKeys.some(([key]) => body[key] !== undefined)) {
    return repeatedByDefault; // most requests say none of it
  }
  let text = '';
  for (const [key, otherwise] of repeatedKeys) {
    const value = body[key];
    text += `,"${key}":${value === undefined || value === null ? otherwise : JSON.stringify(value)}`;
  }
  return text;
}

function reasoningOf(body: JsonObject): string {
  const asked = body['reasoning'];
  return isJsonObject(asked)
    ? JSON.stringify({ effort: null, summary: null, ...asked })
    : '{"effort":null,"summary":null}';
}

/** A conversation is named by its id or by an object with it. */
export function conversationIdIn(body: JsonObject): string | undefined {
  const asked = body['conversation'];
  return typeof asked === 'string' ? asked : isJsonObject(asked) ? textIn(asked, 'id') : undefined;
}

function conversationOf(body: JsonObject): string {
  const id = conversationIdIn(body);
  return id === undefined ? 'null' : JSON.stringify({ id });
}

/** The items of a finished response, in order. */
export function outputItems(saying: Saying): readonly string[] {
  const items: string[] = [];
  if (saying.reasoningTokens > 0) {
    items.push(reasoningItem(saying, 'completed'));
  }
  if (saying.call !== undefined) {
    items.push(callItem(saying, 'completed'));
  } else if (hasMessage(saying)) {
    items.push(messageItem(saying, finalStatus(saying)));
  }
  return items;
}

/** Nothing is said when the reasoning used up all tokens. */
export function hasMessage(saying: Saying): boolean {
  return saying.call === undefined && saying.answerTokens > 0;
}

export function messageItem({ id, text }: Saying, status: ItemStatus): string {
  const content = status === 'in_progress' ? '[]' : `[${textPart(text)}]`;
  return `{"id":"msg_${id}","type":"message","status":"${status}","content":${content},"role":"assistant"}`;
}

export function textPart(text: string): string {
  return `{"type":"output_text","annotations":[],"logprobs":[],"text":${JSON.stringify(text)}}`;
}

export function callItem({ id, call }: Saying, status: ItemStatus): string {
  const written = status === 'in_progress' ? '' : (call?.arguments ?? '');
  return `{"id":"fc_${id}","type":"function_call","status":"${status}","arguments":${JSON.stringify(written)},"call_id":"call_${id}","name":${JSON.stringify(call?.name ?? '')}}`;
}

export function reasoningItem(saying: Saying, status: ItemStatus): string {
  const summary = status === 'in_progress' ? undefined : summaryOf(saying);
  const parts = summary === undefined ? '[]' : `[${summaryPart(summary)}]`;
  const { include } = saying.body;
  const isSealed = Array.isArray(include) && include.includes('reasoning.encrypted_content');
  const sealed = isSealed ? `,"encrypted_content":${JSON.stringify(saying.encryptedReasoning)}` : '';
  return `{"id":"rs_${saying.id}","type":"reasoning","summary":${parts}${sealed}}`;
}

export function summaryPart(text: string): string {
  return `{"type":"summary_text","text":${JSON.stringify(text)}}`;
}

/** The summary of the reasoning, when one was asked for. */
export function summaryOf({ body, reasoningTokens }: Saying): string | undefined {
  const asked = body['reasoning'];
  return isJsonObject(asked) && textIn(asked, 'summary') !== undefined
    ? `Thought for ${reasoningTokens} tokens.`
    : undefined;
}
