// Scenario: CPU time a request, 1.5 KB of JSON each way, as fast as a fixed number of connections goes.
import { setTimeout as sleep } from 'node:timers/promises';
import type { RunningContender } from '../contenders/contender.ts';
import { openClosedLoop } from '../load/closed-loop.ts';
import type { ClosedLoop } from '../load/closed-loop.ts';
import type { Plan } from '../plan.ts';
import { cpuMsBetween, noCpu, sampleCore, sampleCpu } from '../process-stats.ts';
import { interleave, isProxy, othersOnCore, Recorder } from './scenario.ts';
import type { Cores, Metric, ScenarioResult, Surveyed } from './scenario.ts';

export const cpuPerRequest: Metric = { name: 'CPU ms/request', digits: 4, isCompared: true };
export const requestsPerSecond: Metric = { name: 'requests/s', digits: 0, isCompared: true };
const contenderShare: Metric = { name: "contender's CPU %", digits: 0 };
const loadCoreBusy: Metric = { name: 'load core %', digits: 0 };

type CpuPlan = Plan['requests'];

export async function measureRequests(
  plan: CpuPlan,
  contenders: readonly RunningContender[],
  surveyed: Surveyed,
): Promise<ScenarioResult> {
  const recorder = new Recorder();
  for (const contender of contenders) await warmUp(plan, contender, surveyed);

  const lanes = await Promise.all(contenders.map((contender) => openLane(plan, contender, surveyed)));
  for (let round = 0; round < plan.rounds; round += 1) {
    for (const lane of lanes) lane.spent = nothing;
    await interleave(plan.slices, lanes, (lane) => runSlice(plan, lane, surveyed.cores));
    for (const { contender, spent } of lanes) record(recorder, contender, spent);
  }
  for (const { loop } of lanes) loop.close();

  return {
    id: 'requests',
    title: 'Requests: CPU a request, and requests a second',
    load: `${plan.connections} connections`,
    method:
      `POST /openai/v1/chat/completions, 1,536 bytes in and out, ${plan.connections} keep-alive connections, each sending ` +
      `its next request when the last is answered; warmed up with ${plan.warmRequests} requests, or for ${plan.warmMs / 1000} s; then ${plan.rounds} runs of ` +
      `${(plan.slices * plan.sliceMs) / 1000} s in slices of ${plan.sliceMs} ms, contenders taking turns. CPU: user and system time of all processes of the contender.`,
    series: recorder.series(),
  };
}

interface Spent {
  readonly requests: number;
  readonly elapsedMs: number;
  readonly cpuMs: number;
  readonly contenderCoreMs: number;
  readonly loadCoreMs: number;
}

interface Lane {
  readonly contender: RunningContender;
  readonly loop: ClosedLoop;
  /** In the slices of this round so far. */
  spent: Spent;
}

const nothing: Spent = { requests: 0, elapsedMs: 0, cpuMs: 0, contenderCoreMs: 0, loadCoreMs: 0 };

async function openLane(plan: CpuPlan, contender: RunningContender, surveyed: Surveyed): Promise<Lane> {
  const loop = await openClosedLoop(contender.target, plan.connections, surveyed.tallyOf(contender.label));
  return { contender, loop, spent: nothing };
}

async function warmUp(plan: CpuPlan, contender: RunningContender, surveyed: Surveyed): Promise<void> {
  const { loop } = await openLane(plan, contender, surveyed);
  loop.resume();
  const endsAt = performance.now() + plan.warmMs;
  while (loop.completed() < plan.warmRequests && performance.now() < endsAt) await sleep(20);
  await loop.pause();
  loop.close();
}

/** Both samples are taken with no request under way, so no request is counted by halves. */
async function runSlice(plan: CpuPlan, lane: Lane, cores: Cores): Promise<void> {
  const before = sample(lane, cores);
  lane.loop.resume();
  await sleep(plan.sliceMs);
  await lane.loop.pause();
  const after = sample(lane, cores);
  const { spent } = lane;
  lane.spent = {
    requests: spent.requests + after.completed - before.completed,
    elapsedMs: spent.elapsedMs + after.atMs - before.atMs,
    cpuMs: spent.cpuMs + cpuMsBetween(before.cpu, after.cpu),
    contenderCoreMs: spent.contenderCoreMs + after.contenderCore.busyMs - before.contenderCore.busyMs,
    loadCoreMs: spent.loadCoreMs + after.loadCore.busyMs - before.loadCore.busyMs,
  };
}

function sample({ contender, loop }: Lane, cores: Cores) {
  return {
    completed: loop.completed(),
    atMs: performance.now(),
    cpu: isProxy(contender) ? sampleCpu(contender.pid) : noCpu,
    contenderCore: sampleCore(cores.contender),
    loadCore: sampleCore(cores.load),
  };
}

function record(recorder: Recorder, contender: RunningContender, spent: Spent): void {
  const shareOf = (ms: number): number => (100 * ms) / spent.elapsedMs;
  recorder.record(requestsPerSecond, contender.label, (spent.requests * 1000) / spent.elapsedMs);
  recorder.record(loadCoreBusy, contender.label, shareOf(spent.loadCoreMs));
  if (!isProxy(contender)) return;
  recorder.record(cpuPerRequest, contender.label, spent.cpuMs / spent.requests);
  recorder.record(contenderShare, contender.label, shareOf(spent.cpuMs));
  recorder.record(othersOnCore, contender.label, Math.max(0, shareOf(spent.contenderCoreMs - spent.cpuMs)));
}
