import assert from 'node:assert/strict';
import type { ProxyEvent } from '../../../app/src/telemetry/events.ts';
import { createRecent, type Recent } from '../../../app/src/telemetry/recent.ts';
import { backend, throttled, UNREACHABLE } from '../../support/pool.ts';
import { attemptEnded, finished, unanswered } from '../../support/told-events.ts';

/** At the beginning of a slot. */
const NOW = 1_780_000_000_000;
const USAGE = { promptTokens: 60, completionTokens: 40 };

describe('recent', () => {
  let recent: Recent;
  beforeEach(() => {
    recent = createRecent(['openai1', 'openai2']);
  });

  function changed(reason: string | undefined, deployment?: string): ProxyEvent {
    return {
      kind: 'state-changed',
      change: {
        backend: backend('openai1'),
        ...(deployment === undefined ? {} : { deployment }),
        from: { kind: 'closed', softFailures: 0 },
        to: { kind: 'open', since: 0, until: 1000, times: 1 },
        ...(reason === undefined ? {} : { reason }),
      },
      now: 0,
    };
  }

  it('counts since the start what became of requests', () => {
    recent.observe(finished({ backend: 'openai1', usage: USAGE }), NOW);
    recent.observe(finished({ backend: 'openai2', attempts: 2, spilledFrom: 'openai1' }), NOW);
    recent.observe(finished({ heldMs: 300, backend: 'openai1' }), NOW);
    recent.observe(finished({ ending: 'refused', status: 429, attempts: 0 }), NOW);
    recent.observe(finished({ ending: 'broken', backend: 'openai1' }), NOW);
    recent.observe(finished({ ending: 'abandoned', status: 499 }), NOW);
    assert.deepEqual(recent.counters(), {
      requests: 6,
      failedOver: 1,
      held: 1,
      heldMs: 300,
      spillovers: 1,
      refused: 1,
      broken: 1,
      abandoned: 1,
      tokens: 100,
    });
  });

  it('keeps fifteen minutes in slots of ten seconds, of which it tells those with something in them', () => {
    recent.observe(finished({ backend: 'openai1' }), NOW);
    recent.observe(finished({ backend: 'openai1', attempts: 2, heldMs: 5 }), NOW + 9999);
    recent.observe(unanswered({ ending: 'refused', status: 503 }), NOW + 10_000);
    recent.observe(finished({ ending: 'broken', backend: 'openai2' }), NOW + 30_000);
    assert.deepEqual(recent.slots(NOW + 60_000), [
      { at: NOW, answered: new Map([['openai1', 2]]), failedOver: 1, held: 1, refused: 0, broken: 0 },
      { at: NOW + 10_000, answered: new Map(), failedOver: 0, held: 0, refused: 1, broken: 0 },
      { at: NOW + 30_000, answered: new Map([['openai2', 1]]), failedOver: 0, held: 0, refused: 0, broken: 1 },
    ]);
    assert.equal(recent.slots(NOW + 899_999).length, 3);
    assert.equal(recent.slots(NOW + 900_000).length, 2);
    assert.deepEqual(recent.slots(NOW + 1_000_000), []);
  });

  it('reckons rates over the last minute, or since the first request when that was later', () => {
    assert.equal(recent.use('openai1', 'gpt', NOW), undefined);
    const ended = attemptEnded({ outcome: { kind: 'served', status: 200, usage: USAGE } });
    for (let n = 0; n < 10; n += 1) recent.observe(ended, NOW);
    const soon = recent.use('openai1', 'gpt', NOW + 20_000);
    assert.deepEqual([soon?.requestsPerSecond, soon?.tokensPerMinute, soon?.answered], [0.5, 3000, 10]);
    // A second says nothing of a minute.
    assert.equal(recent.use('openai1', 'gpt', NOW + 1000)?.requestsPerSecond, 1);
    const later = recent.use('openai1', 'gpt', NOW + 55_000);
    assert.equal(later?.requestsPerSecond, 10 / 55);
    const after = recent.use('openai1', 'gpt', NOW + 70_000);
    assert.deepEqual([after?.requestsPerSecond, after?.tokensPerMinute, after?.answered], [0, 0, 10]);
  });

  it('tells the time to the first token of streams from that of whole answers', () => {
    recent.observe(attemptEnded({ firstContentMs: 640, durationMs: 5000 }), NOW);
    recent.observe(attemptEnded({ durationMs: 80 }), NOW);
    recent.observe(attemptEnded({ outcome: { kind: 'refused', status: 400 }, durationMs: 1 }), NOW);
    const { firstToken, wholeAnswer } = recent.use('openai1', 'gpt', NOW) ?? {};
    assert.equal(firstToken?.count, 1);
    assert.ok(Math.abs(firstToken.p50Ms - 640) < 64);
    assert.equal(wholeAnswer?.count, 1);
    assert.ok(Math.abs(wholeAnswer.p95Ms - 80) < 8);
  });

  it('keeps the last error of each backend and deployment, with its time, through answers that follow', () => {
    recent.observe(attemptEnded({ outcome: throttled(1200) }), NOW);
    recent.observe(attemptEnded({ deployment: 'other' }), NOW);
    recent.observe(attemptEnded({ outcome: { kind: 'refused', status: 400 } }), NOW + 1000);
    recent.observe(attemptEnded({ outcome: { kind: 'abandoned', usage: USAGE } }), NOW + 1000);
    const used = recent.use('openai1', 'gpt', NOW + 1000);
    assert.deepEqual(used?.lastError, { at: NOW, text: '429, asked for 1200 ms' });
    assert.ok((used?.tokensPerMinute ?? 0) > 0);
    assert.equal(recent.use('openai1', 'other', NOW)?.lastError, undefined);
  });

  it('adds up for each request what its failed attempts cost', () => {
    recent.observe(attemptEnded({ requestId: 'a', outcome: throttled(1), durationMs: 30 }), NOW);
    recent.observe(attemptEnded({ requestId: 'b', outcome: throttled(1), durationMs: 7 }), NOW);
    recent.observe(attemptEnded({ requestId: 'a', outcome: UNREACHABLE, durationMs: 12 }), NOW);
    recent.observe(finished({ requestId: 'a', attempts: 3 }), NOW);
    recent.observe(finished({ requestId: 'c' }), NOW);
    recent.observe(finished({ requestId: 'b', attempts: 2 }), NOW);
    assert.deepEqual(
      recent.requests().map(({ finished: { requestId }, failedMs }) => [requestId, failedMs]),
      [
        ['b', 7],
        ['c', 0],
        ['a', 42],
      ],
    );
  });

  it('keeps the last fifty requests, the latest first', () => {
    for (let n = 0; n < 60; n += 1) recent.observe(finished({ requestId: `r-${n}` }), NOW + n);
    const kept = recent.requests();
    assert.equal(kept.length, 50);
    assert.deepEqual(
      [kept[0]?.finished.requestId, kept[0]?.at, kept[49]?.finished.requestId],
      ['r-59', NOW + 59, 'r-10'],
    );
  });

  it('does not let strangers at the door drive them out: those refused for one reason are one', () => {
    recent.observe(finished({ requestId: 'ours' }), NOW);
    const stranger = { client: '', attempts: 0, ending: 'refused', status: 401, code: 'unknown_credential' } as const;
    for (let n = 0; n < 200; n += 1) recent.observe(finished({ ...stranger, requestId: `s-${n}` }), NOW + n);
    recent.observe(finished({ ...stranger, requestId: 'other', code: 'missing_credential' }), NOW + 300);
    assert.deepEqual(
      recent.requests().map(({ finished: { requestId }, times }) => [requestId, times]),
      [
        ['other', 1],
        ['s-199', 200],
        ['ours', 1],
      ],
    );
  });

  it('does not count whoever is turned away from the page itself: every browser is, once', () => {
    recent.observe(finished({ client: '', attempts: 0, ending: 'refused', code: 'operator_credential_needed' }), NOW);
    assert.equal(recent.counters().requests, 0);
    assert.deepEqual(recent.requests(), []);
  });

  it('tells what clients used, those who used most first', () => {
    recent.observe(finished({ client: 'small', usage: { promptTokens: 1, completionTokens: 1 } }), NOW);
    recent.observe(finished({ client: 'large', usage: USAGE }), NOW);
    recent.observe(finished({ client: 'large', ending: 'refused', status: 429 }), NOW + 60_000);
    assert.deepEqual(recent.clients(NOW + 60_000), [
      { name: 'large', requests: 2, tokens: 100, refused: 1, total: { requests: 2, tokens: 100 } },
      { name: 'small', requests: 1, tokens: 2, refused: 0, total: { requests: 1, tokens: 2 } },
    ]);
    const [later] = recent.clients(NOW + 900_000);
    assert.deepEqual(later, { name: 'large', requests: 1, tokens: 0, refused: 1, total: { requests: 2, tokens: 100 } });
  });

  it('knows two hundred clients, and all further ones as others; nobody who is not let in', () => {
    recent.observe(finished({ client: 'not-ours', ending: 'refused', code: 'client_not_allowed' }), NOW);
    for (let n = 0; n < 250; n += 1) recent.observe(finished({ client: `client-${n}` }), NOW);
    recent.observe(finished({ client: 'client-0' }), NOW);
    const known = new Map(recent.clients(NOW).map(({ name, requests }) => [name, requests]));
    assert.equal(known.size, 201);
    assert.equal(known.get('(others)'), 50);
    assert.equal(known.get('client-0'), 2);
    assert.equal(known.has('not-ours'), false);
  });

  it('forgets the least recent of three hundred deployments: callers can name what they like', () => {
    recent.observe(attemptEnded({ deployment: 'first' }), NOW);
    for (let n = 0; n < 299; n += 1) recent.observe(attemptEnded({ deployment: `d-${n}` }), NOW + 1 + n);
    recent.observe(attemptEnded({ deployment: 'first' }), NOW + 500);
    recent.observe(attemptEnded({ deployment: 'one-more' }), NOW + 600);
    assert.notEqual(recent.use('openai1', 'first', NOW + 600), undefined);
    assert.notEqual(recent.use('openai1', 'one-more', NOW + 600), undefined);
    assert.equal(recent.use('openai1', 'd-0', NOW + 600), undefined);
  });

  it('knows why a backend changed, until it changes for no reason that is told', () => {
    recent.observe(changed('ECONNREFUSED'), NOW);
    recent.observe(changed('503', 'gpt'), NOW);
    assert.equal(recent.reason('openai1', undefined), 'ECONNREFUSED');
    assert.equal(recent.reason('openai1', 'gpt'), '503');
    recent.observe(changed(undefined), NOW);
    assert.equal(recent.reason('openai1', undefined), undefined);
    assert.equal(recent.reason('openai1', 'gpt'), '503');
  });
});
