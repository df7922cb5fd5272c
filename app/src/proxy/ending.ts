/** How a request ended: what its last event tells, and what it is counted as. */
import type { Outcome, Usage } from '../balancer/outcome.ts';
import type { ProxyEvent } from '../telemetry/events.ts';
import type { Course } from './course.ts';
import { targetOf, type Entered } from './door.ts';
import { operationLabel, type Asked } from './front-door.ts';
import { clientRequestIdOf } from './headers.ts';
import { StreamEnd } from './relay.ts';
import { tokensOfText } from './token-estimate.ts';
import type { UsageTap } from './usage-tap.ts';
import type { IncomingMessage } from 'node:http';

type Finished = Extract<ProxyEvent, { kind: 'request-finished' }>;

/** `trace`: with a last step that the course does not have. */
export type Ending = Pick<
  Finished,
  'ending' | 'status' | 'backend' | 'code' | 'usage' | 'spilledFrom' | 'spillover'
> & {
  readonly trace?: string;
  /** Of the text that a stream gave. */
  readonly textBytes?: number;
};

export const FAILED_ON_A_BUG: Ending = { ending: 'refused', status: 500, code: 'internal_error' };
const BREAKS = { reset: 'stream_broken', idle: 'stream_idle' } as const;

/** With the code of the in-band error, where the caller was told one. */
export function howItEnded(outcome: Outcome, { reason }: AbortSignal): Pick<Ending, 'ending' | 'code'> {
  if (outcome.kind === 'broken') return { ending: 'broken', code: BREAKS[outcome.cause] };
  if (outcome.kind !== 'abandoned') return { ending: 'delivered' };
  return reason instanceof StreamEnd ? { ending: 'broken', code: reason.code } : { ending: 'abandoned' };
}

export function withUsage(outcome: Outcome, usage: Usage | undefined): Outcome {
  if (usage === undefined || (outcome.kind !== 'served' && outcome.kind !== 'abandoned')) return outcome;
  return { ...outcome, usage };
}

/**
 * Where the backend did not say: its prompt by the estimate, and the text that came of a stream. Undefined for what has been
 * given whole and is no stream (it has nothing to say), and for what costs no tokens.
 */
export function usageGuessed(asked: Asked, outcome: Outcome, tap?: UsageTap): Usage | undefined {
  const textBytes = tap?.textBytes;
  const isCut = outcome.kind === 'abandoned' || outcome.kind === 'broken';
  const cost = asked.isCounted && (textBytes !== undefined || isCut) ? asked.cost() : undefined;
  if (cost === undefined) return undefined;
  const completionTokens = tokensOfText(textBytes ?? 0);
  return { promptTokens: cost.promptTokens, completionTokens, isEstimated: true };
}

export function finishedEvent(
  { id, req, asked, client, startedAt, trace }: Entered & { readonly req: IncomingMessage },
  course: Course,
  ending: Ending,
  now: number,
): ProxyEvent {
  const reasons = course.reasons();
  const { heldMs, firstContentAt } = course;
  const { textBytes: _, ...told } = ending;
  const clientRequestId = clientRequestIdOf(req.headers);
  return {
    kind: 'request-finished',
    requestId: id,
    ...(clientRequestId === undefined ? {} : { clientRequestId }),
    client,
    ...targetOf(req),
    operation: operationLabel(asked.operation),
    deployment: asked.deployment,
    stream: asked.stream,
    attempts: course.attempts,
    trace: course.trace(),
    ...(reasons === undefined ? {} : { reasons }),
    ...(heldMs === 0 ? {} : { heldMs }),
    ...(firstContentAt === undefined ? {} : { firstContentMs: firstContentAt - startedAt }),
    durationMs: now - startedAt,
    ...(trace === undefined ? {} : { span: trace.span }),
    ...told,
  };
}

/** What the request came to in tokens, where the backend did not say; undefined when nobody knows. */
export function tokensGuessed(entered: Entered, { isAsking }: Course, ending: Ending): number | undefined {
  const { status, textBytes } = ending;
  if (entered.pass?.countsTokens !== true) return undefined;
  const seen = textBytes === undefined ? 0 : (entered.asked.cost()?.promptTokens ?? 0) + tokensOfText(textBytes);
  // A backend's quota was charged all that the request allowed: who leaves must get neither that nor the text for nothing.
  if (ending.ending === 'abandoned' && isAsking) return Math.max(entered.charged, seen);
  if (status >= 400 || !isAsking) return 0;
  return textBytes === undefined ? undefined : seen;
}
