/**
 * Bytes made out of other bytes: valid samples with bits flipped, pieces cut, repeated, nested and exchanged, and words of
 * the grammar put where they do not belong. What comes so close to right reaches more of a parser than noise does.
 */
import { between, randomOf } from '../../bench/random.ts';

/** Choices from a seed: the same seed, the same choices. */
export interface Chance {
  /** A whole number from 0 to below `most`; 0 when that is 0. */
  below(most: number): number;
  oneIn(count: number): boolean;
  pick<T>(list: readonly [T, ...T[]]): T;
  pick<T>(list: readonly T[]): T | undefined;
}

export function chanceOf(...seeds: readonly number[]): Chance {
  const random = randomOf(...seeds);
  const below = (most: number): number => (most < 1 ? 0 : between(0, most - 1, random));
  function pick<T>(list: readonly [T, ...T[]]): T;
  function pick<T>(list: readonly T[]): T | undefined;
  function pick<T>(list: readonly T[]): T | undefined {
    return list[below(list.length)];
  }
  return { below, oneIn: (count) => below(count) === 0, pick };
}

/** What is mixed in. */
export interface Ingredients {
  /** Other valid inputs, pieces of which may come in. */
  readonly samples: readonly Buffer[];
  /** What the grammar consists of. */
  readonly words: readonly Buffer[];
  /** Nothing longer is made. */
  readonly longest: number;
}

type Mutation = (bytes: Buffer, ingredients: Ingredients, chance: Chance) => Buffer;

/** Bytes that mean something to somebody: ends of lines and texts, quotes, halves of characters, what cannot be printed. */
const ODD_BYTES = Buffer.from(
  '\0\t\n\v\f\r\u001B "#%&\'()*+,-./0129:;<=>?@AZ[\\]^_`az{|}~\u007F\u0080\u00FF\u00C3\u00E2\u00F0',
  'latin1',
);
/** U+2028, a mark of the byte order, four bytes, half of a pair, an encoding that is too long, a fullwidth letter, a long s. */
const ODD_TEXTS = ['\u2028', '\uFEFF', '😀', 'ü', '\u00A0', '\u0301', '\u202E', 'ｍ', 'ſ'].map((text) =>
  Buffer.from(text),
);
const ODD_SEQUENCES = [
  Buffer.from([0xed, 0xa0, 0x80]),
  Buffer.from([0xc0, 0xaf]),
  Buffer.from([0xf0, 0x9f]),
  ...ODD_TEXTS,
];
const NUMBERS = ['0', '-1', '1e999', '9007199254740993', '99999999999999999999', '0x10', '1.5', 'NaN', '00'].map(
  (text) => Buffer.from(text),
);

const MUTATIONS: readonly [Mutation, ...Mutation[]] = [
  // A bit.
  (bytes, _, chance) => {
    const copy = Buffer.from(bytes);
    const at = chance.below(copy.length);
    if (at < copy.length) copy[at] = (copy[at] ?? 0) ^ (1 << chance.below(8));
    return copy;
  },
  // A byte.
  (bytes, _, chance) => {
    const copy = Buffer.from(bytes);
    const at = chance.below(copy.length);
    if (at < copy.length) copy[at] = oddByte(chance);
    return copy;
  },
  // An odd byte, or an odd text, more.
  (bytes, _, chance) => inserted(bytes, Buffer.from([oddByte(chance)]), chance),
  (bytes, _, chance) => inserted(bytes, chance.pick(ODD_SEQUENCES) ?? bytes, chance),
  // A word of the grammar.
  (bytes, { words }, chance) => inserted(bytes, chance.pick(words) ?? Buffer.alloc(0), chance),
  (bytes, { words }, chance) => replaced(bytes, chance.pick(words) ?? Buffer.alloc(0), chance),
  // A number that is none, or too many.
  (bytes, _, chance) => replaced(bytes, chance.pick(NUMBERS) ?? bytes, chance),
  // Cut: the end, the beginning, or a piece.
  (bytes, _, chance) => bytes.subarray(0, chance.below(bytes.length + 1)),
  (bytes, _, chance) => bytes.subarray(chance.below(bytes.length + 1)),
  (bytes, _, chance) => replaced(bytes, Buffer.alloc(0), chance),
  // A piece again, somewhere else or many times.
  (bytes, _, chance) => inserted(bytes, pieceOf(bytes, chance), chance),
  (bytes, { longest }, chance) => repeated(bytes, longest, chance),
  // Inside itself.
  (bytes, _, chance) => {
    const at = chance.below(bytes.length + 1);
    return Buffer.concat([bytes.subarray(0, at), bytes, bytes.subarray(at)]);
  },
  // Two pieces exchanged.
  (bytes, _, chance) => {
    const [a, b, c] = [0, 0, 0].map(() => chance.below(bytes.length + 1)).toSorted((x, y) => x - y);
    return Buffer.concat([bytes.subarray(0, a), bytes.subarray(b, c), bytes.subarray(a, b), bytes.subarray(c)]);
  },
  // The beginning of one and the end of another.
  (bytes, { samples }, chance) => {
    const other = chance.pick(samples) ?? bytes;
    return Buffer.concat([
      bytes.subarray(0, chance.below(bytes.length + 1)),
      other.subarray(chance.below(other.length + 1)),
    ]);
  },
  // A piece of another.
  (bytes, { samples }, chance) => inserted(bytes, pieceOf(chance.pick(samples) ?? bytes, chance), chance),
];

/** Bytes near these; one time in twenty these. */
export function mutate(bytes: Buffer, ingredients: Ingredients, chance: Chance): Buffer {
  if (chance.oneIn(20)) return bytes;
  let mutated = bytes;
  for (let left = 1 + chance.below(1 << chance.below(4)); left > 0; left -= 1) {
    mutated = chance.pick(MUTATIONS)(mutated, ingredients, chance).subarray(0, ingredients.longest);
  }
  return mutated;
}

/** The bytes in pieces, none of them empty: whole, halved, one by one, cut at line ends, or anyhow. */
export function piecesOf(bytes: Buffer, chance: Chance): readonly Buffer[] {
  const how = chance.below(6);
  if (bytes.length === 0) return [];
  if (how === 0) return [bytes];
  const pieces: Buffer[] = [];
  const most = [0, bytes.length, 1, 0, 4, 64][how] ?? 1;
  for (let at = 0; at < bytes.length;) {
    const size = how === 3 ? toLineEnd(bytes, at, chance) : 1 + chance.below(bytes.length > 4096 ? most * 64 : most);
    pieces.push(bytes.subarray(at, at + size));
    at += size;
  }
  return pieces;
}

/** Up to a line end, with it or without, as it comes. */
function toLineEnd(bytes: Buffer, from: number, chance: Chance): number {
  let at = from + 1;
  while (at < bytes.length && bytes[at] !== 0x0a && bytes[at] !== 0x0d) at += 1;
  return Math.min(bytes.length, at + chance.below(2)) - from;
}

function oddByte(chance: Chance): number {
  return chance.oneIn(4) ? chance.below(256) : (ODD_BYTES[chance.below(ODD_BYTES.length)] ?? 0);
}

function inserted(bytes: Buffer, more: Buffer, chance: Chance): Buffer {
  const at = chance.below(bytes.length + 1);
  return Buffer.concat([bytes.subarray(0, at), more, bytes.subarray(at)]);
}

function replaced(bytes: Buffer, by: Buffer, chance: Chance): Buffer {
  const from = chance.below(bytes.length + 1);
  const to = from + lengthOf(bytes.length - from, chance);
  return Buffer.concat([bytes.subarray(0, from), by, bytes.subarray(to)]);
}

function pieceOf(bytes: Buffer, chance: Chance): Buffer {
  const from = chance.below(bytes.length + 1);
  return bytes.subarray(from, from + lengthOf(bytes.length - from, chance));
}

/** Short ones more often. */
function lengthOf(most: number, chance: Chance): number {
  return chance.below(Math.min(most, 1 << chance.below(11)) + 1);
}

function repeated(bytes: Buffer, longest: number, chance: Chance): Buffer {
  const piece = pieceOf(bytes, chance);
  if (piece.length === 0) return bytes;
  const most = Math.floor((longest - bytes.length) / piece.length);
  const times = Math.min(most, chance.oneIn(30) ? most : 1 + chance.below(8));
  return times < 1 ? bytes : inserted(bytes, Buffer.concat(Array.from({ length: times }, () => piece)), chance);
}
