/**
 * Which credential a backend gets: its key, else the identity's token. Exactly one, and never the caller's.
 */
import type { Backend } from '../balancer/backend.ts';
import type { TokenSource } from './token-source.ts';

/** A header and its value. */
export interface BackendCredential {
  readonly header: 'api-key' | 'authorization';
  readonly value: string;
}

export interface BackendAuth {
  /** A key at once; a token when there is one. Rejects with TokenError when the identity cannot give one now. */
  credential(backend: Backend): BackendCredential | Promise<BackendCredential>;
}

export function createBackendAuth(keys: ReadonlyMap<string, string>, tokens: TokenSource): BackendAuth {
  const keyCredentials = new Map(
    [...keys].map(([name, value]): [string, BackendCredential] => [name, { header: 'api-key', value }]),
  );
  return {
    credential(backend) {
      return keyCredentials.get(backend.name) ?? bearer(tokens);
    },
  };
}

async function bearer(tokens: TokenSource): Promise<BackendCredential> {
  return { header: 'authorization', value: `Bearer ${await tokens.token()}` };
}
