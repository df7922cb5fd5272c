import assert from 'node:assert/strict';
import { importsOf, packageOf, sourcesUnder, textOf } from '../support/sources.ts';

const PAGE = 'docs/dependencies.md';
/** They ask for no more than that their text is kept. */
const PERMISSIVE = new Set([
  '0BSD',
  'Apache-2.0',
  'BlueOak-1.0.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'CC0-1.0',
  'ISC',
  'MIT',
  'MIT-0',
  'Unlicense',
]);

/** What package-lock.json says of one installed package. */
interface Locked {
  readonly dev?: boolean;
  readonly license?: string;
  readonly integrity?: string;
  readonly resolved?: string;
  readonly hasInstallScript?: boolean;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

/** By the place where it is installed, `node_modules/debug`; `''` is this repository itself. */
type Lock = ReadonlyMap<string, Locked>;

function lockOf(text: string): Lock {
  const { packages }: { readonly packages: Readonly<Record<string, Locked>> } = JSON.parse(text);
  return new Map(Object.entries(packages));
}

function directOf(lock: Lock): readonly string[] {
  return Object.keys(lock.get('')?.dependencies ?? {});
}

/** Those that run with the balancer: all that are not there for its development alone. */
function productionOf(lock: Lock): readonly (readonly [place: string, locked: Locked])[] {
  return [...lock].filter(([place, { dev }]) => place !== '' && dev !== true);
}

function nameOf(place: string): string {
  return place.slice(place.lastIndexOf('node_modules/') + 'node_modules/'.length);
}

/** Where Node finds this package from that place: in its own node_modules, else in those around it. */
function find(lock: Lock, from: string, name: string): string | undefined {
  for (let place = from; ; place = place.slice(0, Math.max(0, place.lastIndexOf('/node_modules/')))) {
    const found = place === '' ? `node_modules/${name}` : `${place}/node_modules/${name}`;
    if (lock.has(found)) return found;
    if (place === '') return undefined;
  }
}

/** The places of a package and of all that it brings. */
function reach(lock: Lock, name: string): ReadonlySet<string> {
  const reached = new Set<string>();
  const visit = (from: string, wanted: string): void => {
    const place = find(lock, from, wanted);
    if (place === undefined || reached.has(place)) return; // Not found: an optional one that was not installed.
    reached.add(place);
    const { dependencies, optionalDependencies, peerDependencies } = lock.get(place) ?? {};
    for (const next of Object.keys({ ...dependencies, ...optionalDependencies, ...peerDependencies })) {
      visit(place, next);
    }
  };
  visit('', name);
  return reached;
}

/** What must not be installed beside callers' prompts and everybody's keys. */
function faultsOf(place: string, locked: Locked): readonly string[] {
  const { license, integrity = '', resolved, hasInstallScript } = locked;
  const faults: string[] = [];
  if (!isPermissive(license ?? '')) faults.push(`${place}: licence ${license ?? 'unknown'}`);
  if (!/^sha512-[\w+/]{86}==$/.test(integrity)) faults.push(`${place}: no sha512 checksum`);
  // npm leaves it out for what comes from the registry of whoever installs; what comes from elsewhere always says so.
  if (resolved?.startsWith('https://registry.npmjs.org/') === false) faults.push(`${place}: not of the npm registry`);
  if (hasInstallScript === true) faults.push(`${place}: runs a script when it is installed`);
  return faults;
}

/** Of a choice (`(MIT OR GPL-2.0)`) one is enough; `AND` and `WITH` are read by nobody here. */
function isPermissive(license: string): boolean {
  return license
    .replaceAll(/^\(|\)$/g, '')
    .split(' OR ')
    .some((name) => PERMISSIVE.has(name));
}

/** The cells of the table under this heading of the page, without its first two lines. */
function tableUnder(heading: string): readonly (readonly string[])[] {
  const section = textOf(PAGE)
    .split(/^## /m)
    .find((text) => text.startsWith(`${heading}\n`));
  const rows = (section ?? '').split('\n').filter((line) => line.startsWith('|'));
  assert.ok(rows.length > 2, `${PAGE} has no table under "${heading}"`);
  return rows.slice(2).map((row) =>
    row
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

function inBackticks(text: string): readonly string[] {
  return [...text.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name);
}

describe('a package that runs with the balancer', () => {
  const lock = lockOf(textOf('package-lock.json'));
  const direct = directOf(lock);
  const production = productionOf(lock);

  it('has a permissive licence, a checksum, the npm registry as its source, and no script that installs it', () => {
    assert.ok(production.length > direct.length, 'package-lock.json was not read');
    assert.deepEqual(
      production.flatMap(([place, locked]) => faultsOf(place, locked)),
      [],
    );
  });

  it('is brought by one that is imported', () => {
    const reached = new Set(direct.flatMap((name) => [...reach(lock, name)]));
    assert.deepEqual(production.map(([place]) => place).toSorted(), [...reached].toSorted());
  });

  it(`stands in ${PAGE} when it is direct, with its reason, its licence and the one file that imports it`, () => {
    const lines = sourcesUnder('app/src').flatMap((path) => importsOf(path));
    const inCode = direct.map((name) => {
      const importers = lines.filter(({ to, isType }) => packageOf(to) === name && !isType).map(({ from }) => from);
      return [name, lock.get(`node_modules/${name}`)?.license, [...new Set(importers)].join(', ')];
    });
    const rows = tableUnder('Direct');
    assert.deepEqual(
      rows.map(([name = '', , licence, file = '']) => [
        inBackticks(name).join(', '),
        licence,
        inBackticks(file).join(', '),
      ]),
      inCode,
    );
    for (const [name, reason = ''] of rows) assert.ok(reason.length >= 10, `no reason for ${name}`);
  });

  it(`stands in ${PAGE} under each that brings it, and nothing else stands there`, () => {
    const installed = direct.map((name) => {
      const names = [...reach(lock, name)].map(nameOf).filter((other) => other !== name);
      return [name, [...new Set(names)].toSorted()];
    });
    const rows = tableUnder('What they bring').map(([name = '', brought = '']) => [
      inBackticks(name).join(', '),
      inBackticks(brought),
    ]);
    assert.deepEqual(rows, installed);
  });

  describe('would be found out', () => {
    const right: Locked = { license: 'MIT', integrity: `sha512-${'A'.repeat(86)}==` };
    for (const [how, change, fault] of [
      ['with a licence that asks for more', { license: 'AGPL-3.0-only' }, 'a: licence AGPL-3.0-only'],
      ['with two licences at once', { license: '(MIT AND GPL-3.0)' }, 'a: licence (MIT AND GPL-3.0)'],
      ['without a licence', { license: undefined }, 'a: licence unknown'],
      ['without a checksum', { integrity: undefined }, 'a: no sha512 checksum'],
      ['with a weak checksum', { integrity: 'sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=' }, 'a: no sha512 checksum'],
      ['from elsewhere', { resolved: 'git+ssh://git@github.com/a/a.git#0' }, 'a: not of the npm registry'],
      ['with a script', { hasInstallScript: true }, 'a: runs a script when it is installed'],
    ] as const) {
      it(how, () => {
        const { license, integrity, resolved, hasInstallScript } = { ...right, ...change };
        const locked = {
          ...(license === undefined ? {} : { license }),
          ...(integrity === undefined ? {} : { integrity }),
          ...(resolved === undefined ? {} : { resolved }),
          ...(hasInstallScript === undefined ? {} : { hasInstallScript }),
        };
        assert.deepEqual(faultsOf('a', locked), [fault]);
      });
    }

    it('and one that may be chosen to be permissive is let in', () => {
      assert.deepEqual(faultsOf('a', right), []);
      assert.deepEqual(faultsOf('a', { ...right, resolved: 'https://registry.npmjs.org/a/-/a-1.0.0.tgz' }), []);
      assert.deepEqual(faultsOf('a', { ...right, license: '(GPL-3.0 OR MIT)' }), []);
    });

    it('where another version of it is nested, by the one that finds it there', () => {
      const nested: Lock = new Map<string, Locked>([
        ['', { dependencies: { a: '1' } }],
        ['node_modules/a', { dependencies: { b: '1', c: '1' } }],
        ['node_modules/b', {}],
        ['node_modules/c', { dependencies: { b: '2' }, optionalDependencies: { absent: '1' } }],
        ['node_modules/c/node_modules/b', { peerDependencies: { d: '1' } }],
        ['node_modules/d', {}],
        ['node_modules/e', { dev: true }],
      ]);
      assert.deepEqual(
        [...reach(nested, 'a')].toSorted(),
        productionOf(nested)
          .map(([place]) => place)
          .toSorted(),
      );
    });
  });
});
