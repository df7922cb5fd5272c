/** The real process, `node app/src/main.ts`, as a child with an environment of its own. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface RunningProcess {
  /** `http://127.0.0.1:41233`, once it listens; '' before. */
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** Whole lines of standard output so far. */
  readonly lines: readonly string[];
  /** All of standard error so far. */
  readonly errors: string;
  readonly stdout: Readable;
  /** Resolves when the process ended and its output is complete. */
  readonly exited: Promise<Exit>;
  /** Resolves when the process ended, though nobody may have read its output. */
  readonly ended: Promise<Exit>;
  /** The first line of standard output that matches, now or later; rejects when the process ends before. */
  line(pattern: RegExp): Promise<string>;
  signal(name: NodeJS.Signals): void;
}

type Environment = Readonly<Record<string, string>>;

const MAIN = fileURLToPath(new URL('../../app/src/main.ts', import.meta.url));

/** Those that have not ended. */
const running = new Set<ChildProcess>();

/**
 * Starts it and waits until it listens, on a free port.
 * @param openFiles how many it may have open, sockets among them
 */
export async function startProcess(env: Environment, openFiles?: number): Promise<RunningProcess> {
  const started = spawned(MAIN, { PORT: '0', ...env }, openFiles);
  await started.line(/Listening on /);
  return started;
}

/** Starts it; it may end by itself. Nothing of this process's environment is handed down but what Node needs. */
export function runProcess(env: Environment): RunningProcess {
  return spawned(MAIN, env);
}

/** Its standard output is a file that is open. */
export function runInto(file: number, env: Environment): Pick<RunningProcess, 'exited' | 'signal'> {
  const { PATH = '' } = process.env;
  const child = spawn(process.execPath, [MAIN], { env: { PATH, ...env }, stdio: ['ignore', file, 'inherit'] });
  running.add(child);
  const exited = new Promise<Exit>((resolve) => {
    child.on('close', (code, signal) => {
      running.delete(child);
      resolve({ code, signal });
    });
  });
  return { exited, signal: (name) => void child.kill(name) };
}

/** Another script of the project's, by its path in it. */
export function runScript(path: string, env: Environment): RunningProcess {
  return spawned(fileURLToPath(new URL(`../../${path}`, import.meta.url)), env);
}

function spawned(script: string, env: Environment, openFiles?: number): RunningProcess {
  const { PATH = '', NODE_V8_COVERAGE } = process.env;
  const command = [process.execPath, script] as const;
  const [program, ...args] =
    openFiles === undefined ? command : (['sh', '-c', `ulimit -n ${openFiles}; exec "$@"`, 'sh', ...command] as const);
  const child = spawn(program, args, {
    env: { PATH, ...(NODE_V8_COVERAGE === undefined ? {} : { NODE_V8_COVERAGE }), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running.add(child);
  const lines: string[] = [];
  let begun = '';
  let errors = '';
  let isClosed = false;
  const changed = new Set<() => void>();
  const tell = (): void => {
    for (const look of changed) look();
  };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const parts = (begun + text).split('\n');
    begun = parts.pop() ?? '';
    lines.push(...parts);
    tell();
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  const exited = new Promise<Exit>((resolve) => {
    child.on('close', (code, signal) => {
      running.delete(child);
      isClosed = true;
      tell();
      resolve({ code, signal });
    });
  });

  const ended = new Promise<Exit>((resolve) => {
    child.on('exit', (code, signal) => resolve({ code, signal }));
  });

  function url(): string {
    for (const line of lines) {
      const found = /Listening on (http:\/\/[^\s"]+)/.exec(line)?.[1];
      if (found !== undefined) return found;
    }
    return '';
  }

  return {
    get url() {
      return url();
    },
    get port() {
      return Number(new URL(url()).port);
    },
    pid: child.pid ?? 0,
    lines,
    get errors() {
      return errors;
    },
    stdout: child.stdout,
    exited,
    ended,
    line(pattern) {
      return new Promise((resolve, reject) => {
        const look = (): void => {
          const found = lines.find((line) => pattern.test(line));
          if (found === undefined && !isClosed) return;
          changed.delete(look);
          if (found === undefined) reject(new Error(`ended without ${pattern}: ${lines.join('\n')}\n${errors}`));
          else resolve(found);
        };
        changed.add(look);
        look();
      });
    },
    signal: (name) => void child.kill(name),
  };
}

/** Ends those that still run, by their own handle, and waits for it. */
export async function endProcesses(): Promise<void> {
  await Promise.all(
    [...running].map(async (child) => {
      const closed = once(child, 'close');
      child.kill('SIGKILL');
      await closed;
    }),
  );
}
