/** The repository's own files, read as text: for the tests of its shape and of its documents. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface ImportLine {
  /** Path from the root of the repository, with slashes. */
  readonly from: string;
  /** Such a path, or the name of a package: `node:http`, `zod`. */
  readonly to: string;
  readonly isType: boolean;
}

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** `import … from '…'`, `export … from '…'`, `import '…'` and `import('…')`. */
const IMPORT =
  /^\s*(?:import|export)\s+(type\s)?(?:[\w*\s{},$]*?\sfrom\s+)?'([^'\n]+)'|^\s*\}\s+from\s+'([^'\n]+)'|\bimport\(\s*'([^'\n]+)'\s*\)/gm;

/**
 * The TypeScript files under a folder of the repository, by their paths from its root; none of what was installed. Or
 * those of another kind.
 */
export function sourcesUnder(folder: string, ending = '.ts'): readonly string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith(ending) && !name.startsWith('.'))
    .map((name) => [folder, ...name.split(sep)].join('/'))
    .toSorted();
}

export function textOf(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}

/** The newest results file of a run, by how its name ends after the date: `bench/results/2026-11-27-arena.json`. */
export function newestResults(ending: string): string {
  const names = readdirSync(join(ROOT, 'bench/results')).toSorted();
  return `bench/results/${names.findLast((name) => name.slice('2026-11-27'.length) === ending) ?? 'none'}`;
}

/** The text without comments: what runs. */
export function codeOf(path: string): string {
  return textOf(path)
    .replaceAll(/\/\*[\s\S]*?\*\//g, '')
    .replaceAll(/(^|[^:'"`])\/\/.*$/gm, '$1');
}

/** An import is of types only when it says `import type`: of any other the line stays when it is built. */
export function importsOf(path: string): readonly ImportLine[] {
  return [...codeOf(path).matchAll(IMPORT)].map(([, type, named, closing, dynamic]) => {
    const target = named ?? closing ?? dynamic ?? '';
    return { from: path, to: target.startsWith('.') ? resolved(path, target) : target, isType: type !== undefined };
  });
}

/** `@azure/identity` of `@azure/identity/internal`. */
export function packageOf(target: string): string {
  return target
    .split('/')
    .slice(0, target.startsWith('@') ? 2 : 1)
    .join('/');
}

function resolved(path: string, target: string): string {
  return relative(ROOT, resolve(ROOT, dirname(path), target))
    .split(sep)
    .join('/');
}
