// What was measured, as Markdown.
import type { DocumentTables } from '../document-tables.ts';
import type { Machine } from '../machine.ts';
import { median, ratioOf } from '../statistics.ts';
import { table } from '../table.ts';

export type Variant = 'nothing' | 'metrics, ledger and page' | 'Application Insights too';

export interface Measured {
  readonly machine: Machine;
  readonly rounds: number;
  /** Of CPU a request, one value a round. */
  readonly cpuUs: Readonly<Record<Variant, readonly number[]>>;
  readonly problems: Readonly<Record<string, number>>;
}

/** Of bench/README.md. */
export const telemetryTables: DocumentTables = {
  name: 'telemetry',
  command: 'npm run bench:telemetry -- --readme',
  ending: '-telemetry.json',
  documents: { 'bench/README.md': (results) => toMarkdown(JSON.parse(results)) },
};

export function toMarkdown({ machine, rounds, cpuUs, problems }: Measured): string[] {
  const { date, cpu, cores, versions, loadAverage } = machine;
  return [
    `${date.slice(0, 10)}: ${cpu}, ${cores} cores; node ${versions['node'] ?? ''}; load average at the start ${loadAverage}; ${rounds} rounds; the balancer from its sources.`,
    '',
    ...table(
      [
        'what hears of events, beside the log',
        'CPU a request, µs (median)',
        'more than nothing, % (median of the rounds)',
      ],
      Object.entries(cpuUs).map(([variant, values]) => [
        variant,
        median(values).toFixed(0),
        variant === 'nothing' ? '–' : (100 * (ratioOf(values, cpuUs.nothing).ofRounds - 1)).toFixed(1),
      ]),
    ),
    ...Object.entries(problems).map(([problem, count]) => `\n${problem} (${count})`),
  ];
}
