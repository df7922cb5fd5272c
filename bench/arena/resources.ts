// The simulated resources, by the simulator's own limits, headers and prompt cache; and the way to them, which takes its
// time. A contender gets of an attempt what a proxy gets: a status and headers, a first event, the usage at the end.
import type { DeploymentSpec } from '../../simulator/options.ts';
import { Limits } from '../../simulator/limits/limits.ts';
import type { WindowKind } from '../../simulator/limits/meter.ts';
import { throttleHeaders } from '../../simulator/answering/wire.ts';
import type { HeaderList } from '../../simulator/answering/wire.ts';
import { PromptCache } from '../../simulator/model/prompt-cache.ts';
import type { VirtualClock } from './clock.ts';
import { between, randomOf } from '../random.ts';
import type { ArenaRequest } from './workload.ts';

export interface Usage {
  readonly promptTokens: number;
  readonly completionTokens: number;
}

/** `start`: what the first event says; `end`: when the last byte is there. */
export interface Answer {
  readonly status: 200 | 429;
  readonly header: (name: string) => string | undefined;
  readonly start: Promise<'content' | 'throttled'>;
  readonly end: Promise<Usage>;
}

/** What the run knows of an attempt. */
export interface Attempt {
  readonly request: ArenaRequest;
  readonly backend: number;
  readonly sentAt: number;
  /** When its headers, or what was throttled in-band, were back. */
  heardAt: number;
  result: 'under-way' | '429' | 'throttled-in-band' | 'content' | 'complete';
  cachedTokens: number;
}

export type Ask = (backend: number, request: ArenaRequest) => Promise<Answer>;

export interface ResourceParts {
  readonly clock: VirtualClock;
  readonly specs: readonly DeploymentSpec[];
  readonly seed: number;
  /** Of the streams that are admitted. */
  readonly throttledInBand: number;
  /** For one who sees into the resources: what it asks is decided at the very moment. */
  readonly isInstant?: boolean;
}

export const DEPLOYMENT = 'chat';
const MINUTE_MS = 60_000;
const REQUESTS_PER_1000_TOKENS = 6;
const MS_A_TOKEN = 12;

/** Each with a window that begins who knows when. */
export function drawSpecs(
  tpms: readonly number[],
  { window, requestSlicesMs }: { readonly window: WindowKind; readonly requestSlicesMs: readonly number[] },
  seed: number,
): DeploymentSpec[] {
  return tpms.map((tpm, index) => ({
    model: 'simulated',
    tpm,
    rpm: (tpm / 1000) * REQUESTS_PER_1000_TOKENS,
    window,
    phaseMs: between(0, MINUTE_MS - 1, randomOf(seed, 2, index)),
    requestSlicesMs,
  }));
}

export function createResources(parts: ResourceParts): { readonly ask: Ask; readonly attempts: readonly Attempt[] } {
  const { clock, specs, seed, throttledInBand, isInstant = false } = parts;
  const resources = specs.map((spec) => ({ spec, limits: new Limits(clock.now), cache: new PromptCache() }));
  const attempts: Attempt[] = [];
  const timesAsked = new Map<number, number>();

  async function ask(backend: number, request: ArenaRequest): Promise<Answer> {
    const resource = resources[backend];
    if (resource === undefined) throw new Error(`there is no backend ${backend}`);
    const nth = (timesAsked.get(request.id) ?? 0) + 1;
    timesAsked.set(request.id, nth);
    const drawn = drawTimes(randomOf(seed, 3, request.id, nth));
    const attempt: Attempt = {
      request,
      backend,
      sentAt: clock.now(),
      heardAt: Number.NaN,
      result: 'under-way',
      cachedTokens: 0,
    };
    attempts.push(attempt);

    if (!isInstant) await clock.until(clock.now() + drawn.thereMs);
    const { limits, cache, spec } = resource;
    const cachedTokens =
      request.prompt === undefined ? 0 : cache.cachedTokensOf(DEPLOYMENT, request.prompt, clock.now());
    const admission = limits.admit(DEPLOYMENT, spec, { tokens: request.countedTokens, cachedTokens });
    if (admission.kind === 'refused') {
      const throttled = { ...admission.throttled, operation: 'chat-completions', apiVersion: '2024-10-21' } as const;
      const headers = [...admission.headers, ...throttleHeaders(throttled)];
      await clock.until(clock.now() + drawn.backMs);
      heard(attempt, '429');
      return { status: 429, header: lookUp(headers), start: NEVER, end: NEVER };
    }
    if (request.prompt !== undefined) cache.remember(DEPLOYMENT, request.prompt, clock.now());
    attempt.cachedTokens = cachedTokens;
    const isThrottled = request.isStreamed && drawn.inBand < throttledInBand;
    return answerOf(attempt, drawn, isThrottled, admission.headers);
  }

  /** A stream's headers come with its first event, those of any other answer when it is complete. */
  async function answerOf(attempt: Attempt, drawn: Times, isThrottled: boolean, quota: HeaderList): Promise<Answer> {
    const { promptTokens, completionTokens, isStreamed } = attempt.request;
    const endsAt = clock.now() + drawn.thinkMs + completionTokens * MS_A_TOKEN + drawn.backMs;
    const startsAt = isStreamed ? clock.now() + drawn.thinkMs + drawn.backMs : endsAt;
    const headers = isThrottled && drawn.waitMs !== undefined ? [...quota, ...namedWait(drawn.waitMs)] : quota;
    await clock.until(startsAt);
    heard(attempt, isThrottled ? 'throttled-in-band' : 'content');
    if (isThrottled) return { status: 200, header: lookUp(headers), start: Promise.resolve('throttled'), end: NEVER };
    const end = clock.until(endsAt).then(() => {
      attempt.result = 'complete';
      return { promptTokens, completionTokens };
    });
    return { status: 200, header: lookUp(headers), start: Promise.resolve('content'), end };
  }

  function heard(attempt: Attempt, result: Attempt['result']): void {
    attempt.result = result;
    attempt.heardAt = clock.now();
  }

  return { ask, attempts };
}

const NEVER: Promise<never> = new Promise(() => {
  // What is not to be awaited.
});

interface Times {
  readonly thereMs: number;
  readonly backMs: number;
  readonly thinkMs: number;
  readonly inBand: number;
  /** What a throttle in-band names as its wait; half of them name none. */
  readonly waitMs: number | undefined;
}

/** A refusal is back after 10 to 40 ms, a first token after 0.2 to 0.9 s more. */
function drawTimes(random: () => number): Times {
  const thereMs = between(5, 20, random);
  const backMs = between(5, 20, random);
  const thinkMs = between(200, 900, random);
  const inBand = random();
  const waitMs = between(200, 2000, random);
  return { thereMs, backMs, thinkMs, inBand, waitMs: random() < 0.5 ? waitMs : undefined };
}

function namedWait(ms: number): HeaderList {
  return ['retry-after-ms', String(ms), 'retry-after', String(Math.ceil(ms / 1000))];
}

function lookUp(headers: HeaderList): (name: string) => string | undefined {
  return (name) => {
    const at = headers.findIndex((entry, index) => index % 2 === 0 && entry === name);
    return at === -1 ? undefined : headers[at + 1];
  };
}
