import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { createForwarder, targetOf, type Forwarder } from '../../../app/src/proxy/forward.ts';
import { startHeldUpstream, type HeldUpstream } from '../../support/held-upstream.ts';
import { useManualTimers, type ManualTimers } from '../../support/manual-timers.ts';

describe('an attempt with a time to its first content', () => {
  let upstream: HeldUpstream;
  let timers: ManualTimers;
  let forwarder: Forwarder;
  let over: AbortController;
  beforeEach(async () => {
    upstream = await startHeldUpstream();
    timers = useManualTimers();
    over = new AbortController();
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
    return forwarder.forward({ ...attempt, fresh: false, late: over.signal }, signal);
  }

  it('leaves no timer and no listener behind when it is answered, nor when its caller leaves', async () => {
    const answered = forward();
    (await upstream.next()).res.end();
    assert.equal((await answered).kind, 'answer');
    assert.equal(timers.pending, 0);
    const caller = new AbortController();
    const left = forward(caller.signal);
    await upstream.next();
    assert.equal(timers.pending, 1);
    assert.equal(getEventListeners(over.signal, 'abort').length, 1);
    caller.abort();
    assert.deepEqual(await left, { kind: 'failed', outcome: { kind: 'abandoned' } });
    assert.equal(timers.pending, 0);
    assert.equal(getEventListeners(over.signal, 'abort').length, 0);
  });

  it('fails for it when it is over before the headers came', async () => {
    const late = forward();
    await upstream.next();
    over.abort();
    assert.deepEqual(await late, { kind: 'failed', outcome: { kind: 'failed', cause: 'first-token-timeout' } });
    assert.equal(timers.pending, 0);
  });
});
