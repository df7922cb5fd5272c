/**
 * Numbers over the last fifteen minutes, in slots of ten seconds: sums of what was lately, in constant memory. A slot is
 * the wall clock's, counted from 1970; those that nothing was added to are zero.
 */

export const SLOT_MS = 10_000;
export const SLOTS = 90;
/** A minute. */
export const MINUTE_SLOTS = 6;

/** The slot of a moment, in ms of the wall clock. */
export function slotOf(wallMs: number): number {
  return Math.floor(wallMs / SLOT_MS);
}

/** Some columns of numbers, a row for each slot. */
export class Slots {
  private readonly columns: number;
  private readonly values: Float64Array;
  private latest = 0;

  constructor(columns: number) {
    this.columns = columns;
    this.values = new Float64Array(columns * SLOTS);
  }

  add(column: number, slot: number, amount: number): void {
    if (slot > this.latest) this.advance(slot);
    // A clock does not go back; what is too old to be kept would fall into a slot of today.
    if (slot <= this.latest - SLOTS) return;
    const at = (slot % SLOTS) * this.columns + column;
    this.values[at] = (this.values[at] ?? 0) + amount;
  }

  get(column: number, slot: number): number {
    if (slot > this.latest || slot <= this.latest - SLOTS) return 0;
    return this.values[(slot % SLOTS) * this.columns + column] ?? 0;
  }

  /** Of so many slots, `slot` the latest of them. */
  sum(column: number, slot: number, count: number = SLOTS): number {
    let sum = 0;
    for (let each = slot - count + 1; each <= slot; each += 1) sum += this.get(column, each);
    return sum;
  }

  /** Empties those that were skipped: they hold what was a quarter of an hour ago. */
  private advance(slot: number): void {
    const first = Math.max(this.latest + 1, slot - SLOTS + 1);
    for (let each = first; each <= slot; each += 1) {
      const from = (each % SLOTS) * this.columns;
      this.values.fill(0, from, from + this.columns);
    }
    this.latest = slot;
  }
}
