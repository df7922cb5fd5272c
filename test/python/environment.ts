/** A virtual environment for the Python tests in test/python/.venv, made anew when what belongs into it has changed. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

/** Where the Python tests are. */
export const FOLDER = fileURLToPath(new URL('.', import.meta.url));

/** What is missing on this machine, said to the person who can install it. */
export class MissingPythonError extends Error {
  override readonly name = 'MissingPythonError';
}

export interface RunOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** After so long it is killed. */
  readonly withinMs: number;
}

const OLDEST = '3.11';
const INSTALL_WITHIN_MS = 300_000;

/** The path of the environment's Python. */
export async function preparePython(): Promise<string> {
  const folder = `${FOLDER}.venv`;
  const python = `${folder}/bin/python`;
  const stamp = `${folder}/made-for.sha256`;
  const requirements = `${FOLDER}requirements.txt`;
  const wanted = createHash('sha256')
    .update(`${folder}\n`)
    .update(await readFile(requirements))
    .digest('hex');
  const made = await readFile(stamp, 'utf8').catch(() => '');
  if (made === wanted && (await run(python, ['-c', ''], within(INSTALL_WITHIN_MS))) === 0) return python;

  const isRecent = `import sys; sys.exit(sys.version_info < (${OLDEST.replace('.', ', ')}))`;
  if ((await run('python3', ['-c', isRecent], within(INSTALL_WITHIN_MS))) !== 0) {
    throw new MissingPythonError(`The Python tests need python3, version ${OLDEST} or newer, in the PATH.`);
  }
  if ((await run('python3', ['-m', 'venv', '--clear', folder], within(INSTALL_WITHIN_MS))) !== 0) {
    throw new MissingPythonError(
      'python3 could not make a virtual environment. On Debian and Ubuntu: apt-get install python3-venv',
    );
  }
  const install = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--requirement', requirements];
  if ((await run(python, install, within(INSTALL_WITHIN_MS))) !== 0) {
    throw new MissingPythonError('pip could not install test/python/requirements.txt.');
  }
  await writeFile(stamp, wanted);
  return python;
}

/** Runs a program with its output passed on. The exit code; 1 when it was killed, 127 when there is no such program. */
export function run(program: string, args: readonly string[], { env, withinMs }: RunOptions): Promise<number> {
  return new Promise((resolve) => {
    const child = spawn(program, args, { cwd: FOLDER, env, stdio: ['ignore', 'inherit', 'inherit'] });
    const timer = setTimeout(() => {
      process.stderr.write(`${program} is killed: it took more than ${withinMs / 1000} s.\n`);
      child.kill('SIGKILL');
    }, withinMs);
    child.on('error', () => {
      clearTimeout(timer);
      resolve(127);
    });
    child.on('close', (code) => {
      clearTimeout(timer);
      resolve(code ?? 1);
    });
  });
}

function within(withinMs: number): RunOptions {
  return { env: process.env, withinMs };
}
