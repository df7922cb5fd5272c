// Traces, metrics and lines as they arrive at the ingestion endpoint, and what becomes of traffic when it is down.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { Worker } from 'node:worker_threads';
import type { FromSender, SpanData, ToSender } from '../../app/src/telemetry/insights-data.ts';
import { startBalancer, type RunningBalancer } from '../support/balancer.ts';
import { chat, send, type Sent } from '../support/http.ts';
import {
  connectionStringTo,
  INSTRUMENTATION_KEY,
  startIngestion,
  type Envelope,
  type Ingestion,
} from '../support/ingestion.ts';
import { until } from '../support/until.ts';

const LEGACY = '/openai/deployments/gpt-5.4-mini/chat/completions?api-version=2024-10-21&secret=query';
const PARENT = { trace: '0af7651916cd43dd8448eb211c80319c', span: 'b7ad6b7169203331' };

/** A span as the endpoint has it. */
interface Arrived {
  readonly id: string;
  readonly parent: string | undefined;
  readonly operation: string | undefined;
  readonly name: string;
  readonly status: string;
  readonly success: boolean;
  readonly startMs: number;
  readonly durationMs: number;
  readonly properties: Readonly<Record<string, string>>;
  readonly sampleRate: number;
}

function arrived({ time, tags, data, sampleRate }: Envelope): Arrived {
  const { baseData } = data;
  const [hours = 0, minutes = 0, seconds = 0] = String(baseData['duration']).split(':').map(Number);
  return {
    id: String(baseData['id']),
    parent: tags['ai.operation.parentId'],
    operation: tags['ai.operation.id'],
    name: String(baseData['name']),
    status: String(baseData['resultCode'] ?? baseData['responseCode']),
    success: baseData['success'] === true,
    startMs: Date.parse(time),
    durationMs: ((hours * 60 + minutes) * 60 + seconds) * 1000,
    properties: baseData.properties ?? {},
    sampleRate,
  };
}

describe('Application Insights', function () {
  this.timeout(60_000);
  let ingestion: Ingestion;
  let running: RunningBalancer;
  beforeEach(async () => {
    ingestion = await startIngestion();
  });
  afterEach(async () => {
    await running.close();
    await ingestion.close();
  });

  async function start(settings: Readonly<Record<string, string>> = {}): Promise<void> {
    running = await startBalancer({
      settings: { APPLICATIONINSIGHTS_CONNECTION_STRING: ingestion.connectionString, ...settings },
    });
  }

  const ask = (sent: Sent = {}, path = LEGACY) => send(running.url + path, { body: chat(), ...sent });
  const requests = (): readonly Arrived[] => ingestion.of('RequestData').map(arrived);
  const attempts = (): readonly Arrived[] => ingestion.of('RemoteDependencyData').map(arrived);

  /** The one request that has arrived, with its attempts in order. */
  async function tree(): Promise<readonly [Arrived, ...Arrived[]]> {
    await ingestion.until(() => requests().length > 0);
    const [request, ...more] = requests();
    assert.ok(request !== undefined && more.length === 0);
    const own = attempts().filter(({ parent }) => parent === request.id);
    assert.equal(own.length, attempts().length, 'an attempt of no request');
    for (const { operation, startMs, durationMs } of own) {
      assert.equal(operation, request.operation);
      assert.ok(startMs >= request.startMs - 1, 'an attempt began before its request');
      assert.ok(startMs + durationMs <= request.startMs + request.durationMs + 3, 'an attempt outlasted its request');
    }
    return [request, ...own];
  }

  it('gets one span a request with one child an attempt: a failover, with what each came to', async () => {
    await start();
    running.resources[0]?.script({ kind: 'throttle', retryAfterMs: 1200 });
    running.resources[1]?.script({ kind: 'status', status: 503 });
    const received = await ask();
    assert.equal(received.status, 200);
    const { durationMs, requestId } = await running.event('request-finished', 0);
    const [request, first, second, third, ...more] = await tree();
    assert.deepEqual(more, []);
    assert.equal(request.name, 'POST chat/completions');
    assert.deepEqual([request.status, request.success, request.parent], ['200', true, undefined]);
    assert.ok(Math.abs(request.durationMs - durationMs) < 1);
    const { first_content_ms: _, ...told } = request.properties;
    assert.deepEqual(told, {
      request_id: requestId,
      path: '/openai/deployments/gpt-5.4-mini/chat/completions',
      client: 'tester',
      operation: 'chat/completions',
      deployment: 'gpt-5.4-mini',
      stream: 'false',
      ending: 'delivered',
      backend: 'openai3',
      attempts: '3',
      trace: 'openai1=429(1200ms) openai2=503 openai3=200',
      'gen_ai.usage.input_tokens': request.properties['gen_ai.usage.input_tokens'],
      'gen_ai.usage.output_tokens': request.properties['gen_ai.usage.output_tokens'],
      ...pick(request.properties, 'gen_ai.usage.cache_read.input_tokens', 'gen_ai.usage.reasoning.output_tokens'),
    });
    assert.ok(Number(told['gen_ai.usage.output_tokens']) > 0);
    assert.deepEqual(
      [first, second, third].map((attempt) => [
        attempt?.name,
        attempt?.status,
        attempt?.success,
        ...['attempt', 'outcome', 'reason', 'retry_after_ms', 'request_id'].map((name) => attempt?.properties[name]),
      ]),
      [
        ['openai1', '429', false, '1', 'throttled', 'throttled', '1200', requestId],
        ['openai2', '503', false, '2', 'status', 'status', undefined, requestId],
        ['openai3', '200', true, '3', 'served', undefined, undefined, requestId],
      ],
    );
    assert.equal(third?.properties['gen_ai.usage.output_tokens'], told['gen_ai.usage.output_tokens']);
    // Each backend was told of its own attempt.
    for (const [index, attempt] of [first, second, third].entries()) {
      const sent = running.resources[index]?.calls[0]?.headers['traceparent'];
      assert.equal(sent, `00-${request.operation}-${attempt?.id}-01`);
    }
  });

  it("goes on with its caller's trace, and hands its tracestate on", async () => {
    await start();
    const headers = { traceparent: `00-${PARENT.trace}-${PARENT.span}-01`, tracestate: 'vendor=a,other=b' };
    await ask({ headers });
    const [request, attempt] = await tree();
    assert.deepEqual([request.operation, request.parent], [PARENT.trace, PARENT.span]);
    const call = running.resources[0]?.calls[0];
    assert.equal(call?.headers['traceparent'], `00-${PARENT.trace}-${attempt?.id}-01`);
    assert.equal(call?.headers['tracestate'], 'vendor=a,other=b');
  });

  it('gets no span of a trace that its caller does not sample, but counts the request', async () => {
    await start();
    await ask({ headers: { traceparent: `00-${PARENT.trace}-${PARENT.span}-00` } });
    await ask();
    assert.match(
      String(running.resources[0]?.calls[0]?.headers['traceparent']),
      new RegExp(`^00-${PARENT.trace}-.*-00$`),
    );
    const [request] = await tree();
    assert.notEqual(request.operation, PARENT.trace);
    await running.balancer.endTelemetry();
    assert.equal(sumOf('balancer.requests'), 2);
  });

  it('gets no span of what is not sampled by ratio, and the weight of what is', async () => {
    await start({ TRACE_SAMPLE_PERCENT: '20' });
    // The numbers of chance are 0 in tests: everything is in.
    await ask();
    const [request, attempt] = await tree();
    assert.deepEqual([request.sampleRate, attempt?.sampleRate], [20, 20]);
  });

  it('tells when the first content of a stream came, and what it counted', async () => {
    await start();
    running.resources[0]?.script({ kind: 'slow-first-chunk', ms: 60 });
    await ask({ body: chat({ stream: true, stream_options: { include_usage: true } }) });
    const finished = await running.event('request-finished', 0);
    const [request, attempt] = await tree();
    assert.equal(request.properties['stream'], 'true');
    assert.equal(request.properties['first_content_ms'], String(Math.round((finished.firstContentMs ?? 0) * 10) / 10));
    const inAttempt = Number(attempt?.properties['first_content_ms']);
    assert.ok(inAttempt >= 55 && inAttempt <= Number(request.properties['first_content_ms']));
    assert.equal(attempt?.properties['gen_ai.usage.input_tokens'], String(finished.usage?.promptTokens));
  });

  it('tells how long a request was held', async () => {
    await start({ MAX_HOLD_SECONDS: '2' });
    for (const resource of running.resources) resource.script({ kind: 'throttle', retryAfterMs: 150 });
    await ask();
    const { heldMs = 0 } = await running.event('request-finished', 0);
    const [request, ...asked] = await tree();
    assert.deepEqual(
      asked.map(({ name, success }) => [name, success]),
      [
        ['openai1', false],
        ['openai2', false],
        ['openai3', false],
        ['openai1', true],
      ],
    );
    assert.equal(request.properties['held_ms'], String(Math.round(heldMs * 10) / 10));
  });

  it('tells of an error made here, with its line, and of a caller who left', async () => {
    await start();
    for (const resource of running.resources) resource.script({ kind: 'reset-before-headers' }, { kind: 'hang' });
    assert.equal((await ask()).status, 502);
    const [request, ...asked] = await tree();
    assert.deepEqual([request.status, request.success, request.properties['ending']], ['502', false, 'refused']);
    assert.equal(request.properties['code'], 'backends_unreachable');
    assert.deepEqual(
      asked.map(({ success, properties }) => [success, properties['outcome']]),
      [
        [false, 'reset'],
        [false, 'reset'],
        [false, 'reset'],
      ],
    );
    await ingestion.until(() =>
      ingestion.of('MessageData').some(({ data }) => String(data.baseData['message']).startsWith('POST ')),
    );
    const line = ingestion.of('MessageData').find(({ data }) => String(data.baseData['message']).startsWith('POST '));
    assert.equal(line?.data.baseData['severityLevel'], 'Warning');
    assert.deepEqual(
      [line?.tags['ai.operation.id'], line?.tags['ai.operation.parentId']],
      [request.operation, request.id],
    );

    const leaving = new AbortController();
    const called = Promise.race(running.resources.map((resource) => resource.onceCalled()));
    const left = ask({ signal: leaving.signal });
    await called;
    leaving.abort();
    await assert.rejects(left);
    await ingestion.until(() => requests().length === 2);
    const second = requests()[1];
    assert.deepEqual([second?.status, second?.success, second?.properties['ending']], ['499', true, 'abandoned']);
    const last = attempts().filter(({ parent }) => parent === second?.id);
    assert.deepEqual(
      last.map(({ success, properties }) => [success, properties['outcome']]),
      [[true, 'abandoned']],
    );
  });

  it('gets the changes of a backend as lines with their severity, and metrics that agree with the events', async () => {
    await start({ CONTAINER_APP_NAME: 'ca-balancer', CONTAINER_APP_REPLICA_NAME: 'ca-balancer--1' });
    running.resources[0]?.script({ kind: 'unauthorized' });
    running.resources[1]?.script({ kind: 'throttle', retryAfterMs: 1200 });
    await ask();
    await ingestion.until(() => ingestion.of('MessageData').length >= 2 && requests().length === 1);
    const lines = ingestion
      .of('MessageData')
      .map(({ data }) => [
        data.baseData['severityLevel'],
        data.baseData.properties?.['kind'],
        data.baseData.properties?.['backend'],
        data.baseData.properties?.['state'],
      ]);
    assert.deepEqual(lines, [
      ['Error', 'state-changed', 'openai1', 'quarantined'],
      ['Information', 'state-changed', 'openai2', 'cooldown'],
    ]);
    await running.balancer.endTelemetry();
    assert.equal(sumOf('balancer.requests', { status: '200', ending: 'delivered', client: 'tester' }), 1);
    assert.equal(sumOf('balancer.attempts'), 3);
    assert.equal(sumOf('balancer.attempts', { backend: 'openai2', outcome: 'throttled' }), 1);
    assert.equal(sumOf('balancer.failovers'), 2);
    const { usage } = await running.event('request-finished', 0);
    assert.equal(sumOf('balancer.tokens', { type: 'prompt', backend: 'openai3' }), usage?.promptTokens);
    assert.equal(sumOf('balancer.tokens', { type: 'completion' }), usage?.completionTokens);
    for (const { tags, iKey } of ingestion.envelopes) {
      assert.deepEqual([tags['ai.cloud.role'], tags['ai.cloud.roleInstance']], ['ca-balancer', 'ca-balancer--1']);
      assert.equal(iKey, INSTRUMENTATION_KEY);
    }
  });

  it('gets no prompt, answer, credential or query string', async () => {
    await start();
    running.resources[0]?.script({ kind: 'unauthorized' });
    await ask({ body: chat({ user: 'canary-user' }) });
    await ask({ headers: { 'api-key': 'canary-key' } });
    await tree();
    await running.balancer.endTelemetry();
    const all = JSON.stringify(ingestion.envelopes);
    for (const secret of [
      'Say hello',
      'answers:',
      'client-key',
      'key-1',
      'key-2',
      'canary',
      'secret=query',
      'api-version',
    ]) {
      assert.ok(!all.includes(secret), secret);
    }
    // Who is turned away has no span, and is counted.
    assert.equal(requests().length, 1);
    assert.equal(sumOf('balancer.requests', { status: '401', client: 'none' }), 1);
  });

  it('says once that it takes nothing and once that it does again; requests are served meanwhile', async () => {
    await start();
    ingestion.answer(400);
    assert.equal((await ask()).status, 200);
    const trouble = (): readonly string[] => running.log.filter((line) => line.includes('Application Insights'));
    await running.event('notice', 0);
    assert.match(trouble()[0] ?? '', /^WARNING Application Insights takes no telemetry: it answers 400\. /);
    assert.ok(!trouble()[0]?.includes(INSTRUMENTATION_KEY));
    const calls = ingestion.calls.length;
    assert.equal((await ask()).status, 200);
    await ingestion.until(() => ingestion.calls.length > calls);
    ingestion.answer(200);
    const over = running.event('notice');
    assert.equal((await ask()).status, 200);
    await over;
    assert.equal(trouble()[1], 'Application Insights takes telemetry again\n');
    running.assertIdle();
  });

  /** Sums arrive as one value a series and export. */
  function sumOf(name: string, dimensions: Readonly<Record<string, string>> = {}): number {
    return ingestion
      .of('MetricData')
      .filter(({ data }) =>
        Object.entries(dimensions).every(([key, value]) => data.baseData.properties?.[key] === value),
      )
      .flatMap(({ data }): readonly { name: string; value: number }[] => {
        const { metrics } = data.baseData;
        return Array.isArray(metrics) ? metrics : [];
      })
      .filter((metric) => metric.name === name)
      .reduce((sum, { value }) => sum + value, 0);
  }
});

function pick(from: Readonly<Record<string, string>>, ...names: readonly string[]): Record<string, string> {
  return Object.fromEntries(names.flatMap((name) => (from[name] === undefined ? [] : [[name, from[name]]])));
}

describe('Application Insights that is down', function () {
  this.timeout(60_000);
  it('changes nothing for callers, and keeps nobody who ends', async () => {
    // It accepts connections and never answers.
    const mute = createServer(() => undefined).listen(0, '127.0.0.1');
    await once(mute, 'listening');
    const address = mute.address();
    assert.ok(typeof address === 'object' && address !== null);
    const running = await startBalancer({
      settings: { APPLICATIONINSIGHTS_CONNECTION_STRING: connectionStringTo(`http://127.0.0.1:${address.port}`) },
    });
    const connected = once(mute, 'connection');
    const received = await send(running.url + LEGACY, { body: chat() });
    assert.equal(received.status, 200);
    const [socket] = await connected;
    assert.equal((await send(running.url + LEGACY, { body: chat() })).status, 200);
    // It ends, although nobody ever answers.
    await running.close();
    socket.destroy();
    mute.close();
  });
});

describe('the thread that sends', function () {
  this.timeout(60_000);
  it('connects to the ingestion endpoint and to nothing else, whatever the SDK has a mind to call', async () => {
    const ingestion = await startIngestion();
    const endpoint = /IngestionEndpoint=(.*?)\/?$/.exec(ingestion.connectionString)?.[1] ?? '';
    const asked: string[] = [];
    const sender = new Worker(new URL('../support/watched-sender.ts', import.meta.url), {
      workerData: { connectionString: ingestion.connectionString, endpoint, byIdentity: false },
      env: {},
    });
    const wasAsked = (pattern: RegExp): boolean => asked.some((what) => pattern.test(what));
    sender.on('message', (message: FromSender | { readonly kind: 'connect'; readonly what: string }) => {
      if (message.kind === 'connect') asked.push(message.what);
    });
    const span: SpanData = {
      kind: 'server',
      name: 'GET models',
      traceId: PARENT.trace,
      spanId: PARENT.span,
      startMs: 0,
      endMs: 1,
      isError: false,
      attributes: {},
    };
    const batch: ToSender = { kind: 'batch', batch: { spans: [span], lines: [], measures: [] } };
    sender.postMessage(batch, []);
    await ingestion.until(() => ingestion.of('RequestData').length === 1);
    // Its own settings and statistics, and the virtual machine's metadata: it tried, so that the test can fail.
    await until(() => wasAsked(/^refused settings\./) && wasAsked(/^refused 169\.254\.169\.254/));
    const { host } = new URL(endpoint);
    assert.deepEqual(new Set(asked.filter((what) => what.startsWith('let '))), new Set([`let ${host}`]));
    await sender.terminate();
    await ingestion.close();
  });
});
