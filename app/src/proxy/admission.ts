/**
 * May this request enter? Bounds what is in flight and, through the byte budget, what is held in memory; and takes nobody
 * whom it would only serve too late.
 */
import { createByteBudget, type ByteBudget } from './request-body.ts';
import type { IsBehind } from './turns.ts';

export interface Admission {
  /** Why it may not come in now; undefined when it is in, which is answered by one `leave`. */
  enter(): NoRoom | undefined;
  readonly leave: () => void;
  readonly inFlight: number;
  readonly bodies: ByteBudget;
}

/** `full`: as many as may be are in. `behind`: those who have come already are more than can be served in time. */
export type NoRoom = 'full' | 'behind';

export function createAdmission(limits: {
  readonly mostRequests: number;
  readonly mostBufferedBytes: number;
  readonly isBehind: IsBehind;
}): Admission {
  let inFlight = 0;
  return {
    enter() {
      // Asked for everybody: it counts them.
      if (limits.isBehind()) return 'behind';
      if (inFlight >= limits.mostRequests) return 'full';
      inFlight += 1;
      return undefined;
    },
    leave: () => {
      inFlight -= 1;
    },
    get inFlight() {
      return inFlight;
    },
    bodies: createByteBudget(limits.mostBufferedBytes),
  };
}
