// Turns what was measured into Markdown for people.
import type { Figure, FigureRatio, Results, Scenario } from './results.ts';
import type { Comparison } from './aims.ts';
import { inOrder } from './contenders/contender.ts';
import { othersOnCore } from './scenarios/scenario.ts';
import { table } from './table.ts';

const toleratedOthersPercent = 5;

export function toMarkdown(results: Results): string {
  const { comparisons } = results;
  const lines = [
    `# Benchmark${results.quick ? ' (quick: the figures mean nothing)' : ''}`,
    '',
    machineLine(results),
    ...[...results.notes, ...doubts(results)].flatMap((note) => ['', `Note: ${note}`]),
    ...scenarioLines(results, '##'),
    ...(comparisons.length === 0 ? [] : ['', '## Aims', '', ...comparisonTable(comparisons)]),
    '',
    '## Failures',
    '',
    ...failureLines(results.failures),
  ];
  return `${lines.join('\n')}\n`;
}

export function machineLine({ machine, balancer }: Results): string {
  const { date, cpu, cores, memoryGiB, kernel, loadAverage } = machine;
  const versions = Object.entries(machine.versions).map(([name, version]) => `${name} ${version}`);
  return (
    `${date}. ${cpu}, ${cores} cores, ${memoryGiB} GiB, Linux ${kernel}; ${versions.join(', ')}; ` +
    `load average at the start ${loadAverage}. Balancer: ${balancer}.`
  );
}

/** Every scenario with its method, its figures, and the balancer's multiples. */
export function scenarioLines({ scenarios, peerScenarios }: Results, heading: string): string[] {
  const all = [
    ...scenarios,
    ...peerScenarios.map((each) => ({ ...each, title: `Beside gateways for language models. ${each.title}` })),
  ];
  return all.flatMap(({ title, method, series, ratios }) => [
    '',
    `${heading} ${title}`,
    '',
    `${method} Cells: minimum / median of the runs.`,
    '',
    ...figureTable(series),
    ...(ratios.length === 0
      ? []
      : [
          '',
          "The balancer's figure as a multiple of the other's: of minimums / of medians / median of the rounds' multiples.",
          '',
          ...ratioTable(ratios),
        ]),
  ]);
}

export function comparisonTable(comparisons: readonly Comparison[]): string[] {
  return table(
    ['figure', 'aim', 'of minimums', 'of medians', 'median of rounds'],
    comparisons.map(({ what, aim, ofMinimums, ofMedians, ofRounds }) => [
      what,
      aim,
      ...[ofMinimums, ofMedians, ofRounds].map((value) => value.toFixed(2)),
    ]),
  );
}

function doubts({ scenarios }: Results): string[] {
  return scenarios.flatMap(({ title, series }: Scenario) => {
    const shares = series.filter(({ metric }) => metric === othersOnCore.name).map((figure) => figure.median);
    const most = Math.max(0, ...shares);
    if (most <= toleratedOthersPercent) return [];
    return [
      `${title}: other processes took ${most.toFixed(0)} % of the contenders' core; run again on an idle machine.`,
    ];
  });
}

function figureTable(series: readonly Figure[]): string[] {
  return grid(series, ({ minimum, median, digits }) => `${minimum.toFixed(digits)} / ${median.toFixed(digits)}`);
}

function ratioTable(ratios: readonly FigureRatio[]): string[] {
  return grid(ratios, ({ ofMinimums, ofMedians, ofRounds }) =>
    // A difference to direct may be nothing or negative; then there is no multiple.
    [ofMinimums, ofMedians, ofRounds]
      .map((ratio) => (Number.isFinite(ratio) && ratio > 0 ? ratio.toFixed(2) : '–'))
      .join(' / '),
  );
}

/** A row for each contender, a column for each metric. */
function grid<T extends { readonly metric: string; readonly contender: string }>(
  cells: readonly T[],
  write: (cell: T) => string,
): string[] {
  const metrics = [...new Set(cells.map(({ metric }) => metric))];
  const contenders = inOrder(cells.map(({ contender }) => contender));
  return table(
    ['contender', ...metrics],
    contenders.map((contender) => [
      contender,
      ...metrics.map((metric) => {
        const cell = cells.find((each) => each.contender === contender && each.metric === metric);
        return cell === undefined ? '–' : write(cell);
      }),
    ]),
  );
}

function failureLines(failures: Results['failures']): string[] {
  const lines = Object.entries(failures).flatMap(([contender, reasons]) =>
    Object.entries(reasons).map(([reason, count]) => `- ${contender}: ${reason} (${count})`),
  );
  return lines.length === 0 ? ['None: every answer and every stream was complete and as sent.'] : lines;
}
