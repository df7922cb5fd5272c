/**
 * How much can it do? Callers who wait for their answers make large batches of themselves, and batches are cheap: what they get is more
 * than a balancer can bear of callers who come when they like. So the rate is raised step by step, faults and all, until somebody
 * is turned away. Pure, but for the trying.
 */

export interface Step {
  readonly perSecond: number;
  readonly isBorne: boolean;
}

export interface Climb {
  readonly fromPerSecond: number;
  readonly stepPerSecond: number;
  readonly mostSteps: number;
  /** True when this rate was borne. */
  readonly tryRate: (perSecond: number) => Promise<boolean>;
}

/** All steps in their order; a rate that was not borne is tried once more, because a fault may have been at its worst just then. */
export async function climb({ fromPerSecond, stepPerSecond, mostSteps, tryRate }: Climb): Promise<Step[]> {
  const steps: Step[] = [];
  let hasFailed = false;
  for (let height = 0; height < mostSteps;) {
    const perSecond = fromPerSecond + height * stepPerSecond;
    const isBorne = await tryRate(perSecond);
    steps.push({ perSecond, isBorne });
    if (!isBorne && hasFailed) break;
    hasFailed = !isBorne;
    if (isBorne) height += 1;
  }
  return steps;
}

/** The highest rate that was borne. */
export function capacityOf(steps: readonly Step[]): number {
  return Math.max(0, ...steps.filter(({ isBorne }) => isBorne).map(({ perSecond }) => perSecond));
}
