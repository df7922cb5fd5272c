import assert from 'node:assert/strict';
import { createForwarder, targetOf, type Forwarder } from '../../../app/src/proxy/forward.ts';
import { startHeldUpstream, type HeldUpstream } from '../../support/held-upstream.ts';
import { useManualTimers, type ManualTimers } from '../../support/manual-timers.ts';

describe('an attempt with a time to its first content', () => {
  let upstream: HeldUpstream;
  let timers: ManualTimers;
  let forwarder: Forwarder;
  beforeEach(async () => {
    upstream = await startHeldUpstream();
    timers = useManualTimers();
    forwarder = createForwarder({ connectTimeoutMs: 1000, headerTimeoutMs: 30_000 });
  });
  afterEach(async () => {
    forwarder.close();
    timers.restore();
    await upstream.close();
  });

  function forward(signal = new AbortController().signal): ReturnType<Forwarder['forward']> {
    const target = targetOf(upstream.url);
    const attempt = { target, method: 'GET', path: '/', headers: { host: target.host }, body: Buffer.alloc(0) };
    return forwarder.forward({ ...attempt, fresh: false, firstContentMs: 5000 }, signal);
  }

  it('leaves no timer behind when it is answered, nor when its caller leaves', async () => {
    const answered = forward();
    (await upstream.next()).res.end();
    assert.equal((await answered).kind, 'answer');
    assert.equal(timers.pending, 0);
    const caller = new AbortController();
    const left = forward(caller.signal);
    await upstream.next();
    assert.equal(timers.pending, 2);
    caller.abort();
    assert.deepEqual(await left, { kind: 'failed', outcome: { kind: 'abandoned' } });
    assert.equal(timers.pending, 0);
  });

  it('fails for it when it is over before the headers came', async () => {
    const late = forward();
    await upstream.next();
    timers.advance(5000);
    assert.deepEqual(await late, { kind: 'failed', outcome: { kind: 'failed', cause: 'first-token-timeout' } });
    assert.equal(timers.pending, 0);
  });
});
