/**
 * May this request enter? Bounds what is in flight and, through the byte budget, what is held in memory.
 */
import { createByteBudget, type ByteBudget } from './request-body.ts';

export interface Admission {
  /** False when the house is full. Each true is answered by one `leave`. */
  enter(): boolean;
  readonly leave: () => void;
  readonly inFlight: number;
  readonly bodies: ByteBudget;
}

export function createAdmission(limits: {
  readonly mostRequests: number;
  readonly mostBufferedBytes: number;
}): Admission {
  let inFlight = 0;
  return {
    enter() {
      if (inFlight >= limits.mostRequests) return false;
      inFlight += 1;
      return true;
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
