// The LiteLLM proxy as in bench/contenders/litellm.ts, but with its usage-based routing, which is told the quotas.
import { startLitellmProcess } from '../litellm-process.ts';
import type { RunningContender, Start } from './contenders.ts';
import { deployments, MODEL } from './workload.ts';

const MASTER_KEY = 'sk-bench-client-key';

export async function startLitellm({ urls, backendKey, core }: Start): Promise<RunningContender> {
  const { origin, child } = await startLitellmProcess(configuration(urls, backendKey), core);
  return {
    url: `${origin}/v1/chat/completions`,
    headers: { authorization: `Bearer ${MASTER_KEY}` },
    stop: child.stop,
  };
}

/** Cooldowns are not mentioned: they are as LiteLLM has them. */
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
