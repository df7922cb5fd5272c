// What is put in front of the resources, each as a process of its own.
import { fileURLToPath } from 'node:url';
import { ConfigError, readConfig } from '../../app/src/config.ts';
import { backendSettings } from '../../scripts/balancer-process.ts';
import { NODE_FLAGS } from '../../scripts/node-flags.ts';
import type { SimulatedResource } from '../../simulator/server.ts';
import { startChild } from '../children.ts';
import type { Child } from '../children.ts';
import type { Target } from './load.ts';

export interface Contender {
  readonly name: string;
  readonly program: string;
  readonly settings: Readonly<Record<string, string>>;
}

export interface RunningContender {
  readonly target: Target;
  stop(): Promise<void>;
}

const CLIENT_KEY = 'bench-client-key';
export const BACKEND_KEY = 'bench-backend-key';
const BALANCER = fileURLToPath(new URL('../../app/src/main.ts', import.meta.url));
const ANCESTOR = fileURLToPath(new URL('ancestor.ts', import.meta.url));

/** Those that can be measured today: a setting that this version refuses has no row. */
export function contenders(): readonly Contender[] {
  const all: readonly Contender[] = [
    { name: 'balancer', program: BALANCER, settings: {} },
    { name: 'balancer, PRIORITY_WAIT_MS=0', program: BALANCER, settings: { PRIORITY_WAIT_MS: '0' } },
    { name: 'ancestor', program: ANCESTOR, settings: {} },
  ];
  return all.filter(({ program, settings }) => program !== BALANCER || isAccepted(settings));
}

/** The first resource is asked first, the others after it. */
export async function startContender(
  { name, program, settings }: Contender,
  resources: readonly SimulatedResource[],
  core: number,
): Promise<RunningContender> {
  const child = startChild({
    name: name.replaceAll(/\W+/g, '-'),
    core,
    command: process.execPath,
    args: [...NODE_FLAGS, program],
    env: { ...settingsFor(resources.map(({ url }) => url)), ...settings },
  });
  try {
    await child.ready(() => urlIn(child) !== undefined);
  } catch (error) {
    await child.stop();
    throw error;
  }
  return { target: { url: urlIn(child) ?? '', apiKey: CLIENT_KEY }, stop: child.stop };
}

function urlIn(child: Child): string | undefined {
  return /^Listening on (http:\/\/\S+)/m.exec(child.output())?.[1];
}

function settingsFor(urls: readonly string[]): Record<string, string> {
  const settings = backendSettings(urls.map((url) => ({ url, apiKey: BACKEND_KEY })));
  for (const index of urls.keys()) settings[`BACKEND_${index + 1}_PRIORITY`] = index === 0 ? '1' : '2';
  return { ...settings, CLIENT_API_KEYS: `bench=${CLIENT_KEY}`, PORT: '0' };
}

function isAccepted(settings: Readonly<Record<string, string>>): boolean {
  try {
    readConfig({ ...settingsFor(['http://127.0.0.1:1']), ...settings });
    return true;
  } catch (error) {
    if (error instanceof ConfigError) return false;
    throw error;
  }
}
