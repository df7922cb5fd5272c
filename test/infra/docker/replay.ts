/** Does what a Dockerfile says without Docker: every stage is a folder, COPY copies files, RUN runs in sh. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, cpSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, posix } from 'node:path';
import type { Instruction, Stage } from './dockerfile.ts';
import type { IsIgnored } from './docker-ignore.ts';

export interface Replay {
  /** The repository's root. */
  readonly context: string;
  readonly isIgnored: IsIgnored;
  /** An empty folder for the stages. */
  readonly folder: string;
  /** Of every RUN; what the Dockerfile sets is added. */
  readonly env: Readonly<Record<string, string>>;
}

export interface Image {
  /** The folder that is its /. */
  readonly root: string;
  readonly workdir: string;
  readonly env: Readonly<Record<string, string>>;
  readonly user: string;
  readonly command: readonly string[];
}

/** Stages run side by side, each as soon as those are there that it builds on. */
export async function replay(stages: readonly Stage[], plan: Replay): Promise<Image> {
  // That of a build.
  const umask = process.umask(0o022);
  try {
    return await buildAll(stages, plan);
  } finally {
    process.umask(umask);
  }
}

async function buildAll(stages: readonly Stage[], plan: Replay): Promise<Image> {
  const images = new Map<string, Promise<Image>>();
  let last: Promise<Image> | undefined;
  for (const [index, stage] of stages.entries()) {
    last = build(stage, join(plan.folder, stage.name === '' ? `stage-${index}` : stage.name), plan, new Map(images));
    // Whoever waits for it hears of its failure; nobody may wait for a while.
    last.catch(() => undefined);
    if (stage.name !== '') images.set(stage.name, last);
  }
  assert.ok(last !== undefined, 'no stage');
  return await last;
}

async function build(
  stage: Stage,
  root: string,
  plan: Replay,
  earlier: ReadonlyMap<string, Promise<Image>>,
): Promise<Image> {
  mkdirSync(root);
  const base = await earlier.get(stage.base);
  if (base !== undefined) cpSync(base.root, root, { recursive: true, verbatimSymlinks: true });
  const image: Image = { ...(base ?? { workdir: '/', env: {}, user: '', command: [] }), root };
  for (const instruction of stage.instructions) {
    Object.assign(image, await follow(instruction, image, plan, earlier));
  }
  return image;
}

async function follow(
  instruction: Instruction,
  image: Image,
  plan: Replay,
  earlier: ReadonlyMap<string, Promise<Image>>,
): Promise<Partial<Image>> {
  switch (instruction.kind) {
    case 'workdir':
      mkdirSync(join(image.root, instruction.path), { recursive: true });
      return { workdir: instruction.path };
    case 'env':
      return { env: { ...image.env, ...Object.fromEntries(instruction.values) } };
    case 'user':
      return { user: instruction.user };
    case 'entrypoint':
      return { command: instruction.words };
    case 'run':
      await run(instruction.command, join(image.root, image.workdir), { ...plan.env, ...image.env });
      break;
    case 'copy':
      await copy(instruction, image, plan, earlier);
      break;
    case 'cmd':
    case 'expose':
    case 'label':
      break;
  }
  return {};
}

async function copy(
  { from, sources, target }: Extract<Instruction, { kind: 'copy' }>,
  image: Image,
  plan: Replay,
  earlier: ReadonlyMap<string, Promise<Image>>,
): Promise<void> {
  const to = join(image.root, posix.resolve(image.workdir, target));
  const isFolder = target.endsWith('/') || sources.length > 1;
  if (from === undefined) {
    for (const source of sources) copyFromContext(source, to, isFolder, plan);
    return;
  }
  const other = await earlier.get(from);
  assert.ok(other !== undefined, `no earlier stage is called ${from}`);
  for (const source of sources) {
    const path = join(other.root, source);
    const isFile = statSync(path).isFile();
    cpSync(path, isFile && isFolder ? join(to, basename(source)) : to, { recursive: true, verbatimSymlinks: true });
  }
}

/** With the least permissions that a clone can have: what the image needs beyond them it must give itself. */
function copyFromContext(source: string, to: string, isFolder: boolean, plan: Replay): void {
  const files = filesUnder(plan.context, source);
  const sent = files.filter((path) => !plan.isIgnored(path));
  assert.ok(sent.length > 0, `COPY ${source}: nothing of it is sent to the builder`);
  for (const path of sent) {
    const inside = path === source ? (isFolder ? basename(path) : '') : posix.relative(source, path);
    const target = join(to, inside);
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, readFileSync(join(plan.context, path)), { mode: 0o600 });
  }
}

/** The files at or under a path of a folder, by their paths from that folder, with slashes. */
export function filesUnder(folder: string, path: string): readonly string[] {
  if (statSync(join(folder, path)).isFile()) return [path];
  return readdirSync(join(folder, path), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => posix.join(path, posix.relative(join(folder, path), join(entry.parentPath, entry.name))));
}

async function run(command: string, cwd: string, env: Readonly<Record<string, string>>): Promise<void> {
  assert.doesNotMatch(command, /(?:^|\s)\//, `cannot be replayed, for its absolute path: ${command}`);
  const child = spawn('sh', ['-c', command], { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
  }
  const [code] = await once(child, 'close');
  assert.equal(code, 0, `RUN ${command}: exit code ${code}\n${said}`);
}

/** A folder that holds this Node.js alone, readable for everybody, to be the PATH of what is started. */
export function nodeAlone(folder: string): string {
  mkdirSync(folder);
  cpSync(process.execPath, join(folder, 'node'));
  for (const path of [folder, join(folder, 'node')]) chmodSync(path, 0o755);
  return folder;
}
