/** Simulated resources for a balancer that runs in a process of its own. */
import { startFleet, type Fleet } from '../../simulator/fleet.ts';
import type { ResourceOptions } from '../../simulator/server.ts';

export interface TestFleet extends Fleet {
  /** The settings that name these resources as BACKEND_1, BACKEND_2, …; with their keys. */
  readonly env: Readonly<Record<string, string>>;
  /** The same without keys: the balancer needs a token. */
  readonly envWithoutKeys: Readonly<Record<string, string>>;
}

export async function startTestFleet(count: number, options: Partial<ResourceOptions> = {}): Promise<TestFleet> {
  const fleet = await startFleet(
    Array.from({ length: count }, (_, index) => ({
      name: `openai${index + 1}`,
      apiKey: `key-${index + 1}`,
      deployments: { 'gpt-5.4-mini': { model: 'gpt-5.4-mini' } },
      ...options,
    })),
  );
  const urls = fleet.resources.map(({ url }, index) => [`BACKEND_${index + 1}_URL`, url] as const);
  const keys = fleet.resources.map((_, index) => [`BACKEND_${index + 1}_APIKEY`, `key-${index + 1}`] as const);
  return {
    resources: fleet.resources,
    close: () => fleet.close(),
    env: Object.fromEntries([...urls, ...keys]),
    envWithoutKeys: Object.fromEntries(urls),
  };
}
