/** Server-sent events, read line by line and byte by byte, as slowly and as plainly as it can be done: to compare with. */

/**
 * Where the last blank line ends that follows another line, which is where the last complete event does. A CR at the end may
 * be half of a CRLF.
 */
export function slowEventsLength(text: string): number {
  let length = 0;
  let lines = 0;
  let isEmpty = true;
  for (let at = 0; at < text.length; at += 1) {
    const character = text.charAt(at);
    if (character !== '\r' && character !== '\n') {
      isEmpty = false;
      continue;
    }
    if (character === '\r' && at === text.length - 1 && text.charAt(at - 1) !== '\r') break;
    if (character === '\r' && text.charAt(at + 1) === '\n') at += 1;
    if (isEmpty && lines > 0) length = at + 1;
    lines += 1;
    isEmpty = true;
  }
  return length;
}

export interface SlowEvent {
  readonly name: string;
  readonly data: readonly string[];
}

/** The complete events that have data, as the HTML standard reads them (§9.2.6), but for a bare `data` without its colon. */
export function slowEvents(text: string): readonly SlowEvent[] {
  const events: SlowEvent[] = [];
  let name = '';
  let data: string[] = [];
  let line = '';
  const lines: string[] = [];
  for (let at = text.startsWith('\uFEFF') ? 1 : 0; at < text.length; at += 1) {
    const character = text.charAt(at);
    if (character !== '\r' && character !== '\n') {
      line += character;
      continue;
    }
    if (character === '\r' && text.charAt(at + 1) === '\n') at += 1;
    lines.push(line);
    line = '';
  }
  for (const each of lines) {
    const colon = each.indexOf(':');
    const field = colon === -1 ? '' : each.slice(0, colon);
    const value = each.slice(colon + 1).replace(/^ /, '');
    if (each === '') {
      if (data.length > 0) events.push({ name, data });
      name = '';
      data = [];
    } else if (field === 'data') data.push(value);
    else if (field === 'event') name = value;
  }
  return events;
}
