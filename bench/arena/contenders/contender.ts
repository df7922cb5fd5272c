// A rule of balancing, as the arena drives it.
import type { DeploymentSpec } from '../../../simulator/options.ts';
import type { VirtualClock } from '../clock.ts';
import type { Ask } from '../resources.ts';
import type { ArenaRequest } from '../workload.ts';

/** What it is given. Only the oracle may look into `specs`, and usage-based at the quotas, which its users configure. */
export interface Surroundings {
  readonly clock: VirtualClock;
  readonly ask: Ask;
  readonly specs: readonly DeploymentSpec[];
  readonly random: () => number;
  /** So long a request may wait here. */
  readonly maxHoldMs: number;
}

/** What its caller got: the whole answer, or a throttle. */
export type Ending = 'answered' | 'refused';

export type Serve = (request: ArenaRequest) => Promise<Ending>;

export interface Contender {
  /** Sees every window, and asks without delay. */
  readonly isOracle?: boolean;
  readonly start: (surroundings: Surroundings) => Serve;
}
