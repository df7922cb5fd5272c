/**
 * How much can it do, and do well? The rate of callers who come when they like is raised step by step, faults and all, until somebody is
 * turned away or answers take noticeably longer. (What callers get who wait for their answers says too much: they make large batches
 * of themselves, and batches are cheap.) Pure, but for the trying.
 */

/** How it was at a rate. */
export interface Tried {
  readonly turnedAway: number;
  /** Of answers. */
  readonly p50Ms: number;
  readonly loopP99Ms: number;
  readonly cpuPercent: number;
}

export interface Step extends Tried {
  readonly perSecond: number;
  readonly isBorne: boolean;
}

export interface Climb {
  /** So few that nobody waits for another. */
  readonly restPerSecond: number;
  readonly fromPerSecond: number;
  readonly stepPerSecond: number;
  readonly mostSteps: number;
  readonly tryRate: (perSecond: number) => Promise<Tried>;
}

/** Half of the answers may take so much longer than at rest. A model takes seconds: nobody notices. */
export const SLOWER_MS = 100;

/** Chance decides what a fault meets: a rate that was not borne is borne after all when it is in both of two more tries. */
const MORE_TRIES = 2;

/** All tries in their order. */
export async function climb({
  restPerSecond,
  fromPerSecond,
  stepPerSecond,
  mostSteps,
  tryRate,
}: Climb): Promise<Step[]> {
  const rest = await tryRate(restPerSecond);
  const steps: Step[] = [{ perSecond: restPerSecond, ...rest, isBorne: true }];
  let failures = 0;
  let height = 0;
  for (let tries = 0; height < mostSteps;) {
    const perSecond = fromPerSecond + height * stepPerSecond;
    const tried = await tryRate(perSecond);
    const isBorne = tried.turnedAway === 0 && tried.p50Ms <= rest.p50Ms + SLOWER_MS;
    steps.push({ perSecond, ...tried, isBorne });
    tries += 1;
    if (!isBorne) failures += 1;
    if (failures > 1) break;
    if (failures === 0 || tries > MORE_TRIES) {
      height += 1;
      [tries, failures] = [0, 0];
    }
  }
  return steps;
}

/** The highest rate that was borne more often than not. */
export function capacityOf(steps: readonly Step[]): number {
  const balance = new Map<number, number>();
  for (const { perSecond, isBorne } of steps) {
    balance.set(perSecond, (balance.get(perSecond) ?? 0) + (isBorne ? 1 : -1));
  }
  return Math.max(0, ...[...balance].filter(([, more]) => more > 0).map(([perSecond]) => perSecond));
}
