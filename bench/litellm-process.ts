// The LiteLLM proxy (PyPI `litellm[proxy]`) as a process with one worker, without what it would do beside the way of a
// request: no database, no telemetry, no price list from the network, errors only logged.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort, scratchDirectory, startChild } from './children.ts';
import type { Child } from './children.ts';
import { litellmPython } from './peers.ts';

const START_MS = 90_000;

/**
 * Resolves when it answers.
 * @param configuration written as JSON, which YAML includes
 * @param more options of its command line
 */
export async function startLitellmProcess(
  configuration: object,
  core: number,
  more: readonly string[] = [],
): Promise<{ readonly port: number; readonly origin: string; readonly child: Child }> {
  const port = await freePort();
  const file = join(scratchDirectory(), `litellm-${port}.yaml`);
  writeFileSync(file, JSON.stringify(configuration));
  const child = startChild({
    name: 'litellm',
    core,
    command: litellmPython.replace(/python$/, 'litellm'),
    args: ['--config', file, '--host', '127.0.0.1', '--port', String(port), '--num_workers', '1', ...more],
    env: {
      HOME: scratchDirectory(),
      LITELLM_LOG: 'ERROR',
      LITELLM_LOCAL_MODEL_COST_MAP: 'True',
      LITELLM_MODE: 'PRODUCTION',
    },
  });
  const origin = `http://127.0.0.1:${port}`;
  await child.ready(() => isAlive(origin), START_MS);
  return { port, origin, child };
}

async function isAlive(origin: string): Promise<boolean> {
  try {
    return (await fetch(`${origin}/health/liveliness`)).ok;
  } catch {
    return false;
  }
}
