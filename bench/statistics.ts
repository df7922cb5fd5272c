// Order statistics of small samples; nearest rank, nothing is interpolated.

export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const rank = Math.max(1, Math.ceil(share * sorted.length));
  return sorted[rank - 1] ?? Number.NaN;
}

export function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

export function minimum(values: readonly number[]): number {
  return percentile(values, 0);
}

export interface Ratio {
  readonly ofMinimums: number;
  readonly ofMedians: number;
  /** The median of the ratios of each round: the one that drift of the machine disturbs least. */
  readonly ofRounds: number;
}

/** How often `theirs` goes into `ours`; both have one value a round. */
export function ratioOf(ours: readonly number[], theirs: readonly number[]): Ratio {
  return {
    ofMinimums: minimum(ours) / minimum(theirs),
    ofMedians: median(ours) / median(theirs),
    ofRounds: median(ours.map((value, round) => value / (theirs[round] ?? Number.NaN))),
  };
}
