// What it costs to find out who calls: in this process, the very functions that the balancer calls for each request, each
// call timed by itself. The keys are signed and published here; nothing crosses a socket.
import { generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { performance } from 'node:perf_hooks';
import { createClientAuth, type Identified, type Identify } from '../app/src/auth/client-auth.ts';
import { createEntraTokens } from '../app/src/auth/entra-tokens.ts';
import { createKeyCheck } from '../app/src/auth/key-check.ts';
import { percentile } from './statistics.ts';
import { table } from './table.ts';

/** Microseconds. */
export interface AuthFigures {
  readonly name: string;
  readonly calls: number;
  readonly p50: number;
  readonly p99: number;
  /** The median may be this much at most; absent where nothing is promised. */
  readonly aim?: number;
}

export interface AuthPlan {
  readonly warmCalls: number;
  readonly calls: number;
  /** Tokens that were never seen; each needs a signature made before. */
  readonly newTokens: number;
}

export const fullAuthPlan: AuthPlan = { warmCalls: 20_000, calls: 100_000, newTokens: 2000 };
export const quickAuthPlan: AuthPlan = { warmCalls: 200, calls: 500, newTokens: 20 };

const KEY_AIM_US = 30;
const SEEN_TOKEN_AIM_US = 60;

const TENANT = '11111111-2222-3333-4444-555555555555';
const ISSUER = `https://sts.windows.net/${TENANT}/`;
const AUDIENCE = 'https://cognitiveservices.azure.com';
const SECOND_MS = 1000;

export async function measureAuth(plan: AuthPlan): Promise<readonly AuthFigures[]> {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const document = JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'key-1', use: 'sig' }] });
  const { verify } = createEntraTokens({
    trust: { issuers: [{ issuer: ISSUER, tenantId: TENANT, keysUrl: 'https://keys.example' }], audiences: [AUDIENCE] },
    fetchDocument: () => Promise.resolve(document),
    clock: () => performance.now(),
    wallClockMs: Date.now,
    onKeysChange: () => undefined,
  });
  const keys = Array.from({ length: 100 }, (_, n) => ({ name: `team-${n}`, key: `client-key-0123456789abcdef-${n}` }));
  const byKey = createClientAuth({ checkKey: createKeyCheck(keys.slice(0, 1)) });
  const byManyKeys = createClientAuth({ checkKey: createKeyCheck(keys) });
  const byEither = createClientAuth({ checkKey: createKeyCheck(keys.slice(0, 1)), verifyToken: verify });
  const seen = tokenOf(privateKey, 'seen');
  const fresh = Array.from({ length: plan.newTokens }, (_, n) => tokenOf(privateKey, `new-${n}`));
  const key = { 'api-key': keys[0]?.key ?? '' };
  // The token is verified once before it is one that was seen.
  expectClient(await byEither(bearer(seen)));
  return [
    { ...(await time('a key, of one', byKey, plan, () => key)), aim: KEY_AIM_US },
    { ...(await time('a key, of 100', byManyKeys, plan, () => key)), aim: KEY_AIM_US },
    { ...(await time('a token already seen', byEither, plan, () => bearer(seen))), aim: SEEN_TOKEN_AIM_US },
    await time('a new token', byEither, { ...plan, warmCalls: 0, calls: fresh.length }, (n) => bearer(fresh[n] ?? '')),
  ];
}

export function authTable(figures: readonly AuthFigures[]): string {
  const rows = figures.map(({ name, calls, p50, p99, aim }) => [
    name,
    String(calls),
    p50.toFixed(1),
    p99.toFixed(1),
    aim === undefined ? '–' : String(aim),
  ]);
  return `${table(['who calls', 'calls', 'p50, µs', 'p99, µs', 'aim p50, µs'], rows).join('\n')}\n`;
}

async function time(
  name: string,
  identify: Identify,
  plan: Pick<AuthPlan, 'warmCalls' | 'calls'>,
  headersOf: (n: number) => IncomingHttpHeaders,
): Promise<AuthFigures> {
  for (let n = 0; n < plan.warmCalls; n += 1) expectClient(await identify(headersOf(n)));
  const micros: number[] = [];
  for (let n = 0; n < plan.calls; n += 1) {
    const headers = headersOf(n);
    const before = process.hrtime.bigint();
    const identified = identify(headers);
    const client = identified instanceof Promise ? await identified : identified;
    micros.push(Number(process.hrtime.bigint() - before) / 1000);
    expectClient(client);
  }
  return { name, calls: plan.calls, p50: percentile(micros, 0.5), p99: percentile(micros, 0.99) };
}

function expectClient(identified: Identified): void {
  if (identified.kind !== 'client') throw new Error(`the caller was not known: ${JSON.stringify(identified)}`);
}

function bearer(token: string): IncomingHttpHeaders {
  return { authorization: `Bearer ${token}` };
}

/** Of about the size that Entra's have. */
function tokenOf(privateKey: KeyObject, id: string): string {
  const now = Math.floor(Date.now() / SECOND_MS);
  const claims = {
    aud: AUDIENCE,
    iss: ISSUER,
    iat: now,
    nbf: now,
    exp: now + 3600,
    appid: '66666666-7777-8888-9999-000000000000',
    oid: '77777777-8888-9999-0000-111111111111',
    tid: TENANT,
    uti: id,
    xms_mirid:
      '/subscriptions/…/resourcegroups/…/providers/Microsoft.ManagedIdentity/userAssignedIdentities/app'.repeat(4),
  };
  const signed = `${encode({ typ: 'JWT', alg: 'RS256', kid: 'key-1' })}.${encode(claims)}`;
  return `${signed}.${sign('sha256', Buffer.from(signed), privateKey).toString('base64url')}`;
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
