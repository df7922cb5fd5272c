/** What our Bicep files and main.parameters.json declare. Whether they compile is the compiler's to say. */
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { textOf } from '../../support/sources.ts';
import { bicepFile } from './expand.ts';
import type { Expression } from './syntax.ts';

export const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
export const MAIN = 'infra/main.bicep';

/** Every Bicep file, by its path from the root. */
export function bicepFiles(): readonly string[] {
  return readdirSync(`${ROOT}/infra`, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.bicep'))
    .map((path) => `infra/${path}`)
    .toSorted();
}

export interface Declared {
  readonly name: string;
  readonly value: Expression | undefined;
  readonly isSecure: boolean;
  readonly isDescribed: boolean;
}

/** The parameters or outputs of a file, with what their decorators say. */
export function declarationsOf(path: string, kind: 'param' | 'output'): readonly Declared[] {
  return bicepFile(path).declarations.flatMap((declared) =>
    declared.kind === kind && 'value' in declared
      ? [
          {
            name: declared.name,
            value: declared.value,
            isSecure: declared.decorators.has('secure'),
            isDescribed: declared.decorators.has('description'),
          },
        ]
      : [],
  );
}

/** Every expression of a file, the inner ones too. */
export function expressionsOf(path: string): readonly Expression[] {
  return bicepFile(path).declarations.flatMap((declared) =>
    'value' in declared && declared.value !== undefined ? withInner(declared.value) : [],
  );
}

/** An expression and all that stand in it. */
export function withInner(expression: Expression): readonly Expression[] {
  return [expression, ...innerOf(expression).flatMap(withInner)];
}

function innerOf(expression: Expression): readonly Expression[] {
  switch (expression.kind) {
    case 'literal':
    case 'name':
      return [];
    case 'text':
      return expression.parts.filter((part) => typeof part !== 'string');
    case 'object':
      return expression.properties.flatMap(({ key, value }) => [key, value]);
    case 'array':
      return expression.items;
    case 'for':
      return [expression.of, expression.body];
    case 'call':
      return expression.args;
    case 'member':
      return [expression.of, expression.key];
    case 'lambda':
      return [expression.body];
    case 'unary':
      return [expression.of];
    case 'binary':
      return [expression.left, expression.right];
    case 'conditional':
      return [expression.test, expression.yes, ...(expression.no === undefined ? [] : [expression.no])];
    default:
      return expression satisfies never;
  }
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
