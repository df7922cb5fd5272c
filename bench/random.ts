// Chance from a seed. What befalls one request is drawn by its number, so that it befalls it under every contender.

/** mulberry32: numbers from 0 to below 1, the same for the same seed. */
export function randomFrom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A source of its own for whatever these numbers name. */
export function randomOf(...names: readonly number[]): () => number {
  let seed = 0x2545f491;
  for (const name of names) {
    seed = Math.imul(seed ^ name, 0x9e3779b1);
    seed ^= seed >>> 15;
  }
  return randomFrom(seed);
}

/** A whole number, both ends included. */
export function between(least: number, most: number, random: () => number): number {
  return least + Math.floor(random() * (most - least + 1));
}
