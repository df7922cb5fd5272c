// A results file: everything that was seen in one run.
import { writeFileSync } from 'node:fs';
import type { ContenderName, Result } from './row.ts';
import type { SwitchedOff } from './switch-offs.ts';

export interface Results {
  readonly date: string;
  readonly versions: Readonly<Partial<Record<ContenderName, string>>>;
  readonly results: readonly Result[];
  readonly switchedOff: readonly SwitchedOff[];
}

export function writeResults(file: string, results: Results): void {
  writeFileSync(file, `${JSON.stringify(results, undefined, 1)}\n`);
}

/** Of a results file's text. */
export function readResults(text: string): Results {
  const results: Results = JSON.parse(text);
  return results;
}

/** `7 of 9` */
export function score(results: readonly Result[]): string {
  return `${results.filter(({ passed }) => passed).length} of ${results.length}`;
}
