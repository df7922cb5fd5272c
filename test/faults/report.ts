// What the run prints.
import { score, type Results } from './results.ts';
import { contenderNames, groups, type Group, type Result } from './row.ts';
import type { SwitchedOff } from './switch-offs.ts';

type Cells = readonly string[];

export function report({ results, switchedOff }: Results): string {
  const own = results.filter(({ contender }) => contender === 'balancer');
  const peers = contenderNames.filter((name) => name !== 'balancer' && results.some((each) => each.contender === name));
  const parts = [
    ...aligned([['fault', 'what the caller saw', ''], ...own.map(lineOf)]),
    '',
    `balancer: ${score(own)}`,
    ...(peers.length === 0 ? [] : ['', ...aligned(byGroup(results))]),
    ...(switchedOff.length === 0 ? [] : ['', ...aligned(withoutMechanisms(switchedOff))]),
  ];
  return `${parts.join('\n')}\n`;
}

function lineOf({ row, saw, passed, missed }: Result): Cells {
  return [row, saw, passed ? 'pass' : `FAIL, wanted: ${missed}`];
}

function withoutMechanisms(switchedOff: readonly SwitchedOff[]): readonly Cells[] {
  return [
    ['without', 'fault', 'what the caller saw', ''],
    ...switchedOff.map(({ mechanism, result }) => [
      mechanism,
      result.row,
      result.saw,
      result.passed ? 'NOT NOTICED' : 'noticed',
    ]),
  ];
}

/** A row for each group, a column for each contender; a peer only where there are rows for it. */
export function byGroup(results: readonly Result[]): readonly Cells[] {
  const names = contenderNames.filter((name) => results.some(({ contender }) => contender === name));
  const cell = (group: Group | undefined, name: string): string => {
    const own = results.filter(
      ({ contender, group: each }) => contender === name && (group === undefined || group === each),
    );
    return own.length === 0 ? '–' : score(own);
  };
  const lines = Object.entries(groups).flatMap(([group, title]) =>
    isGroup(group) ? [[title, ...names.map((name) => cell(group, name))]] : [],
  );
  return [['faults', ...names], ...lines, ['all', ...names.map((name) => cell(undefined, name))]];
}

function isGroup(name: string): name is Group {
  return Object.hasOwn(groups, name);
}

function aligned(lines: readonly Cells[]): readonly string[] {
  const widths = (lines[0] ?? []).map((_, column) => Math.max(...lines.map((line) => (line[column] ?? '').length)));
  return lines.map((line) =>
    line
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}
