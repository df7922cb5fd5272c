// The LiteLLM proxy with three deployments of one model and two retries.
import { existsSync } from 'node:fs';
import { startLitellmProcess } from '../litellm-process.ts';
import { installedLitellm, litellmPython } from '../peers.ts';
import { labelOf, originsOf } from './contender.ts';
import type { Contender, Surroundings } from './contender.ts';

/** As the load keeps its connections. */
const KEEP_ALIVE: readonly string[] = ['--keepalive_timeout', '250'];

export function litellmContender(surroundings: Surroundings): Contender {
  const { core, transport, clientKey } = surroundings;
  const label = labelOf('litellm', transport);
  return {
    label,
    start: async () => {
      const { port, child } = await startLitellmProcess(configuration(surroundings), core, KEEP_ALIVE);
      const headers = { authorization: `Bearer sk-${clientKey}` };
      const target = { port, apiKey: clientKey, path: '/v1/chat/completions', headers, isRewritten: true };
      return { label, target, pid: child.pid, stop: child.stop };
    },
  };
}

export function litellmVersion(): string | undefined {
  return existsSync(litellmPython) ? installedLitellm() : undefined;
}

function configuration(surroundings: Surroundings): object {
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
  return {
    model_list: deployments,
    router_settings: { routing_strategy: 'simple-shuffle', num_retries: 2 },
    litellm_settings: { telemetry: false, set_verbose: false, request_timeout: 230 },
    general_settings: { master_key: `sk-${clientKey}` },
  };
}
