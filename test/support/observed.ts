/** What tests look at after a request: what the caller read, what each backend was sent, what the pool believes. */
import assert from 'node:assert/strict';
import type { BreakerState } from '../../app/src/balancer/circuit-breaker.ts';
import type { Call } from '../../simulator/server.ts';
import type { RunningBalancer } from './balancer.ts';
import type { Received } from './http.ts';

/** The words of a chat completion, whole or streamed, that arrived complete. */
export function answerOf(received: Received): string {
  assert.equal(received.isComplete, true);
  const text = received.body.toString();
  if (received.headers['content-type']?.startsWith('text/event-stream') !== true) return wordsIn(text, 'message');
  assert.ok(text.endsWith('data: [DONE]\n\n'), `a stream that does not end: ${text.slice(-200)}`);
  return eventsIn(text)
    .filter((data) => data !== '[DONE]')
    .map((data) => wordsIn(data, 'delta'))
    .join('');
}

function wordsIn(json: string, member: 'message' | 'delta'): string {
  const parsed: { choices?: { message?: { content?: string }; delta?: { content?: string } }[] } = JSON.parse(json);
  return parsed.choices?.[0]?.[member]?.content ?? '';
}

/** The data of each event that arrived whole. */
export function eventsIn(text: string): readonly string[] {
  return [...text.matchAll(/^data: (.*)\r?\n\r?\n/gm)].map((match) => match[1] ?? '');
}

/** The headers in which the balancer tells of itself. */
export function course({ headers }: Received): Readonly<Record<'backend' | 'attempts' | 'trace', unknown>> {
  return {
    backend: headers['x-balancer-backend'],
    attempts: headers['x-balancer-attempts'],
    trace: headers['x-balancer-trace'],
  };
}

/**
 * Each backend as `host/deployment`: `open/closed`, `closed/cooldown`; soft failures in brackets: `closed/closed(1)`.
 * A deployment that nobody asked for yet is closed.
 */
export function statesOf(running: RunningBalancer, deployment = 'gpt-5.4-mini'): readonly string[] {
  return running.balancer.pool.snapshot(0).backends.map((backend) => {
    const entry = backend.deployments.find((candidate) => candidate.deployment === deployment);
    return `${stateText(backend.state)}/${entry === undefined ? 'closed' : stateText(entry.state)}`;
  });
}

function stateText(state: BreakerState): string {
  return state.kind === 'closed' && state.softFailures > 0 ? `closed(${state.softFailures})` : state.kind;
}

/** How often each backend was asked. */
export function callCounts(running: RunningBalancer): readonly number[] {
  return running.resources.map((resource) => resource.calls.length);
}

/** A caller's body as a backend is sent it: the same bytes, but that the stream of a chat is asked for its usage too. */
export function asSent(body: string | Buffer): Buffer {
  const text = Buffer.from(body).toString('latin1');
  const isSilent = text.includes('"messages":') && !text.includes('"stream_options":');
  const added = '"stream":true,"stream_options":{"include_usage":true}';
  return isSilent ? Buffer.from(text.replace('"stream":true', added), 'latin1') : Buffer.from(body);
}

/** A backend was sent exactly this: the path, the body as above, and its own credential only. */
export function assertCall(
  call: Call | undefined,
  expected: { readonly path: string; readonly body: string | Buffer; readonly key: string },
): void {
  assert.ok(call !== undefined, 'the backend was not asked');
  assert.equal(call.path, expected.path);
  assert.deepEqual(credentialsIn(call), ['api-key', expected.key]);
  assert.equal(call.headers['accept-encoding'], 'identity');
  const body = asSent(expected.body);
  assert.equal(call.headers['content-length'], String(body.length));
  assert.ok(call.body.equals(body), 'the body was changed on the way');
}

/** Every credential of a call, as name, value, …: there must be one. */
export function credentialsIn({ rawHeaders }: Call): readonly string[] {
  const found: string[] = [];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = (rawHeaders[i] ?? '').toLowerCase();
    if (name === 'api-key' || name === 'authorization') found.push(name, rawHeaders[i + 1] ?? '');
  }
  return found;
}

/** No upstream request of these is open any more. */
export function hasNoOpenRequests(running: RunningBalancer): boolean {
  return running.resources.every((resource) => resource.openRequests === 0);
}
