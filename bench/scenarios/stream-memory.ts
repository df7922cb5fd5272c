// Scenario: many slow streams open at once; memory a stream, and how long chunks take to arrive.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Contender, RunningContender } from '../contenders/contender.ts';
import { openClosedLoop } from '../load/closed-loop.ts';
import { startStreams } from '../load/streams.ts';
import type { Plan } from '../plan.ts';
import { residentKiB } from '../process-stats.ts';
import { median, percentile } from '../statistics.ts';
import { interleave, isProxy, Recorder } from './scenario.ts';
import type { Metric, ScenarioResult, Surveyed } from './scenario.ts';

export const memoryPerStream: Metric = { name: 'KiB/stream', digits: 1 };
export const slowChunkDelayP99: Metric = { name: 'chunk delay p99 ms', digits: 3 };
const chunkDelayP50: Metric = { name: 'chunk delay p50 ms', digits: 3 };
const idleMemory: Metric = { name: 'idle RSS MiB', digits: 1 };
const loadedMemory: Metric = { name: 'RSS with streams MiB', digits: 1 };

// Streams that were opened last must not be awaited by those opened first, and none may end before the last sample.
const spareChunks = 2;
const warmConnections = 32;
const warmStreams = 50;
const memorySamples = 5;
const betweenSamplesMs = 100;

type StreamMemoryPlan = Plan['streamMemory'];

/** Every run starts its contender anew: memory that an earlier scenario left behind would hide what streams take. */
export async function measureStreamMemory(
  plan: StreamMemoryPlan,
  contenders: readonly Contender[],
  surveyed: Surveyed,
): Promise<ScenarioResult> {
  const recorder = new Recorder();
  await interleave(plan.rounds, contenders, async (contender) => {
    const running = await contender.start();
    try {
      await run(plan, running, surveyed, recorder);
    } finally {
      await running.stop();
    }
  });
  return {
    title: `Streams: memory with ${plan.streams} open`,
    method:
      `A fresh process a run, warmed up with ${plan.warmMs / 1000} s of requests on ${warmConnections} connections and ` +
      `${warmStreams} short streams, then left idle for ${plan.settleMs / 1000} s: idle RSS. Then ${plan.streams} streams ` +
      `with an event of ${plan.chunkBytes} bytes every ${plan.intervalMs} ms: RSS after ` +
      `${(plan.leadMs + plan.runMs) / 1000} s with all open, less idle RSS, divided by ${plan.streams}. ${plan.rounds} interleaved runs. Socket buffers in the ` +
      `kernel are not part of RSS.`,
    series: recorder.series(),
  };
}

async function run(
  plan: StreamMemoryPlan,
  contender: RunningContender,
  surveyed: Surveyed,
  recorder: Recorder,
): Promise<void> {
  const { name, target } = contender;
  const tally = surveyed.tallyOf(name);
  await warmUp(plan, contender, surveyed);
  await sleep(plan.settleMs);
  const idleKiB = isProxy(contender) ? residentKiB(contender.pid) : 0;

  const sampledMs = memorySamples * betweenSamplesMs;
  const chunks = Math.ceil((plan.rampMs + plan.leadMs + plan.runMs + sampledMs) / plan.intervalMs) + spareChunks;
  const load = startStreams(target, { ...plan, chunks }, tally);
  await sleep(plan.rampMs + plan.leadMs);
  const delaysMs: number[] = [];
  const residentsKiB: number[] = [];
  load.record(delaysMs);
  await sleep(plan.runMs);
  load.record(undefined);
  // After the delays are taken: reading the memory map of a process holds it and this one up for milliseconds.
  for (let count = 0; count < memorySamples; count += 1) {
    if (isProxy(contender)) residentsKiB.push(residentKiB(contender.pid));
    if (load.flowing() !== plan.streams) tally.add('not all streams were open');
    await sleep(betweenSamplesMs);
  }
  await load.finished;

  recorder.record(chunkDelayP50, name, percentile(delaysMs, 0.5));
  recorder.record(slowChunkDelayP99, name, percentile(delaysMs, 0.99));
  if (!isProxy(contender)) return;
  const loadedKiB = median(residentsKiB);
  recorder.record(idleMemory, name, idleKiB / 1024);
  recorder.record(loadedMemory, name, loadedKiB / 1024);
  recorder.record(memoryPerStream, name, (loadedKiB - idleKiB) / plan.streams);
}

async function warmUp(plan: StreamMemoryPlan, { name, target }: RunningContender, surveyed: Surveyed): Promise<void> {
  const tally = surveyed.tallyOf(name);
  const loop = await openClosedLoop(target, warmConnections, tally);
  loop.resume();
  await sleep(plan.warmMs);
  await loop.pause();
  loop.close();
  const shape = { ...plan, streams: warmStreams, rampMs: 100, intervalMs: 20, chunks: 5 };
  await startStreams(target, shape, tally).finished;
}
