/**
 * One configured Azure OpenAI resource, and the names its deployments go by.
 * Credentials are not here: the balancing needs none (see auth/backend-auth.ts).
 */

/** A backend as the settings describe it. Frozen at start. */
export interface Backend {
  /** Name in logs, headers and metrics: `openai1`. */
  readonly name: string;
  /** Scheme, host and port only: `https://openai1-abc.openai.azure.com`. */
  readonly origin: string;
  /** Lower is asked first. */
  readonly priority: number;
  /** Share of the traffic inside a priority, greater than 0. */
  readonly weight: number;
  /** Tokens a minute of each deployment there, until an answer says it (`BACKEND_n_CAPACITY`). */
  readonly capacity?: number;
  /** Asked with a token of our identity, whose role takes some minutes to take effect; else with a key. */
  readonly byIdentity?: boolean;
  /** When set, every deployment becomes this one here (`BACKEND_n_DEPLOYMENT_NAME`). */
  readonly deploymentName?: string;
  /** When set, only these are served here: name that callers use → name here (`BACKEND_n_DEPLOYMENTS`). */
  readonly deployments?: ReadonlyMap<string, string>;
}

/** Names that callers may use → deployment name, for every backend (`DEPLOYMENT_ALIASES`). */
export type Aliases = ReadonlyMap<string, string>;

/**
 * The deployment name to send to this backend for the name that the caller used, or undefined when this backend does
 * not serve it. A request that names no deployment (`''`: models, files) is served by every backend as it is.
 * The backend's own mapping is asked for the caller's name first, then for what the alias makes of it.
 */
export function upstreamDeployment(backend: Backend, aliases: Aliases, asked: string): string | undefined {
  if (asked === '') return '';
  if (backend.deploymentName !== undefined) return backend.deploymentName;
  const aliased = aliases.get(asked) ?? asked;
  if (backend.deployments === undefined) return aliased;
  return backend.deployments.get(asked) ?? backend.deployments.get(aliased);
}
