// Is this the answer that the request was to get, and all of it? The simulated model's words depend on the question and on
// the resource alone, so every answer can be foretold. Pure.
import { gunzipSync } from 'node:zlib';
import { embeddings, modelList } from '../../simulator/model/answers.ts';
import { AUDIO_MODEL, DEPLOYMENTS, EMBEDDING_MODEL } from './traffic.ts';
import type { Expected } from './traffic.ts';

/** What came back. */
export interface Received {
  /** 0 when no head came. */
  readonly status: number;
  /** Names in small letters. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
  /** cut: the connection ended before the answer did. late: it was given up on. */
  readonly end: 'whole' | 'cut' | 'late';
  /** Of the connection, where it failed. */
  readonly error?: string;
}

export type Finding =
  | { readonly kind: 'right' }
  /** All of it, and filler behind it: a resource was told to give a large answer. */
  | { readonly kind: 'padded' }
  /** The model's words end where a filter cut them. */
  | { readonly kind: 'filtered' }
  /** 503 that says when to come again. */
  | { readonly kind: 'shed' }
  /** A stream that did not come to its end. `isTold`: an error stands in it. `hasContent`: after something was said. */
  | { readonly kind: 'broken'; readonly hasContent: boolean; readonly isTold: boolean; readonly detail: string }
  | { readonly kind: 'refused'; readonly status: number; readonly code: string }
  | { readonly kind: 'wrong'; readonly detail: string };

const RIGHT: Finding = { kind: 'right' };
/** Events of a response that say nothing of its content. */
const BEFORE_CONTENT: ReadonlySet<string> = new Set([
  'response.created',
  'response.queued',
  'response.in_progress',
  'keepalive',
]);
/** Enough of an answer to be recognised by. */
const SHOWN = 200;

export function checkAnswer(expected: Expected, received: Received): Finding {
  const { status, end, headers, error } = received;
  if (end !== 'whole' && (status !== 200 || !isEventStream(received))) {
    return wrong(
      `${end} after ${received.body.length} bytes of status ${status}${error === undefined ? '' : `: ${error}`}`,
    );
  }
  if (expected.kind === 'refusal') return checkRefusal(expected, received);
  if (status === 200) return isEventStream(received) ? checkStream(expected, received) : checkWhole(expected, received);
  const code = errorCode(received.body.toString());
  if (status === 503 && headers.has('retry-after') && code.startsWith('too_many_')) return { kind: 'shed' };
  return { kind: 'refused', status, code };
}

/** For the few that are shown. */
export function shown({ status, headers, body, end, error }: Received): string {
  const trace = headers.get('x-balancer-trace') ?? '';
  const text = body.toString('latin1');
  const tail = text.length > SHOWN ? `… ${text.slice(-SHOWN)}` : '';
  return JSON.stringify({ status, end, error, trace, bytes: body.length, body: text.slice(0, SHOWN) + tail });
}

function checkRefusal(expected: Extract<Expected, { kind: 'refusal' }>, received: Received): Finding {
  const { status, body, headers } = received;
  const code = errorCode(body.toString());
  if (status === 503 && headers.has('retry-after') && code.startsWith('too_many_')) return { kind: 'shed' };
  if (expected.orElse?.includes(status) === true) return RIGHT;
  if (status !== expected.status) return { kind: 'refused', status, code };
  return expected.code === undefined || code === expected.code ? RIGHT : wrong(`code ${code}`);
}

function errorCode(text: string): string {
  const error = field(parsed(text), 'error');
  return stringIn(error, 'code') ?? stringIn(error, 'type') ?? '';
}

function checkWhole(expected: Expected, received: Received): Finding {
  const text = textOf(received);
  const value = parsed(text);
  if (value === undefined) return wrong('no JSON');
  switch (expected.kind) {
    case 'chat': {
      const choices = listIn(value, 'choices');
      const said = choices.map((choice) => stringIn(field(choice, 'message'), 'content'));
      const ending = choices.map((choice) => field(choice, 'finish_reason'));
      return sayings(expected, expected.stream, said, ending, received);
    }
    case 'response': {
      const ending = [field(value, 'status') === 'completed' ? 'stop' : 'content_filter'];
      return sayings({ ...expected, choices: 1 }, expected.stream, [outputText(value)], ending, received);
    }
    case 'embeddings': {
      const { inputs, dimensions, base64 } = expected;
      const body = { input: inputs, dimensions, ...(base64 ? { encoding_format: 'base64' } : {}) };
      const right: unknown = field(parsed(embeddings(body, EMBEDDING_MODEL, 0)), 'data');
      return JSON.stringify(field(value, 'data')) === JSON.stringify(right)
        ? rightOrPadded(text.endsWith(' '))
        : wrong('other vectors');
    }
    case 'transcript': {
      if (expected.stream) return wrong('no stream');
      const said = stringIn(value, 'text') ?? '';
      const isRight = said === heard(expected.bytes, said, received);
      return isRight ? rightOrPadded(text.endsWith(' ')) : wrong('another transcript');
    }
    case 'models':
      return text.trimEnd() === modelList([...new Set(Object.values(DEPLOYMENTS))]) ? RIGHT : wrong('other models');
    case 'refusal':
      return wrong('an answer to what nobody can answer');
    default:
      return expected satisfies never;
  }
}

interface Told {
  readonly excerpt: string;
  readonly choices: number;
}

function sayings(
  { excerpt, choices }: Told,
  isStreamWanted: boolean,
  said: readonly (string | undefined)[],
  endings: readonly unknown[],
  received: Received,
): Finding {
  if (isStreamWanted) return wrong('no stream');
  if (said.length !== choices) return wrong(`${said.length} choices`);
  const found = said.map((text, index) => judgeSaying(text ?? '', endings[index], excerpt, received));
  return worst(found);
}

function judgeSaying(text: string, ending: unknown, excerpt: string, received: Received): Finding {
  const right = answerTo(excerpt, text, received);
  if (ending === 'content_filter') {
    return text.length < right.length && right.startsWith(text) ? { kind: 'filtered' } : wrong('filtered otherwise');
  }
  if (ending !== 'stop') return wrong(`ended with ${String(ending)}`);
  if (text === right) return RIGHT;
  return text.startsWith(right) && /^x+$/.test(text.slice(right.length)) ? { kind: 'padded' } : wrong('another text');
}

function answerTo(excerpt: string, said: string, received: Received): string {
  return `${speaker(said, received)} answers: ${excerpt}`;
}

function heard(bytes: number, said: string, received: Received): string {
  return `${speaker(said, received)} heard ${bytes} bytes with ${AUDIO_MODEL}`;
}

/** Who answers, as the header says; a head that went out early, with keep-alives, could not know, and then the words do. */
function speaker(said: string, { headers }: Received): string {
  return headers.get('x-balancer-backend') ?? /^openai[123](?= )/.exec(said)?.[0] ?? '';
}

function worst(found: readonly Finding[]): Finding {
  return found.find(({ kind }) => kind === 'wrong') ?? found.find(({ kind }) => kind !== 'right') ?? RIGHT;
}

function rightOrPadded(isPadded: boolean): Finding {
  return isPadded ? { kind: 'padded' } : RIGHT;
}

interface StreamEvent {
  readonly name: string;
  readonly data: string;
}

function checkStream(expected: Expected, received: Received): Finding {
  const text = textOf(received);
  const events = eventsIn(text);
  const failure = events.find(isError);
  switch (expected.kind) {
    case 'chat': {
      const { texts, endings } = chatSaid(events, expected.choices);
      const hasDone = events.at(-1)?.data === '[DONE]';
      return streamed(expected, { texts, endings, failure, isComplete: hasDone }, received);
    }
    case 'response': {
      const said = events.filter(({ name }) => name === 'response.output_text.delta');
      const last = parsed(events.at(-1)?.data ?? '');
      const status = field(field(last, 'response'), 'status');
      const isComplete = status === 'completed' || status === 'incomplete';
      const told = outputText(field(last, 'response'));
      const delta = said.map(({ data }) => stringIn(parsed(data), 'delta') ?? '').join('');
      if (isComplete && told !== delta) return wrong('the end says something else than the deltas');
      const ending = status === 'incomplete' ? 'content_filter' : 'stop';
      const hasBegun = events.some((event) => !BEFORE_CONTENT.has(event.name) && !isError(event));
      const parts = { texts: [delta], endings: [isComplete ? ending : undefined], failure, isComplete, hasBegun };
      return streamed({ ...expected, choices: 1 }, parts, received);
    }
    case 'transcript': {
      const isComplete = events.at(-1)?.name === 'transcript.text.done';
      const delta = events
        .filter(({ name }) => name === 'transcript.text.delta')
        .map(({ data }) => stringIn(parsed(data), 'delta') ?? '')
        .join('');
      const right = heard(expected.bytes, delta, received);
      if (!right.startsWith(delta)) return wrong('another transcript');
      return isComplete && failure === undefined && received.end === 'whole'
        ? rightIf(delta === right)
        : broken(delta !== '', failure, received);
    }
    case 'embeddings':
    case 'models':
    case 'refusal':
      return wrong(`a stream for ${expected.kind}`);
    default:
      return expected satisfies never;
  }
}

interface StreamParts {
  readonly texts: readonly string[];
  readonly endings: readonly unknown[];
  readonly failure: StreamEvent | undefined;
  readonly isComplete: boolean;
  /** Something was said, though maybe no word yet: an item was begun. */
  readonly hasBegun?: boolean;
}

function streamed(told: Told & { readonly stream: boolean }, parts: StreamParts, received: Received): Finding {
  const { texts, endings, failure, isComplete, hasBegun = false } = parts;
  if (!told.stream) return wrong('a stream that nobody asked for');
  if (isComplete && failure === undefined && received.end === 'whole') {
    return sayings(told, false, texts, endings, received);
  }
  const isBeginning = texts.every((text) => isBeginningOf(text, answerTo(told.excerpt, text, received)));
  if (!isBeginning) return wrong('a broken stream with another text');
  return broken(hasBegun || texts.some((text) => text !== ''), failure, received);
}

/** The name itself may be cut, where no header says it. */
function isBeginningOf(text: string, right: string): boolean {
  if (right.startsWith(' ')) return /^o?p?e?n?a?i?[123]?$/.test(text);
  return right.startsWith(text) || (text.startsWith(right) && /^x*$/.test(text.slice(right.length)));
}

function broken(hasContent: boolean, failure: StreamEvent | undefined, { end }: Received): Finding {
  const detail = `${end}${failure === undefined ? '' : `, ${failure.data.slice(0, SHOWN)}`}`;
  return { kind: 'broken', hasContent, isTold: failure !== undefined, detail };
}

function rightIf(isRight: boolean): Finding {
  return isRight ? RIGHT : wrong('another text');
}

function chatSaid(
  events: readonly StreamEvent[],
  choices: number,
): { readonly texts: readonly string[]; readonly endings: readonly unknown[] } {
  const texts = Array.from({ length: choices }, () => '');
  const endings: unknown[] = Array.from({ length: choices }, () => undefined);
  for (const { data } of events) {
    for (const choice of listIn(parsed(data), 'choices')) {
      const index = Number(field(choice, 'index'));
      texts[index] = (texts[index] ?? '') + (stringIn(field(choice, 'delta'), 'content') ?? '');
      endings[index] = field(choice, 'finish_reason') ?? endings[index];
    }
  }
  return { texts, endings };
}

/** Comments are left out; what has no blank line behind it is no event. */
function eventsIn(text: string): StreamEvent[] {
  const pieces = text.split('\n\n');
  const events: StreamEvent[] = [];
  for (const piece of pieces.slice(0, -1)) {
    let name = '';
    let data = '';
    for (const line of piece.split('\n')) {
      if (line.startsWith('data: ')) data = line.slice(6);
      else if (line.startsWith('event: ')) name = line.slice(7);
    }
    if (data !== '') events.push({ name, data });
  }
  return events;
}

function isError({ name, data }: StreamEvent): boolean {
  if (name === 'error' || name === 'response.failed') return true;
  return data.startsWith('{"error"');
}

function outputText(response: unknown): string | undefined {
  for (const item of listIn(response, 'output')) {
    const part = listIn(item, 'content')[0];
    if (part !== undefined) return stringIn(part, 'text');
  }
  return undefined;
}

function isEventStream({ headers }: Received): boolean {
  return headers.get('content-type')?.startsWith('text/event-stream') === true;
}

function textOf({ headers, body }: Received): string {
  if (headers.get('content-encoding') !== 'gzip') return body.toString();
  try {
    return gunzipSync(body).toString();
  } catch {
    return '';
  }
}

function wrong(detail: string): Finding {
  return { kind: 'wrong', detail };
}

function parsed(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return value;
  } catch {
    return undefined;
  }
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}

function stringIn(value: unknown, name: string): string | undefined {
  const found = field(value, name);
  return typeof found === 'string' ? found : undefined;
}

function listIn(value: unknown, name: string): readonly unknown[] {
  const found = field(value, name);
  return Array.isArray(found) ? found : [];
}
