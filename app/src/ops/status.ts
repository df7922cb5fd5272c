/** The balancer's state as one JSON document: what `/status` gives to programs. No secret is in it. */
import type { BackendSnapshot, DeploymentSnapshot, PoolSnapshot } from '../balancer/snapshot.ts';
import type { BreakerState } from '../balancer/circuit-breaker.ts';
import { describeState } from '../telemetry/state-words.ts';

export interface StatusDocument {
  readonly state: 'serving' | 'draining';
  readonly uptimeSeconds: number;
  readonly requestsInFlight: number;
  readonly bytesBuffered: number;
  readonly backends: readonly BackendStatus[];
}

export interface BackendStatus {
  readonly name: string;
  readonly url: string;
  readonly priority: number;
  readonly weight: number;
  readonly state: BreakerState['kind'];
  /** The state as a sentence. */
  readonly says: string;
  readonly inFlight: number;
  readonly deployments: readonly DeploymentStatus[];
}

export interface DeploymentStatus {
  readonly deployment: string;
  readonly state: BreakerState['kind'];
  readonly says: string;
  readonly inFlight: number;
  readonly quota?: DeploymentSnapshot['quota'];
  readonly reduction?: DeploymentSnapshot['reduction'];
}

export interface StatusParts {
  readonly isDraining: boolean;
  readonly uptimeMs: number;
  readonly requestsInFlight: number;
  readonly bytesBuffered: number;
  readonly pool: PoolSnapshot;
  /** Clock ms, of the pool's clock. */
  readonly now: number;
}

export function statusDocument(parts: StatusParts): StatusDocument {
  const { isDraining, uptimeMs, requestsInFlight, bytesBuffered, pool, now } = parts;
  return {
    state: isDraining ? 'draining' : 'serving',
    uptimeSeconds: Math.round(uptimeMs / 1000),
    requestsInFlight,
    bytesBuffered,
    backends: pool.backends.map((snapshot) => backendStatus(snapshot, now)),
  };
}

function backendStatus({ backend, state, inFlight, deployments }: BackendSnapshot, now: number): BackendStatus {
  const { name, origin, priority, weight } = backend;
  return {
    name,
    url: origin,
    priority,
    weight,
    state: state.kind,
    says: describeState(state, now),
    inFlight,
    deployments: deployments.map((deployment) => ({
      deployment: deployment.deployment,
      state: deployment.state.kind,
      says: describeState(deployment.state, now),
      inFlight: deployment.inFlight,
      ...(deployment.quota === undefined ? {} : { quota: deployment.quota }),
      ...(deployment.reduction === undefined ? {} : { reduction: deployment.reduction }),
    })),
  };
}
