// The order of a run: every scenario with every contender, then the peers with the balancer beside them.
import type { Contender, RunningContender } from './contenders/contender.ts';
import type { PeersPlan, Plan } from './plan.ts';
import { measureAddedLatency } from './scenarios/added-latency.ts';
import { measureLivelyStreams } from './scenarios/lively-streams.ts';
import { measureOpenStreams } from './scenarios/open-streams.ts';
import { measureRequests } from './scenarios/requests.ts';
import type { ScenarioResult, Surveyed } from './scenarios/scenario.ts';

export interface FieldOfContenders {
  /** With `direct`. */
  readonly plain: readonly Contender[];
  readonly tls: readonly Contender[];
  readonly peers: readonly Contender[];
  /** To be measured beside the peers. */
  readonly balancer: Contender;
}

export interface Survey {
  readonly scenarios: readonly ScenarioResult[];
  readonly peerScenarios: readonly ScenarioResult[];
}

export async function surveyAll(
  plan: Plan,
  field: FieldOfContenders,
  surveyed: Surveyed,
  notes: string[],
): Promise<Survey> {
  const contenders = [...field.plain, ...field.tls];
  const [direct] = contenders;
  const scenarios = contenders.length === 1 ? [] : await surveyCommon(plan, await startAll(contenders), surveyed);
  const open = plan.openStreams.transports.flatMap((transport) => field[transport]);
  if (open.length > 1) {
    progress(`${plan.openStreams.streams} open streams`);
    scenarios.push(await measureOpenStreams(plan.openStreams, open, surveyed));
  }
  if (direct === undefined || field.peers.length === 0) return { scenarios, peerScenarios: [] };

  progress('the gateways for language models');
  const peers = await startPeers(field.peers, notes);
  if (peers.length === 0) return { scenarios, peerScenarios: [] };
  const running = [...(await startAll([direct, field.balancer])), ...peers];
  return { scenarios, peerScenarios: await surveyCommon(plan.peers, running, surveyed) };
}

async function surveyCommon(
  plan: PeersPlan,
  running: readonly RunningContender[],
  surveyed: Surveyed,
): Promise<ScenarioResult[]> {
  const streaming = running.filter(({ target }) => target.hasStreams !== false);
  const results: ScenarioResult[] = [];
  progress('requests');
  results.push(await measureRequests(plan.requests, running, surveyed));
  progress('added latency');
  results.push(await measureAddedLatency(plan.addedLatency, running, surveyed));
  progress(`${plan.livelyStreams.streams} lively streams`);
  results.push(await measureLivelyStreams(plan.livelyStreams, streaming, surveyed));
  await Promise.all(running.map((contender) => contender.stop()));
  return results;
}

function startAll(contenders: readonly Contender[]): Promise<RunningContender[]> {
  return Promise.all(contenders.map((contender) => contender.start()));
}

/** One that does not start is left out: what was measured before must not be lost to it. */
async function startPeers(peers: readonly Contender[], notes: string[]): Promise<RunningContender[]> {
  const started = await Promise.allSettled(peers.map((peer) => peer.start()));
  return started.flatMap((result, index) => {
    if (result.status === 'fulfilled') return [result.value];
    notes.push(`${peers[index]?.label} did not start and was left out: ${String(result.reason)}`);
    return [];
  });
}

function progress(what: string): void {
  process.stderr.write(`after ${Math.round(performance.now() / 1000)} s: ${what}\n`);
}
