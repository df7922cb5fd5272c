/** A caller in the middle of an answer: reads at its own pace, sees each piece as it comes, and may leave. */
import http, { type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { CLIENT_KEY } from './balancer.ts';
import type { Received } from './http.ts';

export interface Reading {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** What came so far. */
  readonly pieces: readonly Buffer[];
  readonly bytes: number;
  text(): string;
  /** Resolves once so much came that the claim holds; rejects when the answer ends before. */
  came(claim: (text: string) => boolean): Promise<void>;
  pause(): void;
  resume(): void;
  /** Breaks the connection. */
  leave(): void;
  /** Resolves when the answer or the connection ended. Bodies are kept only when asked for. */
  readonly done: Promise<Received>;
}

export interface Opened {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
  /** False: pieces are counted and thrown away. */
  readonly keep?: boolean;
  /** Begins without reading. */
  readonly paused?: boolean;
  readonly onData?: (piece: Buffer) => void;
}

/** Sends a request with the tests' client key and resolves at the answer's headers. */
export function open(url: string, opened: Opened = {}): Promise<Reading> {
  return new Promise((resolve, reject) => {
    const { body, headers, keep = true, paused = false, onData } = opened;
    const req = http.request(url, {
      method: body === undefined ? 'GET' : 'POST',
      headers: { 'api-key': CLIENT_KEY, 'content-type': 'application/json', ...headers },
      agent: false,
    });
    req.on('error', reject); // After the headers `close` tells, and rejecting has no effect any more.
    req.on('response', (res) => {
      resolve(readingOf(res, keep, onData));
      if (paused) res.pause();
    });
    req.end(body);
  });
}

function readingOf(res: IncomingMessage, keep: boolean, onData: Opened['onData']): Reading {
  const pieces: Buffer[] = [];
  const looks = new Set<() => void>();
  let bytes = 0;
  let isClosed = false;
  const tell = (): void => {
    for (const look of looks) look();
  };
  const text = (): string => Buffer.concat(pieces).toString();
  res.on('data', (piece: Buffer) => {
    bytes += piece.length;
    if (keep) pieces.push(piece);
    onData?.(piece);
    tell();
  });
  res.on('error', () => undefined); // `close` tells.
  const done = new Promise<Received>((resolve) => {
    res.on('close', () => {
      isClosed = true;
      tell();
      const { statusCode: status = 0, headers, rawHeaders, complete: isComplete } = res;
      resolve({ status, headers, rawHeaders, body: Buffer.concat(pieces), isComplete });
    });
  });
  return {
    status: res.statusCode ?? 0,
    headers: res.headers,
    pieces,
    get bytes() {
      return bytes;
    },
    text,
    came: (claim) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const isTrue = claim(text());
          if (!isTrue && !isClosed) return;
          looks.delete(look);
          if (isTrue) resolve();
          else reject(new Error(`the answer ended after ${JSON.stringify(text())}`));
        };
        looks.add(look);
        look();
      }),
    pause: () => void res.pause(),
    resume: () => void res.resume(),
    leave: () => void res.destroy(),
    done,
  };
}
