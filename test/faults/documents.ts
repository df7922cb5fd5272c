// The tables of README.md and docs/faults.md, of what a run saw.
import type { DocumentTables } from '../../bench/document-tables.ts';
import { table } from '../../bench/table.ts';
import { byGroup } from './report.ts';
import { readResults, score, type Results } from './results.ts';
import { contenderNames, groups, type ContenderName, type Result } from './row.ts';

const TITLES: Readonly<Record<ContenderName, string>> = { balancer: 'balancer', nginx: 'nginx', litellm: 'LiteLLM' };

/** By document, what it is given. */
export const faultTables: DocumentTables = {
  name: 'faults',
  command: 'npm run test:faults -- --readme',
  ending: '-faults.json',
  documents: {
    'README.md': (results) => summary(readResults(results)),
    'docs/faults.md': (results) => everything(readResults(results)),
  },
};

function summary(results: Results): readonly string[] {
  const [head = [], ...rows] = byGroup(results.results);
  return [
    ...table(head.map(titleOf), rows),
    '',
    `Seen on ${results.date}${versionsOf(results)}.`,
    ...peersOf(results).flatMap((name) => missesOf(results, name)),
  ];
}

function titleOf(name: string): string {
  const known = contenderNames.find((each) => each === name);
  return known === undefined ? '' : TITLES[known];
}

function versionsOf({ versions }: Results): string {
  const told = contenderNames.flatMap((name) =>
    name === 'balancer' || versions[name] === undefined ? [] : [`${TITLES[name]} ${versions[name]}`],
  );
  return told.length === 0 ? '' : `, beside ${told.join(' and ')}`;
}

function peersOf({ results }: Results): readonly ContenderName[] {
  return contenderNames.filter((name) => name !== 'balancer' && results.some(({ contender }) => contender === name));
}

/** After what its callers did not get what they want although two backends were well: a whole group by its name. */
function missesOf({ results }: Results, name: ContenderName): readonly string[] {
  const ofFirst = results.filter(
    ({ contender, row, group }) =>
      contender === name && row.endsWith(', at the first') && group !== 'refused' && group !== 'broken',
  );
  const told = Object.entries(groups).flatMap(([group, title]) => {
    const own = ofFirst.filter((each) => each.group === group);
    const missed = new Set(own.filter(({ passed }) => !passed).map(kindOf));
    return missed.size > 0 && missed.size === new Set(own.map(kindOf)).size ? [title] : [...missed];
  });
  if (told.length === 0) return [];
  return ['', `What callers of ${TITLES[name]} suffered from though two other backends were well: ${told.join('; ')}.`];
}

/** `a throttle as the first event` of `a throttle as the first event (error-event), streamed, at the first` */
function kindOf({ row }: Result): string {
  return (row.split(', ')[0] ?? '').replace(/ \(.*\)$/, '');
}

function everything(results: Results): readonly string[] {
  return [
    `Seen on ${results.date}${versionsOf(results)}.`,
    ...Object.entries(groups).flatMap(([group, title]) => {
      const own = results.results.filter((each) => each.group === group);
      return own.length === 0 ? [] : ['', `### ${capitalised(title)}`, '', ...rowsOf(own)];
    }),
    '',
    '### With a mechanism switched off',
    '',
    ...textTable(
      ['without', 'fault', 'what the caller saw', ''],
      results.switchedOff.map(({ mechanism, result }) => [
        mechanism,
        result.row,
        cellText(result.saw),
        result.passed ? '**not noticed**' : 'noticed',
      ]),
    ),
  ];
}

/** A row for each fault: what the balancer's caller saw, and what a peer's caller saw where that is not what it wants. */
function rowsOf(results: readonly Result[]): readonly string[] {
  const names = contenderNames.filter((name) => results.some(({ contender }) => contender === name));
  const faults = [...new Set(results.map(({ row }) => row))];
  return textTable(
    ['fault', ...names.map((name) => `${TITLES[name]}: ${score(results.filter((each) => each.contender === name))}`)],
    faults.map((fault) => [
      fault,
      ...names.map((name) => cellOf(results.find(({ row, contender }) => row === fault && contender === name))),
    ]),
  );
}

/** Without the alignment of numbers. */
function textTable(head: readonly string[], rows: readonly (readonly string[])[]): readonly string[] {
  return table(head, rows).map((line, index) => (index === 1 ? line.replaceAll('---:', '---') : line));
}

function cellOf(result: Result | undefined): string {
  if (result === undefined) return '–';
  const { contender, passed, saw } = result;
  if (!passed) return `**${cellText(saw)}**`;
  return contender === 'balancer' ? cellText(saw) : 'well';
}

function cellText(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ');
}

function capitalised(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}
