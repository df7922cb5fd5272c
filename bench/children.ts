// Child processes of the benchmark: pinned to a core, allowed many files, and all gone when the benchmark ends, however
// it ends. Their scratch files live in one temporary directory.
import { execFileSync, spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, truncateSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { listenAnywhere } from './listen.ts';

export interface ChildSpec {
  readonly name: string;
  readonly core: number;
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export interface Child {
  readonly pid: number;
  /** What it wrote to stdout so far; stdout is a file, so that writing logs costs what it costs. */
  output(): string;
  /** What it wrote to stderr so far. */
  readonly errors: () => string;
  /** Begins anew with stdout when it is longer than this: for children that run for long. */
  readonly trimOutput: (mostBytes: number) => void;
  /** Resolves when `isReady` does with true; rejects when the child ends first or takes too long. */
  ready(isReady: () => boolean | Promise<boolean>, withinMs?: number): Promise<void>;
  readonly stop: () => Promise<void>;
}

const readyDeadlineMs = 15_000;
const raiseFileLimit = 'ulimit -n 65536 2>/dev/null || ulimit -n "$(ulimit -Hn)"; exec "$@"';

const running = new Set<() => void>();
let directory: string | undefined;
let started = 0;

export function scratchDirectory(): string {
  directory ??= mkdtempSync(join(tmpdir(), 'balancer-bench-'));
  return directory;
}

/** The cores this process may use: the first is the contenders', the second the load's. */
export function allowedCores(): number[] {
  const list = /^Cpus_allowed_list:\s*(\S+)/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1] ?? '0';
  return list.split(',').flatMap((range) => {
    const [first = 0, last = first] = range.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });
}

export function pinSelf(core: number): void {
  execFileSync('taskset', ['-a', '-c', '-p', String(core), String(process.pid)], { stdio: 'ignore' });
}

export function startChild(spec: ChildSpec): Child {
  started += 1;
  const base = join(scratchDirectory(), `${started}-${spec.name}`);
  const stdout = openSync(`${base}.out`, 'a');
  const stderr = openSync(`${base}.err`, 'a');
  // taskset and sh replace themselves, so the pid is that of the command.
  const args = ['-c', String(spec.core), 'sh', '-c', raiseFileLimit, 'sh', spec.command, ...spec.args];
  const child = spawn('taskset', args, {
    stdio: ['ignore', stdout, stderr],
    detached: true,
    env: { PATH: `${process.env['PATH'] ?? ''}:/usr/sbin`, NODE_ENV: 'production', ...spec.env },
  });
  closeSync(stdout);
  closeSync(stderr);
  const { pid } = child;
  if (pid === undefined) {
    child.once('error', () => {}); // reported here
    throw new Error('taskset is not installed (package util-linux)');
  }
  // The whole group, because nginx's workers outlive a master that is killed. Nobody waits for a graceful end.
  const kill = (): void => void process.kill(-pid, 'SIGKILL');
  running.add(kill);

  let isOver = false;
  const over = new Promise<void>((resolve) => {
    child.once('exit', () => {
      isOver = true;
      running.delete(kill);
      resolve();
    });
  });

  return {
    pid,
    output: () => readFileSync(`${base}.out`, 'utf8'),
    errors: () => readFileSync(`${base}.err`, 'utf8'),
    trimOutput: (mostBytes) => {
      // It was opened for appending, so the child goes on at the new end.
      if (statSync(`${base}.out`).size > mostBytes) truncateSync(`${base}.out`);
    },
    ready: async (isReady, withinMs = readyDeadlineMs) => {
      const deadline = Date.now() + withinMs;
      while (!(await isReady())) {
        const trouble = isOver ? 'ended at start' : Date.now() > deadline ? 'was not ready in time' : undefined;
        if (trouble !== undefined) {
          throw new Error(`${spec.name} ${trouble}:\n${readFileSync(`${base}.err`, 'utf8').slice(-2000)}`);
        }
        await sleep(20);
      }
    },
    stop: async () => {
      if (!isOver) kill();
      await over;
    },
  };
}

/** A port nobody listens on, for programs that must be told theirs. */
export async function freePort(): Promise<number> {
  const server = createServer();
  const port = await listenAnywhere(server);
  server.close();
  return port;
}

export function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    const settle = (isOpen: boolean): void => {
      socket.destroy();
      resolve(isOpen);
    };
    socket.once('connect', () => settle(true));
    socket.once('error', () => settle(false));
  });
}

/** Ends every child and removes the scratch files when this process ends, also by a signal. */
export function cleanUpAtExit(): void {
  process.once('exit', () => {
    for (const kill of running) kill();
    if (directory !== undefined) rmSync(directory, { recursive: true, force: true });
  });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => process.exit(128 + constants.signals[signal]));
  }
}
