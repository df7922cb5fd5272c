// The figures the project has set itself, each compared with what this run measured. Printed, never asserted: a time
// depends on the machine, and a ratio within one run still on what else it does.
import type { Label } from './contenders/contender.ts';
import { latency } from './scenarios/added-latency.ts';
import { chunkDelayP99, cpuPerChunk } from './scenarios/lively-streams.ts';
import { memoryPerStream } from './scenarios/open-streams.ts';
import { cpuPerRequest } from './scenarios/requests.ts';
import type { Metric, ScenarioId, ScenarioResult } from './scenarios/scenario.ts';
import { ratioOf } from './statistics.ts';
import type { Ratio } from './statistics.ts';

export interface Comparison extends Ratio {
  readonly what: string;
  readonly aim: string;
}

interface Aim {
  readonly what: string;
  readonly scenario: ScenarioId;
  readonly metric: Metric;
  /** Absent: the balancer's own figure is meant, not a ratio. */
  readonly against?: Label;
  readonly aim: string;
}

const [requests, lively, open] = ['requests', 'lively-streams', 'open-streams'] as const;
const [addedP50, addedP99] = [latency.addedP50, latency.addedP99];

const aims: readonly Aim[] = [
  { what: 'CPU a request, balancer / bare', scenario: requests, metric: cpuPerRequest, against: 'bare', aim: '≤ 2.2' },
  { what: 'CPU a request, balancer / nginx', scenario: requests, metric: cpuPerRequest, against: 'nginx', aim: '≤ 5' },
  { what: 'added latency p50, balancer, ms', scenario: 'latency', metric: addedP50, aim: '< 0.8' },
  { what: 'added latency p99, balancer, ms', scenario: 'latency', metric: addedP99, aim: '< 2.5' },
  { what: 'CPU a chunk, balancer / nginx', scenario: lively, metric: cpuPerChunk, against: 'nginx', aim: '≤ 2.4' },
  {
    what: 'chunk delay p99 (lively streams), balancer / bare',
    scenario: lively,
    metric: chunkDelayP99,
    against: 'bare',
    aim: '≤ 2',
  },
  { what: 'memory a stream, balancer, KiB', scenario: open, metric: memoryPerStream, aim: '≤ 70' },
  {
    what: 'chunk delay p99 (open streams), balancer / bare',
    scenario: open,
    metric: chunkDelayP99,
    against: 'bare',
    aim: '≤ 2',
  },
];

/** Those aims for which this run measured both sides. */
export function compare(scenarios: readonly ScenarioResult[]): Comparison[] {
  return aims.flatMap(({ what, scenario, metric, against, aim }) => {
    const series = scenarios.find(({ id }) => id === scenario)?.series ?? [];
    const valuesOf = (label: Label) =>
      series.find((each) => each.metric === metric && each.contender === label)?.values;
    const ours = valuesOf('balancer');
    const theirs = against === undefined ? ours?.map(() => 1) : valuesOf(against);
    if (ours === undefined || theirs === undefined) return [];
    return [{ what, aim, ...ratioOf(ours, theirs) }];
  });
}
