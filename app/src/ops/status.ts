/** The balancer's state as one document: JSON for programs, and what the page for people shows. No secret is in it. */
import type { BackendSnapshot, DeploymentSnapshot, PoolSnapshot } from '../balancer/snapshot.ts';
import type { BreakerState, Standing } from '../balancer/circuit-breaker.ts';
import type { Percentiles } from '../telemetry/latencies.ts';
import type { Counters, Recent, RecentClient, RecentError, RecentSlot, RecentUse } from '../telemetry/recent.ts';
import { SLOT_MS, SLOTS } from '../telemetry/slots.ts';
import { describeState } from '../telemetry/state-words.ts';
import { headlineOf, type Headline } from './headline.ts';
import { requestStatus, type RequestStatus } from './request-status.ts';
import type { SettingStatus } from './settings-in-force.ts';

export interface StatusDocument {
  readonly state: 'serving' | 'draining';
  readonly headline: Headline;
  /** When this was so. All times are ISO 8601, UTC. */
  readonly at: string;
  readonly uptimeSeconds: number;
  readonly requestsInFlight: number;
  /** Of these, waiting for a throttled backend. */
  readonly requestsHeld: number;
  readonly bytesBuffered: number;
  /** Since the start. */
  readonly counters: Counters;
  readonly backends: readonly BackendStatus[];
  /** Of the last fifteen minutes. */
  readonly clients: readonly RecentClient[];
  readonly chart: ChartStatus;
  /** The last fifty, the latest first. */
  readonly requests: readonly RequestStatus[];
  readonly settings: readonly SettingStatus[];
}

interface StateStatus {
  readonly state: BreakerState['kind'];
  /** May it be asked? `available` also when the rest that `state` names is over. */
  readonly standing: Standing;
  /** The state as a sentence. */
  readonly says: string;
  /** Of a rest: until it is over. */
  readonly leftMs?: number;
  /** When the rest began; a throttle does not say. */
  readonly since?: string;
  /** What led to it: a status, or what the network said. */
  readonly reason?: string;
  readonly inFlight: number;
}

export interface BackendStatus extends StateStatus {
  readonly name: string;
  readonly url: string;
  readonly priority: number;
  readonly weight: number;
  /** Of all requests that were answered in fifteen minutes. */
  readonly sharePercent: number;
  readonly deployments: readonly DeploymentStatus[];
  /** Deployments that are not listed: those that were asked least. */
  readonly deploymentsLeftOut?: number;
}

export interface DeploymentStatus extends StateStatus {
  readonly deployment: string;
  readonly quota?: DeploymentSnapshot['quota'];
  readonly reduction?: DeploymentSnapshot['reduction'];
  readonly recent?: UseStatus;
}

/** Of the last minute, but for the share and the times, which are of fifteen. */
export interface UseStatus {
  readonly requestsPerSecond: number;
  readonly tokensPerMinute: number;
  readonly sharePercent: number;
  readonly firstToken?: Percentiles;
  readonly wholeAnswer?: Percentiles;
  readonly lastError?: { readonly at: string; readonly text: string };
}

export interface ChartStatus {
  readonly slotSeconds: number;
  readonly from: string;
  readonly to: string;
  /** Those in which anything was. */
  readonly slots: readonly ChartSlot[];
}

export interface ChartSlot {
  readonly at: string;
  /** By backend. */
  readonly answered: Readonly<Record<string, number>>;
  readonly failedOver?: number;
  readonly held?: number;
  readonly refused?: number;
  readonly broken?: number;
}

export interface StatusParts {
  readonly isDraining: boolean;
  readonly uptimeMs: number;
  readonly requestsInFlight: number;
  readonly requestsHeld: number;
  readonly bytesBuffered: number;
  readonly pool: PoolSnapshot;
  readonly recent: Recent;
  readonly settings: readonly SettingStatus[];
  /** Clock ms, of the pool's clock. */
  readonly now: number;
  /** What `now` is on the wall. */
  readonly wallMs: number;
}

/** Callers can name what does not exist: a page of hundreds would help nobody. */
const MOST_DEPLOYMENTS = 20;
const CHART_MS = SLOTS * SLOT_MS;

export function statusDocument(parts: StatusParts): StatusDocument {
  const { isDraining, uptimeMs, requestsInFlight, requestsHeld, bytesBuffered, pool, recent, settings, wallMs } = parts;
  const slots = recent.slots(wallMs);
  const answered = answeredBy(slots);
  const backends = pool.backends.map((snapshot) => backendStatus(snapshot, parts, answered));
  return {
    state: isDraining ? 'draining' : 'serving',
    headline: headlineOf(backends, isDraining),
    at: isoOf(wallMs),
    uptimeSeconds: Math.round(uptimeMs / 1000),
    requestsInFlight,
    requestsHeld,
    bytesBuffered,
    counters: recent.counters(),
    backends,
    clients: recent.clients(wallMs),
    chart: chartStatus(slots, wallMs),
    requests: recent.requests().map(requestStatus),
    settings,
  };
}

/** Backend → requests, and all of them together. */
interface Answered {
  readonly by: ReadonlyMap<string, number>;
  readonly all: number;
}

function answeredBy(slots: readonly RecentSlot[]): Answered {
  const by = new Map<string, number>();
  let all = 0;
  for (const { answered } of slots) {
    for (const [name, times] of answered) {
      by.set(name, (by.get(name) ?? 0) + times);
      all += times;
    }
  }
  return { by, all };
}

function backendStatus(snapshot: BackendSnapshot, parts: StatusParts, answered: Answered): BackendStatus {
  const { backend, deployments } = snapshot;
  const { name, origin, priority, weight } = backend;
  const listed = deployments.map((deployment) => ({
    deployment,
    use: parts.recent.use(name, deployment.deployment, parts.wallMs),
  }));
  if (listed.length > MOST_DEPLOYMENTS) listed.sort((a, b) => rankOf(b.use) - rankOf(a.use));
  const leftOut = Math.max(0, listed.length - MOST_DEPLOYMENTS);
  return {
    name,
    url: origin,
    priority,
    weight,
    ...stateStatus(snapshot, name, undefined, parts),
    sharePercent: percentOf(answered.by.get(name) ?? 0, answered.all),
    deployments: listed
      .slice(0, MOST_DEPLOYMENTS)
      .toSorted(byName)
      .map(({ deployment, use }) => ({
        deployment: deployment.deployment,
        ...stateStatus(deployment, name, deployment.deployment, parts),
        ...(deployment.quota === undefined ? {} : { quota: deployment.quota }),
        ...(deployment.reduction === undefined ? {} : { reduction: deployment.reduction }),
        ...(use === undefined ? {} : { recent: useStatus(use, answered.all) }),
      })),
    ...(leftOut === 0 ? {} : { deploymentsLeftOut: leftOut }),
  };
}

/** The pool has them by when they were asked: rows would jump. */
function byName(
  a: { readonly deployment: DeploymentSnapshot },
  b: { readonly deployment: DeploymentSnapshot },
): number {
  return a.deployment.deployment < b.deployment.deployment ? -1 : 1;
}

function rankOf(use: RecentUse | undefined): number {
  return use === undefined ? -1 : use.answered;
}

function stateStatus(
  { state, standing, inFlight }: Pick<DeploymentSnapshot, 'state' | 'standing' | 'inFlight'>,
  backend: string,
  deployment: string | undefined,
  { now, wallMs, recent }: StatusParts,
): StateStatus {
  const until = state.kind === 'cooldown' ? state.recoversAt : 'until' in state ? state.until : undefined;
  const since = 'since' in state ? state.since : undefined;
  const reason = state.kind === 'closed' ? undefined : recent.reason(backend, deployment);
  return {
    state: state.kind,
    standing,
    says: describeState(state, now),
    ...(until === undefined ? {} : { leftMs: Math.max(0, Math.round(until - now)) }),
    ...(since === undefined ? {} : { since: isoOf(Math.round((wallMs - now + since) / 1000) * 1000) }),
    ...(reason === undefined ? {} : { reason }),
    inFlight,
  };
}

function useStatus(use: RecentUse, all: number): UseStatus {
  const { firstToken, wholeAnswer, lastError } = use;
  return {
    requestsPerSecond: Number(use.requestsPerSecond.toPrecision(2)),
    tokensPerMinute: Math.round(use.tokensPerMinute),
    sharePercent: percentOf(use.answered, all),
    ...(firstToken === undefined ? {} : { firstToken }),
    ...(wholeAnswer === undefined ? {} : { wholeAnswer }),
    ...(lastError === undefined ? {} : { lastError: errorStatus(lastError) }),
  };
}

function errorStatus({ at, text }: RecentError): { readonly at: string; readonly text: string } {
  return { at: isoOf(at), text };
}

function chartStatus(slots: readonly RecentSlot[], wallMs: number): ChartStatus {
  const to = (Math.floor(wallMs / SLOT_MS) + 1) * SLOT_MS;
  return {
    slotSeconds: SLOT_MS / 1000,
    from: isoOf(to - CHART_MS),
    to: isoOf(to),
    slots: slots.map(({ at, answered, failedOver, held, refused, broken }) => ({
      at: isoOf(at),
      answered: Object.fromEntries(answered),
      ...(failedOver === 0 ? {} : { failedOver }),
      ...(held === 0 ? {} : { held }),
      ...(refused === 0 ? {} : { refused }),
      ...(broken === 0 ? {} : { broken }),
    })),
  };
}

function percentOf(part: number, all: number): number {
  return all === 0 ? 0 : Math.round((part / all) * 1000) / 10;
}

export function isoOf(wallMs: number): string {
  return new Date(wallMs).toISOString();
}
