/**
 * Reads along as an answer goes out: what the backend says it counted (`usage`), and, in case it never says, how much
 * text there was. It looks and never changes a byte; memory is bounded, and an answer that it cannot follow has no usage.
 */
import type { Usage } from '../balancer/outcome.ts';
import { findMembers, type MemberRange } from './json-members.ts';
import { isEventStream } from './sse.ts';

/** Longer events are not looked into. */
const MOST_HELD = 262_144;
/** Longer bodies, which are numbers or pictures for the most part, are looked into at their end. */
const MOST_HELD_OF_BODY = 65_536;
const LONGEST_USAGE = 8192;
const NOTHING = Buffer.alloc(0);
const NONE: readonly MemberRange[] = [];

const OPEN_BRACE = 0x7b;
const USAGE = '"usage"';
const DATA = 'data:';
/** Where chat and legacy completions put the text of a stream. */
const TEXTS = ['"content":"', '"arguments":"', '"refusal":"', '"reasoning_content":"', '"text":"'];
/** Responses say every text again when it is done. */
const RESPONSE_EVENT = '"type":"response.';
const RESPONSE_TEXTS = ['"delta":"'];
/** So many pieces are joined to one: a piece costs 200 bytes beside its own. */
const LOOSE_PIECES = 512;
const MEMBERS: ReadonlySet<string> = new Set(['usage', 'response']);
const USAGE_ONLY: ReadonlySet<string> = new Set(['usage']);

/** Reads one answer. */
export interface UsageTap {
  /** `isWhole`: these bytes end with a complete event; of no interest for other bodies. */
  take(bytes: Buffer, isWhole: boolean): void;
  /** What the backend counted, as far as it said so by now. */
  usage(): Usage | undefined;
  /** Bytes of text that a stream gave by now; undefined where it is not counted, and for other bodies. */
  readonly textBytes: number | undefined;
}

/**
 * Undefined for an answer that has no usage: audio, files, whatever is compressed.
 * @param countsText of streams, for whom it matters; it is most of the work
 */
export function createUsageTap(
  header: (name: string) => string | undefined,
  countsText: boolean,
): UsageTap | undefined {
  if (isEventStream(header)) return new EventTap(countsText);
  const isJson = /^application\/json\s*(?:;|$)/i.test(header('content-type') ?? '');
  return isJson && header('content-encoding') === undefined ? new BodyTap() : undefined;
}

/** Of events every one that has a usage; the last counts. */
class EventTap implements UsageTap {
  textBytes: number | undefined;
  private found: Usage | undefined;
  private held: Buffer[] = [];
  private heldBytes = 0;

  constructor(countsText: boolean) {
    this.textBytes = countsText ? 0 : undefined;
  }

  take(bytes: Buffer, isWhole: boolean): void {
    if (isWhole && this.heldBytes === 0) return this.read(bytes);
    this.heldBytes += bytes.length;
    if (this.heldBytes <= MOST_HELD) hold(this.held, bytes);
    else this.held = [];
    if (!isWhole) return;
    const all = this.heldBytes <= MOST_HELD ? Buffer.concat(this.held) : NOTHING;
    this.held = [];
    this.heldBytes = 0;
    this.read(all);
  }

  usage(): Usage | undefined {
    return this.found;
  }

  private read(events: Buffer): void {
    // One character a byte: searching a string costs less than searching the bytes.
    const text = events.toString('latin1');
    if (this.textBytes !== undefined) {
      const markers = text.includes(RESPONSE_EVENT) ? RESPONSE_TEXTS : TEXTS;
      for (const marker of markers) this.textBytes += textAfter(text, marker);
    }
    let from = 0;
    for (;;) {
      const at = text.indexOf(USAGE, from);
      if (at === -1) return;
      from = at + USAGE.length;
      // Chunks before the last one say `"usage":null`.
      if (!isObjectMember(text, from)) continue;
      const start = text.lastIndexOf('\n', at) + 1;
      const end = text.indexOf('\n', at);
      // Each line once, however often it says so.
      from = end === -1 ? text.length : end;
      if (!text.startsWith(DATA, start)) continue;
      this.found = usageIn(events.subarray(start + DATA.length, from)) ?? this.found;
    }
  }
}

/** Of a whole body its outermost `usage`. Of one that is too long to be held, one near its end. */
class BodyTap implements UsageTap {
  readonly textBytes = undefined;
  private held: Buffer[] = [];
  private heldBytes = 0;
  private isCut = false;

  take(bytes: Buffer): void {
    hold(this.held, bytes);
    this.heldBytes += bytes.length;
    if (this.heldBytes <= MOST_HELD_OF_BODY) return;
    const end = Buffer.concat(this.held).subarray(-LONGEST_USAGE);
    this.held = [Buffer.from(end)];
    this.heldBytes = end.length;
    this.isCut = true;
  }

  usage(): Usage | undefined {
    const body = Buffer.concat(this.held);
    if (!this.isCut) return usageIn(body);
    // A quote inside a text is escaped, so that this stands in none.
    const text = body.toString('latin1');
    const at = text.lastIndexOf(USAGE);
    if (at === -1 || !isObjectMember(text, at + USAGE.length)) return undefined;
    const rest = Buffer.concat([Buffer.from('{'), body.subarray(at)]);
    return usageIn(rest);
  }
}

function hold(held: Buffer[], piece: Buffer): void {
  held.push(piece);
  if (held.length > LOOSE_PIECES) held.splice(0, held.length, Buffer.concat(held));
}

/** Bytes of every string that follows this marker. */
function textAfter(text: string, marker: string): number {
  let bytes = 0;
  for (let at = text.indexOf(marker); at !== -1;) {
    const start = at + marker.length;
    const end = closingQuote(text, start);
    if (end === -1) return bytes;
    bytes += end - start;
    at = text.indexOf(marker, end);
  }
  return bytes;
}

/** Where the string that begins here ends; -1 when it does not. */
function closingQuote(text: string, start: number): number {
  for (let quote = text.indexOf('"', start); quote !== -1; quote = text.indexOf('"', quote + 1)) {
    let slashes = 0;
    while (text[quote - 1 - slashes] === '\\' && quote - 1 - slashes >= start) slashes += 1;
    if (slashes % 2 === 0) return quote;
  }
  return -1;
}

function isObjectMember(text: string, from: number): boolean {
  const colon = skipBlanks(text, from);
  return text[colon] === ':' && text[skipBlanks(text, colon + 1)] === '{';
}

function skipBlanks(text: string, from: number): number {
  let at = from;
  while (text[at] === ' ') at += 1;
  return at;
}

/** `usage` of the document, or of its `response`. What callers can have quoted in an answer lies deeper. */
function usageIn(json: Buffer): Usage | undefined {
  const members = findMembers(json, MEMBERS);
  const own = lastObject(json, members?.get('usage'));
  if (own !== undefined) return read(own);
  const response = lastObject(json, members?.get('response'));
  const inner = response && lastObject(response, findMembers(response, USAGE_ONLY)?.get('usage'));
  return inner && read(inner);
}

function lastObject(json: Buffer, ranges: readonly MemberRange[] = NONE): Buffer | undefined {
  const last = ranges.at(-1);
  return last !== undefined && json[last.start] === OPEN_BRACE ? json.subarray(last.start, last.end) : undefined;
}

function read(json: Buffer): Usage | undefined {
  if (json.length > LONGEST_USAGE) return undefined;
  try {
    const value: unknown = JSON.parse(json.toString('utf8'));
    return typeof value === 'object' && value !== null ? usageOf(value) : undefined;
  } catch {
    return undefined;
  }
}

/** Chat, completions and embeddings say prompt and completion; responses, images and audio say input and output. */
function usageOf(value: object): Usage | undefined {
  const members = new Map<string, unknown>(Object.entries(value));
  const prompt = countOf(members.get('prompt_tokens') ?? members.get('input_tokens'));
  const completion = countOf(members.get('completion_tokens') ?? members.get('output_tokens') ?? 0);
  return prompt === undefined || completion === undefined
    ? undefined
    : { promptTokens: prompt, completionTokens: completion };
}

function countOf(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}
