/**
 * Keeps from a caller the one chunk of a chat stream that comes only because we asked for it (include-usage.ts): it has no
 * choices and a usage. All other events stay byte for byte what they are, with the `"usage":null` that they have then.
 */
import { findMembers } from './json-members.ts';

const MEMBERS: ReadonlySet<string> = new Set(['choices', 'usage']);
const DATA = 'data:';
const OPEN_BRACE = 0x7b;

/**
 * These events without that chunk; the very same bytes when it is not among them.
 * @param isWhole the first bytes begin an event, and do not go on with one
 */
export function withoutUsageChunk(events: Buffer, isWhole = true): Buffer {
  const kept: Buffer[] = [];
  let from = 0;
  let isCut = false;
  // One character a byte, so that places in the text are places in the bytes.
  for (const text of eventsIn(events.toString('latin1'))) {
    if ((from > 0 || isWhole) && isUsageChunk(text)) isCut = true;
    else kept.push(events.subarray(from, from + text.length));
    from += text.length;
  }
  return isCut ? Buffer.concat(kept) : events;
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
