// One load: every contender at the same time, each before a fleet of its own.
import { clock } from '../provisioned/clock.ts';
import { sendAll } from './callers.ts';
import { startContender } from './contenders.ts';
import type { ContenderName, RunningContender } from './contenders.ts';
import { figuresOf } from './figures.ts';
import type { Figures } from './figures.ts';
import { startLimitedFleet } from './fleet.ts';
import type { LimitedFleet } from './fleet.ts';
import { planArrivals } from './workload.ts';
import type { ArrivalPlan } from './workload.ts';

export interface CellPlan extends ArrivalPlan {
  readonly contenders: readonly ContenderName[];
  /** Where the contenders run. */
  readonly core: number;
}

export interface Row extends Figures {
  readonly load: number;
  readonly contender: ContenderName;
}

interface Ready {
  readonly name: ContenderName;
  readonly fleet: LimitedFleet;
  readonly contender: RunningContender;
}

export async function measureLoad(plan: CellPlan): Promise<Row[]> {
  const closing: (() => Promise<void>)[] = [];
  try {
    // One after the other: two that start at once are each other's noise.
    const ready: Ready[] = [];
    for (const name of plan.contenders) {
      const fleet = await startLimitedFleet();
      closing.push(() => fleet.close());
      const contender = await startContender(name, { urls: fleet.urls, core: plan.core });
      closing.push(contender.stop);
      ready.push({ name, fleet, contender });
    }
    const fromMs = clock() + plan.leadMs;
    const beginning = Date.now();
    await Promise.all(ready.map(({ fleet }) => fleet.begin(beginning, plan.load)));
    return await Promise.all(ready.map((one) => measure(one, plan, fromMs)));
  } finally {
    for (const close of closing.toReversed()) await close();
  }
}

async function measure({ name, fleet, contender }: Ready, plan: CellPlan, fromMs: number): Promise<Row> {
  const arrivals = planArrivals(plan);
  const answers = await sendAll(contender, arrivals, fromMs);
  const observed = {
    arrivals,
    answers,
    attempts: fleet.attempts(),
    fromMs,
    leadMs: plan.leadMs,
    windowMs: plan.windowMs,
  };
  return { load: plan.load, contender: name, ...figuresOf(observed) };
}
