import assert from 'node:assert/strict';
import { headlineOf } from '../../../app/src/ops/headline.ts';
import { statusDocument } from '../../../app/src/ops/status.ts';
import { createRecent } from '../../../app/src/telemetry/recent.ts';
import {
  MISSING,
  SERVED,
  startPool,
  throttled,
  UNAUTHORIZED,
  UNREACHABLE,
  type PoolDriver,
} from '../../support/pool.ts';

describe('the headline', () => {
  function headline(driver: PoolDriver, isDraining = false): readonly string[] {
    const now = driver.clock.now();
    const numbers = { uptimeMs: 0, requestsInFlight: 0, requestsHeld: 0, bytesBuffered: 0, now, wallMs: now };
    const { backends } = statusDocument({
      isDraining,
      pool: driver.pool.snapshot(now),
      recent: createRecent([]),
      settings: [],
      ...numbers,
    });
    const { level, text } = headlineOf(backends, isDraining);
    return [level, text];
  }

  it('says that all is well', () => {
    assert.deepEqual(headline(startPool(['openai1', 'openai2', 'openai3'])), ['fine', 'All 3 backends serve.']);
    assert.deepEqual(headline(startPool(['openai1'])), ['fine', 'openai1 serves.']);
  });

  it('names who is cooling down, for how long, and how many serve', () => {
    const driver = startPool(['openai1', 'openai2', 'openai3']);
    driver.attempt('openai1', throttled(1200));
    assert.deepEqual(headline(driver), ['degraded', 'openai1 is cooling down for 1.2 s; 2 of 3 serve.']);
    driver.attempt('openai2', throttled(48_000));
    assert.deepEqual(headline(driver), [
      'degraded',
      'openai1 is cooling down for 1.2 s and openai2 is cooling down for 48 s; 1 of 3 serves.',
    ]);
    driver.clock.advance(1200);
    assert.deepEqual(
      headline(driver),
      ['degraded', 'openai2 is cooling down for 48 s; 2 of 3 serve.'].map((text) => text.replace('48 s', '47 s')),
    );
  });

  it('says so when nobody serves', () => {
    const driver = startPool(['openai1', 'openai2']);
    driver.attempt('openai1', UNAUTHORIZED);
    driver.attempt('openai2', UNREACHABLE);
    assert.deepEqual(headline(driver), ['down', 'openai1 is quarantined and openai2 is failing; no backend serves.']);
  });

  it('names the deployment where others of the backend serve', () => {
    const driver = startPool(['openai1', 'openai2']);
    driver.attempt('openai1', SERVED, 'embedding');
    driver.attempt('openai1', throttled(5000), 'chat');
    assert.deepEqual(headline(driver), ['degraded', 'openai1 is cooling down for 5.0 s (chat); 2 of 2 serve.']);
  });

  it('takes a deployment that is missing for no trouble: a caller may have mistyped it', () => {
    const driver = startPool(['openai1']);
    driver.attempt('openai1', MISSING, 'gtp');
    assert.deepEqual(headline(driver), ['fine', 'openai1 serves.']);
    driver.attempt('openai1', throttled(5000), 'gpt');
    assert.deepEqual(headline(driver), ['down', 'openai1 is cooling down for 5.0 s; no backend serves.']);
  });

  it('does not name more than anybody reads', () => {
    const driver = startPool(['a', 'b', 'c', 'd', 'e']);
    for (const name of ['a', 'b', 'c', 'd']) driver.attempt(name, UNREACHABLE);
    assert.deepEqual(headline(driver), ['degraded', 'a is failing, b is failing and 2 more are out; 1 of 5 serves.']);
  });

  it('says that it shuts down', () => {
    assert.match(headline(startPool(['openai1']), true).join(' '), /^degraded The balancer is shutting down/);
  });
});
