import assert from 'node:assert/strict';
import { statusDocument } from '../../../app/src/ops/status.ts';
import { backend, startPool, throttled } from '../../support/pool.ts';

describe('status', () => {
  it('shows the balancer and every backend with its deployments, in words and in states', () => {
    const driver = startPool(['openai1', backend('openai2', { priority: 2, weight: 3 })]);
    driver.attempt('openai1', throttled(5000));
    driver.clock.advance(1000);
    const held = driver.lease(['openai1']);
    driver.pool.observe(held, { kind: 'headers', quota: { remainingTokens: 9 } }, driver.clock.now());
    const now = driver.clock.now();
    const document = statusDocument({
      isDraining: false,
      uptimeMs: 61_499,
      requestsInFlight: 1,
      bytesBuffered: 12,
      pool: driver.pool.snapshot(now),
      now,
    });
    assert.deepEqual(document, {
      state: 'serving',
      uptimeSeconds: 61,
      requestsInFlight: 1,
      bytesBuffered: 12,
      backends: [
        {
          name: 'openai1',
          url: 'https://openai1.openai.azure.com',
          priority: 1,
          weight: 1,
          state: 'closed',
          says: 'serving',
          inFlight: 0,
          deployments: [
            { deployment: 'gpt', state: 'cooldown', says: 'cooling down for 4000 ms: it answered 429', inFlight: 0 },
          ],
        },
        {
          name: 'openai2',
          url: 'https://openai2.openai.azure.com',
          priority: 2,
          weight: 3,
          state: 'closed',
          says: 'serving',
          inFlight: 1,
          deployments: [
            { deployment: 'gpt', state: 'closed', says: 'serving', inFlight: 1, quota: { remainingTokens: 9 } },
          ],
        },
      ],
    });
  });

  it('says when it drains', () => {
    const driver = startPool([]);
    const parts = { uptimeMs: 0, requestsInFlight: 0, bytesBuffered: 0, pool: driver.pool.snapshot(0), now: 0 };
    assert.equal(statusDocument({ ...parts, isDraining: true }).state, 'draining');
    assert.equal(statusDocument({ ...parts, isDraining: false }).state, 'serving');
  });
});
