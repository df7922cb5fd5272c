// All that changes while a simulated resource runs and decides how it answers: the scripted faults, the throttles and
// the quota of each deployment.

import { decideQuota, freshQuota } from './quota.ts';
import type { QuotaLimits, QuotaState, QuotaVerdict } from './quota.ts';
import type { Fault } from './scenario.ts';

export interface BehaviourSnapshot {
  readonly scriptedFaults: readonly Fault[];
  readonly standingFault: Fault | undefined;
  readonly throttledForMs: Readonly<Record<string, number>>;
}

const EVERY_DEPLOYMENT = '*';

export class Behaviour {
  private scripted: Fault[] = [];
  private standing: Fault | undefined;
  private readonly throttledUntil = new Map<string, number>();
  private readonly quotas = new Map<string, QuotaState>();

  script(faults: readonly Fault[]): void {
    this.scripted.push(...faults);
  }

  always(fault: Fault | undefined): void {
    this.standing = fault;
  }

  /** The fault of the request that just arrived. */
  nextFault(): Fault | undefined {
    return this.scripted.length > 0 ? this.scripted.shift() : this.standing;
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

  countAgainstQuota(deployment: string, limits: QuotaLimits, tokens: number, now: number): QuotaVerdict {
    if (limits.tpm === undefined && limits.rpm === undefined) {
      return unlimited;
    }
    const decided = decideQuota(this.quotas.get(deployment) ?? freshQuota, { tokens }, limits, now);
    this.quotas.set(deployment, decided.state);
    return decided.verdict;
  }

  /** Forgets every fault and throttle and starts every quota afresh. */
  clear(): void {
    this.scripted = [];
    this.standing = undefined;
    this.throttledUntil.clear();
    this.quotas.clear();
  }

  snapshot(now: number): BehaviourSnapshot {
    const throttled = [...this.throttledUntil].map(([deployment, until]) => [deployment, until - now] as const);
    return {
      scriptedFaults: [...this.scripted],
      standingFault: this.standing,
      throttledForMs: Object.fromEntries(throttled.filter(([, ms]) => ms > 0)),
    };
  }
}

const unlimited: QuotaVerdict = { kind: 'admitted', remaining: {} };
