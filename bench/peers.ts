// Other gateways for language models, to be compared with: installed by `npm run bench:peers` into a folder that git does
// not see, and measured only where they are installed. This file knows where they lie.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';

const folder = new URL('.peers/', import.meta.url).pathname;
const gateway = `${folder}portkey/node_modules/@portkey-ai/gateway/`;

/** The versions that were measured when this was written. */
export const LITELLM = 'litellm[proxy]==1.106.2';
export const PORTKEY = '@portkey-ai/gateway@1.15.2';

export const litellmFolder = `${folder}litellm`;
export const litellmPython = `${litellmFolder}/bin/python`;
export const portkeyFolder = `${folder}portkey`;
export const portkeyProgram = `${gateway}build/start-server.js`;

/** Undefined when it is not installed, or not to its end. */
export function installedLitellm(): string | undefined {
  const ask = 'import importlib.metadata as m; print(m.version("litellm"))';
  const { status, stdout } = spawnSync(litellmPython, ['-c', ask], { encoding: 'utf8' });
  return status === 0 ? stdout.trim() : undefined;
}

export function installedPortkey(): string | undefined {
  if (!existsSync(portkeyProgram)) return undefined;
  return /"version": "([^"]+)"/.exec(readFileSync(`${gateway}package.json`, 'utf8'))?.[1];
}
