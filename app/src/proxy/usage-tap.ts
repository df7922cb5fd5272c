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
const NONE: readonly MemberRange[] = [];

const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const QUOTE = 0x22;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const USAGE = '"usage"';
const DATA = 'data:';
/** What is new in an event of a stream: an object in chat, a text in responses, which say every text again when it is done. */
const DELTA = '"delta":';
/** Where the object of a chat has the text. */
const TEXT_KEYS: ReadonlySet<string> = new Set(['content', 'arguments', 'refusal', 'reasoning_content']);
/** Where legacy completions have it. */
const COMPLETION_TEXT = '"text":"';
/** How nearly every chunk of a chat begins what is new, and ends. */
const CONTENT_DELTA = '"delta":{"content":"';
const NO_USAGE = '"usage":null}\n\n';
const RESPONSE_EVENT = '"type":"response.';
/** So many pieces are joined to one: a piece costs 200 bytes beside its own. */
const LOOSE_PIECES = 512;
const MEMBERS: ReadonlySet<string> = new Set(['usage', 'response']);
const USAGE_ONLY: ReadonlySet<string> = new Set(['usage']);

/** Reads one answer. */
export interface UsageTap {
  /**
   * @param isWhole these bytes end with a complete event; of no interest for other bodies
   * @returns false when no event that ends with these bytes tells a usage
   */
  take(bytes: Buffer, isWhole: boolean): boolean;
  /** What the backend counted, as far as it said so by now. */
  usage(): Usage | undefined;
  /** Bytes of text that a stream gave by now; undefined for other bodies. */
  readonly textBytes: number | undefined;
}

/** Undefined for an answer that has no usage: audio, files, whatever is compressed. */
export function createUsageTap(header: (name: string) => string | undefined): UsageTap | undefined {
  if (isEventStream(header)) return new EventTap();
  const isJson = /^application\/json\s*(?:;|$)/i.test(header('content-type') ?? '');
  return isJson && header('content-encoding') === undefined ? new BodyTap() : undefined;
}

/** Of events every one that has a usage; the last counts. */
class EventTap implements UsageTap {
  textBytes = 0;
  private found: Usage | undefined;
  private held: Buffer[] = [];
  private heldBytes = 0;
  /** Where the last event had its delta: chunks of a chat are alike. */
  private deltaAt = 0;

  take(bytes: Buffer, isWhole: boolean): boolean {
    if (isWhole && this.heldBytes === 0) return this.read(bytes);
    this.heldBytes += bytes.length;
    const isHeld = this.heldBytes <= MOST_HELD;
    if (isHeld) hold(this.held, bytes);
    else this.held = [];
    if (!isWhole) return false;
    const all = Buffer.concat(this.held);
    this.held = [];
    this.heldBytes = 0;
    return !isHeld || this.read(all);
  }

  usage(): Usage | undefined {
    return this.found;
  }

  /** Bytes of the text of a usual chunk, which has one choice, where the one before had it; undefined for every other event. */
  private chunkText(text: string): number | undefined {
    if (!text.startsWith(CONTENT_DELTA, this.deltaAt)) {
      this.deltaAt = Math.max(0, text.indexOf(DELTA));
      return undefined;
    }
    const start = this.deltaAt + CONTENT_DELTA.length;
    const end = closingQuote(text, start);
    return text.charCodeAt(end + 1) === CLOSE_BRACE ? end - start : undefined;
  }

  private read(events: Buffer): boolean {
    // One character a byte: searching a string costs less than searching the bytes.
    const text = events.toString('latin1');
    const isOne = text.indexOf('\n') === text.length - 2;
    this.textBytes += (isOne ? this.chunkText(text) : undefined) ?? textIn(text);
    if (isOne && text.endsWith(NO_USAGE)) return false;
    let isTelling = false;
    let from = 0;
    for (;;) {
      const at = text.indexOf(USAGE, from);
      if (at === -1) return isTelling;
      from = at + USAGE.length;
      // Chunks before the last one say `"usage":null`.
      if (!isObjectMember(text, from)) continue;
      isTelling = true;
      const start = Math.max(text.lastIndexOf('\n', at), text.lastIndexOf('\r', at)) + 1;
      // Each line once, however often it says so.
      from = lineEnd(text, at);
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

  take(bytes: Buffer): boolean {
    hold(this.held, bytes);
    this.heldBytes += bytes.length;
    if (this.heldBytes <= MOST_HELD_OF_BODY) return false;
    const end = Buffer.concat(this.held).subarray(-LONGEST_USAGE);
    this.held = [Buffer.from(end)];
    this.heldBytes = end.length;
    this.isCut = true;
    return false;
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

/** Bytes of the text in these events. Looked for where it can be, because it is done for every chunk of every stream. */
function textIn(text: string): number {
  let at = text.indexOf(DELTA);
  if (at === -1) return text.includes(RESPONSE_EVENT) ? 0 : completionText(text);
  let bytes = 0;
  while (at !== -1) {
    const start = skipBlanks(text, at + DELTA.length);
    const end = text[start] === '"' ? closingQuote(text, start + 1) : start;
    if (end > start) bytes += end - start - 1;
    else if (text[start] === '{') bytes += deltaText(text, start + 1);
    at = text.indexOf(DELTA, Math.max(start, end));
  }
  return bytes;
}

function completionText(text: string): number {
  let bytes = 0;
  for (let at = text.indexOf(COMPLETION_TEXT); at !== -1;) {
    const start = at + COMPLETION_TEXT.length;
    const end = closingQuote(text, start);
    if (end === -1) return bytes;
    bytes += end - start;
    at = text.indexOf(COMPLETION_TEXT, end);
  }
  return bytes;
}

/** Bytes of the strings with such a key in the object that begins here. */
function deltaText(text: string, from: number): number {
  let bytes = 0;
  let isText = false;
  let depth = 1;
  for (let at = from; at < text.length; at += 1) {
    const char = text.charCodeAt(at);
    if (char === OPEN_BRACE) depth += 1;
    else if (char === CLOSE_BRACE) depth -= 1;
    if (depth === 0) break;
    if (char !== QUOTE) continue;
    const end = closingQuote(text, at + 1);
    if (end === -1) break;
    if (text.charCodeAt(end + 1) === COLON) isText = TEXT_KEYS.has(text.slice(at + 1, end));
    else if (isText) bytes += end - at - 1;
    at = end;
  }
  return bytes;
}

/** Where the string that begins here ends; -1 when it does not. */
function closingQuote(text: string, start: number): number {
  for (let quote = text.indexOf('"', start); quote !== -1; quote = text.indexOf('"', quote + 1)) {
    let slashes = 0;
    while (text.charCodeAt(quote - 1 - slashes) === BACKSLASH && quote - 1 - slashes >= start) slashes += 1;
    if (slashes % 2 === 0) return quote;
  }
  return -1;
}

function isObjectMember(text: string, from: number): boolean {
  const colon = skipBlanks(text, from);
  return text[colon] === ':' && text[skipBlanks(text, colon + 1)] === '{';
}

function lineEnd(text: string, from: number): number {
  const ends = [text.indexOf('\n', from), text.indexOf('\r', from)].filter((at) => at !== -1);
  return ends.length === 0 ? text.length : Math.min(...ends);
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
    return isRecord(value) ? usageOf(value) : undefined;
  } catch {
    return undefined;
  }
}

type Counts = Readonly<Record<string, unknown>>;

/** Chat, completions and embeddings say prompt and completion; responses, images and audio say input and output. */
function usageOf(value: Counts): Usage | undefined {
  const prompt = countOf(value['prompt_tokens'] ?? value['input_tokens']);
  const completion = countOf(value['completion_tokens'] ?? value['output_tokens'] ?? 0);
  if (prompt === undefined || completion === undefined) return undefined;
  const cached = detailOf(value['prompt_tokens_details'] ?? value['input_tokens_details'], 'cached_tokens', prompt);
  const completionDetails = value['completion_tokens_details'] ?? value['output_tokens_details'];
  const reasoning = detailOf(completionDetails, 'reasoning_tokens', completion);
  return {
    promptTokens: prompt,
    completionTokens: completion,
    ...(cached === undefined ? {} : { cachedTokens: cached }),
    ...(reasoning === undefined ? {} : { reasoningTokens: reasoning }),
  };
}

/** A part of a whole; undefined when it is none. */
function detailOf(details: unknown, name: string, whole: number): number | undefined {
  const part = isRecord(details) ? countOf(details[name]) : undefined;
  return part !== undefined && part <= whole ? part : undefined;
}

function countOf(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}

function isRecord(value: unknown): value is Counts {
  return typeof value === 'object' && value !== null;
}
