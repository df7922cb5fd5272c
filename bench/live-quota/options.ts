// The command line of the measurement.
import { parseArgs } from 'node:util';
import { contenderNames } from './contenders.ts';
import type { ContenderName } from './contenders.ts';

export interface Options {
  readonly quick: boolean;
  /** As shares of the summed quota. */
  readonly loads: readonly number[];
  readonly contenders: readonly ContenderName[];
  readonly leadMs: number;
  readonly windowMs: number;
  readonly jsonFile?: string;
  /** Measures nothing: writes the tables of this results file. */
  readonly readmeFile?: string;
}

export class OptionsError extends Error {
  override readonly name = 'OptionsError';
}

const LOADS = [0.9, 1.5];

export const usage = `usage: node bench/live-quota/main.ts [options]
  --quick           a smoke run of a minute: the figures mean nothing
  --only a,b        only these of ${contenderNames.join(', ')}
  --load 1.5        only this load, as a share of the summed quota (else ${LOADS.join(' and ')})
  --json FILE       write everything that was measured to FILE
  --readme FILE     measure nothing; write the tables of bench/README.md from that results file
  Everything takes 9 minutes; LiteLLM is left out where npm run bench:peers has not installed it.`;

export function readOptions(args: readonly string[]): Options {
  const values = parse(args);
  const wanted = values.only?.split(',').map((name) => name.trim()) ?? contenderNames;
  const unknown = wanted.filter((name) => !contenderNames.some((one) => one === name));
  if (unknown.length > 0) {
    throw new OptionsError(`--only ${unknown.join(',')}: there is none of that name, use ${contenderNames.join(', ')}`);
  }
  const load = values.load === undefined ? undefined : Number(values.load);
  if (load !== undefined && !(load > 0 && Number.isFinite(load))) {
    throw new OptionsError(`--load ${values.load ?? ''}: must be a number above 0`);
  }
  return {
    quick: values.quick,
    loads: load === undefined ? LOADS : [load],
    contenders: contenderNames.filter((name) => wanted.includes(name)),
    leadMs: values.quick ? 5000 : 60_000,
    windowMs: values.quick ? 15_000 : 180_000,
    ...(values.json === undefined ? {} : { jsonFile: values.json }),
    ...(values.readme === undefined ? {} : { readmeFile: values.readme }),
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        quick: { type: 'boolean', default: false },
        only: { type: 'string' },
        load: { type: 'string' },
        json: { type: 'string' },
        readme: { type: 'string' },
      },
    }).values;
  } catch (error) {
    throw new OptionsError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}
