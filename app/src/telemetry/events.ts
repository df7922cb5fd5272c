/**
 * All that is worth telling. Log, metrics and status are folds over these events, so that they cannot disagree.
 * No event holds a body, a credential or a query string.
 */
import type { LimitChange, StateChange } from '../balancer/pool.ts';
import type { Outcome, Usage } from '../balancer/outcome.ts';

/** Where an event stands in a trace (W3C): there when traces are sent. */
export interface SpanIds {
  readonly traceId: string;
  readonly spanId: string;
  /** Absent: the trace begins with it. */
  readonly parentId?: string;
  readonly isSampled: boolean;
  /** So many of a hundred such traces are kept; absent: the caller decided. */
  readonly samplePercent?: number;
}

export type ProxyEvent =
  | {
      readonly kind: 'attempt-started';
      readonly requestId: string;
      readonly backend: string;
      /** Origin and path. */
      readonly url: string;
      readonly deployment: string;
      /** 1 for the first attempt of the request. */
      readonly attempt: number;
      readonly probe: boolean;
      /** The backend of a better priority that would have been asked, had it not been throttled. */
      readonly spilledFrom?: string;
      /** The attempt's own. */
      readonly span?: SpanIds;
    }
  | {
      readonly kind: 'attempt-ended';
      readonly requestId: string;
      readonly backend: string;
      readonly deployment: string;
      /** As in `request-finished`. */
      readonly operation: string;
      readonly outcome: Outcome;
      /** Of a stream: from the beginning of the attempt to the first content. */
      readonly firstContentMs?: number;
      readonly durationMs: number;
      /** As the attempt began; one of its own when nothing was sent. */
      readonly span?: SpanIds;
    }
  | {
      readonly kind: 'request-finished';
      readonly requestId: string;
      /** The caller's own id for it, where it sent one that can be shown. */
      readonly clientRequestId?: string;
      readonly client: string;
      readonly method: string;
      readonly path: string;
      readonly operation: string;
      readonly deployment: string;
      /** A stream was asked for. */
      readonly stream: boolean;
      readonly status: number;
      /** delivered: to its end. broken: in the middle. abandoned: the caller left. refused: an error of our own. */
      readonly ending: 'delivered' | 'broken' | 'abandoned' | 'refused';
      /** The code of an error made here. */
      readonly code?: string;
      readonly backend?: string;
      readonly attempts: number;
      readonly trace: string;
      /** What the network or TLS said where an attempt failed on it: `openai1=ENOTFOUND`. Not for callers. */
      readonly reasons?: string;
      /** The backend of a better priority that would have answered, had it not been throttled. */
      readonly spilledFrom?: string;
      /** Azure's own spillover inside one resource, as its headers told: `from ptu-chat to chat: 429`. */
      readonly spillover?: string;
      /** What the backend said it counted; absent where it did not say. */
      readonly usage?: Usage;
      /** So much of its time it waited for a throttled backend; absent when it did not. */
      readonly heldMs?: number;
      /** Of a stream: from the beginning of the request to the first content. */
      readonly firstContentMs?: number;
      readonly durationMs: number;
      /** The request's own; absent for one that was turned away at the door. */
      readonly span?: SpanIds;
    }
  | {
      readonly kind: 'state-changed';
      readonly change: StateChange;
      readonly now: number;
      /** So many changes just before it were not told. */
      readonly skipped?: number;
    }
  | { readonly kind: 'limit-changed'; readonly change: LimitChange }
  /** What came over a connection never became a request. `code`: of the error that it was answered with. */
  | { readonly kind: 'connection-refused'; readonly code: string; readonly message: string }
  | { readonly kind: 'notice'; readonly level: 'info' | 'warning' | 'error'; readonly text: string };

export type Observe = (event: ProxyEvent) => void;

/** One observer out of several. */
export function observeAll(observers: readonly Observe[]): Observe {
  return (event) => {
    for (const observe of observers) observe(event);
  };
}
