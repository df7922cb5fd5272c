// What a run found, as it is written to a file and read again: every value, minima and medians, and each figure as the
// balancer's multiple of the others'.
import { compare } from './aims.ts';
import type { Comparison } from './aims.ts';
import type { Label } from './contenders/contender.ts';
import type { Machine } from './machine.ts';
import type { ScenarioResult, Series } from './scenarios/scenario.ts';
import { median, minimum, ratioOf } from './statistics.ts';
import type { Ratio } from './statistics.ts';

export interface Measured {
  readonly machine: Machine;
  readonly quick: boolean;
  /** What ran as the balancer. */
  readonly balancer: string;
  readonly notes: readonly string[];
  readonly scenarios: readonly ScenarioResult[];
  readonly peerScenarios: readonly ScenarioResult[];
  /** By contender, then by reason. */
  readonly failures: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

export interface Figure {
  readonly metric: string;
  readonly digits: number;
  readonly contender: string;
  readonly minimum: number;
  readonly median: number;
  /** One a round. */
  readonly values: readonly number[];
}

/** The balancer's figure as a multiple of that of `contender`. */
export interface FigureRatio extends Ratio {
  readonly metric: string;
  readonly contender: string;
}

export interface Scenario {
  readonly id: string;
  readonly title: string;
  readonly load: string;
  readonly method: string;
  readonly series: readonly Figure[];
  readonly ratios: readonly FigureRatio[];
}

export interface Results extends Omit<Measured, 'scenarios' | 'peerScenarios'> {
  readonly scenarios: readonly Scenario[];
  readonly peerScenarios: readonly Scenario[];
  readonly comparisons: readonly Comparison[];
}

export function resultsOf(measured: Measured): Results {
  return {
    ...measured,
    scenarios: measured.scenarios.map(scenarioOf),
    peerScenarios: measured.peerScenarios.map(scenarioOf),
    comparisons: compare(measured.scenarios),
  };
}

export function toJson(results: Results): string {
  return `${JSON.stringify(results, (_key, value: unknown) => (typeof value === 'number' ? rounded(value) : value), 2)}\n`;
}

/** Reads what `toJson` wrote. */
export function fromJson(text: string): Results {
  const read: unknown = JSON.parse(text);
  if (!isResults(read)) throw new Error('this is no results file of the present benchmark');
  return read;
}

function isResults(value: unknown): value is Results {
  return (
    typeof value === 'object' &&
    value !== null &&
    'peerScenarios' in value &&
    'scenarios' in value &&
    'comparisons' in value
  );
}

function scenarioOf({ id, title, load, method, series }: ScenarioResult): Scenario {
  return {
    id,
    title,
    load,
    method,
    series: series.map(({ metric: { name, digits }, contender, values }) => ({
      metric: name,
      digits,
      contender,
      minimum: minimum(values),
      median: median(values),
      values,
    })),
    ratios: series.flatMap((other) => ratiosTo(other, series)),
  };
}

function ratiosTo({ metric, contender, values }: Series, series: readonly Series[]): FigureRatio[] {
  const ours = balancerBeside(contender);
  if (metric.isCompared !== true || contender === ours) return [];
  const own = series.find((each) => each.metric === metric && each.contender === ours);
  return own === undefined ? [] : [{ metric: metric.name, contender, ...ratioOf(own.values, values) }];
}

/** With TLS the balancer with TLS is compared. */
function balancerBeside(label: Label): Label {
  return label.endsWith(', TLS') ? 'balancer, TLS' : 'balancer';
}

function rounded(value: number): number {
  return Number(value.toPrecision(6));
}
