// What a caller makes of what it received, as an SDK would: words, how it ended, an error's status and code.
import { gunzipSync } from 'node:zlib';
import type { Received } from '../support/http.ts';
import type { Form, Wanted } from './row.ts';

/** `patience`: the caller waited as long as it would and left. */
export interface Heard {
  readonly received: Received | undefined;
  readonly ending: 'whole' | 'cut' | 'patience' | 'no answer';
  /** Of the network, when there was no answer. */
  readonly code?: string;
}

export interface Reading {
  readonly status: number;
  readonly words: string;
  /** The end that the format has: JSON that parses, `[DONE]`, `response.completed`. */
  readonly isFinished: boolean;
  /** An error, as the body or as an event. */
  readonly error?: ToldError;
  readonly isFiltered: boolean;
  /** A response that was created, to be answered later. */
  readonly isQueued: boolean;
}

interface ToldError {
  readonly code: string;
  readonly message: string;
}

const NO_ANSWER: Reading = { status: 0, words: '', isFinished: false, isFiltered: false, isQueued: false };
const WHOLE_TEXT = /^openai[123] answers: Say hello\.$/;
const PADDED_TEXT = /^openai[123] answers: Say hello\./;

export function read({ received }: Heard): Reading {
  if (received === undefined) return NO_ANSWER;
  const { status, body, headers } = received;
  const text = (headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body).toString();
  const isStream = headers['content-type']?.startsWith('text/event-stream') === true;
  return isStream ? readStream(status, text) : readWhole(status, text);
}

function readWhole(status: number, text: string): Reading {
  const document = parsed(text);
  const error = errorIn(document, text);
  return {
    status,
    words: wordsOf(document),
    isFinished: document !== undefined,
    isFiltered: /"finish_reason": ?"content_filter"/.test(text),
    isQueued: textAt(document, 'status') === 'queued',
    ...(status >= 400 ? { error: error ?? { code: '', message: text } } : error === undefined ? {} : { error }),
  };
}

function readStream(status: number, text: string): Reading {
  const events = text
    .split(/\r?\n\r?\n/)
    .slice(0, -1)
    .flatMap((event) => /^data: ?(.*)$/m.exec(event)?.[1] ?? []);
  let words = '';
  let isFinished = false;
  let error: ToldError | undefined;
  for (const data of events) {
    const document = parsed(data);
    const type = textAt(document, 'type');
    if (data === '[DONE]' || type === 'response.completed') isFinished = true;
    if (type === 'response.output_text.delta') words += textAt(document, 'delta') ?? '';
    else if (type === undefined) words += wordsOf(document);
    error ??= errorIn(document, data);
    if (type === 'error' || type === 'response.failed') error ??= { code: type, message: data };
  }
  const isFiltered = text.includes('"finish_reason":"content_filter"');
  return { status, words, isFinished, isFiltered, isQueued: false, ...(error === undefined ? {} : { error }) };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function at(value: unknown, ...names: readonly (string | number)[]): unknown {
  let found = value;
  for (const name of names) {
    if (typeof found !== 'object' || found === null) return undefined;
    found = new Map<string, unknown>(Object.entries(found)).get(String(name));
  }
  return found;
}

function textAt(value: unknown, ...names: readonly (string | number)[]): string | undefined {
  const found = at(value, ...names);
  return typeof found === 'string' ? found : undefined;
}

/** Of a chat completion, a piece of one, or a response. */
function wordsOf(document: unknown): string {
  const choice = at(document, 'choices', 0);
  return (
    textAt(choice, 'message', 'content') ??
    textAt(choice, 'delta', 'content') ??
    textAt(document, 'output', 0, 'content', 0, 'text') ??
    ''
  );
}

function errorIn(document: unknown, text: string): ToldError | undefined {
  const error = at(document, 'error') ?? at(document, 'response', 'error');
  if (error === undefined || error === null) return undefined;
  return { code: textAt(error, 'code') ?? '', message: textAt(error, 'message') ?? text };
}

/** What the caller saw, in a few words. */
export function told({ received, ending, code: trouble = '' }: Heard, reading: Reading): string {
  const { status, words, isFinished, isQueued, error } = reading;
  if (received === undefined) return ending === 'patience' ? 'nothing at all' : `no answer (${trouble})`;
  const end =
    ending === 'patience'
      ? 'then silence'
      : ending === 'cut'
        ? 'then a broken connection'
        : isFinished
          ? 'and an end'
          : 'and an end in the middle';
  const code = error?.code === String(status) ? '' : (error?.code ?? '');
  if (status >= 400) return `${status} ${code}`.trim() + (ending === 'whole' ? '' : `, ${end}`);
  if (error !== undefined) return `${status}, ${countOf(words)}, then an error${code === '' ? '' : ` (${code})`}`;
  if (ending === 'whole' && isQueued) return `${status}, it is created`;
  if (ending === 'whole' && isFinished && words !== '') return `${status}, the whole answer`;
  return `${status}, ${countOf(words)}, ${end}`;
}

function countOf(words: string): string {
  const count = words.split(' ').filter((word) => word !== '').length;
  return count === 0 ? 'no word' : count === 1 ? '1 word' : `${count} words`;
}

/** Why a caller would not have it so; undefined when it would. */
export function missing(wanted: Wanted, heard: Heard, reading: Reading): string | undefined {
  const { ending } = heard;
  const { status, words, isFinished, error, isFiltered, isQueued } = reading;
  switch (wanted.kind) {
    case 'answer': {
      const { leastBytes } = wanted;
      if (ending !== 'whole' || status !== 200 || !isFinished || error !== undefined) return 'an answer';
      if (isQueued) return undefined;
      if (wanted.isFiltered === true) return isFiltered ? undefined : 'an answer that says that it was filtered';
      if (leastBytes !== undefined && words.length >= leastBytes) {
        return PADDED_TEXT.test(words) ? undefined : 'the words of one backend';
      }
      return WHOLE_TEXT.test(words) ? undefined : 'the words of one backend, all of them, once';
    }
    case 'refusal': {
      if (status === 200 && words === '' && error !== undefined) return undefined; // in-band, as an answer that began must
      if (status < 400) return 'an error that says so';
      if (!wanted.statuses.includes(status)) return `an error of ${wanted.statuses.join(', ')}`;
      if (ending === 'patience') return 'an end';
      return wanted.saysWhen === true && status !== 408 && !saysWhen(heard) ? 'a word on when to come back' : undefined;
    }
    case 'verdict':
      if (isWholeAnswer(heard, reading)) return undefined; // whoever asks another backend may be lucky
      if (ending !== 'whole' || status !== wanted.status) return `the backend's own ${wanted.status}`;
      return wanted.words.test(`${error?.code} ${error?.message}`) ? undefined : "the backend's own words";
    case 'no clean end':
      if (ending === 'patience') return 'an end';
      if (error !== undefined || ending !== 'whole' || isWholeAnswer(heard, reading)) return undefined;
      return 'an end that does not look like one';
    case 'not again':
      return ending === 'patience' ? 'an end' : undefined;
    default:
      return wanted satisfies never;
  }
}

function isWholeAnswer({ ending }: Heard, { status, words, isFinished, error }: Reading): boolean {
  return ending === 'whole' && status === 200 && isFinished && error === undefined && WHOLE_TEXT.test(words);
}

/** Seconds, milliseconds or a date. */
function saysWhen({ received }: Heard): boolean {
  const { 'retry-after': after = '', 'retry-after-ms': ms } = received?.headers ?? {};
  return Number(ms ?? after) > 0 || (/[a-z]/i.test(after) && Date.parse(after) > 0);
}

const SAY_HELLO = [{ role: 'user', content: 'Say hello.' }];

export function bodyOf(form: Form, model: string): object {
  switch (form) {
    case 'whole':
      return { model, messages: SAY_HELLO };
    case 'stream':
      return { model, messages: SAY_HELLO, stream: true };
    case 'response':
      return { model, input: 'Say hello.' };
    case 'response stream':
      return { model, input: 'Say hello.', stream: true };
    case 'background':
      return { model, input: 'Say hello.', background: true };
    default:
      return form satisfies never;
  }
}

export function isChat(form: Form): boolean {
  return form === 'whole' || form === 'stream';
}
