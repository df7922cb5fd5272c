// Where the balancer's time goes: it runs alone under load, with V8's CPU profiler switched on through the inspector.
import { setTimeout as sleep } from 'node:timers/promises';
import type { BalancerProgram } from '../contenders/balancer.ts';
import { startBalancer } from '../contenders/balancer.ts';
import type { RunningContender, Surroundings } from '../contenders/contender.ts';
import { freePort } from '../children.ts';
import { openClosedLoop } from '../load/closed-loop.ts';
import { startStreams } from '../load/streams.ts';
import type { Surveyed } from '../scenarios/scenario.ts';
import { connectInspector } from './inspector.ts';
import type { Inspector } from './inspector.ts';
import { profileLines } from './owners.ts';

const connections = 32;
const warmMs = 4000;
const profiledMs = 6000;
const streams = { streams: 200, intervalMs: 20, chunkBytes: 250, rampMs: 400 };

/** Returns Markdown. */
export async function profileBalancer(
  surroundings: Surroundings,
  program: BalancerProgram,
  surveyed: Surveyed,
): Promise<string> {
  const inspectorPort = await freePort();
  const inspected = { ...program, args: [`--inspect=127.0.0.1:${inspectorPort}`, ...program.args] };
  const { port, child } = await startBalancer(surroundings, inspected, 'balancer');
  const running: RunningContender = {
    label: 'balancer',
    target: { port, apiKey: surroundings.clientKey },
    pid: child.pid,
    stop: child.stop,
  };
  const inspector = await connectInspector(inspectorPort);
  const lines = [
    `# Profile of the balancer (${program.form})`,
    '',
    ...(await profileRequests(inspector, running, surveyed)),
    '',
    ...(await profileStreams(inspector, running, surveyed)),
  ];
  inspector.close();
  await child.stop();
  return `${lines.join('\n')}\n`;
}

async function profileRequests(inspector: Inspector, running: RunningContender, surveyed: Surveyed): Promise<string[]> {
  const loop = await openClosedLoop(running.target, connections, surveyed.tallyOf(running.label));
  loop.resume();
  await sleep(warmMs);
  const before = loop.completed();
  const profile = await inspector.profile(() => sleep(profiledMs));
  const perSecond = Math.round(((loop.completed() - before) * 1000) / profiledMs);
  await loop.pause();
  loop.close();
  return [
    `## Requests: ${connections} connections, closed loop, ${perSecond} a second while profiled`,
    '',
    ...profileLines(profile),
  ];
}

async function profileStreams(inspector: Inspector, running: RunningContender, surveyed: Surveyed): Promise<string[]> {
  const chunks = Math.ceil((streams.rampMs + warmMs / 2 + profiledMs) / streams.intervalMs) + 50;
  const load = startStreams(running.target, { ...streams, chunks }, surveyed.tallyOf(running.label));
  await sleep(streams.rampMs + warmMs / 2);
  const profile = await inspector.profile(() => sleep(profiledMs));
  await load.finished;
  return [
    `## Streams: ${streams.streams} lively ones, a chunk every ${streams.intervalMs} ms each`,
    '',
    ...profileLines(profile),
  ];
}
