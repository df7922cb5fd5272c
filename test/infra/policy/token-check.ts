/** validate-azure-ad-token: a real check of signature, issuer, audience and times against the keys that a tenant publishes. */
import { createLocalJWKSet, errors, jwtVerify, type JSONWebKeySet } from 'jose';
import { Jwt } from './context.ts';

export interface TokenRules {
  readonly tenant: string;
  readonly audiences: readonly string[];
  readonly keys: JSONWebKeySet;
  readonly nowMs: number;
}

export type TokenVerdict =
  | { readonly kind: 'accepted'; readonly token: Jwt }
  /** A reason of Microsoft's reference of errors (they are listed there for validate-jwt). */
  | { readonly kind: 'refused'; readonly reason: string };

export async function checkToken(token: string, rules: TokenRules): Promise<TokenVerdict> {
  const { tenant, audiences, keys, nowMs } = rules;
  if (token === '') return { kind: 'refused', reason: 'TokenNotPresent' };
  try {
    const { payload } = await jwtVerify(token, createLocalJWKSet(keys), {
      issuer: [`https://sts.windows.net/${tenant}/`, `https://login.microsoftonline.com/${tenant}/v2.0`],
      audience: [...audiences],
      currentDate: new Date(nowMs),
      algorithms: ['RS256'],
      requiredClaims: ['exp'],
    });
    return { kind: 'accepted', token: new Jwt(payload) };
  } catch (error) {
    return { kind: 'refused', reason: reasonOf(error) };
  }
}

function reasonOf(error: unknown): string {
  if (error instanceof errors.JWTExpired) return 'TokenExpired';
  if (error instanceof errors.JWTClaimValidationFailed && error.claim === 'aud') return 'TokenAudienceNotAllowed';
  if (error instanceof errors.JWTClaimValidationFailed && error.claim === 'iss') return 'TokenIssuerNotAllowed';
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'TokenSignatureInvalid';
  if (error instanceof errors.JWKSNoMatchingKey) return 'TokenSignatureKeyNotFound';
  return 'JwtInvalid';
}
