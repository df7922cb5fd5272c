// What a simulated resource is told when it is started.

import type { ProvisionedLimits } from './limits/provisioned.ts';
import type { QuotaLimits } from './limits/quota.ts';
import type { ServerCertificate } from './tls.ts';

/** With `tpm`, `rpm` and how they are counted; all absent: unlimited. */
export interface DeploymentSpec extends QuotaLimits {
  readonly model: string;
  /** Makes it a provisioned deployment (PTU), limited by this alone. */
  readonly provisioned?: ProvisionedLimits;
  /** Of a provisioned deployment: the one of this resource that answers what it refuses; wins over the request's header. */
  readonly spilloverDeploymentName?: string;
  /** A longer prompt is answered 400 `context_length_exceeded`; absent: unlimited. */
  readonly contextTokens?: number;
  /** Thinks before every answer, also when a request asks for no reasoning. */
  readonly reasoning?: boolean;
  /** With `false` it refuses `stream_options` in every api-version, as a model that is served by others may. */
  readonly hasStreamOptions?: boolean;
}

export interface ResourceOptions {
  readonly name: string;
  readonly deployments: Readonly<Record<string, DeploymentSpec>>;
  /** Accepted in `api-key` or as `Authorization: Bearer`. */
  readonly apiKey?: string;
  /** Keys are answered 403 `AuthenticationTypeDisabled`, as with `disableLocalAuth`. */
  readonly isKeyless?: boolean;
  /** Accepted as `Authorization: Bearer`. With neither this nor a key any credential is accepted, even none. */
  readonly bearerToken?: string;
  /** For so long after the start the role of tokens is not yet known here: 401 `PermissionDenied`. */
  readonly roleAfterMs?: number;
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
  /** How long a batch or a background response stays in each status on its way; default 1000. */
  readonly jobStepMs?: number;
}

/** The deployment of that name, exactly. */
export function deploymentOf({ deployments }: ResourceOptions, name: string): DeploymentSpec | undefined {
  return Object.hasOwn(deployments, name) ? deployments[name] : undefined;
}
