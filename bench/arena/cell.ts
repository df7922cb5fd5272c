// A cell: one workload, one kind of window, one load, some seeds; everybody gets the same requests and the same resources.
import type { WindowKind } from '../../simulator/limits/meter.ts';
import { contenders } from './contenders/all.ts';
import type { Contender } from './contenders/contender.ts';
import { oracle, placements } from './contenders/oracle.ts';
import { addUp, figuresOf, servesMore, tallyOf } from './figures.ts';
import type { Figures, Tally } from './figures.ts';
import { drawSpecs } from './resources.ts';
import { run } from './run.ts';
import { arrivals, total, workloads } from './workload.ts';
import type { WorkloadName } from './workload.ts';

export interface CellPlan {
  readonly workload: WorkloadName;
  readonly window: WindowKind;
  /** The lengths of the slices in which requests are counted besides the minute. */
  readonly requestSlicesMs: readonly number[];
  /** Offered, as a share of the summed quota. */
  readonly load: number;
  readonly seeds: readonly number[];
  /** Requests of the first so many ms are served and not counted: all windows begin empty. */
  readonly leadMs: number;
  readonly measuredMs: number;
  readonly maxHoldMs: number;
}

export interface Row {
  readonly contender: string;
  readonly figures: Figures;
}

export interface Cell {
  readonly plan: CellPlan;
  readonly rows: readonly Row[];
}

export async function runCell(plan: CellPlan): Promise<Cell> {
  const tallies = new Map<string, Tally[]>();
  for (const seed of plan.seeds) {
    for (const [name, tally] of await runSeed(plan, seed)) {
      tallies.set(name, [...(tallies.get(name) ?? []), tally]);
    }
  }
  const sums = new Map([...tallies].map(([name, each]) => [name, addUp(each)]));
  const best = sums.get('oracle');
  if (best === undefined) throw new Error('there is no oracle');
  const single = sums.get('single');
  const yardsticks = { oracle: best, ...(single === undefined ? {} : { single }) };
  const rows = [...sums]
    .filter(([name]) => name !== 'single')
    .map(([contender, tally]) => ({ contender, figures: figuresOf(tally, yardsticks) }));
  return { plan, rows };
}

async function runSeed(plan: CellPlan, seed: number): Promise<ReadonlyMap<string, Tally>> {
  const { load, leadMs, measuredMs, maxHoldMs } = plan;
  const workload = workloads[plan.workload];
  const requests = arrivals(workload, { load, lengthMs: leadMs + measuredMs, seed });

  async function tallied(contender: Contender, tpms: readonly number[]): Promise<Tally> {
    const specs = drawSpecs(tpms, plan, seed);
    const { throttledInBand } = workload;
    const courses = await run({ contender, requests, specs, throttledInBand, seed, maxHoldMs });
    return tallyOf(courses.filter(({ request }) => request.atMs >= leadMs));
  }

  const tallies = new Map<string, Tally>();
  for (const [name, contender] of contenders) tallies.set(name, await tallied(contender, workload.tpms));
  tallies.set('oracle', await bestOf((placement) => tallied(oracle(placement), workload.tpms)));
  if (plan.workload === 'f') {
    tallies.set('single', await tallied(oracle('most-room'), [total(workload.tpms)]));
  }
  return tallies;
}

/** Each seed by the rule of placement that serves most. */
async function bestOf(tallied: (placement: (typeof placements)[number]) => Promise<Tally>): Promise<Tally> {
  let best: Tally | undefined;
  for (const placement of placements) {
    const tally = await tallied(placement);
    if (best === undefined || servesMore(tally, best)) best = tally;
  }
  if (best === undefined) throw new Error('there is no rule of placement');
  return best;
}
