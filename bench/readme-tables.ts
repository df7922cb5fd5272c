// The tables of README.md and bench/README.md about speed.
import { inOrder } from './contenders/contender.ts';
import type { DocumentTables } from './document-tables.ts';
import { comparisonTable, machineLine, scenarioLines } from './report.ts';
import { fromJson } from './results.ts';
import type { Results, Scenario } from './results.ts';
import { latency } from './scenarios/added-latency.ts';
import { chunkDelayP99, cpuPerChunk, firstChunk } from './scenarios/lively-streams.ts';
import { memoryPerStream } from './scenarios/open-streams.ts';
import { cpuPerRequest, requestsPerSecond } from './scenarios/requests.ts';
import type { Metric, ScenarioId } from './scenarios/scenario.ts';
import { table } from './table.ts';

/** By document, what it is given. */
export const benchTables: DocumentTables = {
  name: 'tables',
  command: 'npm run bench -- --readme',
  ending: '.json',
  documents: {
    'README.md': (results) => summary(fromJson(results)),
    'bench/README.md': (results) => everything(fromJson(results)),
  },
};

interface Row {
  readonly scenario: ScenarioId;
  readonly metric: Metric;
  readonly digits: number;
  readonly what: string;
}

const ofStreams = (scenario: ScenarioId): Row[] => [
  { scenario, metric: firstChunk.addedP50, digits: 1, what: 'added to the first chunk p50, ms' },
  { scenario, metric: cpuPerChunk, digits: 0, what: 'CPU a chunk, µs' },
  { scenario, metric: chunkDelayP99, digits: 1, what: 'delay of a chunk p99, ms' },
];

const rows: readonly Row[] = [
  { scenario: 'requests', metric: requestsPerSecond, digits: 0, what: 'requests/s on one core' },
  { scenario: 'requests', metric: cpuPerRequest, digits: 3, what: 'CPU a request, ms' },
  { scenario: 'latency', metric: latency.addedP50, digits: 2, what: 'added latency p50, ms' },
  { scenario: 'latency', metric: latency.addedP99, digits: 2, what: 'added latency p99, ms' },
  ...ofStreams('lively-streams'),
  ...ofStreams('open-streams'),
  { scenario: 'open-streams', metric: memoryPerStream, digits: 0, what: 'memory a stream, KiB' },
];

/** For newcomers: medians, plain HTTP alone; all else is in bench/README.md. */
function summary(results: Results): string[] {
  const { date, cpu, cores } = results.machine;
  const { scenarios, peerScenarios } = results;
  const tables: readonly [string, string[]][] = [
    ['Beside proxies that know nothing of Azure OpenAI:', mediansTable(scenarios, (label) => !label.endsWith(', TLS'))],
    ['Beside other gateways for language models, at what they can do:', mediansTable(peerScenarios, () => true)],
  ];
  return [
    `Measured on ${date.slice(0, 10)}: ${cpu}, ${cores} cores. Medians; in parentheses the balancer's figure as a multiple of the other's.`,
    ...tables.flatMap(([caption, lines]) => (lines.length === 0 ? [] : ['', caption, '', ...lines])),
  ];
}

function everything(results: Results): string[] {
  const { comparisons } = results;
  return [
    machineLine(results),
    ...results.notes.flatMap((note) => ['', `Note: ${note}`]),
    ...(comparisons.length === 0 ? [] : ['', '### Aims', '', ...comparisonTable(comparisons)]),
    ...scenarioLines(results, '###'),
  ];
}

/** A row for each figure, a column for each contender, the balancer first; none when nobody was measured. */
function mediansTable(scenarios: readonly Scenario[], isWanted: (label: string) => boolean): string[] {
  const measured = inOrder(scenarios.flatMap(({ series }) => series.map(({ contender }) => contender)));
  const wanted = measured.filter((label) => label !== 'direct' && isWanted(label));
  const contenders = wanted.toSorted((a, b) => Number(isBalancer(b)) - Number(isBalancer(a)));
  if (contenders.length === 0) return [];
  return table(
    ['', ...contenders.map((label) => label.replace(', TLS', ''))],
    rows.flatMap((row) => {
      const scenario = scenarios.find(({ id }) => id === row.scenario);
      if (scenario === undefined) return [];
      return [[`${row.what} (${scenario.load})`, ...contenders.map((contender) => cell(scenario, row, contender))]];
    }),
  );
}

function isBalancer(label: string): boolean {
  return label === 'balancer' || label === 'balancer, TLS';
}

function cell({ series, ratios }: Scenario, { metric, digits }: Row, contender: string): string {
  const isThis = (each: { metric: string; contender: string }): boolean =>
    each.metric === metric.name && each.contender === contender;
  const figure = series.find(isThis);
  if (figure === undefined) return '–';
  const multiple = ratios.find(isThis)?.ofMedians ?? 0;
  const told = Number.isFinite(multiple) && multiple > 0 ? ` (${twoDigits(multiple)})` : '';
  return `${figure.median.toFixed(digits).replace(/^-(?=[0.]*$)/, '')}${told}`;
}

function twoDigits(multiple: number): string {
  return multiple >= 10 ? multiple.toFixed(0) : multiple.toPrecision(2);
}
