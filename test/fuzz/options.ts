// The command line of the fuzzer. Wrong arguments are all reported in one error.
import { parseArgs } from 'node:util';
import type { Input } from './target.ts';

export interface Options {
  /** For a target; those that are slow get a share of it. */
  readonly cases: number;
  readonly seed: number;
  readonly names: readonly string[];
  /** Only this one, to see it fail again. */
  readonly input?: Input;
  readonly jsonFile?: string;
  /** Runs nothing: writes the table of this results file. */
  readonly documentFile?: string;
}

export class OptionsError extends Error {
  override readonly name = 'OptionsError';
}

export function usage(known: readonly string[]): string {
  return `usage: npm run fuzz -- [options]
  --cases 100000        how many inputs for each target; those that are slow get a share of it
  --seed 1              the same seed, the same inputs
  --only a,b            only these of: ${known.join(', ')}
  --input BASE64:SEED   only this input, with one --only: as a failure is told
  --json FILE           write what was found to FILE
  --document FILE       run nothing; write the table of docs/security.md from such a file`;
}

export function readOptions(args: readonly string[], known: readonly string[]): Options {
  const values = parse(args);
  const problems: string[] = [];

  function whole(option: string, given: string): number {
    const value = /^\d{1,12}$/.test(given) ? Number(given) : Number.NaN;
    if (Number.isNaN(value)) problems.push(`--${option} ${given}: a whole number is expected`);
    return value;
  }

  const cases = whole('cases', values.cases);
  const seed = whole('seed', values.seed);
  const names = values.only?.split(',').map((name) => name.trim()) ?? known;
  for (const name of names) {
    if (!known.includes(name)) problems.push(`--only ${name}: there is none of that name, use ${known.join(', ')}`);
  }
  const [, base64, inputSeed] = /^([A-Za-z0-9+/=]*):(\d+)$/.exec(values.input ?? '') ?? [];
  if (values.input !== undefined && (base64 === undefined || names.length !== 1)) {
    problems.push('--input: BASE64:SEED is expected, and one name in --only');
  }
  if (problems.length > 0) throw new OptionsError(problems.join('\n'));
  return {
    cases,
    seed,
    names,
    ...(base64 === undefined ? {} : { input: { bytes: Buffer.from(base64, 'base64'), seed: Number(inputSeed) } }),
    ...(values.json === undefined ? {} : { jsonFile: values.json }),
    ...(values.document === undefined ? {} : { documentFile: values.document }),
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        cases: { type: 'string', default: '100000' },
        seed: { type: 'string', default: '1' },
        only: { type: 'string' },
        input: { type: 'string' },
        json: { type: 'string' },
        document: { type: 'string' },
      },
    }).values;
  } catch (error) {
    throw new OptionsError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}
