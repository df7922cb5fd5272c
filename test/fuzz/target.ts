/** One thing that reads what a stranger or a backend sends, and what must hold whatever that is. */
import type { Chance } from './mutate.ts';

/** What a check is given: bytes, and a seed for all that it chooses itself (how they are cut, with what else they come). */
export interface Input {
  readonly bytes: Buffer;
  readonly seed: number;
}

export interface Target {
  readonly name: string;
  /** What holds, in a sentence. */
  readonly property: string;
  /** Valid inputs, from which others are made. */
  readonly samples: readonly Buffer[];
  readonly words: readonly Buffer[];
  /** Of an input, in bytes; 2,048 unless it says so. */
  readonly longest?: number;
  /** How many cases of those that were asked for it gets: less than 1 for what is slow. */
  readonly share?: number;
  /** What once went wrong, and must not again. */
  readonly regressions?: readonly Input[];
  /** What it needs around it, such as servers; gives what ends that. */
  open?(): Promise<() => Promise<void>>;
  /** Throws when it does not hold; else what the input came to, in a word or two of which there are not many. */
  check(bytes: Buffer, chance: Chance): string | Promise<string>;
}

export function bytesOf(...texts: readonly (string | Buffer)[]): readonly Buffer[] {
  return texts.map((text) => Buffer.from(text));
}

/** Written in a row, with a broken bar between two: other characters are wanted as they are. */
export function wordsOf(...rows: readonly string[]): readonly Buffer[] {
  return bytesOf(...rows.flatMap((row) => row.split('¦')));
}

/** An input that once went wrong. */
export function once(text: string | Buffer, seed = 0): Input {
  return { bytes: Buffer.from(text), seed };
}

/** What JSON.parse makes of these bytes; undefined when it is no JSON. */
export function parsedJson(bytes: Buffer): { readonly value: unknown } | undefined {
  try {
    return { value: JSON.parse(bytes.toString('utf8').replace(/^\uFEFF/, '')) };
  } catch {
    return undefined;
  }
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
