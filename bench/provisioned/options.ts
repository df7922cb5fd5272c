// The command line of the measurement, and how long each part of it takes.
import { parseArgs } from 'node:util';
import { BUCKETS_MS, isShapeName, LOADS, SHAPE_NAMES } from './shapes.ts';
import type { ShapeName } from './shapes.ts';

export interface Options {
  readonly quick: boolean;
  /** The offered load as a share of what the provisioned deployment can take. */
  readonly loads: readonly number[];
  readonly shapes: readonly ShapeName[];
  readonly bucketsMs: readonly number[];
  /** Contenders to measure; absent: all. */
  readonly only?: readonly string[];
  readonly jsonFile?: string;
  /** Measures nothing: writes the tables of this results file. */
  readonly readmeFile?: string;
  readonly leadMs: number;
  readonly windowMs: number;
  /** Before the lead, to every contender. */
  readonly warmRequests: number;
}

export class OptionsError extends Error {
  override readonly name = 'OptionsError';
}

export const usage = `usage: node bench/provisioned/main.ts [options]
  --quick             a smoke run of about 30 s: the figures mean little
  --load 1.2          only this offered load, as a share of the provisioned capacity; may be given again
                      (neither: ${LOADS.join(', ')})
  --shape small       only this provisioned deployment (${SHAPE_NAMES.join(', ')})
  --bucket 1          only a bucket that holds so many seconds of the rate (neither: ${BUCKETS_MS.map((ms) => ms / 1000).join(', ')})
  --only "balancer"   only this contender; may be given again
  --json FILE         write everything that was measured to FILE
  --readme FILE       measure nothing; write the tables of bench/README.md from that results file`;

/** One of the loads below, one above: what a smoke run needs to see. */
const QUICK_LOADS: readonly number[] = [0.9, 1.2];

export function readOptions(args: readonly string[]): Options {
  const values = parse(args);
  const problems: string[] = [];
  const loads = values.load?.map((text) => positive('--load', text, problems));
  const buckets = values.bucket?.map((text) => positive('--bucket', text, problems) * 1000);
  const { shape } = values;
  if (shape !== undefined && !isShapeName(shape)) {
    problems.push(`--shape ${shape}: no such shape, use ${SHAPE_NAMES.join(' or ')}`);
  }
  if (problems.length > 0) throw new OptionsError(problems.join('\n'));
  return {
    quick: values.quick,
    loads: loads ?? (values.quick ? QUICK_LOADS : LOADS),
    shapes: shape !== undefined && isShapeName(shape) ? [shape] : SHAPE_NAMES,
    bucketsMs: buckets ?? BUCKETS_MS,
    ...(values.only === undefined ? {} : { only: values.only }),
    ...(values.json === undefined ? {} : { jsonFile: values.json }),
    ...(values.readme === undefined ? {} : { readmeFile: values.readme }),
    leadMs: values.quick ? 500 : 3000,
    windowMs: values.quick ? 2000 : 30_000,
    warmRequests: values.quick ? 30 : 100,
  };
}

function positive(option: string, text: string, problems: string[]): number {
  const value = Number(text);
  if (!(value > 0 && Number.isFinite(value))) problems.push(`${option} ${text}: must be a number above 0`);
  return value;
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        quick: { type: 'boolean', default: false },
        load: { type: 'string', multiple: true },
        shape: { type: 'string' },
        bucket: { type: 'string', multiple: true },
        only: { type: 'string', multiple: true },
        json: { type: 'string' },
        readme: { type: 'string' },
      },
    }).values;
  } catch (error) {
    throw new OptionsError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}
