/**
 * `npm run bench:page`: what the live status page costs the balancer while twenty people look at it, and what its fold
 * costs a request. The balancer runs as a process of its own in front of simulated resources; its CPU time is read from
 * /proc with and without viewers in turns, idle and under a steady light load.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { createRecent } from '../app/src/telemetry/recent.ts';
import { backendSettings, startBalancerProcess } from '../scripts/balancer-process.ts';
import { startFleet } from '../simulator/fleet.ts';
import { describeMachine } from './machine.ts';
import { cpuMsBetween, sampleCpu } from './process-stats.ts';
import { median } from './statistics.ts';

const VIEWERS = 20;
const SECONDS = Number(process.argv[2] ?? 10);
const TURNS = 4;
const WARM_UP_REQUESTS = 3000;
/** Enough that everything changes with every tick; more would only hide the difference in its own noise. */
const LOADS = [0, 5];
const KEY = 'key-of-the-bench';
const OPERATOR_KEY = 'operator-of-the-bench';
const MODEL = 'gpt-5.4-mini';

interface Turn {
  readonly requestsPerSecond: number;
  readonly viewers: number;
  readonly cpuMs: number;
  readonly wallMs: number;
  readonly kibibytesPerSecond: number;
  readonly eventsPerViewer: number;
}

const fleet = await startFleet(
  [1, 2, 3].map((n) => ({ name: `openai${n}`, apiKey: `key-${n}`, deployments: { [MODEL]: { model: MODEL } } })),
);
const balancer = startBalancerProcess(
  {
    PATH: process.env['PATH'],
    ...backendSettings(fleet.resources.map(({ url }, index) => ({ url, apiKey: `key-${index + 1}` }))),
    CLIENT_API_KEYS: `bench=${KEY}`,
    OPERATOR_KEYS: `bench=${OPERATOR_KEY}`,
    PORT: '0',
    DRAIN_SECONDS: '0',
  },
  () => undefined,
);
const agent = new http.Agent({ keepAlive: true });
const seen = { bytes: 0, events: 0 };
const turns: Turn[] = [];
try {
  const url = await balancer.listening;
  for (let n = 0; n < WARM_UP_REQUESTS; n += 1) await ask(url);
  for (let turn = 0; turn < TURNS; turn += 1) {
    for (const load of LOADS) for (const viewers of [0, VIEWERS]) turns.push(await measure(url, load, viewers));
  }
} finally {
  agent.destroy();
  balancer.process.kill('SIGINT');
  await balancer.ended;
  await fleet.close();
}
const result = {
  machine: describeMachine({}),
  viewers: VIEWERS,
  seconds: SECONDS,
  turns,
  cost: LOADS.map(costAt),
  foldNs: foldNs(),
};
mkdirSync('bench/results', { recursive: true });
const path = `bench/results/${result.machine.date.slice(0, 10)}-page.json`;
writeFileSync(path, `${JSON.stringify(result, undefined, 2)}\n`);
for (const { requestsPerSecond, percentOfACore } of result.cost) {
  say(`${VIEWERS} viewers at ${requestsPerSecond} requests/s: ${percentOfACore.toFixed(2)} % of a core more than none`);
}
say(`The fold: ${result.foldNs.toFixed(0)} ns a request. Written to ${path}`);

async function measure(url: string, requestsPerSecond: number, viewers: number): Promise<Turn> {
  const looking = Array.from({ length: viewers }, () => look(url));
  await sleep(1500);
  const before = { ...seen, cpu: sampleCpu(balancer.process.pid ?? 0), at: performance.now() };
  const until = before.at + SECONDS * 1000;
  const asking = requestsPerSecond === 0 ? undefined : setInterval(() => void ask(url), 1000 / requestsPerSecond);
  await sleep(until - performance.now());
  clearInterval(asking);
  const cpuMs = cpuMsBetween(before.cpu, sampleCpu(balancer.process.pid ?? 0));
  const wallMs = performance.now() - before.at;
  for (const req of looking) req.destroy();
  await sleep(500);
  const turn = {
    requestsPerSecond,
    viewers,
    cpuMs: Math.round(cpuMs * 10) / 10,
    wallMs: Math.round(wallMs),
    kibibytesPerSecond: Math.round((seen.bytes - before.bytes) / 1.024 / wallMs),
    eventsPerViewer: viewers === 0 ? 0 : Math.round((seen.events - before.events) / viewers),
  };
  say(JSON.stringify(turn));
  return turn;
}

/** With viewers less without, the median of the rounds: the machine may have had other things to do in one of them. */
function costAt(requestsPerSecond: number): { readonly requestsPerSecond: number; readonly percentOfACore: number } {
  const shares = (viewers: number): readonly number[] =>
    turns
      .filter((turn) => turn.requestsPerSecond === requestsPerSecond && turn.viewers === viewers)
      .map(({ cpuMs, wallMs }) => cpuMs / wallMs);
  const without = shares(0);
  const more = shares(VIEWERS).map((share, round) => share - (without[round] ?? Number.NaN));
  return { requestsPerSecond, percentOfACore: Math.round(median(more) * 10_000) / 100 };
}

function look(url: string): http.ClientRequest {
  const req = http.get(`${url}/status/events`, { headers: { 'api-key': OPERATOR_KEY }, agent: false }, (res) => {
    res.on('data', (chunk: Buffer) => {
      seen.bytes += chunk.length;
      if (chunk.subarray(-2).toString() === '\n\n') seen.events += 1;
    });
    res.on('error', () => undefined);
  });
  req.on('error', () => undefined);
  return req;
}

function ask(url: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = { 'api-key': KEY, 'content-type': 'application/json' };
    const req = http.request(`${url}/v1/chat/completions`, { method: 'POST', agent, headers }, (res) => {
      res.resume().on('close', resolve);
    });
    req.on('error', reject);
    req.end(JSON.stringify({ model: MODEL, messages: [{ role: 'user', content: 'Say hello.' }] }));
  });
}

/** Nanoseconds of CPU for the two events that every request brings. */
function foldNs(): number {
  const recent = createRecent(['openai1', 'openai2', 'openai3']);
  const usage = { promptTokens: 20, completionTokens: 30 };
  const told = { requestId: 'r', backend: 'openai1', deployment: MODEL };
  const ended = {
    kind: 'attempt-ended',
    operation: 'chat/completions',
    ...told,
    outcome: { kind: 'served', status: 200, usage },
    durationMs: 900,
    firstContentMs: 300,
  } as const;
  const request = {
    client: 'bench',
    method: 'POST',
    path: '/v1/chat/completions',
    operation: 'chat/completions',
    stream: true,
  } as const;
  const end = { status: 200, ending: 'delivered', attempts: 1, trace: 'openai1=200', usage, durationMs: 900 } as const;
  const finished = { kind: 'request-finished', ...told, ...request, ...end } as const;
  const times = 1_000_000;
  const fold = (): number => {
    const began = process.cpuUsage();
    for (let n = 0; n < times; n += 1) {
      recent.observe(ended, 1_780_000_000_000 + n);
      recent.observe(finished, 1_780_000_000_000 + n);
    }
    const { user, system } = process.cpuUsage(began);
    return ((user + system) * 1000) / times;
  };
  fold();
  return Math.round(Math.min(fold(), fold(), fold()));
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
