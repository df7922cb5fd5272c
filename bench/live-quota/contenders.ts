// What is put in front of a fleet, each as a process of its own.
import { fileURLToPath } from 'node:url';
import { backendSettings } from '../../scripts/balancer-process.ts';
import { NODE_FLAGS } from '../../scripts/node-flags.ts';
import { startChild } from '../children.ts';
import { BACKEND_KEY } from '../provisioned/contenders.ts';
import { startLitellm } from './litellm.ts';

export const contenderNames = ['balancer', 'ancestor', 'litellm'] as const;
export type ContenderName = (typeof contenderNames)[number];

export interface RunningContender {
  /** Where chat completions go. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly stop: () => Promise<void>;
}

export interface Start {
  readonly urls: readonly string[];
  readonly backendKey: string;
  readonly core: number;
}

const CLIENT_KEY = 'bench-client-key';
const PROGRAMS = { balancer: '../../app/src/main.ts', ancestor: '../provisioned/ancestor.ts' };

export function startContender(
  name: ContenderName,
  { urls, core }: Omit<Start, 'backendKey'>,
): Promise<RunningContender> {
  const start = { urls, core, backendKey: BACKEND_KEY };
  return name === 'litellm' ? startLitellm(start) : startOurs(name, start);
}

async function startOurs(
  name: Exclude<ContenderName, 'litellm'>,
  { urls, core, backendKey }: Start,
): Promise<RunningContender> {
  const child = startChild({
    name,
    core,
    command: process.execPath,
    args: [...NODE_FLAGS, fileURLToPath(new URL(PROGRAMS[name], import.meta.url))],
    env: {
      ...backendSettings(urls.map((url) => ({ url, apiKey: backendKey }))),
      CLIENT_API_KEYS: `bench=${CLIENT_KEY}`,
      PORT: '0',
    },
  });
  const origin = (): string | undefined => /^Listening on (http:\/\/\S+)/m.exec(child.output())?.[1];
  await child.ready(() => origin() !== undefined);
  return {
    url: `${origin() ?? ''}/openai/v1/chat/completions`,
    headers: { 'api-key': CLIENT_KEY },
    stop: child.stop,
  };
}
