// The command line of the arena. Wrong arguments are all reported in one error.
import { parseArgs } from 'node:util';
import { windowKinds } from '../../simulator/limits/meter.ts';
import type { CellPlan } from './cell.ts';
import { workloadNames } from './workload.ts';

export interface Options {
  readonly cells: readonly CellPlan[];
  readonly jsonFile?: string;
  readonly bars: boolean;
  /** Runs nothing: writes the tables of this results file. */
  readonly readmeFile?: string;
}

export class OptionsError extends Error {
  override readonly name = 'OptionsError';
}

const LOADS = [0.5, 0.9, 1, 1.5];
const SLICES_MS = [10_000, 1000];
const LEAD_MS = 60_000;

export const usage = `usage: node bench/arena/main.ts [options]
  --workload a,b    only these of ${workloadNames.join(', ')}
  --window fixed    only these of ${windowKinds.join(', ')}
  --load 0.9        only these shares of the summed quota; else ${LOADS.join(', ')}
  --seeds 3         how many runs a cell has, each of its own chance; else 5
  --minutes 8       how much of a run is counted; else 8
  --hold 2000       how long a request may wait at most, in ms
  --slices 10000    the lengths, in ms, of the slices in which requests are counted; else ${SLICES_MS.join(',')}
  --quick           one seed of two minutes
  --bars            also which bars the balancer meets
  --json FILE       write everything that was measured to FILE
  --readme FILE     run nothing; write the tables of README.md and bench/README.md from that results file`;

export function readOptions(args: readonly string[]): Options {
  const values = parse(args);
  const problems: string[] = [];

  function listed<T extends string>(option: string, given: string | undefined, known: readonly T[]): readonly T[] {
    const names = given?.split(',').map((name) => name.trim()) ?? known;
    for (const name of names) {
      if (!known.some((one) => one === name)) {
        problems.push(`--${option} ${name}: there is none of that name, use ${known.join(', ')}`);
      }
    }
    return known.filter((name) => names.includes(name));
  }

  function positive(option: string, given: string): number {
    const value = /^\d+(?:\.\d+)?$/.test(given.trim()) ? Number(given) : Number.NaN;
    if (!(value > 0)) problems.push(`--${option} ${given}: a number above 0 is expected`);
    return value;
  }

  const workloads = listed('workload', values.workload, workloadNames);
  const windows = listed('window', values.window, windowKinds);
  const loads = values.load?.split(',').map((load) => positive('load', load)) ?? LOADS;
  const requestSlicesMs = values.slices?.split(',').map((slice) => positive('slices', slice)) ?? SLICES_MS;
  const count = positive('seeds', values.seeds ?? (values.quick ? '1' : '5'));
  const minutes = positive('minutes', values.minutes ?? (values.quick ? '2' : '8'));
  const maxHoldMs = positive('hold', values.hold ?? '2000');
  if (problems.length > 0) throw new OptionsError(problems.join('\n'));

  const seeds = Array.from({ length: count }, (_, index) => index + 1);
  const cells = workloads.flatMap((workload) =>
    windows.flatMap((window) =>
      loads.map((load) => ({
        workload,
        window,
        requestSlicesMs,
        load,
        seeds,
        leadMs: LEAD_MS,
        measuredMs: minutes * 60_000,
        maxHoldMs,
      })),
    ),
  );
  return {
    cells,
    bars: values.bars,
    ...(values.json === undefined ? {} : { jsonFile: values.json }),
    ...(values.readme === undefined ? {} : { readmeFile: values.readme }),
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        workload: { type: 'string' },
        window: { type: 'string' },
        load: { type: 'string' },
        seeds: { type: 'string' },
        minutes: { type: 'string' },
        hold: { type: 'string' },
        slices: { type: 'string' },
        quick: { type: 'boolean', default: false },
        bars: { type: 'boolean', default: false },
        json: { type: 'string' },
        readme: { type: 'string' },
      },
    }).values;
  } catch (error) {
    throw new OptionsError(error instanceof Error ? error.message : String(error));
  }
}
