/**
 * The form of every setting by itself. The only importer of zod; what settings mean together is in config.ts.
 * Every message is ours: zod's own texts can quote values, and values may be secrets.
 */
import { z } from 'zod';
import { isLoopback } from './loopback.ts';
import { EVERYBODY_ELSE, type ClientLimit, type ClientLimits } from './auth/limit.ts';

/** Somebody who may call, by one of their keys. A name may come up several times, so that keys can be rotated. */
export interface NamedKey {
  readonly name: string;
  readonly key: string;
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const PRINTABLE = /^[\x21-\x7e]+$/;
const NAME_FORM = 'letters, digits, dot, dash and underscore, at most 64';

const someSeconds = (least: number, most: number) =>
  z
    .string()
    .regex(/^\d{1,6}(\.\d{1,3})?$/, 'a number of seconds such as 30 or 0.5')
    .transform(Number)
    .refine((value) => value >= least && value <= most, `between ${least} and ${most} seconds`)
    .transform((value) => value * 1000);

const seconds = (fallback: number, least = 0.001, most = 86_400) => someSeconds(least, most).default(fallback * 1000);

const flag = () =>
  z
    .enum(['true', 'false'], { error: 'true or false' })
    .transform((value) => value === 'true')
    .default(false);

const someWhole = (least: number, most: number) =>
  z
    .string()
    .regex(/^\d{1,15}$/, 'a whole number')
    .transform(Number)
    .refine((value) => value >= least && value <= most, `between ${least} and ${most}`);

const whole = (fallback: number, least: number, most: number) => someWhole(least, most).default(fallback);

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

const GUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const GUID_FORM = '00000000-0000-0000-0000-000000000000';

/** `a,b`, without what is empty; every item must be accepted by `isRight`. */
const list = (form: string, isRight: (item: string) => boolean) =>
  z.string().transform((text, context): readonly string[] => {
    const items = text.split(',').flatMap((item) => (item.trim() === '' ? [] : [item.trim()]));
    if (items.length === 0 || !items.every(isRight)) context.addIssue({ code: 'custom', message: form });
    return items;
  });

/** `name=id` or just `id`, which is then its own name. Ids become lower case. */
const allowedIds = z
  .string()
  .transform((text, context): ReadonlyMap<string, string> => {
    const entries = text.split(',').map((item): Pair => {
      const [name, id] = item.includes('=') ? splitPair(item) : [item.trim().toLowerCase(), item.trim()];
      return [id.toLowerCase(), name];
    });
    const isRight = entries.every(([id, name]) => GUID.test(id) && NAME.test(name));
    const message = !isRight
      ? `a list of application or object ids such as ${GUID_FORM} or chat-app=${GUID_FORM}`
      : 'a list with every id only once';
    if (!isRight || new Set(entries.map(([id]) => id)).size < entries.length) {
      context.addIssue({ code: 'custom', message });
    }
    return new Map(entries);
  })
  .optional();

const LIMIT = /^([1-9]\d{0,11})(tpm|rpm|concurrent)$/;

/** `50000tpm:300rpm:20concurrent`, in any order, each at most once; undefined for anything else. */
function limitOf(text: string): ClientLimit | undefined {
  const found = new Map<string, number>();
  for (const part of text.split(':')) {
    const [, most, unit] = LIMIT.exec(part.trim()) ?? [];
    if (unit === undefined || found.has(unit)) return undefined;
    found.set(unit, Number(most));
  }
  const [tokens, requests, concurrent] = ['tpm', 'rpm', 'concurrent'].map((unit) => found.get(unit));
  return {
    ...(tokens === undefined ? {} : { tokensPerMinute: tokens }),
    ...(requests === undefined ? {} : { requestsPerMinute: requests }),
    ...(concurrent === undefined ? {} : { concurrent }),
  };
}

const LIMITS_FORM = 'a list such as team-a=50000tpm:300rpm:20concurrent,*=100rpm, with numbers above 0';

const clientLimits = pairs('team-a=50000tpm:300rpm:20concurrent', (entries) => {
  const areRight = entries.every(
    ([name, text]) => (NAME.test(name) || name === EVERYBODY_ELSE) && limitOf(text) !== undefined,
  );
  if (!areRight) return LIMITS_FORM;
  return new Set(entries.map(([name]) => name)).size < entries.length ? 'a list with every name only once' : undefined;
})
  .transform((entries): ClientLimits => new Map(entries.map(([name, text]) => [name, limitOf(text) ?? {}])))
  .default(new Map<string, ClientLimit>());

const KEYS_URL_FORM =
  'an https URL such as https://login.microsoftonline.us/{tenant}/discovery/v2.0/keys, or http on a loopback address';

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
  FIRST_TOKEN_TIMEOUT_SECONDS: someSeconds(0.001, 86_400).optional(),
  // Beyond that the ingress of Container Apps has given up on a request that nothing was answered to.
  MAX_HOLD_SECONDS: seconds(2, 0, 230),
  PRIORITY_WAIT_MS: whole(150, 0, 10_000),
  SPILL_LONG_PROMPTS: flag(),
  AFFINITY: z.enum(['off', 'prefix', 'user'], { error: 'off, prefix or user' }).default('off'),
  STREAM_USAGE: z.enum(['add', 'off'], { error: 'add or off' }).default('add'),
  MAX_BODY_BYTES: whole(32 * 2 ** 20, 1, 2 ** 30),
  MAX_BUFFERED_BYTES: whole(256 * 2 ** 20, 1, 2 ** 40),
  MAX_CONCURRENT_REQUESTS: whole(1000, 1, 1_000_000),
  DRAIN_SECONDS: seconds(25, 0),
  CLIENT_API_KEYS: namedKeys('team-a=key1,team-b=key2'),
  OPERATOR_KEYS: namedKeys('alice=key1,bob=key2'),
  ENTRA_TENANT_ID: list(`a tenant id such as ${GUID_FORM}, or several with commas between`, (id) => GUID.test(id))
    .transform((ids) => [...new Set(ids.map((id) => id.toLowerCase()))])
    .default([]),
  ENTRA_AUDIENCES: list('a list of audiences such as https://cognitiveservices.azure.com', (name) =>
    PRINTABLE.test(name),
  )
    .transform((names) => names.map((name) => name.replace(/\/$/, '')))
    .default(['https://cognitiveservices.azure.com', 'https://ai.azure.com']),
  ENTRA_ISSUERS: list(
    'a list of issuers such as https://login.microsoftonline.us/<tenant id>/v2.0',
    (issuer) => issuer.startsWith('https://') && URL.canParse(issuer),
  ).optional(),
  ENTRA_JWKS_URL: z
    .string()
    .refine((text) => isKeysUrl(text.replace('{tenant}', 'tenant')), KEYS_URL_FORM)
    .optional(),
  ENTRA_ALLOWED_CLIENTS: allowedIds,
  ENTRA_ALLOWED_OPERATORS: allowedIds,
  CLIENT_LIMITS: clientLimits,
  ALLOW_ANONYMOUS: flag(),
  APPLICATIONINSIGHTS_CONNECTION_STRING: z
    .string()
    .transform((text, context) => {
      const read = insightsOf(text);
      if (read === undefined) context.addIssue({ code: 'custom', message: CONNECTION_STRING_FORM });
      return read ?? { connectionString: '', endpoint: '' };
    })
    .optional(),
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: z
    .literal('Authorization=AAD', { error: 'Authorization=AAD; AZURE_CLIENT_ID picks the identity' })
    .optional(),
  TRACE_SAMPLE_PERCENT: z
    .string()
    .regex(/^\d{1,3}(\.\d{1,3})?$/, 'a number such as 10 or 0.5')
    .transform(Number)
    .refine((value) => value <= 100, 'between 0 and 100')
    .optional(),
  OTEL_SERVICE_NAME: z
    .string()
    .regex(/^[\x20-\x7e]{1,100}$/, 'a name of printable ASCII, at most 100')
    .optional(),
  LOG_FORMAT: z.enum(['text', 'json'], { error: 'text or json' }).default('text'),
  AZURE_CLIENT_ID: z.string().regex(GUID, `the client id of a managed identity, such as ${GUID_FORM}`).optional(),
});

export const ORIGIN_FORM = 'the endpoint of a resource without a path, such as https://my-openai.openai.azure.com';

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
  CAPACITY: someWhole(1, 10_000_000).optional(),
  APIKEY: z
    .string()
    .regex(/^[\x21-\x7e]+$/, 'printable ASCII without spaces')
    .optional(),
  DEPLOYMENT_NAME: z.string().optional(),
  DEPLOYMENTS: mapping('chat=gpt-eu,embedding=emb-eu').optional(),
});

/** True for an application or object id in lower case, which is how such clients are named. */
export function isId(name: string): boolean {
  return GUID.test(name) && name === name.toLowerCase();
}

/** Every setting that is read, as documented; `BACKEND_n_*` by their endings. For the test that compares the docs. */
export const SETTINGS = Object.keys(Settings.shape);
export const BACKEND_SETTINGS = Object.keys(BackendSettings.shape);

/** The value, or what is wrong with it: one line a mistake, beginning with the variable. */
export type Read<T> = { readonly data: T } | { readonly mistakes: readonly string[] };

export type SettingsData = z.infer<typeof Settings>;

export function readSettings(given: Readonly<Record<string, string>>): Read<SettingsData> {
  const read = Settings.safeParse(given);
  return read.success ? { data: read.data } : { mistakes: describe(read.error, '') };
}

/** @param given by their endings: `URL`, `NAME`, … */
export function readBackendSettings(
  given: Readonly<Record<string, string>>,
  n: number,
): Read<z.infer<typeof BackendSettings>> {
  const read = BackendSettings.safeParse(given);
  return read.success ? { data: read.data } : { mistakes: describe(read.error, `BACKEND_${n}_`) };
}

/** One line a mistake: the variable and the accepted form. */
function describe(error: z.ZodError, prefix: string): readonly string[] {
  return error.issues.map((issue) =>
    `${prefix}${String(issue.path[0])}: must be ${issue.message}`.replace('must be is', 'is'),
  );
}

const CONNECTION_STRING_FORM =
  'the connection string of an Application Insights resource: InstrumentationKey=<guid>;IngestionEndpoint=https://…';

/** The parts are ours to check: of a string that is not right the SDK would send to a place of its own. */
function insightsOf(text: string): { readonly connectionString: string; readonly endpoint: string } | undefined {
  const parts = text.replace(/;$/, '').split(';').map(splitPair);
  const fields = new Map(parts.map(([name, value]) => [name.toLowerCase(), value]));
  const endpoint = fields.get('ingestionendpoint') ?? '';
  const isRight =
    fields.size === parts.length &&
    parts.every(([name, value]) => name !== '' && value !== '' && !value.includes('=')) &&
    GUID.test(fields.get('instrumentationkey') ?? '') &&
    originOf(endpoint) !== undefined &&
    isKeysUrl(endpoint);
  return isRight ? { connectionString: text, endpoint: new URL(endpoint).origin } : undefined;
}

/** Keys that came in the clear could be anybody's. */
function isKeysUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname, username, password } = new URL(text);
  if (username !== '' || password !== '') return false;
  return protocol === 'https:' || (protocol === 'http:' && isLoopback(hostname));
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
