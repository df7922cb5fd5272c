// Scenario: many lively streams; CPU time a chunk, and how long chunks take to arrive.
import { setTimeout as sleep } from 'node:timers/promises';
import type { RunningContender } from '../contenders/contender.ts';
import { startStreams } from '../load/streams.ts';
import type { Plan } from '../plan.ts';
import { cpuMsBetween, sampleCore, sampleCpu } from '../process-stats.ts';
import { percentile } from '../statistics.ts';
import { interleave, isProxy, othersOnCore, Recorder } from './scenario.ts';
import type { Metric, ScenarioResult, Surveyed } from './scenario.ts';

export const cpuPerChunk: Metric = { name: 'CPU µs/chunk', digits: 2 };
export const chunkDelayP99: Metric = { name: 'chunk delay p99 ms', digits: 3 };
const chunkDelayP50: Metric = { name: 'chunk delay p50 ms', digits: 3 };
const chunksPerSecond: Metric = { name: 'chunks/s', digits: 0 };
const contenderShare: Metric = { name: "contender's CPU %", digits: 0 };
const loadCoreBusy: Metric = { name: 'load core %', digits: 0 };

type StreamCpuPlan = Plan['streamCpu'];

export async function measureStreamCpu(
  plan: StreamCpuPlan,
  contenders: readonly RunningContender[],
  surveyed: Surveyed,
): Promise<ScenarioResult> {
  const recorder = new Recorder();
  for (const contender of contenders) await warmUp(plan, contender, surveyed);
  await interleave(plan.rounds, contenders, (contender) => run(plan, contender, surveyed, recorder));
  return {
    title: 'Streams: CPU a chunk and chunk delay',
    method:
      `${plan.streams} concurrent streams, each a server-sent event of ${plan.chunkBytes} bytes every ` +
      `${plan.intervalMs} ms, their phases spread; ${plan.rounds} interleaved runs of ${plan.runMs / 1000} s. Delay: from ` +
      `the upstream's write to the load generator's read, one monotonic clock for both.`,
    series: recorder.series(),
  };
}

async function run(
  plan: StreamCpuPlan,
  contender: RunningContender,
  surveyed: Surveyed,
  recorder: Recorder,
): Promise<void> {
  const { name, target } = contender;
  const chunks = chunksLasting(plan, plan.rampMs + plan.leadMs + plan.runMs);
  const load = startStreams(target, { ...plan, chunks }, surveyed.tallyOf(name));
  const delaysMs: number[] = [];
  await sleep(plan.rampMs + plan.leadMs);

  load.record(delaysMs);
  const before = sample(contender, load.received(), surveyed);
  await sleep(plan.runMs);
  const after = sample(contender, load.received(), surveyed);
  load.record(undefined);
  await load.finished;

  const received = after.received - before.received;
  const elapsedMs = after.atMs - before.atMs;
  recorder.record(chunksPerSecond, name, (received * 1000) / elapsedMs);
  recorder.record(chunkDelayP50, name, percentile(delaysMs, 0.5));
  recorder.record(chunkDelayP99, name, percentile(delaysMs, 0.99));
  recorder.record(loadCoreBusy, name, (100 * (after.loadCore.busyMs - before.loadCore.busyMs)) / elapsedMs);
  if (before.cpu === undefined || after.cpu === undefined) return;
  const cpuMs = cpuMsBetween(before.cpu, after.cpu);
  recorder.record(cpuPerChunk, name, (1000 * cpuMs) / received);
  recorder.record(contenderShare, name, (100 * cpuMs) / elapsedMs);
  const coreMs = after.contenderCore.busyMs - before.contenderCore.busyMs;
  recorder.record(othersOnCore, name, Math.max(0, (100 * (coreMs - cpuMs)) / elapsedMs));
}

async function warmUp(plan: StreamCpuPlan, { name, target }: RunningContender, surveyed: Surveyed): Promise<void> {
  const chunks = chunksLasting(plan, plan.warmMs);
  await startStreams(target, { ...plan, chunks }, surveyed.tallyOf(name)).finished;
}

function chunksLasting({ intervalMs }: StreamCpuPlan, ms: number): number {
  const spare = 10; // an overloaded contender falls behind; its streams must not end inside the window
  return Math.ceil(ms / intervalMs) + spare;
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
