/** The text of a scrape in which every metric of the balancer has a sample with every label that it can have. */
import { createMetrics } from '../../app/src/telemetry/metrics.ts';
import { backend } from './pool.ts';
import { changed, cooldown, ended, finished, refused, started } from './told-events.ts';

export async function everyMetric(): Promise<string> {
  const quota = {
    utilizationPercent: 50,
    remainingTokens: 1,
    limitTokens: 2,
    remainingRequests: 3,
    limitRequests: 4,
  };
  const resting = { standing: 'cooldown', state: cooldown(6000), inFlight: 1 } as const;
  const metrics = createMetrics({
    gauges: {
      requestsInFlight: () => 1,
      bytesBuffered: () => 1,
      requestsHeld: () => 1,
      pool: () => ({
        backends: [
          { backend: backend('openai1'), ...resting, deployments: [{ deployment: 'gpt', ...resting, quota }] },
        ],
      }),
      now: () => 5000,
    },
    withProcess: true,
  });
  const usage = { promptTokens: 1, completionTokens: 1, cachedTokens: 1, reasoningTokens: 1 };
  const { backend: one } = started();
  for (const event of [
    started(),
    ended({ kind: 'throttled', inStream: false }, { firstContentMs: 1 }),
    started({ backend: 'openai2' }),
    ended({ kind: 'served', status: 200 }),
    finished({ spilledFrom: one, heldMs: 1, firstContentMs: 1, usage }),
    finished({ ending: 'broken', code: 'stream_idle', usage: { ...usage, isEstimated: true } }),
    refused('', 'missing_credential', 401),
    changed(cooldown(6000), 'gpt'),
    changed({ kind: 'missing', since: 5000, until: 6000 }, 'gpt'),
  ]) {
    metrics.observe(event);
  }
  return (await metrics.render()).text;
}
