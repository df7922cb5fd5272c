// `npm run bench:telemetry`: what it costs a request to be counted, kept in the ledger, shown on the page and sent to
// Application Insights. Three processes of the balancer take turns under the same load; the log is written by all.
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { setTimeout as sleep } from 'node:timers/promises';
import { NODE_FLAGS } from '../../scripts/node-flags.ts';
import { allowedCores, cleanUpAtExit, pinSelf, startChild } from '../children.ts';
import { startBalancer } from '../contenders/balancer.ts';
import { writeTables } from '../document-tables.ts';
import { openClosedLoop } from '../load/closed-loop.ts';
import type { ClosedLoop } from '../load/closed-loop.ts';
import { describeMachine } from '../machine.ts';
import { cpuMsBetween, sampleCpu } from '../process-stats.ts';
import { Tally } from '../tally.ts';
import { startUpstreams } from '../upstreams.ts';
import { telemetryTables, toMarkdown } from './report.ts';
import type { Measured, Variant } from './report.ts';

const CONNECTIONS = 32;
const WARM_REQUESTS = 30_000;
const SLICE_MS = 150;
const SLICES = 6;
const CLIENT_KEY = 'bench-client-key-0123456789abcdef';
const INSIGHTS_KEY = '11111111-2222-3333-4444-555555555555';

interface Lane {
  readonly variant: Variant;
  readonly loop: ClosedLoop;
  readonly pid: number;
  readonly stop: () => Promise<void>;
}

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '40' },
    json: { type: 'string' },
    readme: { type: 'string' },
  },
});
cleanUpAtExit();
if (values.readme === undefined) {
  await report(Number(values.rounds));
  // The upstreams end with this process.
  process.exit();
}
writeTables(telemetryTables, values.readme);

async function report(rounds: number): Promise<void> {
  const measured = await measure(rounds);
  process.stdout.write(`${toMarkdown(measured).join('\n')}\n`);
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(measured, undefined, 1)}\n`);
  if (Object.keys(measured.problems).length > 0) process.exitCode = 1;
}

async function measure(rounds: number): Promise<Measured> {
  const machine = describeMachine({});
  const [core = 0, own = core] = allowedCores();
  pinSelf(own);
  const tally = new Tally();
  const upstreams = await startUpstreams(own);
  const ingestion = startChild({
    name: 'ingestion',
    core: own,
    command: process.execPath,
    args: [new URL('ingestion.ts', import.meta.url).pathname],
  });
  await ingestion.ready(() => ingestion.output().endsWith('\n'));
  const insights = {
    APPLICATIONINSIGHTS_CONNECTION_STRING: `InstrumentationKey=${INSIGHTS_KEY};IngestionEndpoint=http://127.0.0.1:${ingestion.output().trim()}/`,
  };

  async function open(variant: Variant, kind: string, more: Readonly<Record<string, string>>): Promise<Lane> {
    const { port, child } = await startBalancer(
      { ...upstreams.plain, core, transport: 'plain', clientKey: CLIENT_KEY, backendKey: 'bench-backend-key' },
      {
        form: 'sources',
        command: process.execPath,
        args: [...NODE_FLAGS, new URL('child.ts', import.meta.url).pathname, kind],
        env: more,
      },
      'balancer',
    );
    const loop = await openClosedLoop({ port, apiKey: CLIENT_KEY }, CONNECTIONS, tally);
    return { variant, loop, pid: child.pid, stop: child.stop };
  }

  const lanes = [
    await open('nothing', 'unwatched', { STREAM_USAGE: 'off' }),
    await open('metrics, ledger and page', 'watched', {}),
    await open('Application Insights too', 'watched', insights),
  ];
  for (const { loop } of lanes) {
    loop.resume();
    const from = loop.completed();
    while (loop.completed() - from < WARM_REQUESTS) await sleep(50);
    await loop.pause();
  }
  const cpuUs: Record<Variant, number[]> = {
    nothing: [],
    'metrics, ledger and page': [],
    'Application Insights too': [],
  };
  for (let round = 0; round < rounds; round += 1) {
    const spent = new Map(lanes.map((lane) => [lane, { cpuMs: 0, requests: 0 }]));
    for (let slice = 0; slice < SLICES; slice += 1) {
      // Each comes first, second and last, and after each other, equally often.
      const order = [...lanes.slice(slice % lanes.length), ...lanes.slice(0, slice % lanes.length)];
      for (const lane of slice < SLICES / 2 ? order : order.toReversed()) {
        const sum = spent.get(lane);
        const one = await runSlice(lane);
        if (sum === undefined) continue;
        sum.cpuMs += one.cpuMs;
        sum.requests += one.requests;
      }
    }
    for (const [{ variant }, { cpuMs, requests }] of spent) cpuUs[variant].push((1000 * cpuMs) / requests);
  }
  for (const { loop, stop } of lanes) {
    loop.close();
    await stop();
  }
  await ingestion.stop();
  return { machine, rounds, cpuUs, problems: tally.snapshot() };
}

async function runSlice({ loop, pid }: Lane): Promise<{ readonly cpuMs: number; readonly requests: number }> {
  const [before, from] = [sampleCpu(pid), loop.completed()];
  loop.resume();
  await sleep(SLICE_MS);
  await loop.pause();
  return { cpuMs: cpuMsBetween(before, sampleCpu(pid)), requests: loop.completed() - from };
}
