/**
 * The backends and all that is known about them: the only state of the balancing. No IO, no timers; `now` is clock ms
 * (monotonic), handed in. A lease is one attempt's permission and is settled exactly once.
 */
import { upstreamDeployment, type Aliases, type Backend } from './backend.ts';
import {
  isRest,
  onAsked,
  onFailure,
  onMissing,
  onSuccess,
  onThrottled,
  onUnauthorized,
  type BreakerState,
} from './circuit-breaker.ts';
import type { None } from './failover.ts';
import type { Need, Reduction } from './foresight.ts';
import { optionOf, type Option } from './option.ts';
import { reasonOf, type FailedOutcome, type Outcome, type Throttled } from './outcome.ts';
import type { Quota } from './quota.ts';
import { createPoolState, isNew, type Entry, type Part } from './pool-state.ts';
import { select } from './selection.ts';
import { snapshotOf, type PoolSnapshot } from './snapshot.ts';
import { lastMissing, spilledFrom, whyNobody, worthWaiting, type Patience, type Wait } from './waiting.ts';

/** What a request needs. `tokens`: its estimated size; 0 for one that spends none. */
export interface Ask extends Patience {
  readonly deployment: string;
  readonly tokens: number;
  /** Of these, a guess at the answer, where the request names no maximum. */
  readonly openTokens?: number;
  /** Requests with the same key share a prompt's beginning: they prefer one backend. */
  readonly affinityKey?: string;
  /** Only backends of a worse priority than this one: the better ones cannot serve it. */
  readonly worseThan?: number;
}

/** Permission for one attempt. `deployment`: the name to send upstream. `epoch`: what was known when it began. */
export interface Lease {
  readonly id: number;
  readonly backend: Backend;
  readonly deployment: string;
  readonly epoch: number;
  readonly probe: boolean;
  /** Clock ms. */
  readonly startedAt: number;
  /** The backend of a better priority that would have been asked, had it not been throttled. */
  readonly spilledFrom?: string;
}

export type Acquired =
  | { readonly kind: 'lease'; readonly lease: Lease }
  | ({ readonly kind: 'wait' } & Wait)
  | ({ readonly kind: 'none' } & None);

/** `isRefused`: they are those of a 429. */
export type Seen =
  | { readonly kind: 'headers'; readonly quota?: Quota; readonly isRefused?: boolean }
  | { readonly kind: 'first-content' };

/** A change of a backend's state, for the log and the metrics. `deployment` undefined: the whole host. */
export interface StateChange {
  readonly backend: Backend;
  readonly deployment?: string;
  readonly from: BreakerState;
  readonly to: BreakerState;
  /** Of the failure that changed it, in a word. */
  readonly reason?: string;
}

/** The platform has reduced a deployment's tokens a minute, or (`reduction` undefined) given it back what it had. */
export interface LimitChange {
  readonly backend: Backend;
  readonly deployment: string;
  readonly reduction: Reduction | undefined;
}

export interface Pool {
  acquire(ask: Ask, now: number): Acquired;
  /** Could another be asked, if this one's backend is given up? Not those that rest: they may be worse than a slow one. */
  hasOther(lease: Lease, ask: Ask, now: number): boolean;
  observe(lease: Lease, seen: Seen, now: number): void;
  settle(lease: Lease, outcome: Outcome, now: number): void;
  /** The request ended: were its 500s the backends' fault (`answered` by another), or its own? */
  conclude(failed500: readonly Lease[], answered: boolean, now: number): void;
  snapshot(now: number): PoolSnapshot;
}

export interface PoolOptions {
  readonly backends: readonly Backend[];
  readonly aliases?: Aliases;
  /** Numbers in [0, 1). */
  readonly random: () => number;
  readonly onStateChange?: (change: StateChange) => void;
  readonly onLimitChange?: (change: LimitChange) => void;
  /** Backend × deployment states kept at most; the least recent idle one is forgotten. */
  readonly maxEntries?: number;
}

/** What is kept of a lease until it is settled. */
interface Loan {
  readonly entry: Entry;
  /** The host's answers when it began, and those that were this attempt's own. */
  readonly answersBefore: number;
  ownAnswers: number;
  hasSucceeded: boolean;
  quota?: Quota;
}

export function createPool(options: PoolOptions): Pool {
  const { backends, aliases = new Map(), random, onStateChange, onLimitChange, maxEntries = 1000 } = options;
  const { hosts, entryOf, trim } = createPoolState(backends, maxEntries);
  const loans = new Map<number, Loan>();
  let epoch = 0;
  let lastLeaseId = 0;

  function acquire(ask: Ask, now: number): Acquired {
    const all = optionsFor(ask, now);
    const untried = all.filter((option) => !ask.tried.has(option.backend.name));
    const chosen = select(untried, random) ?? lastMissing(all, ask.tried);
    const wait = worthWaiting(all, chosen, ask, now);
    const acquired: Acquired = wait === undefined ? leaseOrNone(all, chosen, ask, now) : { kind: 'wait', ...wait };
    trim();
    return acquired;
  }

  function leaseOrNone(all: readonly Option[], chosen: Option | undefined, ask: Ask, now: number): Acquired {
    if (chosen === undefined) {
      const none = { kind: 'none', ...whyNobody(all) } as const;
      return all.some(({ entry }) => isNew(entry.host, now)) ? { ...none, isNew: true } : none;
    }
    const lease = lend(chosen.entry, spilledFrom(all, chosen, ask.throttled, now), now);
    const need = needOf(ask);
    if (need !== undefined) chosen.entry.foresight.sent(lease.id, need, now);
    return { kind: 'lease', lease };
  }

  function hasOther(lease: Lease, ask: Ask, now: number): boolean {
    return optionsFor(ask, now).some(
      ({ backend, standing }) =>
        backend !== lease.backend &&
        !ask.tried.has(backend.name) &&
        (standing === 'available' || standing === 'reserve'),
    );
  }

  function optionsFor(ask: Ask, now: number): readonly Option[] {
    const { deployment: asked, worseThan = -1, affinityKey } = ask;
    const need = needOf(ask);
    const found: Option[] = [];
    for (const host of hosts) {
      if (host.backend.priority <= worseThan) continue;
      const deployment = upstreamDeployment(host.backend, aliases, asked);
      if (deployment !== undefined) found.push(optionOf(entryOf(host, deployment, epoch), need, affinityKey, now));
    }
    return found;
  }

  function lend(entry: Entry, spilled: string | undefined, now: number): Lease {
    const { host } = entry;
    host.askedFirstAt ??= now;
    change(host, onAsked(host.state, now));
    change(entry, onAsked(entry.state, now));
    host.inFlight += 1;
    entry.inFlight += 1;
    lastLeaseId += 1;
    const probe = isProbed(host.state) || isProbed(entry.state);
    loans.set(lastLeaseId, { entry, answersBefore: host.answers, ownAnswers: 0, hasSucceeded: false });
    const lease = {
      id: lastLeaseId,
      backend: entry.backend,
      deployment: entry.deployment,
      epoch,
      probe,
      startedAt: now,
    };
    return spilled === undefined ? lease : { ...lease, spilledFrom: spilled };
  }

  function observe(lease: Lease, seen: Seen, now: number): void {
    const loan = loans.get(lease.id);
    if (loan === undefined) return;
    if (seen.kind === 'first-content') return succeed(loan, lease, now);
    loan.entry.host.answers += 1;
    loan.ownAnswers += 1;
    const { quota, isRefused = false } = seen;
    if (quota === undefined) return;
    loan.quota = quota;
    loan.entry.quota = quota;
    hear(loan.entry, lease, quota, isRefused);
  }

  /** What is left of its quota; and the limit itself, which the platform may change. */
  function hear({ backend, deployment, foresight }: Entry, lease: Lease, quota: Quota, isRefused: boolean): void {
    const before = foresight.reduction();
    foresight.told(lease.id, quota, isRefused);
    const reduction = foresight.reduction();
    if (before?.limit !== reduction?.limit) onLimitChange?.({ backend, deployment, reduction });
  }

  function settle(lease: Lease, outcome: Outcome, now: number): void {
    const loan = loans.get(lease.id);
    if (loan === undefined) throw new Error(`lease ${lease.id} was settled twice`);
    loans.delete(lease.id);
    loan.entry.host.inFlight -= 1;
    loan.entry.inFlight -= 1;
    learn(loan, lease, outcome, now);
  }

  function learn(loan: Loan, lease: Lease, outcome: Outcome, now: number): void {
    const { entry } = loan;
    const { host } = entry;
    switch (outcome.kind) {
      case 'served':
      case 'refused':
        return succeed(loan, lease, now);
      case 'throttled':
        host.hasLetIn = true;
        recover(host, lease, now);
        return cool(loan, lease, outcome, now);
      case 'missing':
        // A request that names no deployment says nothing about the others that name none.
        if (entry.deployment === '') return succeed(loan, lease, now);
        host.hasLetIn = true;
        recover(host, lease, now);
        return judge(entry, lease, () => onMissing(now));
      case 'unauthorized':
        // A role that was just given takes effect late, and until then Azure names the operation that it lacks.
        if (outcome.scope === 'operation') return isNew(host, now) ? undefined : succeed(loan, lease, now);
        return judge(host, lease, (state) => onUnauthorized(state, isNew(host, now), now), outcome.status?.toString());
      case 'too-long':
      case 'unsupported':
        return succeed(loan, lease, now);
      case 'failed':
        return blame(loan, lease, outcome, now);
      case 'broken':
      case 'abandoned':
        return; // After commit, or the caller's doing: nothing about the next request.
      default:
        return outcome satisfies never;
    }
  }

  function cool({ entry, quota }: Loan, lease: Lease, { inStream, retryAfterMs }: Throttled, now: number): void {
    // What hides in a stream was admitted, and counted.
    const least = inStream ? undefined : entry.foresight.refused(lease.id, quota, retryAfterMs, now);
    judge(entry, lease, (state) => onThrottled(state, retryAfterMs, now - lease.startedAt, now, least));
  }

  function blame(loan: Loan, lease: Lease, failure: FailedOutcome, now: number): void {
    const { cause, status } = failure;
    const reason = reasonOf(failure);
    const { entry } = loan;
    const { host } = entry;
    switch (cause) {
      case 'connect':
        return fail(host, lease, 'hard', now, reason);
      case 'credential': // It was never asked.
      case 'stale-socket': // It is asked again on a fresh connection first.
        return;
      case 'header-timeout':
      case 'first-token-timeout':
        // Silence about one request only, while others were answered, is that request's own slowness.
        return hasAnsweredOthers(loan) ? undefined : fail(entry, lease, 'soft', now, reason);
      case 'status':
        // 500 waits for `conclude`: a poison request must open nothing. It is remembered for the order of last resorts.
        recover(host, lease, now);
        if (status === 500) return remember(entry, now);
        return fail(entry, lease, 'hard', now, reason);
      case 'in-stream':
        return fail(entry, lease, 'hard', now, reason);
      case 'reset':
        return fail(entry, lease, 'soft', now, reason);
      default:
        return cause satisfies never;
    }
  }

  function conclude(failed500: readonly Lease[], answered: boolean, now: number): void {
    if (!answered) return;
    for (const lease of failed500) {
      const host = hosts.find(({ backend }) => backend === lease.backend);
      const entry = host?.entries.get(lease.deployment);
      if (entry !== undefined) fail(entry, lease, 'soft', now, '500');
    }
  }

  /** Once a lease: at its first content, or at its end when that was never told. */
  function succeed(loan: Loan, lease: Lease, now: number): void {
    if (loan.hasSucceeded) return;
    loan.hasSucceeded = true;
    loan.entry.host.hasLetIn = true;
    recover(loan.entry.host, lease, now);
    recover(loan.entry, lease, now);
  }

  function recover(part: Part, lease: Lease, now: number): void {
    judge(part, lease, (state) => onSuccess(state, now));
  }

  function fail(part: Part, lease: Lease, weight: 'hard' | 'soft', now: number, reason: string): void {
    remember(part, now);
    judge(part, lease, (state) => onFailure(state, weight, now), reason);
  }

  function remember(part: Part, now: number): void {
    part.failedAt = now;
  }

  /** Outcomes of attempts that began before the present state began neither extend nor clear it. */
  function judge(part: Part, lease: Lease, transition: (state: BreakerState) => BreakerState, reason?: string): void {
    if (lease.epoch >= part.epoch) change(part, transition(part.state), reason);
  }

  function change(part: Part, to: BreakerState, reason?: string): void {
    const from = part.state;
    if (from === to) return;
    part.state = to;
    // A state that goes on (one more probe, a wider ramp) keeps its epoch, so that all who began in it still count.
    if (from.kind === to.kind && !isRest(to) && to.kind !== 'closed') return;
    epoch += 1;
    part.epoch = epoch;
    if (from.kind === to.kind) return; // Found missing once more, or one soft failure: nothing new to tell.
    onStateChange?.({
      backend: part.backend,
      ...(part.deployment === undefined ? {} : { deployment: part.deployment }),
      from,
      to,
      ...(reason === undefined ? {} : { reason }),
    });
  }

  return { acquire, hasOther, observe, settle, conclude, snapshot: (now) => snapshotOf(hosts, now) };
}

function needOf({ tokens, openTokens = 0 }: Ask): Need | undefined {
  return tokens > 0 ? { tokens, openTokens } : undefined;
}

/** Asking it is to see whether it is back: after its rest, or before as the last resort. */
function isProbed(state: BreakerState): boolean {
  return state.kind === 'probing' || (state.kind === 'returning' && state.window === 1) || isRest(state);
}

/** The host gave others an answer since this attempt began. */
function hasAnsweredOthers({ entry, answersBefore, ownAnswers }: Loan): boolean {
  return entry.host.answers - answersBefore > ownAnswers;
}
