import assert from 'node:assert/strict';
import { startBalancer, type RunningBalancer } from '../support/balancer.ts';
import { chat, send } from '../support/http.ts';

describe('a request that waits for a token', function () {
  this.timeout(5000);
  let running: RunningBalancer;
  afterEach(() => running.close());

  it('gives its place back when its caller leaves, though the token never comes', async () => {
    const asked = Promise.withResolvers<void>();
    running = await startBalancer({
      backends: 1,
      settings: { BACKEND_1_APIKEY: undefined },
      credential: () => {
        asked.resolve();
        return new Promise(() => undefined);
      },
    });
    const leaving = new AbortController();
    const gone = send(`${running.url}/v1/chat/completions`, { body: chat(), signal: leaving.signal });
    await asked.promise;
    const finished = running.event('request-finished');
    leaving.abort();
    await assert.rejects(gone);
    assert.equal((await finished).ending, 'abandoned');
    running.assertIdle();
    assert.equal(running.resources[0]?.calls.length, 0);
  });
});
