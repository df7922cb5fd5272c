/**
 * What the log says that a trace does not: changes of a backend's state, notices, and requests that went wrong, as lines
 * of Application Insights (AppTraces), each with its severity and the request that it is about.
 */
import type { Observe } from './events.ts';
import type { LineData } from './insights-data.ts';
import { lineOf } from './log-lines.ts';
import { compact } from './spans.ts';

export function createLines(wallClockMs: () => number, emit: (line: LineData) => void): Observe {
  return (event) => {
    // Attempts and requests are spans; what never became a request is a stranger's.
    if (event.kind === 'attempt-started' || event.kind === 'attempt-ended' || event.kind === 'connection-refused')
      return;
    const isRequest = event.kind === 'request-finished';
    if (isRequest && event.span?.isSampled !== true) return;
    const line = lineOf(event);
    if (line === undefined || (isRequest && line.level === 'info')) return;
    const { level, text, fields } = line;
    emit({
      level,
      text: text.slice(0, LONGEST_LINE),
      atMs: wallClockMs(),
      attributes: compact({ kind: event.kind, ...fields }),
      ...(isRequest && event.span !== undefined ? { traceId: event.span.traceId, spanId: event.span.spanId } : {}),
    });
  };
}

const LONGEST_LINE = 2000;
