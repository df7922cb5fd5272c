// What befalls the two unlucky resources: every scripted fault of the simulator, and its episodes, drawn from a seed. Pure.
import { answerOddities, throttleOddities } from '../../simulator/limits/oddities.ts';
import type { Fault } from '../../simulator/scenario.ts';
import { between } from '../random.ts';
import { DEPLOYMENTS, pick } from './traffic.ts';

/** Something that is done to a whole resource, for so long. */
export type Episode =
  | { readonly kind: 'gone'; readonly ms: number }
  | { readonly kind: 'throttled'; readonly ms: number; readonly deployment?: string }
  | { readonly kind: 'reduced'; readonly ms: number; readonly tpm: number; readonly deployment: string }
  | { readonly kind: 'sockets dropped' };

/** For each choice of a request, of which there are 24 at most: all of it is said within half of a caller's patience. */
const LARGEST = 450_000;

/** Between two times that somebody scripts something, on average. */
export const FAULTS_EVERY_MS = 300;
export const EPISODES_EVERY_MS = 4000;

type Draw = (random: () => number) => Fault;

/** Each by its share. Those that make a resource rest for a minute and more are drawn apart. */
const FAULTS: readonly (readonly [share: number, draw: Draw])[] = [
  [8, (random) => ({ kind: 'throttle', retryAfterMs: between(50, 1500, random), body: oneOf(BODIES, random) })],
  [
    4,
    (random) => ({
      kind: 'odd-throttle',
      oddity: oneOf(SHORT_ODDITIES, random),
      retryAfterMs: between(50, 1500, random),
    }),
  ],
  [3, (random) => ({ kind: 'odd-headers', oddity: oneOf(answerOddities, random) })],
  [
    8,
    (random) => ({
      kind: 'throttle-in-stream',
      shape: oneOf(SHAPES, random),
      retryAfterMs: between(100, 1500, random),
    }),
  ],
  [4, (random) => ({ kind: 'error-mid-stream', afterChunks: between(0, 10, random), shape: oneOf(FAILURES, random) })],
  [6, (random) => ({ kind: 'status', status: oneOf([500, 500, 502, 503, 504, 408], random) })],
  [2, (random) => ({ kind: 'status', status: oneOf([500, 503], random), truncateBody: true })],
  [1, () => ({ kind: 'status', status: 503, stallBody: true })],
  [
    2,
    (random) => ({
      kind: 'status',
      status: 429,
      stallBody: true,
      headers: { 'retry-after-ms': String(between(50, 900, random)) },
    }),
  ],
  [
    1,
    (random) => ({
      kind: 'status',
      status: 502,
      body: '<html>Bad gateway</html>',
      headers: { 'content-type': oneOf(['text/html', 'x'], random) },
    }),
  ],
  [3, () => ({ kind: 'refuse' })],
  [3, () => ({ kind: 'reset-before-headers' })],
  [6, (random) => ({ kind: 'reset-mid-stream', afterChunks: between(0, 12, random), midEvent: random() < 0.5 })],
  [5, (random) => ({ kind: 'truncated', afterChunks: between(0, 14, random) })],
  [2, (random) => ({ kind: 'stall', afterChunks: between(0, 10, random) })],
  [3, (random) => ({ kind: 'stall', afterChunks: between(0, 10, random), ms: between(100, 1500, random) })],
  [4, (random) => ({ kind: 'slow-first-byte', ms: drawSlowness(random) })],
  [4, (random) => ({ kind: 'slow-first-chunk', ms: drawSlowness(random) })],
  [2, () => ({ kind: 'hang' })],
  [3, () => ({ kind: 'keepalive' })],
  [5, () => ({ kind: 'stale' })],
  [1, () => ({ kind: 'operation-not-supported' })],
  [2, (random) => (random() < 0.5 ? { kind: 'permission-denied' } : { kind: 'permission-denied', status: 403 })],
  [3, (random) => ({ kind: 'content-filter', variant: oneOf(['prompt', 'prompt-newer', 'answer'], random) })],
  [1, () => ({ kind: 'context-too-long' })],
  [3, () => ({ kind: 'gzip' })],
  [4, (random) => ({ kind: 'large', bytes: between(100_000, LARGEST, random) })],
  [2, (random) => ({ kind: 'early-answer', status: oneOf([413, 500, 503], random) })],
];

/** After each of them a deployment or the whole resource is left alone for a minute, or five. */
const RARE: readonly (readonly [share: number, draw: Draw])[] = [
  [2, () => ({ kind: 'unauthorized' })],
  [1, () => ({ kind: 'blocked' })],
  [2, () => ({ kind: 'missing-deployment' })],
  [1, () => ({ kind: 'odd-throttle', oddity: 'day' })],
];

const BODIES = ['tokens', 'requests', 'capacity'] as const;
const SHAPES = ['error-event', 'response-failed', 'chat-error'] as const;
const FAILURES = ['error-event', 'response-failed'] as const;
const SHORT_ODDITIES = throttleOddities.filter((oddity) => oddity !== 'day');

/** Faults that break an answer which has begun, so that nobody can be asked instead. */
const BREAKING: ReadonlySet<string> = new Set(['error-mid-stream', 'reset-mid-stream', 'truncated', 'stall']);
/** Faults that are the request's own affair: the caller is to hear of them. */
const REFUSING: ReadonlySet<string> = new Set(['content-filter', 'context-too-long', 'early-answer']);

export function canBreak(fault: string): boolean {
  return BREAKING.has(fault);
}

export function isVerbatim(fault: string): boolean {
  return REFUSING.has(fault);
}

/** One to three, for as many requests in a row. */
export function drawFaults(random: () => number): Fault[] {
  return Array.from({ length: between(1, 3, random) }, () => pick(FAULTS, random)(random));
}

export function drawRare(random: () => number): Fault {
  return pick(RARE, random)(random);
}

export function drawEpisode(random: () => number): Episode {
  const deployment = oneOf(Object.keys(DEPLOYMENTS), random);
  return pick<(random: () => number) => Episode>(
    [
      [2, () => ({ kind: 'gone', ms: between(100, 3000, random) })],
      [2, () => ({ kind: 'throttled', ms: between(200, 2500, random), deployment })],
      [1, () => ({ kind: 'throttled', ms: between(200, 1500, random) })],
      [2, () => ({ kind: 'reduced', ms: between(1000, 8000, random), tpm: between(2000, 30_000, random), deployment })],
      [2, () => ({ kind: 'sockets dropped' })],
    ],
    random,
  )(random);
}

/** So long until the next, when they come at random and so often on average. */
export function drawGapMs(meanMs: number, random: () => number): number {
  return -Math.log(1 - random()) * meanMs;
}

/** Most answer in time, some do not. */
function drawSlowness(random: () => number): number {
  return random() < 0.75 ? between(50, 1500, random) : between(3500, 6000, random);
}

function oneOf<T>(choices: readonly T[], random: () => number): T {
  return pick(
    choices.map((choice) => [1, choice] as const),
    random,
  );
}
