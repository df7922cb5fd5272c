// The workloads: which requests arrive when. Drawn from a seed, so that every contender gets the same ones. Pure.
import { estimateTokens } from '../../simulator/limits/quota.ts';
import type { Prompt } from '../../simulator/model/prompt.ts';
import { PREFIXES, sharedPrompt } from './prompts.ts';
import { between, randomOf } from '../random.ts';

export const workloadNames = ['a', 'b', 'c', 'd', 'e', 'f'] as const;
export type WorkloadName = (typeof workloadNames)[number];

export interface Workload {
  readonly title: string;
  /** Tokens a minute of each resource. */
  readonly tpms: readonly number[];
  readonly shape: (random: () => number) => Shape;
  /** Of the streams that a resource admits, the share that it throttles in-band. */
  readonly throttledInBand: number;
  /** All of such a stretch of time arrive within its first second. */
  readonly burstEveryMs?: number;
  readonly isStreamsOnly?: boolean;
}

/** A request but for its time. `promptTokens`: as the service counts them. */
interface Shape {
  readonly promptTokens: number;
  readonly maxTokens?: number;
  readonly completionTokens: number;
  /** What it begins with, of the shared beginnings. */
  readonly prefix?: number;
}

export interface ArenaRequest extends Shape {
  readonly id: number;
  readonly atMs: number;
  /** What the bytes of its body come to at four a token: more than the prompt. */
  readonly bodyTokens: number;
  /** What a resource counts it as when it arrives. */
  readonly countedTokens: number;
  readonly isStreamed: boolean;
  readonly prompt?: Prompt;
}

const THIRTY_EACH = [30_000, 30_000, 30_000];
const BURST_MS = 1000;
const STREAMED_SHARE = 0.6;

export const workloads: Readonly<Record<WorkloadName, Workload>> = {
  a: { title: 'uniform', tpms: THIRTY_EACH, shape: uniform, throttledInBand: 0 },
  b: { title: 'heavy-tailed', tpms: THIRTY_EACH, shape: heavyTailed, throttledInBand: 0 },
  c: { title: 'bursts', tpms: THIRTY_EACH, shape: uniform, throttledInBand: 0, burstEveryMs: 10_000 },
  d: { title: '90/60/30', tpms: [90_000, 60_000, 30_000], shape: uniform, throttledInBand: 0 },
  e: { title: 'in-band throttles', tpms: THIRTY_EACH, shape: uniform, throttledInBand: 0.05, isStreamsOnly: true },
  f: { title: 'shared prefixes', tpms: THIRTY_EACH, shape: sharing, throttledInBand: 0 },
};

export interface Span {
  readonly load: number;
  readonly lengthMs: number;
  readonly seed: number;
}

/**
 * Poisson arrivals. Of a Poisson process of which the number is known, they are spread evenly and independently; so the
 * requests are drawn first, as many as the load is, and then their times. Otherwise chance alone would move the load of
 * some minutes by a twentieth.
 */
export function arrivals(workload: Workload, { load, lengthMs, seed }: Span): ArenaRequest[] {
  const random = randomOf(seed, 1);
  const burstPhaseMs = random() * 10_000;
  const drawn: Omit<ArenaRequest, 'id'>[] = [];
  let missing = (load * total(workload.tpms) * lengthMs) / 60_000;
  for (;;) {
    const shape = workload.shape(random);
    const countedTokens = estimateTokens(shape.promptTokens * 4, shape.maxTokens);
    // The last one is sent when at least half of it is missing: neither side is favoured.
    if (missing < countedTokens / 2) break;
    missing -= countedTokens;
    const atMs = random() * lengthMs;
    drawn.push({
      ...shape,
      countedTokens,
      atMs: workload.burstEveryMs === undefined ? atMs : inBurst(atMs, workload.burstEveryMs, burstPhaseMs, random),
      bodyTokens: shape.promptTokens + between(20, 60, random) + Math.floor((random() * shape.promptTokens) / 20),
      isStreamed: workload.isStreamsOnly === true || random() < STREAMED_SHARE,
    });
  }
  const inOrder = drawn.sort((a, b) => a.atMs - b.atMs);
  return inOrder.map((request, index) => ({ ...request, id: index + 1, ...promptOf(request, index) }));
}

export function total(amounts: readonly number[]): number {
  return amounts.reduce((sum, amount) => sum + amount, 0);
}

function inBurst(atMs: number, everyMs: number, phaseMs: number, random: () => number): number {
  const began = Math.floor((atMs - phaseMs) / everyMs) * everyMs + phaseMs;
  return Math.max(0, began + random() * BURST_MS);
}

function promptOf({ prefix, promptTokens }: Shape, index: number): { readonly prompt?: Prompt } {
  return prefix === undefined ? {} : { prompt: sharedPrompt(prefix, promptTokens, index) };
}

/** Counted as 642 tokens on average. */
function uniform(random: () => number): Shape {
  return withCompletion(between(100, 900, random), random);
}

function heavyTailed(random: () => number): Shape {
  return random() < 0.05 ? eightThousand(random) : withCompletion(between(50, 450, random), random);
}

function eightThousand(random: () => number): Shape {
  const drawn = withCompletion(0, random);
  return { ...drawn, promptTokens: 8000 - estimateTokens(0, drawn.maxTokens) };
}

/** A beginning that others have too, the popular ones most, and some of its own. */
function sharing(random: () => number): Shape {
  let point = random() * PREFIXES.totalPopularity;
  const prefix = PREFIXES.popularities.findIndex((popularity) => (point -= popularity) < 0);
  const found = prefix === -1 ? 0 : prefix;
  const tokens = PREFIXES.tokens[found] ?? 0;
  return { ...withCompletion(tokens + between(50, 400, random), random), prefix: found };
}

/** Three in five name a maximum; a completion is as long as it is, most often shorter. */
function withCompletion(promptTokens: number, random: () => number): Shape {
  if (random() >= 0.6) return { promptTokens, completionTokens: between(20, 600, random) };
  const maxTokens = between(50, 400, random);
  return { promptTokens, maxTokens, completionTokens: between(Math.ceil(maxTokens / 5), maxTokens, random) };
}
