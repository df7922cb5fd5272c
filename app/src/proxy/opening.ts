/**
 * The answer to a request for a stream may begin before any backend has: after so long without content status 200 and
 * keep-alives go out, so that nothing on the way gives up on it. That fixes the status and the content type, not the
 * backend: failover goes on until the first content, and what would have been an error's status is an event then.
 */
import type { ServerResponse } from 'node:http';
import type { Answer } from './forward.ts';
import type { Asked } from './front-door.ts';
import { isEventStream, KEEP_ALIVE } from './sse.ts';

const STREAM_HEADERS: readonly string[] = [
  'content-type',
  'text/event-stream; charset=utf-8',
  'cache-control',
  'no-cache',
];

/** What is answered with a stream when one is asked for. Elsewhere it shows when a backend's own answer begins. */
const STREAMED: ReadonlySet<string> = new Set(['chat/completions', 'completions', 'responses']);

export function isStreamed({ stream, operation }: Asked): boolean {
  return stream && STREAMED.has(operation);
}

/** It gives the content that was asked for, in events. */
export function isStream({ status, header }: Pick<Answer, 'status' | 'header'>): boolean {
  return status === 200 && isEventStream(header);
}

export class Opening {
  /** The head went out. */
  isOpen = false;
  private readonly res: ServerResponse;
  private readonly everyMs: number;
  private readonly headers: () => readonly string[];
  private timer: NodeJS.Timeout | undefined;

  /** @param headers asked when the head goes out, as name, value, name, value, … */
  constructor(res: ServerResponse, everyMs: number, headers: () => readonly string[]) {
    this.res = res;
    this.everyMs = everyMs;
    this.headers = headers;
  }

  /** The answer will be a stream: the time runs, if it did not already. */
  arm(): void {
    this.timer ??= setInterval(this.onSilence, this.everyMs);
  }

  /** An answer is given, or none will be: keep-alives are somebody else's now. */
  close(): void {
    clearInterval(this.timer);
  }

  private readonly onSilence = (): void => {
    const { res } = this;
    if (!this.isOpen) {
      res.writeHead(200, [...STREAM_HEADERS, ...this.headers()]);
      this.isOpen = true;
    }
    res.write(KEEP_ALIVE);
  };
}
