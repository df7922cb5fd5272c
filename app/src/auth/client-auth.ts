/**
 * Who calls. A client key is accepted in `api-key` or as `Authorization: Bearer`, as every OpenAI client sends it.
 * Keys are compared by their digests, all of them every time, in constant time.
 */
import { hash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';

/** A named key from the settings. */
export interface Key {
  readonly name: string;
  readonly key: string;
}

export type Identified =
  | { readonly kind: 'client'; readonly name: string }
  /** missing: no credential was sent. unknown: one that is not ours. */
  | { readonly kind: 'missing' | 'unknown' };

export type Identify = (headers: IncomingHttpHeaders) => Identified;

/** The name of callers where no keys are configured. */
export const ANONYMOUS = 'anonymous';

/** With no keys at all everybody is `anonymous`; whether that may be is decided at start (config.ts). */
export function createClientAuth(keys: readonly Key[]): Identify {
  if (keys.length === 0) return () => ({ kind: 'client', name: ANONYMOUS });
  return createKeyCheck(keys);
}

/** Nobody passes where there are no keys. */
export function createKeyCheck(keys: readonly Key[]): Identify {
  // Salted by this process: equal lengths to compare, and nothing to learn from how far a comparison came.
  // (An HMAC object costs ten times the one-shot hash, and would add nothing: digests never leave this function.)
  const salt = randomBytes(32).toString('hex');
  const digest = (text: string): Buffer => hash('sha256', salt + text, 'buffer');
  const known = keys.map(({ name, key }) => ({ name, digest: digest(key) }));
  return (headers) => {
    const sent = credentialsOf(headers);
    if (sent.length === 0) return { kind: 'missing' };
    for (const text of sent) {
      const mine = digest(text);
      let name: string | undefined;
      for (const key of known) if (timingSafeEqual(key.digest, mine)) name = key.name;
      if (name !== undefined) return { kind: 'client', name };
    }
    return { kind: 'unknown' };
  };
}

/** Both are looked at: some clients send a placeholder in the one and their key in the other. */
function credentialsOf(headers: IncomingHttpHeaders): readonly string[] {
  const { 'api-key': apiKey, authorization } = headers;
  const bearer = /^Bearer +(\S+) *$/i.exec(authorization ?? '')?.[1];
  return [typeof apiKey === 'string' ? apiKey : undefined, bearer].filter(
    (text): text is string => text !== undefined && text !== '',
  );
}
