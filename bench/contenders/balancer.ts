// Starts this project's balancer, in the form asked for, with its log going to a file.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { request } from 'node:http';
import { NODE_FLAGS } from '../../scripts/node-flags.ts';
import { freePort, startChild } from '../children.ts';
import type { Child } from '../children.ts';
import type { BalancerForm } from '../options.ts';
import { labelOf, originsOf, trusting } from './contender.ts';
import type { Contender, Surroundings } from './contender.ts';

const root = new URL('../../', import.meta.url).pathname;
const built = `${root}dist/main.js`;
const source = `${root}app/src/main.ts`;

const alternative = new URL('../alternatives/main.ts', import.meta.url).pathname;

/** The last two: the same balancer with another way of making an attempt, see bench/alternatives. */
export type BalancerName = 'balancer' | 'balancer-http' | 'balancer-undici';

export interface BalancerProgram {
  /** For the report. */
  readonly form: string;
  readonly command: string;
  readonly args: readonly string[];
  /** More settings. */
  readonly env?: Readonly<Record<string, string>>;
}

/** Builds first where that is wanted; the image runs the built form. */
export function balancerProgram(form: BalancerForm, command: string | undefined): BalancerProgram {
  if (command !== undefined) return { form: 'a given command', command: 'sh', args: ['-c', `exec ${command}`] };
  if (form !== 'sources') {
    const build = spawnSync('npm', ['run', 'build'], { cwd: root, encoding: 'utf8' });
    if (build.status === 0 && existsSync(built))
      return { form: 'built', command: process.execPath, args: [...NODE_FLAGS, built] };
    if (form === 'built') throw new Error(`npm run build failed:\n${build.stdout}${build.stderr}`);
  }
  if (!existsSync(source)) throw new Error('app/src/main.ts is missing; leave the balancer out with --only bare,nginx');
  return { form: 'sources', command: process.execPath, args: [...NODE_FLAGS, source] };
}

export function alternativeProgram(name: 'balancer-http' | 'balancer-undici'): BalancerProgram {
  const forwarder = name === 'balancer-http' ? 'node-http' : 'undici';
  return { form: 'sources', command: process.execPath, args: [...NODE_FLAGS, alternative, forwarder] };
}

export function balancerContender(
  surroundings: Surroundings,
  program: BalancerProgram,
  name: BalancerName = 'balancer',
): Contender {
  const { transport, clientKey } = surroundings;
  const label = labelOf(name, transport);
  return {
    label,
    start: async () => {
      const { port, child } = await startBalancer(surroundings, program, name);
      return { label, target: { port, apiKey: clientKey }, pid: child.pid, stop: child.stop };
    },
  };
}

export async function startBalancer(
  surroundings: Surroundings,
  program: BalancerProgram,
  name: BalancerName,
): Promise<{ readonly port: number; readonly child: Child }> {
  const { core, clientKey, backendKey } = surroundings;
  const backends = originsOf(surroundings).flatMap((origin, index) => [
    [`BACKEND_${index + 1}_URL`, origin],
    [`BACKEND_${index + 1}_APIKEY`, backendKey],
  ]);
  const port = await freePort();
  const child = startChild({
    name,
    core,
    command: program.command,
    args: program.args,
    env: {
      PORT: String(port),
      HOST: '127.0.0.1',
      CLIENT_API_KEYS: `bench=${clientKey}`,
      // The default of 1,000 would refuse half of the 2,000 streams.
      MAX_CONCURRENT_REQUESTS: '4000',
      ...Object.fromEntries(backends),
      ...trusting(surroundings),
      ...program.env,
    },
  });
  await child.ready(() => isReady(port));
  return { port, child };
}

function isReady(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = request({ port, host: '127.0.0.1', path: '/readyz', agent: false }, (answer) => {
      answer.resume();
      resolve(answer.statusCode === 200);
    });
    probe.on('error', () => resolve(false));
    probe.end();
  });
}
