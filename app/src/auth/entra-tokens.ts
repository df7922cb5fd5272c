/**
 * Checks Microsoft Entra access tokens: signature, issuer, tenant, audience, time. The only importer of jose.
 * The algorithm and the keys are ours to choose: RS256, and what the trusted issuer publishes at an address from the
 * settings. Nothing that a token says about its own keys (jku, jwk, x5c, x5u) is looked at.
 */
import { createPublicKey, type KeyObject } from 'node:crypto';
import {
  decodeJwt,
  decodeProtectedHeader,
  errors,
  jwtVerify,
  type JWTPayload,
  type ProtectedHeaderParameters,
} from 'jose';
import { createDigest } from './key-check.ts';
import { createSigningKeys, KeysUnavailableError, type SigningKeys, type SigningKeysParts } from './signing-keys.ts';

export interface TrustedIssuer {
  /** The claim `iss`, letter for letter. */
  readonly issuer: string;
  /** In lower case. */
  readonly tenantId: string;
  /** Where its signing keys are published. */
  readonly keysUrl: string;
}

export interface EntraTrust {
  readonly issuers: readonly TrustedIssuer[];
  /** Without a slash at the end. */
  readonly audiences: readonly string[];
}

/** Whom the token was given to. Ids are in lower case. */
export interface EntraIdentity {
  readonly applicationId: string;
  readonly objectId?: string;
  /** Somebody who signed in, through an application; else it is the application's own token. */
  readonly isPerson: boolean;
}

/** Why a token is not accepted. Texts are what the sender wrote, and not yet safe to print. */
export type TokenProblem =
  | { readonly why: 'not-accepted' | 'malformed' | 'algorithm' | 'signature' | 'keys-unavailable' }
  | { readonly why: 'issuer'; readonly sent: string; readonly expected: readonly string[] }
  | { readonly why: 'audience'; readonly sent: string; readonly expected: readonly string[] }
  /** Milliseconds since the epoch. */
  | { readonly why: 'expired' | 'early'; readonly at: number; readonly now: number };

export type Verdict =
  | { readonly kind: 'verified'; readonly identity: EntraIdentity }
  | { readonly kind: 'refused'; readonly problem: TokenProblem };

/** At once for a token that was seen before. */
export type VerifyToken = (token: string) => Verdict | Promise<Verdict>;

export interface EntraTokens {
  readonly verify: VerifyToken;
  /** Fetches the keys before anybody needs them, and anew when they are due: now and then, where nobody calls for hours. */
  warm(): void;
}

export interface EntraTokensParts {
  readonly trust: EntraTrust;
  readonly fetchDocument: (url: string) => Promise<string>;
  /** Monotonic ms. */
  readonly clock: () => number;
  /** Milliseconds since the epoch. */
  readonly wallClockMs: () => number;
  readonly onKeysChange: (url: string, change: Parameters<SigningKeysParts<unknown>['onChange']>[0]) => void;
  /** Tokens that were accepted; each is some 300 bytes here. */
  readonly mostRemembered?: number;
}

/** Clocks of two machines differ by less. */
const SKEW_S = 60;
const LONGEST_KEY_ID = 256;
const GUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

interface PublishedKey {
  readonly key: KeyObject;
  /** Whom the document gives it to, if it says. */
  readonly issuer: string | undefined;
}

/** By key id. */
type KeySet = ReadonlyMap<string, PublishedKey>;

interface Remembered {
  readonly verdict: Verdict;
  /** Milliseconds since the epoch. */
  readonly until: number;
  /** It counts as long as these keys do. */
  readonly keys: KeySet;
  readonly source: SigningKeys<KeySet>;
}

export function createEntraTokens(parts: EntraTokensParts): EntraTokens {
  const { trust, fetchDocument, clock, wallClockMs, onKeysChange, mostRemembered = 10_000 } = parts;
  const sources = new Map<string, SigningKeys<KeySet>>();
  for (const { keysUrl } of trust.issuers) {
    if (sources.has(keysUrl)) continue;
    const onChange: SigningKeysParts<KeySet>['onChange'] = (change) => onKeysChange(keysUrl, change);
    sources.set(
      keysUrl,
      createSigningKeys({ fetchDocument: () => fetchDocument(keysUrl), parse: keySetOf, clock, onChange }),
    );
  }
  const issuers = new Map(trust.issuers.map((trusted) => [trusted.issuer, trusted]));
  const audience = trust.audiences.flatMap((name) => [name, `${name}/`]);
  const digest = createDigest();
  const remembered = new Map<string, Remembered>();

  function verify(token: string): Verdict | Promise<Verdict> {
    const id = digest(token).toString('latin1');
    const seen = remembered.get(id);
    if (seen === undefined) return verifyAnew(token, id);
    // Asking for the keys also has them renewed in time.
    if (wallClockMs() < seen.until && seen.source.get() === seen.keys) return seen.verdict;
    remembered.delete(id);
    return verifyAnew(token, id);
  }

  async function verifyAnew(token: string, id: string): Promise<Verdict> {
    try {
      return await verdictOn(token, id);
    } catch (error) {
      if (error instanceof KeysUnavailableError) return refused({ why: 'keys-unavailable' });
      if (!(error instanceof errors.JOSEError)) throw error;
      const problem = problemOf(error, trust.audiences, wallClockMs());
      return refused(problem.why === 'signature' ? (wrongAudience(token) ?? problem) : problem);
    }
  }

  async function verdictOn(token: string, id: string): Promise<Verdict> {
    // Not trusted yet: it only says which keys to look at.
    const { alg, kid } = headerOf(token);
    const iss = textOf(decodeJwt(token).iss);
    if (alg !== 'RS256') return refused({ why: 'algorithm' });
    if (typeof kid !== 'string' || kid.length > LONGEST_KEY_ID) return refused({ why: 'malformed' });
    const trusted = issuers.get(iss);
    const source = sources.get(trusted?.keysUrl ?? '');
    if (trusted === undefined || source === undefined) return refused(wrongIssuer(iss));
    const keys = await keysWith(source, kid);
    const published = keys?.get(kid);
    if (keys === undefined || published === undefined || !isKeyOf(published, trusted.tenantId)) {
      throw new errors.JWKSNoMatchingKey();
    }
    const { payload } = await jwtVerify(token, published.key, {
      algorithms: ['RS256'],
      issuer: trusted.issuer,
      audience,
      clockTolerance: SKEW_S,
      currentDate: new Date(wallClockMs()),
      requiredClaims: ['exp', 'aud', 'iss', 'tid'],
    });
    if (guidOf(payload['tid']) !== trusted.tenantId) return refused(wrongIssuer(textOf(payload['tid'])));
    const identity = identityOf(payload);
    const { exp = Number.NaN } = payload;
    // JSON can write numbers that are infinite here.
    if (identity === undefined || !Number.isFinite(exp)) return refused({ why: 'malformed' });
    const verdict: Verdict = { kind: 'verified', identity };
    const until = Math.floor(exp + SKEW_S) * 1000;
    remember(id, { verdict, until, keys, source });
    return verdict;
  }

  function remember(id: string, entry: Remembered): void {
    if (remembered.size >= mostRemembered) {
      const [oldest] = remembered.keys();
      if (oldest !== undefined) remembered.delete(oldest);
    }
    remembered.set(id, entry);
  }

  /** A token for Microsoft Graph can be checked by Graph alone; what it is for says more than that its signature is wrong. */
  function wrongAudience(token: string): TokenProblem | undefined {
    const sent = audiencesOf(decodeJwt(token));
    const isOurs = sent.some((name) => audience.includes(name));
    return isOurs || sent.length === 0
      ? undefined
      : { why: 'audience', sent: sent.join(', '), expected: trust.audiences };
  }

  function wrongIssuer(sent: string): TokenProblem {
    return { why: 'issuer', sent, expected: [...new Set(trust.issuers.map(({ tenantId }) => tenantId))] };
  }

  return {
    verify,
    warm() {
      for (const source of sources.values()) Promise.resolve(source.get()).catch(() => undefined);
    },
  };
}

/** What is known; for a key that is not in it what is published now, or undefined when that was looked at just now. */
async function keysWith(source: SigningKeys<KeySet>, kid: string): Promise<KeySet | undefined> {
  const keys = await source.get();
  return keys.has(kid) ? keys : source.renewed();
}

/** jose has no error of its own for a header that is none. */
function headerOf(token: string): ProtectedHeaderParameters {
  try {
    return decodeProtectedHeader(token);
  } catch {
    throw new errors.JWTInvalid('The header is none');
  }
}

/** The document may say which issuer a key belongs to; `{tenantid}` stands for every tenant. */
function isKeyOf({ issuer }: PublishedKey, tenantId: string): boolean {
  if (issuer === undefined || issuer.includes('{tenantid}')) return true;
  return issuer.toLowerCase().includes(tenantId);
}

/** Every access token names the application that asked for it. An ID token does not, and must open nothing. */
function identityOf(payload: JWTPayload): EntraIdentity | undefined {
  const applicationId = guidOf(payload['azp']) ?? guidOf(payload['appid']);
  const objectId = guidOf(payload['oid']);
  if (applicationId === undefined) return undefined;
  return {
    applicationId,
    ...(objectId === undefined ? {} : { objectId }),
    isPerson: typeof payload['scp'] === 'string' && payload['idtyp'] !== 'app',
  };
}

function audiencesOf({ aud }: JWTPayload): readonly string[] {
  return [aud].flat().filter((name) => typeof name === 'string');
}

/** Whatever JSON has in the place of a text. */
function textOf(claim: unknown): string {
  return typeof claim === 'string' ? claim : '';
}

function guidOf(claim: unknown): string | undefined {
  return typeof claim === 'string' && GUID.test(claim) ? claim.toLowerCase() : undefined;
}

function problemOf(error: errors.JOSEError, expected: readonly string[], now: number): TokenProblem {
  if (error instanceof errors.JWTExpired) return { why: 'expired', at: (error.payload.exp ?? 0) * 1000, now };
  if (error instanceof errors.JWTClaimValidationFailed) {
    const { claim, reason, payload } = error;
    if (claim === 'aud' && payload.aud !== undefined) {
      return { why: 'audience', sent: audiencesOf(payload).join(', '), expected };
    }
    if (claim === 'nbf' && reason === 'check_failed') return { why: 'early', at: (payload.nbf ?? 0) * 1000, now };
    return { why: 'malformed' };
  }
  const isKeyTrouble =
    error instanceof errors.JWSSignatureVerificationFailed || error instanceof errors.JWKSNoMatchingKey;
  return { why: isKeyTrouble ? 'signature' : 'malformed' };
}

function refused(problem: TokenProblem): Verdict {
  return { kind: 'refused', problem };
}

/**
 * The keys of a document that may sign: RSA of 2048 bits or more, for signatures, public.
 * @throws when it is no key document, or has none
 */
function keySetOf(document: string): KeySet {
  const parsed: unknown = JSON.parse(document);
  const published = isRecord(parsed) ? parsed['keys'] : undefined;
  if (!Array.isArray(published)) throw new Error('its answer is no key document');
  const keys = new Map<string, PublishedKey>();
  for (const jwk of published) {
    if (!isRecord(jwk)) continue;
    const { kid, issuer } = jwk;
    const key = signingKeyOf(jwk);
    if (key === undefined || typeof kid !== 'string') continue;
    keys.set(kid, { key, issuer: typeof issuer === 'string' ? issuer : undefined });
  }
  if (keys.size === 0) throw new Error('its answer has no RSA signing key');
  return keys;
}

function signingKeyOf(jwk: Readonly<Record<string, unknown>>): KeyObject | undefined {
  const { kty, use, alg, n, e } = jwk;
  const isForSigning = (use === undefined || use === 'sig') && (alg === undefined || alg === 'RS256');
  if (kty !== 'RSA' || !isForSigning || typeof n !== 'string' || typeof e !== 'string') return undefined;
  // A private key that is published is anybody's.
  if (PRIVATE_PARTS.some((name) => name in jwk)) return undefined;
  const key = createPublicKey({ key: { kty, n, e }, format: 'jwk' });
  // The length is of the number, not of its text, and with the exponent 1 everybody could sign.
  const { modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {};
  return modulusLength >= 2048 && publicExponent >= 3n ? key : undefined;
}

const PRIVATE_PARTS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth'];

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
