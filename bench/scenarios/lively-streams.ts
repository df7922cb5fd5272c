// Scenario: many lively streams; CPU time a chunk, and how long chunks take to arrive.
import { setTimeout as sleep } from 'node:timers/promises';
import type { RunningContender } from '../contenders/contender.ts';
import { startStreams } from '../load/streams.ts';
import type { Plan } from '../plan.ts';
import { cpuMsBetween, residentKiB, sampleCore, sampleCpu } from '../process-stats.ts';
import { percentile } from '../statistics.ts';
import { addedMetrics, RoundsOfTimes } from './added.ts';
import { interleave, isProxy, othersOnCore, Recorder } from './scenario.ts';
import type { Metric, ScenarioResult, Surveyed } from './scenario.ts';

export const cpuPerChunk: Metric = { name: 'CPU µs/chunk', digits: 2, isCompared: true };
export const chunkDelayP99: Metric = { name: 'chunk delay p99 ms', digits: 3, isCompared: true };
export const chunkDelayP50: Metric = { name: 'chunk delay p50 ms', digits: 3 };
export const firstChunk = addedMetrics('first chunk ');
export const loadedMemory: Metric = { name: 'RSS with streams MiB', digits: 1, isCompared: true };
const chunksPerSecond: Metric = { name: 'chunks/s', digits: 0 };
const contenderShare: Metric = { name: "contender's CPU %", digits: 0 };
const loadCoreBusy: Metric = { name: 'load core %', digits: 0 };

/** An overloaded contender falls behind; its streams must not end inside the window. */
export const spareChunks = 6;

type LivelyPlan = Plan['livelyStreams'];

export async function measureLivelyStreams(
  plan: LivelyPlan,
  contenders: readonly RunningContender[],
  surveyed: Surveyed,
): Promise<ScenarioResult> {
  const recorder = new Recorder();
  const firstChunks = new RoundsOfTimes();
  for (const contender of contenders) await warmUp(plan, contender, surveyed);
  await interleave(plan.rounds, contenders, async (contender, round) => {
    firstChunks.add(round, contender.label, await run(plan, contender, surveyed, recorder));
  });
  firstChunks.record(firstChunk, recorder);
  return {
    id: 'lively-streams',
    title: `Streams: ${plan.streams} lively ones`,
    load: `${plan.streams} lively streams`,
    method:
      `${plan.streams} concurrent streams, each a server-sent event of ${plan.chunkBytes} bytes every ` +
      `${plan.intervalMs} ms, their phases spread; ${plan.rounds} interleaved runs of ${plan.runMs / 1000} s. Delay: from ` +
      `the upstream's write to the load generator's read, one monotonic clock for both. First chunk: from the request to ` +
      `the first event, which the upstream sends at once, of streams opened over ${plan.rampMs / 1000} s; added: less the ` +
      `same percentile of direct. RSS: of a process that has served the scenarios before.`,
    series: recorder.series(),
  };
}

/** Returns the milliseconds to each stream's first chunk. */
async function run(
  plan: LivelyPlan,
  contender: RunningContender,
  surveyed: Surveyed,
  recorder: Recorder,
): Promise<readonly number[]> {
  const { label, target } = contender;
  const chunks = chunksLasting(plan, plan.rampMs + plan.leadMs + plan.runMs);
  const load = startStreams(target, { ...plan, chunks }, surveyed.tallyOf(label));
  const delaysMs: number[] = [];
  await sleep(plan.rampMs + plan.leadMs);

  load.record(delaysMs);
  const before = sample(contender, load.received(), surveyed);
  await sleep(plan.runMs);
  const after = sample(contender, load.received(), surveyed);
  load.record(undefined);
  const residentMiB = isProxy(contender) ? residentKiB(contender.pid) / 1024 : 0;
  await load.finished;

  const received = after.received - before.received;
  const elapsedMs = after.atMs - before.atMs;
  recorder.record(chunksPerSecond, label, (received * 1000) / elapsedMs);
  recorder.record(chunkDelayP50, label, percentile(delaysMs, 0.5));
  recorder.record(chunkDelayP99, label, percentile(delaysMs, 0.99));
  recorder.record(loadCoreBusy, label, (100 * (after.loadCore.busyMs - before.loadCore.busyMs)) / elapsedMs);
  if (before.cpu === undefined || after.cpu === undefined) return load.firstChunksMs;
  const cpuMs = cpuMsBetween(before.cpu, after.cpu);
  recorder.record(cpuPerChunk, label, (1000 * cpuMs) / received);
  recorder.record(contenderShare, label, (100 * cpuMs) / elapsedMs);
  recorder.record(loadedMemory, label, residentMiB);
  const coreMs = after.contenderCore.busyMs - before.contenderCore.busyMs;
  recorder.record(othersOnCore, label, Math.max(0, (100 * (coreMs - cpuMs)) / elapsedMs));
  return load.firstChunksMs;
}

async function warmUp(plan: LivelyPlan, { label, target }: RunningContender, surveyed: Surveyed): Promise<void> {
  const chunks = chunksLasting(plan, plan.warmMs);
  const rampMs = Math.min(plan.rampMs, plan.warmMs);
  await startStreams(target, { ...plan, rampMs, chunks }, surveyed.tallyOf(label)).finished;
}

function chunksLasting({ intervalMs }: LivelyPlan, ms: number): number {
  return Math.ceil(ms / intervalMs) + spareChunks;
}

function sample(contender: RunningContender, received: number, { cores }: Surveyed) {
  return {
    received,
    atMs: performance.now(),
    cpu: isProxy(contender) ? sampleCpu(contender.pid) : undefined,
    contenderCore: sampleCore(cores.contender),
    loadCore: sampleCore(cores.load),
  };
}
