/** What is known of the backends at a moment, for the status page, the metrics and tests. Times are clock ms. */
import type { Backend } from './backend.ts';
import { standing, type BreakerState, type Standing } from './circuit-breaker.ts';
import type { Reduction } from './foresight.ts';
import type { Host } from './pool-state.ts';
import type { Quota } from './quota.ts';

/** A backend × deployment. */
export interface DeploymentSnapshot {
  readonly deployment: string;
  readonly standing: Standing;
  readonly state: BreakerState;
  readonly inFlight: number;
  readonly quota?: Quota;
  /** The platform has reduced its tokens a minute for a while. */
  readonly reduction?: Reduction;
}

/** A backend as a whole. */
export interface BackendSnapshot {
  readonly backend: Backend;
  readonly standing: Standing;
  readonly state: BreakerState;
  readonly inFlight: number;
  readonly deployments: readonly DeploymentSnapshot[];
}

export interface PoolSnapshot {
  readonly backends: readonly BackendSnapshot[];
}

export function snapshotOf(hosts: readonly Host[], now: number): PoolSnapshot {
  return { backends: hosts.map((host) => backendSnapshot(host, now)) };
}

function backendSnapshot(host: Host, now: number): BackendSnapshot {
  const { backend, state, inFlight } = host;
  const deployments = [...host.entries.values()].map((entry) => {
    const { quota } = entry;
    const reduction = entry.foresight.reduction();
    return {
      deployment: entry.deployment,
      standing: standing(entry.state, entry.inFlight, now),
      state: entry.state,
      inFlight: entry.inFlight,
      ...(quota === undefined ? {} : { quota }),
      ...(reduction === undefined ? {} : { reduction }),
    };
  });
  return { backend, standing: standing(state, inFlight, now), state, inFlight, deployments };
}
