// What a contender adds to a time: a percentile of its own less the same percentile of `direct` in the same round.
import type { Label } from '../contenders/contender.ts';
import { percentile } from '../statistics.ts';
import type { Metric, Recorder } from './scenario.ts';

/** The same times at two percentiles, and what the contender adds to `direct` at each. */
export interface AddedMetrics {
  readonly p50: Metric;
  readonly p99: Metric;
  readonly addedP50: Metric;
  readonly addedP99: Metric;
}

export function addedMetrics(name: string): AddedMetrics {
  return {
    p50: { name: `${name}p50 ms`, digits: 3 },
    p99: { name: `${name}p99 ms`, digits: 3 },
    addedP50: { name: `added ${name}p50 ms`, digits: 3, isCompared: true },
    addedP99: { name: `added ${name}p99 ms`, digits: 3, isCompared: true },
  };
}

/** Milliseconds of many requests, by round and contender. */
export class RoundsOfTimes {
  private readonly rounds: Map<Label, readonly number[]>[] = [];

  add(round: number, contender: Label, timesMs: readonly number[]): void {
    (this.rounds[round] ??= new Map()).set(contender, timesMs);
  }

  record(metrics: AddedMetrics, recorder: Recorder): void {
    for (const round of this.rounds) {
      const direct = round.get('direct');
      for (const [contender, timesMs] of round) {
        const [p50, p99] = [percentile(timesMs, 0.5), percentile(timesMs, 0.99)];
        recorder.record(metrics.p50, contender, p50);
        recorder.record(metrics.p99, contender, p99);
        if (contender === 'direct' || direct === undefined) continue;
        recorder.record(metrics.addedP50, contender, p50 - percentile(direct, 0.5));
        recorder.record(metrics.addedP99, contender, p99 - percentile(direct, 0.99));
      }
    }
  }
}
