/**
 * The members that expressions may use: a closed table with their types and what they do. `of` is the row of Microsoft's list
 * "API Management policy expressions" that allows each (.NET types, or the tables of the context variable).
 */
import {
  asJwt,
  Body,
  Context,
  Jwt,
  LastError,
  NamedValues,
  NetError,
  Request,
  Response,
  shown,
  Subscription,
  Url,
} from './context.ts';
import type { Value } from './context.ts';

/** `string`, `int`, `string[]`, `IEnumerable<long>`, …; in the table T and R stand for any. */
export type Type = string;
export type Callback = (item: Value) => Value;

export interface Member {
  /** The type before the dot; of a static member with `static ` before it. */
  readonly owner: Type;
  readonly name: string;
  /** Absent: a property. `out long` for a variable to be set; `T=>bool` for a lambda. */
  readonly parameters?: readonly Type[];
  readonly returns: Type;
  readonly of: string;
  readonly run: (owner: Value, args: readonly Value[], extra: Extra) => Value;
}

export interface Extra {
  readonly now: () => number;
  readonly lambdas: readonly Callback[];
  readonly setOut: (value: Value) => void;
}

function wrong(type: string, value: Value): never {
  throw new TypeError(`the emulator expected ${type}, and has ${shown(value)}`);
}

export function str(value: Value | undefined): string {
  return typeof value === 'string' ? value : wrong('a string', value ?? null);
}

function int(value: Value | undefined): number {
  return typeof value === 'number' ? value : wrong('an int', value ?? null);
}

function long(value: Value | undefined): bigint {
  return typeof value === 'bigint' ? value : wrong('a long', value ?? null);
}

function list(value: Value | undefined): readonly Value[] {
  return Array.isArray(value) ? value : wrong('a list', value ?? null);
}

function the<T>(value: Value, type: new (...args: never[]) => T): T {
  return value instanceof type ? value : wrong(type.name, value);
}

/** A null argument of a method that takes none. */
function given(value: Value | undefined, name: string): string {
  if (value === null || value === undefined) throw new NetError('ArgumentNullException', name);
  return str(value);
}

/** .NET writes a replacement's groups as JavaScript does; the patterns in use mean the same in both. */
function pattern(value: Value | undefined): RegExp {
  return new RegExp(given(value, 'pattern'), 'g');
}

/** JObject and JProperty of Newtonsoft.Json, as far as they are used. */
class JProperty {
  readonly name: string;
  readonly value: Value;

  constructor(name: string, value: Value) {
    this.name = name;
    this.value = value;
  }
}

class JObject {
  readonly properties: readonly JProperty[];

  constructor(properties: readonly JProperty[]) {
    this.properties = properties;
  }

  toJSON(): unknown {
    return Object.fromEntries(this.properties.map(({ name, value }) => [name, value]));
  }
}

class UtcNow {
  readonly ms: number;

  constructor(ms: number) {
    this.ms = ms;
  }
}

const STRING = 'System.String';
const LINQ = 'System.Linq.Enumerable';
const CONTEXT = 'context';

function property(owner: Type, name: string, returns: Type, of: string, run: (owner: Value) => Value): Member {
  return { owner, name, returns, of, run };
}

function pick<T>(type: new (...args: never[]) => T, read: (owner: T) => Value): (owner: Value) => Value {
  return (owner) => read(the(owner, type));
}

function valueOr(owner: Type): Member {
  return {
    owner,
    name: 'GetValueOrDefault',
    parameters: ['string', 'string'],
    returns: 'string',
    of: 'GetValueOrDefault',
    run: (self, [name, otherwise]) => the(self, NamedValues).get(given(name, 'key')) ?? otherwise ?? null,
  };
}

function containsKey(owner: Type, has: (self: Value, key: string) => boolean): Member {
  return {
    owner,
    name: 'ContainsKey',
    parameters: ['string'],
    returns: 'bool',
    of: 'System.Collections.Generic.IReadOnlyDictionary<TKey, TValue>',
    run: (self, [name]) => has(self, given(name, 'key')),
  };
}

export const MEMBERS: readonly Member[] = [
  property(
    'Context',
    'Request',
    'Request',
    CONTEXT,
    pick(Context, ({ request }) => request),
  ),
  property(
    'Context',
    'Response',
    'Response',
    CONTEXT,
    pick(Context, ({ response }) => response),
  ),
  property(
    'Context',
    'Subscription',
    'Subscription',
    CONTEXT,
    pick(Context, ({ subscription }) => subscription),
  ),
  property(
    'Context',
    'LastError',
    'LastError',
    CONTEXT,
    pick(Context, ({ lastError }) => lastError),
  ),
  property(
    'Context',
    'Variables',
    'Variables',
    CONTEXT,
    pick(Context, ({ variables }) => variables),
  ),
  property(
    'Request',
    'Method',
    'string',
    'context.Request',
    pick(Request, ({ method }) => method),
  ),
  property(
    'Request',
    'Headers',
    'Headers',
    'context.Request',
    pick(Request, ({ headers }) => headers),
  ),
  property(
    'Request',
    'OriginalUrl',
    'Url',
    'context.Request',
    pick(Request, ({ originalUrl }) => originalUrl),
  ),
  property(
    'Request',
    'Url',
    'Url',
    'context.Request',
    pick(Request, ({ url }) => url),
  ),
  property(
    'Request',
    'Body',
    'Body',
    'context.Request',
    pick(Request, ({ body }) => body),
  ),
  property(
    'Response',
    'StatusCode',
    'int',
    'context.Response',
    pick(Response, ({ statusCode }) => statusCode),
  ),
  property(
    'Response',
    'Headers',
    'Headers',
    'context.Response',
    pick(Response, ({ headers }) => headers),
  ),
  property(
    'Subscription',
    'Id',
    'string',
    'context.Subscription',
    pick(Subscription, ({ id }) => id),
  ),
  property(
    'LastError',
    'Source',
    'string',
    'context.LastError',
    pick(LastError, ({ source }) => source),
  ),
  property(
    'LastError',
    'Reason',
    'string',
    'context.LastError',
    pick(LastError, ({ reason }) => reason),
  ),
  property(
    'LastError',
    'Section',
    'string',
    'context.LastError',
    pick(LastError, ({ section }) => section),
  ),
  property(
    'Url',
    'Host',
    'string',
    'IUrl',
    pick(Url, ({ host }) => host),
  ),
  property(
    'Url',
    'Path',
    'string',
    'IUrl',
    pick(Url, ({ path }) => path),
  ),
  property(
    'Url',
    'Query',
    'Query',
    'IUrl',
    pick(Url, ({ query }) => query),
  ),
  property(
    'Jwt',
    'Claims',
    'Claims',
    'Jwt',
    pick(Jwt, ({ claims }) => claims),
  ),
  valueOr('Headers'),
  valueOr('Claims'),
  containsKey('Query', (self, key) => the(self, NamedValues).has(key)),
  containsKey('Variables', (self, key) => the(self, Map).has(key)),
  {
    owner: 'Body',
    name: 'As<string>',
    parameters: ['preserveContent: bool'],
    returns: 'string',
    of: 'IMessageBody',
    run: (self) => the(self, Body).bytes.toString('utf8'),
  },
  { owner: 'string', name: 'AsJwt', parameters: [], returns: 'Jwt', of: 'AsJwt', run: (self) => asJwt(str(self)) },

  {
    owner: 'string',
    name: 'Contains',
    parameters: ['string'],
    returns: 'bool',
    of: STRING,
    run: (self, [part]) => str(self).includes(given(part, 'value')),
  },
  {
    owner: 'string',
    name: 'StartsWith',
    parameters: ['string'],
    returns: 'bool',
    of: STRING,
    run: (self, [start]) => str(self).startsWith(given(start, 'value')),
  },
  {
    owner: 'string',
    name: 'StartsWith',
    parameters: ['string', 'StringComparison'],
    returns: 'bool',
    of: STRING,
    run: (self, [start, how]) => {
      if (how !== 'OrdinalIgnoreCase') return wrong('OrdinalIgnoreCase', how ?? null);
      return str(self).toLowerCase().startsWith(given(start, 'value').toLowerCase());
    },
  },
  {
    owner: 'string',
    name: 'Split',
    // `params char[]`: one is all that is used.
    parameters: ['char'],
    returns: 'string[]',
    of: STRING,
    run: (self, [at]) => str(self).split(str(at)),
  },
  {
    owner: 'string',
    name: 'Replace',
    parameters: ['string', 'string'],
    returns: 'string',
    of: STRING,
    run: (self, [what, by]) => str(self).replaceAll(given(what, 'oldValue'), () => given(by, 'newValue')),
  },
  {
    owner: 'string',
    name: 'ToLowerInvariant',
    parameters: [],
    returns: 'string',
    of: STRING,
    run: (self) => str(self).toLowerCase(),
  },
  {
    owner: 'static string',
    name: 'Join',
    parameters: ['string', 'IEnumerable<T>'],
    returns: 'string',
    of: STRING,
    run: (_self, [between, items]) => list(items).map(shown).join(str(between)),
  },
  property(
    'static StringComparison',
    'OrdinalIgnoreCase',
    'StringComparison',
    'System.StringComparison',
    () => 'OrdinalIgnoreCase',
  ),

  property('T[]', 'Length', 'int', 'System.Array', (self) => list(self).length),
  {
    owner: 'IEnumerable<T>',
    name: 'Where',
    parameters: ['T=>bool'],
    returns: 'IEnumerable<T>',
    of: LINQ,
    run: (self, _args, { lambdas: [test] }) => list(self).filter((item) => test?.(item) === true),
  },
  {
    owner: 'IEnumerable<T>',
    name: 'Select',
    parameters: ['T=>R'],
    returns: 'IEnumerable<R>',
    of: LINQ,
    run: (self, _args, { lambdas: [map] }) => list(self).map((item) => map?.(item) ?? null),
  },
  {
    owner: 'IEnumerable<T>',
    name: 'Any',
    parameters: ['T=>bool'],
    returns: 'bool',
    of: LINQ,
    run: (self, _args, { lambdas: [test] }) => list(self).some((item) => test?.(item) === true),
  },
  {
    owner: 'IEnumerable<T>',
    name: 'Any',
    parameters: [],
    returns: 'bool',
    of: LINQ,
    run: (self) => list(self).length > 0,
  },
  {
    owner: 'IEnumerable<T>',
    name: 'Concat',
    parameters: ['IEnumerable<T>'],
    returns: 'IEnumerable<T>',
    of: LINQ,
    run: (self, [more]) => [...list(self), ...list(more)],
  },
  {
    owner: 'IEnumerable<long>',
    name: 'Min',
    parameters: [],
    returns: 'long',
    of: LINQ,
    run: (self) => {
      const [first, ...others] = list(self);
      if (first === undefined) throw new NetError('InvalidOperationException', 'Sequence contains no elements');
      return others.reduce((least, item) => (long(item) < long(least) ? item : least), first);
    },
  },
  {
    owner: 'IEnumerable<T>',
    name: 'OrderBy',
    parameters: ['T=>R'],
    returns: 'IEnumerable<T>',
    of: LINQ,
    run: (self, _args, { lambdas: [key] }) =>
      list(self).toSorted((a, b) => {
        const [left, right] = [shown(key?.(a)), shown(key?.(b))];
        return left === right ? 0 : left < right ? -1 : 1;
      }),
  },
  {
    owner: 'IEnumerable<T>',
    name: 'Skip',
    parameters: ['int'],
    returns: 'IEnumerable<T>',
    of: LINQ,
    run: (self, [count]) => list(self).slice(Math.max(0, int(count))),
  },
  {
    owner: 'IEnumerable<T>',
    name: 'Take',
    parameters: ['int'],
    returns: 'IEnumerable<T>',
    of: LINQ,
    run: (self, [count]) => list(self).slice(0, Math.max(0, int(count))),
  },
  {
    owner: 'IEnumerable<T>',
    name: 'Last',
    parameters: [],
    returns: 'T',
    of: LINQ,
    run: (self) => {
      const last = list(self).at(-1);
      if (last === undefined) throw new NetError('InvalidOperationException', 'Sequence contains no elements');
      return last;
    },
  },
  {
    owner: 'IEnumerable<T>',
    name: 'ToArray',
    parameters: [],
    returns: 'T[]',
    of: LINQ,
    run: (self) => [...list(self)],
  },

  {
    owner: 'static Uri',
    name: 'UnescapeDataString',
    parameters: ['string'],
    returns: 'string',
    of: 'System.Uri',
    // What is no escape stays as it is.
    run: (_self, [text]) =>
      given(text, 'stringToUnescape').replaceAll(/(?:%[0-9a-f]{2})+/gi, (escapes) => {
        try {
          return decodeURIComponent(escapes);
        } catch {
          return escapes;
        }
      }),
  },
  {
    owner: 'static Uri',
    name: 'EscapeDataString',
    parameters: ['string'],
    returns: 'string',
    of: 'System.Uri',
    run: (_self, [text]) =>
      encodeURIComponent(given(text, 'stringToEscape')).replaceAll(
        /[!'()*]/g,
        (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`,
      ),
  },

  {
    owner: 'int',
    name: 'ToString',
    parameters: [],
    returns: 'string',
    of: 'System.Int32',
    run: (self) => String(int(self)),
  },
  {
    owner: 'long',
    name: 'ToString',
    parameters: [],
    returns: 'string',
    of: 'System.Int64',
    run: (self) => String(long(self)),
  },
  {
    owner: 'static long',
    name: 'TryParse',
    parameters: ['string', 'out long'],
    returns: 'bool',
    of: 'System.Int64',
    run: (_self, [text], { setOut }) => {
      const read =
        typeof text === 'string' && /^\s*[+-]?\d+\s*$/.test(text) ? BigInt(text.trim().replace(/^\+/, '')) : undefined;
      const isFit = read !== undefined && read === BigInt.asIntN(64, read);
      setOut(isFit ? read : 0n);
      return isFit;
    },
  },
  {
    owner: 'static Convert',
    name: 'ToInt64',
    parameters: ['object'],
    returns: 'long',
    of: 'System.Convert',
    run: (_self, [value]) => {
      if (value === null || value === undefined) return 0n;
      if (typeof value === 'bigint') return value;
      if (typeof value === 'number') return BigInt(value);
      if (typeof value === 'string' && /^\s*[+-]?\d+\s*$/.test(value)) return BigInt(value.trim().replace(/^\+/, ''));
      throw new NetError(typeof value === 'string' ? 'FormatException' : 'InvalidCastException', shown(value));
    },
  },
  {
    owner: 'static DateTimeOffset',
    name: 'UtcNow',
    returns: 'DateTimeOffset',
    of: 'System.DateTimeOffset',
    run: (_self, _args, { now }) => new UtcNow(now()),
  },
  {
    owner: 'DateTimeOffset',
    name: 'ToUnixTimeMilliseconds',
    parameters: [],
    returns: 'long',
    of: 'System.DateTimeOffset',
    run: (self) => BigInt(the(self, UtcNow).ms),
  },
  {
    owner: 'static Regex',
    name: 'IsMatch',
    parameters: ['string', 'string'],
    returns: 'bool',
    of: 'System.Text.RegularExpressions.Regex',
    run: (_self, [text, what]) => pattern(what).test(given(text, 'input')),
  },
  {
    owner: 'static Regex',
    name: 'Replace',
    parameters: ['string', 'string', 'string'],
    returns: 'string',
    of: 'System.Text.RegularExpressions.Regex',
    // `${1}` of .NET is `$1`.
    run: (_self, [text, what, by]) =>
      given(text, 'input').replace(pattern(what), given(by, 'replacement').replaceAll(/\$\{(\d+)\}/g, '$$$1')),
  },
  {
    owner: 'JObject',
    name: 'ToString',
    parameters: [],
    returns: 'string',
    of: 'Newtonsoft.Json.Linq.JObject',
    run: (self) => JSON.stringify(the(self, JObject), undefined, 2),
  },
  {
    owner: 'new JProperty',
    name: '',
    parameters: ['string', 'object'],
    returns: 'JProperty',
    of: 'Newtonsoft.Json.Linq.JProperty',
    run: (_self, [name, value]) => new JProperty(given(name, 'name'), value ?? null),
  },
  {
    owner: 'new JObject',
    name: '',
    parameters: ['params JProperty'],
    returns: 'JObject',
    of: 'Newtonsoft.Json.Linq.JObject',
    run: (_self, properties) => new JObject(properties.map((item) => the(item, JProperty))),
  },
];
