/** One of the last requests as the status document has it: what became of it, and where its time went. */
import type { RecentRequest } from '../telemetry/recent.ts';

export interface RequestStatus {
  readonly id: string;
  /** When it ended. */
  readonly at: string;
  readonly client: string;
  readonly method: string;
  readonly path: string;
  readonly operation: string;
  readonly deployment: string;
  readonly stream: boolean;
  readonly status: number;
  readonly ending: 'delivered' | 'broken' | 'abandoned' | 'refused';
  /** The code of an error made here. */
  readonly code?: string;
  readonly backend?: string;
  readonly attempts: number;
  readonly trace: string;
  /** What the network or TLS said. */
  readonly reasons?: string;
  readonly spilledFrom?: string;
  readonly promptTokens?: number;
  readonly completionTokens?: number;
  readonly durationMs: number;
  /** Of a stream: from the beginning of the request. */
  readonly firstTokenMs?: number;
  /** So much of its time went to attempts that failed. */
  readonly failedMs?: number;
  /** So much of it waited for a throttled backend. */
  readonly heldMs?: number;
  /** Strangers who were turned away for the same reason are one; absent: once. */
  readonly times?: number;
}

/** A path may be as long as all headers together, and a name as a body. */
const LONGEST = 200;

export function requestStatus({ finished, at, failedMs, times }: RecentRequest): RequestStatus {
  const { requestId, client, method, path, operation, deployment, stream, status, ending, attempts, trace } = finished;
  const { code, backend, reasons, spilledFrom, usage, firstContentMs, heldMs } = finished;
  return {
    id: requestId,
    at: new Date(at).toISOString(),
    client: clipped(client),
    method,
    path: clipped(path),
    operation,
    deployment: clipped(deployment),
    stream,
    status,
    ending,
    ...(code === undefined ? {} : { code }),
    ...(backend === undefined ? {} : { backend }),
    attempts,
    trace,
    ...(reasons === undefined ? {} : { reasons }),
    ...(spilledFrom === undefined ? {} : { spilledFrom }),
    ...(usage === undefined ? {} : { promptTokens: usage.promptTokens, completionTokens: usage.completionTokens }),
    durationMs: Math.round(finished.durationMs),
    ...(firstContentMs === undefined ? {} : { firstTokenMs: Math.round(firstContentMs) }),
    ...(failedMs === 0 ? {} : { failedMs: Math.round(failedMs) }),
    ...(heldMs === undefined ? {} : { heldMs: Math.round(heldMs) }),
    ...(times === 1 ? {} : { times }),
  };
}

function clipped(text: string): string {
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
}
