// What a simulated resource is told when it is started.

import type { ServerCertificate } from './tls.ts';

export interface DeploymentSpec {
  readonly model: string;
  /** Tokens a minute; absent: unlimited. */
  readonly tpm?: number;
  /** Requests a minute; absent: unlimited. */
  readonly rpm?: number;
}

export interface ResourceOptions {
  readonly name: string;
  readonly deployments: Readonly<Record<string, DeploymentSpec>>;
  /** Accepted in `api-key` or as `Authorization: Bearer`. */
  readonly apiKey?: string;
  /** Accepted as `Authorization: Bearer`. With neither this nor a key any credential is accepted, even none. */
  readonly bearerToken?: string;
  /** Default 0: a free one. Always on 127.0.0.1. */
  readonly port?: number;
  /** With one it speaks TLS; see createAuthority in tls.ts. */
  readonly tls?: ServerCertificate;
  /** Shown in x-ms-region. */
  readonly region?: string;
  /** Clock in ms for quotas and throttles; default Date.now. */
  readonly now?: () => number;
  /** Pause between two events of a stream; default 0. */
  readonly chunkDelayMs?: number;
  /** How many content chunks a streamed answer has; default 8. */
  readonly answerTokens?: number;
}
