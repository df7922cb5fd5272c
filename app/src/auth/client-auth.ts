/**
 * Who calls: by a client key, or by a Microsoft Entra token; either is accepted in `api-key` and as
 * `Authorization: Bearer`, as every OpenAI client sends it. A credential that is right anywhere counts.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { credentialsOf, isTokenLike } from './credentials.ts';
import type { EntraIdentity, TokenProblem, VerifyToken } from './entra-tokens.ts';
import type { CheckKey } from './key-check.ts';

export type Identified =
  | { readonly kind: 'client'; readonly name: string }
  /** missing: no credential was sent. unknown: one that is not ours. */
  | { readonly kind: 'missing' | 'unknown' }
  /** It has the form of a token, and is not accepted. */
  | { readonly kind: 'token'; readonly problem: TokenProblem }
  /** A good token of somebody who is not on the list. */
  | { readonly kind: 'not-allowed'; readonly name: string }
  /** Nothing is locked here, and the caller is not of this machine: see local-door.ts. */
  | { readonly kind: 'not-local' };

/** At once for keys and for tokens that were seen before. */
export type Identify = (headers: IncomingHttpHeaders) => Identified | Promise<Identified>;

/** The name of callers where everybody may call. */
export const ANONYMOUS = 'anonymous';

/** Application or object id, in lower case → the name it has here. */
export type AllowedIds = ReadonlyMap<string, string>;

export interface ClientAuthParts {
  readonly checkKey: CheckKey;
  /** Absent where no tokens are accepted. */
  readonly verifyToken?: VerifyToken;
  /** Who of the tenants may call; absent: everybody. */
  readonly allowed?: AllowedIds;
  /** More places to look for a credential. */
  readonly more?: (headers: IncomingHttpHeaders) => string | undefined;
}

export function createClientAuth({ checkKey, verifyToken, allowed, more }: ClientAuthParts): Identify {
  return (headers) => {
    const sent = credentialsOf(headers);
    const another = more?.(headers);
    const texts = another === undefined ? sent : [...sent, another];
    for (const text of texts) {
      const name = checkKey(text);
      if (name !== undefined) return { kind: 'client', name };
    }
    const tokens = texts.filter((text) => isTokenLike(text));
    if (tokens.length === 0) return { kind: texts.length === 0 ? 'missing' : 'unknown' };
    if (verifyToken === undefined) return { kind: 'token', problem: { why: 'not-accepted' } };
    return firstAccepted(tokens, verifyToken, allowed);
  };
}

/** Of two tokens that are not accepted, the first is told about. */
function firstAccepted(
  [token, ...others]: readonly string[],
  verifyToken: VerifyToken,
  allowed: AllowedIds | undefined,
): Identified | Promise<Identified> {
  if (token === undefined) return { kind: 'missing' };
  const verdict = verifyToken(token);
  if (!(verdict instanceof Promise) && others.length === 0) return identifiedBy(verdict, allowed);
  return Promise.resolve(verdict).then(async (first) => {
    const identified = identifiedBy(first, allowed);
    if (identified.kind === 'client' || others.length === 0) return identified;
    const other = await firstAccepted(others, verifyToken, allowed);
    return other.kind === 'client' ? other : identified;
  });
}

function identifiedBy(verdict: Awaited<ReturnType<VerifyToken>>, allowed: AllowedIds | undefined): Identified {
  if (verdict.kind === 'refused') return { kind: 'token', problem: verdict.problem };
  const { identity } = verdict;
  if (allowed === undefined) return { kind: 'client', name: nameOf(identity) };
  // One person or identity says more than the application that several of them use.
  const name = allowed.get(identity.objectId ?? '') ?? allowed.get(identity.applicationId);
  return name === undefined ? { kind: 'not-allowed', name: nameOf(identity) } : { kind: 'client', name };
}

/** People share an application (the Azure CLI, say), so they go by their own id. */
function nameOf({ applicationId, objectId, isPerson }: EntraIdentity): string {
  return isPerson ? (objectId ?? applicationId) : applicationId;
}
