// One cell of the measurement: a fleet of its own, a contender in front of it, and one offered load.
import { startFleet } from '../../simulator/fleet.ts';
import type { Fleet } from '../../simulator/fleet.ts';
import type { ProvisionedLimits } from '../../simulator/limits/provisioned.ts';
import type { ResourceOptions, SimulatedResource } from '../../simulator/server.ts';
import { median } from '../statistics.ts';
import { figuresOf, PROVISIONED } from './accounting.ts';
import type { Answered, Figures, Observed } from './accounting.ts';
import { planArrivals } from './arrivals.ts';
import type { Arrival } from './arrivals.ts';
import { bucketTokens } from './bucket.ts';
import { CallRecord } from './call-record.ts';
import { clock } from './clock.ts';
import { BACKEND_KEY, startContender } from './contenders.ts';
import type { Contender, RunningContender } from './contenders.ts';
import { Callers } from './load.ts';
import * as is from './shapes.ts';
import type { ShapeName } from './shapes.ts';

/** A shape, how much its bucket holds, and the offered load. */
export interface Setting {
  readonly shape: ShapeName;
  readonly burstMs: number;
  readonly load: number;
}

/** One process, which meets one bucket after the other. */
export interface CellPlan extends Omit<Setting, 'burstMs'> {
  readonly bucketsMs: readonly number[];
  readonly contender: Contender;
  readonly leadMs: number;
  readonly windowMs: number;
  readonly warmRequests: number;
  /** Where the contender runs. */
  readonly core: number;
}

export interface Cell extends Setting, Figures {
  readonly contender: string;
}

export interface PreparedCell {
  run(burstMs: number): Promise<Cell>;
  close(): Promise<void>;
}

const SEED = 20_261_127;
const OWN_EVERY_MS = 400;
/** Above those of the load. */
const FIRST_OWN_ID = 1_000_000;
const WARM_CONCURRENCY = 8;

/** Every contender meets the same requests. */
export function arrivalsOf({
  shape,
  load,
  leadMs,
  windowMs,
}: Setting & Pick<CellPlan, 'leadMs' | 'windowMs'>): Arrival[] {
  return planArrivals({ shape: is.shapes[shape], load, leadMs, windowMs, seed: SEED });
}

export function limitsOf({ shape, burstMs }: Pick<Setting, 'shape' | 'burstMs'>) {
  return { tokensPerMinute: is.shapes[shape].tokensPerMinute, burstMs };
}

/** Whoever offers less than the capacity begins with an empty bucket, the others with a full one. */
export function fillTokens(setting: Setting): number {
  return setting.load < 1 ? 0 : bucketTokens(limitsOf(setting));
}

/** Starts the processes and warms them up, so that many cells can then run at once. */
export async function prepareCell(plan: CellPlan): Promise<PreparedCell> {
  const fleet = await startFleet(resourcesOf(plan));
  let contender: RunningContender | undefined;
  let callers: Callers | undefined;
  const close = async (): Promise<void> => {
    callers?.close();
    await contender?.stop();
    await fleet.close();
  };
  try {
    contender = await startContender(plan.contender, fleet.resources, plan.core);
    callers = new Callers(contender.target);
    await callers.sendAll(warmUp(plan.warmRequests), is.WARM_DEPLOYMENT, WARM_CONCURRENCY);
    const ready = callers;
    return { run: (burstMs) => runCell({ ...plan, burstMs }, fleet, ready), close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function runCell(plan: CellPlan & Setting, { resources }: Fleet, callers: Callers): Promise<Cell> {
  const [provisioned, ...payg] = resources;
  const [control] = payg;
  if (provisioned === undefined || control === undefined) throw new Error('the fleet has no resources');
  slowDown(resources);
  const ofProvisioned = new CallRecord(provisioned);
  const ofPayg = payg.map((each) => new CallRecord(each));
  const deployment = is.deploymentOf(plan.burstMs);
  const tokens = fillTokens(plan);
  const filledAt = clock();
  if (tokens > 0) await fill(provisioned, deployment, tokens);

  const arrivals = arrivalsOf(plan);
  const fromMs = clock() + plan.leadMs;
  const [answers, ownMs] = await Promise.all([
    callers.send(arrivals, deployment, fromMs),
    measureOwn(control, plan, fromMs),
  ]);
  const figures = figuresOf({
    arrivals,
    answers,
    provisionedCalls: ofProvisioned.seen(),
    paygCalls: ofPayg.flatMap((record) => record.seen()),
    fill: tokens > 0 ? [{ kind: 'taken', atMs: filledAt, tokens }] : [],
    limits: limitsOf(plan),
    window: { fromMs, toMs: fromMs + plan.windowMs },
    ownMs,
  });
  const { shape, burstMs, load, contender } = plan;
  return { shape, burstMs, load, contender: contender.name, ...figures };
}

/** What a caller waits for the first content when it asks a resource itself, at the same time as the others: medians. */
async function measureOwn({ url }: SimulatedResource, plan: CellPlan, fromMs: number): Promise<Observed['ownMs']> {
  const callers = new Callers({ url, apiKey: BACKEND_KEY });
  const [sample] = warmUp(1);
  if (sample === undefined) return { streamed: Number.NaN, whole: Number.NaN };
  const samples = Math.floor((plan.leadMs + plan.windowMs) / OWN_EVERY_MS);
  const arrivals = Array.from({ length: samples }, (_, index) => ({
    ...sample,
    id: FIRST_OWN_ID + index,
    // At chance moments, or those of all cells would come at once and wait for each other.
    atMs: (index + Math.random()) * OWN_EVERY_MS - plan.leadMs,
    isStreamed: index % 2 === 0,
  }));
  const answers = await callers.send(arrivals, is.WARM_DEPLOYMENT, fromMs);
  callers.close();
  const timeOf = ({ sentAtMs, contentAtMs }: Answered): number => (contentAtMs ?? Number.NaN) - sentAtMs;
  const [streamed, whole] = [0, 1].map((rest) => median(answers.filter((_, index) => index % 2 === rest).map(timeOf)));
  return { streamed: streamed ?? Number.NaN, whole: whole ?? Number.NaN };
}

/** Full to the brim, by a request that goes there directly. What it was counted too much or too little is a few tokens. */
async function fill({ url }: SimulatedResource, deployment: string, tokens: number): Promise<void> {
  const callers = new Callers({ url, apiKey: BACKEND_KEY });
  const promptTokens = tokens - is.ANSWER_TOKENS;
  const prompt = { id: -1, atMs: 0, promptTokens, maxTokens: is.ANSWER_TOKENS, isStreamed: false };
  const [answer] = await callers.sendAll([prompt], deployment, 1);
  callers.close();
  if (answer?.status !== 200) throw new Error(`the bucket was not filled: ${answer?.problem ?? answer?.status ?? ''}`);
}

/** Answers then take their time; a refusal's head does not, only its body, which nobody waits for. */
function slowDown(resources: readonly SimulatedResource[]): void {
  for (const each of resources) each.always({ kind: 'slow-first-chunk', ms: is.FIRST_PIECE_MS });
}

function resourcesOf({ shape, bucketsMs }: CellPlan): ResourceOptions[] {
  const limited = bucketsMs.map((burstMs) => limitsOf({ shape, burstMs }));
  return [resource(PROVISIONED, bucketsMs, limited), resource('payg1', bucketsMs), resource('payg2', bucketsMs)];
}

function resource(
  name: string,
  bucketsMs: readonly number[],
  limits: readonly Required<ProvisionedLimits>[] = [],
): ResourceOptions {
  const deployments = bucketsMs.map((burstMs, index) => {
    const provisioned = limits[index];
    return [
      is.deploymentOf(burstMs),
      { model: is.MODEL, ...(provisioned === undefined ? {} : { provisioned }) },
    ] as const;
  });
  return {
    name,
    apiKey: BACKEND_KEY,
    chunkDelayMs: is.CHUNK_MS,
    answerTokens: is.ANSWER_TOKENS,
    deployments: { ...Object.fromEntries(deployments), [is.WARM_DEPLOYMENT]: { model: is.WARM_DEPLOYMENT } },
  };
}

function warmUp(requests: number): Arrival[] {
  return Array.from({ length: requests }, (_, index) => ({
    id: index + 1,
    atMs: 0,
    promptTokens: 500,
    maxTokens: is.MOST_MAX_TOKENS,
    isStreamed: false,
  }));
}
