// What a decision of the pool costs: acquire, the answer's quota, and settle, at 3 backends × 10 deployments, of which some
// were throttled before. `node bench/arena/decision-cost.ts`; the aim is under 10 µs.
import { createPool } from '../../app/src/balancer/pool.ts';
import type { Quota } from '../../app/src/balancer/quota.ts';
import { minimum, median } from '../statistics.ts';
import { randomFrom } from '../random.ts';

const BACKENDS = 3;
const DEPLOYMENTS = 10;
const DECISIONS = 100_000;
const ROUNDS = 9;
/** In flight at any time, so that the pool has leases to keep. */
const IN_FLIGHT = 50;
const NOBODY: ReadonlySet<string> = new Set();

const rounds = Array.from({ length: ROUNDS }, (_, round) => microsecondsADecision(round));
const [, ...warm] = rounds;
process.stdout.write(
  `acquire + observe + settle, ${BACKENDS} backends × ${DEPLOYMENTS} deployments: ` +
    `${minimum(warm).toFixed(2)} / ${median(warm).toFixed(2)} µs (minimum / median of ${warm.length} rounds of ${DECISIONS})\n`,
);

function microsecondsADecision(seed: number): number {
  const random = randomFrom(seed);
  const backends = Array.from({ length: BACKENDS }, (_, index) => ({
    name: `openai${index + 1}`,
    origin: `https://openai${index + 1}.example`,
    priority: 1,
    weight: 1,
  }));
  const pool = createPool({ backends, random });
  const deployments = Array.from({ length: DEPLOYMENTS }, (_, index) => `deployment-${index + 1}`);
  const quotas = Array.from({ length: 64 }, (_, index) => quotaOf(30_000 - 400 * index));
  const open: { readonly end: (now: number) => void }[] = [];
  let now = 0;
  const began = process.hrtime.bigint();
  for (let decision = 0; decision < DECISIONS; decision += 1) {
    now += 1;
    const deployment = deployments[decision % DEPLOYMENTS] ?? '';
    const got = pool.acquire({ deployment, tried: NOBODY, tokens: 500, holdUntil: now + 2000 }, now);
    if (got.kind === 'lease') {
      const quota = quotas[decision % quotas.length];
      pool.observe(got.lease, quota === undefined ? { kind: 'headers' } : { kind: 'headers', quota }, now);
      const isThrottled = decision % 1000 === 999;
      open.push({
        end: (at) =>
          pool.settle(
            got.lease,
            isThrottled
              ? { kind: 'throttled', retryAfterMs: 20, inStream: false }
              : { kind: 'served', status: 200, usage: { promptTokens: 300, completionTokens: 150 } },
            at,
          ),
      });
    }
    if (open.length > IN_FLIGHT) open.shift()?.end(now);
  }
  const tookNs = Number(process.hrtime.bigint() - began);
  return tookNs / 1000 / DECISIONS;
}

function quotaOf(remainingTokens: number): Quota {
  return { limitTokens: 30_000, remainingTokens, limitRequests: 180, remainingRequests: 100 };
}
