/** Whether a value is of its type, as Azure Resource Manager asks of parameters before it deploys anything. */
import { BicepError, type Decorators, type Type } from './syntax.ts';
import { isList, isRecord, show, type Value } from './values.ts';

const PRIMITIVES: Readonly<Record<string, (value: Value) => boolean>> = {
  string: (value) => typeof value === 'string',
  int: (value) => Number.isInteger(value),
  bool: (value) => typeof value === 'boolean',
  array: isList,
  object: isRecord,
};

export interface DeclaredType {
  readonly type: Type;
  readonly decorators: Decorators;
}

/** Looks up `name`, and says where it is declared; undefined for what is built in. */
export type TypeNames = (name: string) => DeclaredType & { readonly names: TypeNames };

export function isPrimitive(name: string): boolean {
  return Object.hasOwn(PRIMITIVES, name);
}

/** @throws when it is another */
export function checkType(value: Value, { type, decorators }: DeclaredType, names: TypeNames, what: string): void {
  const fail = (why: string): never => {
    throw new BicepError(`${what}: ${show(value)} ${why}`);
  };
  switch (type.kind) {
    case 'optional':
      if (value !== null) checkType(value, { type: type.of, decorators }, names, what);
      return;
    case 'literals':
      if (!type.values.includes(value)) fail(`is none of ${type.values.join(', ')}`);
      return;
    case 'list':
      if (!isList(value)) return fail('is no list');
      for (const [i, item] of value.entries())
        checkType(item, { type: type.of, decorators: new Map() }, names, `${what}[${i}]`);
      break;
    case 'record': {
      if (!isRecord(value)) return fail('is no object');
      const known = new Set(type.fields.map(({ name }) => name));
      const unknown = Object.keys(value).filter((name) => !known.has(name));
      if (unknown.length > 0 && decorators.has('sealed')) fail(`must not have ${unknown.join(', ')}`);
      for (const field of type.fields) checkType(value[field.name] ?? null, field, names, `${what}.${field.name}`);
      return;
    }
    case 'named': {
      const isOf = PRIMITIVES[type.name];
      if (isOf === undefined) {
        const declared = names(type.name);
        checkType(value, declared, declared.names, what);
      } else if (!isOf(value)) fail(`is no ${type.name}`);
    }
  }
  const limit = (name: string): number | undefined => {
    const found = decorators.get(name);
    return typeof found === 'number' ? found : undefined;
  };
  // The length of what is known when it runs is not that of its placeholder.
  const length = typeof value === 'string' || isList(value) ? value.length : undefined;
  const measured = typeof value === 'number' ? value : undefined;
  if ((measured ?? Infinity) < (limit('minValue') ?? -Infinity)) fail('is too small');
  if ((measured ?? -Infinity) > (limit('maxValue') ?? Infinity)) fail('is too big');
  if ((length ?? Infinity) < (limit('minLength') ?? 0)) fail('is too short');
  if ((length ?? 0) > (limit('maxLength') ?? Infinity)) fail('is too long');
}
