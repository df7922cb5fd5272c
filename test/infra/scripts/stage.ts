/**
 * A place for the scripts to run in: a PATH with stubs of azd, az and curl and nothing else but a few of the system's small programs, so that
 * a program that a test leaves out is really missing. Time is a number in a file that the stub `sleep` moves on.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { accessSync, chmodSync, closeSync, constants, copyFileSync, existsSync, mkdirSync, mkdtempSync } from 'node:fs';
import { openSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const READS_NAMES = 'azd env get-values --no-prompt';

export const SHELLS = ['dash', 'bash'] as const;
export type Shell = (typeof SHELLS)[number];

export const SCRIPTS = fileURLToPath(new URL('../../../scripts/', import.meta.url));
const HERE = fileURLToPath(new URL('.', import.meta.url));

/** All that the scripts may use beside azd, az and curl; a POSIX system has it. `cat` and `grep` are for the stubs. */
const SYSTEM = ['awk', 'cat', 'dirname', 'grep', 'sed', 'tr'];
const BEGINNING = 1_800_000_000;

/** Never to be seen but in what curl reads. */
export const TOKEN = 'eyJ0b2tlbiI6ImNhbmFyeSJ9.very-secret.signature';

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  /** One line a call, the arguments with blanks between. */
  /** Programs that were run, but for `azd env get-values`, which changes nothing and comes with every check. */
  readonly calls: readonly string[];
  /** What curl read. */
  readonly inputs: string;
  /** How many seconds were slept. */
  readonly slept: number;
}

export type Values = Readonly<Record<string, string>>;

function find(program: string): string {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const path = join(folder, program);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not here.
    }
  }
  return assert.fail(
    `${program} is not on PATH, and the scripts are tested with it: install it (apt-get install ${program})`,
  );
}

export class Stage {
  readonly folder = mkdtempSync(join(tmpdir(), 'scripts-'));
  readonly shell: string;

  constructor(shell: Shell, programs: readonly string[] = ['azd', 'az', 'curl']) {
    this.shell = find(shell);
    for (const name of ['bin', 'az', 'home']) mkdirSync(join(this.folder, name));
    for (const name of SYSTEM) symlinkSync(find(name), join(this.folder, 'bin', name));
    for (const name of ['commands.txt', 'queries.txt']) copyFileSync(join(HERE, name), join(this.folder, name));
    for (const name of [...programs, 'date', 'sleep']) {
      copyFileSync(join(HERE, 'stub.sh'), join(this.folder, 'bin', name));
      chmodSync(join(this.folder, 'bin', name), 0o755);
    }
    this.write('clock', `${BEGINNING}\n`);
    this.write('pace', '1');
    this.write('token', TOKEN);
    this.write('dotenv', '');
    this.write('waiting', 'y\n');
    this.write('healthz', '0|200\n');
    this.write('completion', '0|200|\n');
    this.write('gateway', '0|200|\n');
  }

  write(name: string, text: string): void {
    writeFileSync(join(this.folder, name), text);
  }

  remove(name: string): void {
    rmSync(join(this.folder, name));
  }

  /** What az prints for a command, such as `cognitiveservices-usage-list.eastus2`; without it az fails. */
  az(command: string, ...rows: readonly (readonly (string | number)[])[]): void {
    this.write(`az/${command}`, rows.map((row) => `${row.join('\t')}\n`).join(''));
  }

  /** Values of the azd environment. */
  set(values: Values): void {
    const all = { ...this.values(), ...values };
    this.write(
      'dotenv',
      Object.entries(all)
        .map(([name, value]) => `${name}=${value}\n`)
        .join(''),
    );
  }

  values(): Record<string, string> {
    const lines = this.#read('dotenv')
      .split('\n')
      .filter((line) => line !== '');
    return Object.fromEntries(
      lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
    );
  }

  /** Runs a script as azd runs a hook: with the environment's values as variables. Something is waiting to be read, and must not be. */
  run(script: string, args: readonly string[] = []): Ran {
    return this.runFile(join(SCRIPTS, `${script}.sh`), args, this.values());
  }

  runFile(path: string, args: readonly string[], values: Values): Ran {
    for (const name of ['calls', 'inputs', 'refused']) this.write(name, '');
    const began = this.#read('clock');
    this.write('began', began);
    const waiting = openSync(join(this.folder, 'waiting'), 'r');
    const { status, stdout, stderr, error } = spawnSync(this.shell, [path, ...args], {
      cwd: this.folder,
      encoding: 'utf8',
      env: { HOME: join(this.folder, 'home'), ...values, PATH: join(this.folder, 'bin') },
      stdio: [waiting, 'pipe', 'pipe'],
    });
    closeSync(waiting);
    if (error !== undefined) throw error;
    assert.equal(this.#read('refused'), '', `${stdout}${stderr}`);
    assert.deepEqual(readdirSync(join(this.folder, 'home')), [], 'something was left behind');
    const lines = this.#read('calls')
      .split('\n')
      .filter((line) => line !== '');
    return {
      code: status ?? -1,
      out: stdout,
      err: stderr,
      // Every check begins by reading the names that there are.
      calls: lines.map((line) => line.replaceAll('\u001f', ' ')).filter((line) => line !== READS_NAMES),
      inputs: this.#read('inputs'),
      slept: Number(this.#read('clock')) - Number(began),
    };
  }

  close(): void {
    rmSync(this.folder, { recursive: true });
  }

  #read(name: string): string {
    const path = join(this.folder, name);
    return existsSync(path) ? readFileSync(path, 'utf8') : '';
  }
}

/** Declares the tests once for each shell. `stage` makes a stage that is taken away after the test. */
export function underEachShell(title: string, tests: (stage: (programs?: readonly string[]) => Stage) => void): void {
  for (const shell of SHELLS) {
    describe(`${title}, under ${shell}`, () => {
      const stages: Stage[] = [];
      afterEach(() => {
        for (const stage of stages.splice(0)) stage.close();
      });
      tests((programs) => {
        const stage = new Stage(shell, programs);
        stages.push(stage);
        return stage;
      });
    });
  }
}
