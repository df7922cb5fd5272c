// Turns what was measured into Markdown for people and JSON for comparison with later runs.
import { compare } from './aims.ts';
import type { Comparison } from './aims.ts';
import { contenderNames } from './contenders/contender.ts';
import type { ContenderName } from './contenders/contender.ts';
import type { Machine } from './machine.ts';
import { othersOnCore } from './scenarios/scenario.ts';
import type { ScenarioResult, Series } from './scenarios/scenario.ts';
import { median, minimum } from './statistics.ts';

const toleratedOthersPercent = 5;

export interface Measured {
  readonly machine: Machine;
  readonly quick: boolean;
  /** What ran as the balancer; undefined when it was left out. */
  readonly balancer?: string;
  readonly notes: readonly string[];
  readonly scenarios: readonly ScenarioResult[];
  /** By contender, then by reason. */
  readonly failures: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

export function toMarkdown(measured: Measured): string {
  const { machine } = measured;
  const comparisons = compareAll(measured);
  const lines = [
    `# Benchmark${measured.quick ? ' (quick: the figures mean nothing)' : ''}`,
    '',
    `${machine.date}. ${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, Linux ${machine.kernel}; Node ` +
      `${machine.node}, nginx ${machine.nginx}; load average at the start ${machine.loadAverage}.` +
      (measured.balancer === undefined ? '' : ` Balancer: ${measured.balancer}.`),
    ...[...measured.notes, ...doubts(measured)].flatMap((note) => ['', `Note: ${note}`]),
    ...measured.scenarios.flatMap((scenario) => [
      '',
      `## ${scenario.title}`,
      '',
      scenario.method,
      'Cells: minimum / median of the runs.',
      '',
      ...scenarioTable(scenario.series),
    ]),
    ...(comparisons.length === 0 ? [] : ['', '## Aims', '', ...comparisonTable(comparisons)]),
    '',
    '## Failures',
    '',
    ...failureLines(measured.failures),
  ];
  return `${lines.join('\n')}\n`;
}

export function toJson(measured: Measured): string {
  const scenarios = measured.scenarios.map(({ title, method, series }) => ({
    title,
    method,
    series: series.map(({ metric, contender, values }) => ({
      metric: metric.name,
      contender,
      minimum: rounded(minimum(values)),
      median: rounded(median(values)),
      values: values.map(rounded),
    })),
  }));
  const comparisons = compareAll(measured).map(({ what, aim, ofMinimums, ofMedians, ofRounds }) => ({
    what,
    aim,
    ofMinimums: rounded(ofMinimums),
    ofMedians: rounded(ofMedians),
    ofRounds: rounded(ofRounds),
  }));
  return `${JSON.stringify({ ...measured, scenarios, comparisons }, undefined, 2)}\n`;
}

function doubts({ scenarios }: Measured): string[] {
  return scenarios.flatMap(({ title, series }) => {
    const shares = series.filter(({ metric }) => metric === othersOnCore).map(({ values }) => median(values));
    const most = Math.max(0, ...shares);
    if (most <= toleratedOthersPercent) return [];
    return [
      `${title}: other processes took ${most.toFixed(0)} % of the contenders' core; run again on an idle machine.`,
    ];
  });
}

function compareAll({ scenarios }: Measured): Comparison[] {
  return compare(scenarios.flatMap(({ series }) => series));
}

function scenarioTable(series: readonly Series[]): string[] {
  const metrics = [...new Set(series.map(({ metric }) => metric))];
  const cell = (contender: ContenderName, metric: Series['metric']): string => {
    const values = series.find((each) => each.contender === contender && each.metric === metric)?.values;
    if (values === undefined) return '–';
    return `${minimum(values).toFixed(metric.digits)} / ${median(values).toFixed(metric.digits)}`;
  };
  const columns = metrics.map((metric) => (contender: ContenderName) => cell(contender, metric));
  const contenders = contenderNames.filter((name) => series.some(({ contender }) => contender === name));
  return table(
    ['contender', ...metrics.map(({ name }) => name)],
    contenders.map((contender) => [(name: string) => name, ...columns].map((column) => column(contender))),
  );
}

function comparisonTable(comparisons: readonly Comparison[]): string[] {
  return table(
    ['figure', 'aim', 'of minimums', 'of medians', 'median of rounds'],
    comparisons.map(({ what, aim, ofMinimums, ofMedians, ofRounds }) => [
      what,
      aim,
      ...[ofMinimums, ofMedians, ofRounds].map((value) => value.toFixed(2)),
    ]),
  );
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map((_, index) => (index === 0 ? '---' : '---:'))), ...rows.map(line)];
}

function failureLines(failures: Measured['failures']): string[] {
  const lines = Object.entries(failures).flatMap(([contender, reasons]) =>
    Object.entries(reasons).map(([reason, count]) => `- ${contender}: ${reason} (${count})`),
  );
  return lines.length === 0 ? ['None: every answer and every stream was complete and as sent.'] : lines;
}

function rounded(value: number): number {
  return Number(value.toPrecision(6));
}
