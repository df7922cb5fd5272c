// What a run came to, as it is written to a file, and as the table in docs/security.md, so that nobody types figures.
import type { DocumentTables } from '../../bench/document-tables.ts';
import type { Machine } from '../../bench/machine.ts';
import type { Fuzzed } from './fuzz.ts';

export interface TargetResult {
  readonly name: string;
  readonly property: string;
  readonly cases: number;
  readonly seconds: number;
  readonly casesPerSecond: number;
  /** Different things that inputs came to. */
  readonly outcomes: number;
  readonly slowestMs: number;
  readonly failures: number;
}

export interface FuzzResults {
  readonly machine: Machine;
  readonly seed: number;
  readonly targets: readonly TargetResult[];
}

export const fuzzTables: DocumentTables = {
  name: 'fuzzing',
  command: 'npm run fuzz -- --document',
  ending: '-fuzz.json',
  documents: {
    'README.md': (results) => inShort(JSON.parse(results)),
    'docs/security.md': (results) => tableOf(JSON.parse(results)),
  },
};

export function resultOf({ target, cases, ms, outcomes, slowestMs, failure }: Fuzzed): TargetResult {
  return {
    name: target.name,
    property: target.property,
    cases,
    seconds: Number((ms / 1000).toFixed(1)),
    casesPerSecond: Math.round((1000 * cases) / ms),
    outcomes: outcomes.size,
    slowestMs: Number(slowestMs.toFixed(1)),
    failures: failure === undefined ? 0 : 1,
  };
}

function tableOf({ machine, seed, targets }: FuzzResults): string[] {
  const cases = targets.reduce((sum, target) => sum + target.cases, 0);
  const failures = targets.reduce((sum, target) => sum + target.failures, 0);
  return [
    `${inThousands(cases)} inputs on ${machine.date.slice(0, 10)}, seed ${seed}: ${failures === 0 ? 'nothing failed' : `${failures} failed`}.`,
    '',
    '| what is read | inputs | what held |',
    '|---|---:|---|',
    ...targets.map(({ name, cases: own, property }) => `| ${name} | ${inThousands(own)} | ${property} |`),
  ];
}

function inShort({ machine, seed, targets }: FuzzResults): string[] {
  const sum = (figure: (target: TargetResult) => number): number =>
    targets.reduce((all, target) => all + figure(target), 0);
  return [
    '| what is read | kinds | inputs | properties that failed |',
    '|---|---:|---:|---:|',
    `| what callers and backends send, settings, tokens (seed ${seed}, ${machine.date.slice(0, 10)}) | ${targets.length} | ${inThousands(sum(({ cases }) => cases))} | ${sum(({ failures }) => failures)} |`,
  ];
}

function inThousands(count: number): string {
  return count.toLocaleString('en-US');
}
