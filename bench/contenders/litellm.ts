// The LiteLLM proxy (PyPI `litellm[proxy]`) with one worker: three deployments of one model, two retries, and without what
// it would do beside the way of a request: no database, no telemetry, no price list from the network, errors only logged.
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort, scratchDirectory, startChild } from '../children.ts';
import { installedLitellm, litellmPython } from '../peers.ts';
import { labelOf, originsOf } from './contender.ts';
import type { Contender, Surroundings } from './contender.ts';

export function litellmContender(surroundings: Surroundings): Contender {
  const { core, transport, clientKey } = surroundings;
  const label = labelOf('litellm', transport);
  return {
    label,
    start: async () => {
      const port = await freePort();
      const file = join(scratchDirectory(), `litellm-${port}.yaml`);
      writeFileSync(file, configuration(surroundings));
      const child = startChild({
        name: 'litellm',
        core,
        command: litellmPython.replace(/python$/, 'litellm'),
        args: [
          '--config',
          file,
          '--host',
          '127.0.0.1',
          '--port',
          String(port),
          '--num_workers',
          '1',
          '--keepalive_timeout',
          '250',
        ],
        env: {
          HOME: scratchDirectory(),
          LITELLM_LOG: 'ERROR',
          LITELLM_LOCAL_MODEL_COST_MAP: 'True',
          LITELLM_MODE: 'PRODUCTION',
        },
      });
      await child.ready(() => isAlive(port), 60_000);
      const headers = { authorization: `Bearer sk-${clientKey}` };
      const target = { port, apiKey: clientKey, path: '/v1/chat/completions', headers, isRewritten: true };
      return { label, target, pid: child.pid, stop: child.stop };
    },
  };
}

export function litellmVersion(): string | undefined {
  return existsSync(litellmPython) ? installedLitellm() : undefined;
}

/** JSON, which YAML includes. */
function configuration(surroundings: Surroundings): string {
  const { clientKey, backendKey } = surroundings;
  const deployments = originsOf(surroundings).map((origin) => ({
    model_name: 'gpt-5.4-mini',
    litellm_params: {
      model: 'azure/gpt-5.4-mini',
      api_base: origin,
      api_key: backendKey,
      api_version: '2024-10-21',
    },
  }));
  return JSON.stringify({
    model_list: deployments,
    router_settings: { routing_strategy: 'simple-shuffle', num_retries: 2 },
    litellm_settings: { telemetry: false, set_verbose: false, request_timeout: 230 },
    general_settings: { master_key: `sk-${clientKey}` },
  });
}

async function isAlive(port: number): Promise<boolean> {
  try {
    return (await fetch(`http://127.0.0.1:${port}/health/liveliness`)).ok;
  } catch {
    return false;
  }
}
