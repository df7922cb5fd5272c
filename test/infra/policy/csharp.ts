/**
 * Compiles policy expressions: every type is checked as the C# compiler would when the policy is deployed, and what runs
 * fails as .NET would (a member of null, a missing key, a value unboxed to another type).
 */
import { Jwt, NetError, shown, type Context, type Value } from './context.ts';
import {
  fail,
  parseExpression,
  parseStatements,
  type Argument,
  type Expression,
  type Statement,
} from './csharp-syntax.ts';
import { MEMBERS, type Callback, type Member, type Type } from './members.ts';

export interface Compiled {
  readonly type: Type;
  readonly run: (context: Context) => Value;
  /** Every member of the table that it uses. */
  readonly members: ReadonlySet<Member>;
}

/** `undefined` when the text is no expression but a literal. */
export function compile(text: string): Compiled | undefined {
  const code = codeOf(text);
  if (code === undefined) return undefined;
  const members = new Set<Member>();
  const compiler = new Compiler(members);
  if (code.isBlock) {
    const block = compiler.block(parseStatements(code.text));
    return { type: block.type, members, run: (context) => block.run(new Scope(context)) };
  }
  const found = compiler.value(parseExpression(code.text), new Map());
  return { type: found.type, members, run: (context) => found.run(new Scope(context)) };
}

/** What stands between the brackets of `@(…)` or `@{…}`. */
export function codeOf(text: string): { readonly text: string; readonly isBlock: boolean } | undefined {
  const trimmed = text.trim();
  if (trimmed.startsWith('@(') && trimmed.endsWith(')')) return { text: trimmed.slice(2, -1), isBlock: false };
  if (trimmed.startsWith('@{') && trimmed.endsWith('}')) return { text: trimmed.slice(2, -1), isBlock: true };
  return undefined;
}

/** What the variables hold while it runs. */
class Scope {
  readonly context: Context;
  readonly values: Map<string, Value>;

  constructor(context: Context, values = new Map<string, Value>()) {
    this.context = context;
    this.values = values;
  }
}

interface Typed {
  readonly type: Type;
  readonly run: (scope: Scope) => Value;
}

/** The names that are known where an expression stands. */
type Names = Map<string, Type>;
/** Undefined: it went on; `{ value }`: it returned. */
type Ran = { readonly value: Value } | undefined;

const STATIC: ReadonlySet<string> = new Set(
  MEMBERS.flatMap(({ owner }) => (owner.startsWith('static ') ? [owner.slice('static '.length)] : [])),
);
/** Types whose values are never null. */
const VALUES: ReadonlySet<Type> = new Set(['int', 'long', 'bool', 'char', 'DateTimeOffset', 'StringComparison']);

class Compiler {
  private readonly members: Set<Member>;
  private returned: Type | undefined;

  constructor(members: Set<Member>) {
    this.members = members;
  }

  block(statement: Statement): Typed {
    const run = this.statement(statement, new Map());
    if (!alwaysReturns(statement)) fail('not all code paths return a value');
    const type = this.returned ?? fail('nothing is returned');
    return {
      type,
      run: (scope) => {
        const ran = run(scope);
        if (ran === undefined) throw new Error('nothing was returned');
        return ran.value;
      },
    };
  }

  private statement(statement: Statement, names: Names): (scope: Scope) => Ran {
    switch (statement.kind) {
      case 'return': {
        const value = this.value(statement.value, names);
        this.returned = this.returned === undefined ? value.type : common(this.returned, value.type);
        return (scope) => ({ value: value.run(scope) });
      }
      case 'declare':
        return this.declaration(statement, names);
      case 'assign': {
        const value = this.assigned(
          names.get(statement.name) ?? fail(`no variable ${statement.name}`),
          statement.value,
          names,
        );
        return (scope) => void scope.values.set(statement.name, value.run(scope));
      }
      case 'if': {
        const test = this.expected('bool', statement.test, names);
        const yes = this.statement(statement.yes, new Map(names));
        const no = statement.no === undefined ? undefined : this.statement(statement.no, new Map(names));
        return (scope) => (test.run(scope) === true ? yes(scope) : no?.(scope));
      }
      case 'block': {
        const inner = new Map(names);
        const all = statement.statements.map((one) => this.statement(one, inner));
        return (scope) => {
          for (const run of all) {
            const ran = run(scope);
            if (ran !== undefined) return ran;
          }
          return undefined;
        };
      }
      default:
        return statement satisfies never;
    }
  }

  private declaration(statement: Extract<Statement, { kind: 'declare' }>, names: Names): (scope: Scope) => Ran {
    const { name, type, value } = statement;
    if (names.has(name) || name === 'context') fail(`${name} is declared twice`);
    if (value === undefined) {
      names.set(name, type ?? fail('var needs a value'));
      return () => undefined;
    }
    const found = type === undefined ? this.value(value, names) : this.assigned(type, value, names);
    if (found.type === 'null') fail('var cannot be null');
    names.set(name, type ?? found.type);
    return (scope) => void scope.values.set(name, found.run(scope));
  }

  private assigned(type: Type, value: Expression, names: Names): Typed {
    return converted(this.value(value, names), type);
  }

  private expected(type: Type, expression: Expression, names: Names): Typed {
    const found = this.value(expression, names);
    if (found.type !== type) fail(`${type} is expected, this is ${found.type}`);
    return found;
  }

  value(expression: Expression, names: Names): Typed {
    switch (expression.kind) {
      case 'literal':
        return literal(expression.type, expression.text);
      case 'name':
        return this.named(expression.name, names);
      case 'member':
        return this.member(expression.owner, expression.name, undefined, names);
      case 'call': {
        const { owner, typeArgument } = expression;
        const name = typeArgument === undefined ? expression.name : `${expression.name}<${typeArgument}>`;
        return this.member(owner, name, expression.args, names);
      }
      case 'new':
        return this.invoked(`new ${expression.type}`, '', { owner: undefined, args: expression.args }, names);
      case 'index':
        return this.indexed(expression.owner, expression.index, names);
      case 'cast':
        return cast(expression.type, this.value(expression.operand, names));
      case 'not': {
        const operand = this.expected('bool', expression.operand, names);
        return { type: 'bool', run: (scope) => operand.run(scope) !== true };
      }
      case 'negative': {
        const operand = this.value(expression.operand, names);
        if (operand.type !== 'int') fail('only an int is negated here');
        return { type: 'int', run: (scope) => -Number(operand.run(scope)) };
      }
      case 'binary':
        return binary(expression.operator, this.value(expression.left, names), this.value(expression.right, names));
      case 'conditional': {
        const test = this.expected('bool', expression.test, names);
        const [yes, no] = [this.value(expression.yes, names), this.value(expression.no, names)];
        const type = common(yes.type, no.type);
        const [left, right] = [converted(yes, type), converted(no, type)];
        return { type, run: (scope) => (test.run(scope) === true ? left.run(scope) : right.run(scope)) };
      }
      case 'array': {
        const items = expression.items.map((item) => this.value(item, names));
        const type = items.map((item) => item.type).reduce(common);
        return { type: `${type}[]`, run: (scope) => items.map((item) => converted(item, type).run(scope)) };
      }
      case 'lambda':
        return fail('a lambda stands only as an argument');
      default:
        return expression satisfies never;
    }
  }

  private named(name: string, names: Names): Typed {
    if (name === 'context') return { type: 'Context', run: (scope) => scope.context };
    const type = names.get(name) ?? fail(`the name ${name} does not exist here`);
    return {
      type,
      run: ({ values }) => {
        const value = values.get(name);
        if (value === undefined) throw new Error(`use of unassigned variable ${name}`);
        return value;
      },
    };
  }

  private member(owner: Expression, name: string, args: readonly Argument[] | undefined, names: Names): Typed {
    if (owner.kind === 'name' && STATIC.has(owner.name) && !names.has(owner.name)) {
      return this.invoked(`static ${owner.name}`, name, { owner: undefined, args }, names);
    }
    const found = this.value(owner, names);
    return this.invoked(found.type, name, { owner: found, args }, names);
  }

  private invoked(
    type: Type,
    name: string,
    call: { readonly owner: Typed | undefined; readonly args: readonly Argument[] | undefined },
    names: Names,
  ): Typed {
    const { owner, args } = call;
    const candidates = MEMBERS.filter((member) => member.name === name && bind(member.owner, type) !== undefined);
    for (const member of candidates) {
      const bound = this.bound(member, bind(member.owner, type) ?? new Map(), args, names);
      if (bound === undefined) continue;
      this.members.add(member);
      return {
        type: bound.returns,
        run: (scope) => {
          const self = owner?.run(scope) ?? null;
          const isExtension = member.of === 'System.Linq.Enumerable' || member.of === 'AsJwt';
          if (owner !== undefined && self === null) {
            throw new NetError(isExtension ? 'ArgumentNullException' : 'NullReferenceException', `${type}.${name}`);
          }
          return bound.run(self, scope);
        },
      };
    }
    return fail(`${type} has no ${name}${args === undefined ? '' : '()'} that takes this`);
  }

  /** Undefined when the arguments are not this member's. */
  private bound(
    member: Member,
    types: Map<string, Type>,
    args: readonly Argument[] | undefined,
    names: Names,
  ): { readonly returns: Type; readonly run: (self: Value, scope: Scope) => Value } | undefined {
    const parameters = parametersFor(member, args?.length);
    if ((parameters === undefined) !== (args === undefined) || parameters?.length !== args?.length) return undefined;
    const values: Typed[] = [];
    const lambdas: ((scope: Scope) => Callback)[] = [];
    let out = '';
    for (const [n, argument] of (args ?? []).entries()) {
      const parameter = parameters?.[n] ?? '';
      if (argument.kind === 'out') {
        if (parameter !== `out ${names.get(argument.variable) ?? ''}`) return undefined;
        out = argument.variable;
      } else if (argument.value.kind === 'lambda') {
        const [from = '', to = ''] = parameter.split('=>');
        if (to === '') return undefined;
        lambdas.push(this.lambda(argument.value, { from: filled(from, types), to, types }, names));
      } else {
        const found = this.value(argument.value, names);
        const wanted = filled(parameter.replace(/^\w+: /, ''), types);
        const isNamed = parameter.startsWith(`${argument.name ?? ''}: `);
        if ((argument.name !== undefined && !isNamed) || !isConvertible(found.type, wanted)) return undefined;
        values.push(wanted.includes('<T>') ? found : converted(found, wanted));
      }
    }
    return {
      returns: filled(member.returns, types),
      run: (self, scope) =>
        member.run(
          self,
          values.map((value) => value.run(scope)),
          {
            now: scope.context.now,
            lambdas: lambdas.map((make) => make(scope)),
            setOut: (value) => void scope.values.set(out, value),
          },
        ),
    };
  }

  private lambda(
    { parameter, body }: Extract<Expression, { kind: 'lambda' }>,
    { from, to, types }: { readonly from: Type; readonly to: Type; readonly types: Map<string, Type> },
    names: Names,
  ): (scope: Scope) => Callback {
    if (names.has(parameter)) fail(`${parameter} is declared twice`);
    const found = this.value(body, new Map([...names, [parameter, from]]));
    if (to === 'R') types.set('R', found.type);
    else if (found.type !== to) fail(`the lambda returns ${found.type}, not ${to}`);
    return (scope) => (item) => found.run(new Scope(scope.context, new Map([...scope.values, [parameter, item]])));
  }

  private indexed(ownerExpression: Expression, index: Expression, names: Names): Typed {
    const owner = this.value(ownerExpression, names);
    if (owner.type === 'Variables') {
      const key = this.expected('string', index, names);
      return {
        type: 'object',
        run: (scope) => {
          const value = scope.context.variables.get(shown(key.run(scope)));
          if (value === undefined) throw new NetError('KeyNotFoundException', shown(key.run(scope)));
          return value;
        },
      };
    }
    const type = /^(.*)\[\]$/.exec(owner.type)?.[1] ?? fail(`${owner.type} has no items by number`);
    const at = this.expected('int', index, names);
    return {
      type,
      run: (scope) => {
        const items = owner.run(scope);
        if (!Array.isArray(items)) throw new NetError('NullReferenceException', owner.type);
        const item: Value | undefined = items[Number(at.run(scope))];
        if (item === undefined) throw new NetError('IndexOutOfRangeException', shown(at.run(scope)));
        return item;
      },
    };
  }
}

function parametersFor({ parameters }: Member, count: number | undefined): readonly Type[] | undefined {
  const [only] = parameters ?? [];
  return only?.startsWith('params ') === true
    ? Array.from({ length: count ?? 0 }, () => only.slice('params '.length))
    : parameters;
}

/** What T is when a value of this type is the owner; undefined when it cannot be. */
function bind(owner: Type, type: Type): Map<string, Type> | undefined {
  if (owner === type) return new Map();
  const item = /^(.*)\[\]$/.exec(type)?.[1];
  const element = item ?? /^IEnumerable<(.*)>$/.exec(type)?.[1];
  if (owner === 'T[]' && item !== undefined) return new Map([['T', item]]);
  if (element === undefined) return undefined;
  return owner === 'IEnumerable<T>' || owner === `IEnumerable<${element}>` ? new Map([['T', element]]) : undefined;
}

function filled(type: Type, types: ReadonlyMap<string, Type>): Type {
  return type.replace(/\b[TR]\b/, (letter) => types.get(letter) ?? letter);
}

function isConvertible(from: Type, to: Type): boolean {
  if (from === to || to === 'object') return true;
  if (from === 'null') return !VALUES.has(to);
  if (from === 'int' && to === 'long') return true;
  return bind(to, from) !== undefined && to.startsWith('IEnumerable<');
}

function converted(value: Typed, to: Type): Typed {
  if (!isConvertible(value.type, to)) fail(`${value.type} is not ${to}`);
  return value.type === 'int' && to === 'long' ? { type: to, run: (scope) => BigInt(Number(value.run(scope))) } : value;
}

/** The type of either of two values. */
function common(a: Type, b: Type): Type {
  if (isConvertible(a, b) && b !== 'object') return b;
  return isConvertible(b, a) && a !== 'object' ? a : fail(`${a} and ${b} have no type in common`);
}

function alwaysReturns(statement: Statement): boolean {
  if (statement.kind === 'return') return true;
  if (statement.kind === 'block') return statement.statements.some((one) => alwaysReturns(one));
  if (statement.kind !== 'if' || statement.no === undefined) return false;
  return alwaysReturns(statement.yes) && alwaysReturns(statement.no);
}

function literal(type: Extract<Expression, { kind: 'literal' }>['type'], text: string): Typed {
  const value = literalValue(type, text);
  return { type, run: () => value };
}

function literalValue(type: Extract<Expression, { kind: 'literal' }>['type'], text: string): Value {
  switch (type) {
    case 'string':
    case 'char':
      return text;
    case 'int':
      return Number(text);
    case 'long':
      return BigInt(text);
    case 'bool':
      return text === 'true';
    case 'null':
      return null;
    default:
      return type satisfies never;
  }
}

const ARITHMETIC: Readonly<Record<string, (a: bigint, b: bigint) => bigint>> = {
  '+': (a, b) => a + b,
  '-': (a, b) => a - b,
  '*': (a, b) => a * b,
  '/': (a, b) => a / b,
  '%': (a, b) => a % b,
};
const COMPARISONS: Readonly<Record<string, (a: bigint, b: bigint) => boolean>> = {
  '<': (a, b) => a < b,
  '>': (a, b) => a > b,
  '<=': (a, b) => a <= b,
  '>=': (a, b) => a >= b,
};

function isNumber(type: Type): boolean {
  return type === 'int' || type === 'long';
}

function whole(value: Value): bigint {
  return typeof value === 'bigint' ? value : BigInt(Number(value));
}

function binary(operator: string, left: Typed, right: Typed): Typed {
  const both = (test: (type: Type) => boolean): boolean => test(left.type) && test(right.type);
  if (operator === '&&' || operator === '||') {
    if (!both((type) => type === 'bool')) fail(`${operator} of ${left.type} and ${right.type}`);
    const isAnd = operator === '&&';
    return { type: 'bool', run: (scope) => ((left.run(scope) === true) === isAnd ? right.run(scope) : !isAnd) };
  }
  if (operator === '??') {
    if (VALUES.has(left.type) || left.type !== right.type) fail(`?? of ${left.type} and ${right.type}`);
    return { type: left.type, run: (scope) => left.run(scope) ?? right.run(scope) };
  }
  if (operator === '==' || operator === '!=') return equality(operator, left, right);
  const compare = COMPARISONS[operator];
  if (compare !== undefined) {
    if (!both(isNumber)) fail(`${operator} of ${left.type} and ${right.type}`);
    return { type: 'bool', run: (scope) => compare(whole(left.run(scope)), whole(right.run(scope))) };
  }
  if (operator === '+' && (left.type === 'string' || right.type === 'string')) {
    if (!both((type) => ['string', 'int', 'long', 'char'].includes(type))) fail(`text of ${left.type}, ${right.type}`);
    return { type: 'string', run: (scope) => shown(left.run(scope)) + shown(right.run(scope)) };
  }
  const calculate = ARITHMETIC[operator] ?? fail(`no operator ${operator}`);
  if (!both(isNumber)) fail(`${operator} of ${left.type} and ${right.type}`);
  const type = common(left.type, right.type);
  return {
    type,
    run: (scope) => {
      const [a, b] = [whole(left.run(scope)), whole(right.run(scope))];
      if ((operator === '/' || operator === '%') && b === 0n) throw new NetError('DivideByZeroException', 'by zero');
      // Unchecked, as C# calculates: too large wraps around.
      const found = calculate(a, b);
      return type === 'long' ? BigInt.asIntN(64, found) : Number(BigInt.asIntN(32, found));
    },
  };
}

function equality(operator: '==' | '!=', left: Typed, right: Typed): Typed {
  const isNull = left.type === 'null' || right.type === 'null';
  if (isNull && (VALUES.has(left.type) || VALUES.has(right.type))) fail('a value is never null');
  const isSame = left.type === right.type || (isNumber(left.type) && isNumber(right.type));
  // Of an object and a text C# compares the addresses.
  if (!isNull && (!isSame || left.type === 'object')) fail(`${operator} of ${left.type} and ${right.type}`);
  const same = isNumber(left.type) ? (a: Value, b: Value) => whole(a) === whole(b) : (a: Value, b: Value) => a === b;
  return { type: 'bool', run: (scope) => same(left.run(scope), right.run(scope)) === (operator === '==') };
}

/** What type a value has, as far as expressions can tell. */
export function typeOfValue(value: Value): Type {
  if (value === null) return 'null';
  if (typeof value === 'bigint') return 'long';
  if (typeof value === 'number') return 'int';
  if (typeof value === 'boolean') return 'bool';
  if (Array.isArray(value)) return 'string[]';
  if (value instanceof Jwt) return 'Jwt';
  return typeof value;
}

function cast(type: Type, operand: Typed): Typed {
  if (operand.type === type) return operand;
  if (operand.type === 'int' && type === 'long') return converted(operand, type);
  if (operand.type === 'long' && type === 'int') {
    return { type, run: (scope) => Number(BigInt.asIntN(32, whole(operand.run(scope)))) };
  }
  if (operand.type !== 'object') fail(`${operand.type} cannot be cast to ${type}`);
  return {
    type,
    run: (scope) => {
      const value = operand.run(scope);
      if (value === null && VALUES.has(type)) throw new NetError('NullReferenceException', `(${type})null`);
      if (value !== null && typeOfValue(value) !== type) {
        throw new NetError('InvalidCastException', `${typeOfValue(value)} is not ${type}`);
      }
      return value;
    },
  };
}
