/** What Bicep works with, and the functions on it that our files use. */
import { createHash } from 'node:crypto';
import { BicepError, type BinaryOperator } from './syntax.ts';

export type Value = string | number | boolean | null | readonly Value[] | Values;

export interface Values {
  readonly [name: string]: Value;
}

export function isList(value: Value | undefined): value is readonly Value[] {
  return Array.isArray(value);
}

export function isRecord(value: Value | undefined): value is Values {
  return typeof value === 'object' && value !== null && !isList(value);
}

export function show(value: Value): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

export function asText(value: Value | undefined): string {
  if (typeof value !== 'string') throw new BicepError(`needs a text, not ${JSON.stringify(value)}`);
  return value;
}

/** A text that is known before anything is deployed: what is asked of a placeholder would be answered wrongly. */
function known(value: Value | undefined): string {
  const found = asText(value);
  if (found.includes('{{')) throw new BicepError(`${found} is not known before it runs`);
  return found;
}

export function asInt(value: Value | undefined): number {
  if (typeof value !== 'number') throw new BicepError(`needs a number, not ${JSON.stringify(value)}`);
  return value;
}

export function asBool(value: Value | undefined): boolean {
  if (typeof value !== 'boolean') throw new BicepError(`needs true or false, not ${JSON.stringify(value)}`);
  return value;
}

export function asList(value: Value | undefined): readonly Value[] {
  if (!isList(value)) throw new BicepError(`needs a list, not ${JSON.stringify(value)}`);
  return value;
}

function asRecord(value: Value | undefined): Values {
  if (!isRecord(value)) throw new BicepError(`needs an object, not ${JSON.stringify(value)}`);
  return value;
}

function isEmpty(value: Value | undefined): boolean {
  if (value === undefined || value === null) return true;
  return typeof value === 'string' ? value === '' : Object.keys(isList(value) ? value : asRecord(value)).length === 0;
}

function parsed(json: string): Value {
  try {
    return JSON.parse(json);
  } catch (error) {
    throw new BicepError(`is no JSON: ${json}`, { cause: error });
  }
}

/** What stands there in a value that is known; null when nothing does. */
export function at(value: Value, ...keys: readonly (string | number)[]): Value {
  return keys.reduce<Value>((within, key) => {
    const found = typeof key === 'number' ? asList(within)[key] : asRecord(within)[key];
    return found ?? null;
  }, value);
}

/** Thirteen letters and digits by the arguments, as Azure has it; its hash is another. */
export function uniqueString(...parts: readonly string[]): string {
  const digest = createHash('sha256').update(JSON.stringify(parts)).digest();
  return Array.from(digest.subarray(0, 13), (byte) => 'abcdefghijklmnopqrstuvwxyz234567'.charAt(byte % 32)).join('');
}

export function guid(...parts: readonly string[]): string {
  const hex = createHash('sha256').update(JSON.stringify(parts)).digest('hex');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*$/, '$1-$2-$3-$4-$5');
}

/** Inside another text. */
export function inText(value: Value): string {
  if (typeof value === 'string' || typeof value === 'number') return String(value);
  throw new BicepError(`${JSON.stringify(value)} stands in a text`);
}

function areEqual(left: Value, right: Value): boolean {
  if (isList(left) || isRecord(left)) throw new BicepError(`compares ${JSON.stringify(left)}`);
  return left === right;
}

/** The right side is asked for only where it matters. */
export const OPERATORS: Readonly<Record<BinaryOperator, (left: () => Value, right: () => Value) => Value>> = {
  '??': (left, right) => left() ?? right(),
  '||': (left, right) => asBool(left()) || asBool(right()),
  '&&': (left, right) => asBool(left()) && asBool(right()),
  '==': (left, right) => areEqual(left(), right()),
  '!=': (left, right) => !areEqual(left(), right()),
  '<=': (left, right) => asInt(left()) <= asInt(right()),
  '>=': (left, right) => asInt(left()) >= asInt(right()),
  '<': (left, right) => asInt(left()) < asInt(right()),
  '>': (left, right) => asInt(left()) > asInt(right()),
  '+': (left, right) => asInt(left()) + asInt(right()),
  '-': (left, right) => asInt(left()) - asInt(right()),
};

function union(first: Values, second: Values): Values {
  const both = Object.keys(second).filter((name) => isRecord(first[name]) || isList(first[name]));
  if (both.length > 0) throw new BicepError(`joins two objects called ${both.join(', ')}, which is not known here`);
  return { ...first, ...second };
}

/** Of a list, an object by its keys, or a text; only keys are compared without regard to case. */
function contains(of: Value | undefined, what: Value | undefined): boolean {
  if (isList(of)) return of.some((item) => areEqual(item, what ?? null));
  if (isRecord(of)) return Object.keys(of).some((key) => key.toLowerCase() === asText(what).toLowerCase());
  return known(of).includes(asText(what));
}

type BicepFunction = (...args: readonly Value[]) => Value;

/** Those with a lambda and those about the deployment are in evaluate.ts. */
export const FUNCTIONS: Readonly<
  Record<string, { readonly arity: readonly [number, number]; readonly run: BicepFunction }>
> = {
  concat: { arity: [1, 99], run: (...lists) => lists.flatMap(asList) },
  contains: { arity: [2, 2], run: contains },
  empty: { arity: [1, 1], run: isEmpty },
  endsWith: { arity: [2, 2], run: (of, end) => known(of).toLowerCase().endsWith(asText(end).toLowerCase()) },
  fail: {
    arity: [1, 1],
    run: (why) => {
      throw new BicepError(asText(why));
    },
  },
  flatten: { arity: [1, 1], run: (lists) => asList(lists).flatMap(asList) },
  guid: { arity: [1, 99], run: (...parts) => guid(...parts.map(asText)) },
  indexOf: { arity: [2, 2], run: (of, what) => known(of).toLowerCase().indexOf(asText(what).toLowerCase()) },
  join: { arity: [2, 2], run: (items, by) => asList(items).map(asText).join(asText(by)) },
  json: { arity: [1, 1], run: (written) => parsed(known(written)) },
  last: { arity: [1, 1], run: (items) => asList(items).at(-1) ?? null },
  length: { arity: [1, 1], run: (of) => (typeof of === 'string' ? known(of) : asList(of)).length },
  max: { arity: [2, 99], run: (...numbers) => Math.max(...numbers.map(asInt)) },
  replace: { arity: [3, 3], run: (of, what, by) => asText(of).replaceAll(asText(what), () => asText(by)) },
  split: { arity: [2, 2], run: (of, by) => known(of).split(asText(by)) },
  string: {
    arity: [1, 1],
    run: (value) =>
      value === undefined ? null : typeof value === 'boolean' ? (value ? 'True' : 'False') : show(value),
  },
  substring: {
    arity: [2, 3],
    run: (of, from, length) => {
      const whole = known(of);
      const start = asInt(from);
      const end = length === undefined ? whole.length : start + asInt(length);
      if (start < 0 || end < start || end > whole.length)
        throw new BicepError(`substring ${start} to ${end} of "${whole}"`);
      return whole.slice(start, end);
    },
  },
  toLower: { arity: [1, 1], run: (of) => known(of).toLowerCase() },
  trim: { arity: [1, 1], run: (of) => known(of).trim() },
  union: { arity: [2, 99], run: (...records) => records.map(asRecord).reduce(union) },
  uniqueString: { arity: [1, 99], run: (...parts) => uniqueString(...parts.map(asText)) },
};

/** `map(list, item => …)` and so on, the lambda as a function. */
export const WITH_LAMBDA: Readonly<
  Record<string, (args: readonly Value[], lambda: (...args: readonly Value[]) => Value) => Value>
> = {
  map: ([items], lambda) => asList(items).map((item, i) => lambda(item, i)),
  filter: ([items], lambda) => asList(items).filter((item, i) => asBool(lambda(item, i))),
  reduce: ([items, first = null], lambda) => asList(items).reduce((sum, item, i) => lambda(sum, item, i), first),
};
