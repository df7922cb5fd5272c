/** How long a stream may take to its first content, as long as another backend could be asked instead of it. */
import { Deadline } from './deadline.ts';

/** When it was not given up for want of another, this is looked at again so often. */
const LOOK_AGAIN_MS = 1000;

/** It is over after its time or later: when another can be asked. Slow is better than nobody. */
export class FirstContentLimit {
  /** Aborted when it is over. */
  readonly signal: AbortSignal;
  private deadline: Deadline;

  /** Runs from now. */
  constructor(ms: number, canAskAnother: () => boolean) {
    const over = new AbortController();
    const look = (): void => {
      if (canAskAnother()) over.abort();
      else this.deadline = new Deadline(Math.min(ms, LOOK_AGAIN_MS), look);
    };
    this.signal = over.signal;
    this.deadline = new Deadline(ms, look);
  }

  cancel(): void {
    this.deadline.cancel();
  }
}
