// What callers ask: each request is drawn from the seed and its number, so that one that went wrong can be found again.
// Pure.
import { between, randomOf } from '../random.ts';

export const CHAT_MODEL = 'gpt-5.4-mini';
export const EMBEDDING_MODEL = 'text-embedding-3-large';
export const AUDIO_MODEL = 'gpt-4o-transcribe';
/** What the resources have. The balancer keeps a state for each of them at each backend. */
export const DEPLOYMENTS: Readonly<Record<string, string>> = {
  'chat-1': CHAT_MODEL,
  'chat-2': CHAT_MODEL,
  'chat-3': CHAT_MODEL,
  'chat-4': CHAT_MODEL,
  'embed-1': EMBEDDING_MODEL,
  'audio-1': AUDIO_MODEL,
};
export const ALIASES = 'chat=chat-1';
export const CLIENT_KEYS = ['soak-key-a', 'soak-key-b', 'soak-key-c'] as const;
/** A larger body is refused. */
export const MAX_BODY_BYTES = 2 * 2 ** 20;
export const ID_HEADER = 'x-ms-client-request-id';

/** What a right answer is. */
export type Expected =
  | { readonly kind: 'chat'; readonly excerpt: string; readonly choices: number; readonly stream: boolean }
  | { readonly kind: 'response'; readonly excerpt: string; readonly stream: boolean }
  | {
      readonly kind: 'embeddings';
      readonly inputs: readonly string[];
      readonly dimensions: number;
      readonly base64: boolean;
    }
  | { readonly kind: 'transcript'; readonly bytes: number; readonly stream: boolean }
  | { readonly kind: 'models' }
  /** A request that nobody can serve. `code` is the balancer's own, or absent where a backend says it. */
  | {
      readonly kind: 'refusal';
      readonly status: number;
      readonly code?: string;
      /** Other statuses that are honest too. */
      readonly orElse?: readonly number[];
    };

/** How a caller behaves. */
export type Manner =
  | { readonly kind: 'patient' }
  /** Takes nothing for a while, so many times. */
  | { readonly kind: 'slow'; readonly pauses: number; readonly pauseMs: number }
  /** The body comes in pieces. */
  | { readonly kind: 'trickling'; readonly pieces: number; readonly gapMs: number }
  | { readonly kind: 'vanishing'; readonly at: VanishingPoint; readonly byReset: boolean };

export type VanishingPoint =
  /** After this share of the body, below 1. */
  | { readonly kind: 'in-body'; readonly share: number }
  /** So long after the request. */
  | { readonly kind: 'waiting'; readonly ms: number }
  /** After so many bytes of the answer. */
  | { readonly kind: 'in-answer'; readonly bytes: number };

export interface Planned {
  readonly number: number;
  readonly what: string;
  /** Without its last blank line. */
  readonly head: readonly string[];
  readonly body: Buffer;
  readonly expected: Expected;
  readonly manner: Manner;
  /** On a connection of its own, which is closed afterwards. */
  readonly isFresh: boolean;
  /** Sends its body when it is told to go on. */
  readonly awaitsContinue: boolean;
}

type Draw = (random: () => number, number: number) => Asked;

interface Asked {
  readonly what: string;
  readonly method: string;
  readonly path: string;
  readonly body: Buffer;
  readonly expected: Expected;
  readonly contentType?: string;
  readonly key?: string;
  readonly extra?: readonly string[];
  /** Said to be so long, whatever is sent of it. */
  readonly saidBytes?: number;
}

const NOTHING = Buffer.alloc(0);
const EXCERPT_LENGTH = 40;
const API_VERSION = '2024-10-21';

/** Each kind of request, and in how many of a hundred. */
const MIX: readonly (readonly [share: number, draw: Draw])[] = [
  [22, (random, number) => chat(random, number, { stream: false })],
  [26, (random, number) => chat(random, number, { stream: true })],
  [2, (random, number) => chat(random, number, { stream: true, choices: between(8, 24, random) })],
  [4, (random, number) => chat(random, number, { stream: random() < 0.5, bytes: between(20_000, 400_000, random) })],
  [9, (random, number) => response(random, number, false)],
  [13, (random, number) => response(random, number, true)],
  [12, embeddings],
  [6, transcription],
  [2, models],
  [4, badRequest],
];

export function drawRequest(seed: number, number: number): Planned {
  const random = randomOf(seed, number);
  const asked = pick(MIX, random)(random, number);
  const isBad = asked.expected.kind === 'refusal';
  const manner = isBad ? PATIENT : drawManner(asked, random);
  const awaitsContinue = asked.body.length > 50_000 && manner.kind === 'patient' && !isBad && random() < 0.2;
  const isFresh = random() < 0.3;
  return {
    number,
    what: asked.what,
    head: headOf(asked, { id: idOf(number), isFresh, awaitsContinue }, random),
    body: asked.body,
    expected: asked.expected,
    manner,
    isFresh,
    awaitsContinue,
  };
}

/** What a request is called in its header, by which what befell it at the resources is found. */
export function idOf(number: number): string {
  return `soak-${number}`;
}

/** How the model of a resource begins its answer, after the resource's name. */
export function excerptOf(text: string): string {
  return text.slice(0, EXCERPT_LENGTH).toWellFormed();
}

/** One of them, by their shares. */
export function pick<T>(choices: readonly (readonly [share: number, value: T])[], random: () => number): T {
  const whole = choices.reduce((sum, [share]) => sum + share, 0);
  let left = random() * whole;
  for (const [share, value] of choices) {
    left -= share;
    if (left < 0) return value;
  }
  const last = choices.at(-1);
  if (last === undefined) throw new Error('there is nothing to choose from');
  return last[1];
}

const PATIENT: Manner = { kind: 'patient' };

function drawManner({ body, expected }: Asked, random: () => number): Manner {
  const chance = random();
  if (chance < 0.08) return { kind: 'vanishing', at: drawVanishing(body, expected, random), byReset: random() < 0.5 };
  if (chance < 0.14) return { kind: 'slow', pauses: between(1, 3, random), pauseMs: between(50, 400, random) };
  if (chance < 0.2 && body.length > 100) {
    return { kind: 'trickling', pieces: between(2, 5, random), gapMs: between(1, 20, random) };
  }
  return PATIENT;
}

function drawVanishing(body: Buffer, expected: Expected, random: () => number): VanishingPoint {
  const chance = random();
  if (chance < 0.25 && body.length > 1) return { kind: 'in-body', share: random() };
  const isStream = 'stream' in expected && expected.stream;
  return chance < 0.6
    ? { kind: 'waiting', ms: between(0, 60, random) }
    : { kind: 'in-answer', bytes: between(1, isStream ? 3000 : 600, random) };
}

interface ChatShape {
  readonly stream: boolean;
  readonly choices?: number;
  readonly bytes?: number;
}

function chat(random: () => number, number: number, { stream, choices = 1, bytes = 0 }: ChatShape): Asked {
  const text = promptOf(random, number, bytes);
  const asked = {
    messages: [
      { role: 'system', content: 'Answer in one sentence.' },
      { role: 'user', content: text },
    ],
    ...(stream ? { stream: true } : {}),
    ...(choices > 1 ? { n: choices } : {}),
    ...(random() < 0.3 ? { user: `user-${between(1, 50, random)}` } : {}),
    ...(stream && random() < 0.5 ? { stream_options: { include_usage: true } } : {}),
  };
  const size = bytes > 0 ? 'big ' : choices > 1 ? 'long ' : '';
  return {
    what: `${size}chat${stream ? ' stream' : ''}`,
    method: 'POST',
    ...placed('chat/completions', chatDeployment(random), asked, random),
    expected: { kind: 'chat', excerpt: excerptOf(text), choices, stream },
  };
}

function response(random: () => number, number: number, stream: boolean): Asked {
  const input = promptOf(random, number, 0);
  const asked = { input, ...(stream ? { stream: true } : {}), ...(random() < 0.5 ? { store: false } : {}) };
  const path = pick(
    [
      [2, '/openai/v1/responses'],
      [1, '/v1/responses'],
      [1, '/responses'],
    ],
    random,
  );
  return {
    what: `response${stream ? ' stream' : ''}`,
    method: 'POST',
    path,
    body: json({ model: chatDeployment(random), ...asked }),
    expected: { kind: 'response', excerpt: excerptOf(input), stream },
  };
}

function embeddings(random: () => number, number: number): Asked {
  const inputs = Array.from(
    { length: between(1, 4, random) },
    (_, index) => `${index}: ${promptOf(random, number, 0)}`,
  );
  const dimensions = pick(
    [
      [3, 64],
      [1, 256],
    ],
    random,
  );
  const base64 = random() < 0.5;
  const asked = { input: inputs, dimensions, ...(base64 ? { encoding_format: 'base64' } : {}) };
  return {
    what: 'embeddings',
    method: 'POST',
    ...placed('embeddings', 'embed-1', asked, random),
    expected: { kind: 'embeddings', inputs, dimensions, base64 },
  };
}

function transcription(random: () => number, number: number): Asked {
  const bytes = pick(
    [
      [3, between(500, 5000, random)],
      [1, between(50_000, 300_000, random)],
    ],
    random,
  );
  const boundary = `----soak${number}`;
  const field = (name: string, value: string): string =>
    `--${boundary}\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;
  const stream = random() < 0.2;
  const body = Buffer.concat([
    Buffer.from(field('model', 'audio-1') + (stream ? field('stream', 'true') : '')),
    Buffer.from(
      `--${boundary}\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\ncontent-type: audio/wav\r\n\r\n`,
    ),
    Buffer.alloc(bytes, `sound ${number} `),
    Buffer.from(`\r\n--${boundary}--\r\n`),
  ]);
  return {
    what: 'transcription',
    method: 'POST',
    path: random() < 0.5 ? '/v1/audio/transcriptions' : legacyPath('audio-1', 'audio/transcriptions'),
    body,
    contentType: `multipart/form-data; boundary=${boundary}`,
    expected: { kind: 'transcript', bytes, stream },
  };
}

function models(random: () => number): Asked {
  return {
    what: 'models',
    method: 'GET',
    path: random() < 0.5 ? '/openai/v1/models' : '/models',
    body: NOTHING,
    expected: { kind: 'models' },
  };
}

const BAD: readonly (readonly [share: number, draw: Draw])[] = [
  [1, () => bad('broken JSON', '/v1/chat/completions', { status: 400, body: '{"model":"chat-1","messages":[' })],
  [1, () => bad('unknown path', '/nonsense', { status: 404, code: 'unknown_path' })],
  [1, () => bad('dot segments', '/v1/../secret', { status: 400, code: 'invalid_path' })],
  [1, () => bad('unknown key', '/v1/embeddings', { status: 401, code: 'unknown_credential', key: 'nobody' })],
  [
    1,
    () =>
      bad('odd wait', '/v1/embeddings', { status: 400, code: 'invalid_hold', extra: 'x-balancer-max-hold-ms: soon' }),
  ],
  [
    1,
    () =>
      bad('compressed', '/v1/embeddings', {
        status: 415,
        code: 'invalid_content_encoding',
        extra: 'content-encoding: br',
      }),
  ],
  [1, () => bad('too large', '/v1/embeddings', { status: 413, code: 'body_too_large', saidBytes: MAX_BODY_BYTES + 1 })],
  [1, () => bad('odd method', '/v1/embeddings', { status: 405, code: 'method_not_allowed', method: 'PROPFIND' })],
  [1, unknownDeployment],
];

/** It is missing at all, but a resource that rests says nothing of it, and then another's own words, 400, are passed on. */
function unknownDeployment(random: () => number): Asked {
  const body = `{"model":"unheard-of-${between(1, 5, random)}","messages":[{"role":"user","content":"x"}]}`;
  const asked = bad('unknown deployment', '/v1/chat/completions', { status: 404, body });
  return { ...asked, expected: { kind: 'refusal', status: 404, orElse: [400, 429, 502, 503, 504] } };
}

function badRequest(random: () => number, number: number): Asked {
  return pick(BAD, random)(random, number);
}

interface Bad {
  readonly status: number;
  readonly code?: string;
  readonly method?: string;
  readonly body?: string;
  readonly key?: string;
  readonly extra?: string;
  readonly saidBytes?: number;
}

function bad(what: string, path: string, wrong: Bad): Asked {
  const { status, code, method = 'POST', body = '{"model":"embed-1","input":"x"}', key, extra, saidBytes } = wrong;
  return {
    what: `bad: ${what}`,
    method,
    path,
    body: Buffer.from(body),
    expected: { kind: 'refusal', status, ...(code === undefined ? {} : { code }) },
    ...(key === undefined ? {} : { key }),
    ...(extra === undefined ? {} : { extra: [extra] }),
    ...(saidBytes === undefined ? {} : { saidBytes }),
  };
}

/** No two alike, in letters of one to three bytes, which may be cut anywhere on their way. */
function promptOf(random: () => number, number: number, bytes: number): string {
  const start = `${number} größer 語 ${Math.floor(random() * 1e9).toString(36)}: `;
  const words = 'the cat and the dog '.repeat(between(1, 20, random));
  return start + (bytes > 0 ? words.repeat(Math.ceil(bytes / words.length)) : words);
}

function chatDeployment(random: () => number): string {
  return pick(
    [
      [1, 'chat'],
      [2, 'chat-1'],
      [3, 'chat-2'],
      [3, 'chat-3'],
      [3, 'chat-4'],
    ],
    random,
  );
}

/** One of the ways to write the path, with the deployment there or in the body. */
function placed(
  operation: string,
  deployment: string,
  asked: object,
  random: () => number,
): { readonly path: string; readonly body: Buffer } {
  const way = between(0, 3, random);
  if (way === 0) return { path: legacyPath(deployment, operation), body: json(asked) };
  const prefix = ['/openai/v1', '/v1', ''][way - 1] ?? '';
  return { path: `${prefix}/${operation}`, body: json({ model: deployment, ...asked }) };
}

function legacyPath(deployment: string, operation: string): string {
  return `/openai/deployments/${deployment}/${operation}?api-version=${API_VERSION}`;
}

function json(value: object): Buffer {
  return Buffer.from(JSON.stringify(value));
}

interface Sending {
  readonly id: string;
  readonly isFresh: boolean;
  readonly awaitsContinue: boolean;
}

function headOf(asked: Asked, { id, isFresh, awaitsContinue }: Sending, random: () => number): string[] {
  const key = asked.key ?? CLIENT_KEYS[between(0, CLIENT_KEYS.length - 1, random)] ?? '';
  return [
    `${asked.method} ${asked.path} HTTP/1.1`,
    'host: 127.0.0.1',
    random() < 0.5 ? `api-key: ${key}` : `authorization: Bearer ${key}`,
    `${ID_HEADER}: ${id}`,
    ...(asked.method === 'GET'
      ? []
      : [
          `content-type: ${asked.contentType ?? 'application/json'}`,
          `content-length: ${asked.saidBytes ?? asked.body.length}`,
        ]),
    ...(isFresh ? ['connection: close'] : []),
    ...(awaitsContinue ? ['expect: 100-continue'] : []),
    ...(asked.extra ?? []),
  ];
}
