/**
 * Settings: environment variables in, a frozen Config out, or one ConfigError that lists every mistake.
 * An empty variable counts as unset: deployment tools pass optional settings as empty strings.
 */
import { z } from 'zod';
import type { Aliases, Backend } from './balancer/backend.ts';

/** Somebody who may call, by one of their keys. A name may come up several times, so that keys can be rotated. */
export interface NamedKey {
  readonly name: string;
  readonly key: string;
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
  readonly maxBodyBytes: number;
  readonly maxBufferedBytes: number;
  readonly maxConcurrentRequests: number;
  readonly drainMs: number;
  readonly clientKeys: readonly NamedKey[];
  readonly operatorKeys: readonly NamedKey[];
  readonly allowAnonymous: boolean;
  readonly logFormat: 'text' | 'json';
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

/** Documented settings whose mechanism is not built yet: naming one is an error, never silently accepted. */
export const NOT_YET_SETTINGS = [
  'FIRST_TOKEN_TIMEOUT_SECONDS',
  'MAX_HOLD_SECONDS',
  'ENTRA_TENANT_ID',
  'ENTRA_AUDIENCES',
  'ENTRA_ISSUERS',
  'ENTRA_JWKS_URL',
  'ENTRA_ALLOWED_CLIENTS',
  'APPLICATIONINSIGHTS_CONNECTION_STRING',
  'CLIENT_LIMITS',
  'PRIORITY_WAIT_MS',
  'AFFINITY',
] as const;

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const PRINTABLE = /^[\x21-\x7e]+$/;
const NAME_FORM = 'letters, digits, dot, dash and underscore, at most 64';

const seconds = (fallback: number, least = 0.001) =>
  z
    .string()
    .regex(/^\d{1,6}(\.\d{1,3})?$/, 'a number of seconds such as 30 or 0.5')
    .transform(Number)
    .refine((value) => value >= least && value <= 86_400, `between ${least} and 86400 seconds`)
    .transform((value) => value * 1000)
    .default(fallback * 1000);

const whole = (fallback: number, least: number, most: number) =>
  z
    .string()
    .regex(/^\d{1,15}$/, 'a whole number')
    .transform(Number)
    .refine((value) => value >= least && value <= most, `between ${least} and ${most}`)
    .default(fallback);

type Pair = readonly [name: string, value: string];

/** `name=value,name=value`. `fault` names the first thing that is wrong with the list, if any. */
const pairs = (example: string, fault: (list: readonly Pair[]) => string | undefined) =>
  z.string().transform((text, context): readonly Pair[] => {
    const list = text.split(',').map((pair) => splitPair(pair));
    const isList = list.every(([name, value]) => name !== '' && value !== '');
    const message = isList ? fault(list) : `a list such as ${example}`;
    if (message !== undefined) context.addIssue({ code: 'custom', message });
    return list;
  });

const namedKeys = (example: string) =>
  pairs(example, (list) => {
    if (!list.every(([name]) => NAME.test(name))) return `a list such as ${example}, with names of ${NAME_FORM}`;
    // What cannot be sent in a header can never be matched.
    if (!list.every(([, key]) => PRINTABLE.test(key))) return 'a list with keys of printable ASCII without spaces';
    return new Set(list.map(([, key]) => key)).size < list.length ? 'a list with every key only once' : undefined;
  })
    .transform((list): readonly NamedKey[] => list.map(([name, key]) => ({ name, key })))
    .default([]);

const mapping = (example: string) =>
  pairs(example, (list) =>
    new Set(list.map(([name]) => name)).size < list.length ? 'a list with every name only once' : undefined,
  ).transform((list): ReadonlyMap<string, string> => new Map(list));

const Settings = z.object({
  HOST: z
    .string()
    .regex(/^[A-Za-z0-9.:_-]{1,253}$/, 'an address to listen on, such as 127.0.0.1 or 0.0.0.0')
    .default('127.0.0.1'),
  PORT: whole(8080, 0, 65_535),
  DEPLOYMENT_ALIASES: mapping('chat=gpt-5.4-mini,embedding=text-embedding-3-large').default(new Map<string, string>()),
  CONNECT_TIMEOUT_SECONDS: seconds(5),
  HTTP_TIMEOUT_SECONDS: seconds(230),
  STREAM_IDLE_TIMEOUT_SECONDS: seconds(600),
  SSE_KEEPALIVE_SECONDS: seconds(20),
  MAX_BODY_BYTES: whole(32 * 2 ** 20, 1, 2 ** 30),
  MAX_BUFFERED_BYTES: whole(256 * 2 ** 20, 1, 2 ** 40),
  MAX_CONCURRENT_REQUESTS: whole(1000, 1, 1_000_000),
  DRAIN_SECONDS: seconds(25, 0),
  CLIENT_API_KEYS: namedKeys('team-a=key1,team-b=key2'),
  OPERATOR_KEYS: namedKeys('alice=key1,bob=key2'),
  ALLOW_ANONYMOUS: z
    .enum(['true', 'false'], { error: 'true or false' })
    .transform((value) => value === 'true')
    .default(false),
  LOG_FORMAT: z.enum(['text', 'json'], { error: 'text or json' }).default('text'),
  AZURE_CLIENT_ID: z
    .string()
    .regex(/^[0-9a-f-]{36}$/i, 'the client id of a managed identity, such as 00000000-0000-0000-0000-000000000000')
    .optional(),
});

const ORIGIN_FORM = 'the endpoint of a resource without a path, such as https://my-openai.openai.azure.com';

const BackendSettings = z.object({
  URL: z.string({ error: `is needed: ${ORIGIN_FORM}` }).transform((text, context) => {
    const origin = originOf(text);
    if (origin === undefined) context.addIssue({ code: 'custom', message: ORIGIN_FORM });
    return origin ?? '';
  }),
  NAME: z.string().regex(NAME, NAME_FORM).optional(),
  PRIORITY: whole(1, 0, 1_000_000),
  WEIGHT: z
    .string()
    .regex(/^\d{1,6}(\.\d{1,6})?$/, 'a number greater than 0')
    .transform(Number)
    .refine((value) => value > 0, 'a number greater than 0')
    .default(1),
  APIKEY: z
    .string()
    .regex(/^[\x21-\x7e]+$/, 'printable ASCII without spaces')
    .optional(),
  DEPLOYMENT_NAME: z.string().optional(),
  DEPLOYMENTS: mapping('chat=gpt-eu,embedding=emb-eu').optional(),
});

/** Every setting that is read, as documented; `BACKEND_n_*` by their endings. For the test that compares the docs. */
export const SETTINGS = Object.keys(Settings.shape);
export const BACKEND_SETTINGS = Object.keys(BackendSettings.shape);

/**
 * Reads and checks the settings.
 * @throws {ConfigError} listing every mistake
 */
export function readConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const given = Object.fromEntries(
    Object.entries(env).flatMap(([name, value]) => (value?.trim() ? [[name, value.trim()]] : [])),
  );
  const mistakes: string[] = [];
  const settings = Settings.safeParse(given);
  if (!settings.success) mistakes.push(...describe(settings.error, ''));
  const { backends, backendKeys } = readBackends(given, mistakes);
  if (!Object.keys(given).some((name) => isOurs(name))) {
    mistakes.push(`BACKEND_1_URL: is needed: ${ORIGIN_FORM}`);
  }
  for (const name of NOT_YET_SETTINGS) {
    if (name in given) mistakes.push(`${name}: is not available in this version; remove it`);
  }
  const isAnonymous = given['CLIENT_API_KEYS'] === undefined;
  if (isAnonymous && given['ALLOW_ANONYMOUS'] !== 'true' && !isLoopback(given['HOST'] ?? '127.0.0.1')) {
    mistakes.push(
      'CLIENT_API_KEYS: is needed because HOST is not a loopback address: without it anybody who reaches this port ' +
        'spends your quota. Set keys such as team-a=key1, or ALLOW_ANONYMOUS=true if that is what you want',
    );
  }
  if (!settings.success || mistakes.length > 0) throw new ConfigError(mistakes);
  const value = settings.data;
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
    maxBodyBytes: value.MAX_BODY_BYTES,
    maxBufferedBytes: value.MAX_BUFFERED_BYTES,
    maxConcurrentRequests: value.MAX_CONCURRENT_REQUESTS,
    drainMs: value.DRAIN_SECONDS,
    clientKeys: value.CLIENT_API_KEYS,
    operatorKeys: value.OPERATOR_KEYS,
    allowAnonymous: value.ALLOW_ANONYMOUS,
    logFormat: value.LOG_FORMAT,
    ...(value.AZURE_CLIENT_ID === undefined ? {} : { azureClientId: value.AZURE_CLIENT_ID }),
  });
}

/** True when this address, or host name of a Host header, can only mean this machine. */
export function isLoopback(host: string): boolean {
  return /^(?:localhost|::1|\[::1\]|127(?:\.\d{1,3}){3})$/i.test(host);
}

function readBackends(
  given: Readonly<Record<string, string>>,
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
    const read = BackendSettings.safeParse(group);
    if (!read.success) {
      mistakes.push(...describe(read.error, `BACKEND_${n}_`));
      continue;
    }
    const { data } = read;
    if (data.APIKEY !== undefined) backendKeys.set(name, data.APIKEY);
    const backend: Backend = {
      name,
      origin: data.URL,
      priority: data.PRIORITY,
      weight: data.WEIGHT,
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

/** One line a mistake: the variable and the accepted form. Zod's own texts can quote values, so only ours are used. */
function describe(error: z.ZodError, prefix: string): readonly string[] {
  return error.issues.map((issue) =>
    `${prefix}${String(issue.path[0])}: must be ${issue.message}`.replace('must be is', 'is'),
  );
}

function splitPair(pair: string): Pair {
  const at = pair.indexOf('=');
  return at === -1 ? ['', ''] : [pair.slice(0, at).trim(), pair.slice(at + 1).trim()];
}

function originOf(text: string): string | undefined {
  if (!URL.canParse(text)) return undefined;
  const url = new URL(text);
  const isPlain = url.username === '' && url.password === '' && url.pathname === '/' && !/[?#]/.test(text);
  return isPlain && (url.protocol === 'https:' || url.protocol === 'http:') ? url.origin : undefined;
}
