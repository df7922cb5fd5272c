// The quotas, and which requests arrive when: drawn from a seed, so that every contender gets the same ones. Pure.
import { randomOf, between } from '../random.ts';
import { drawSpecs } from '../arena/resources.ts';
import { arrivals, total } from '../arena/workload.ts';
import type { ArenaRequest, Workload } from '../arena/workload.ts';
import type { DeploymentSpec } from '../../simulator/options.ts';

export const MODEL = 'gpt-5.4-mini';
/** An answer has so many tokens, or what its request allows where that is less. */
export const ANSWER_TOKENS = 100;

const TPMS = [30_000, 30_000, 30_000];
const REQUEST_SLICES_MS = [10_000, 1000];
const SEED = 20_261_127;

/** Counted as 100 to 1,100 tokens on arrival, 600 on average. */
const uniform: Workload = {
  title: 'uniform',
  tpms: TPMS,
  shape: (random) => {
    const maxTokens = between(50, 250, random);
    return {
      promptTokens: between(50, 850, random),
      maxTokens,
      completionTokens: Math.min(ANSWER_TOKENS, maxTokens),
    };
  },
  throttledInBand: 0,
};

export interface Arrival {
  readonly id: number;
  /** From the beginning of the measured time; negative before it. */
  readonly atMs: number;
  readonly promptTokens: number;
  readonly maxTokens: number;
  /** As a resource counts it when it arrives. */
  readonly countedTokens: number;
}

export interface ArrivalPlan {
  /** As a share of the summed quota, before and in the measured time alike. */
  readonly load: number;
  readonly leadMs: number;
  readonly windowMs: number;
}

export function planArrivals({ load, leadMs, windowMs }: ArrivalPlan): Arrival[] {
  const lead = arrivals(uniform, { load, lengthMs: leadMs, seed: SEED });
  const measured = arrivals(uniform, { load, lengthMs: windowMs, seed: SEED + 1 });
  return [
    ...lead.map((request) => arrivalOf(request, request.id, request.atMs - leadMs)),
    ...measured.map((request) => arrivalOf(request, lead.length + request.id, request.atMs)),
  ];
}

function arrivalOf({ promptTokens, maxTokens = 0, countedTokens }: ArenaRequest, id: number, atMs: number): Arrival {
  return { id, atMs, promptTokens, maxTokens, countedTokens };
}

/** One for each resource: 30 thousand tokens and 180 requests a minute, in fixed windows of any phase. */
export function deployments(): DeploymentSpec[] {
  return drawSpecs(TPMS, { window: 'fixed', requestSlicesMs: REQUEST_SLICES_MS }, SEED).map((spec) => ({
    ...spec,
    model: MODEL,
  }));
}

/** What a resource would have served of its window by the start, had the load been there before: never nothing. */
export function usedAtStart(resource: number, load: number): number {
  const { tpm = 0, phaseMs = 0 } = deployments()[resource] ?? {};
  return Math.max(100, Math.floor(tpm * Math.min(1, load * (1 - phaseMs / 60_000))));
}

/** What all resources together may serve in so long. */
export function quotaTokens(ms: number): number {
  return (total(TPMS) * ms) / 60_000;
}

/** Numbers first, so that no two prompts begin alike; then words that come to four characters a token. */
export function bodyOf({ id, promptTokens, maxTokens }: Arrival): string {
  const content = `request ${id} `.padEnd(promptTokens * 4, 'the cat and the dog ');
  return JSON.stringify({ model: MODEL, messages: [{ role: 'user', content }], max_completion_tokens: maxTokens });
}

/** How long a resource takes for an answer to this request: some 300 ms. */
export function answerMsOf(id: number): number {
  return between(250, 350, randomOf(SEED, id));
}
