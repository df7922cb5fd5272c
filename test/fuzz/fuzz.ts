/**
 * Runs one target: so many inputs made from its samples, and from those that came to something new. What fails is made
 * smaller as long as it still fails. The same seed and number of cases give the same inputs.
 */
import { chanceOf, mutate, type Chance } from './mutate.ts';
import type { Input, Target } from './target.ts';

export interface Failure {
  /** Which case it was, counted from 0. */
  readonly number: number;
  readonly input: Input;
  /** The same failure, or another one, with less. */
  readonly shrunk: Input;
  readonly error: unknown;
}

export interface Fuzzed {
  readonly target: Target;
  readonly seed: number;
  readonly cases: number;
  readonly ms: number;
  /** What the inputs came to, and how many of them. */
  readonly outcomes: ReadonlyMap<string, number>;
  readonly slowestMs: number;
  readonly failure?: Failure;
}

/** Inputs that came to something new are kept, so that others are made from them. */
const MOST_KEPT = 400;
const MOST_OUTCOMES = 10_000;
const LONGEST = 2048;
const MOST_SHRINKS = 4000;
/** Of what fails slowly, less is tried. */
const LONGEST_SHRINKING_MS = 60_000;

export async function fuzz(target: Target, cases: number, seed: number): Promise<Fuzzed> {
  const close = await target.open?.();
  try {
    return await fuzzOpen(target, cases, seed);
  } finally {
    await close?.();
  }
}

/** One input, as it was told. */
export async function checkOnce(target: Target, input: Input): Promise<string> {
  const close = await target.open?.();
  try {
    return await check(target, input);
  } finally {
    await close?.();
  }
}

async function fuzzOpen(target: Target, cases: number, seed: number): Promise<Fuzzed> {
  const { samples, words, longest = LONGEST } = target;
  const ingredients = { samples, words, longest };
  const kept: Buffer[] = [];
  const outcomes = new Map<string, number>();
  let slowestMs = 0;
  const startedAt = performance.now();
  const told = (number: number): Fuzzed => {
    const ms = performance.now() - startedAt;
    return { target, seed, cases: number, ms, outcomes, slowestMs };
  };
  for (let number = 0; number < cases; number += 1) {
    const chance = chanceOf(seed, number);
    const from = kept.length > 0 && chance.oneIn(2) ? chance.pick(kept) : chance.pick(samples);
    const input = { bytes: mutate(from ?? Buffer.alloc(0), ingredients, chance), seed: chance.below(2 ** 31) };
    const began = performance.now();
    try {
      const checked = check(target, input);
      const outcome = typeof checked === 'string' ? checked : await checked;
      const before = outcomes.get(outcome) ?? 0;
      if (before > 0 || outcomes.size < MOST_OUTCOMES) outcomes.set(outcome, before + 1);
      if (before === 0) keep(kept, input.bytes, chance);
    } catch (error) {
      const shrunk = await shrink(target, input);
      return {
        ...told(number + 1),
        failure: { number, input, shrunk, error: (await errorOf(target, shrunk)) ?? error },
      };
    }
    slowestMs = Math.max(slowestMs, performance.now() - began);
    // Streams and timers have their turn.
    if (number % 1024 === 1023) await new Promise((resolve) => setImmediate(resolve));
  }
  return told(cases);
}

function check(target: Target, { bytes, seed }: Input): string | Promise<string> {
  return target.check(Buffer.from(bytes), chanceOf(seed));
}

function keep(kept: Buffer[], bytes: Buffer, chance: Chance): void {
  // Not the large buffer that it may be a part of.
  if (kept.length < MOST_KEPT) kept.push(Buffer.from(bytes));
  else kept[chance.below(MOST_KEPT)] = Buffer.from(bytes);
}

async function errorOf(target: Target, input: Input): Promise<unknown> {
  try {
    await check(target, input);
    return undefined;
  } catch (error) {
    return error;
  }
}

/** Pieces are taken out, large ones first; then bytes become plain; then the choices are tried with small seeds. */
async function shrink(target: Target, from: Input): Promise<Input> {
  let smallest = from;
  let left = MOST_SHRINKS;
  const until = performance.now() + LONGEST_SHRINKING_MS;

  async function fails(input: Input): Promise<boolean> {
    left -= 1;
    if (performance.now() > until) left = 0;
    if (left <= 0 || (await errorOf(target, input)) === undefined) return false;
    smallest = input;
    return true;
  }

  for (let isSmaller = true; isSmaller && left > 0;) {
    isSmaller = false;
    for (let size = Math.max(1, smallest.bytes.length >> 1); size >= 1; size >>= 1) {
      for (let at = 0; at < smallest.bytes.length && left > 0;) {
        const { bytes, seed } = smallest;
        const less = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + size)]);
        if (await fails({ bytes: less, seed })) isSmaller = true;
        else at += size;
      }
    }
  }
  for (let at = 0; at < smallest.bytes.length && left > 0; at += 1) {
    const bytes = Buffer.from(smallest.bytes);
    if (bytes[at] === 0x61) continue;
    bytes[at] = 0x61;
    await fails({ bytes, seed: smallest.seed });
  }
  for (let seed = 0; seed < 20 && smallest.seed >= 20; seed += 1) await fails({ bytes: smallest.bytes, seed });
  return smallest;
}
