// What a run came to, as it is written to a file, and as the table in docs/security.md, so that nobody types figures.
import { readFileSync, writeFileSync } from 'node:fs';
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

const root = new URL('../../', import.meta.url);
const BEGIN = /<!-- fuzzing of (\S+), written by npm run fuzz -- --document -->/;
const END = '<!-- end of the fuzzing -->';

export const FUZZING_DOCUMENT = 'docs/security.md';

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

export function fuzzingSource(text: string): string | undefined {
  return BEGIN.exec(text)?.[1];
}

/** @param file by its path from the repository's root */
export function writeFuzzing(file: string): void {
  const url = new URL(FUZZING_DOCUMENT, root);
  writeFileSync(url, withFuzzing(readFileSync(url, 'utf8'), file));
}

/** The document with the table of this results file; all else stays. */
export function withFuzzing(text: string, file: string): string {
  const begin = BEGIN.exec(text);
  const end = text.indexOf(END);
  if (begin === null || end < begin.index) throw new Error('there is no place for the fuzzing');
  const results: FuzzResults = JSON.parse(readFileSync(new URL(file, root), 'utf8'));
  const lines = [
    `<!-- fuzzing of ${file}, written by npm run fuzz -- --document -->`,
    '',
    ...tableOf(results),
    '',
    END,
  ];
  return text.slice(0, begin.index) + lines.join('\n') + text.slice(end + END.length);
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

function inThousands(count: number): string {
  return count.toLocaleString('en-US');
}
