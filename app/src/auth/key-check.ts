/** Named keys: all are compared every time, by their digests and in constant time. */
import { hash, randomBytes, timingSafeEqual } from 'node:crypto';

/** A named key from the settings. */
export interface Key {
  readonly name: string;
  readonly key: string;
}

/** The name of the key's owner; undefined when it is nobody's. */
export type CheckKey = (text: string) => string | undefined;

export function createKeyCheck(keys: readonly Key[]): CheckKey {
  const digest = createDigest();
  const known = keys.map(({ name, key }) => ({ name, digest: digest(key) }));
  return (text) => {
    if (known.length === 0) return undefined;
    const mine = digest(text);
    let name: string | undefined;
    for (const key of known) if (timingSafeEqual(key.digest, mine)) name = key.name;
    return name;
  };
}

/**
 * Salted by this process: equal lengths to compare, and nothing to learn from how far a comparison came.
 * (An HMAC object costs ten times the one-shot hash, and would add nothing: digests never leave this process.)
 */
export function createDigest(): (text: string) => Buffer {
  const salt = randomBytes(32).toString('hex');
  return (text) => hash('sha256', salt + text, 'buffer');
}
