// The server-sent events of streamed answers, one text per event, made only as fast as they are sent.

import { chatUsage, contentFilterResults, promptFilterResults } from './answers.ts';
import type { Saying } from './answers.ts';
import {
  callItem,
  finalStatus,
  hasMessage,
  messageItem,
  reasoningItem,
  responseObject,
  summaryOf,
  summaryPart,
  textPart,
} from './response-object.ts';
import type { FailureShape, ThrottleShape } from '../scenario.ts';

const DONE = 'data: [DONE]\n\n';
const RATE_LIMIT_MESSAGE = 'Your requests to the deployment have exceeded rate limit.';
const SERVER_ERROR_MESSAGE = 'The server had an error while processing your request. Sorry about that!';

/** The deltas are of the text, or of the arguments when a function is called. */
export function* chatEvents(saying: Saying, deltas: Iterable<string>, includeUsage: boolean): Generator<string> {
  const { id, createdAt, model, call, choices } = saying;
  const isLegacy = saying.generation === 'legacy';
  const filter = isLegacy ? `"content_filter_results":${contentFilterResults},` : '';
  const usage = includeUsage ? ',"usage":null' : '';
  if (isLegacy) {
    // Azure's first chunk has no choices: it reports on the prompt.
    yield `data: {"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":${promptFilterResults}}\n\n`;
  }
  const head = `data: {"choices":[{`;
  const tail = `}],"created":${createdAt},"id":"chatcmpl-${id}","model":${JSON.stringify(model)},"object":"chat.completion.chunk","system_fingerprint":"fp_simulated"${usage}}\n\n`;
  const opening = call === undefined ? '"content":""' : '"content":null';
  for (let index = 0; index < choices; index += 1) {
    yield `${head}"delta":{${opening},"refusal":null,"role":"assistant"},"finish_reason":null,"index":${index},"logprobs":null${tail}`;
    if (call !== undefined) {
      yield `${head}"delta":{"tool_calls":[{"function":{"arguments":"","name":${JSON.stringify(call.name)}},"id":"call_${id}","index":0,"type":"function"}]},"finish_reason":null,"index":${index},"logprobs":null${tail}`;
    }
  }
  for (const delta of deltas) {
    const text = JSON.stringify(delta);
    const said =
      call === undefined ? `"content":${text}` : `"tool_calls":[{"function":{"arguments":${text}},"index":0}]`;
    for (let index = 0; index < choices; index += 1) {
      yield `${head}${filter}"delta":{${said}},"finish_reason":null,"index":${index},"logprobs":null${tail}`;
    }
  }
  for (let index = 0; index < choices; index += 1) {
    yield `${head}${filter}"delta":{},"finish_reason":"${saying.ending}","index":${index},"logprobs":null${tail}`;
  }
  if (includeUsage) {
    yield `data: {"choices":[],"created":${createdAt},"id":"chatcmpl-${id}","model":${JSON.stringify(model)},"object":"chat.completion.chunk","system_fingerprint":"fp_simulated","usage":${chatUsage(saying)}}\n\n`;
  }
  yield DONE;
}

export function* completionEvents(saying: Saying, deltas: Iterable<string>, includeUsage: boolean): Generator<string> {
  const { id, createdAt, model, choices } = saying;
  const head = `data: {"id":"cmpl-${id}","object":"text_completion","created":${createdAt},"model":${JSON.stringify(model)},"choices":[`;
  for (const delta of deltas) {
    for (let index = 0; index < choices; index += 1) {
      yield `${head}{"text":${JSON.stringify(delta)},"index":${index},"finish_reason":null,"logprobs":null}]}\n\n`;
    }
  }
  for (let index = 0; index < choices; index += 1) {
    yield `${head}{"text":"","index":${index},"finish_reason":"${saying.ending}","logprobs":null}]}\n\n`;
  }
  if (includeUsage) {
    yield `${head}],"usage":${chatUsage(saying)}}\n\n`;
  }
  yield DONE;
}

/** The deltas are of the text, or of the arguments when a function is called. */
export function* responseEvents(saying: Saying, deltas: Iterable<string>, keepsAlive = false): Generator<string> {
  let sequence = 0;
  for (const [type, rest] of responseParts(saying, deltas)) {
    if (keepsAlive && sequence > 0) {
      yield `event: keepalive\ndata: {"type":"keepalive","sequence_number":${sequence}}\n\n`;
      sequence += 1;
    }
    yield `event: ${type}\ndata: {"type":"${type}","sequence_number":${sequence},${rest}}\n\n`;
    sequence += 1;
  }
}

type EventParts = readonly [type: string, rest: string];

function* responseParts(saying: Saying, deltas: Iterable<string>): Generator<EventParts> {
  const started = responseObject(saying, { status: 'in_progress' });
  yield ['response.created', `"response":${started}`];
  if (saying.body['background'] === true) {
    yield ['response.queued', `"response":${responseObject(saying, { status: 'queued' })}`];
  }
  yield ['response.in_progress', `"response":${started}`];
  let index = 0;
  if (saying.reasoningTokens > 0) {
    yield* reasoningParts(saying, index);
    index += 1;
  }
  if (saying.call !== undefined) {
    yield* callParts(saying, index, deltas);
  } else if (hasMessage(saying)) {
    yield* messageParts(saying, index, deltas);
  }
  const status = finalStatus(saying);
  yield [`response.${status}`, `"response":${responseObject(saying, { status })}`];
}

function* reasoningParts(saying: Saying, index: number): Generator<EventParts> {
  const summary = summaryOf(saying);
  yield ['response.output_item.added', `"output_index":${index},"item":${reasoningItem(saying, 'in_progress')}`];
  if (summary !== undefined) {
    const at = `"item_id":"rs_${saying.id}","output_index":${index},"summary_index":0`;
    const text = JSON.stringify(summary);
    yield ['response.reasoning_summary_part.added', `${at},"part":${summaryPart('')}`];
    yield ['response.reasoning_summary_text.delta', `${at},"delta":${text}`];
    yield ['response.reasoning_summary_text.done', `${at},"text":${text}`];
    yield ['response.reasoning_summary_part.done', `${at},"part":${summaryPart(summary)}`];
  }
  yield ['response.output_item.done', `"output_index":${index},"item":${reasoningItem(saying, 'completed')}`];
}

function* callParts(saying: Saying, index: number, deltas: Iterable<string>): Generator<EventParts> {
  const at = `"item_id":"fc_${saying.id}","output_index":${index}`;
  yield ['response.output_item.added', `"output_index":${index},"item":${callItem(saying, 'in_progress')}`];
  for (const delta of deltas) {
    yield ['response.function_call_arguments.delta', `${at},"delta":${JSON.stringify(delta)}`];
  }
  const written = JSON.stringify(saying.call?.arguments ?? '');
  yield ['response.function_call_arguments.done', `${at},"arguments":${written}`];
  yield ['response.output_item.done', `"output_index":${index},"item":${callItem(saying, 'completed')}`];
}

function* messageParts(saying: Saying, index: number, deltas: Iterable<string>): Generator<EventParts> {
  const at = `"item_id":"msg_${saying.id}","output_index":${index},"content_index":0`;
  yield ['response.output_item.added', `"output_index":${index},"item":${messageItem(saying, 'in_progress')}`];
  yield ['response.content_part.added', `${at},"part":${textPart('')}`];
  for (const delta of deltas) {
    yield ['response.output_text.delta', `${at},"delta":${JSON.stringify(delta)},"logprobs":[]`];
  }
  yield ['response.output_text.done', `${at},"text":${JSON.stringify(saying.text)},"logprobs":[]`];
  yield ['response.content_part.done', `${at},"part":${textPart(saying.text)}`];
  yield ['response.output_item.done', `"output_index":${index},"item":${messageItem(saying, finalStatus(saying))}`];
}

/** The text in so many pieces, fewer when it has fewer characters. */
export function* deltasOf(text: string, wanted: number): Generator<string> {
  const count = Math.min(wanted, text.length);
  for (let at = 0; at < count; at += 1) {
    yield text.slice(Math.floor((at * text.length) / count), Math.floor(((at + 1) * text.length) / count));
  }
}

/** A 429 that comes inside a 200, in the three shapes that were seen. */
export function* throttledEvents(saying: Saying, shape: ThrottleShape): Generator<string> {
  switch (shape) {
    case 'error-event': {
      // The failed response carries no code; only the event after it does: https://github.com/earendil-works/pi/issues/7983
      const failed = responseObject(saying, { status: 'failed' });
      yield `event: response.failed\ndata: {"type":"response.failed","response":${failed},"sequence_number":1}\n\n`;
      yield `event: error\ndata: {"type":"error","error":{"type":"too_many_requests","code":"rate_limit_exceeded","headers":{"x-ms-fe-error":"true"},"message":"${RATE_LIMIT_MESSAGE}"},"sequence_number":2}\n\n`;
      return;
    }
    case 'response-failed': {
      // Created, then at once failed with the code inside: https://github.com/earendil-works/pi/issues/1935
      const created = responseObject(saying, { status: 'in_progress' });
      const error = `{"code":"rate_limit_exceeded","message":"${RATE_LIMIT_MESSAGE}"}`;
      const failed = responseObject(saying, { status: 'failed', error });
      yield `event: response.created\ndata: {"type":"response.created","sequence_number":0,"response":${created}}\n\n`;
      yield `event: response.failed\ndata: {"type":"response.failed","sequence_number":1,"response":${failed}}\n\n`;
      return;
    }
    case 'chat-error':
      yield `data: {"error":{"message":"That model is currently overloaded with other requests. You can retry your request.","type":"server_error","param":null,"code":null}}\n\n`;
      return;
    default:
      shape satisfies never;
  }
}

/** So many of the events, never the last of them, and then the error that the model failed with. */
export function* failedEvents(
  events: Iterable<string>,
  { afterChunks, shape = 'error-event' }: { readonly afterChunks: number; readonly shape?: FailureShape },
  response: Saying | undefined,
): Generator<string> {
  let sent = 0;
  let held: string | undefined;
  for (const event of events) {
    if (sent === afterChunks) {
      break;
    }
    if (held !== undefined) {
      yield held;
      sent += 1;
    }
    held = event;
  }
  yield response === undefined ? chatFailure : responseFailure(response, shape, sent);
}

const chatFailure = `data: {"error":{"message":"${SERVER_ERROR_MESSAGE}","type":"server_error","param":null,"code":null}}\n\n`;

function responseFailure(saying: Saying, shape: FailureShape, sequence: number): string {
  if (shape === 'response-failed') {
    const error = `{"code":"server_error","message":"${SERVER_ERROR_MESSAGE}"}`;
    const failed = responseObject(saying, { status: 'failed', error });
    return `event: response.failed\ndata: {"type":"response.failed","sequence_number":${sequence},"response":${failed}}\n\n`;
  }
  return `event: error\ndata: {"type":"error","error":{"type":"server_error","code":"server_error","message":"${SERVER_ERROR_MESSAGE}","param":null},"sequence_number":${sequence}}\n\n`;
}
