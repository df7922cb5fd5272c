/**
 * What was lately: a fold over the events for the status page. Fifteen minutes of who answered and how, what each
 * backend × deployment and each client came to, and the last fifty requests. Time is a parameter. Memory is bounded
 * whatever callers send: of names that a stranger can choose the least recent are forgotten, or all further ones are one.
 */
import type { Outcome } from '../balancer/outcome.ts';
import type { ProxyEvent } from './events.ts';
import { Latencies, type Percentiles } from './latencies.ts';
import { describeFailure } from './failure-words.ts';
import { MINUTE_SLOTS, SLOT_MS, slotOf, SLOTS, Slots } from './slots.ts';

type Finished = Extract<ProxyEvent, { kind: 'request-finished' }>;
type Ended = Extract<ProxyEvent, { kind: 'attempt-ended' }>;
type Changed = Extract<ProxyEvent, { kind: 'state-changed' }>;

/** One of the last requests. */
export interface RecentRequest {
  readonly finished: Finished;
  /** Wall-clock ms of its end. */
  readonly at: number;
  /** So much of its time went to attempts that failed. */
  readonly failedMs: number;
  /** So often: strangers who are turned away for the same reason are one. */
  readonly times: number;
}

/** Of a backend × deployment. */
export interface RecentUse {
  readonly requestsPerSecond: number;
  readonly tokensPerMinute: number;
  /** Requests that it answered in fifteen minutes. */
  readonly answered: number;
  /** Of streams, from the beginning of the attempt. */
  readonly firstToken?: Percentiles;
  /** Of answers that are no streams. */
  readonly wholeAnswer?: Percentiles;
  readonly lastError?: RecentError;
}

export interface RecentError {
  readonly at: number;
  readonly text: string;
}

/** Requests of ten seconds. One that failed over and was answered counts in both. */
export interface RecentSlot {
  /** Wall-clock ms of its beginning. */
  readonly at: number;
  /** By backend. */
  readonly answered: ReadonlyMap<string, number>;
  readonly failedOver: number;
  readonly held: number;
  readonly refused: number;
  readonly broken: number;
}

export interface RecentClient {
  readonly name: string;
  /** Of fifteen minutes. */
  readonly requests: number;
  readonly tokens: number;
  readonly refused: number;
  readonly total: { readonly requests: number; readonly tokens: number };
}

/** Since the start. */
export interface Counters {
  readonly requests: number;
  readonly failedOver: number;
  readonly held: number;
  readonly heldMs: number;
  readonly spillovers: number;
  readonly refused: number;
  readonly broken: number;
  readonly abandoned: number;
  readonly tokens: number;
}

export interface Recent {
  readonly observe: (event: ProxyEvent, wallMs: number) => void;
  readonly counters: () => Counters;
  /** Undefined when it was not asked lately. */
  use(backend: string, deployment: string, wallMs: number): RecentUse | undefined;
  /** Why a backend, or a deployment there, last changed: what the network said, or a status. */
  reason(backend: string, deployment: string | undefined): string | undefined;
  /** Those of the last fifteen minutes in which anything was, the oldest first. */
  slots(wallMs: number): readonly RecentSlot[];
  /** Those who used most first. */
  clients(wallMs: number): readonly RecentClient[];
  /** The latest first. */
  requests(): readonly RecentRequest[];
}

const MOST_REQUESTS = 50;
const MOST_ENTRIES = 300;
const MOST_CLIENTS = 200;
/** Nobody has this name: see the form of names in settings.ts. */
const OTHERS = '(others)';
const NOT_LET_IN = 'client_not_allowed';
const NOT_OPERATOR = 'operator_credential_needed';

/** Columns of the chart; after these one for each backend. */
const FAILED_OVER = 0;
const HELD = 1;
const REFUSED = 2;
const BROKEN = 3;
const FIRST_BACKEND = 4;

/** Columns of a backend × deployment. */
const ASKED = 0;
const ANSWERED = 1;
const TOKENS = 2;

/** Columns of a client. */
const REQUESTS = 0;
const USED = 1;
const TURNED_AWAY = 2;

interface Entry {
  readonly slots: Slots;
  readonly firstToken: Latencies;
  readonly wholeAnswer: Latencies;
  readonly since: number;
  latest: number;
  lastError?: { readonly at: number; readonly outcome: Outcome };
}

interface Client {
  readonly slots: Slots;
  requests: number;
  tokens: number;
}

/** @param backends by their names, which are known from the start */
export function createRecent(backends: readonly string[]): Recent {
  const columnOf = new Map(backends.map((name, index) => [name, FIRST_BACKEND + index]));
  const chart = new Slots(FIRST_BACKEND + backends.length);
  const entries = new Map<string, Entry>();
  const clients = new Map<string, Client>();
  const reasons = new Map<string, string>();
  /** Request → time of its failed attempts so far. */
  const failing = new Map<string, number>();
  let requests: RecentRequest[] = [];
  const counted = {
    requests: 0,
    failedOver: 0,
    held: 0,
    heldMs: 0,
    spillovers: 0,
    refused: 0,
    broken: 0,
    abandoned: 0,
    tokens: 0,
  };

  function onFinished(event: Finished, wallMs: number): void {
    const { backend, ending, attempts, heldMs, usage } = event;
    // Every browser that opens the page is turned away once before it asks its user for the key.
    if (event.code === NOT_OPERATOR) return;
    const slot = slotOf(wallMs);
    const tokens = usage === undefined ? 0 : usage.promptTokens + usage.completionTokens;
    counted.requests += 1;
    counted.tokens += tokens;
    const column = backend === undefined ? undefined : columnOf.get(backend);
    if (column !== undefined) chart.add(column, slot, 1);
    if (attempts > 1) {
      counted.failedOver += 1;
      chart.add(FAILED_OVER, slot, 1);
    }
    if (heldMs !== undefined) {
      counted.held += 1;
      counted.heldMs += heldMs;
      chart.add(HELD, slot, 1);
    }
    if (event.spilledFrom !== undefined) counted.spillovers += 1;
    if (ending === 'refused') {
      counted.refused += 1;
      chart.add(REFUSED, slot, 1);
    } else if (ending === 'broken') {
      counted.broken += 1;
      chart.add(BROKEN, slot, 1);
    } else if (ending === 'abandoned') counted.abandoned += 1;
    countClient(event, slot, tokens);
    keep(event, wallMs);
  }

  /** Whoever is not let in must not take the place of somebody who is. */
  function countClient({ client: name, code, ending }: Finished, slot: number, tokens: number): void {
    if (name === '' || code === NOT_LET_IN) return;
    const known = clients.get(name) ?? (clients.size < MOST_CLIENTS ? undefined : clients.get(OTHERS));
    const client = known ?? { slots: new Slots(3), requests: 0, tokens: 0 };
    if (known === undefined) clients.set(clients.size < MOST_CLIENTS ? name : OTHERS, client);
    client.requests += 1;
    client.tokens += tokens;
    client.slots.add(REQUESTS, slot, 1);
    client.slots.add(USED, slot, tokens);
    if (ending === 'refused') client.slots.add(TURNED_AWAY, slot, 1);
  }

  function keep(finished: Finished, at: number): void {
    const { requestId, client, attempts, code } = finished;
    const failedMs = failing.size === 0 ? 0 : (failing.get(requestId) ?? 0);
    failing.delete(requestId);
    let times = 1;
    // Strangers at the door must not drive out of sight what operators look for.
    if (client === '' && attempts === 0) {
      const before = requests.find(
        (request) =>
          request.finished.code === code && request.finished.client === '' && request.finished.attempts === 0,
      );
      if (before !== undefined) {
        times += before.times;
        requests = requests.filter((request) => request !== before);
      }
    }
    requests.push({ finished, at, failedMs, times });
    if (requests.length > MOST_REQUESTS) requests.shift();
  }

  function onEnded(event: Ended, wallMs: number): void {
    const { backend, deployment, outcome, firstContentMs, durationMs, requestId } = event;
    const entry = entryOf(backend, deployment, wallMs);
    const slot = slotOf(wallMs);
    entry.latest = wallMs;
    entry.slots.add(ASKED, slot, 1);
    if (outcome.kind === 'served' || outcome.kind === 'refused') {
      entry.slots.add(ANSWERED, slot, 1);
      if (firstContentMs !== undefined) entry.firstToken.add(firstContentMs, wallMs);
      else if (outcome.kind === 'served') entry.wholeAnswer.add(durationMs, wallMs);
    } else if (outcome.kind !== 'abandoned') {
      if (describeFailure(outcome) !== undefined) entry.lastError = { at: wallMs, outcome };
      if (outcome.kind !== 'broken') {
        if (failing.size >= MOST_REQUESTS * 100) failing.clear(); // Those of requests that never ended: a bug elsewhere.
        failing.set(requestId, (failing.get(requestId) ?? 0) + durationMs);
      }
    }
    if ((outcome.kind === 'served' || outcome.kind === 'abandoned') && outcome.usage !== undefined) {
      entry.slots.add(TOKENS, slot, outcome.usage.promptTokens + outcome.usage.completionTokens);
    }
  }

  function entryOf(backend: string, deployment: string, wallMs: number): Entry {
    const key = keyOf(backend, deployment);
    const known = entries.get(key);
    if (known !== undefined) return known;
    if (entries.size >= MOST_ENTRIES) forgetOldest();
    const made = {
      slots: new Slots(3),
      firstToken: new Latencies(),
      wholeAnswer: new Latencies(),
      since: wallMs,
      latest: wallMs,
    };
    entries.set(key, made);
    return made;
  }

  function forgetOldest(): void {
    let oldest = '';
    let at = Number.POSITIVE_INFINITY;
    for (const [key, { latest }] of entries) {
      if (latest >= at) continue;
      oldest = key;
      at = latest;
    }
    entries.delete(oldest);
    reasons.delete(oldest);
  }

  function onChanged({ change }: Changed): void {
    const key = keyOf(change.backend.name, change.deployment);
    if (change.reason === undefined) reasons.delete(key);
    else if (reasons.size < MOST_ENTRIES || reasons.has(key)) reasons.set(key, change.reason);
  }

  return {
    observe(event, wallMs) {
      if (event.kind === 'request-finished') onFinished(event, wallMs);
      else if (event.kind === 'attempt-ended') onEnded(event, wallMs);
      else if (event.kind === 'state-changed') onChanged(event);
    },
    counters: () => ({ ...counted }),
    use(backend, deployment, wallMs) {
      const entry = entries.get(keyOf(backend, deployment));
      return entry === undefined ? undefined : useOf(entry, wallMs);
    },
    reason: (backend, deployment) => reasons.get(keyOf(backend, deployment)),
    slots: (wallMs) => slotsOf(chart, columnOf, slotOf(wallMs)),
    clients(wallMs) {
      const slot = slotOf(wallMs);
      return [...clients]
        .map(([name, client]) => clientOf(name, client, slot))
        .toSorted((a, b) => b.tokens - a.tokens || b.requests - a.requests || b.total.tokens - a.total.tokens);
    },
    requests: () => requests.toReversed(),
  };
}

function useOf({ slots, firstToken, wholeAnswer, since, lastError }: Entry, wallMs: number): RecentUse {
  const slot = slotOf(wallMs);
  // Five whole slots and the present one, which has only begun; less when it was first asked just now, but no less than
  // a slot: a second says nothing of a minute.
  const minuteMs = (MINUTE_SLOTS - 1) * SLOT_MS + (wallMs % SLOT_MS);
  const seconds = Math.max(SLOT_MS, Math.min(minuteMs, wallMs - since)) / 1000;
  const first = firstToken.percentiles(wallMs);
  const whole = wholeAnswer.percentiles(wallMs);
  const error = lastError === undefined ? undefined : describeFailure(lastError.outcome);
  return {
    requestsPerSecond: slots.sum(ASKED, slot, MINUTE_SLOTS) / seconds,
    tokensPerMinute: (slots.sum(TOKENS, slot, MINUTE_SLOTS) / seconds) * 60,
    answered: slots.sum(ANSWERED, slot),
    ...(first === undefined ? {} : { firstToken: first }),
    ...(whole === undefined ? {} : { wholeAnswer: whole }),
    ...(lastError === undefined || error === undefined ? {} : { lastError: { at: lastError.at, text: error } }),
  };
}

function slotsOf(chart: Slots, columnOf: ReadonlyMap<string, number>, latest: number): readonly RecentSlot[] {
  const slots: RecentSlot[] = [];
  for (let slot = latest - SLOTS + 1; slot <= latest; slot += 1) {
    const answered = new Map<string, number>();
    for (const [name, column] of columnOf) {
      const times = chart.get(column, slot);
      if (times > 0) answered.set(name, times);
    }
    const [failedOver, held, refused, broken] = [
      chart.get(FAILED_OVER, slot),
      chart.get(HELD, slot),
      chart.get(REFUSED, slot),
      chart.get(BROKEN, slot),
    ];
    if (answered.size === 0 && failedOver + held + refused + broken === 0) continue;
    slots.push({ at: slot * SLOT_MS, answered, failedOver, held, refused, broken });
  }
  return slots;
}

function clientOf(name: string, { slots, requests, tokens }: Client, slot: number): RecentClient {
  return {
    name,
    requests: slots.sum(REQUESTS, slot),
    tokens: slots.sum(USED, slot),
    refused: slots.sum(TURNED_AWAY, slot),
    total: { requests, tokens },
  };
}

function keyOf(backend: string, deployment: string | undefined): string {
  return deployment === undefined ? backend : `${backend}/${deployment}`;
}
