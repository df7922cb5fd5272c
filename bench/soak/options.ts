// The command line of the soak. Wrong arguments are all reported in one error.
import { parseArgs } from 'node:util';

export interface Options {
  readonly seed: number;
  readonly plan: SoakPlan;
  readonly isQuick: boolean;
  readonly jsonFile?: string;
  /** Runs nothing: writes the tables of this results file. */
  readonly readmeFile?: string;
}

/** How long each phase is. */
export interface SoakPlan {
  readonly warmMs: number;
  /** Callers who wait for their answers, without faults. */
  readonly closedMs: number;
  /** Each rate that is tried, with faults. */
  readonly stepMs: number;
  readonly soakMs: number;
  /** Nobody asks: what was held must be given back. */
  readonly calmMs: number;
  /** 70 % without faults: what latencies are to be again after the overload. */
  readonly baselineMs: number;
  readonly overloadMs: number;
  readonly recoveryMs: number;
  /** Between two looks at memory, sockets and listeners. */
  readonly lookMs: number;
}

export class OptionsError extends Error {
  override readonly name = 'OptionsError';
}

export const usage = `usage: node bench/soak/main.ts [options]
  --minutes 20      how long faults and callers go on at 70 % of the capacity
  --seed 1          of the traffic and of the faults
  --quick           a smoke run: half a minute of faults, its figures mean nothing
  --json FILE       write everything that was measured to FILE
  --readme FILE     run nothing; write the table of bench/README.md from that results file
  Everything takes 4 minutes more than --minutes.`;

export function readOptions(args: readonly string[]): Options {
  const values = parse(args);
  const problems: string[] = [];
  const minutes = numberIn('minutes', values.minutes ?? '20', /^\d{1,4}(?:\.\d{1,3})?$/, problems);
  const seed = numberIn('seed', values.seed ?? '1', /^\d{1,9}$/, problems);
  if (values.quick && values.minutes !== undefined) problems.push('--quick and --minutes exclude each other');
  if (problems.length > 0) throw new OptionsError(problems.join('\n'));
  return {
    seed,
    plan: values.quick ? quickPlan : planFor(minutes),
    isQuick: values.quick,
    ...(values.json === undefined ? {} : { jsonFile: values.json }),
    ...(values.readme === undefined ? {} : { readmeFile: values.readme }),
  };
}

const quickPlan: SoakPlan = {
  warmMs: 4000,
  closedMs: 4000,
  stepMs: 1000,
  soakMs: 25_000,
  calmMs: 8000,
  baselineMs: 4000,
  overloadMs: 5000,
  recoveryMs: 5000,
  lookMs: 800,
};

function planFor(minutes: number): SoakPlan {
  const soakMs = Math.round(minutes * 60_000);
  return {
    warmMs: 20_000,
    closedMs: 15_000,
    stepMs: 12_000,
    soakMs,
    calmMs: 15_000,
    baselineMs: 15_000,
    overloadMs: 25_000,
    recoveryMs: 15_000,
    lookMs: Math.min(60_000, Math.max(1000, Math.round(soakMs / 20))),
  };
}

function numberIn(option: string, given: string, form: RegExp, problems: string[]): number {
  const value = form.test(given) ? Number(given) : Number.NaN;
  if (!(value > 0)) problems.push(`--${option} ${given}: a number above 0 is expected`);
  return value;
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        minutes: { type: 'string' },
        seed: { type: 'string' },
        quick: { type: 'boolean', default: false },
        json: { type: 'string' },
        readme: { type: 'string' },
      },
    }).values;
  } catch (error) {
    throw new OptionsError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}
