// Scenario: the time a proxy adds to a request at a rate far below its limit, against the upstream asked directly.
import type { RunningContender } from '../contenders/contender.ts';
import { runOpenLoop } from '../load/open-loop.ts';
import type { Plan } from '../plan.ts';
import { addedMetrics, RoundsOfTimes } from './added.ts';
import { interleave, Recorder } from './scenario.ts';
import type { ScenarioResult, Surveyed } from './scenario.ts';

export const latency = addedMetrics('');

export async function measureAddedLatency(
  plan: Plan['addedLatency'],
  contenders: readonly RunningContender[],
  surveyed: Surveyed,
): Promise<ScenarioResult> {
  const recorder = new Recorder();
  const times = new RoundsOfTimes();
  await interleave(plan.rounds, contenders, async ({ label, target }, round) => {
    times.add(round, label, await runOpenLoop(target, plan, surveyed.tallyOf(label)));
  });
  times.record(latency, recorder);
  return {
    id: 'latency',
    title: 'Added latency',
    load: `${plan.perSecond} requests/s`,
    method:
      `The same requests at ${plan.perSecond} a second, sent on time whether or not earlier ones are answered; ` +
      `${plan.rounds} interleaved runs of ${plan.runMs / 1000} s. Added: a percentile of the contender less the same ` +
      `percentile of direct in the same round.`,
    series: recorder.series(),
  };
}
