import assert from 'node:assert/strict';
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { NODE_FLAGS } from '../../scripts/node-flags.ts';
import { send } from '../support/http.ts';
import { packageOf, textOf } from '../support/sources.ts';
import { readDockerIgnore } from './docker/docker-ignore.ts';
import { readDockerfile, type Instruction, type Stage } from './docker/dockerfile.ts';
import { filesUnder, nodeAlone, replay, type Image } from './docker/replay.ts';
import { recordOf } from './docker/values.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const DOCKERFILE = 'app/Dockerfile';
const MOST_MEBIBYTES = 96;

const stages = readDockerfile(textOf(DOCKERFILE));
const isIgnored = readDockerIgnore(textOf('.dockerignore'));
const manifest = recordOf(JSON.parse(textOf('package.json')));

function lastStage(): Stage {
  const stage = stages.at(-1);
  assert.ok(stage !== undefined);
  return stage;
}

/** What a stage says by instructions of one kind. */
function all<Kind extends Instruction['kind']>(
  stage: Stage,
  kind: Kind,
): readonly Extract<Instruction, { kind: Kind }>[] {
  return stage.instructions.filter(
    (instruction): instruction is Extract<Instruction, { kind: Kind }> => instruction.kind === kind,
  );
}

/** The bases that are images, not earlier stages. */
function images(): readonly string[] {
  const names = new Set(stages.map(({ name }) => name));
  return stages.map(({ base }) => base).filter((base) => !names.has(base));
}

describe('.dockerignore', () => {
  const mustStayOut = [
    '.azure/dev/.env',
    '.azure/config.json',
    '.env',
    '.env.local',
    'app/.env',
    'app/src/.env',
    'app/src/.env.production',
    'app/src/.azure/dev/.env',
    '.git/config',
    'node_modules/express/index.js',
    'app/src/node_modules/x/index.js',
    'app/src/config.test.ts',
    'app/src/npm-debug.log',
    'dist/main.js',
    'coverage/index.html',
    'test/docs.test.ts',
    'bench/main.ts',
    'simulator/main.ts',
    'docs/security.md',
    'infra/main.bicep',
    'scripts/start.ts',
    'azure.yaml',
    'README.md',
    'package.json.bak',
    'apps/src/main.ts',
  ];
  for (const path of mustStayOut) {
    it(`keeps ${path} from the builder`, () => assert.equal(isIgnored(path), true));
  }

  const mustGoIn = ['package.json', 'package-lock.json', 'tsconfig.json', 'tsconfig.build.json', DOCKERFILE];
  for (const path of [...mustGoIn, 'app/src/main.ts', 'app/src/balancer/circuit-breaker.ts']) {
    it(`gives ${path} to the builder`, () => assert.equal(isIgnored(path), false));
  }

  it('gives every source of the balancer to the builder', () => {
    assert.deepEqual(filesUnder(ROOT, 'app/src').filter(isIgnored), []);
  });

  it('is the one that counts: none lies beside the Dockerfile', () => {
    assert.equal(existsSync(join(ROOT, `${DOCKERFILE}.dockerignore`)), false);
  });
});

describe('the reading of .dockerignore', () => {
  for (const { lines, path, expected } of [
    { lines: ['node_modules'], path: 'node_modules/a/b.js', expected: true },
    { lines: ['node_modules'], path: 'app/node_modules/b.js', expected: false },
    { lines: ['**/node_modules'], path: 'app/node_modules/b.js', expected: true },
    { lines: ['**/node_modules'], path: 'node_modules/b.js', expected: true },
    { lines: ['*.md', '!README.md'], path: 'README.md', expected: false },
    { lines: ['*.md', '!README.md'], path: 'SECURITY.md', expected: true },
    { lines: ['!README.md', '*.md'], path: 'README.md', expected: true },
    { lines: ['*.md'], path: 'docs/security.md', expected: false },
    { lines: ['*', '!app/src'], path: 'app/src/a/b.ts', expected: false },
    { lines: ['*', '!app/src'], path: 'app/srcs/b.ts', expected: true },
    { lines: ['# *', '', 'a?c'], path: 'abc', expected: true },
    { lines: ['/dist/'], path: 'dist/main.js', expected: true },
    { lines: ['a.b'], path: 'axb', expected: false },
  ]) {
    it(`takes ${lines.join(' ')} to ${expected ? 'exclude' : 'leave'} ${path}`, () => {
      assert.equal(readDockerIgnore(lines.join('\n'))(path), expected);
    });
  }
});

describe('the reading of a Dockerfile', () => {
  for (const { text, because } of [
    { text: 'FROM a\nADD x y', because: /ADD x y/ },
    { text: 'FROM a\nHEALTHCHECK NONE', because: /HEALTHCHECK/ },
    { text: 'ARG X=1\nFROM a', because: /before the first FROM/ },
    { text: 'FROM a\nARG TOKEN', because: /ARG TOKEN/ },
    { text: 'FROM a\nRUN --mount=type=cache,target=/x npm ci', because: /plain form/ },
    { text: 'FROM a\nRUN <<END\nnpm ci\nEND', because: /here-documents/ },
    { text: 'FROM a\nCOPY --chmod=644 a b', because: /--chmod/ },
    { text: 'FROM a\nCMD node main.js', because: /JSON|token/ },
    { text: 'FROM a\nENV A=$B', because: /variables/ },
    { text: '# syntax=docker/dockerfile:1\nFROM a', because: /directive/ },
  ]) {
    it(`refuses ${text.replaceAll('\n', ' ⏎ ')}`, () => assert.throws(() => readDockerfile(text), because));
  }

  it('joins continued lines and leaves comments out', () => {
    const [stage] = readDockerfile('# a\nFROM b AS c\nENV A=1 \\\n  # d\n  B="2 3"\n');
    assert.deepEqual(stage, {
      name: 'c',
      base: 'b',
      instructions: [
        {
          kind: 'env',
          values: new Map([
            ['A', '1'],
            ['B', '2 3'],
          ]),
        },
      ],
    });
  });
});

describe(DOCKERFILE, () => {
  it("is based on images of Microsoft's registry alone, each pinned by version and digest", () => {
    for (const base of images()) {
      assert.match(base, /^mcr\.microsoft\.com\/azurelinux\/[a-z/]+:\d+\.\d+\.\d+-\S+@sha256:[0-9a-f]{64}$/);
    }
  });

  it('builds and runs with one version of Node.js, of the release line that is tested', () => {
    const versions = images().map((base) => /\/nodejs:(\d+\.\d+\.\d+)-/.exec(base)?.[1] ?? base);
    assert.equal(new Set(versions).size, 1, versions.join(', '));
    assert.equal(versions[0]?.split('.')[0], process.versions.node.split('.')[0]);
  });

  it('is not root when it runs, and says so by a number', () => {
    const [{ user } = { user: '' }, ...more] = all(lastStage(), 'user');
    assert.match(user, /^[1-9]\d*:[1-9]\d*$/);
    assert.deepEqual(more, []);
  });

  it('starts node itself, with the flags that the balancer runs with everywhere', () => {
    const [entrypoint, ...more] = all(lastStage(), 'entrypoint');
    assert.deepEqual(entrypoint?.words, ['node', ...NODE_FLAGS, 'dist/main.js']);
    assert.deepEqual([...more, ...all(lastStage(), 'cmd')], []);
  });

  it('listens where a container must, on the port that it says', () => {
    const settings = new Map(all(lastStage(), 'env').flatMap(({ values }) => [...values]));
    assert.deepEqual(Object.fromEntries(settings), { NODE_ENV: 'production', HOST: '0.0.0.0', PORT: '8080' });
    assert.deepEqual(
      all(lastStage(), 'expose').map(({ port }) => port),
      [8080],
    );
  });

  it('holds no secret', () => {
    const names = stages.flatMap((stage) => all(stage, 'env').flatMap(({ values }) => [...values.keys()]));
    assert.deepEqual(
      names.filter((name) => /KEY|SECRET|TOKEN|PASSWORD|CREDENTIAL|CONNECTION/i.test(name)),
      [],
    );
  });

  it('says of itself what package.json says', () => {
    const labels = new Map(all(lastStage(), 'label').flatMap(({ values }) => [...values]));
    assert.deepEqual(
      Object.fromEntries(labels),
      Object.fromEntries(
        Object.entries({ title: 'name', description: 'description', licenses: 'license' }).map(([label, field]) => [
          `org.opencontainers.image.${label}`,
          manifest[field],
        ]),
      ),
    );
  });

  it('installs by the lock file, before it copies what changes more often', () => {
    const commands = stages.flatMap((stage) => all(stage, 'run').map(({ command }) => command));
    const installs = commands.filter((command) => /\bnpm (?:ci|i|install|add)\b/.test(command));
    assert.equal(installs.length, 2);
    for (const command of installs) assert.match(command, /^npm ci .*--ignore-scripts/);
    for (const stage of stages) {
      const kinds = stage.instructions.filter(
        (instruction) => instruction.kind === 'copy' && instruction.sources.includes('app/src'),
      );
      const install = stage.instructions.findIndex(
        (instruction) => instruction.kind === 'run' && instruction.command.startsWith('npm ci'),
      );
      for (const copy of kinds) assert.ok(stage.instructions.indexOf(copy) > install);
    }
  });

  it('leaves out no install script that production needs, for there is none', () => {
    const needing = lockedPackages(
      join(ROOT, 'package-lock.json'),
      ({ dev, hasInstallScript }) => dev !== true && hasInstallScript === true,
    );
    assert.deepEqual(Object.keys(needing), []);
  });

  it('copies only what there is and what the builder is given', () => {
    const copies = stages.flatMap((stage) => all(stage, 'copy')).filter(({ from }) => from === undefined);
    for (const source of copies.flatMap(({ sources }) => sources)) {
      assert.ok(existsSync(join(ROOT, source)), `${source} is not there`);
      assert.equal(isIgnored(source), false, source);
    }
  });

  it('copies into what runs only what other stages made', () => {
    for (const { from, sources } of all(lastStage(), 'copy')) {
      assert.ok(from !== undefined, `COPY ${sources.join(' ')} has no --from`);
    }
  });
});

describe('what app/Dockerfile makes, replayed without Docker', function () {
  this.timeout(240_000);

  let folder = '';
  let image: Image;
  const running = new Set<ChildProcessByStdio<null, Readable, Readable>>();

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'image-'));
    // What runs is another user, who must get here.
    chmodSync(folder, 0o755);
    const node = nodeAlone(join(folder, 'node-alone'));
    image = await replay(stages, { context: ROOT, isIgnored, folder, env: installEnvironment(node) });
  });

  afterEach(async () => {
    await Promise.all(
      [...running].map(async (child) => {
        const closed = once(child, 'close');
        child.kill('SIGKILL');
        await closed;
      }),
    );
  });

  after(() => rmSync(folder, { recursive: true, force: true }));

  const inside = (path: string): string => join(image.root, image.workdir, path);

  /** Starts it as a container would: nothing but its own environment, and its own user where that can be. */
  function start(settings: Readonly<Record<string, string>>): Started {
    const [file = '', ...words] = image.command;
    const [uid, gid] = image.user.split(':').map(Number);
    const isRoot = process.getuid?.() === 0;
    const path = join(folder, 'node-alone');
    assert.equal(file, 'node');
    const child = spawn(join(path, file), words, {
      cwd: inside('.'),
      env: { PATH: path, ...image.env, PORT: '0', ...settings },
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(isRoot && uid !== undefined && gid !== undefined ? { uid, gid } : {}),
    });
    running.add(child);
    let output = '';
    let errors = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      errors += text;
    });
    child.once('error', () => running.delete(child));
    const ended = once(child, 'close').then(([code]) => {
      running.delete(child);
      return { code: typeof code === 'number' ? code : null, errors };
    });
    const listening = new Promise<string>((resolve, reject) => {
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        output += text;
        const url = /^Listening on (http:\/\/\S+)/m.exec(output)?.[1];
        if (url !== undefined) resolve(url);
      });
      ended.then(() => reject(new Error(`it ended: ${output}${errors}`)), reject);
    });
    // Not everybody waits for it.
    listening.catch(() => undefined);
    return { listening, ended, terminate: () => void child.kill('SIGTERM') };
  }

  it('starts as its own user, answers the probes, and ends with 0 on SIGTERM', async () => {
    const { listening, ended, terminate } = start({
      HOST: '127.0.0.1',
      BACKEND_1_URL: 'https://one.openai.azure.com',
      BACKEND_1_APIKEY: 'a-key',
      CLIENT_API_KEYS: 'team-a=0123456789abcdef',
      // Otherwise it goes on serving for the 5 s that an ingress needs to notice.
      DRAIN_SECONDS: '0',
    });
    const url = await listening;
    const statuses = [(await send(`${url}/healthz`)).status, (await send(`${url}/readyz`)).status];
    assert.deepEqual(statuses, [200, 200]);
    assert.equal((await send(`${url}/v1/models`, { headers: { 'api-key': 'not-one-of-them' } })).status, 401);
    terminate();
    assert.deepEqual(await ended, { code: 0, errors: '' });
  });

  it('refuses to start for everybody: as it is set, it needs client keys or a tenant', async () => {
    const { ended } = start({ BACKEND_1_URL: 'https://one.openai.azure.com', BACKEND_1_APIKEY: 'a-key' });
    const { code, errors } = await ended;
    assert.equal(code, 1);
    assert.match(errors, /CLIENT_API_KEYS/);
  });

  it('has the packages that the lock file gives to production, and no other', () => {
    const installed = Object.keys(lockedPackages(inside('node_modules/.package-lock.json'), () => true));
    const locked = Object.entries(
      lockedPackages(join(ROOT, 'package-lock.json'), ({ dev, devOptional }) => dev !== true && devOptional !== true),
    );
    const needed = locked.filter(([path, { optional }]) => path !== '' && optional !== true).map(([path]) => path);
    assert.deepEqual(
      installed.filter((path) => !locked.some(([known]) => known === path)),
      [],
    );
    assert.deepEqual(
      needed.filter((path) => !installed.includes(path)),
      [],
    );
    for (const name of Object.keys(recordOf(manifest['dependencies']))) {
      assert.ok(installed.includes(`node_modules/${name}`), name);
    }
  });

  it('has one module for each source of the balancer, and the files of the page, and no test', () => {
    const sources = filesUnder(ROOT, 'app/src')
      .filter((path) => !path.endsWith('/tsconfig.json'))
      .map((path) => path.replace(/^app\/src\/(.*?)(?:\.ts)?$/, (_, name: string) => `dist/${name}`))
      .map((path) => (/\.(?:js|css)$/.test(path) ? path : `${path}.js`));
    assert.deepEqual([...filesUnder(inside('.'), 'dist')].toSorted(), sources.toSorted());
  });

  it('imports nothing but Node, itself and what package.json gives to production', () => {
    const known = Object.keys(recordOf(manifest['dependencies']));
    const wrong = filesUnder(inside('.'), 'dist').flatMap((path) => {
      const text = readFileSync(inside(path), 'utf8');
      const targets = [
        ...text.matchAll(/^(?:import|export)\b[^;'"]*?from ['"]([^'"]+)['"]|\bimport\(?\s*['"]([^'"]+)['"]/gm),
      ];
      return targets
        .map(([, from, bare]) => from ?? bare ?? '')
        .filter((target) => !/^(?:node:|\.)/.test(target) && !known.includes(packageOf(target)))
        .map((target) => `${path} imports ${target}`);
    });
    assert.deepEqual(wrong, []);
  });

  it('holds nothing beside its modules, its packages and package.json', () => {
    const found = filesUnder(image.root, '.').filter((path) => !/^app\/(?:dist|node_modules)\//.test(path));
    assert.deepEqual(found, ['app/package.json']);
  });

  it(`adds less than ${MOST_MEBIBYTES} MiB to its base`, () => {
    const bytes = filesUnder(image.root, '.').reduce((sum, path) => sum + statSync(join(image.root, path)).size, 0);
    assert.ok(bytes < MOST_MEBIBYTES * 2 ** 20, `${(bytes / 2 ** 20).toFixed(1)} MiB`);
  });
});

interface Started {
  /** Its URL; rejects when it ends before it listens. */
  readonly listening: Promise<string>;
  readonly ended: Promise<{ readonly code: number | null; readonly errors: string }>;
  readonly terminate: () => void;
}

interface Locked {
  readonly dev?: unknown;
  readonly devOptional?: unknown;
  readonly optional?: unknown;
  readonly hasInstallScript?: unknown;
}

/** The packages of a lock file by their folders. */
function lockedPackages(path: string, isWanted: (entry: Locked) => boolean): Readonly<Record<string, Locked>> {
  const lock = recordOf(JSON.parse(readFileSync(path, 'utf8')));
  const packages = Object.entries(recordOf(lock['packages'])).map(([name, entry]) => [name, recordOf(entry)] as const);
  return Object.fromEntries(packages.filter(([, entry]) => isWanted(entry)));
}

/** What npm needs to reach a registry from here, and what it already fetched; nothing of the project that runs this. */
function installEnvironment(node: string): Readonly<Record<string, string>> {
  const kept =
    /^(?:HOME|(?:https?|no)_proxy|NODE_EXTRA_CA_CERTS|SSL_CERT_FILE|npm_config_(?:registry|cache|userconfig|globalconfig|cafile|proxy|https_proxy|noproxy))$/i;
  const env = Object.fromEntries(
    Object.entries(process.env).flatMap(([name, value]) =>
      kept.test(name) && value !== undefined ? [[name, value]] : [],
    ),
  );
  return { ...env, PATH: `${node}:${process.env['PATH'] ?? ''}`, npm_config_prefer_offline: 'true' };
}
