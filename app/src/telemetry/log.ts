/**
 * The log: one line an attempt, one a finished request, one a change of a backend's state; text for people, JSON for
 * machines, with the same fields. Lines are gathered for some milliseconds and written together; a full or closed pipe
 * never stops traffic.
 */
import { styleText } from 'node:util';
import { asciiJson } from '../ascii-json.ts';
import type { Observe } from './events.ts';
import { clipped, lineOf, oneLine, quoted, type Line } from './log-lines.ts';

/** Where lines go: an output, or a list in a test. */
export type WriteText = (text: string) => void;

export interface LogForm {
  readonly format: 'text' | 'json';
  /** Text in colours, for a terminal. */
  readonly inColour?: boolean;
}

/** Turns events into lines. `wallClock` stamps the JSON ones; a log stream stamps text by itself. */
export function createLog({ format, inColour = false }: LogForm, write: WriteText, wallClock: () => Date): Observe {
  const paint = inColour ? painted : plain;
  return (event) => {
    const line = lineOf(event);
    if (line === undefined) return;
    write(format === 'json' ? jsonLine(line, event.kind, wallClock()) : textLine(line, paint));
  };
}

/** Who looks at a terminal and did not say otherwise (no-color.org, force-color.org). */
export function wantsColour(isTerminal: boolean, env: Readonly<Record<string, string | undefined>>): boolean {
  if ((env['NO_COLOR'] ?? '') !== '') return false;
  const forced = env['FORCE_COLOR'] ?? '';
  if (forced !== '') return forced !== '0' && forced !== 'false';
  return isTerminal && env['TERM'] !== 'dumb';
}

/** Writes gathered texts together, at the latest after so many milliseconds. `flush` writes what is left, now. */
export function gather(write: WriteText, withinMs: number): { readonly write: WriteText; readonly flush: () => void } {
  let gathered = '';
  let timer: NodeJS.Timeout | undefined;

  function flush(): void {
    clearTimeout(timer);
    timer = undefined;
    const text = gathered;
    gathered = '';
    if (text !== '') write(text);
  }

  return {
    write(text) {
      gathered += text;
      timer ??= setTimeout(flush, withinMs).unref();
    },
    flush,
  };
}

/** Somewhere that takes texts and may be slow; see output.ts. */
export interface Sink {
  write(text: string): unknown;
  /** Characters or bytes that it has taken and not got rid of. */
  readonly writableLength: number;
}

/**
 * Writes as long as no more than `most` wait in the sink: where nobody reads, the log must not fill the memory.
 * @param onRoom told how many lines were left out, when there is room again
 */
export function bounded(sink: Sink, most: number, onRoom: (lines: number) => void): WriteText {
  let left = 0;
  return (text) => {
    if (sink.writableLength > most) {
      left += text.split('\n').length - 1;
      return;
    }
    const lines = left;
    left = 0;
    sink.write(text);
    if (lines > 0) onRoom(lines);
  };
}

type Paint = (colour: 'red' | 'yellow' | 'green' | 'cyan' | 'dim' | undefined, text: string) => string;

function plain(_colour: unknown, text: string): string {
  return text;
}

function painted(colour: Parameters<Paint>[0], text: string): string {
  return colour === undefined ? text : styleText(colour, text, { validateStream: false });
}

/** Fields begin at such columns, so that those of like lines stand below each other. */
const COLUMN = 8;
const LEAST_GAP = 2;
const MS_WIDTH = 'ms=12345.6'.length;

function textLine({ level, text, fields, tone }: Line, paint: Paint): string {
  const said = level === 'info' ? oneLine(text) : `${level.toUpperCase()} ${oneLine(text)}`;
  let shown = '';
  for (const name in fields) {
    const value = fields[name];
    if (value === undefined || value === '') continue;
    const cell = `${name}=${typeof value === 'string' ? quoted(value) : value}`;
    shown += shown === '' ? '' : ' ';
    shown += name === 'ms' ? cell.padEnd(MS_WIDTH) : cell;
  }
  const head = paint(level === 'info' ? TONES[tone ?? 'none'] : LEVELS[level], said);
  if (shown === '') return `${head}\n`;
  const width = Math.ceil((said.length + LEAST_GAP) / COLUMN) * COLUMN;
  return `${head}${' '.repeat(width - said.length)}${paint('dim', shown)}\n`;
}

const LEVELS = { warning: 'yellow', error: 'red' } as const;
const TONES = { good: 'green', mixed: 'yellow', begun: 'cyan', none: undefined } as const;

/** What is not known is left out, as in text. */
function jsonLine({ level, text, fields, said = {} }: Line, kind: string, at: Date): string {
  const entry: Record<string, string | number | boolean> = { time: at.toISOString(), level, kind, text: clipped(text) };
  for (const known of [said, fields]) {
    for (const name in known) {
      const value = known[name];
      if (value !== undefined && value !== '') entry[name] = value;
    }
  }
  return `${asciiJson(entry)}\n`;
}
