// What backends do to requests: every row of the failover table and every scripted fault of the simulator, at each place in
// the order in which backends are asked. `first`: another one is left. `second`: the first one is throttled, a third is
// left. `last`: two are throttled, nobody is left. `all`: all three have it.
import type { Fault } from '../../../simulator/scenario.ts';
import { answerOddities, throttleOddities } from '../../../simulator/limits/oddities.ts';
import type { BackendRow, Form, Group, Trouble, Wanted } from '../row.ts';

type Place = 'first' | 'second' | 'last' | 'all';

/** What a fault means for the caller of a request that met it. */
type Meaning =
  /** Another backend answers; with nobody left the caller is told so with one of these statuses. */
  | { readonly kind: 'another answers'; readonly nobody: readonly number[]; readonly saysWhen?: boolean }
  /** The caller gets this whatever else there is. */
  | { readonly kind: 'this'; readonly wanted: Wanted };

interface Kind {
  readonly name: string;
  readonly group: Group;
  readonly trouble: Trouble;
  readonly meaning: Meaning;
  readonly forms?: readonly Form[];
  readonly places?: readonly Place[];
  readonly silenceMs?: number;
  readonly settings?: Readonly<Record<string, string>>;
}

const SILENCE_MS = 1000;
/** Statuses after which clients try again by themselves. */
const RETRIED = [408, 429, 500, 502, 503, 504];
const CHAT: readonly Form[] = ['whole', 'stream'];
const ALL: readonly Place[] = ['first', 'second', 'last', 'all'];
/** Wherever it comes from, the caller sees the same. */
const EACH: readonly Place[] = ['first', 'second', 'last'];
const A_LONG_THROTTLE: Fault = { kind: 'throttle', retryAfterMs: 30_000 };

const another = (...nobody: readonly number[]): Meaning => ({ kind: 'another answers', nobody });
const just = (wanted: Wanted): Meaning => ({ kind: 'this', wanted });
const verdict = (code: number, words: RegExp): Meaning => just({ kind: 'verdict', status: code, words });
const NOBODY_COULD = another(...RETRIED);
const THROTTLED: Meaning = { kind: 'another answers', nobody: [429], saysWhen: true };
const NO_CLEAN_END = just({ kind: 'no clean end' });
const ANSWER = just({ kind: 'answer' });

function status(code: number, more: Partial<Extract<Fault, { kind: 'status' }>> = {}): Fault {
  return { kind: 'status', status: code, ...more };
}

const DENIED = { error: { code: 'PermissionDenied', message: 'The principal lacks the required data action.' } };
const ODD_PLACES: readonly Place[] = ['first', 'all'];

const kinds: readonly Kind[] = [
  { name: 'a 429', group: 'throttled', trouble: { kind: 'throttle', retryAfterMs: 20_000 }, meaning: THROTTLED },
  ...(['requests', 'capacity'] as const).map((body): Kind => ({
    name: `a 429 for want of ${body}`,
    group: 'throttled',
    trouble: { kind: 'throttle', retryAfterMs: 20_000, body },
    meaning: THROTTLED,
    places: ODD_PLACES,
    forms: ['whole'],
  })),
  ...throttleOddities.map((oddity): Kind => ({
    name: `a 429 whose wait is said oddly (${oddity})`,
    group: 'throttled',
    trouble: { kind: 'odd-throttle', oddity, retryAfterMs: 20_000 },
    meaning: THROTTLED,
    places: ODD_PLACES,
    forms: ['whole'],
    // Who says no wait, or none that makes sense, is asked again after a second.
    settings: { MAX_HOLD_SECONDS: '0' },
  })),
  {
    name: 'a 429 that is cut',
    group: 'throttled',
    trouble: status(429, { headers: { 'retry-after': '20' }, truncateBody: true }),
    meaning: THROTTLED,
  },
  {
    name: 'a 429 that stalls',
    group: 'throttled',
    trouble: status(429, { headers: { 'retry-after': '20' }, stallBody: true }),
    meaning: THROTTLED,
    silenceMs: SILENCE_MS,
  },
  ...(['error-event', 'response-failed'] as const).map((shape): Kind => ({
    name: `a throttle as the first event (${shape})`,
    group: 'throttled',
    trouble: { kind: 'throttle-in-stream', shape, retryAfterMs: 20_000 },
    meaning: THROTTLED,
    forms: ['response stream'],
  })),
  ...[408, 500, 502, 503, 504].map((code): Kind => ({
    name: `a ${code}`,
    group: 'failing',
    trouble: status(code),
    meaning: NOBODY_COULD,
  })),
  {
    name: 'a 503 that is cut',
    group: 'failing',
    trouble: status(503, { truncateBody: true }),
    meaning: NOBODY_COULD,
  },
  {
    name: 'a 503 that stalls',
    group: 'failing',
    trouble: status(503, { stallBody: true }),
    meaning: NOBODY_COULD,
    silenceMs: SILENCE_MS,
  },
  {
    name: 'a 400 that is cut',
    group: 'failing',
    trouble: status(400, { truncateBody: true }),
    meaning: NOBODY_COULD,
  },
  { name: 'a connection that is refused', group: 'failing', trouble: 'down', meaning: NOBODY_COULD },
  {
    name: 'a connection that ends once the head was read',
    group: 'failing',
    trouble: { kind: 'refuse' },
    meaning: NOBODY_COULD,
  },
  {
    name: 'a reset before the headers',
    group: 'failing',
    trouble: { kind: 'reset-before-headers' },
    meaning: NOBODY_COULD,
  },
  { name: 'silence', group: 'failing', trouble: { kind: 'hang' }, meaning: NOBODY_COULD, silenceMs: SILENCE_MS },
  {
    name: 'a reset in the middle of the JSON',
    group: 'cut',
    trouble: { kind: 'reset-mid-stream', afterChunks: 4 },
    meaning: NOBODY_COULD,
    forms: ['whole', 'response'],
  },
  {
    name: 'an end in the middle of the JSON',
    group: 'cut',
    trouble: { kind: 'truncated', afterChunks: 4 },
    meaning: NOBODY_COULD,
    forms: ['whole', 'response'],
  },
  {
    name: 'silence in the middle of the JSON',
    group: 'cut',
    trouble: { kind: 'stall', afterChunks: 4 },
    meaning: NOBODY_COULD,
    forms: ['whole'],
    silenceMs: SILENCE_MS,
  },
  {
    name: 'a reset before the first event',
    group: 'cut',
    trouble: { kind: 'reset-mid-stream', afterChunks: 0 },
    meaning: NOBODY_COULD,
    forms: ['stream', 'response stream'],
  },
  {
    name: 'an end before the first event',
    group: 'cut',
    trouble: { kind: 'truncated', afterChunks: 0 },
    meaning: NOBODY_COULD,
    forms: ['stream', 'response stream'],
  },
  {
    name: 'silence before the first event',
    group: 'cut',
    trouble: { kind: 'stall', afterChunks: 0 },
    meaning: NOBODY_COULD,
    forms: ['stream', 'response stream'],
    silenceMs: SILENCE_MS,
  },
  {
    name: 'a reset before the first word',
    group: 'cut',
    trouble: { kind: 'reset-mid-stream', afterChunks: 1 },
    meaning: NOBODY_COULD,
    forms: ['stream', 'response stream'],
  },
  {
    name: 'an overload as the first event',
    group: 'cut',
    trouble: { kind: 'throttle-in-stream', shape: 'chat-error', retryAfterMs: 20_000 },
    meaning: NOBODY_COULD,
    forms: ['stream'],
  },
  {
    name: 'an error as the first event',
    group: 'cut',
    trouble: { kind: 'error-mid-stream', afterChunks: 0 },
    meaning: NOBODY_COULD,
    forms: ['stream', 'response stream'],
  },
  {
    name: 'a failure as the first event',
    group: 'cut',
    trouble: { kind: 'error-mid-stream', afterChunks: 0, shape: 'response-failed' },
    meaning: NOBODY_COULD,
    forms: ['response stream'],
  },
  {
    name: 'a reset between two events',
    group: 'broken',
    trouble: { kind: 'reset-mid-stream', afterChunks: 6 },
    meaning: NO_CLEAN_END,
    forms: ['stream', 'response stream'],
    places: EACH,
  },
  {
    name: 'a reset in the middle of an event',
    group: 'broken',
    trouble: { kind: 'reset-mid-stream', afterChunks: 6, midEvent: true },
    meaning: NO_CLEAN_END,
    forms: ['stream', 'response stream'],
    places: EACH,
  },
  {
    name: 'an end between two events',
    group: 'broken',
    trouble: { kind: 'truncated', afterChunks: 6 },
    meaning: NO_CLEAN_END,
    forms: ['stream', 'response stream'],
    places: EACH,
  },
  {
    name: 'silence between two events',
    group: 'broken',
    trouble: { kind: 'stall', afterChunks: 6 },
    meaning: NO_CLEAN_END,
    forms: ['stream', 'response stream'],
    places: EACH,
    silenceMs: SILENCE_MS,
  },
  {
    name: 'an error as an event',
    group: 'broken',
    trouble: { kind: 'error-mid-stream', afterChunks: 6 },
    meaning: NO_CLEAN_END,
    forms: ['stream', 'response stream'],
    places: EACH,
  },
  {
    name: 'a failure as an event',
    group: 'broken',
    trouble: { kind: 'error-mid-stream', afterChunks: 6, shape: 'response-failed' },
    meaning: NO_CLEAN_END,
    forms: ['response stream'],
    places: EACH,
  },
  // To the caller it would seem to be about its own credential.
  { name: 'a 401', group: 'credential', trouble: { kind: 'unauthorized' }, meaning: NOBODY_COULD },
  { name: 'a 403 to everybody', group: 'credential', trouble: { kind: 'blocked' }, meaning: NOBODY_COULD },
  {
    name: 'a 401 PermissionDenied',
    group: 'credential',
    trouble: { kind: 'permission-denied' },
    meaning: another(403, ...RETRIED),
  },
  {
    name: 'a 403 PermissionDenied',
    group: 'credential',
    trouble: status(403, { body: DENIED }),
    meaning: another(403, ...RETRIED),
  },
  {
    name: 'a missing deployment',
    group: 'missing',
    trouble: { kind: 'missing-deployment' },
    meaning: another(400, 404),
  },
  {
    name: 'an operation that is not supported',
    group: 'missing',
    trouble: { kind: 'operation-not-supported' },
    meaning: another(400),
  },
  {
    name: 'a content filter on the prompt',
    group: 'refused',
    trouble: { kind: 'content-filter' },
    meaning: verdict(400, /content.?(filter|management)/i),
    places: EACH,
  },
  {
    name: 'a content filter on the prompt, in newer words',
    group: 'refused',
    trouble: { kind: 'content-filter', variant: 'prompt-newer' },
    meaning: verdict(400, /content.?(filter|management)/i),
    places: EACH,
    forms: ['whole'],
  },
  {
    name: 'a content filter on the answer',
    group: 'refused',
    trouble: { kind: 'content-filter', variant: 'answer' },
    meaning: just({ kind: 'answer', isFiltered: true }),
    places: EACH,
  },
  {
    name: 'a prompt that is too long',
    group: 'refused',
    trouble: { kind: 'context-too-long' },
    meaning: verdict(400, /context length/),
    places: EACH,
  },
  ...[400, 404, 409, 413, 422].map((code): Kind => ({
    name: `a ${code}`,
    group: 'refused',
    trouble: status(code, { body: { error: { code: 'its_own', message: 'The words of the backend.' } } }),
    meaning: verdict(code, /The words of the backend/),
    places: EACH,
    forms: ['whole'],
  })),
  {
    name: 'a 413 before the body was read',
    group: 'refused',
    trouble: { kind: 'early-answer', status: 413 },
    meaning: verdict(413, /./),
    places: EACH,
    forms: ['whole'],
  },
  { name: 'headers after 1.5 s', group: 'odd', trouble: { kind: 'slow-first-byte', ms: 1500 }, meaning: ANSWER },
  { name: 'a first event after 1.5 s', group: 'odd', trouble: { kind: 'slow-first-chunk', ms: 1500 }, meaning: ANSWER },
  {
    name: 'a pause of 1.5 s in the middle',
    group: 'odd',
    trouble: { kind: 'stall', afterChunks: 4, ms: 1500 },
    meaning: ANSWER,
  },
  {
    name: 'keep-alive events',
    group: 'odd',
    trouble: { kind: 'keepalive' },
    meaning: ANSWER,
    forms: ['response stream'],
  },
  { name: 'an answer compressed unasked', group: 'odd', trouble: { kind: 'gzip' }, meaning: ANSWER },
  {
    name: 'an answer of 8 MB',
    group: 'odd',
    trouble: { kind: 'large', bytes: 8_000_000 },
    meaning: just({ kind: 'answer', leastBytes: 7_000_000 }),
    forms: CHAT,
  },
  ...answerOddities.map((oddity): Kind => ({
    name: `a quota that is said oddly (${oddity})`,
    group: 'odd',
    trouble: { kind: 'odd-headers', oddity },
    meaning: ANSWER,
    forms: ['whole'],
  })),
];

/** Of a creation: what was surely not carried out is asked of another, what may have been is not. */
const creations: readonly Kind[] = [
  creation('a 429', { kind: 'throttle', retryAfterMs: 20_000 }, THROTTLED),
  creation('a connection that is refused', 'down', NOBODY_COULD),
  creation('a 401', { kind: 'unauthorized' }, NOBODY_COULD),
  creation('a reset after it was read', { kind: 'reset-before-headers' }),
  creation('a 503', status(503)),
  { ...creation('silence', { kind: 'hang' }), silenceMs: SILENCE_MS },
];

function creation(name: string, trouble: Trouble, meaning?: Meaning): Kind {
  const kind = { name, group: 'creation', trouble, forms: ['background'] } as const;
  if (meaning !== undefined) return { ...kind, meaning };
  return { ...kind, meaning: just({ kind: 'not again' }), places: ['first', 'second'] };
}

const places: Readonly<Record<Place, (trouble: Trouble) => readonly Trouble[]>> = {
  first: (trouble) => [trouble],
  second: (trouble) => [A_LONG_THROTTLE, trouble],
  last: (trouble) => [A_LONG_THROTTLE, A_LONG_THROTTLE, trouble],
  all: (trouble) => [trouble, trouble, trouble],
};

function wantedOf({ meaning }: Kind, place: Place): Wanted {
  if (meaning.kind === 'this') return meaning.wanted;
  if (place === 'first' || place === 'second') return { kind: 'answer' };
  // Two may be back soon, so it is worth a retry whatever the last one said.
  const statuses = place === 'last' ? [...new Set([...meaning.nobody, ...RETRIED])] : meaning.nobody;
  return { kind: 'refusal', statuses, ...(meaning.saysWhen === true ? { saysWhen: true } : {}) };
}

function rowsOf(kind: Kind): readonly BackendRow[] {
  const { meaning, forms = CHAT, places: at = meaning.kind === 'this' ? EACH : ALL } = kind;
  return forms.flatMap((form) =>
    at.map((place): BackendRow => ({
      kind: 'backend',
      name: nameOf(kind, form, place),
      group: kind.group,
      order: places[place](kind.trouble),
      form,
      wanted: wantedOf(kind, place),
      ...(kind.silenceMs === undefined ? {} : { silenceMs: kind.silenceMs }),
      settings: { MAX_HOLD_SECONDS: '0', ...kind.settings },
    })),
  );
}

function nameOf({ name, group }: Kind, form: Form, place: Place): string {
  const what = group === 'creation' ? `${name} to a creation` : group === 'broken' ? `${name}, in mid-stream` : name;
  const as = {
    whole: '',
    background: '',
    stream: ', streamed',
    response: ', a response',
    'response stream': ', a streamed response',
  };
  return `${what}${as[form]}, ${place === 'all' ? 'at all three' : `at the ${place}`}`;
}

const well: readonly BackendRow[] = (['whole', 'stream', 'response', 'response stream'] as const).map((form) => ({
  kind: 'backend',
  name: `all is well: ${form}`,
  group: 'well',
  order: [],
  form,
  wanted: { kind: 'answer' },
}));

export const backendRows: readonly BackendRow[] = [...well, ...[...kinds, ...creations].flatMap(rowsOf)];
