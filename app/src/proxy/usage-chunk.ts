/**
 * Keeps from a caller the one chunk of a chat stream that comes only because we asked for it (include-usage.ts): it has no
 * choices and a usage. All other events stay byte for byte what they are, with the `"usage":null` that they have then.
 */
import { findMembers } from './json-members.ts';

const USAGE = Buffer.from('"usage"');
const MEMBERS: ReadonlySet<string> = new Set(['choices', 'usage']);
const DATA = 'data:';
const COLON = 0x3a;
const OPEN_BRACE = 0x7b;
const BLANK = 0x20;

/**
 * These events without that chunk; the very same bytes when it is not among them.
 * @param isWhole the first bytes begin an event, and do not go on with one
 */
export function withoutUsageChunk(events: Buffer, isWhole = true): Buffer {
  return mentionsUsage(events) ? withoutChunk(events, isWhole) : events;
}

/** Of each stream a chunk or two: all others say `"usage":null`. */
function mentionsUsage(events: Buffer): boolean {
  for (let at = events.indexOf(USAGE); at !== -1; at = events.indexOf(USAGE, at + USAGE.length)) {
    const colon = skipBlanks(events, at + USAGE.length);
    if (events[colon] === COLON && events[skipBlanks(events, colon + 1)] === OPEN_BRACE) return true;
  }
  return false;
}

function skipBlanks(bytes: Buffer, from: number): number {
  let at = from;
  while (bytes[at] === BLANK) at += 1;
  return at;
}

function withoutChunk(events: Buffer, isWhole: boolean): Buffer {
  const kept: Buffer[] = [];
  let from = 0;
  // One character a byte, so that places in the text are places in the bytes.
  for (const text of eventsIn(events.toString('latin1'))) {
    const event = events.subarray(from, from + text.length);
    if ((from === 0 && !isWhole) || !isUsageChunk(text)) kept.push(event);
    from += text.length;
  }
  return Buffer.concat(kept);
}

/** Each with its blank line; the last of a stream may lack it. */
function eventsIn(text: string): readonly string[] {
  const events: string[] = [];
  let event = '';
  // Lines with their ends.
  for (const line of text.split(/(?<=\n)|(?<=\r)(?!\n)/)) {
    event += line;
    if (line !== '\n' && line !== '\r\n' && line !== '\r') continue;
    events.push(event);
    event = '';
  }
  return event === '' ? events : [...events, event];
}

function isUsageChunk(event: string): boolean {
  const data: string[] = [];
  for (const line of event.split(/\r\n|\n|\r/)) if (line.startsWith(DATA)) data.push(line.slice(DATA.length));
  const json = Buffer.from(data.join('\n'), 'latin1');
  const members = findMembers(json, MEMBERS);
  const usage = members?.get('usage')?.at(-1);
  const choices = members?.get('choices')?.at(-1);
  if (usage === undefined || choices === undefined || json[usage.start] !== OPEN_BRACE) return false;
  return /^\[\s*\]$/.test(json.toString('latin1', choices.start, choices.end));
}
