import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import type { ProxyEvent } from '../../../app/src/telemetry/events.ts';
import type { Batch, ToSender } from '../../../app/src/telemetry/insights-data.ts';
import { startInsights, type Insights, type InsightsConfig } from '../../../app/src/telemetry/insights.ts';
import { useManualTimers, type ManualTimers } from '../../support/manual-timers.ts';

const CONFIG: InsightsConfig = {
  connectionString: 'InstrumentationKey=x',
  endpoint: 'https://example.com',
  byIdentity: true,
  roleName: 'role',
  roleInstance: 'instance',
};

/** A thread that takes nothing until it is told to. */
class FakeThread extends EventEmitter {
  readonly posted: ToSender[] = [];
  isTerminated = false;

  postMessage(message: ToSender): void {
    this.posted.push(message);
  }

  async terminate(): Promise<void> {
    this.isTerminated = true;
  }

  get batches(): readonly Batch[] {
    return this.posted.flatMap((message) => (message.kind === 'batch' ? [message.batch] : []));
  }
}

describe('what goes to Application Insights', () => {
  let timers: ManualTimers;
  let threads: FakeThread[];
  let notices: ProxyEvent[];
  let insights: Insights;
  let now: number;
  beforeEach(() => {
    timers = useManualTimers();
    [threads, notices, now] = [[], [], 0];
    insights = startInsights(CONFIG, {
      notify: (event) => notices.push(event),
      clock: () => now,
      wallClockMs: () => 0,
      token: () => (now === 0 ? Promise.resolve('token') : Promise.reject(new Error('none'))),
      startSender() {
        const thread = new FakeThread();
        threads.push(thread);
        return thread;
      },
    });
  });
  afterEach(() => timers.restore());

  const last = (): FakeThread => threads.at(-1) ?? assert.fail('no thread');
  const texts = (): readonly string[] => notices.map((event) => (event.kind === 'notice' ? event.text : event.kind));

  function request(count = 1): void {
    for (let index = 0; index < count; index += 1) {
      insights.observe({
        kind: 'request-finished',
        requestId: `r${index}`,
        client: 'a',
        method: 'GET',
        path: '/v1/models',
        operation: 'models',
        deployment: '',
        stream: false,
        status: 200,
        ending: 'delivered',
        attempts: 1,
        trace: '',
        durationMs: 1,
        span: { traceId: '1', spanId: '2', isSampled: true },
      });
    }
  }

  it('goes every two seconds, and not at all when there is nothing', () => {
    timers.advance(2000);
    assert.equal(last().batches.length, 0);
    request(3);
    timers.advance(2000);
    assert.deepEqual(
      last().batches.map(({ spans, measures }) => [spans.length, measures.map(({ values }) => values)]),
      [[3, [[3]]]],
    );
  });

  it('is bounded, however many requests there are and however little the thread takes; metrics count them all', () => {
    for (let seconds = 0; seconds < 20; seconds += 2) {
      request(5000);
      timers.advance(2000);
    }
    assert.deepEqual(
      last().batches.map(({ spans }) => spans.length),
      [2048, 2048],
    );
    last().emit('message', { kind: 'took' });
    timers.advance(2000);
    assert.deepEqual(
      last().batches.map(({ spans }) => spans.length),
      [2048, 2048, 2048],
    );
    const counted = last().batches.flatMap(({ measures }) => measures.flatMap(({ values }) => values));
    assert.equal(
      counted.reduce((sum, value) => sum + value, 0),
      50_000,
    );
    assert.deepEqual(texts(), [
      '2952 spans and lines for Application Insights were left out: it takes them too slowly',
    ]);
  });

  it('is said not to arrive once, with the reason, and to arrive again once; not more often than in five minutes', () => {
    for (let times = 0; times < 3; times += 1) {
      last().emit('message', { kind: 'unsent', reason: 'ECONNREFUSED' });
      last().emit('message', { kind: 'sent' });
    }
    assert.equal(texts().length, 2);
    assert.match(texts()[0] ?? '', /takes no telemetry: ECONNREFUSED\. Requests are served as ever/);
    assert.equal(texts()[1], 'Application Insights takes telemetry again');
    now = 300_000;
    last().emit('message', { kind: 'unsent', reason: 'it answers 503' });
    assert.equal(texts().length, 3);
  });

  it('waits for another thread when one ends, and starts that a minute later', () => {
    request();
    threads[0]?.emit('error', Object.assign(new Error('full'), { code: 'ERR_WORKER_OUT_OF_MEMORY' }));
    timers.advance(2000);
    assert.equal(threads.length, 1);
    assert.equal(last().batches.length, 0);
    timers.advance(60_000);
    assert.equal(threads.length, 2);
    assert.equal(last().batches[0]?.spans.length, 1);
    assert.match(texts()[0] ?? '', /its thread ended: ERR_WORKER_OUT_OF_MEMORY/);
  });

  it('goes with a token of this side, or waits for one that there is not', async () => {
    last().emit('message', { kind: 'token-wanted' });
    await Promise.resolve();
    assert.deepEqual(last().posted, [{ kind: 'token', token: 'token' }]);
    now = 1;
    last().emit('message', { kind: 'token-wanted' });
    await new Promise((resolve) => process.nextTick(resolve));
    assert.deepEqual(last().posted[1], { kind: 'token' });
    assert.match(texts()[0] ?? '', /the identity gives no token for it/);
  });

  it('goes at the end, and the thread is ended when it says so or after two seconds', async () => {
    request();
    const closed = insights.close();
    assert.deepEqual(
      last().posted.map(({ kind }) => kind),
      ['batch', 'close'],
    );
    assert.equal(last().isTerminated, false);
    last().emit('message', { kind: 'closed' });
    await closed;
    assert.equal(last().isTerminated, true);
    await insights.close();
    assert.equal(last().posted.length, 2);
  });

  it('does not keep a process that ends for longer than two seconds', async () => {
    const closed = insights.close();
    timers.advance(1999);
    await Promise.resolve();
    assert.equal(last().isTerminated, false);
    timers.advance(1);
    await closed;
    assert.equal(last().isTerminated, true);
  });
});
