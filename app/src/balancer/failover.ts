/**
 * What follows from an attempt's outcome for the request, and what the caller gets when nobody answered.
 */
import { isTimeout, type FailedOutcome, type Outcome } from './outcome.ts';

/** `deliver`: this is the answer. `retry`: ask another backend. `again`: the same one on a fresh connection, unblamed. */
export type Verdict = 'deliver' | 'retry' | 'again';

/**
 * @param creates true for calls that make something (files, batches, fine-tuning): an attempt that may have been
 *   carried out is not repeated, so they go on only when refused or never connected
 */
export function decide(outcome: Outcome, creates: boolean): Verdict {
  switch (outcome.kind) {
    case 'served':
    case 'refused':
    case 'broken':
    case 'abandoned':
      return 'deliver';
    case 'throttled':
    case 'missing':
    case 'too-long':
    case 'unsupported':
    case 'unauthorized':
      return 'retry';
    case 'failed':
      if (outcome.cause === 'connect' || outcome.cause === 'credential') return 'retry';
      if (creates) return 'deliver';
      return outcome.cause === 'stale-socket' ? 'again' : 'retry';
    default:
      return outcome satisfies never;
  }
}

/** What the pool says when no backend is left to ask. */
export type NoneReason = 'throttled' | 'failing' | 'unauthorized' | 'not-yet' | 'missing';

/** `isNew`: some backend has never let us in, and it is early days. */
export interface None {
  readonly why: NoneReason;
  readonly recoversAt?: number;
  readonly isNew?: boolean;
}

/** What to tell the caller. `verbatim` is an index into the failures. */
export type Refusal =
  | { readonly kind: 'throttled' | 'not-yet'; readonly recoversAt?: number }
  | { readonly kind: 'verbatim'; readonly index: number }
  | { readonly kind: 'unreachable' | 'timeout' | 'no-credential' | 'unauthorized' | 'not-permitted' | 'missing' };

/** One attempt that was failed over; `hasAnswer` when the backend's own answer was received whole and is kept. */
export interface Failure {
  readonly outcome: Outcome;
  readonly hasAnswer: boolean;
}

/**
 * Nobody answered: the honest refusal. Any throttled → throttled; else the last 5xx that a backend sent; else the last
 * answer about this operation; else what the network did; else quarantined, else missing. Where a role may come into
 * force yet, what it does not permit is not yet permitted. What a backend says of our own
 * credential is for operators: to the caller it would seem to be about theirs, and it may name our identity.
 */
export function refuse(failures: readonly Failure[], none: None, now: number): Refusal {
  if (none.why === 'throttled' || failures.some((failure) => failure.outcome.kind === 'throttled')) {
    const recoversAt = none.recoversAt ?? earliestRecovery(failures, now);
    return recoversAt === undefined ? { kind: 'throttled' } : { kind: 'throttled', recoversAt };
  }
  const failed = failures.findLastIndex(({ outcome, hasAnswer }) => hasAnswer && outcome.kind === 'failed');
  if (failed !== -1) return { kind: 'verbatim', index: failed };
  const refused = failures.findLastIndex(({ outcome, hasAnswer }) => hasAnswer && isAboutOperation(outcome));
  if (failures[refused]?.outcome.kind === 'unauthorized') {
    return none.isNew === true ? { kind: 'not-yet' } : { kind: 'not-permitted' };
  }
  if (refused !== -1) return { kind: 'verbatim', index: refused };
  const cut = failures.findLast(({ outcome }) => outcome.kind === 'failed')?.outcome;
  if (cut?.kind === 'failed') return { kind: refusalFor(cut) };
  const { why, recoversAt } = none;
  if (why === 'not-yet' && recoversAt !== undefined) return { kind: why, recoversAt };
  if (why !== 'failing') return { kind: why };
  // A request that names no deployment was told that one is missing: its own affair, and the backend's words.
  const missing = failures.findLastIndex(({ outcome, hasAnswer }) => hasAnswer && outcome.kind === 'missing');
  return missing === -1 ? { kind: 'unreachable' } : { kind: 'verbatim', index: missing };
}

function isAboutOperation(outcome: Outcome): boolean {
  return (
    outcome.kind === 'unsupported' ||
    outcome.kind === 'too-long' ||
    (outcome.kind === 'unauthorized' && outcome.scope === 'operation')
  );
}

function refusalFor(failure: FailedOutcome): 'no-credential' | 'timeout' | 'unreachable' {
  if (failure.cause === 'credential') return 'no-credential';
  return isTimeout(failure) ? 'timeout' : 'unreachable';
}

/** For the rare pass whose throttles the pool has already forgotten. */
function earliestRecovery(failures: readonly Failure[], now: number): number | undefined {
  const waits = failures.flatMap(({ outcome }) =>
    outcome.kind === 'throttled' && outcome.retryAfterMs !== undefined ? [outcome.retryAfterMs] : [],
  );
  return waits.length === 0 ? undefined : now + Math.min(...waits);
}
