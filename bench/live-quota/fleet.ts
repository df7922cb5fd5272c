// Three simulated resources of a contender's own, whose windows begin at the same moments of the load for every contender.
import { startFleet } from '../../simulator/fleet.ts';
import type { SimulatedResource } from '../../simulator/server.ts';
import { BACKEND_KEY } from '../provisioned/contenders.ts';
import { startDistant } from './distant.ts';
import type { Attempt, DistantResource } from './distant.ts';
import type { SeenAttempt } from './figures.ts';
import { ANSWER_TOKENS, bodyOf, deployments, MODEL, usedAtStart } from './workload.ts';

const MINUTE_MS = 60_000;

export interface LimitedFleet {
  /** As a contender reaches them. */
  readonly urls: readonly string[];
  /** The resources' clock shows a whole minute then; of each quota there is used what such a load has used by now. */
  begin(now: number, load: number): Promise<void>;
  attempts(): SeenAttempt[];
  close(): Promise<void>;
}

export async function startLimitedFleet(): Promise<LimitedFleet> {
  let behindMs = 0;
  const fleet = await startFleet(
    deployments().map((spec, index) => ({
      name: `openai${index + 1}`,
      apiKey: BACKEND_KEY,
      answerTokens: ANSWER_TOKENS,
      deployments: { [MODEL]: spec },
      now: () => Date.now() - behindMs,
    })),
  );
  const ways = await Promise.all(fleet.resources.map(startDistant));
  return {
    urls: ways.map(({ url }) => url),
    begin: async (now, load) => {
      behindMs = now % MINUTE_MS;
      for (const [index, resource] of fleet.resources.entries()) {
        resource.clearFaults();
        await useUp(resource, usedAtStart(index, load));
        resource.clearCalls();
      }
    },
    attempts: () =>
      fleet.resources.flatMap((resource, index) =>
        attemptsOf(resource, ways[index]).map((attempt) => ({ ...attempt, resource: index })),
      ),
    close: async () => {
      for (const way of ways) way.close();
      await fleet.close();
    },
  };
}

/** By a request that goes there directly. */
async function useUp({ url }: SimulatedResource, tokens: number): Promise<void> {
  const body = bodyOf({ id: 0, atMs: 0, promptTokens: tokens - 1, maxTokens: 1, countedTokens: tokens });
  const headers = { 'api-key': BACKEND_KEY, 'content-type': 'application/json' };
  const answer = await fetch(`${url}/openai/v1/chat/completions`, { method: 'POST', headers, body });
  await answer.text();
  if (answer.status !== 200) throw new Error(`a quota was not used up: ${answer.status}`);
}

/** As many as the resource's own log has calls. */
function attemptsOf({ name, calls }: SimulatedResource, way: DistantResource | undefined): readonly Attempt[] {
  const attempts = way?.attempts ?? [];
  if (attempts.length !== calls.length) {
    throw new Error(`${name} has ${calls.length} calls in its log, of ${attempts.length} attempts`);
  }
  return attempts;
}
