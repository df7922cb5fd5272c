/**
 * `node bench/provisioned/main.ts`: how well a provisioned deployment is used before pay-as-you-go gets anything, beside the
 * ancestor's rule. Exit code 1 when a request got no answer, or a process failed; a 429 is an answer, and no time is judged.
 */
import { writeFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { allowedCores, cleanUpAtExit, pinSelf } from '../children.ts';
import { writeTables } from '../document-tables.ts';
import { describeMachine } from '../machine.ts';
import { whenEveryRequestAsks } from './asked.ts';
import { arrivalsOf, fillTokens, limitsOf, prepareCell } from './cell.ts';
import type { Cell, CellPlan, PreparedCell, Setting } from './cell.ts';
import { contenders } from './contenders.ts';
import { OptionsError, readOptions, usage } from './options.ts';
import type { Options } from './options.ts';
import { provisionedTables, toMarkdown } from './report.ts';
import type { Measured } from './report.ts';

const LATENESS_STEP_MS = 5;
const TOLERATED_LATENESS_MS = 20;

cleanUpAtExit();
try {
  const options = readOptions(process.argv.slice(2));
  if (options.readmeFile !== undefined) writeTables(provisionedTables, options.readmeFile);
  else await report(options);
} catch (error) {
  if (!(error instanceof OptionsError)) throw error;
  process.stderr.write(`${error.message}\n${usage}\n`);
  process.exitCode = 1;
}

async function report(options: Options): Promise<void> {
  const measured = await measure(options);
  process.stdout.write(toMarkdown(measured));
  if (options.jsonFile !== undefined) writeFileSync(options.jsonFile, `${JSON.stringify(measured, undefined, 2)}\n`);
  if (measured.cells.some(({ unanswered }) => unanswered > 0)) process.exitCode = 1;
}

async function measure(options: Options): Promise<Measured> {
  const machine = describeMachine({});
  const chosen = contenders().filter(({ name }) => options.only?.includes(name) ?? true);
  if (chosen.length === 0)
    throw new OptionsError(
      `--only: use ${contenders()
        .map(({ name }) => name)
        .join(' or ')}`,
    );
  const [contenderCore = 0, ownCore = contenderCore] = allowedCores();
  pinSelf(ownCore);
  const { loads, shapes, bucketsMs, leadMs, windowMs, warmRequests } = options;
  const lateness = monitorEventLoopDelay({ resolution: LATENESS_STEP_MS });
  lateness.enable();
  const cells: Cell[] = [];
  for (const contender of chosen) {
    const common = { contender, leadMs, windowMs, warmRequests, bucketsMs, core: contenderCore };
    cells.push(
      ...(await measureTogether(
        shapes.flatMap((shape) => loads.map((load) => ({ ...common, shape, load }))),
        bucketsMs,
      )),
    );
  }
  lateness.disable();
  const lateMs = lateness.percentile(99) / 1e6 - LATENESS_STEP_MS;
  const everySetting = shapes.flatMap((shape) =>
    bucketsMs.flatMap((burstMs) => loads.map((load) => ({ shape, burstMs, load }))),
  );
  return {
    machine,
    plan: options,
    cells,
    asked: everySetting.map((setting) => ({ ...setting, ...askedOf(setting, options) })),
    notes: [
      ...(contenders().length < 3 ? ['this version has no PRIORITY_WAIT_MS: the balancer waits for no priority.'] : []),
      ...(lateMs > TOLERATED_LATENESS_MS
        ? [
            `callers and fleets were ${lateMs.toFixed(0)} ms late (p99): run again on an idle machine for the added times.`,
          ]
        : []),
    ],
  };
}

/** All are started and warmed up before the first begins. */
async function measureTogether(plans: readonly CellPlan[], bucketsMs: readonly number[]): Promise<Cell[]> {
  const prepared: PreparedCell[] = [];
  try {
    const starts = await Promise.allSettled(
      plans.map(async (plan) => {
        prepared.push(await prepareCell(plan));
      }),
    );
    for (const start of starts) if (start.status === 'rejected') throw start.reason;
    const cells: Cell[] = [];
    for (const burstMs of bucketsMs) {
      say(`${plans[0]?.contender.name ?? ''}, a bucket of ${burstMs / 1000} s`);
      cells.push(...(await Promise.all(prepared.map((cell) => cell.run(burstMs)))));
    }
    return cells;
  } finally {
    await Promise.all(prepared.map((cell) => cell.close()));
  }
}

function askedOf(setting: Setting, { leadMs, windowMs }: Options) {
  return whenEveryRequestAsks({
    arrivals: arrivalsOf({ ...setting, leadMs, windowMs }),
    limits: limitsOf(setting),
    fillTokens: fillTokens(setting),
    leadMs,
    windowMs,
  });
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}
