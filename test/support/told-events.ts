/** Events as the balancer tells them, for tests of what is made of them. */
import type { BreakerState } from '../../app/src/balancer/circuit-breaker.ts';
import type { Outcome } from '../../app/src/balancer/outcome.ts';
import type { ProxyEvent } from '../../app/src/telemetry/events.ts';
import { backend } from './pool.ts';

type Event<K extends ProxyEvent['kind']> = Extract<ProxyEvent, { kind: K }>;

export const URL_TEXT = 'https://openai3-abc.openai.azure.com/openai/v1/chat/completions';

export function started(more: Partial<Event<'attempt-started'>> = {}): Event<'attempt-started'> {
  return {
    kind: 'attempt-started',
    requestId: 'abc-1',
    backend: 'openai1',
    url: URL_TEXT,
    deployment: 'gpt',
    attempt: 1,
    probe: false,
    ...more,
  };
}

export function ended(outcome: Outcome, more: Partial<Event<'attempt-ended'>> = {}): Event<'attempt-ended'> {
  return {
    kind: 'attempt-ended',
    requestId: 'abc-1',
    backend: 'openai1',
    deployment: 'gpt',
    operation: 'chat/completions',
    outcome,
    durationMs: 1,
    ...more,
  };
}

export function finished(more: Partial<Event<'request-finished'>> = {}): Event<'request-finished'> {
  return {
    kind: 'request-finished',
    requestId: 'abc-1',
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

/** An attempt that was served, unless `more` says otherwise. */
export function attemptEnded(more: Partial<Event<'attempt-ended'>> = {}): Event<'attempt-ended'> {
  return ended({ kind: 'served', status: 200 }, more);
}

/** Nobody answered it. */
export function unanswered(more: Partial<Event<'request-finished'>> = {}): Event<'request-finished'> {
  const { backend: _, ...rest } = finished({ ending: 'refused', status: 503, ...more });
  return rest;
}

/** Turned away at the door. */
export function refused(client: string, code: string, status: number): Event<'request-finished'> {
  const { backend: _, ...rest } = finished({
    client,
    code,
    status,
    ending: 'refused',
    operation: '',
    deployment: '',
    attempts: 0,
    trace: '',
    durationMs: 0,
  });
  return rest;
}

/** At clock 5000 ms; without a deployment the backend as a whole. */
export function changed(to: BreakerState, deployment?: string): Event<'state-changed'> {
  const from: BreakerState = { kind: 'closed', softFailures: 0 };
  const change = { backend: backend('openai1'), from, to, ...(deployment === undefined ? {} : { deployment }) };
  return { kind: 'state-changed', change, now: 5000 };
}

export function cooldown(recoversAt: number): BreakerState {
  return { kind: 'cooldown', until: recoversAt, recoversAt, times: 1, heardAfterMs: 9 };
}
