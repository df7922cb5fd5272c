/** What the pool keeps: a part per host, and one per backend × deployment, the least recently used forgotten. */
import type { Backend } from './backend.ts';
import { CLOSED, type BreakerState } from './circuit-breaker.ts';
import { Foresight } from './foresight.ts';
import type { Quota } from './quota.ts';

/** Anything with a breaker: a host, or a backend × deployment. */
export interface Part {
  readonly backend: Backend;
  readonly deployment?: string;
  state: BreakerState;
  /** The pool's epoch when the present state began. */
  epoch: number;
  inFlight: number;
  failedAt: number;
}

export interface Host extends Part {
  /** Answers of any kind so far. */
  answers: number;
  /** It accepted our credential once: it answered, or refused for a reason that is not the credential. */
  hasLetIn: boolean;
  /** Clock ms. */
  askedFirstAt?: number;
  /** By the deployment's name as sent upstream. */
  readonly entries: Map<string, Entry>;
}

export interface Entry extends Part {
  readonly deployment: string;
  readonly host: Host;
  /** When it was last asked about, in requests: orders the forgetting. */
  usedAt: number;
  quota?: Quota;
  readonly foresight: Foresight;
}

/** Roles take up to ten minutes to take effect, and tokens that were given before them live on. */
const NEW_FOR_MS = 15 * 60_000;

/** Nobody knows yet whether it will ever let us in: what it refuses now it may allow in some minutes. */
export function isNew({ backend, hasLetIn, askedFirstAt = 0 }: Host, now: number): boolean {
  return backend.byIdentity === true && !hasLetIn && now - askedFirstAt < NEW_FOR_MS;
}

export interface PoolState {
  readonly hosts: readonly Host[];
  /** Found, or made new in this epoch. */
  readonly entryOf: (host: Host, deployment: string, epoch: number) => Entry;
  /** Forgets the least recently used beyond the most. Those in use stay; there are at most as many as requests. */
  readonly trim: () => void;
}

export function createPoolState(backends: readonly Backend[], maxEntries: number): PoolState {
  const hosts: readonly Host[] = backends.map((backend) => ({
    backend,
    state: CLOSED,
    epoch: 0,
    inFlight: 0,
    failedAt: 0,
    hasLetIn: false,
    answers: 0,
    entries: new Map(),
  }));
  let entryCount = 0;
  let uses = 0;

  function entryOf(host: Host, deployment: string, epoch: number): Entry {
    let entry = host.entries.get(deployment);
    if (entry === undefined) {
      const { backend } = host;
      const unknown = { state: CLOSED, inFlight: 0, failedAt: 0, usedAt: 0 };
      entry = { ...unknown, backend, host, deployment, epoch, foresight: new Foresight(backend.capacity) };
      host.entries.set(deployment, entry);
      entryCount += 1;
    }
    uses += 1;
    entry.usedAt = uses;
    return entry;
  }

  function trim(): void {
    while (entryCount > maxEntries) {
      const oldest = leastRecentlyUsed();
      if (oldest === undefined) return;
      oldest.host.entries.delete(oldest.deployment);
      entryCount -= 1;
    }
  }

  function leastRecentlyUsed(): Entry | undefined {
    let oldest: Entry | undefined;
    for (const host of hosts) {
      for (const entry of host.entries.values()) {
        if (entry.inFlight === 0 && entry.usedAt < (oldest?.usedAt ?? Number.POSITIVE_INFINITY)) oldest = entry;
      }
    }
    return oldest;
  }

  return { hosts, entryOf, trim };
}
