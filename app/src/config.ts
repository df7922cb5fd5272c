/**
 * Settings: environment variables in, a frozen Config out, or one ConfigError that lists every mistake.
 * An empty variable counts as unset: deployment tools pass optional settings as empty strings.
 */
import { hostname } from 'node:os';
import { ANONYMOUS, type AllowedIds } from './auth/client-auth.ts';
import type { EntraTrust, TrustedIssuer } from './auth/entra-tokens.ts';
import type { Aliases, Backend } from './balancer/backend.ts';
import { isLoopback } from './loopback.ts';
import { meantBy } from './near-names.ts';
import type { InsightsConfig } from './telemetry/insights.ts';
import { EVERYBODY_ELSE, type ClientLimits } from './auth/limit.ts';
import {
  BACKEND_SETTINGS,
  isId,
  ORIGIN_FORM,
  readBackendSettings,
  readSettings,
  SETTINGS,
  type NamedKey,
  type SettingsData,
} from './settings.ts';

/** Which Microsoft Entra tokens are accepted. */
export interface EntraConfig {
  readonly trust: EntraTrust;
  /** Who of the tenants may call; absent: everybody. */
  readonly allowedClients?: AllowedIds;
  readonly allowedOperators: AllowedIds;
}

export interface Config {
  readonly host: string;
  readonly port: number;
  readonly backends: readonly Backend[];
  /** Backend name → its key; a backend without one is asked with a Microsoft Entra token. */
  readonly backendKeys: ReadonlyMap<string, string>;
  readonly aliases: Aliases;
  readonly connectTimeoutMs: number;
  readonly httpTimeoutMs: number;
  readonly streamIdleTimeoutMs: number;
  readonly sseKeepAliveMs: number;
  readonly maxHoldMs: number;
  readonly priorityWaitMs: number;
  /** Absent: a stream may take its time. */
  readonly firstTokenMs?: number;
  readonly spillsLongPrompts: boolean;
  /** By what requests prefer one backend. */
  readonly affinity: 'off' | 'prefix' | 'user';
  /** Whether streams of chats are asked for their usage where the caller does not. */
  readonly streamUsage: 'add' | 'off';
  readonly maxBodyBytes: number;
  readonly maxBufferedBytes: number;
  readonly maxConcurrentRequests: number;
  readonly drainMs: number;
  readonly clientKeys: readonly NamedKey[];
  readonly operatorKeys: readonly NamedKey[];
  /** Absent: no tokens are accepted. */
  readonly entra?: EntraConfig;
  /** What each client may use, by its name. */
  readonly clientLimits: ClientLimits;
  readonly allowAnonymous: boolean;
  readonly logFormat: 'text' | 'json';
  /** Absent: nothing is sent to Application Insights. */
  readonly insights?: InsightsConfig;
  /** User-assigned managed identity to use for the backends without a key. */
  readonly azureClientId?: string;
}

/** Every mistake in the settings, one line each. The message never holds a value: values may be secrets. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly mistakes: readonly string[];

  constructor(mistakes: readonly string[]) {
    super(
      `The settings have ${mistakes.length === 1 ? 'a mistake' : `${mistakes.length} mistakes`}:\n- ${mistakes.join('\n- ')}`,
    );
    this.mistakes = mistakes;
  }
}

/**
 * Reads and checks the settings.
 * @throws {ConfigError} listing every mistake
 */
export function readConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const given = Object.fromEntries(
    Object.entries(env).flatMap(([name, value]) => (value?.trim() ? [[name, value.trim()]] : [])),
  );
  const mistakes: string[] = [];
  const settings = readSettings(given);
  if ('mistakes' in settings) mistakes.push(...settings.mistakes);
  const { backends, backendKeys } = readBackends(given, mistakes);
  if (!Object.keys(given).some((name) => isOurs(name))) {
    mistakes.push(`BACKEND_1_URL: is needed: ${ORIGIN_FORM}`);
  }
  mistakes.push(...mistakesOfLocks(given), ...mistakesOfNames(given));
  if ('mistakes' in settings) throw new ConfigError(mistakes);
  const value = settings.data;
  mistakes.push(...mistakesOfKeys(value, backendKeys));
  const entra = entraOf(value, mistakes);
  mistakes.push(...mistakesOfLimits(value, entra));
  const insights = insightsOf(value, given, mistakes);
  if (mistakes.length > 0) throw new ConfigError(mistakes);
  return Object.freeze({
    host: value.HOST,
    port: value.PORT,
    backends,
    backendKeys,
    aliases: value.DEPLOYMENT_ALIASES,
    connectTimeoutMs: value.CONNECT_TIMEOUT_SECONDS,
    httpTimeoutMs: value.HTTP_TIMEOUT_SECONDS,
    streamIdleTimeoutMs: value.STREAM_IDLE_TIMEOUT_SECONDS,
    sseKeepAliveMs: value.SSE_KEEPALIVE_SECONDS,
    maxHoldMs: value.MAX_HOLD_SECONDS,
    priorityWaitMs: value.PRIORITY_WAIT_MS,
    ...(value.FIRST_TOKEN_TIMEOUT_SECONDS === undefined ? {} : { firstTokenMs: value.FIRST_TOKEN_TIMEOUT_SECONDS }),
    spillsLongPrompts: value.SPILL_LONG_PROMPTS,
    affinity: value.AFFINITY,
    streamUsage: value.STREAM_USAGE,
    maxBodyBytes: value.MAX_BODY_BYTES,
    maxBufferedBytes: value.MAX_BUFFERED_BYTES,
    maxConcurrentRequests: value.MAX_CONCURRENT_REQUESTS,
    drainMs: value.DRAIN_SECONDS,
    clientKeys: value.CLIENT_API_KEYS,
    operatorKeys: value.OPERATOR_KEYS,
    ...(entra === undefined ? {} : { entra }),
    clientLimits: value.CLIENT_LIMITS,
    allowAnonymous: value.ALLOW_ANONYMOUS,
    logFormat: value.LOG_FORMAT,
    ...(insights === undefined ? {} : { insights }),
    ...(value.AZURE_CLIENT_ID === undefined ? {} : { azureClientId: value.AZURE_CLIENT_ID }),
  });
}

type Given = Readonly<Record<string, string>>;

const NEAR_MISSES: ReadonlySet<string> = new Set([
  'CLIENT_API_KEY',
  'CLIENT_KEYS',
  'CLIENT_LIMIT',
  'OPERATOR_API_KEYS',
  'OPERATOR_KEY',
]);

/** Who may call must be said, once, and what belongs to a lock needs the lock. */
function mistakesOfLocks(given: Given): readonly string[] {
  const mistakes: string[] = [];
  const locks = ['CLIENT_API_KEYS', 'ENTRA_TENANT_ID'].filter((name) => name in given);
  const isOpen = given['ALLOW_ANONYMOUS'] === 'true';
  if (locks.length === 0 && !isOpen && !isLoopback(given['HOST'] ?? '127.0.0.1')) {
    mistakes.push(
      'CLIENT_API_KEYS: is needed, or ENTRA_TENANT_ID, because HOST is not a loopback address: without them anybody ' +
        'who reaches this port spends your quota. Set keys such as team-a=key1, or ALLOW_ANONYMOUS=true if that is ' +
        'what you want',
    );
  }
  if (locks.length > 0 && isOpen) {
    mistakes.push(`ALLOW_ANONYMOUS: cannot be true beside ${locks.join(' and ')}; keep one`);
  }
  for (const name of Object.keys(given)) {
    if (NEAR_MISSES.has(name) || (name.startsWith('ENTRA_') && !SETTINGS.includes(name))) {
      // With a typing error in the list of who may call, everybody may.
      const known = SETTINGS.filter((each) => /^(?:ENTRA_|CLIENT_|OPERATOR_)/.test(each)).join(', ');
      mistakes.push(`${name}: is not a setting; there are ${known}`);
    } else if (name.startsWith('ENTRA_') && !('ENTRA_TENANT_ID' in given)) {
      mistakes.push(`${name}: needs ENTRA_TENANT_ID, the tenant whose tokens are accepted`);
    }
  }
  return mistakes;
}

/** A name with a typing error sets nothing, and what it was meant to set may be a lock or a limit. */
function mistakesOfNames(given: Given): readonly string[] {
  const mistakes: string[] = [];
  for (const name of Object.keys(given)) {
    const meant = NEAR_MISSES.has(name) || name.startsWith('ENTRA_') ? undefined : meantBy(name, SETTINGS);
    if (meant !== undefined) mistakes.push(`${name}: is not a setting; ${meant} is`);
  }
  // Node's own switch: whoever stands between could hand out signing keys, or take the identity's tokens.
  if (given['NODE_TLS_REJECT_UNAUTHORIZED'] === '0') {
    mistakes.push(
      'NODE_TLS_REJECT_UNAUTHORIZED: must not be 0: certificates are always checked. Name a file with your own ' +
        'authorities in NODE_EXTRA_CA_CERTS',
    );
  }
  return mistakes;
}

/** One key opens one kind of door. */
function mistakesOfKeys(value: SettingsData, backendKeys: ReadonlyMap<string, string>): readonly string[] {
  const clients = new Set(value.CLIENT_API_KEYS.map(({ key }) => key));
  const backends = new Set(backendKeys.values());
  const mistakes: string[] = [];
  if (value.OPERATOR_KEYS.some(({ key }) => clients.has(key))) {
    mistakes.push('OPERATOR_KEYS: must be a list with no key that is in CLIENT_API_KEYS: clients would be operators');
  }
  for (const name of ['CLIENT_API_KEYS', 'OPERATOR_KEYS'] as const) {
    if (value[name].some(({ key }) => backends.has(key))) {
      mistakes.push(`${name}: must be a list with no key that is a BACKEND_n_APIKEY: callers must not know those`);
    }
  }
  return mistakes;
}

/** A limit for a name that nobody has would limit nobody. */
function mistakesOfLimits(value: SettingsData, entra: EntraConfig | undefined): readonly string[] {
  const isUnlocked = value.CLIENT_API_KEYS.length === 0 && entra === undefined;
  const names = new Set([EVERYBODY_ELSE, ...value.CLIENT_API_KEYS.map(({ name }) => name)]);
  if (isUnlocked) names.add(ANONYMOUS);
  for (const name of entra?.allowedClients?.values() ?? []) names.add(name);
  // Where everybody of a tenant may call, clients go by their ids.
  const isAnybodysId = (name: string): boolean =>
    entra !== undefined && entra.allowedClients === undefined && isId(name);
  const places = [...value.CLIENT_LIMITS.keys()].flatMap((name, index) =>
    names.has(name) || isAnybodysId(name) ? [] : [index + 1],
  );
  if (places.length === 0) return [];
  return [
    'CLIENT_LIMITS: must be a list of clients that there are, by their names in CLIENT_API_KEYS or ' +
      `ENTRA_ALLOWED_CLIENTS, or * for all others; nobody has the name at place ${places.join(' or ')}`,
  ];
}

/** Who it is that sends: Container Apps names the app and the replica. */
function insightsOf(value: SettingsData, given: Given, mistakes: string[]): InsightsConfig | undefined {
  const where = value.APPLICATIONINSIGHTS_CONNECTION_STRING;
  const byIdentity = value.APPLICATIONINSIGHTS_AUTHENTICATION_STRING !== undefined;
  if (byIdentity && where?.endpoint.startsWith('https:') !== true) {
    mistakes.push(
      'APPLICATIONINSIGHTS_AUTHENTICATION_STRING: needs APPLICATIONINSIGHTS_CONNECTION_STRING with an https endpoint',
    );
  }
  if (where === undefined) return undefined;
  const roleName = value.OTEL_SERVICE_NAME ?? given['CONTAINER_APP_NAME'] ?? 'azure-openai-balancer';
  const roleInstance = given['CONTAINER_APP_REPLICA_NAME'] ?? given['HOSTNAME'] ?? hostname();
  const samplePercent = value.TRACE_SAMPLE_PERCENT;
  const ratio = samplePercent === undefined ? {} : { samplePercent };
  return { ...where, byIdentity, ...ratio, roleName, roleInstance };
}

/** Tokens of the public cloud, v1 and v2, unless issuers are named. */
function entraOf(value: SettingsData, mistakes: string[]): EntraConfig | undefined {
  const tenants = value.ENTRA_TENANT_ID;
  if (tenants.length === 0) return undefined;
  const keysUrl = value.ENTRA_JWKS_URL;
  const named = value.ENTRA_ISSUERS;
  if (named !== undefined && keysUrl === undefined) {
    mistakes.push('ENTRA_JWKS_URL: is needed beside ENTRA_ISSUERS: where their signing keys are published');
  }
  const issuers: TrustedIssuer[] = [];
  for (const tenantId of tenants) {
    const keys = (keysUrl ?? 'https://login.microsoftonline.com/{tenant}/discovery/v2.0/keys').replaceAll(
      '{tenant}',
      tenantId,
    );
    const own =
      named === undefined
        ? [`https://sts.windows.net/${tenantId}/`, `https://login.microsoftonline.com/${tenantId}/v2.0`]
        : named.filter((issuer) => issuer.toLowerCase().includes(tenantId));
    for (const issuer of own) issuers.push({ issuer, tenantId, keysUrl: keys });
  }
  if (named?.some((issuer) => !issuers.some((known) => known.issuer === issuer)) === true) {
    mistakes.push('ENTRA_ISSUERS: must be a list of issuers that each name a tenant of ENTRA_TENANT_ID');
  }
  if (named !== undefined && tenants.some((tenantId) => !issuers.some((known) => known.tenantId === tenantId))) {
    mistakes.push('ENTRA_ISSUERS: must be a list with an issuer of each tenant of ENTRA_TENANT_ID');
  }
  return {
    trust: { issuers, audiences: value.ENTRA_AUDIENCES },
    ...(value.ENTRA_ALLOWED_CLIENTS === undefined ? {} : { allowedClients: value.ENTRA_ALLOWED_CLIENTS }),
    allowedOperators: value.ENTRA_ALLOWED_OPERATORS ?? new Map(),
  };
}

function readBackends(
  given: Given,
  mistakes: string[],
): { readonly backends: readonly Backend[]; readonly backendKeys: ReadonlyMap<string, string> } {
  const groups = new Map<number, Record<string, string>>();
  for (const [name, value] of Object.entries(given)) {
    if (!isOurs(name)) continue;
    const match = /^BACKEND_([1-9]\d{0,3})_([A-Z_]+)$/.exec(name);
    const [, index, field] = match ?? [];
    if (index === undefined || field === undefined || !BACKEND_SETTINGS.includes(field)) {
      const known = BACKEND_SETTINGS.map((ending) => `BACKEND_n_${ending}`).join(', ');
      mistakes.push(`${name}: is not a setting; n starts at 1, and there are ${known}`);
      continue;
    }
    const group = groups.get(Number(index)) ?? {};
    group[field] = value;
    groups.set(Number(index), group);
  }
  const backends: Backend[] = [];
  const backendKeys = new Map<string, string>();
  const names = new Set<string>();
  for (const [n, group] of [...groups].toSorted(([a], [b]) => a - b)) {
    const name = group['NAME'] ?? `openai${n}`;
    if (names.has(name)) mistakes.push(`BACKEND_${n}_NAME: is already the name of another backend`);
    names.add(name);
    if (group['DEPLOYMENT_NAME'] !== undefined && group['DEPLOYMENTS'] !== undefined) {
      mistakes.push(`BACKEND_${n}_DEPLOYMENTS: cannot stand beside BACKEND_${n}_DEPLOYMENT_NAME; keep one`);
    }
    const read = readBackendSettings(group, n);
    if ('mistakes' in read) {
      mistakes.push(...read.mistakes);
      continue;
    }
    const { data } = read;
    if (data.APIKEY !== undefined) backendKeys.set(name, data.APIKEY);
    const backend: Backend = {
      name,
      origin: data.URL,
      priority: data.PRIORITY,
      weight: data.WEIGHT,
      byIdentity: data.APIKEY === undefined,
      ...(data.CAPACITY === undefined ? {} : { capacity: data.CAPACITY * 1000 }),
      ...(data.DEPLOYMENT_NAME === undefined ? {} : { deploymentName: data.DEPLOYMENT_NAME }),
      ...(data.DEPLOYMENTS === undefined ? {} : { deployments: data.DEPLOYMENTS }),
    };
    backends.push(Object.freeze(backend));
  }
  return { backends, backendKeys };
}

/** With a number, or with one of our endings: not what a platform sets for a service that is called backend. */
function isOurs(name: string): boolean {
  if (!name.startsWith('BACKEND_')) return false;
  return /^BACKEND_\d/.test(name) || BACKEND_SETTINGS.some((ending) => name.endsWith(`_${ending}`));
}
