/** What the handler is made of, and its limits. */
import type { BackendAuth } from '../auth/backend-auth.ts';
import type { Identify } from '../auth/client-auth.ts';
import type { ClientLimiter } from '../auth/client-limits.ts';
import type { Pool } from '../balancer/pool.ts';
import type { Observe } from '../telemetry/events.ts';
import type { Admission } from './admission.ts';
import type { Affinity } from './affinity-key.ts';
import type { Connections } from './connections.ts';
import type { Forward, Target } from './forward.ts';
import type { Hold } from './hold.ts';
import type { Crowds } from './lease-or-wait.ts';
import type { TokenEstimator } from './token-estimate.ts';
import type { Tracing } from './trace-context.ts';

export interface HandlerDeps {
  readonly pool: Pool;
  readonly forward: Forward;
  /** Backend name → where it is. */
  readonly targets: ReadonlyMap<string, Target>;
  readonly backendAuth: BackendAuth;
  readonly identify: Identify;
  readonly limiter: ClientLimiter;
  readonly estimator: TokenEstimator;
  readonly admission: Admission;
  readonly hold: Hold;
  /** The line for a deployment's name: one for all the names of it. */
  readonly lineOf: (deployment: string) => string;
  readonly crowds: Crowds;
  readonly observe: Observe;
  /** Absent: no traces are sent, and the caller's trace goes on as it came. */
  readonly tracing?: Tracing;
  readonly limits: HandlerLimits;
  /** Requests in progress, so that a drain can end what outlasts it. */
  readonly active: Set<AbortController>;
  readonly awaitTurn: Connections['awaitTurn'];
  readonly isDraining: () => boolean;
  /** Monotonic ms. */
  readonly clock: () => number;
  /** Milliseconds since the epoch. */
  readonly wallClockMs: () => number;
  /** Numbers in [0, 1). */
  readonly random: () => number;
  readonly nextId: () => string;
}

export interface HandlerLimits {
  readonly maxBodyBytes: number;
  readonly bodyIdleMs: number;
  readonly holdBytes: number;
  readonly errorBodyMs: number;
  readonly idleMs: number;
  readonly sseKeepAliveMs: number;
  /** A request that nobody can take waits for a recovery that is no further off. */
  readonly maxHoldMs: number;
  /** So long it waits for a backend of a better priority before it goes to a worse one. */
  readonly priorityWaitMs: number;
  /** A stream without content for so long is another backend's chance; absent: never. */
  readonly firstTokenMs?: number;
  /** A prompt that is too long for a backend is asked of those of a worse priority. */
  readonly spillsLongPrompts: boolean;
  readonly affinity: Affinity;
  /** Streams of chats are asked for their usage where the caller does not. */
  readonly asksForUsage: boolean;
}
