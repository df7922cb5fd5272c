// The figures the project has set itself, each compared with what this run measured. Printed, never asserted: a time
// depends on the machine, and a ratio within one run still on what else it does.
import type { ContenderName } from './contenders/contender.ts';
import { addedP50, addedP99 } from './scenarios/added-latency.ts';
import { cpuPerRequest } from './scenarios/cpu-per-request.ts';
import type { Metric, Series } from './scenarios/scenario.ts';
import { chunkDelayP99, cpuPerChunk } from './scenarios/stream-cpu.ts';
import { memoryPerStream, slowChunkDelayP99 } from './scenarios/stream-memory.ts';
import { median, minimum } from './statistics.ts';

export interface Comparison {
  readonly what: string;
  readonly aim: string;
  readonly ofMinimums: number;
  readonly ofMedians: number;
  /** The median of the ratios of each round: the one that drift of the machine disturbs least. */
  readonly ofRounds: number;
}

interface Aim {
  readonly what: string;
  readonly metric: Metric;
  /** Absent: the balancer's own figure is meant, not a ratio. */
  readonly against?: ContenderName;
  readonly aim: string;
}

const aims: readonly Aim[] = [
  { what: 'CPU a request, balancer / bare', metric: cpuPerRequest, against: 'bare', aim: '≤ 2.2' },
  { what: 'CPU a request, balancer / nginx', metric: cpuPerRequest, against: 'nginx', aim: '≤ 5' },
  { what: 'added latency p50, balancer, ms', metric: addedP50, aim: '< 0.8' },
  { what: 'added latency p99, balancer, ms', metric: addedP99, aim: '< 2.5' },
  { what: 'CPU a chunk, balancer / nginx', metric: cpuPerChunk, against: 'nginx', aim: '≤ 2.4' },
  { what: 'chunk delay p99 (lively streams), balancer / bare', metric: chunkDelayP99, against: 'bare', aim: '≤ 2' },
  { what: 'memory a stream, balancer, KiB', metric: memoryPerStream, aim: '≤ 70' },
  { what: 'chunk delay p99 (open streams), balancer / bare', metric: slowChunkDelayP99, against: 'bare', aim: '≤ 2' },
];

/** Those aims for which this run measured both sides. */
export function compare(series: readonly Series[]): Comparison[] {
  const valuesOf = (metric: Metric, contender: ContenderName) =>
    series.find((each) => each.metric === metric && each.contender === contender)?.values;
  return aims.flatMap(({ what, metric, against, aim }) => {
    const ours = valuesOf(metric, 'balancer');
    const theirs = against === undefined ? ours?.map(() => 1) : valuesOf(metric, against);
    if (ours === undefined || theirs === undefined) return [];
    return [
      {
        what,
        aim,
        ofMinimums: minimum(ours) / minimum(theirs),
        ofMedians: median(ours) / median(theirs),
        ofRounds: median(ours.map((value, round) => value / (theirs[round] ?? Number.NaN))),
      },
    ];
  });
}
