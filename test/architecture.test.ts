import assert from 'node:assert/strict';
import { codeOf, importsOf, packageOf, sourcesUnder, textOf, type ImportLine } from './support/sources.ts';

/** What the browser runs too: it can read no TypeScript. */
const PAGE = sourcesUnder('app/src/ops/page', '.js');
const APP = [...sourcesUnder('app/src'), ...PAGE];
const SIMULATOR = sourcesUnder('simulator');
const OTHERS = ['scripts', 'bench', 'test'].flatMap((folder) => sourcesUnder(folder));
const LINES = [...APP, ...SIMULATOR, ...OTHERS].flatMap((path) => importsOf(path));

/** What each part of app/src may import of the others; `type` when only types. */
const ARROWS: Readonly<Record<string, Readonly<Record<string, 'value' | 'type'>>>> = {
  main: { compose: 'value', config: 'value', entrance: 'value', 'start-words': 'value', telemetry: 'value' },
  'start-words': { config: 'type', loopback: 'value' },
  compose: {
    app: 'value',
    auth: 'value',
    balancer: 'value',
    config: 'type',
    loopback: 'value',
    ops: 'value',
    proxy: 'value',
    server: 'value',
    telemetry: 'value',
  },
  app: { ops: 'value', proxy: 'value', telemetry: 'type' },
  entrance: {},
  server: { proxy: 'value' },
  config: {
    auth: 'value',
    balancer: 'type',
    loopback: 'value',
    'near-names': 'value',
    settings: 'value',
    telemetry: 'type',
  },
  'near-names': {},
  settings: { auth: 'value', loopback: 'value' },
  loopback: {},
  'ascii-json': {},
  version: {},
  // Errors look alike everywhere: ops sends them with proxy/reply.ts (held below).
  ops: { 'ascii-json': 'value', auth: 'value', balancer: 'type', config: 'type', proxy: 'value', telemetry: 'value' },
  proxy: { 'ascii-json': 'value', auth: 'value', balancer: 'value', telemetry: 'type' },
  telemetry: { 'ascii-json': 'value', balancer: 'type', version: 'value' },
  auth: { balancer: 'type', loopback: 'value' },
  balancer: {},
};

/** The one file of app/src that imports each npm package. */
const PACKAGES: Readonly<Record<string, string>> = {
  '@azure/identity': 'app/src/auth/token-source.ts',
  '@opentelemetry/api': 'app/src/telemetry/app-insights.ts',
  '@opentelemetry/api-logs': 'app/src/telemetry/app-insights.ts',
  applicationinsights: 'app/src/telemetry/app-insights.ts',
  express: 'app/src/app.ts',
  'http-proxy-middleware': 'app/src/proxy/forward.ts',
  jose: 'app/src/auth/entra-tokens.ts',
  'prom-client': 'app/src/telemetry/exposition.ts',
  'rate-limiter-flexible': 'app/src/auth/client-limits.ts',
  zod: 'app/src/settings.ts',
};

/** Files that may import no more than the types of a package: compose.ts hands a credential through. */
const TYPES_OF_PACKAGES: Readonly<Record<string, string>> = { 'app/src/compose.ts': '@azure/identity' };

const MOST_LINES = 350;

/** `proxy` of `app/src/proxy/handler.ts`, `main` of `app/src/main.ts`. */
function partOf(path: string): string {
  return /^app\/src\/([\w-]+)/.exec(path)?.[1] ?? '';
}

function told(lines: readonly ImportLine[]): readonly string[] {
  return lines.map(({ from, to, isType }) => `${from} imports ${isType ? 'types of ' : ''}${to}`);
}

/** A file of the repository, not a package. */
function isFile(target: string): boolean {
  return target.endsWith('.ts') || PAGE.includes(target);
}

function isOfApp(path: string): boolean {
  return path.startsWith('app/');
}

describe('the architecture', () => {
  it('is read from every import line, and every file that is imported exists', () => {
    const files = new Set([...APP, ...SIMULATOR, ...OTHERS]);
    for (const path of files) {
      const written = codeOf(path).match(/^import\b|^export [^;]*? from '/gm)?.length ?? 0;
      const read = LINES.filter(({ from }) => from === path).length;
      assert.ok(read >= written, `${path} has ${written} import lines, of which ${read} were read`);
    }
    const missing = LINES.filter(({ to }) => isFile(to) && !files.has(to));
    assert.deepEqual(told(missing), []);
  });

  it('has no part of app/src without arrows of its own', () => {
    assert.deepEqual([...new Set(APP.map(partOf))].toSorted(), Object.keys(ARROWS).toSorted());
  });

  it('points its arrows one way: main → compose → app → {proxy, ops} → {auth, telemetry} → balancer', () => {
    const wrong = LINES.filter(({ from, to, isType }) => {
      if (!isOfApp(from) || !isOfApp(to) || partOf(from) === partOf(to)) return false;
      const allowed = ARROWS[partOf(from)]?.[partOf(to)];
      return allowed === undefined || (allowed === 'type' && !isType);
    });
    assert.deepEqual(told(wrong), []);
  });

  it('lets ops use nothing of proxy but how errors and documents are sent', () => {
    const wrong = LINES.filter(
      ({ from, to }) =>
        partOf(from) === 'ops' && partOf(to) === 'proxy' && !/\/(reply|proxy-error|credential-errors)\.ts$/.test(to),
    );
    assert.deepEqual(told(wrong), []);
  });

  it('keeps the balancer pure: it imports only itself', () => {
    const wrong = LINES.filter(({ from, to }) => partOf(from) === 'balancer' && partOf(to) !== 'balancer');
    assert.deepEqual(told(wrong), []);
  });

  it('keeps the balancer pure: it reads no clock, no chance and no process, and starts no timer', () => {
    const impure =
      /\b(?:Date\.now|new Date|Math\.random|performance|process|globalThis|setTimeout|setInterval|setImmediate|queueMicrotask|fetch|console|require|await|async)\b/;
    const wrong = APP.filter((path) => partOf(path) === 'balancer').flatMap((path) => {
      const found = impure.exec(codeOf(path))?.[0];
      return found === undefined ? [] : [`${path} says ${found}`];
    });
    assert.deepEqual(wrong, []);
  });

  it('has nobody import main.ts', () => {
    assert.deepEqual(told(LINES.filter(({ to }) => to === 'app/src/main.ts')), []);
  });

  it('lets what the browser runs import nothing but itself, and only the page import it', () => {
    const wrong = LINES.filter(({ from, to }) =>
      PAGE.includes(from) ? !PAGE.includes(to) : isOfApp(from) && PAGE.includes(to) && from !== 'app/src/ops/page.ts',
    );
    assert.deepEqual(told(wrong), []);
  });

  it('keeps app and simulator apart: neither imports the other, nor tests, scripts or bench', () => {
    const wrong = LINES.filter(({ from, to }) => {
      if (!isFile(to)) return false;
      if (isOfApp(from)) return !to.startsWith('app/src/');
      return from.startsWith('simulator/') && !to.startsWith('simulator/');
    });
    assert.deepEqual(told(wrong), []);
  });

  it('has each npm package imported by one file of app/src', () => {
    const wrong = LINES.filter(({ from, to, isType }) => {
      if (!isOfApp(from) || isFile(to) || to.startsWith('node:')) return false;
      const isTheOne = PACKAGES[packageOf(to)] === from;
      return !isTheOne && !(isType && TYPES_OF_PACKAGES[from] === packageOf(to));
    });
    assert.deepEqual(told(wrong), []);
    for (const [name, path] of Object.entries(PACKAGES)) {
      const found = LINES.some(({ from, to }) => from === path && packageOf(to) === name);
      assert.ok(found, `${path} does not import ${name} any more`);
    }
  });

  it('installs for the app exactly the packages that it imports', () => {
    const manifest: unknown = JSON.parse(textOf('package.json'));
    assert.ok(typeof manifest === 'object' && manifest !== null && 'dependencies' in manifest);
    assert.deepEqual(Object.keys(manifest.dependencies ?? {}).toSorted(), Object.keys(PACKAGES).toSorted());
  });

  it('names the modules of Node with node: and its own files with .ts', () => {
    const packages = /^(?:node:|@?[a-z])/;
    const wrong = LINES.filter(({ to }) => !isFile(to) && !packages.test(to));
    assert.deepEqual(told(wrong), []);
    const bare = LINES.filter(({ to }) =>
      /^(?:assert|buffer|crypto|events|fs|http|https|net|os|path|stream|url|util|zlib)(?:\/|$)/.test(to),
    );
    assert.deepEqual(told(bare), []);
  });

  it(`has no file of app/src with more than ${MOST_LINES} lines`, () => {
    const long = APP.map((path) => ({ path, lines: textOf(path).split('\n').length - 1 })).filter(
      ({ lines }) => lines > MOST_LINES,
    );
    assert.deepEqual(long, []);
  });

  it('says at the head of every file of app/src what it is for', () => {
    const silent = APP.filter((path) => !/^\/(?:\*\*|\/) ?\S?/.test(textOf(path)));
    assert.deepEqual(silent, []);
  });
});
