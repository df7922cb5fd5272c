// The LiteLLM proxy as in bench/contenders/litellm.ts, but with its usage-based routing, which is told the quotas.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort, scratchDirectory, startChild } from '../children.ts';
import { litellmPython } from '../peers.ts';
import type { RunningContender, Start } from './contenders.ts';
import { deployments, MODEL } from './workload.ts';

const MASTER_KEY = 'sk-bench-client-key';
const START_MS = 90_000;

export async function startLitellm({ urls, backendKey, core }: Start): Promise<RunningContender> {
  const port = await freePort();
  const file = join(scratchDirectory(), `litellm-${port}.yaml`);
  writeFileSync(file, JSON.stringify(configuration(urls, backendKey)));
  const child = startChild({
    name: 'litellm',
    core,
    command: litellmPython.replace(/python$/, 'litellm'),
    args: ['--config', file, '--host', '127.0.0.1', '--port', String(port), '--num_workers', '1'],
    env: {
      HOME: scratchDirectory(),
      LITELLM_LOG: 'ERROR',
      LITELLM_LOCAL_MODEL_COST_MAP: 'True',
      LITELLM_MODE: 'PRODUCTION',
    },
  });
  const origin = `http://127.0.0.1:${port}`;
  await child.ready(() => isAlive(origin), START_MS);
  return {
    url: `${origin}/v1/chat/completions`,
    headers: { authorization: `Bearer ${MASTER_KEY}` },
    stop: child.stop,
  };
}

/** JSON, which YAML includes. Cooldowns are not mentioned: they are as LiteLLM has them. */
export function configuration(urls: readonly string[], backendKey: string) {
  const specs = deployments();
  return {
    model_list: urls.map((url, index) => ({
      model_name: MODEL,
      litellm_params: {
        model: `azure/${MODEL}`,
        api_base: url,
        api_key: backendKey,
        api_version: '2024-10-21',
        tpm: specs[index]?.tpm,
        rpm: specs[index]?.rpm,
      },
    })),
    router_settings: { routing_strategy: 'usage-based-routing-v2', num_retries: 2 },
    litellm_settings: { telemetry: false, set_verbose: false, request_timeout: 230 },
    general_settings: { master_key: MASTER_KEY },
  };
}

async function isAlive(origin: string): Promise<boolean> {
  try {
    return (await fetch(`${origin}/health/liveliness`)).ok;
  } catch {
    return false;
  }
}
