// The table that the README shows of the arena: over all kinds of windows, what each rule refused though it need not
// have, and what it asked for nothing.
import type { DocumentTables } from '../document-tables.ts';
import { table } from '../table.ts';
import type { Cell } from './cell.ts';
import { workloads } from './workload.ts';
import type { WorkloadName } from './workload.ts';

const RULES = ['balancer', 'ancestor', 'usage-based'] as const;
const SHOWN: readonly WorkloadName[] = ['a', 'b', 'c', 'd', 'e'];
const LOADS = [0.9, 1, 1.5];

function lines(results: string): string[] {
  const cells: Cell[] = JSON.parse(results);
  return summary(cells);
}

export const arenaTables: DocumentTables = {
  name: 'arena',
  command: 'npm run bench:arena -- --readme',
  ending: '-arena.json',
  documents: { 'README.md': lines, 'bench/README.md': lines },
};

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
