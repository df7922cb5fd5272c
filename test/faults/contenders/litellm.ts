// The LiteLLM proxy with one worker, set up as somebody who knows it would for such faults: a deployment rests at its first
// failure, enough tries to find another one, no waiting between them. A model of its own, with three deployments, for each row.
import { allowedCores } from '../../../bench/children.ts';
import { startLitellmProcess } from '../../../bench/litellm-process.ts';
import { isChat } from '../reading.ts';
import { BACKEND_KEY, MODEL, type Stage } from '../stage.ts';
import type { Contender } from './contender.ts';

const MASTER_KEY = 'sk-faults-client-key';

export function litellmContender(version: string): Contender {
  return {
    name: 'litellm',
    version,
    atOnce: 6,
    open: async (stages) => {
      const { origin, child } = await startLitellmProcess(configuration(stages), allowedCores()[0] ?? 0);
      return {
        doorTo: ({ id }) =>
          Promise.resolve({
            url: (form) => `${origin}/v1/${isChat(form) ? 'chat/completions' : 'responses'}`,
            headers: { 'api-key': MASTER_KEY, authorization: `Bearer ${MASTER_KEY}` },
            model: id,
            close: () => Promise.resolve(),
          }),
        close: child.stop,
      };
    },
  };
}

function configuration(stages: readonly Stage[]): object {
  return {
    model_list: stages.flatMap(({ id, row, fleet }) =>
      fleet.resources.map(({ url }) => ({
        model_name: id,
        litellm_params: {
          model: `azure/${MODEL}`,
          api_base: url,
          api_key: BACKEND_KEY,
          api_version: '2025-04-01-preview',
          ...(row.silenceMs === undefined
            ? {}
            : { timeout: row.silenceMs / 1000, stream_timeout: row.silenceMs / 1000 }),
        },
      })),
    ),
    router_settings: {
      routing_strategy: 'simple-shuffle',
      num_retries: 5,
      retry_after: 0,
      allowed_fails: 0,
      cooldown_time: 30,
    },
    litellm_settings: { telemetry: false, set_verbose: false, request_timeout: 230 },
    general_settings: { master_key: MASTER_KEY },
  };
}
