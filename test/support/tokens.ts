/**
 * Microsoft Entra tokens, made here: good ones in both forms, and from the same parts, byte by byte, forged ones.
 * Key pairs are slow to make, so they are made once and shared by all tests.
 */
import { generateKeyPairSync, sign as signBytes, type JsonWebKey, type KeyObject } from 'node:crypto';

export const TENANT = 'aaaaaaaa-1111-4111-8111-111111111111';
export const OTHER_TENANT = 'bbbbbbbb-2222-4222-8222-222222222222';
export const FOREIGN_TENANT = 'cccccccc-3333-4333-8333-333333333333';
/** The application that calls. */
export const APP = 'dddddddd-4444-4444-8444-444444444444';
/** Its service principal, or a person who signed in through it. */
export const OBJECT = 'eeeeeeee-5555-4555-8555-555555555555';
export const AUDIENCE = 'https://cognitiveservices.azure.com';

/** When tokens are made, on the wall clock of the tests. They are good for an hour. */
export const MADE_AT_MS = Date.UTC(2026, 5, 1, 12);
export const MADE_AT = MADE_AT_MS / 1000;
export const LIFETIME = 3600;

export type Members = Readonly<Record<string, unknown>>;

export interface SigningKey {
  readonly kid: string;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  /** As a key document lists it. */
  readonly jwk: Members & { readonly n: string; readonly e: string };
  /** All of it, the private parts too. */
  readonly privateJwk: JsonWebKey;
}

const made = new Map<string, SigningKey>();

/** The pair of this name: the same one for every test. */
export function signingKey(kid: string, bits = 2048): SigningKey {
  const known = made.get(`${kid}/${bits}`);
  if (known !== undefined) return known;
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: bits });
  const { n = '', e = '' } = publicKey.export({ format: 'jwk' });
  const privateJwk = privateKey.export({ format: 'jwk' });
  const key = { kid, publicKey, privateKey, privateJwk, jwk: { kty: 'RSA', use: 'sig', kid, n, e } };
  made.set(`${kid}/${bits}`, key);
  return key;
}

/** A key document. */
export function documentOf(...keys: readonly unknown[]): string {
  return JSON.stringify({ keys });
}

/** The claims of a managed identity's token, v1 form. A member that is undefined is left out. */
export function v1Claims(more: Members = {}): Members {
  return {
    aud: AUDIENCE,
    iss: `https://sts.windows.net/${TENANT}/`,
    iat: MADE_AT,
    nbf: MADE_AT,
    exp: MADE_AT + LIFETIME,
    aio: 'k2RgYAgUOcV4dxE/AA==',
    appid: APP,
    appidacr: '2',
    idp: `https://sts.windows.net/${TENANT}/`,
    idtyp: 'app',
    oid: OBJECT,
    sub: OBJECT,
    tid: TENANT,
    ver: '1.0',
    ...more,
  };
}

/** The claims of an application's token, v2 form. */
export function v2Claims(more: Members = {}): Members {
  return {
    aud: AUDIENCE,
    iss: `https://login.microsoftonline.com/${TENANT}/v2.0`,
    iat: MADE_AT,
    nbf: MADE_AT,
    exp: MADE_AT + LIFETIME,
    azp: APP,
    azpacr: '1',
    oid: OBJECT,
    sub: OBJECT,
    tid: TENANT,
    ver: '2.0',
    ...more,
  };
}

/** What turns the claims of an application into those of somebody who signed in through it. */
export const PERSON: Members = { scp: 'user_impersonation', idtyp: 'user', name: 'Ada', upn: 'ada@example.com' };

/** Signs the text `header.payload`. */
export type Sign = (input: string) => Buffer;

export function rs256({ privateKey }: SigningKey): Sign {
  return (input) => signBytes('sha256', Buffer.from(input), privateKey);
}

export interface TokenParts {
  readonly header: unknown;
  readonly payload: unknown;
  readonly sign: Sign;
}

/** A text or bytes stand as they are, anything else as its JSON. */
export function segment(part: unknown): string {
  const bytes = typeof part === 'string' || Buffer.isBuffer(part) ? part : JSON.stringify(part);
  return Buffer.from(bytes).toString('base64url');
}

export function makeToken({ header, payload, sign }: TokenParts): string {
  const input = `${segment(header)}.${segment(payload)}`;
  return `${input}.${sign(input).toString('base64url')}`;
}

export function headerFor({ kid }: SigningKey, more: Members = {}): Members {
  return { typ: 'JWT', alg: 'RS256', kid, ...more };
}

/** A token with these claims, rightly signed with this key. */
export function tokenBy(key: SigningKey, payload: unknown, header: Members = {}): string {
  return makeToken({ header: headerFor(key, header), payload, sign: rs256(key) });
}
