// The balancer as a process of its own with the probe in it, and what can be seen of it from outside.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { backendSettings } from '../../scripts/balancer-process.ts';
import { NODE_FLAGS } from '../../scripts/node-flags.ts';
import { freePort, scratchDirectory, startChild } from '../children.ts';
import { BACKEND_KEY } from './fleet.ts';
import { looksIn } from './looks.ts';
import type { Look } from './looks.ts';
import { ALIASES, CLIENT_KEYS, MAX_BODY_BYTES } from './traffic.ts';

const OPERATOR_KEY = 'soak-operator-key';
const MAIN = fileURLToPath(new URL('../../app/src/main.ts', import.meta.url));
const PROBE = fileURLToPath(new URL('probe.ts', import.meta.url));

/** The log is looked at by nobody: it is cut when it is this long. */
const LONGEST_LOG = 64 * 2 ** 20;

/** Beyond so many at a time requests are shed: a second's work, or less, on one core. */
export const MAX_CONCURRENT_REQUESTS = 400;

/** Short, so that every deadline comes up within minutes. */
export const SETTINGS: Readonly<Record<string, string>> = {
  MAX_CONCURRENT_REQUESTS: String(MAX_CONCURRENT_REQUESTS),
  CONNECT_TIMEOUT_SECONDS: '2',
  HTTP_TIMEOUT_SECONDS: '4',
  FIRST_TOKEN_TIMEOUT_SECONDS: '3',
  STREAM_IDLE_TIMEOUT_SECONDS: '4',
  SSE_KEEPALIVE_SECONDS: '0.5',
  MAX_BODY_BYTES: String(MAX_BODY_BYTES),
  DEPLOYMENT_ALIASES: ALIASES,
};

export interface Tested {
  readonly pid: number;
  readonly port: number;
  /** Has all garbage collected, and resolves with what is left. */
  look(): Promise<Look>;
  /** All looks so far. */
  looks(): Look[];
  /** A figure of its own metrics, summed over all labels that have this text in them. */
  readonly metrics: () => Promise<(name: string, label?: string) => number>;
  readonly openFiles: () => number;
  /** What it wrote to stderr. */
  readonly errors: () => string;
  readonly stop: () => Promise<void>;
}

export async function startTested(resources: readonly { readonly url: string }[], core: number): Promise<Tested> {
  const port = await freePort();
  const probeFile = join(scratchDirectory(), 'probe.jsonl');
  const child = startChild({
    name: 'balancer',
    core,
    command: process.execPath,
    args: [...NODE_FLAGS, '--expose-gc', '--import', PROBE, MAIN],
    env: {
      PORT: String(port),
      CLIENT_API_KEYS: CLIENT_KEYS.map((key, index) => `team-${index}=${key}`).join(','),
      // One of them is counted, and never refused.
      CLIENT_LIMITS: 'team-1=99999999999tpm:999999999rpm:100000concurrent',
      OPERATOR_KEYS: `soak=${OPERATOR_KEY}`,
      SOAK_PROBE_FILE: probeFile,
      ...SETTINGS,
      ...backendSettings(resources.map(({ url }) => ({ url, apiKey: BACKEND_KEY }))),
    },
  });
  await child.ready(async () => (await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => undefined))?.ok === true);
  const looks: Look[] = [];
  let read = 0;

  function readOn(): void {
    const bytes = readFileSync(probeFile);
    const text = bytes.toString('utf8', read);
    const whole = text.lastIndexOf('\n') + 1;
    read += Buffer.byteLength(text.slice(0, whole));
    looks.push(...looksIn(text.slice(0, whole)));
  }

  return {
    pid: child.pid,
    port,
    async look() {
      readOn();
      const before = looks.filter(({ isCollected }) => isCollected).length;
      process.kill(child.pid, 'SIGUSR2');
      for (let waitedMs = 0; waitedMs < 10_000; waitedMs += 20) {
        await sleep(20);
        readOn();
        const found = looks.filter(({ isCollected }) => isCollected)[before];
        if (found !== undefined) return found;
      }
      throw new Error(`the balancer did not answer within 10 s\n${child.errors().slice(-2000)}`);
    },
    looks() {
      readOn();
      return looks;
    },
    async metrics() {
      const answer = await fetch(`http://127.0.0.1:${port}/metrics`, { headers: { 'api-key': OPERATOR_KEY } });
      if (!answer.ok) throw new Error(`/metrics answered ${answer.status}`);
      const text = await answer.text();
      child.trimOutput(LONGEST_LOG);
      return (name, label = '') => sumOf(text, name, label);
    },
    openFiles: () => readdirSync(`/proc/${child.pid}/fd`).length,
    errors: () => child.errors(),
    stop: child.stop,
  };
}

function sumOf(text: string, name: string, label: string): number {
  // Else a metric that is called otherwise would be none of what it counts.
  if (!text.includes(`# TYPE ${name} `)) throw new Error(`/metrics has no ${name}`);
  return text
    .split('\n')
    .filter((line) => (line.startsWith(`${name} `) || line.startsWith(`${name}{`)) && line.includes(label))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
}
