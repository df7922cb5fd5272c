// Counts what went wrong, by reason: a benchmark of wrong answers would be worthless, so every answer is checked.

export class Tally {
  private readonly reasons = new Map<string, number>();

  add(reason: string): void {
    this.reasons.set(reason, (this.reasons.get(reason) ?? 0) + 1);
  }

  get total(): number {
    return [...this.reasons.values()].reduce((sum, count) => sum + count, 0);
  }

  snapshot(): Record<string, number> {
    return Object.fromEntries(this.reasons);
  }
}
