/** The real process among backends, identities and issuers of which everything that is secret is a canary. */
import { startFleet, type Fleet } from '../../simulator/fleet.ts';
import type { ResourceOptions } from '../../simulator/server.ts';
import { createCanaries, startTokenIssuer, type Canaries, type TokenIssuer } from './canaries.ts';
import { startIdentityEndpoint, type IdentityEndpoint } from './identity-endpoint.ts';
import { startProcess, type RunningProcess } from './process.ts';

export interface CanaryStage {
  readonly started: RunningProcess;
  readonly canaries: Canaries;
  readonly fleet: Fleet;
  readonly issuer: TokenIssuer;
  /** Absent where the backends have keys. */
  readonly identity?: IdentityEndpoint;
  readonly secrets: Secrets;
  close(): Promise<void>;
}

export type Secrets = ReturnType<typeof plantSecrets> & {
  /** A token of a caller, and one that has expired. */
  readonly token: string;
  readonly expiredToken: string;
};

/** What each backend does. `deployment`: the one that it alone serves; those that fail also serve `any`, and so does the first. */
export const BACKENDS = [
  'served',
  'denied',
  'throttled',
  'failing',
  'overloaded',
  'gone',
  'refused',
  'forbidden',
  'missing',
  'broken',
] as const;
export const FAILING = ['denied', 'throttled', 'failing', 'overloaded', 'gone'] as const;

/** What only callers, and those who answer them, may see. */
export const WORDS: readonly string[] = ['prompt', 'completion', 'words of a backend'];

function plantSecrets(canaries: Canaries) {
  const plant = (label: string, middle?: string): string => canaries.plant(label, middle);
  return {
    clientKey: plant('client key', '+/~'),
    otherKey: plant('client key in rotation', '%3D&'),
    limitedKey: plant('key of a limited client'),
    operatorKey: plant('operator key', ':/?#'),
    backendKeys: BACKENDS.map((name) => plant(`key of ${name}`, '"\\')),
    identityToken: plant('token of the identity', '._-'),
    identityHeader: plant('secret of the identity endpoint'),
    prompt: plant('prompt', ' "\\\n\t\u00e9\u{1f426} & '),
    completion: plant('completion', ' "\\\n\u00e9 '),
    words: plant('words of a backend', ' "\\\u00e9 '),
    backendCookie: plant('cookie of a backend'),
    claim: plant('claim of a token', ' @ '),
    unknownKey: plant('unknown key'),
    authorization: plant('credential of an unknown kind'),
    proxyAuthorization: plant('credential for a proxy'),
    cookie: plant('cookie'),
    subscriptionKey: plant('subscription key'),
    password: plant('password', ':'),
    urlPassword: plant('password in a URL'),
    queryKey: plant('key in a query'),
    queryValue: plant('value in a query'),
    protocol: plant('key in a WebSocket protocol'),
    brokenHeader: plant('header that is none'),
  };
}

export interface StageSetup {
  readonly format: 'text' | 'json';
  /** The backends have no keys: the balancer needs a token of its own. */
  readonly hasIdentity: boolean;
  readonly env?: Readonly<Record<string, string>>;
}

export async function startCanaryStage({ format, hasIdentity, env = {} }: StageSetup): Promise<CanaryStage> {
  const canaries = createCanaries();
  const planted = plantSecrets(canaries);
  const fleet = await startFleet(
    BACKENDS.map((name, index): ResourceOptions => ({
      name,
      deployments: { gpt: { model: 'gpt-5.4-mini' }, listener: { model: 'gpt-4o-transcribe' } },
      ...(hasIdentity ? { bearerToken: planted.identityToken } : { apiKey: planted.backendKeys[index] ?? '' }),
    })),
  );
  const issuer = await startTokenIssuer();
  const claims = { name: planted.claim, upn: planted.claim, oid: planted.claim };
  const token = canaries.know('token of a caller', await issuer.token(claims));
  const expired = await issuer.token({ ...claims, exp: Math.floor(Date.now() / 1000) - 3600 });
  const expiredToken = canaries.know('expired token of a caller', expired);
  const identity = hasIdentity ? await startIdentityEndpoint({ token: planted.identityToken }) : undefined;
  const started = await startProcess({
    LOG_FORMAT: format,
    CLIENT_API_KEYS: `team-a=${planted.clientKey},team-a=${planted.otherKey},team-b=${planted.limitedKey}`,
    CLIENT_LIMITS: 'team-b=1rpm',
    OPERATOR_KEYS: `alice=${planted.operatorKey}`,
    // Enough for a busy machine, short enough to wait for.
    HTTP_TIMEOUT_SECONDS: '1',
    STREAM_IDLE_TIMEOUT_SECONDS: '1',
    DRAIN_SECONDS: '0.5',
    MAX_CONCURRENT_REQUESTS: '4',
    MAX_BODY_BYTES: '4000',
    MAX_BUFFERED_BYTES: '3000',
    ...issuer.env,
    ...backendEnv(fleet, hasIdentity ? [] : planted.backendKeys),
    ...(identity === undefined ? {} : { ...identity.env, IDENTITY_HEADER: planted.identityHeader }),
    ...env,
  });
  await fleet.resources[BACKENDS.indexOf('gone')]?.stopListening();
  return {
    started,
    canaries,
    fleet,
    issuer,
    ...(identity === undefined ? {} : { identity }),
    secrets: { ...planted, token, expiredToken },
    async close() {
      await fleet.close();
      await issuer.close();
      await identity?.close();
    },
  };
}

function backendEnv({ resources }: Fleet, keys: readonly string[]): Record<string, string> {
  const env: Record<string, string> = {};
  for (const [index, name] of BACKENDS.entries()) {
    const isOneOfAny = name === 'served' || FAILING.some((failing) => failing === name);
    const names = [`${name}=gpt`, ...(isOneOfAny ? ['any=gpt'] : []), ...(name === 'served' ? ['heard=listener'] : [])];
    const prefix = `BACKEND_${index + 1}`;
    env[`${prefix}_URL`] = resources[index]?.url ?? '';
    env[`${prefix}_NAME`] = name;
    env[`${prefix}_DEPLOYMENTS`] = names.join(',');
    // Asked when all that fail have failed.
    env[`${prefix}_PRIORITY`] = name === 'served' ? '2' : '1';
    const key = keys[index];
    if (key !== undefined) env[`${prefix}_APIKEY`] = key;
  }
  return env;
}
