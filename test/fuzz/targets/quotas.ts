import assert from 'node:assert/strict';
import { parseQuota } from '../../../app/src/balancer/quota.ts';
import { parseRetryAfterMs } from '../../../app/src/balancer/retry-after.ts';
import { createPool } from '../../../app/src/balancer/pool.ts';
import { backend } from '../../support/pool.ts';
import type { Target } from '../target.ts';
import { headersIn, waitSamples, waitWords } from './waits.ts';

const BACKENDS = [backend('a', { capacity: 30_000 }), backend('b'), backend('c', { priority: 2 })];
const DAY_MS = 86_400_000;
const START = 1_000_000;

export const quotas: Target = {
  name: 'quotas that backends tell',
  property:
    'whatever the headers of answers and refusals say, a request gets a backend, or a wait that ends within a day; no figure of the pool becomes one that is none',
  samples: [...waitSamples, Buffer.from(waitSamples.join('\n\n'))],
  words: [...waitWords, Buffer.from('\n\n')],
  share: 0.3,
  check(bytes, chance) {
    const pool = createPool({ backends: BACKENDS, random: () => chance.below(1000) / 1000 });
    let now = START;
    const seen = new Set<string>();
    for (const block of bytes.toString('latin1').split('\n\n').slice(0, 12)) {
      now += chance.below(1 << chance.below(18));
      const headers = headersIn(Buffer.from(block, 'latin1'));
      const header = (name: string): string | undefined => headers.get(name);
      const tokens = chance.below(2000);
      const ask = { deployment: 'gpt', tried: new Set<string>(), tokens, openTokens: chance.below(tokens + 1) };
      const acquired = pool.acquire({ ...ask, holdUntil: now + 2000, spillAt: now + 150 }, now);
      seen.add(acquired.kind);
      if (acquired.kind === 'wait') {
        assert.ok(acquired.until > now && acquired.until <= now + DAY_MS, `until ${acquired.until - now} ms from now`);
        continue;
      }
      if (acquired.kind === 'none') {
        const { recoversAt = now + 1 } = acquired;
        assert.ok(recoversAt > now && recoversAt <= now + DAY_MS, `recovers ${recoversAt - now} ms from now`);
        continue;
      }
      const { lease } = acquired;
      const quota = parseQuota(header);
      const isRefused = chance.oneIn(2);
      pool.observe(lease, { kind: 'headers', isRefused, ...(quota === undefined ? {} : { quota }) }, now);
      const retryAfterMs = isRefused ? parseRetryAfterMs(header, START) : undefined;
      const named = retryAfterMs === undefined ? {} : { retryAfterMs };
      pool.settle(
        lease,
        isRefused ? { kind: 'throttled', inStream: false, ...named } : { kind: 'served', status: 200 },
        now,
      );
      assertFinite(pool.snapshot(now));
    }
    return [...seen].toSorted().join(' ');
  },
};

function assertFinite(value: unknown): void {
  if (typeof value === 'number') assert.ok(!Number.isNaN(value) && value >= 0, String(value));
  else if (typeof value === 'object' && value !== null) for (const each of Object.values(value)) assertFinite(each);
}
