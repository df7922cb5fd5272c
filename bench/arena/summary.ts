// The table that the README shows of the arena, made from a results file so that nobody types figures: over all kinds of
// windows, what each rule refused though it need not have, and what it asked for nothing.
import { readFileSync, writeFileSync } from 'node:fs';
import { table } from '../table.ts';
import type { Cell } from './cell.ts';
import { workloads } from './workload.ts';
import type { WorkloadName } from './workload.ts';

const DOCUMENTS = ['README.md', 'bench/README.md'] as const;
const root = new URL('../../', import.meta.url);
const BEGIN = /<!-- arena of (\S+), written by npm run bench:arena -- --readme -->/;
const END = '<!-- end of the arena -->';
const RULES = ['balancer', 'ancestor', 'usage-based'] as const;
const SHOWN: readonly WorkloadName[] = ['a', 'b', 'c', 'd', 'e'];
const LOADS = [0.9, 1, 1.5];

export const arenaDocuments: readonly string[] = DOCUMENTS;

export function arenaSource(text: string): string | undefined {
  return BEGIN.exec(text)?.[1];
}

/** @param file by its path from the repository's root */
export function writeArenaTables(file: string): void {
  for (const document of DOCUMENTS) {
    const url = new URL(document, root);
    writeFileSync(url, withArena(readFileSync(url, 'utf8'), file));
  }
}

/** The document with the table of this results file; all else stays. */
export function withArena(text: string, file: string): string {
  const begin = BEGIN.exec(text);
  const end = text.indexOf(END);
  if (begin === null || end < begin.index) throw new Error('there is no place for the arena');
  const cells: Cell[] = JSON.parse(readFileSync(new URL(file, root), 'utf8'));
  const lines = [
    `<!-- arena of ${file}, written by npm run bench:arena -- --readme -->`,
    '',
    ...summary(cells),
    '',
    END,
  ];
  return text.slice(0, begin.index) + lines.join('\n') + text.slice(end + END.length);
}

function summary(cells: readonly Cell[]): string[] {
  const head = [
    'requests',
    'of the quota',
    ...RULES.map((rule) => `refused for nothing: ${rule}`),
    ...RULES.map((rule) => `asked for nothing: ${rule}`),
  ];
  const rows = SHOWN.flatMap((workload) =>
    LOADS.map((load) => {
      const own = cells.filter(({ plan }) => plan.workload === workload && plan.load === load);
      return [
        workloads[workload].title,
        `${Math.round(100 * load)} %`,
        ...RULES.map((rule) => percent(own, rule, 'needless')),
        ...RULES.map((rule) => percent(own, rule, 'wasted')),
      ];
    }),
  );
  return table(head, rows);
}

/** The mean over the kinds of windows. */
function percent(cells: readonly Cell[], rule: string, figure: 'needless' | 'wasted'): string {
  const values = cells.flatMap(({ rows }) =>
    rows.filter((row) => row.contender === rule).map((row) => row.figures[figure]),
  );
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return `${Math.max(0, 100 * mean).toFixed(1)} %`;
}
