// Scenario: very many slow streams open at once; memory a stream, and how long chunks take to arrive.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Contender, RunningContender } from '../contenders/contender.ts';
import { openClosedLoop } from '../load/closed-loop.ts';
import { startStreams } from '../load/streams.ts';
import type { Plan } from '../plan.ts';
import { cpuMsBetween, noCpu, residentKiB, sampleCpu } from '../process-stats.ts';
import { median, percentile } from '../statistics.ts';
import { RoundsOfTimes } from './added.ts';
import { chunkDelayP50, chunkDelayP99, cpuPerChunk, firstChunk, loadedMemory } from './lively-streams.ts';
import { interleave, isProxy, Recorder } from './scenario.ts';
import type { Metric, ScenarioResult, Surveyed } from './scenario.ts';

export const memoryPerStream: Metric = { name: 'KiB/stream', digits: 1, isCompared: true };
const idleMemory: Metric = { name: 'idle RSS MiB', digits: 1 };

/** No stream may end before the last sample; all are left then, for that they end well is seen with the lively ones. */
const spareMs = 10_000;
export const sampledMs = 250;
const warmConnections = 32;
const warmStreams = 50;
const memorySamples = 5;

type OpenPlan = Plan['openStreams'];

/** Every run starts its contender anew: memory that an earlier scenario left behind would hide what streams take. */
export async function measureOpenStreams(
  plan: OpenPlan,
  contenders: readonly Contender[],
  surveyed: Surveyed,
): Promise<ScenarioResult> {
  const recorder = new Recorder();
  const firstChunks = new RoundsOfTimes();
  await interleave(plan.rounds, contenders, async (contender, round) => {
    const running = await contender.start();
    try {
      firstChunks.add(round, running.label, await run(plan, running, surveyed, recorder));
    } finally {
      await running.stop();
    }
  });
  firstChunks.record(firstChunk, recorder);
  return {
    id: 'open-streams',
    title: `Streams: ${plan.streams} open at once`,
    load: `${plan.streams} open streams`,
    method:
      `A fresh process a run, warmed up with ${plan.warmMs / 1000} s of requests on ${warmConnections} connections and ` +
      `${warmStreams} short streams, then left idle for ${plan.settleMs / 1000} s: idle RSS. Then ${plan.streams} streams ` +
      `with an event of ${plan.chunkBytes} bytes every ${plan.intervalMs} ms: RSS after ` +
      `${(plan.leadMs + plan.runMs) / 1000} s with all open, less idle RSS, divided by ${plan.streams}. ${plan.rounds} interleaved runs. Socket buffers in the ` +
      `kernel are not part of RSS.`,
    series: recorder.series(),
  };
}

/** Returns the milliseconds to each stream's first chunk. */
async function run(
  plan: OpenPlan,
  contender: RunningContender,
  surveyed: Surveyed,
  recorder: Recorder,
): Promise<readonly number[]> {
  const { label, target } = contender;
  const tally = surveyed.tallyOf(label);
  if (isProxy(contender)) {
    await warmUp(plan, contender, surveyed);
    await sleep(plan.settleMs);
  }
  const idleKiB = isProxy(contender) ? residentKiB(contender.pid) : 0;

  const chunks = Math.ceil((plan.rampMs + plan.leadMs + plan.runMs + sampledMs + spareMs) / plan.intervalMs);
  const load = startStreams(target, { ...plan, chunks }, tally);
  await sleep(plan.rampMs);
  await load.begun;
  await sleep(plan.leadMs);
  const delaysMs: number[] = [];
  const residentsKiB: number[] = [];
  load.record(delaysMs);
  const before = sample(contender, load.received());
  await sleep(plan.runMs);
  const after = sample(contender, load.received());
  load.record(undefined);
  // After the delays are taken: reading the memory map of a process holds it and this one up for milliseconds.
  for (let count = 0; count < memorySamples; count += 1) {
    if (isProxy(contender)) residentsKiB.push(residentKiB(contender.pid));
    if (load.flowing() !== plan.streams) tally.add('not all streams were open');
    await sleep(sampledMs / memorySamples);
  }
  load.stop();

  recorder.record(chunkDelayP50, label, percentile(delaysMs, 0.5));
  recorder.record(chunkDelayP99, label, percentile(delaysMs, 0.99));
  if (!isProxy(contender)) return load.firstChunksMs;
  const loadedKiB = median(residentsKiB);
  recorder.record(
    cpuPerChunk,
    label,
    (1000 * cpuMsBetween(before.cpu, after.cpu)) / (after.received - before.received),
  );
  recorder.record(idleMemory, label, idleKiB / 1024);
  recorder.record(loadedMemory, label, loadedKiB / 1024);
  recorder.record(memoryPerStream, label, (loadedKiB - idleKiB) / plan.streams);
  return load.firstChunksMs;
}

function sample(contender: RunningContender, received: number) {
  return { received, cpu: isProxy(contender) ? sampleCpu(contender.pid) : noCpu };
}

async function warmUp(plan: OpenPlan, { label, target }: RunningContender, surveyed: Surveyed): Promise<void> {
  const tally = surveyed.tallyOf(label);
  const loop = await openClosedLoop(target, warmConnections, tally);
  loop.resume();
  await sleep(plan.warmMs);
  await loop.pause();
  loop.close();
  const shape = { ...plan, streams: warmStreams, rampMs: 100, intervalMs: 20, chunks: 5 };
  await startStreams(target, shape, tally).finished;
}
