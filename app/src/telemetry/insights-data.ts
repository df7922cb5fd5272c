/** What goes to the thread that sends telemetry, and what comes back. Plain data: it is copied from thread to thread. */

export type Attributes = Readonly<Record<string, string | number | boolean>>;

export interface SpanData {
  /** server: a request (AppRequests). client: an attempt (AppDependencies). */
  readonly kind: 'server' | 'client';
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentId?: string;
  /** Milliseconds since the epoch. */
  readonly startMs: number;
  readonly endMs: number;
  readonly isError: boolean;
  readonly attributes: Attributes;
  /** So many of a hundred are sent; absent: it stands for itself alone. */
  readonly samplePercent?: number;
}

/** A line of the log (AppTraces). */
export interface LineData {
  readonly level: 'info' | 'warning' | 'error';
  readonly text: string;
  readonly atMs: number;
  readonly attributes: Attributes;
  /** Of the request that it is about. */
  readonly traceId?: string;
  readonly spanId?: string;
}

/** Values of one metric with these dimensions, since the last batch (AppMetrics). */
export interface MeasureData {
  readonly name: string;
  /** sum: one value, to be added. values: each is measured by itself. */
  readonly kind: 'sum' | 'values';
  readonly dimensions: Readonly<Record<string, string>>;
  readonly values: readonly number[];
}

export interface Batch {
  readonly spans: readonly SpanData[];
  readonly lines: readonly LineData[];
  readonly measures: readonly MeasureData[];
}

export type ToSender =
  | { readonly kind: 'batch'; readonly batch: Batch }
  /** Absent: the identity gives none now. */
  | { readonly kind: 'token'; readonly token?: string }
  | { readonly kind: 'close' };

export type FromSender =
  /** A batch was handed to the SDK: there is room for another. */
  | { readonly kind: 'took' }
  | { readonly kind: 'token-wanted' }
  /** The endpoint answered, or did not; `reason` in a word. */
  | { readonly kind: 'sent' }
  | { readonly kind: 'unsent'; readonly reason: string }
  | { readonly kind: 'closed' };

/** What the thread is started with. */
export interface SenderData {
  readonly connectionString: string;
  /** Origin of the one place that may be connected to. */
  readonly endpoint: string;
  /** It takes telemetry with a Microsoft Entra token only. */
  readonly byIdentity: boolean;
}
