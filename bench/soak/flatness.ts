// Does something grow? The floor of the first quarter of a run is compared with the floor of its last. Pure.

export interface Tolerance {
  /** By so much it may have grown, or … */
  readonly share: number;
  /** … by so much: the larger of the two. */
  readonly amount: number;
}

export interface Flatness {
  readonly first: number;
  readonly last: number;
  readonly allowed: number;
  readonly isFlat: boolean;
  /** Of the floors of all four quarters, none below the one before, and the last beyond half of what is allowed. */
  readonly isCreeping: boolean;
}

/** A floor is the second lowest: a look at a moment when, by chance, nobody asked should not decide. */
export function flatnessOf(values: readonly number[], { share, amount }: Tolerance): Flatness {
  const floors = [0, 1, 2, 3].map((quarter) =>
    floorOf(values.slice(Math.floor((quarter * values.length) / 4), Math.floor(((quarter + 1) * values.length) / 4))),
  );
  const [first = Number.NaN, second = Number.NaN, third = Number.NaN, last = Number.NaN] = floors;
  const allowed = first + Math.max(share * first, amount);
  const isCreeping = first < second && second < third && third < last && last - first > (allowed - first) / 2;
  return { first, last, allowed, isFlat: last <= allowed && !isCreeping, isCreeping };
}

function floorOf(values: readonly number[]): number {
  const sorted = [...values].sort((one, other) => one - other);
  return sorted[1] ?? sorted[0] ?? Number.NaN;
}
