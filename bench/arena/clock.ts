// Virtual time: what is due runs in the order of its time, and among equals in the order in which it was asked for.
// Between two things that are due everybody who awaits something gets their turn.

/** Something that is due at a time; undefined when it was cancelled. */
export class Timer {
  readonly at: number;
  readonly order: number;
  run: (() => void) | undefined;

  constructor(at: number, order: number, run: () => void) {
    this.at = at;
    this.order = order;
    this.run = run;
  }
}

/** Node's timers wait a whole number of ms, and no less than one. */
const SHORTEST_TIMER_MS = 1;

export class VirtualClock {
  /** ms. */
  private time = 0;
  private asked = 0;
  /** A heap: the parent of each, at (n − 1) / 2, is due before it. */
  private readonly heap: Timer[] = [];

  readonly now = (): number => this.time;

  /** Runs it when the clock shows that time; at once, after all that is due, when it is past. */
  at(time: number, run: () => void): Timer {
    this.asked += 1;
    const due = new Timer(Math.max(time, this.time), this.asked, run);
    this.push(due);
    return due;
  }

  /** As `setTimeout` does. */
  after(ms: number, run: () => void): Timer {
    return this.at(this.time + Math.max(SHORTEST_TIMER_MS, Math.trunc(ms)), run);
  }

  cancel(timer: Timer): void {
    timer.run = undefined;
  }

  /** Resolves then. */
  until(time: number): Promise<void> {
    return new Promise((resolve) => {
      this.at(time, resolve);
    });
  }

  /** Runs until nothing is due any more. */
  async run(): Promise<void> {
    await settled();
    for (let due = this.pop(); due !== undefined; due = this.pop()) {
      if (due.run === undefined) continue;
      this.time = due.at;
      due.run();
      await settled();
    }
  }

  private push(due: Timer): void {
    const { heap } = this;
    let at = heap.push(due) - 1;
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = heap[above];
      if (parent === undefined || !isBefore(due, parent)) break;
      heap[at] = parent;
      at = above;
    }
    heap[at] = due;
  }

  private pop(): Timer | undefined {
    const { heap } = this;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || first === last) return first;
    let at = 0;
    for (;;) {
      const left = heap[2 * at + 1];
      const right = heap[2 * at + 2];
      const isRight = left !== undefined && right !== undefined && isBefore(right, left);
      const child = isRight ? right : left;
      if (child === undefined || !isBefore(child, last)) break;
      heap[at] = child;
      at = 2 * at + (isRight ? 2 : 1);
    }
    heap[at] = last;
    return first;
  }
}

function isBefore(a: Timer, b: Timer): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

/** Node takes up the next tick when no promise has anything left to do. */
function settled(): Promise<void> {
  return new Promise((resolve) => {
    queueMicrotask(() => process.nextTick(resolve));
  });
}
