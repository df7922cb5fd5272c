/** Reads just enough of our Bicep files for tests: names, defaults, literals. Whether they compile is the compiler's to say. */
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { textOf } from './sources.ts';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
export const MAIN = 'infra/main.bicep';

/** Every Bicep file, by its path from the root. */
export function bicepFiles(): readonly string[] {
  return readdirSync(`${ROOT}/infra`, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.bicep'))
    .map((path) => `infra/${path}`)
    .toSorted();
}

/** Without comments, so that what is looked for is code. Strings with `//` in them (URLs) are left alone. */
export function codeOf(path: string): string {
  return textOf(path).replace(/(^|\s)\/\/.*$/gm, '$1');
}

export interface Declared {
  readonly name: string;
  readonly type: string;
  /** As it is written: `'aca'`, `30`, `[]`, another parameter's name. */
  readonly fallback?: string;
  readonly isSecure: boolean;
  readonly isDescribed: boolean;
}

/** The parameters or outputs of a file, with what their decorators say. */
export function declarationsOf(path: string, kind: 'param' | 'output'): readonly Declared[] {
  const found = codeOf(path).matchAll(
    new RegExp(`((?:^@[^\\n]*\\n)*)^${kind} (\\w+) ([\\w.[\\]]+)(?: = (.*))?$`, 'gm'),
  );
  return [...found].map(([, decorators = '', name = '', type = '', fallback]) => ({
    name,
    type,
    ...(fallback === undefined ? {} : { fallback }),
    isSecure: decorators.includes('@secure()'),
    isDescribed: decorators.includes('@description('),
  }));
}

export interface Mapped {
  readonly parameter: string;
  /** The azd environment's variable; undefined for one that is written out. */
  readonly variable: string;
  /** What stands after `=` in `${VARIABLE=default}`. */
  readonly fallback?: string;
}

/** infra/main.parameters.json: which parameter comes from which variable. */
export function mappedParameters(): readonly Mapped[] {
  const { parameters }: { readonly parameters: Readonly<Record<string, { readonly value: string }>> } = JSON.parse(
    textOf('infra/main.parameters.json'),
  );
  return Object.entries(parameters).map(([parameter, { value }]) => {
    const [, variable = '', fallback] = /^\$\{(\w+)(?:=([^}]*))?\}$/.exec(value) ?? [];
    return { parameter, variable, ...(fallback === undefined ? {} : { fallback }) };
  });
}
