/** ms since the epoch with fractions, and never back. */
export function clock(): number {
  return performance.timeOrigin + performance.now();
}
