// All that somebody can tell a simulated resource while it runs and that decides how it answers: the scripted faults, the
// throttles, the reductions of its limits and a role that is missing.

import { Limits } from './limits/limits.ts';
import type { Fault } from './scenario.ts';

export interface BehaviourSnapshot {
  readonly scriptedFaults: readonly Fault[];
  readonly standingFault: Fault | undefined;
  readonly throttledForMs: Readonly<Record<string, number>>;
  readonly reduced: ReturnType<Limits['reduced']>;
  readonly withoutRoleForMs: number;
}

const EVERY_DEPLOYMENT = '*';

export class Behaviour {
  private scripted: Fault[] = [];
  private standing: Fault | undefined;
  private readonly throttledUntil = new Map<string, number>();
  private roleAt: number;
  readonly limits: Limits;

  constructor(now: () => number, roleAfterMs = 0) {
    this.limits = new Limits(now);
    this.roleAt = now() + roleAfterMs;
  }

  script(faults: readonly Fault[]): void {
    this.scripted.push(...faults);
  }

  always(fault: Fault | undefined): void {
    this.standing = fault;
  }

  /** The fault of the request that just arrived. `stale` waits for one on a connection that was kept. */
  nextFault(isKept: boolean): Fault | undefined {
    const next = this.scripted[0] ?? this.standing;
    if (next?.kind === 'stale' && !isKept) {
      return undefined;
    }
    return this.scripted.shift() ?? this.standing;
  }

  throttle(until: number, deployment: string = EVERY_DEPLOYMENT): void {
    this.throttledUntil.set(deployment, until);
  }

  /** How long the deployment still answers 429 because it was told to; 0 when it does not. */
  throttledForMs(deployment: string, now: number): number {
    const everywhere = this.throttledUntil.get(EVERY_DEPLOYMENT) ?? 0;
    const here = this.throttledUntil.get(deployment) ?? 0;
    return Math.max(0, everywhere - now, here - now);
  }

  /** Tokens have no role here until then. */
  withoutRole(until: number): void {
    this.roleAt = until;
  }

  hasRole(now: number): boolean {
    return now >= this.roleAt;
  }

  /** Forgets every fault, throttle and reduction, gives the role and starts every quota afresh. */
  clear(): void {
    this.scripted = [];
    this.standing = undefined;
    this.throttledUntil.clear();
    this.roleAt = 0;
    this.limits.clear();
  }

  snapshot(now: number): BehaviourSnapshot {
    const throttled = [...this.throttledUntil].map(([deployment, until]) => [deployment, until - now] as const);
    return {
      scriptedFaults: [...this.scripted],
      standingFault: this.standing,
      throttledForMs: Object.fromEntries(throttled.filter(([, ms]) => ms > 0)),
      reduced: this.limits.reduced(),
      withoutRoleForMs: Math.max(0, this.roleAt - now),
    };
  }
}
