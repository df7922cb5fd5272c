/**
 * Standard output that never makes the process wait. Node writes to pipes without waiting, but to terminals and files
 * it waits until the system has taken every byte: a terminal that somebody has paused, or a slow disk, would stop all
 * traffic. Those are written to in the background, one write at a time.
 */
import { fstatSync, write, writeSync } from 'node:fs';
import { isatty } from 'node:tty';
import type { Sink } from './log.ts';

export interface Output extends Sink {
  readonly isTerminal: boolean;
  /** True when all has been written; false after so many ms, when it does not get on. */
  settled(withinMs: number): Promise<boolean>;
  /** The process ends: what comes now is written at once, unless it would wait behind what does not get on. */
  finish(): void;
}

/** Writes bytes from an offset on, and says how many it wrote. */
export type WriteBytes = (bytes: Buffer, done: (error: NodeJS.ErrnoException | null, written: number) => void) => void;

/** A terminal that is another's too may be busy. */
const BUSY_MS = 10;

export function standardOutput(): Output {
  const kind = fstatSync(1);
  // Touching process.stdout opens it, and a terminal that is open is waited for.
  return kind.isFIFO() || kind.isSocket() ? pipe() : background(isatty(1), toDescriptor, toDescriptorNow);
}

function toDescriptor(bytes: Buffer, done: Parameters<WriteBytes>[1]): void {
  write(1, bytes, done);
}

function toDescriptorNow(bytes: Buffer): void {
  writeSync(1, bytes);
}

function pipe(): Output {
  const { stdout } = process;
  // A closed or broken pipe must not end the balancer; there is nobody left to tell.
  stdout.on('error', () => undefined);
  return {
    isTerminal: false,
    write: (text) => stdout.write(text),
    get writableLength() {
      return stdout.writableLength;
    },
    settled: () => Promise.resolve(true),
    finish: () => undefined,
  };
}

/** One write at a time; `writeNow` is for the end. */
export function background(isTerminal: boolean, writeBytes: WriteBytes, writeNow: (bytes: Buffer) => void): Output {
  let waiting = '';
  let underWay = 0;
  let isEnding = false;
  let onIdle = (): void => undefined;

  function next(): void {
    if (waiting === '') return onIdle();
    const bytes = Buffer.from(waiting);
    waiting = '';
    underWay = bytes.length;
    go(bytes);
  }

  function go(bytes: Buffer): void {
    writeBytes(bytes, (error, written) => {
      if (error?.code === 'EAGAIN') {
        setTimeout(() => go(bytes), BUSY_MS);
        return;
      }
      // What could not be written is lost: nobody is there to read it.
      const left = error === null ? bytes.subarray(written) : bytes.subarray(bytes.length);
      underWay = left.length;
      if (left.length > 0) go(left);
      else next();
    });
  }

  function writeAtOnce(text: string): void {
    if (underWay > 0) return;
    try {
      writeNow(Buffer.from(text));
    } catch {
      // It is over anyway.
    }
  }

  return {
    isTerminal,
    write(text) {
      if (isEnding) return writeAtOnce(text);
      waiting += text;
      if (underWay === 0) next();
      return undefined;
    },
    get writableLength() {
      return waiting.length + underWay;
    },
    settled(withinMs) {
      if (underWay === 0) return Promise.resolve(true);
      return new Promise((resolve) => {
        const timer = setTimeout(() => resolve(false), withinMs);
        onIdle = () => {
          clearTimeout(timer);
          resolve(true);
        };
      });
    },
    finish() {
      isEnding = true;
    },
  };
}
