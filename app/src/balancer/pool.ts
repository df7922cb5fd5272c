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
  standing,
  type BreakerState,
  type Standing,
} from './circuit-breaker.ts';
import type { NoneReason } from './failover.ts';
import { reasonOf, type FailedOutcome, type Outcome } from './outcome.ts';
import type { Quota } from './quota.ts';
import { createPoolState, type Entry, type Host, type Part } from './pool-state.ts';
import { select, type Candidate } from './selection.ts';
import { lastMissing, whyNobody, worthWaiting } from './waiting.ts';

/** What a request needs. `tried`: names of the backends it was refused by in this pass. `tokens`: its estimated size. */
export interface Ask {
  readonly deployment: string;
  readonly tried: ReadonlySet<string>;
  readonly tokens: number;
  readonly affinityKey?: string;
  /** Clock ms: so long the request would rather wait than be refused. */
  readonly holdUntil?: number;
  /** It waits in a line: it takes only what is available, not what is just coming back from a throttle. */
  readonly patient?: boolean;
  /** Of `tried`, those that throttled. */
  readonly throttled?: ReadonlySet<string>;
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
}

export type Acquired =
  | { readonly kind: 'lease'; readonly lease: Lease }
  /** Worth waiting for: look again then (clock ms), or when the pool has changed. */
  | { readonly kind: 'wait'; readonly until: number; readonly why: 'throttled' | 'priority' }
  | { readonly kind: 'none'; readonly why: NoneReason; readonly recoversAt?: number };

export type Seen = { readonly kind: 'headers'; readonly quota?: Quota } | { readonly kind: 'first-content' };

/** A backend × deployment, or a host, as the status page and the log show it. Times are clock ms. */
export interface DeploymentSnapshot {
  readonly deployment: string;
  readonly standing: Standing;
  readonly state: BreakerState;
  readonly inFlight: number;
  readonly quota?: Quota;
}

export interface BackendSnapshot {
  readonly backend: Backend;
  readonly standing: Standing;
  readonly state: BreakerState;
  readonly inFlight: number;
  readonly deployments: readonly DeploymentSnapshot[];
}

export interface PoolSnapshot {
  readonly backends: readonly BackendSnapshot[];
}

/** A change of a backend's state, for the log and the metrics. `deployment` undefined: the whole host. */
export interface StateChange {
  readonly backend: Backend;
  readonly deployment?: string;
  readonly from: BreakerState;
  readonly to: BreakerState;
  /** Of the failure that changed it, in a word. */
  readonly reason?: string;
}

export interface Pool {
  acquire(ask: Ask, now: number): Acquired;
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
}

interface Option extends Candidate {
  readonly entry: Entry;
  /** Clock ms; 0 when it does not rest. */
  readonly restsUntil: number;
}

export function createPool(options: PoolOptions): Pool {
  const { backends, aliases = new Map(), random, onStateChange, maxEntries = 1000 } = options;
  const { hosts, entryOf, trim } = createPoolState(backends, maxEntries);
  const loans = new Map<number, Loan>();
  let epoch = 0;
  let lastLeaseId = 0;

  function acquire(ask: Ask, now: number): Acquired {
    const all = optionsFor(ask, now);
    const untried = all.filter((option) => !ask.tried.has(option.backend.name));
    const chosen = select(untried, random) ?? lastMissing(all, ask.tried);
    const until = worthWaiting(all, chosen, ask, now);
    const acquired = until === undefined ? leaseOrNone(all, chosen, now) : wait(until);
    trim();
    return acquired;
  }

  function leaseOrNone(all: readonly Option[], chosen: Option | undefined, now: number): Acquired {
    return chosen === undefined
      ? { kind: 'none', ...whyNobody(all) }
      : { kind: 'lease', lease: lend(chosen.entry, now) };
  }

  function optionsFor(ask: Ask, now: number): readonly Option[] {
    const found: Option[] = [];
    for (const host of hosts) {
      const deployment = upstreamDeployment(host.backend, aliases, ask.deployment);
      if (deployment === undefined) continue;
      const entry = entryOf(host, deployment, epoch);
      found.push({
        entry,
        backend: host.backend,
        standing: stricter(standing(host.state, host.inFlight, now), standing(entry.state, entry.inFlight, now)),
        inFlight: entry.inFlight,
        failedAt: Math.max(host.failedAt, entry.failedAt),
        restsUntil: isRest(entry.state) ? entry.state.until : 0,
      });
    }
    return found;
  }

  function lend(entry: Entry, now: number): Lease {
    const { host } = entry;
    change(host, onAsked(host.state, now));
    change(entry, onAsked(entry.state, now));
    host.inFlight += 1;
    entry.inFlight += 1;
    lastLeaseId += 1;
    const probe = isProbed(host.state) || isProbed(entry.state);
    loans.set(lastLeaseId, { entry, answersBefore: host.answers, ownAnswers: 0, hasSucceeded: false });
    return { id: lastLeaseId, backend: entry.backend, deployment: entry.deployment, epoch, probe, startedAt: now };
  }

  function observe(lease: Lease, seen: Seen, now: number): void {
    const loan = loans.get(lease.id);
    if (loan === undefined) return;
    if (seen.kind === 'first-content') return succeed(loan, lease, now);
    loan.entry.host.answers += 1;
    loan.ownAnswers += 1;
    if (seen.quota !== undefined) loan.entry.quota = seen.quota;
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
        recover(host, lease, now);
        return judge(entry, lease, (state) => onThrottled(state, outcome.retryAfterMs, now));
      case 'missing':
        // A request that names no deployment says nothing about the others that name none.
        if (entry.deployment === '') return succeed(loan, lease, now);
        recover(host, lease, now);
        return judge(entry, lease, () => onMissing(now));
      case 'unauthorized':
        if (outcome.scope === 'operation') return succeed(loan, lease, now);
        return judge(host, lease, (state) => onUnauthorized(state, now));
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

  function snapshot(now: number): PoolSnapshot {
    return { backends: hosts.map((host) => snapshotOf(host, now)) };
  }

  function snapshotOf(host: Host, now: number): BackendSnapshot {
    const { backend, state, inFlight } = host;
    const deployments = [...host.entries.values()].map((entry) => ({
      deployment: entry.deployment,
      standing: standing(entry.state, entry.inFlight, now),
      state: entry.state,
      inFlight: entry.inFlight,
      ...(entry.quota === undefined ? {} : { quota: entry.quota }),
    }));
    return { backend, standing: standing(state, inFlight, now), state, inFlight, deployments };
  }

  return { acquire, observe, settle, conclude, snapshot };
}

/** Asking it is to see whether it is back: after its rest, or before as the last resort. */
function isProbed(state: BreakerState): boolean {
  return state.kind === 'probing' || isRest(state);
}

/** The host gave others an answer since this attempt began. */
function hasAnsweredOthers({ entry, answersBefore, ownAnswers }: Loan): boolean {
  return entry.host.answers - answersBefore > ownAnswers;
}

function wait(until: number): Acquired {
  return { kind: 'wait', until, why: 'throttled' };
}

const STRICTNESS: Readonly<Record<Standing, number>> = {
  available: 0,
  reserve: 1,
  open: 2,
  missing: 3,
  cooldown: 4,
  quarantined: 5,
};

function stricter(a: Standing, b: Standing): Standing {
  return STRICTNESS[a] >= STRICTNESS[b] ? a : b;
}
