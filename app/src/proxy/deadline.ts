/**
 * A time by which something must have come. After this process stood still for a while (a long pause, a machine that
 * slept), timers that fell due run before anybody looks at the sockets, and what has long been there would be too late:
 * so one turn of the event loop goes by first, in which it is read.
 */
export class Deadline {
  private readonly timer: NodeJS.Timeout;
  private readonly onLate: () => void;
  private turn: NodeJS.Immediate | undefined;

  constructor(ms: number, onLate: () => void) {
    this.onLate = onLate;
    this.timer = setTimeout(() => {
      this.turn = setImmediate(this.onLate);
    }, ms);
  }

  /** From now on as long again. */
  renew(): void {
    clearImmediate(this.turn);
    this.timer.refresh();
  }

  cancel(): void {
    clearImmediate(this.turn);
    clearTimeout(this.timer);
  }
}
