// What was measured, as Markdown.
import type { DocumentTables } from '../document-tables.ts';
import type { Machine } from '../machine.ts';
import { table } from '../table.ts';
import type { Row } from './cell.ts';
import type { Options } from './options.ts';

export interface Measured {
  readonly machine: Machine;
  readonly plan: Options;
  readonly rows: readonly Row[];
  readonly notes: readonly string[];
}

const HEAD = [
  'of the quota, contender',
  'requests',
  'answered',
  '429s to callers',
  'other errors',
  'tokens served, % of the quota',
  'attempts a request',
  'attempts that ended in 429, %',
  'p50 ms',
  'p99 ms',
  'p50 ms to a 429',
];

export function toMarkdown({ machine, plan, rows, notes }: Measured): string {
  const versions = Object.entries(machine.versions).map(([name, version]) => `${name} ${version}`);
  const lines = [
    `# Live quotas${plan.quick ? ' (quick: the figures mean nothing)' : ''}`,
    '',
    `${machine.date}. ${machine.cpu}, ${machine.cores} cores; ${versions.join(', ')}; load average at the start ` +
      `${machine.loadAverage}. ${plan.windowMs / 1000} s measured after ${plan.leadMs / 1000} s of the same load.`,
    ...notes.flatMap((note) => ['', `Note: ${note}`]),
    '',
    ...table(HEAD, rows.map(cellsOf)),
    ...rows.flatMap(({ load, contender, others }) =>
      Object.entries(others).map(([reason, count]) => `\n${percentOf(load)}, ${contender}: ${reason} (${count})`),
    ),
  ];
  return `${lines.join('\n')}\n`;
}

/** Of bench/README.md. */
export const liveQuotaTables: DocumentTables = {
  name: 'live quotas',
  command: 'npm run bench:live-quota -- --readme',
  ending: '-live-quota.json',
  documents: { 'bench/README.md': (results) => shown(JSON.parse(results)) },
};

function shown({ machine, rows }: Measured): string[] {
  return [machineOf(machine), '', ...table(HEAD, rows.map(cellsOf))];
}

function machineOf({ date, cpu, cores, versions, loadAverage }: Machine): string {
  const named = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return `${date.slice(0, 10)}: ${cpu}, ${cores} cores; ${named.join(', ')}; load average at the start ${loadAverage}.`;
}

function cellsOf(row: Row): string[] {
  return [
    `${percentOf(row.load)}, ${row.contender}`,
    String(row.requests),
    String(row.answered),
    String(row.throttled),
    String(Object.values(row.others).reduce((sum, count) => sum + count, 0)),
    row.servedPercent.toFixed(1),
    row.attemptsPerRequest.toFixed(2),
    row.wastedPercent.toFixed(1),
    row.p50Ms.toFixed(0),
    row.p99Ms.toFixed(0),
    row.refusedP50Ms?.toFixed(0) ?? '–',
  ];
}

function percentOf(load: number): string {
  return `${(load * 100).toFixed(0)} %`;
}
