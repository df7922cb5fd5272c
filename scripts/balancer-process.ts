/** The balancer as a process of its own, as it runs in production, for the scripts that show it. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { NODE_FLAGS } from './node-flags.ts';

export interface BalancerProcess {
  readonly process: ChildProcess;
  /** Resolves with its URL when it listens; rejects when it ends before. */
  readonly listening: Promise<string>;
  /** Its exit code; 1 when a signal ended it. */
  readonly ended: Promise<number>;
}

const MAIN = fileURLToPath(new URL('../app/src/main.ts', import.meta.url));

/** @param onLine every line of its log */
export function startBalancerProcess(
  settings: Readonly<Record<string, string | undefined>>,
  onLine: (line: string) => void,
): BalancerProcess {
  const child = spawn(process.execPath, [...NODE_FLAGS, MAIN], { env: settings, stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit').then(([code]) => (typeof code === 'number' ? code : 1));
  const listening = new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      const [, url] = /^Listening on (http:\/\/\S+)/.exec(line) ?? [];
      if (url !== undefined) resolve(url);
      onLine(line);
    });
    void ended.then((code) => reject(new Error(`the balancer ended with exit code ${code}`)));
  });
  return { process: child, listening, ended };
}

/** BACKEND_n_URL and BACKEND_n_APIKEY for resources with keys. */
export function backendSettings(
  resources: readonly { readonly url: string; readonly apiKey: string }[],
): Record<string, string> {
  const settings: Record<string, string> = {};
  for (const [index, { url, apiKey }] of resources.entries()) {
    settings[`BACKEND_${index + 1}_URL`] = url;
    settings[`BACKEND_${index + 1}_APIKEY`] = apiKey;
  }
  return settings;
}
