/**
 * The log: one line an attempt, one a finished request, one a change of a backend's state, as text or JSON.
 * Lines are gathered for some milliseconds and written together; a full or closed pipe never stops traffic.
 */
import { asciiJson } from '../ascii-json.ts';
import { adviceOn } from './reason-words.ts';
import { describeState } from './state-words.ts';
import type { BreakerState } from '../balancer/circuit-breaker.ts';
import type { Observe, ProxyEvent } from './events.ts';

/** Where lines go: process.stdout, or a list in a test. */
export type WriteText = (text: string) => void;

type Fields = Readonly<Record<string, string | number | boolean | undefined>>;

interface Line {
  readonly level: 'info' | 'warning' | 'error';
  /** What a person reads first. */
  readonly text: string;
  readonly fields: Fields;
}

/** Turns events into lines. `wallClock` stamps the JSON ones; a log stream stamps text by itself. */
export function createLog(format: 'text' | 'json', write: WriteText, wallClock: () => Date): Observe {
  return (event) => {
    const line = lineOf(event);
    if (line === undefined) return;
    write(format === 'json' ? jsonLine(line, event.kind, wallClock()) : textLine(line));
  };
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

/** Somewhere that takes texts and may be slow, such as process.stdout. */
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

function lineOf(event: ProxyEvent): Line | undefined {
  switch (event.kind) {
    case 'attempt-started': {
      const { backend, deployment, attempt, probe, spilledFrom, requestId } = event;
      return info(`Proxying to ${event.url}`, {
        backend,
        deployment,
        attempt,
        ...(probe ? { probe } : {}),
        spilled_from: spilledFrom,
        request: requestId,
      });
    }
    case 'attempt-ended':
      return undefined; // Told by the request's own line, in its trace.
    case 'request-finished': {
      const { method, path, status, ending, code, client, operation, deployment, backend, attempts, trace, reasons } =
        event;
      const { spilledFrom, spillover } = event;
      const text = `${method} ${path} ${status}${ending === 'delivered' ? '' : ` ${ending}`}`;
      const fields = {
        code,
        backend,
        attempts,
        trace,
        reasons,
        deployment,
        operation,
        client,
        spilled_from: spilledFrom,
        spillover,
      };
      const ms = Math.round(event.durationMs * 10) / 10;
      const line = { text, fields: { ...fields, ms, request: event.requestId } };
      return { level: ending === 'broken' || status >= 500 ? 'warning' : 'info', ...line };
    }
    case 'state-changed': {
      const { change, now, skipped = 0 } = event;
      const { name } = change.backend;
      const who = change.deployment === undefined ? name : `${name}/${quoted(change.deployment)}`;
      const said = `Backend ${who} ${describeState(change.to, now)}`;
      const advice = adviceOn(change.reason);
      const text = advice === undefined ? said : `${said}. ${advice}`;
      return {
        level: levelOf(change.to),
        text,
        fields: {
          backend: change.backend.name,
          deployment: change.deployment,
          state: change.to.kind,
          reason: change.reason,
          ...(skipped > 0 ? { skipped } : {}),
        },
      };
    }
    case 'limit-changed': {
      const { backend, deployment, reduction } = event.change;
      const who = `Backend ${backend.name}/${quoted(deployment)}`;
      const fields = { backend: backend.name, deployment };
      if (reduction === undefined) return info(`${who} has all of its tokens a minute again`, fields);
      const { limit, usual } = reduction;
      const text = `${who} has ${limit} tokens a minute for a while, ${usual} as a rule: the platform has reduced them`;
      return { level: 'warning', text, fields };
    }
    case 'connection-refused':
      return info(`Refused a connection: ${event.code}. ${event.message}`, {});
    case 'notice':
      return { level: event.level, text: event.text, fields: {} };
    default:
      return event satisfies never;
  }
}

/** A throttle is daily business; what somebody must look at stands out. */
function levelOf(state: BreakerState): Line['level'] {
  if (state.kind === 'quarantined') return state.isNew ? 'warning' : 'error';
  return state.kind === 'open' ? 'warning' : 'info';
}

function info(text: string, fields: Fields): Line {
  return { level: 'info', text, fields };
}

function textLine({ level, text, fields }: Line): string {
  let line = level === 'info' ? oneLine(text) : `${level.toUpperCase()} ${oneLine(text)}`;
  for (const [name, value] of Object.entries(fields)) {
    if (value !== undefined && value !== '') line += ` ${name}=${quoted(String(value))}`;
  }
  return `${line}\n`;
}

function jsonLine({ level, text, fields }: Line, kind: string, at: Date): string {
  return `${asciiJson({ time: at.toISOString(), level, kind, text: clipped(text), ...fields })}\n`;
}

function quoted(value: string): string {
  const short = oneLine(value);
  return /^[\x21\x23-\x7e]+$/.test(short) ? short : JSON.stringify(short);
}

/** Control characters, in what a stranger chose, could forge a line or drive a terminal. */
function oneLine(text: string): string {
  const short = clipped(text);
  return /^[\x20-\x7e]*$/.test(short) ? short : short.replaceAll(/[^\x20-\x7e]/g, '?');
}

/** Paths can be as long as all headers together. */
function clipped(text: string): string {
  return text.length > LONGEST_TEXT ? `${text.slice(0, LONGEST_TEXT)}...` : text;
}

const LONGEST_TEXT = 1000;
