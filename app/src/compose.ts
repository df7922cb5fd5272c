/** Puts the parts together: settings and the edges of the world in, a server that is not listening yet out. */
import type { Server } from 'node:http';
import { performance } from 'node:perf_hooks';
import type { TokenCredential } from '@azure/identity';
import { createApp } from './app.ts';
import { createBackendAuth } from './auth/backend-auth.ts';
import { ANONYMOUS, createClientAuth, type Identify } from './auth/client-auth.ts';
import { passwordOf } from './auth/credentials.ts';
import { createEntraTokens, type EntraTokens } from './auth/entra-tokens.ts';
import { fetchKeyDocument, reasonOf } from './auth/key-document.ts';
import { createClientLimiter } from './auth/client-limits.ts';
import { createKeyCheck } from './auth/key-check.ts';
import { isLocal } from './auth/local-door.ts';
import { azureCredential, createTokenSource, TELEMETRY_SCOPE } from './auth/token-source.ts';
import { createPool, type Pool } from './balancer/pool.ts';
import type { Config } from './config.ts';
import { isLoopback } from './loopback.ts';
import { createLive } from './ops/live.ts';
import { PAGE_VERSION } from './ops/page.ts';
import { createOpsRoutes } from './ops/routes.ts';
import { settingsInForce } from './ops/settings-in-force.ts';
import { statusDocument, type StatusDocument } from './ops/status.ts';
import { createAdmission, type Admission } from './proxy/admission.ts';
import { createConnections, type Connections } from './proxy/connections.ts';
import { createHold, type Hold } from './proxy/hold.ts';
import { Crowds } from './proxy/lease-or-wait.ts';
import { notServed } from './proxy/door.ts';
import { createDrain, type Drain } from './proxy/drain.ts';
import { createForwarder as createRealForwarder, targetOf, type CreateForwarder } from './proxy/forward.ts';
import { createProxyHandler } from './proxy/handler.ts';
import type { HandlerLimits } from './proxy/handler-deps.ts';
import { requestIdHeader } from './proxy/headers.ts';
import { ERROR_CODES } from './proxy/proxy-error.ts';
import { createTokenEstimator } from './proxy/token-estimate.ts';
import { createTracing } from './proxy/trace-context.ts';
import { watchTurns, type IsBehind } from './proxy/turns.ts';
import { createServer, type ServerLimits } from './server.ts';
import { observeAll, type Observe } from './telemetry/events.ts';
import { startInsights } from './telemetry/insights.ts';
import { createLedger } from './telemetry/ledger.ts';
import { createMetrics } from './telemetry/metrics.ts';
import { createRecent } from './telemetry/recent.ts';

/** What comes from outside; each has the real thing as its default but for the observer. */
export interface Edges {
  readonly observe: Observe;
  readonly clock?: () => number;
  readonly wallClockMs?: () => number;
  readonly random?: () => number;
  /** Another way of making attempts, to be measured or tested. */
  readonly createForwarder?: CreateForwarder;
  /** Whether its own event loop is so far behind that newcomers are refused. */
  readonly isBehind?: IsBehind;
  readonly credential?: () => Promise<TokenCredential>;
  readonly serverLimits?: ServerLimits;
  readonly handlerLimits?: Partial<HandlerLimits>;
  /** Nobody but `observe` hears of events: no metrics, no ledger, no page. To measure what these cost. */
  readonly isUnwatched?: boolean;
  /** Memory, CPU and event loop in /metrics: one balancer a process. */
  readonly withProcessMetrics?: boolean;
}

/** A key that was withdrawn must not be found out at the first request after a quiet night. */
const WARM_EVERY_MS = 10 * 60_000;

const LIVE_EVERY_MS = 500;
const MOST_VIEWERS = 50;
/** An hour. */
const MOST_LIVE_TICKS = 7200;

export interface Balancer {
  readonly server: Server;
  readonly connections: Connections;
  readonly pool: Pool;
  readonly admission: Admission;
  readonly drain: Drain;
  readonly hold: Hold;
  /** Tells /readyz that it is listening. */
  setReady(): void;
  /** Sends what telemetry there is, for two seconds at most, and sends none any more. */
  endTelemetry(): Promise<void>;
  /** Ends the kept connections to the backends. */
  close(): void;
}

export function compose(config: Config, edges: Edges): Balancer {
  const { clock = () => performance.now(), wallClockMs = Date.now, random = Math.random } = edges;
  const startedAt = clock();
  const admission = createAdmission({
    mostRequests: config.maxConcurrentRequests,
    mostBufferedBytes: config.maxBufferedBytes,
    isBehind: edges.isBehind ?? watchTurns(clock),
  });
  const hold = createHold({ clock });
  const metrics = createMetrics({
    gauges: {
      requestsInFlight: () => admission.inFlight,
      bytesBuffered: () => admission.bodies.taken,
      requestsHeld: () => hold.size,
      pool: () => pool.snapshot(clock()),
      now: clock,
    },
    withProcess: edges.withProcessMetrics ?? false,
  });
  const recent = createRecent(config.backends.map(({ name }) => name));
  /** Clock ms to those of the wall, whose jumps would shift what was. */
  const wallAtZero = wallClockMs() - startedAt;
  const remember: Observe = (event) => {
    // What tells of a bug must not need anything else to work.
    if (event.kind !== 'notice') recent.observe(event, wallAtZero + clock());
  };
  const ledger = createLedger(wallClockMs);
  const credential = edges.credential ?? azureCredential(config.azureClientId);
  const telemetryTokens = createTokenSource({ credential, wallClockMs, scope: TELEMETRY_SCOPE });
  const insights =
    config.insights === undefined
      ? undefined
      : startInsights(config.insights, {
          notify: edges.observe,
          clock,
          wallClockMs,
          token: () => telemetryTokens.token(),
        });
  const watching = [metrics.observe, ledger.observe, remember, ...(insights === undefined ? [] : [insights.observe])];
  const observe = observeAll([edges.observe, ...(edges.isUnwatched === true ? [] : watching)]);
  const pool = createPool({
    backends: config.backends,
    aliases: config.aliases,
    random,
    onStateChange: (change) => observe({ kind: 'state-changed', change, now: clock() }),
    onLimitChange: (change) => observe({ kind: 'limit-changed', change }),
  });
  const { createForwarder = createRealForwarder } = edges;
  const { forward, close } = createForwarder({
    connectTimeoutMs: config.connectTimeoutMs,
    headerTimeoutMs: config.httpTimeoutMs,
  });
  const tokens = createTokenSource({
    credential,
    wallClockMs,
  });
  const entra = entraTokensOf(config, { observe, clock, wallClockMs });
  const connections = createConnections();
  const active = new Set<AbortController>();
  const live = createLive({
    document: () => ({ page: PAGE_VERSION, ...status() }),
    everyMs: LIVE_EVERY_MS,
    mostViewers: MOST_VIEWERS,
    mostTicks: MOST_LIVE_TICKS,
  });
  const drain = createDrain(active, () => live.end());
  let isListening = false;
  let warming: NodeJS.Timeout | undefined;

  const nextId = createIds(random);
  const proxy = createProxyHandler({
    pool,
    forward,
    targets: new Map(config.backends.map(({ name, origin }) => [name, targetOf(origin)])),
    backendAuth: createBackendAuth(config.backendKeys, tokens),
    identify: identifyClients(config, entra),
    limiter: createClientLimiter(config.clientLimits, wallClockMs),
    estimator: createTokenEstimator(),
    admission,
    hold,
    lineOf: (deployment) => config.aliases.get(deployment) ?? deployment,
    crowds: new Crowds(),
    observe,
    ...(config.insights === undefined ? {} : { tracing: createTracing({ ...config.insights, random, clock }) }),
    limits: { ...limitsOf(config), ...edges.handlerLimits },
    active,
    awaitTurn: connections.awaitTurn,
    isDraining: drain.isDraining,
    clock,
    wallClockMs,
    random,
    nextId,
  });
  const settings = settingsInForce(config);
  function status(): StatusDocument {
    const now = clock();
    return statusDocument({
      isDraining: drain.isDraining(),
      uptimeMs: now - startedAt,
      requestsInFlight: admission.inFlight,
      requestsHeld: hold.size,
      bytesBuffered: admission.bodies.taken,
      pool: pool.snapshot(now),
      recent,
      settings,
      now,
      wallMs: wallAtZero + now,
    });
  }
  const ops = createOpsRoutes({
    isReady: () => isListening && !drain.isDraining(),
    status,
    live,
    metrics: metrics.render,
    ledger: ledger.read,
    onRefused: (req, { code }) => {
      const id = nextId();
      observe(notServed(req, id, '', { ending: 'refused', status: ERROR_CODES[code].status, code }));
      return requestIdHeader(id);
    },
    identifyOperator: createClientAuth({
      checkKey: createKeyCheck(config.operatorKeys),
      ...(entra === undefined ? {} : { verifyToken: entra.verify }),
      allowed: config.entra?.allowedOperators ?? new Map(),
      more: passwordOf,
    }),
    isOpenLocally: !isLocked(config) && config.operatorKeys.length === 0 && isLoopback(config.host),
  });
  const server = createServer({
    listener: createApp({ ops, proxy, observe }),
    connections,
    onRefused: ({ code, message }) => observe({ kind: 'connection-refused', code, message }),
    ...(edges.serverLimits === undefined ? {} : { limits: edges.serverLimits }),
  });
  return {
    server,
    connections,
    pool,
    admission,
    drain,
    hold,
    setReady() {
      isListening = true;
      entra?.warm();
      warming = setInterval(() => entra?.warm(), WARM_EVERY_MS).unref();
    },
    endTelemetry: () => insights?.close() ?? Promise.resolve(),
    close() {
      clearInterval(warming);
      close();
    },
  };
}

/** Callers must prove who they are. */
function isLocked({ clientKeys, entra }: Config): boolean {
  return clientKeys.length > 0 || entra !== undefined;
}

function identifyClients(config: Config, entra: EntraTokens | undefined): Identify {
  if (isLocked(config)) {
    return createClientAuth({
      checkKey: createKeyCheck(config.clientKeys),
      ...(entra === undefined ? {} : { verifyToken: entra.verify }),
      ...(config.entra?.allowedClients === undefined ? {} : { allowed: config.entra.allowedClients }),
    });
  }
  const anybody = { kind: 'client', name: ANONYMOUS } as const;
  if (config.allowAnonymous) return () => anybody;
  return (headers) => (isLocal(headers) ? anybody : { kind: 'not-local' });
}

function entraTokensOf(
  { entra }: Config,
  { observe, ...clocks }: Required<Pick<Edges, 'observe' | 'clock' | 'wallClockMs'>>,
): EntraTokens | undefined {
  if (entra === undefined) return undefined;
  return createEntraTokens({
    trust: entra.trust,
    fetchDocument: fetchKeyDocument,
    ...clocks,
    onKeysChange(url, change) {
      if (change.kind === 'back') {
        observe({ kind: 'notice', level: 'info', text: `The signing keys of tokens are at hand again: ${url}` });
        return;
      }
      const reason = reasonOf(change.reason);
      const text =
        `The signing keys of tokens cannot be fetched from ${url}: ${reason}. Keys that are known go on working; ` +
        'tokens signed with others get 503. Check the network and ENTRA_JWKS_URL';
      observe({ kind: 'notice', level: 'error', text });
    },
  });
}

function limitsOf(config: Config): HandlerLimits {
  return {
    maxBodyBytes: config.maxBodyBytes,
    bodyIdleMs: 30_000,
    holdBytes: 65_536,
    errorBodyMs: 2000,
    idleMs: config.streamIdleTimeoutMs,
    sseKeepAliveMs: config.sseKeepAliveMs,
    maxHoldMs: config.maxHoldMs,
    priorityWaitMs: config.priorityWaitMs,
    ...(config.firstTokenMs === undefined ? {} : { firstTokenMs: config.firstTokenMs }),
    spillsLongPrompts: config.spillsLongPrompts,
    affinity: config.affinity,
    asksForUsage: config.streamUsage === 'add',
  };
}

/** `k3f9x2-1`, `k3f9x2-2`, …: unique over restarts, short in a log line. */
function createIds(random: () => number): () => string {
  const process = Math.floor(random() * 36 ** 6)
    .toString(36)
    .padStart(6, '0');
  let last = 0;
  return () => {
    last += 1;
    return `${process}-${last.toString(36)}`;
  };
}
