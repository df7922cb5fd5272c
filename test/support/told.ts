/** Events as the failover loop tells them, for those who fold them: each with what the test does not care about. */
import type { ProxyEvent } from '../../app/src/telemetry/events.ts';

type Event<K extends ProxyEvent['kind']> = Extract<ProxyEvent, { kind: K }>;

export function finished(more: Partial<Event<'request-finished'>> = {}): Event<'request-finished'> {
  return {
    kind: 'request-finished',
    requestId: 'request-1',
    client: 'tester',
    method: 'POST',
    path: '/v1/chat/completions',
    operation: 'chat/completions',
    deployment: 'gpt',
    stream: false,
    status: 200,
    ending: 'delivered',
    attempts: 1,
    trace: '',
    durationMs: 10,
    ...more,
  };
}

export function attemptEnded(more: Partial<Event<'attempt-ended'>> = {}): Event<'attempt-ended'> {
  return {
    kind: 'attempt-ended',
    requestId: 'request-1',
    backend: 'openai1',
    deployment: 'gpt',
    operation: 'chat/completions',
    outcome: { kind: 'served', status: 200 },
    durationMs: 10,
    ...more,
  };
}
