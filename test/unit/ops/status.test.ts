import assert from 'node:assert/strict';
import { statusDocument, type StatusParts } from '../../../app/src/ops/status.ts';
import { createRecent } from '../../../app/src/telemetry/recent.ts';
import { finished, attemptEnded } from '../../support/told-events.ts';
import { backend, startPool, throttled, UNAUTHORIZED, type PoolDriver } from '../../support/pool.ts';

const WALL_MS = Date.parse('2026-11-27T14:02:31.500Z');

function partsOf(driver: PoolDriver, more: Partial<StatusParts> = {}): StatusParts {
  const now = driver.clock.now();
  return {
    isDraining: false,
    uptimeMs: 61_499,
    requestsInFlight: 1,
    requestsHeld: 0,
    bytesBuffered: 12,
    pool: driver.pool.snapshot(now),
    recent: createRecent([]),
    settings: [],
    now,
    wallMs: WALL_MS,
    ...more,
  };
}

const NOTHING = {
  requests: 0,
  failedOver: 0,
  held: 0,
  heldMs: 0,
  spillovers: 0,
  refused: 0,
  broken: 0,
  abandoned: 0,
  tokens: 0,
};

describe('status', () => {
  it('shows the balancer and every backend with its deployments, in words and in states', () => {
    const driver = startPool(['openai1', backend('openai2', { priority: 2, weight: 3 })]);
    driver.attempt('openai1', throttled(5000));
    driver.clock.advance(1000);
    const held = driver.lease(['openai1']);
    driver.pool.observe(held, { kind: 'headers', quota: { remainingTokens: 9 } }, driver.clock.now());
    const document = statusDocument(partsOf(driver));
    assert.deepEqual(document, {
      state: 'serving',
      headline: {
        level: 'degraded',
        text: 'openai1 is cooling down for 4.0 s; 1 of 2 serves.',
        gist: 'openai1 is cooling down; 1 of 2 serves.',
      },
      at: '2026-11-27T14:02:31.500Z',
      uptimeSeconds: 61,
      requestsInFlight: 1,
      requestsHeld: 0,
      bytesBuffered: 12,
      counters: NOTHING,
      backends: [
        {
          name: 'openai1',
          url: 'https://openai1.openai.azure.com',
          priority: 1,
          weight: 1,
          state: 'closed',
          standing: 'available',
          says: 'serving',
          inFlight: 0,
          sharePercent: 0,
          deployments: [
            {
              deployment: 'gpt',
              state: 'cooldown',
              standing: 'cooldown',
              says: 'cooling down for 4000 ms: it answered 429',
              leftMs: 4000,
              inFlight: 0,
            },
          ],
        },
        {
          name: 'openai2',
          url: 'https://openai2.openai.azure.com',
          priority: 2,
          weight: 3,
          state: 'closed',
          standing: 'available',
          says: 'serving',
          inFlight: 1,
          sharePercent: 0,
          deployments: [
            {
              deployment: 'gpt',
              state: 'closed',
              standing: 'available',
              says: 'serving',
              inFlight: 1,
              quota: { remainingTokens: 9 },
            },
          ],
        },
      ],
      clients: [],
      chart: { slotSeconds: 10, from: '2026-11-27T13:47:40.000Z', to: '2026-11-27T14:02:40.000Z', slots: [] },
      requests: [],
      settings: [],
    });
  });

  it('says when it drains', () => {
    const driver = startPool([]);
    assert.equal(statusDocument(partsOf(driver, { isDraining: true })).state, 'draining');
    assert.equal(statusDocument(partsOf(driver)).state, 'serving');
  });

  it('says since when a backend is quarantined, on the wall, and by which status', () => {
    const driver = startPool(['openai1']);
    const recent = createRecent(['openai1']);
    driver.attempt('openai1', UNAUTHORIZED);
    const [change] = driver.changes;
    assert.ok(change !== undefined);
    recent.observe({ kind: 'state-changed', change: { ...change, reason: '401' }, now: 0 }, WALL_MS);
    driver.clock.advance(31_000);
    const [only] = statusDocument(partsOf(driver, { recent })).backends;
    assert.equal(only?.state, 'quarantined');
    assert.equal(only.reason, '401');
    assert.equal(only.since, '2026-11-27T14:02:01.000Z');
  });

  it('shows what each backend and deployment came to lately, and its share of all answers', () => {
    const driver = startPool(['openai1', 'openai2']);
    driver.attempt('openai1', { kind: 'served', status: 200 });
    const recent = createRecent(['openai1', 'openai2']);
    for (let n = 0; n < 3; n += 1) recent.observe(finished({ backend: 'openai1' }), WALL_MS - 60_000);
    recent.observe(finished({ backend: 'openai2' }), WALL_MS);
    for (let n = 0; n < 3; n += 1) {
      recent.observe(attemptEnded({ backend: 'openai1', deployment: 'gpt', firstContentMs: 640 }), WALL_MS - 20_000);
    }
    recent.observe(attemptEnded({ backend: 'openai1', deployment: 'gpt', outcome: throttled(1200) }), WALL_MS);
    const { backends, chart } = statusDocument(partsOf(driver, { recent }));
    assert.deepEqual(
      backends.map(({ sharePercent }) => sharePercent),
      [75, 25],
    );
    const { firstToken, lastError, sharePercent } = backends[0]?.deployments[0]?.recent ?? {};
    assert.equal(firstToken?.count, 3);
    assert.ok(Math.abs(firstToken.p50Ms - 640) < 640 * 0.06, String(firstToken.p50Ms));
    assert.deepEqual(lastError, { at: '2026-11-27T14:02:31.500Z', text: '429, asked for 1200 ms' });
    assert.equal(sharePercent, 75);
    assert.deepEqual(chart.slots, [
      { at: '2026-11-27T14:01:30.000Z', answered: { openai1: 3 } },
      { at: '2026-11-27T14:02:30.000Z', answered: { openai2: 1 } },
    ]);
  });

  it('lists deployments by their names, and of many those that are asked', () => {
    const driver = startPool(['openai1']);
    for (const name of ['zeta', 'alpha']) driver.attempt('openai1', { kind: 'served', status: 200 }, name);
    const [few] = statusDocument(partsOf(driver)).backends;
    assert.deepEqual(
      few?.deployments.map(({ deployment }) => deployment),
      ['alpha', 'zeta'],
    );
    for (let n = 0; n < 40; n += 1) driver.attempt('openai1', { kind: 'missing' }, `no-${n}`);
    const recent = createRecent(['openai1']);
    recent.observe(attemptEnded({ backend: 'openai1', deployment: 'zeta' }), WALL_MS);
    const [many] = statusDocument(partsOf(driver, { recent })).backends;
    assert.equal(many?.deployments.length, 20);
    assert.equal(many.deploymentsLeftOut, 22);
    assert.equal(many.deployments.at(-1)?.deployment, 'zeta');
  });

  it('tells of a request where its time went, and cuts what is too long to look at', () => {
    const recent = createRecent(['openai1', 'openai2']);
    recent.observe(
      attemptEnded({ requestId: 'r-1', backend: 'openai1', outcome: throttled(1200), durationMs: 31.4 }),
      WALL_MS,
    );
    const path = `/${'x'.repeat(5000)}`;
    recent.observe(
      finished({
        requestId: 'r-1',
        client: 'team-a',
        path,
        backend: 'openai2',
        attempts: 2,
        trace: 'openai1=429(1200ms) openai2=200',
        heldMs: 12.2,
        firstContentMs: 640.4,
        durationMs: 1899.6,
        usage: { promptTokens: 5, completionTokens: 7 },
      }),
      WALL_MS,
    );
    const [request] = statusDocument(partsOf(startPool([]), { recent })).requests;
    assert.deepEqual(request, {
      id: 'r-1',
      at: '2026-11-27T14:02:31.500Z',
      client: 'team-a',
      method: 'POST',
      path: `/${'x'.repeat(199)}…`,
      operation: 'chat/completions',
      deployment: 'gpt',
      stream: false,
      status: 200,
      ending: 'delivered',
      backend: 'openai2',
      attempts: 2,
      trace: 'openai1=429(1200ms) openai2=200',
      promptTokens: 5,
      completionTokens: 7,
      durationMs: 1900,
      firstTokenMs: 640,
      failedMs: 31,
      heldMs: 12,
    });
  });
});
