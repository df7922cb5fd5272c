// The command line of the benchmark. Wrong arguments are all reported in one error.
import { parseArgs } from 'node:util';
import { alternatives } from './contenders/all.ts';
import { contenderNames, isContenderName } from './contenders/contender.ts';
import type { ContenderName, Transport } from './contenders/contender.ts';

export type BalancerForm = 'built-or-sources' | 'built' | 'sources';

export interface Options {
  readonly contenders: readonly ContenderName[];
  readonly transports: readonly Transport[];
  readonly quick: boolean;
  readonly profile: boolean;
  /** Only what it costs to find out who calls. */
  readonly auth: boolean;
  /** Measure nothing; write the documents' tables from this results file. */
  readonly readmeFile?: string;
  readonly jsonFile?: string;
  readonly balancerForm: BalancerForm;
  readonly balancerCommand?: string;
}

export class OptionsError extends Error {
  override readonly name = 'OptionsError';
}

export const usage = `usage: npm run bench -- [options]
  --quick             a smoke run of under 40 s: the figures mean nothing, wrong answers still fail it
  --plain, --tls      only with plain HTTP, only with TLS to the backends; neither: both
  --alternatives      also the balancer with http.request and with undici in the place of http-proxy-middleware
  --only a,b          only these contenders (${contenderNames.join(', ')}); direct is always measured
  --json FILE         write everything that was measured to FILE
  --readme FILE       measure nothing; write the tables of README.md and bench/README.md from such a file
  --auth              measure only what it costs to find out who calls, in this process, 20 s
  --profile           measure nothing; say where the balancer's time goes
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
  const contenders = contenderNames.filter(
    (name) => name === 'direct' || (only?.includes(name) ?? (values.alternatives || !alternatives.has(name))),
  );
  return {
    contenders,
    transports: values.plain === values.tls ? ['plain', 'tls'] : [values.tls ? 'tls' : 'plain'],
    quick: values.quick,
    profile: values.profile,
    auth: values.auth,
    ...(values.readme === undefined ? {} : { readmeFile: values.readme }),
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
        plain: { type: 'boolean', default: false },
        tls: { type: 'boolean', default: false },
        alternatives: { type: 'boolean', default: false },
        profile: { type: 'boolean', default: false },
        auth: { type: 'boolean', default: false },
        readme: { type: 'string' },
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
