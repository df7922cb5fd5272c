/**
 * Finds members of the outermost object in JSON bytes, with their byte positions, without building the document: the
 * model name must be replaced in place, and prompts can be megabytes long. Strings are crossed by native searches.
 * It validates only what it needs; what it cannot follow it reports as "not an object", and the backend judges it.
 */

/** Byte range of a member's value, quotes included. */
export interface MemberRange {
  readonly start: number;
  readonly end: number;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
const COMMA = 0x2c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

/**
 * The ranges of the wanted members, every occurrence of a repeated one, in order. Undefined when the bytes are not an
 * object, or end early.
 */
export function findMembers(
  json: Buffer,
  wanted: ReadonlySet<string>,
): ReadonlyMap<string, readonly MemberRange[]> | undefined {
  const found = new Map<string, MemberRange[]>();
  let at = skipBlanks(json, json[0] === 0xef && json[1] === 0xbb && json[2] === 0xbf ? 3 : 0);
  if (json[at] !== OPEN_BRACE) return undefined;
  at = skipBlanks(json, at + 1);
  if (json[at] === CLOSE_BRACE) return found;
  for (;;) {
    if (json[at] !== QUOTE) return undefined;
    const keyEnd = stringEnd(json, at);
    if (keyEnd === -1) return undefined;
    const key = textOf(json, { start: at, end: keyEnd });
    at = skipBlanks(json, keyEnd);
    if (json[at] !== COLON) return undefined;
    const start = skipBlanks(json, at + 1);
    const end = valueEnd(json, start);
    if (end === -1) return undefined;
    if (key !== undefined && wanted.has(key)) {
      const ranges = found.get(key) ?? [];
      ranges.push({ start, end });
      found.set(key, ranges);
    }
    at = skipBlanks(json, end);
    if (json[at] === CLOSE_BRACE) return found;
    if (json[at] !== COMMA) return undefined;
    at = skipBlanks(json, at + 1);
  }
}

/** The string in this range, unescaped; undefined when it is not a string. */
export function textOf(json: Buffer, range: MemberRange): string | undefined {
  if (json[range.start] !== QUOTE) return undefined;
  const raw = json.toString('utf8', range.start + 1, range.end - 1);
  if (!raw.includes('\\')) return raw;
  try {
    const value: unknown = JSON.parse(`"${raw}"`);
    return typeof value === 'string' ? value : undefined;
  } catch {
    return undefined;
  }
}

/** True when the value is the literal `true`. */
export function isTrue(json: Buffer, range: MemberRange | undefined): boolean {
  return (
    range !== undefined && range.end - range.start === 4 && json.toString('latin1', range.start, range.end) === 'true'
  );
}

/** What is to stand in the place of a range; of an empty one: between two bytes. */
export interface Edit extends MemberRange {
  readonly text: string;
}

/** The bytes with these edits made, none of which touches another; in any order. */
export function splice(bytes: Buffer, edits: readonly Edit[]): Buffer {
  const parts: Buffer[] = [];
  let from = 0;
  for (const edit of edits.toSorted((a, b) => a.start - b.start)) {
    parts.push(bytes.subarray(from, edit.start), Buffer.from(edit.text));
    from = edit.end;
  }
  parts.push(bytes.subarray(from));
  return Buffer.concat(parts);
}

function skipBlanks(json: Buffer, from: number): number {
  let at = from;
  for (;;) {
    const byte = json[at];
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return at;
    at += 1;
  }
}

/** One past the closing quote of the string that opens at `open`; -1 when it does not close. */
function stringEnd(json: Buffer, open: number): number {
  let from = open + 1;
  for (;;) {
    const quote = json.indexOf(QUOTE, from);
    if (quote === -1) return -1;
    let slashes = 0;
    while (json[quote - 1 - slashes] === BACKSLASH && quote - 1 - slashes > open) slashes += 1;
    if (slashes % 2 === 0) return quote + 1;
    from = quote + 1;
  }
}

/** One past the value that begins at `start`; -1 when it does not end. Nesting is counted, not recursed into. */
function valueEnd(json: Buffer, start: number): number {
  const first = json[start];
  if (first === QUOTE) return stringEnd(json, start);
  if (first !== OPEN_BRACE && first !== OPEN_BRACKET) return scalarEnd(json, start);
  let depth = 0;
  let at = start;
  while (at < json.length) {
    const byte = json[at];
    if (byte === QUOTE) {
      at = stringEnd(json, at);
      if (at === -1) return -1;
      continue;
    }
    if (byte === OPEN_BRACE || byte === OPEN_BRACKET) depth += 1;
    else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) depth -= 1;
    at += 1;
    if (depth === 0) return at;
  }
  return -1;
}

/** Numbers, true, false, null: up to a comma, a closing brace or a blank. */
function scalarEnd(json: Buffer, start: number): number {
  let at = start;
  while (at < json.length) {
    const byte = json[at] ?? 0;
    if (byte === COMMA || byte === CLOSE_BRACE || byte <= 0x20) break;
    at += 1;
  }
  return at === start || at === json.length ? -1 : at;
}
