// The server-sent events of streamed answers, one text per event, made only as fast as they are sent.

import {
  chatUsage,
  contentFilterResults,
  promptFilterResults,
  responseContent,
  responseMessage,
  responseObject,
} from './answers.ts';
import type { Saying } from './answers.ts';
import type { ThrottleShape } from './scenario.ts';

const DONE = 'data: [DONE]\n\n';
const RATE_LIMIT_MESSAGE = 'Your requests to the deployment have exceeded rate limit.';

export function* chatEvents(saying: Saying, deltas: Iterable<string>, includeUsage: boolean): Generator<string> {
  const isLegacy = saying.generation === 'legacy';
  const filter = isLegacy ? `"content_filter_results":${contentFilterResults},` : '';
  const usage = includeUsage ? ',"usage":null' : '';
  if (isLegacy) {
    // Azure's first chunk has no choices: it reports on the prompt.
    yield `data: {"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":${promptFilterResults}}\n\n`;
  }
  const head = `data: {"choices":[{`;
  const tail = `}],"created":${saying.createdAt},"id":"chatcmpl-${saying.id}","model":${JSON.stringify(saying.model)},"object":"chat.completion.chunk","system_fingerprint":"fp_simulated"${usage}}\n\n`;
  yield `${head}"delta":{"content":"","refusal":null,"role":"assistant"},"finish_reason":null,"index":0,"logprobs":null${tail}`;
  for (const delta of deltas) {
    yield `${head}${filter}"delta":{"content":${JSON.stringify(delta)}},"finish_reason":null,"index":0,"logprobs":null${tail}`;
  }
  yield `${head}${filter}"delta":{},"finish_reason":"stop","index":0,"logprobs":null${tail}`;
  if (includeUsage) {
    yield `data: {"choices":[],"created":${saying.createdAt},"id":"chatcmpl-${saying.id}","model":${JSON.stringify(saying.model)},"object":"chat.completion.chunk","system_fingerprint":"fp_simulated","usage":${chatUsage(saying)}}\n\n`;
  }
  yield DONE;
}

export function* completionEvents(saying: Saying, deltas: Iterable<string>, includeUsage: boolean): Generator<string> {
  const head = `data: {"id":"cmpl-${saying.id}","object":"text_completion","created":${saying.createdAt},"model":${JSON.stringify(saying.model)},"choices":[`;
  for (const delta of deltas) {
    yield `${head}{"text":${JSON.stringify(delta)},"index":0,"finish_reason":null,"logprobs":null}]}\n\n`;
  }
  yield `${head}{"text":"","index":0,"finish_reason":"stop","logprobs":null}]}\n\n`;
  if (includeUsage) {
    yield `${head}],"usage":${chatUsage(saying)}}\n\n`;
  }
  yield DONE;
}

export function* responseEvents(saying: Saying, deltas: Iterable<string>): Generator<string> {
  const started = responseObject(saying, { status: 'in_progress', output: '[]' });
  const at = `"item_id":"msg_${saying.id}","output_index":0,"content_index":0`;
  let sequence = 0;
  const event = (type: string, rest: string): string => {
    const text = `event: ${type}\ndata: {"type":"${type}","sequence_number":${sequence},${rest}}\n\n`;
    sequence += 1;
    return text;
  };
  yield event('response.created', `"response":${started}`);
  yield event('response.in_progress', `"response":${started}`);
  yield event('response.output_item.added', `"output_index":0,"item":${responseMessage(saying, 'in_progress')}`);
  yield event('response.content_part.added', `${at},"part":${responseContent('')}`);
  for (const delta of deltas) {
    yield event('response.output_text.delta', `${at},"delta":${JSON.stringify(delta)},"logprobs":[]`);
  }
  yield event('response.output_text.done', `${at},"text":${JSON.stringify(saying.text)},"logprobs":[]`);
  yield event('response.content_part.done', `${at},"part":${responseContent(saying.text)}`);
  yield event('response.output_item.done', `"output_index":0,"item":${responseMessage(saying, 'completed')}`);
  const output = `[${responseMessage(saying, 'completed')}]`;
  yield event('response.completed', `"response":${responseObject(saying, { status: 'completed', output })}`);
}

/** A 429 that comes inside a 200, in the three shapes that were seen. */
export function* throttledEvents(saying: Saying, shape: ThrottleShape): Generator<string> {
  switch (shape) {
    case 'error-event': {
      // The failed response carries no code; only the event after it does: https://github.com/earendil-works/pi/issues/7983
      const failed = responseObject(saying, { status: 'failed', output: '[]' });
      yield `event: response.failed\ndata: {"type":"response.failed","response":${failed},"sequence_number":1}\n\n`;
      yield `event: error\ndata: {"type":"error","error":{"type":"too_many_requests","code":"rate_limit_exceeded","headers":{"x-ms-fe-error":"true"},"message":"${RATE_LIMIT_MESSAGE}"},"sequence_number":2}\n\n`;
      return;
    }
    case 'response-failed': {
      // Created, then at once failed with the code inside: https://github.com/earendil-works/pi/issues/1935
      const created = responseObject(saying, { status: 'in_progress', output: '[]' });
      const error = `{"code":"rate_limit_exceeded","message":"${RATE_LIMIT_MESSAGE}"}`;
      const failed = responseObject(saying, { status: 'failed', output: '[]', error });
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
