// What the scenarios share: what they are given, how they record what they measure, and in which order they go round.
import type { Label, RunningContender } from '../contenders/contender.ts';
import type { Tally } from '../tally.ts';

export interface Cores {
  readonly contender: number;
  readonly load: number;
}

export interface Surveyed {
  readonly cores: Cores;
  /** What went wrong, by contender. */
  tallyOf(label: Label): Tally;
}

export interface Metric {
  readonly name: string;
  readonly digits: number;
  /** What the balancer costs as a multiple of what others do is of interest. */
  readonly isCompared?: boolean;
}

/** CPU time that processes other than the contender took of its core: what makes a run doubtful. */
export const othersOnCore: Metric = { name: 'others on its core %', digits: 1 };

export interface Series {
  readonly metric: Metric;
  readonly contender: Label;
  /** One value a round. */
  readonly values: readonly number[];
}

export type ScenarioId = 'requests' | 'latency' | 'lively-streams' | 'open-streams';

export interface ScenarioResult {
  readonly id: ScenarioId;
  readonly title: string;
  /** A few words for tables: "300 requests/s". */
  readonly load: string;
  /** How it was measured, for the report. */
  readonly method: string;
  readonly series: readonly Series[];
}

export class Recorder {
  private readonly byMetric = new Map<Metric, Map<Label, number[]>>();

  record(metric: Metric, contender: Label, value: number): void {
    const byContender = this.byMetric.get(metric) ?? new Map<Label, number[]>();
    const values = byContender.get(contender) ?? [];
    values.push(value);
    this.byMetric.set(metric, byContender.set(contender, values));
  }

  series(): Series[] {
    return [...this.byMetric].flatMap(([metric, byContender]) =>
      [...byContender].map(([contender, values]) => ({ metric, contender, values })),
    );
  }
}

/**
 * Runs every contender once a round, so that whatever else the machine does over the minutes falls on all alike. Odd
 * rounds go backwards, so that none always follows the same neighbour.
 */
export async function interleave<T>(
  rounds: number,
  contenders: readonly T[],
  run: (contender: T, round: number) => Promise<void>,
): Promise<void> {
  for (let round = 0; round < rounds; round += 1) {
    const order = round % 2 === 0 ? contenders : contenders.toReversed();
    for (const contender of order) await run(contender, round);
  }
}

export type ProxyContender = RunningContender & { readonly pid: number };

export function isProxy(contender: RunningContender): contender is ProxyContender {
  return contender.pid !== undefined;
}
