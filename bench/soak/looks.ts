// What the probe tells of the balancer's process, line by line. Pure.
import type { DelayCounts } from './delays.ts';

export interface Look {
  /** Epoch ms. */
  readonly at: number;
  /** Taken right after a collection of all garbage. */
  readonly isCollected: boolean;
  readonly rss: number;
  readonly heapUsed: number;
  readonly external: number;
  readonly arrayBuffers: number;
  /** What keeps the process alive, by its kind. */
  readonly resources: Readonly<Record<string, number>>;
  readonly sockets?: SocketLook;
  /** Since the last look. */
  readonly delays: DelayCounts;
  /** The same, each delay counted once, as Node's monitorEventLoopDelay does. */
  readonly ticks: DelayCounts;
  readonly warnings: readonly string[];
  readonly crashes: readonly string[];
}

/** Of the sockets that were ever opened, those that are still in memory. */
export interface SocketLook {
  readonly open: number;
  /** Those of them that callers opened. */
  readonly fromCallers: number;
  /** Closed, and yet somebody holds them. */
  readonly closed: number;
  /** On all open ones. */
  readonly listeners: number;
  /** On the one that has most. */
  readonly mostListeners: number;
  /** On the process itself. */
  readonly ofProcess: number;
}

/** Of the file that the probe writes; an unfinished last line is left out. */
export function looksIn(text: string): Look[] {
  return text
    .split('\n')
    .slice(0, -1)
    .map((line): Look => JSON.parse(line));
}

/** So many looks after a collection have requests that waited for it. */
const DISTURBED_LOOKS = 2;

/** Those of which a collection that the probe asked for was no part, nor what had waited meanwhile. */
export function undisturbed(looks: readonly Look[]): Look[] {
  return looks.filter((_, index) =>
    looks.slice(Math.max(0, index - DISTURBED_LOOKS), index + 1).every(({ isCollected }) => !isCollected),
  );
}
