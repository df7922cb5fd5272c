/** Reads the Bicep that our files are written in, and refuses all other. https://learn.microsoft.com/azure/azure-resource-manager/bicep/file */

export type Expression =
  | { readonly kind: 'literal'; readonly value: string | number | boolean | null }
  | { readonly kind: 'text'; readonly parts: readonly (string | Expression)[] }
  | { readonly kind: 'object'; readonly properties: readonly Property[] }
  | { readonly kind: 'array'; readonly items: readonly Expression[] }
  | ForLoop
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'call'; readonly name: string; readonly args: readonly Expression[] }
  | { readonly kind: 'member'; readonly of: Expression; readonly key: Expression; readonly isSafe: boolean }
  | Lambda
  | { readonly kind: 'unary'; readonly operator: string; readonly of: Expression }
  | {
      readonly kind: 'binary';
      readonly operator: BinaryOperator;
      readonly left: Expression;
      readonly right: Expression;
    }
  | Conditional;

export interface Property {
  readonly key: Expression;
  readonly value: Expression;
}

export interface ForLoop {
  readonly kind: 'for';
  readonly names: readonly string[];
  readonly of: Expression;
  readonly body: Expression;
}

export interface Lambda {
  readonly kind: 'lambda';
  readonly names: readonly string[];
  readonly body: Expression;
}

export interface Conditional {
  readonly kind: 'conditional';
  readonly test: Expression;
  readonly yes: Expression;
  /** Undefined: `if (test) { … }` of a resource or a module, which is left out then. */
  readonly no: Expression | undefined;
}

export type Type =
  | { readonly kind: 'named'; readonly name: string }
  | { readonly kind: 'list'; readonly of: Type }
  | { readonly kind: 'optional'; readonly of: Type }
  | { readonly kind: 'literals'; readonly values: readonly unknown[] }
  | { readonly kind: 'record'; readonly fields: readonly Field[] };

export interface Field {
  readonly name: string;
  readonly type: Type;
  readonly decorators: Decorators;
}

/** By name, with the argument: a number of `@minValue(1)`; true where there is none. */
export type Decorators = ReadonlyMap<string, unknown>;

interface Declared {
  readonly name: string;
  readonly decorators: Decorators;
}

export type Declaration = Declared &
  (
    | { readonly kind: 'param'; readonly type: Type; readonly value: Expression | undefined }
    | { readonly kind: 'var'; readonly type: Type | undefined; readonly value: Expression }
    | { readonly kind: 'output'; readonly type: Type; readonly value: Expression }
    | { readonly kind: 'type'; readonly type: Type }
    | { readonly kind: 'func'; readonly fields: readonly Field[]; readonly type: Type; readonly value: Expression }
    | { readonly kind: 'import'; readonly from: string }
    | { readonly kind: 'module'; readonly from: string; readonly value: Expression }
    | { readonly kind: 'resource'; readonly of: string; readonly isExisting: boolean; readonly value: Expression }
  );

export interface BicepFile {
  readonly targetScope: string;
  readonly declarations: readonly Declaration[];
}

/** The weakest first. */
const BINARY = [['??'], ['||'], ['&&'], ['==', '!='], ['<=', '>=', '<', '>'], ['+', '-']] as const;
export type BinaryOperator = (typeof BINARY)[number][number];
const DECORATORS = 'description secure minValue maxValue minLength maxLength batchSize export sealed'.split(' ');
const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', "'": "'", '\\': '\\', $: '$' };

export class BicepError extends Error {}

export function parseBicep(text: string, path: string): BicepFile {
  return new Parser(text, path).file();
}

class Parser {
  private readonly text: string;
  private readonly path: string;
  private at = 0;

  constructor(text: string, path: string) {
    this.text = text;
    this.path = path;
  }

  file(): BicepFile {
    const declarations: Declaration[] = [];
    let targetScope = 'resourceGroup';
    for (this.lines(); this.at < this.text.length; this.lines()) {
      if (this.takeWord('targetScope')) {
        this.need('=');
        targetScope = this.plainText();
      } else declarations.push(...this.declaration());
      this.space();
      if (this.at < this.text.length && this.text[this.at] !== '\n') this.fail('the end of the line');
    }
    return { targetScope, declarations };
  }

  private declaration(): readonly Declaration[] {
    const decorators = this.decorators();
    const kind = this.word();
    if (kind === 'import') {
      const names = this.list('{', '}', () => this.word());
      if (!this.takeWord('from')) this.fail('from');
      const from = this.plainText();
      return names.map((name) => ({ kind, name, decorators, from }));
    }
    const name = this.word();
    switch (kind) {
      case 'param': {
        const type = this.type();
        return [{ kind, name, decorators, type, value: this.take('=') ? this.expression() : undefined }];
      }
      case 'var': {
        const type = this.sees('=') ? undefined : this.type();
        return [{ kind, name, decorators, type, value: this.assigned() }];
      }
      case 'output':
        return [{ kind, name, decorators, type: this.type(), value: this.assigned() }];
      case 'type':
        this.need('=');
        return [{ kind, name, decorators, type: this.type() }];
      case 'func': {
        const fields = this.list('(', ')', () => this.field(''));
        const type = this.type();
        this.need('=>');
        return [{ kind, name, decorators, fields, type, value: this.expression() }];
      }
      case 'module':
        return [{ kind, name, decorators, from: this.plainText(), value: this.assigned() }];
      case 'resource': {
        const of = this.plainText();
        return [{ kind, name, decorators, of, isExisting: this.takeWord('existing'), value: this.assigned() }];
      }
      default:
        return this.fail('a declaration');
    }
  }

  private decorators(): Decorators {
    const found = new Map<string, unknown>();
    while (this.take('@')) {
      const name = this.word();
      if (!DECORATORS.includes(name)) this.fail(`a decorator that is known, not ${name}`);
      const [argument] = this.list('(', ')', () => this.literal());
      found.set(name, argument ?? true);
      this.lines();
    }
    return found;
  }

  private literal(): unknown {
    const found = this.primary();
    return found.kind === 'literal' ? found.value : this.fail('a literal');
  }

  private assigned(): Expression {
    this.need('=');
    if (!this.takeWord('if')) return this.expression();
    return this.onlyIf();
  }

  /** After the word. */
  private onlyIf(): Expression {
    this.need('(');
    const test = this.expression();
    this.need(')');
    return { kind: 'conditional', test, yes: this.expression(), no: undefined };
  }

  // Types

  private type(): Type {
    this.skipBefore('|');
    if (this.sees('|') || this.sees("'")) {
      const values: unknown[] = [];
      this.take('|');
      do values.push(this.plainText());
      while (this.skipBefore('|') && this.take('|'));
      return { kind: 'literals', values };
    }
    let type: Type = this.sees('{')
      ? { kind: 'record', fields: this.list('{', '}', () => this.field(':')) }
      : { kind: 'named', name: this.word() };
    for (;;) {
      if (this.take('[')) {
        this.need(']');
        type = { kind: 'list', of: type };
      } else if (this.take('?')) type = { kind: 'optional', of: type };
      else return type;
    }
  }

  private field(separator: string): Field {
    const decorators = this.decorators();
    const name = this.word();
    this.need(separator);
    return { name, type: this.type(), decorators };
  }

  // Expressions

  private expression(): Expression {
    const test = this.binary(0);
    this.skipBefore('?');
    if (!this.take('?')) return test;
    const yes = this.expression();
    this.skipBefore(':');
    this.need(':');
    return { kind: 'conditional', test, yes, no: this.expression() };
  }

  private binary(level: number): Expression {
    const operators: readonly BinaryOperator[] | undefined = BINARY[level];
    if (operators === undefined) return this.unary();
    let left = this.binary(level + 1);
    for (;;) {
      const operator = operators.find((each) => this.take(each));
      if (operator === undefined) return left;
      left = { kind: 'binary', operator, left, right: this.binary(level + 1) };
    }
  }

  private unary(): Expression {
    for (const operator of ['!', '-']) {
      if (this.take(operator)) return { kind: 'unary', operator, of: this.unary() };
    }
    return this.postfix(this.primary());
  }

  private postfix(of: Expression): Expression {
    if (this.take('.')) {
      const isSafe = this.take('?');
      const key: Expression = { kind: 'literal', value: this.word() };
      return this.postfix({ kind: 'member', of, key, isSafe });
    }
    if (this.take('[')) {
      const isSafe = this.take('?');
      const key = this.expression();
      this.need(']');
      return this.postfix({ kind: 'member', of, key, isSafe });
    }
    // `x!`: not null, says the author.
    if (!this.sees('!=') && this.take('!')) return this.postfix(of);
    return of;
  }

  private primary(): Expression {
    this.space();
    const number = this.match(/\d+/y);
    if (number !== undefined) return { kind: 'literal', value: Number(number) };
    if (this.sees("'")) return this.string();
    if (this.sees('{')) return { kind: 'object', properties: this.list('{', '}', () => this.property()) };
    if (this.sees('[')) return this.array();
    const lambda = this.match(/(?:\w+|\(\s*\w+\s*(?:,\s*\w+\s*)?\))\s*=>/y);
    if (lambda !== undefined) {
      this.lines();
      return { kind: 'lambda', names: lambda.match(/\w+/g) ?? [], body: this.expression() };
    }
    if (this.take('(')) {
      this.lines();
      const inner = this.expression();
      this.lines();
      this.need(')');
      return inner;
    }
    const name = this.word();
    if (name === 'true' || name === 'false') return { kind: 'literal', value: name === 'true' };
    if (name === 'null') return { kind: 'literal', value: null };
    if (this.sees('(')) return { kind: 'call', name, args: this.list('(', ')', () => this.expression()) };
    return { kind: 'name', name };
  }

  private array(): Expression {
    const from = this.at;
    this.need('[');
    this.lines();
    if (!this.takeWord('for')) {
      this.at = from;
      return { kind: 'array', items: this.list('[', ']', () => this.expression()) };
    }
    const names = this.sees('(') ? this.list('(', ')', () => this.word()) : [this.word()];
    if (!this.takeWord('in')) this.fail('in');
    const of = this.expression();
    this.need(':');
    const body = this.takeWord('if') ? this.onlyIf() : this.expression();
    this.lines();
    this.need(']');
    return { kind: 'for', names, of, body };
  }

  private property(): Property {
    const key: Expression = this.sees("'") ? this.string() : { kind: 'literal', value: this.word() };
    this.need(':');
    return { key, value: this.expression() };
  }

  private plainText(): string {
    const found = this.string();
    return found.kind === 'literal' && typeof found.value === 'string' ? found.value : this.fail('a plain text');
  }

  private string(): Expression {
    if (this.sees("'''")) this.fail("'…' on one line");
    this.need("'");
    const parts: (string | Expression)[] = [];
    for (;;) {
      const text = this.match(/(?:[^'\\$\n]|\\.|\$(?!\{))+/y) ?? '';
      if (text !== '')
        parts.push(text.replaceAll(/\\(.)/g, (_, letter: string) => ESCAPES[letter] ?? this.fail(letter)));
      if (this.match(/'/y) !== undefined) break;
      if (this.match(/\$\{/y) === undefined) this.fail("'");
      parts.push(this.expression());
      this.need('}');
    }
    const [only = ''] = parts;
    if (parts.length < 2 && typeof only === 'string') return { kind: 'literal', value: only };
    return { kind: 'text', parts };
  }

  /** Between brackets, with commas or lines between. */
  private list<T>(open: string, close: string, item: () => T): readonly T[] {
    const items: T[] = [];
    this.need(open);
    for (this.lines(); !this.take(close); this.lines()) {
      items.push(item());
      const end = this.at;
      this.lines();
      const isOnNewLine = this.text.slice(end, this.at).includes('\n');
      if (!this.take(',') && !isOnNewLine && !this.sees(close)) this.fail(`, or ${close}`);
    }
    return items;
  }

  // Characters

  private match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text)?.[0];
    this.at += found?.length ?? 0;
    return found;
  }

  private space(): void {
    this.match(/(?:[ \t\r]|\/\/[^\n]*)+/y);
  }

  private lines(): void {
    this.match(/(?:\s|\/\/[^\n]*)+/y);
  }

  /** Lines may end before this sign; `??` and `?` are two. */
  private skipBefore(sign: string): boolean {
    const from = this.at;
    this.lines();
    if (!this.sees(sign)) this.at = from;
    return true;
  }

  private sees(sign: string): boolean {
    this.space();
    return this.text.startsWith(sign, this.at);
  }

  private take(sign: string): boolean {
    if (!this.sees(sign)) return false;
    this.at += sign.length;
    return true;
  }

  private need(sign: string): void {
    if (!this.take(sign)) this.fail(sign);
  }

  private word(): string {
    this.space();
    return this.match(/[A-Za-z_]\w*/y) ?? this.fail('a name');
  }

  private takeWord(word: string): boolean {
    this.space();
    return this.match(new RegExp(`${word}\\b`, 'y')) !== undefined;
  }

  private fail(expected: string): never {
    const line = this.text.slice(0, this.at).split('\n').length;
    const rest = this.text.slice(this.at).split('\n', 1)[0] ?? '';
    throw new BicepError(`${this.path}:${line}: expected ${expected} before ${rest.slice(0, 40)}`);
  }
}
