// The command line of the benchmark. Wrong arguments are all reported in one error.
import { parseArgs } from 'node:util';
import { contenderNames, isContenderName } from './contenders/contender.ts';
import type { ContenderName } from './contenders/contender.ts';

export type BalancerForm = 'built-or-sources' | 'built' | 'sources';

export interface Options {
  readonly contenders: readonly ContenderName[];
  readonly quick: boolean;
  readonly jsonFile?: string;
  readonly balancerForm: BalancerForm;
  readonly balancerCommand?: string;
}

export class OptionsError extends Error {
  override readonly name = 'OptionsError';
}

export const usage = `usage: npm run bench -- [options]
  --quick             a smoke run of under 30 s: the figures mean nothing, wrong answers still fail it
  --only a,b          only these contenders (${contenderNames.join(', ')}); direct is always measured
  --json FILE         write everything that was measured to FILE
  --built             measure the compiled balancer, fail if it cannot be built
  --sources           measure the balancer from its sources
                      (neither: compiled where it can be built, else the sources)
  --balancer-command "…"  start the balancer with this command, for example another version of it`;

export function readOptions(args: readonly string[]): Options {
  const values = parse(args);
  const problems: string[] = [];
  const only = values.only?.split(',').map((name) => name.trim());
  for (const name of only ?? []) {
    if (!isContenderName(name)) problems.push(`--only ${name}: no such contender, use ${contenderNames.join(', ')}`);
  }
  if (values.built && values.sources) problems.push('--built and --sources exclude each other');
  if (problems.length > 0) throw new OptionsError(problems.join('\n'));

  // Added latency is a difference to direct, so direct always runs.
  const contenders = contenderNames.filter((name) => only === undefined || name === 'direct' || only.includes(name));
  return {
    contenders,
    quick: values.quick,
    balancerForm: values.built ? 'built' : values.sources ? 'sources' : 'built-or-sources',
    ...(values.json === undefined ? {} : { jsonFile: values.json }),
    ...(values['balancer-command'] === undefined ? {} : { balancerCommand: values['balancer-command'] }),
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        quick: { type: 'boolean', default: false },
        only: { type: 'string' },
        json: { type: 'string' },
        built: { type: 'boolean', default: false },
        sources: { type: 'boolean', default: false },
        'balancer-command': { type: 'string' },
      },
    }).values;
  } catch (error) {
    throw new OptionsError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}
