// Several simulated resources at once, and the small fleet that a newcomer is shown.

import { startResource } from './server.ts';
import type { ResourceOptions, SimulatedResource } from './server.ts';

export interface Fleet {
  readonly resources: readonly SimulatedResource[];
  close(): Promise<void>;
}

/** Starts them all, or none: when one cannot start, those that did are closed again. */
export async function startFleet(options: readonly ResourceOptions[]): Promise<Fleet> {
  const resources: SimulatedResource[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(resources.map((resource) => resource.close()));
  };
  try {
    for (const option of options) {
      resources.push(await startResource(option));
    }
  } catch (error) {
    await close();
    throw error;
  }
  return { resources, close };
}

/** Three resources whose quotas are so small that a dozen requests by hand show a failover. */
export function smallFleet(): readonly ResourceOptions[] {
  const regions = ['Sweden Central', 'East US 2', 'Japan East'];
  return regions.map((region, index) => ({
    name: `openai${index + 1}`,
    region,
    apiKey: `simulated-key-${index + 1}`,
    bearerToken: `simulated-token-${index + 1}`,
    chunkDelayMs: 30,
    deployments: {
      'gpt-5.4-mini': { model: 'gpt-5.4-mini', tpm: 6_000, rpm: 24 },
      'text-embedding-3-large': { model: 'text-embedding-3-large', tpm: 6_000, rpm: 24 },
      'gpt-4o-transcribe': { model: 'gpt-4o-transcribe', rpm: 12 },
    },
  }));
}
