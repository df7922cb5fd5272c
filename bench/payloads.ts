// What goes over the wire, known to both ends so that every answer can be checked byte for byte: a chat completion of
// 1.5 KB each way, and server-sent events of a fixed size that carry a number and the time they were sent.

const plainBytes = 1536;
export const doneEvent = 'data: [DONE]\n\n';
const model = 'gpt-5.4-mini';
const stampDigits = 17;
const numberDigits = 8;

export interface StreamRequest {
  readonly chunks: number;
  readonly intervalMs: number;
  readonly chunkBytes: number;
}

export interface StreamEvent {
  readonly number: number;
  readonly sentAtUs: number;
}

export const plainRequestBody = padded(
  (padding) => JSON.stringify({ model, messages: [{ role: 'user', content: padding }] }),
  plainBytes,
);

export const plainResponseBody = padded(
  (padding) =>
    JSON.stringify({
      id: 'chatcmpl-bench',
      object: 'chat.completion',
      created: 1_790_000_000,
      model,
      choices: [{ index: 0, finish_reason: 'stop', message: { role: 'assistant', content: padding } }],
      usage: { prompt_tokens: 320, completion_tokens: 290, total_tokens: 610 },
    }),
  plainBytes,
);

export function streamRequestBody({ chunks, intervalMs, chunkBytes }: StreamRequest): string {
  const messages = [{ role: 'user', content: 'Tell me a story.' }];
  return JSON.stringify({ model, messages, stream: true, bench: { chunks, intervalMs, chunkBytes } });
}

/** The stream a request body asks for, or undefined when it wants the plain answer. */
export function readStreamRequest(body: string): StreamRequest | undefined {
  if (!body.includes('"stream":true')) return undefined;
  const request: unknown = JSON.parse(body);
  const wanted = field(request, 'bench');
  const [chunks, intervalMs, chunkBytes] = ['chunks', 'intervalMs', 'chunkBytes'].map((key) =>
    Number(field(wanted, key)),
  );
  if (!chunks || !intervalMs || !chunkBytes) return undefined;
  return { chunks, intervalMs, chunkBytes };
}

/** CLOCK_MONOTONIC in microseconds: the same clock in every process of the machine. */
export function monotonicUs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1e6 + nanoseconds / 1e3;
}

const eventStart = 'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1790000000,';
const eventMiddle = `"model":"${model}","choices":[{"index":0,"finish_reason":null,"delta":{"content":"`;
const contentAt = eventStart.length + eventMiddle.length;

export function streamEvent(event: StreamEvent, bytes: number): string {
  const number = String(event.number).padStart(numberDigits, '0');
  const stamp = String(Math.floor(event.sentAtUs)).padStart(stampDigits, '0');
  const start = `${eventStart}${eventMiddle}${number} ${stamp} `;
  const end = '"}}]}\n\n';
  return start + '.'.repeat(Math.max(0, bytes - start.length - end.length)) + end;
}

/** The event without its blank line; undefined when it is not one of ours, for example a keep-alive comment. */
export function readStreamEvent(text: string): StreamEvent | undefined {
  if (!text.startsWith(eventStart)) return undefined;
  const stampAt = contentAt + numberDigits + 1;
  return {
    number: Number(text.slice(contentAt, contentAt + numberDigits)),
    sentAtUs: Number(text.slice(stampAt, stampAt + stampDigits)),
  };
}

/** The event as a gateway wrote it anew; undefined when it has no content of ours. */
export function readRewrittenEvent(text: string): StreamEvent | undefined {
  const content = text.startsWith('data: {') ? contentOf(text.slice('data: '.length), 'delta') : undefined;
  const [, number, stamp] = /^(\d+) (\d+) /.exec(content ?? '') ?? [];
  return number === undefined ? undefined : { number: Number(number), sentAtUs: Number(stamp) };
}

/** What the model said in an answer or in an event of a stream. */
export function contentOf(json: string, holder: 'message' | 'delta'): string | undefined {
  try {
    const content = field(field(field(field(JSON.parse(json), 'choices'), '0'), holder), 'content');
    return typeof content === 'string' ? content : undefined;
  } catch {
    return undefined;
  }
}

function field(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined;
}

function padded(build: (padding: string) => string, bytes: number): string {
  return build('x'.repeat(bytes - build('').length));
}
