/** The settings as they are in force, by the names of their variables. Of a secret only that it is set, and for whom. */
import type { Backend } from '../balancer/backend.ts';
import type { ClientLimit } from '../auth/limit.ts';
import type { Config } from '../config.ts';

export interface SettingStatus {
  readonly name: string;
  /** `not set` where there is none. */
  readonly value: string;
}

const NOT_SET = 'not set';

export function settingsInForce(config: Config): readonly SettingStatus[] {
  const settings: SettingStatus[] = [];
  const tell = (name: string, value: string | number | boolean): void => {
    settings.push({ name, value: String(value) });
  };
  tell('HOST', config.host);
  tell('PORT', config.port);
  for (const backend of config.backends) tellBackend(backend, config.backendKeys.has(backend.name), tell);
  tell('DEPLOYMENT_ALIASES', pairs(config.aliases));
  tell('CONNECT_TIMEOUT_SECONDS', config.connectTimeoutMs / 1000);
  tell('HTTP_TIMEOUT_SECONDS', config.httpTimeoutMs / 1000);
  tell('FIRST_TOKEN_TIMEOUT_SECONDS', config.firstTokenMs === undefined ? NOT_SET : config.firstTokenMs / 1000);
  tell('STREAM_IDLE_TIMEOUT_SECONDS', config.streamIdleTimeoutMs / 1000);
  tell('SSE_KEEPALIVE_SECONDS', config.sseKeepAliveMs / 1000);
  tell('MAX_HOLD_SECONDS', config.maxHoldMs / 1000);
  tell('PRIORITY_WAIT_MS', config.priorityWaitMs);
  tell('SPILL_LONG_PROMPTS', config.spillsLongPrompts);
  tell('AFFINITY', config.affinity);
  tell('STREAM_USAGE', config.streamUsage);
  tell('MAX_BODY_BYTES', config.maxBodyBytes);
  tell('MAX_BUFFERED_BYTES', config.maxBufferedBytes);
  tell('MAX_CONCURRENT_REQUESTS', config.maxConcurrentRequests);
  tell('DRAIN_SECONDS', config.drainMs / 1000);
  tell('CLIENT_API_KEYS', namesOf(config.clientKeys));
  tell('OPERATOR_KEYS', namesOf(config.operatorKeys));
  tellEntra(config, tell);
  tell('CLIENT_LIMITS', limits(config.clientLimits));
  tell('ALLOW_ANONYMOUS', config.allowAnonymous);
  tellInsights(config, tell);
  tell('LOG_FORMAT', config.logFormat);
  tell('AZURE_CLIENT_ID', config.azureClientId ?? NOT_SET);
  return settings;
}

type Tell = (name: string, value: string | number | boolean) => void;

/** By their names, not by their numbers: those are forgotten once they are read. */
function tellBackend(backend: Backend, hasKey: boolean, tell: Tell): void {
  const about = (ending: string): string => `${backend.name}: ${ending}`;
  tell(about('URL'), backend.origin);
  tell(about('PRIORITY'), backend.priority);
  tell(about('WEIGHT'), backend.weight);
  tell(about('APIKEY'), hasKey ? 'set' : 'not set: asked with a Microsoft Entra token');
  if (backend.capacity !== undefined) tell(about('CAPACITY'), backend.capacity / 1000);
  if (backend.deploymentName !== undefined) tell(about('DEPLOYMENT_NAME'), backend.deploymentName);
  if (backend.deployments !== undefined) tell(about('DEPLOYMENTS'), pairs(backend.deployments));
}

function tellEntra({ entra }: Config, tell: Tell): void {
  if (entra === undefined) return tell('ENTRA_TENANT_ID', NOT_SET);
  const { trust, allowedClients, allowedOperators } = entra;
  tell('ENTRA_TENANT_ID', unique(trust.issuers.map(({ tenantId }) => tenantId)));
  tell('ENTRA_AUDIENCES', trust.audiences.join(', '));
  tell('ENTRA_ISSUERS', unique(trust.issuers.map(({ issuer }) => issuer)));
  tell(
    'ENTRA_ALLOWED_CLIENTS',
    allowedClients === undefined ? 'not set: everybody of the tenant' : ids(allowedClients),
  );
  tell('ENTRA_ALLOWED_OPERATORS', allowedOperators.size === 0 ? NOT_SET : ids(allowedOperators));
}

/** Of the connection string only where it leads to: who has it can write there. */
function tellInsights({ insights }: Config, tell: Tell): void {
  tell('APPLICATIONINSIGHTS_CONNECTION_STRING', insights === undefined ? NOT_SET : `set (${insights.endpoint})`);
  tell('APPLICATIONINSIGHTS_AUTHENTICATION_STRING', insights?.byIdentity === true ? 'Authorization=AAD' : NOT_SET);
  tell('TRACE_SAMPLE_PERCENT', insights?.samplePercent ?? 'not set: about five traces a second');
  tell('OTEL_SERVICE_NAME', insights?.roleName ?? NOT_SET);
}

function namesOf(keys: readonly { readonly name: string }[]): string {
  if (keys.length === 0) return NOT_SET;
  const names = [...new Set(keys.map(({ name }) => name))];
  return `set (${names.length === 1 ? 'for' : `${names.length} names:`} ${names.join(', ')})`;
}

function ids(allowed: ReadonlyMap<string, string>): string {
  return [...allowed].map(([id, name]) => (id === name ? id : `${name}=${id}`)).join(', ');
}

function pairs(map: ReadonlyMap<string, string>): string {
  return map.size === 0 ? NOT_SET : [...map].map(([from, to]) => `${from}=${to}`).join(', ');
}

function limits(map: ReadonlyMap<string, ClientLimit>): string {
  if (map.size === 0) return NOT_SET;
  return [...map].map(([name, limit]) => `${name}=${limitWords(limit)}`).join(', ');
}

function limitWords({ tokensPerMinute, requestsPerMinute, concurrent }: ClientLimit): string {
  const parts = [
    ...(tokensPerMinute === undefined ? [] : [`${tokensPerMinute}tpm`]),
    ...(requestsPerMinute === undefined ? [] : [`${requestsPerMinute}rpm`]),
    ...(concurrent === undefined ? [] : [`${concurrent}concurrent`]),
  ];
  return parts.join(':');
}

function unique(values: readonly string[]): string {
  return [...new Set(values)].join(', ');
}
