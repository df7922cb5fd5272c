/** Reads the C# of policy expressions: the few forms that ours use, and no other. What the names mean is not known here. */

export type Expression =
  | {
      readonly kind: 'literal';
      readonly type: 'string' | 'int' | 'long' | 'bool' | 'char' | 'null';
      readonly text: string;
    }
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'member'; readonly owner: Expression; readonly name: string }
  | {
      readonly kind: 'call';
      readonly owner: Expression;
      readonly name: string;
      readonly typeArgument: string | undefined;
      readonly args: readonly Argument[];
    }
  | { readonly kind: 'index'; readonly owner: Expression; readonly index: Expression }
  | { readonly kind: 'cast'; readonly type: string; readonly operand: Expression }
  | { readonly kind: 'not' | 'negative'; readonly operand: Expression }
  | { readonly kind: 'binary'; readonly operator: string; readonly left: Expression; readonly right: Expression }
  | { readonly kind: 'conditional'; readonly test: Expression; readonly yes: Expression; readonly no: Expression }
  | { readonly kind: 'array'; readonly items: readonly Expression[] }
  | { readonly kind: 'new'; readonly type: string; readonly args: readonly Argument[] }
  | { readonly kind: 'lambda'; readonly parameter: string; readonly body: Expression };

export type Argument =
  | { readonly kind: 'value'; readonly name: string | undefined; readonly value: Expression }
  | { readonly kind: 'out'; readonly variable: string };

export type Statement =
  /** `type` undefined: `var`. */
  | {
      readonly kind: 'declare';
      readonly type: string | undefined;
      readonly name: string;
      readonly value: Expression | undefined;
    }
  | { readonly kind: 'assign'; readonly name: string; readonly value: Expression }
  | { readonly kind: 'if'; readonly test: Expression; readonly yes: Statement; readonly no: Statement | undefined }
  | { readonly kind: 'block'; readonly statements: readonly Statement[] }
  | { readonly kind: 'return'; readonly value: Expression };

/** What the C# compiler would say when the policy is deployed. */
export class CompileError extends Error {}

export function fail(message: string): never {
  throw new CompileError(message);
}

interface Token {
  readonly kind: 'name' | 'string' | 'char' | 'int' | 'long' | 'sign' | 'end';
  readonly text: string;
}

const SIGNS = ['=>', '==', '!=', '<=', '>=', '&&', '||', '??', ...Array.from('+-*/%<>!?:.,;=(){}[]')];
const TYPES: ReadonlySet<string> = new Set(['string', 'int', 'long', 'bool', 'char', 'object', 'Jwt', 'JObject']);
/** Weakest first. */
const BINARY = [['??'], ['||'], ['&&'], ['==', '!='], ['<', '>', '<=', '>='], ['+', '-'], ['*', '/', '%']];
const ESCAPES: Readonly<Record<string, string>> = {
  '"': '"',
  "'": "'",
  '\\': '\\',
  '0': '\0',
  n: '\n',
  r: '\r',
  t: '\t',
};

/** `@(…)` holds an expression, `@{…}` statements. */
export function parseExpression(code: string): Expression {
  const parser = new Parser(tokensOf(code));
  const found = parser.expression();
  parser.end();
  return found;
}

export function parseStatements(code: string): Statement {
  const parser = new Parser(tokensOf(code));
  const found = parser.statementsUntilEnd();
  parser.end();
  return found;
}

function tokensOf(code: string): readonly Token[] {
  const tokens: Token[] = [];
  let at = 0;
  while (at < code.length) {
    const rest = code.slice(at);
    const space = /^\s+/.exec(rest)?.[0];
    if (space !== undefined) {
      at += space.length;
      continue;
    }
    const token = nextToken(rest);
    tokens.push(token.token);
    at += token.length;
  }
  return [...tokens, { kind: 'end', text: '' }];
}

function nextToken(rest: string): { readonly token: Token; readonly length: number } {
  const quoted = /^"(?:[^"\\\n]|\\.)*"/.exec(rest)?.[0];
  if (quoted !== undefined) return { token: { kind: 'string', text: unescape(quoted) }, length: quoted.length };
  const char = /^'(?:[^'\\\n]|\\.)'/.exec(rest)?.[0];
  if (char !== undefined) return { token: { kind: 'char', text: unescape(char) }, length: char.length };
  const number = /^(\d+)(L?)(?![\w.])/.exec(rest);
  if (number !== null) {
    const [whole, digits = '', long = ''] = number;
    return { token: { kind: long === '' ? 'int' : 'long', text: digits }, length: whole.length };
  }
  const name = /^[A-Za-z_]\w*/.exec(rest)?.[0];
  if (name !== undefined) return { token: { kind: 'name', text: name }, length: name.length };
  const sign = SIGNS.find((text) => rest.startsWith(text));
  if (sign !== undefined) return { token: { kind: 'sign', text: sign }, length: sign.length };
  return fail(`not understood: ${rest.slice(0, 40)}`);
}

function unescape(quoted: string): string {
  return quoted
    .slice(1, -1)
    .replaceAll(/\\(.)/g, (whole, letter: string) => ESCAPES[letter] ?? fail(`unrecognized escape sequence ${whole}`));
}

class Parser {
  private readonly tokens: readonly Token[];
  private at = 0;

  constructor(tokens: readonly Token[]) {
    this.tokens = tokens;
  }

  end(): void {
    const { text } = this.peek();
    if (this.peek().kind !== 'end') fail(`not expected after the end: ${text}`);
  }

  statementsUntilEnd(): Statement {
    const statements: Statement[] = [];
    while (this.peek().kind !== 'end' && !this.is('}')) statements.push(this.statement());
    return { kind: 'block', statements };
  }

  private statement(): Statement {
    if (this.take('{')) {
      const block = this.statementsUntilEnd();
      this.expect('}');
      return block;
    }
    if (this.isName('if')) {
      this.at += 1;
      this.expect('(');
      const test = this.expression();
      this.expect(')');
      const yes = this.statement();
      if (!this.isName('else')) return { kind: 'if', test, yes, no: undefined };
      this.at += 1;
      return { kind: 'if', test, yes, no: this.statement() };
    }
    const simple = this.simpleStatement();
    this.expect(';');
    return simple;
  }

  private simpleStatement(): Statement {
    if (this.isName('return')) {
      this.at += 1;
      return { kind: 'return', value: this.expression() };
    }
    if (this.isName('var')) {
      this.at += 1;
      const name = this.name();
      this.expect('=');
      return { kind: 'declare', type: undefined, name, value: this.expression() };
    }
    const type = this.takeType();
    if (type === undefined) {
      const name = this.name();
      this.expect('=');
      return { kind: 'assign', name, value: this.expression() };
    }
    const name = this.name();
    return { kind: 'declare', type, name, value: this.take('=') ? this.expression() : undefined };
  }

  expression(): Expression {
    const [first, second] = [this.peek(), this.tokens[this.at + 1]];
    if (first.kind === 'name' && second?.text === '=>' && second.kind === 'sign') {
      this.at += 2;
      return { kind: 'lambda', parameter: first.text, body: this.expression() };
    }
    const test = this.binary(0);
    if (!this.take('?')) return test;
    const yes = this.expression();
    this.expect(':');
    return { kind: 'conditional', test, yes, no: this.expression() };
  }

  private binary(level: number): Expression {
    const operators = BINARY[level];
    if (operators === undefined) return this.unary();
    let left = this.binary(level + 1);
    for (;;) {
      const operator = operators.find((text) => this.is(text));
      if (operator === undefined) return left;
      this.at += 1;
      // `??` binds to the right.
      const right = operator === '??' ? this.binary(level) : this.binary(level + 1);
      left = { kind: 'binary', operator, left, right };
    }
  }

  private unary(): Expression {
    if (this.take('!')) return { kind: 'not', operand: this.unary() };
    if (this.take('-')) return { kind: 'negative', operand: this.unary() };
    const start = this.at;
    if (this.take('(')) {
      const type = this.takeType();
      if (type !== undefined && this.take(')')) return { kind: 'cast', type, operand: this.unary() };
      this.at = start;
    }
    return this.postfix();
  }

  private postfix(): Expression {
    let found = this.primary();
    for (;;) {
      if (this.take('.')) found = this.member(found);
      else if (this.take('[')) {
        const index = this.expression();
        this.expect(']');
        found = { kind: 'index', owner: found, index };
      } else return found;
    }
  }

  private member(owner: Expression): Expression {
    const name = this.name();
    const typeArgument = this.typeArgument();
    if (!this.is('(')) return { kind: 'member', owner, name };
    return { kind: 'call', owner, name, typeArgument, args: this.arguments() };
  }

  /** `<string>` before an argument list; anything else that begins with `<` is a comparison. */
  private typeArgument(): string | undefined {
    const start = this.at;
    if (!this.take('<')) return undefined;
    const type = this.takeType();
    if (type !== undefined && this.take('>') && this.is('(')) return type;
    this.at = start;
    return undefined;
  }

  private arguments(): readonly Argument[] {
    this.expect('(');
    const args: Argument[] = [];
    while (!this.take(')')) {
      if (args.length > 0) this.expect(',');
      args.push(this.argument());
    }
    return args;
  }

  private argument(): Argument {
    if (this.isName('out')) {
      this.at += 1;
      return { kind: 'out', variable: this.name() };
    }
    const [first, second] = [this.peek(), this.tokens[this.at + 1]];
    if (first.kind === 'name' && second?.kind === 'sign' && second.text === ':') {
      this.at += 2;
      return { kind: 'value', name: first.text, value: this.expression() };
    }
    return { kind: 'value', name: undefined, value: this.expression() };
  }

  private primary(): Expression {
    const { kind, text } = this.peek();
    this.at += 1;
    switch (kind) {
      case 'string':
      case 'char':
      case 'int':
      case 'long':
        return { kind: 'literal', type: kind, text };
      case 'name':
        if (text === 'true' || text === 'false') return { kind: 'literal', type: 'bool', text };
        if (text === 'null') return { kind: 'literal', type: 'null', text };
        return text === 'new' ? this.created() : { kind: 'name', name: text };
      case 'sign':
        if (text !== '(') return fail(`not expected: ${text}`);
        break;
      case 'end':
        return fail('not expected: the end');
      default:
        return kind satisfies never;
    }
    const inner = this.expression();
    this.expect(')');
    return inner;
  }

  private created(): Expression {
    if (!this.take('[')) return { kind: 'new', type: this.name(), args: this.arguments() };
    this.expect(']');
    this.expect('{');
    const items: Expression[] = [];
    while (!this.take('}')) {
      if (items.length > 0) this.expect(',');
      items.push(this.expression());
    }
    return { kind: 'array', items };
  }

  private takeType(): string | undefined {
    const { kind, text } = this.peek();
    if (kind !== 'name' || !TYPES.has(text)) return undefined;
    const [next, after] = [this.tokens[this.at + 1], this.tokens[this.at + 2]];
    // `string.Join` begins with the name of a type, and is none.
    if (next?.text === '.' && next.kind === 'sign') return undefined;
    const isArray = next?.text === '[' && after?.text === ']';
    this.at += isArray ? 3 : 1;
    return isArray ? `${text}[]` : text;
  }

  private name(): string {
    const { kind, text } = this.peek();
    if (kind !== 'name') return fail(`a name is missing before ${text}`);
    this.at += 1;
    return text;
  }

  private peek(): Token {
    return this.tokens[this.at] ?? { kind: 'end', text: '' };
  }

  private is(sign: string): boolean {
    return this.peek().kind === 'sign' && this.peek().text === sign;
  }

  private isName(name: string): boolean {
    return this.peek().kind === 'name' && this.peek().text === name;
  }

  private take(sign: string): boolean {
    const isHere = this.is(sign);
    if (isHere) this.at += 1;
    return isHere;
  }

  private expect(sign: string): void {
    if (!this.take(sign)) fail(`${sign} is missing before ${this.peek().text}`);
  }
}
