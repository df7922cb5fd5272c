// Scenario: the time a proxy adds to a request at a rate far below its limit, against the upstream asked directly.
import type { RunningContender } from '../contenders/contender.ts';
import { runOpenLoop } from '../load/open-loop.ts';
import type { Plan } from '../plan.ts';
import { percentile } from '../statistics.ts';
import { interleave, Recorder } from './scenario.ts';
import type { Metric, ScenarioResult, Surveyed } from './scenario.ts';

export const addedP50: Metric = { name: 'added p50 ms', digits: 3 };
export const addedP99: Metric = { name: 'added p99 ms', digits: 3 };
const p50: Metric = { name: 'p50 ms', digits: 3 };
const p99: Metric = { name: 'p99 ms', digits: 3 };

export async function measureAddedLatency(
  plan: Plan['addedLatency'],
  contenders: readonly RunningContender[],
  surveyed: Surveyed,
): Promise<ScenarioResult> {
  const recorder = new Recorder();
  const rounds = Array.from({ length: plan.rounds }, () => new Map<string, readonly number[]>());
  await interleave(plan.rounds, contenders, async ({ name, target }, round) => {
    rounds[round]?.set(name, await runOpenLoop(target, plan, surveyed.tallyOf(name)));
  });

  for (const round of rounds) {
    const direct = round.get('direct') ?? [];
    for (const { name } of contenders) {
      const latencies = round.get(name) ?? [];
      recorder.record(p50, name, percentile(latencies, 0.5));
      recorder.record(p99, name, percentile(latencies, 0.99));
      if (name === 'direct') continue;
      recorder.record(addedP50, name, percentile(latencies, 0.5) - percentile(direct, 0.5));
      recorder.record(addedP99, name, percentile(latencies, 0.99) - percentile(direct, 0.99));
    }
  }

  return {
    title: 'Added latency',
    method:
      `The same requests at ${plan.perSecond} a second, sent on time whether or not earlier ones are answered; ` +
      `${plan.rounds} interleaved runs of ${plan.runMs / 1000} s. Added: a percentile of the contender less the same ` +
      `percentile of direct in the same round.`,
    series: recorder.series(),
  };
}
