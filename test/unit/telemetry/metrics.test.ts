import assert from 'node:assert/strict';
import type { Outcome } from '../../../app/src/balancer/outcome.ts';
import type { ProxyEvent } from '../../../app/src/telemetry/events.ts';
import { createMetrics, type Metrics } from '../../../app/src/telemetry/metrics.ts';

type Finished = Extract<ProxyEvent, { kind: 'request-finished' }>;

function start(withProcess = false): Metrics {
  return createMetrics({
    gauges: {
      requestsInFlight: () => 3,
      bytesBuffered: () => 4096,
      requestsHeld: () => 2,
      utilizations: () => [{ backend: 'ptu', deployment: 'gpt', ratio: 0.82 }],
    },
    withProcess,
  });
}

function finished(more: Partial<Finished> = {}): Finished {
  return {
    kind: 'request-finished',
    requestId: 'r-1',
    client: 'team-a',
    method: 'POST',
    path: '/v1/chat/completions',
    operation: 'chat/completions',
    deployment: 'gpt',
    stream: false,
    status: 200,
    ending: 'delivered',
    backend: 'openai1',
    attempts: 1,
    trace: 'openai1=200',
    durationMs: 120,
    ...more,
  };
}

function refused(client: string, code: string, status: number): ProxyEvent {
  const { backend: _, ...rest } = finished({
    client,
    code,
    status,
    ending: 'refused',
    operation: '',
    attempts: 0,
  });
  return rest;
}

function ended(outcome: Outcome): ProxyEvent {
  return { kind: 'attempt-ended', requestId: 'r-1', backend: 'openai1', deployment: 'gpt', outcome, durationMs: 1 };
}

async function linesOf(metrics: Metrics, name: string): Promise<readonly string[]> {
  const { text } = await metrics.render();
  return text.split('\n').filter((line) => line.startsWith(name));
}

describe('metrics', () => {
  it('counts requests by client, operation, status and ending', async () => {
    const metrics = start();
    metrics.observe(finished());
    metrics.observe(finished());
    metrics.observe(refused('', 'missing_credential', 401));
    assert.deepEqual(await linesOf(metrics, 'balancer_requests_total{'), [
      'balancer_requests_total{client="team-a",operation="chat/completions",status="200",ending="delivered"} 2',
      'balancer_requests_total{client="none",operation="none",status="401",ending="refused"} 1',
    ]);
    assert.deepEqual(await linesOf(metrics, 'balancer_errors_total{'), [
      'balancer_errors_total{client="none",code="missing_credential"} 1',
    ]);
  });

  it('counts what never became a request, and nobody who was not let in among the clients', async () => {
    const metrics = start();
    metrics.observe({ kind: 'connection-refused', code: 'malformed_request', message: 'No.' });
    for (let n = 0; n < 300; n += 1) metrics.observe(refused(`stranger-${n}`, 'client_not_allowed', 403));
    metrics.observe(finished());
    assert.deepEqual(await linesOf(metrics, 'balancer_errors_total{'), [
      'balancer_errors_total{client="none",code="malformed_request"} 1',
      'balancer_errors_total{client="none",code="client_not_allowed"} 300',
    ]);
    const clients = await linesOf(metrics, 'balancer_requests_total{');
    assert.ok(clients.some((line) => line.includes('client="team-a"')));
    assert.equal(clients.length, 2);
  });

  it('counts attempts by what they came to, failures by their cause', async () => {
    const metrics = start();
    metrics.observe(ended({ kind: 'served', status: 200 }));
    metrics.observe(ended({ kind: 'throttled', inStream: false }));
    metrics.observe(ended({ kind: 'failed', cause: 'connect', code: 'ENOTFOUND' }));
    assert.deepEqual(await linesOf(metrics, 'balancer_attempts_total{'), [
      'balancer_attempts_total{backend="openai1",outcome="served"} 1',
      'balancer_attempts_total{backend="openai1",outcome="throttled"} 1',
      'balancer_attempts_total{backend="openai1",outcome="connect"} 1',
    ]);
  });

  it('counts tokens by client, backend and deployment', async () => {
    const metrics = start();
    for (const promptTokens of [10, 20]) metrics.observe(finished({ usage: { promptTokens, completionTokens: 7 } }));
    metrics.observe(finished());
    assert.deepEqual(await linesOf(metrics, 'balancer_tokens_total{'), [
      'balancer_tokens_total{client="team-a",backend="openai1",deployment="gpt",type="prompt"} 30',
      'balancer_tokens_total{client="team-a",backend="openai1",deployment="gpt",type="completion"} 14',
    ]);
  });

  it('times requests that asked a backend, in seconds', async () => {
    const metrics = start();
    metrics.observe(finished({ durationMs: 120 }));
    metrics.observe(refused('team-a', 'unknown_path', 404));
    const lines = await linesOf(metrics, 'balancer_request_duration_seconds');
    assert.ok(lines.includes('balancer_request_duration_seconds_bucket{le="0.1",operation="chat/completions"} 0'));
    assert.ok(lines.includes('balancer_request_duration_seconds_bucket{le="0.25",operation="chat/completions"} 1'));
    assert.ok(lines.includes('balancer_request_duration_seconds_sum{operation="chat/completions"} 0.12'));
    assert.equal(lines.filter((line) => line.includes('_count')).length, 1);
  });

  it('counts whom requests were spilled from, and to whom', async () => {
    const metrics = start();
    metrics.observe(finished({ spilledFrom: 'ptu' }));
    metrics.observe(finished());
    assert.deepEqual(await linesOf(metrics, 'balancer_spillovers_total{'), [
      'balancer_spillovers_total{backend="openai1",spilled_from="ptu"} 1',
    ]);
  });

  it('shows how much of a provisioned deployment is in use', async () => {
    assert.deepEqual(await linesOf(start(), 'balancer_utilization_ratio{'), [
      'balancer_utilization_ratio{backend="ptu",deployment="gpt"} 0.82',
    ]);
  });

  it('reads what is in flight and held when it is asked', async () => {
    const metrics = start();
    assert.deepEqual(await linesOf(metrics, 'balancer_requests_in_flight'), ['balancer_requests_in_flight 3']);
    assert.deepEqual(await linesOf(metrics, 'balancer_bytes_buffered'), ['balancer_bytes_buffered 4096']);
  });

  it('keeps its label sets bounded, whatever callers send: 200 clients, 100 deployments, then other', async () => {
    const metrics = start();
    const usage = { promptTokens: 1, completionTokens: 1 };
    for (let n = 0; n < 250; n += 1) metrics.observe(finished({ client: `c${n}`, deployment: 'gpt' }));
    for (let n = 0; n < 150; n += 1) metrics.observe(finished({ client: 'c1', deployment: `d${n}`, usage }));
    const clients = await linesOf(metrics, 'balancer_requests_total{');
    assert.equal(clients.length, 201);
    assert.ok(clients.some((line) => line.includes('client="other"') && line.endsWith(' 50')));
    const tokens = await linesOf(metrics, 'balancer_tokens_total{');
    assert.equal(tokens.length, 202);
    assert.ok(tokens.some((line) => line.includes('deployment="other"') && line.endsWith(' 50')));
  });

  it('writes what callers and backends name so that it stays one label', async () => {
    const metrics = start();
    const usage = { promptTokens: 1, completionTokens: 0 };
    metrics.observe(finished({ deployment: 'a"} 1\nforged{x="\\', usage }));
    const { text, contentType } = await metrics.render();
    assert.match(contentType, /^text\/plain; version=0\.0\.4; charset=utf-8$/);
    assert.ok(text.includes(String.raw`deployment="a\"} 1\nforged{x=\"\\",type="prompt"} 1`));
    assert.doesNotMatch(text, /^forged/m);
  });

  it('tells of the process where it is asked to', async () => {
    assert.equal((await linesOf(start(), 'nodejs_')).length, 0);
    const metrics = start(true);
    assert.ok((await linesOf(metrics, 'nodejs_eventloop_lag_p99_seconds')).length > 0);
    assert.ok((await linesOf(metrics, 'process_resident_memory_bytes')).length > 0);
  });
});
