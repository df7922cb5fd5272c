/**
 * What a Bicep file would deploy, with its modules: resources, parameters and outputs, without Azure. What is known only when it runs is a
 * placeholder that says whose it is: `{{id-abc.properties.clientId}}`. Whatever this does not know is an error.
 */
import { posix } from 'node:path';
import { textOf } from '../../support/sources.ts';
import {
  BicepError,
  parseBicep,
  type BicepFile,
  type Conditional,
  type Declaration,
  type Expression,
  type Lambda,
} from './syntax.ts';
import { checkType, type DeclaredType, type TypeNames } from './types.ts';
import {
  asBool,
  asInt,
  asList,
  FUNCTIONS,
  isList,
  inText,
  isRecord,
  OPERATORS,
  show,
  WITH_LAMBDA,
  type Value,
  type Values,
} from './values.ts';

export const SUBSCRIPTION = '/subscriptions/aaaaaaaa-0000-4000-8000-000000000001';
export const TENANT_ID = 'bbbbbbbb-0000-4000-8000-000000000002';

export interface ExpandedResource {
  /** By symbols, with those of the modules: `openAi[0]/account`. */
  readonly path: string;
  readonly type: string;
  /** As it is written: a child's without its parent's. */
  readonly name: string;
  readonly id: string;
  /** Id of what it is deployed to, or of its parent. */
  readonly scope: string;
  /** Location, tags, kind, sku, identity and properties. */
  readonly body: Values;
  readonly batchSize?: number;
  /** Paths of resources and modules that are deployed before. */
  readonly after: readonly string[];
}

export interface ExpandedModule {
  /** '' for the file that was asked for. */
  readonly path: string;
  readonly parameters: Values;
  readonly secure: readonly string[];
  readonly outputs: Values;
  readonly after: readonly string[];
}

export interface Expansion {
  readonly resources: readonly ExpandedResource[];
  /** The file itself last. */
  readonly modules: readonly ExpandedModule[];
  readonly outputs: Values;
}

/** @throws BicepError when Azure would refuse it, or when it needs something that this does not know */
export function expandBicep(path: string, parameters: Values, group?: string): Expansion {
  const world: World = { resources: [], modules: [], ids: new Set() };
  const { outputs } = new Scope({ world, file: path, path: '', given: parameters, group }).expand([]);
  return { resources: world.resources, modules: world.modules, outputs };
}

const files = new Map<string, BicepFile>();

export function bicepFile(path: string): BicepFile {
  const file = files.get(path) ?? parseBicep(textOf(path), path);
  files.set(path, file);
  return file;
}

/** Follows an import to where the name is declared. */
function findDeclared(path: string, name: string): { readonly declared: Declaration; readonly path: string } {
  const found = bicepFile(path).declarations.filter((each) => each.kind !== 'output' && each.name === name);
  const [declared] = found;
  if (declared === undefined || found.length > 1)
    throw new BicepError(`${path}: ${name} is declared ${found.length} times`);
  if (declared.kind !== 'import') return { declared, path };
  const from = posix.join(posix.dirname(path), declared.from);
  const target = findDeclared(from, name);
  if (!target.declared.decorators.has('export')) throw new BicepError(`${from} does not export ${name}`);
  return target;
}

export function typesOf(path: string): TypeNames {
  return (name) => {
    const found = findDeclared(path, name);
    if (found.declared.kind !== 'type') throw new BicepError(`${path}: ${name} is no type`);
    return { ...found.declared, names: typesOf(found.path) };
  };
}

interface World {
  readonly resources: ExpandedResource[];
  readonly modules: ExpandedModule[];
  /** Of resources, and paths of deployments: nothing may be deployed twice. */
  readonly ids: Set<string>;
}

/** A value that is known only when it runs. */
class Placeholder {
  readonly path: string;
  constructor(path: string) {
    this.path = path;
  }
}

/** The outputs of a module. */
class Outputs {
  readonly of: Scope;
  constructor(of: Scope) {
    this.of = of;
  }
}

/** A resource or a module; undefined when its condition is false. */
type Deployed = Resource | Scope | undefined;

class Loop {
  readonly items: readonly Deployed[];
  constructor(items: readonly Deployed[]) {
    this.items = items;
  }
}

class Resource {
  readonly expanded: ExpandedResource;
  readonly fullName: string;
  constructor(expanded: ExpandedResource, fullName: string) {
    this.expanded = expanded;
    this.fullName = fullName;
  }
  get path(): string {
    return this.expanded.path;
  }
}

type Reached = Value | Deployed | Loop | Placeholder | Outputs;
type Locals = ReadonlyMap<string, Value>;
const NO_LOCALS: Locals = new Map();

interface ScopeSetup {
  readonly world: World;
  readonly file: string;
  readonly path: string;
  readonly given: Values;
  /** Id of the resource group that this is deployed to. */
  readonly group: string | undefined;
}

/** A file with its parameters. */
class Scope {
  readonly path: string;
  private readonly world: World;
  private readonly file: string;
  private readonly given: Values;
  private readonly group: string | undefined;
  private readonly reached = new Map<string, { readonly value: Reached; readonly touched: ReadonlySet<string> }>();
  private readonly open = new Set<string>();
  private readonly outputs = new Map<string, Value>();
  /** What the part that is evaluated now refers to, by path. */
  private touched = new Set<string>();

  constructor({ world, file, path, given, group }: ScopeSetup) {
    this.world = world;
    this.file = file;
    this.path = path;
    this.given = given;
    this.group = group;
    const { targetScope } = bicepFile(file);
    if (targetScope !== (group === undefined ? 'subscription' : 'resourceGroup')) this.fail(`is for a ${targetScope}`);
  }

  expand(after: readonly string[]): ExpandedModule {
    const { declarations } = bicepFile(this.file);
    const parameters: Record<string, Value> = {};
    for (const declared of declarations) {
      const { kind, name } = declared;
      if (kind === 'param') parameters[name] = this.settle(this.symbol(name));
      else if (kind === 'import') findDeclared(this.file, name);
      else if (kind === 'output') this.output(name);
      else if (kind === 'resource' || kind === 'module') this.symbol(name);
    }
    const unknown = Object.keys(this.given).filter((name) => !Object.hasOwn(parameters, name));
    if (unknown.length > 0) this.fail(`has no parameter ${unknown.join(', ')}`);
    const secure = declarations.filter(({ kind, decorators }) => kind === 'param' && decorators.has('secure'));
    const expanded = {
      path: this.path,
      parameters,
      secure: secure.map(({ name }) => name),
      outputs: Object.fromEntries(this.outputs),
      after,
    };
    this.world.modules.push(expanded);
    return expanded;
  }

  output(name: string): Value {
    const known = this.outputs.get(name);
    if (known !== undefined) return known;
    const declared = bicepFile(this.file).declarations.find((each) => each.kind === 'output' && each.name === name);
    if (declared?.kind !== 'output') return this.fail(`has no output ${name}`);
    const value = this.evaluate(declared.value);
    this.check(value, declared, name);
    this.outputs.set(name, value);
    return value;
  }

  private fail(why: string): never {
    throw new BicepError(`${this.file}${this.path === '' ? '' : ` as ${this.path}`} ${why}`);
  }

  private check(value: Value, declared: DeclaredType, name: string): void {
    checkType(value, declared, typesOf(this.file), `${this.file}: ${name}`);
  }

  // Declarations

  private symbol(name: string): Reached {
    let known = this.reached.get(name);
    if (known === undefined) {
      if (this.open.has(name)) this.fail(`has ${name}, which refers to itself`);
      this.open.add(name);
      const [value, touched] = this.touching(() => this.declared(name));
      known = { value, touched };
      this.reached.set(name, known);
    }
    const { value, touched } = known;
    if (value instanceof Resource || value instanceof Scope) this.touched.add(value.path);
    // Of a loop, each by its number.
    else if (!(value instanceof Loop)) for (const path of touched) this.touched.add(path);
    return value;
  }

  private touching<T>(run: () => T): readonly [T, ReadonlySet<string>] {
    const outer = this.touched;
    const touched = new Set<string>();
    this.touched = touched;
    const result = run();
    this.touched = outer;
    return [result, touched];
  }

  private declared(name: string): Reached {
    const { declared } = findDeclared(this.file, name);
    switch (declared.kind) {
      case 'param': {
        const given = this.given[name];
        const value = given ?? (declared.value === undefined ? undefined : this.evaluate(declared.value));
        if (value === undefined) return this.fail(`needs the parameter ${name}`);
        this.check(value, declared, name);
        return value;
      }
      case 'var': {
        const value = this.evaluate(declared.value);
        if (declared.type !== undefined) this.check(value, { ...declared, type: declared.type }, name);
        return value;
      }
      case 'resource':
      case 'module': {
        const { value } = declared;
        if (value.kind !== 'for') return this.deployed(declared, value, NO_LOCALS, '');
        const items = asList(this.evaluate(value.of));
        return new Loop(
          items.map((item, i) => this.deployed(declared, value.body, locally(value.names, [item, i]), `[${i}]`)),
        );
      }
      case 'func':
      case 'import':
      case 'output':
      case 'type':
      default:
        return this.fail(`uses ${name}, which has no value`);
    }
  }

  private deployed(declared: Deployable, written: Expression, locals: Locals, number: string): Deployed {
    const path = `${this.path === '' ? '' : `${this.path}/`}${declared.name}${number}`;
    const [parts, touched] = this.touching(() => this.parts(written, locals));
    if (parts === undefined) return undefined;
    const placed = { ...parts, path, after: [...touched] };
    return declared.kind === 'module' ? this.module(declared.from, placed) : this.resource(declared, placed);
  }

  /** Of a resource or a module; undefined when its condition is false. */
  private parts(written: Expression, locals: Locals): Parts | undefined {
    if (isOnlyIf(written)) {
      return asBool(this.evaluate(written.test, locals)) ? this.parts(written.yes, locals) : undefined;
    }
    if (written.kind !== 'object') return this.fail('deploys what is no object');
    const values: Record<string, Value> = {};
    const places: { parent?: Resource; scope?: Resource } = {};
    for (const { key, value } of written.properties) {
      const name = show(this.evaluate(key, locals));
      if (name === 'dependsOn') this.waitFor(value, locals);
      else if (name === 'parent' || name === 'scope') {
        const found = this.reach(value, locals);
        places[name] = found instanceof Resource ? found : this.fail(`has a ${name} that is no resource`);
      } else values[name] = this.evaluate(value, locals);
    }
    return { values, ...places };
  }

  private waitFor(list: Expression, locals: Locals): void {
    if (list.kind !== 'array') return this.fail('has a dependsOn that is no list');
    for (const item of list.items) {
      const found = this.reach(item, locals);
      for (const each of found instanceof Loop ? found.items : [found]) {
        if (each instanceof Resource || each instanceof Scope) this.touched.add(each.path);
        else if (each !== undefined) this.fail('has a dependsOn with a value');
      }
    }
  }

  private module(from: string, { values, scope, path, after }: Placed): Scope {
    const { name = path, params = {}, ...rest } = values;
    if (Object.keys(rest).length > 0 || !isRecord(params)) return this.fail(`has ${path} with more than parameters`);
    const group = scope?.expanded.id ?? this.group;
    this.once(`${group ?? SUBSCRIPTION} ${show(name)}`);
    const file = posix.join(posix.dirname(this.file), from);
    const module = new Scope({ world: this.world, file, path, given: params, group });
    module.expand(after);
    return module;
  }

  private resource(declared: Deployable & { readonly kind: 'resource' }, placed: Placed): Resource {
    const { parent, scope, path, after } = placed;
    const { name, ...body } = placed.values;
    const [type = '', version = ''] = declared.of.split('@');
    const [provider = '', ...kinds] = type.split('/');
    if (typeof name !== 'string' || name === '' || name.includes('{{')) return this.fail(`has ${path} without a name`);
    if (!/^\d{4}-\d\d-\d\d(?:-preview)?$/.test(version)) this.fail(`has ${path} of ${declared.of}`);
    if (parent !== undefined && !type.startsWith(`${parent.expanded.type}/`)) this.fail(`has ${path} under another`);
    const fullName = parent === undefined ? name : `${parent.fullName}/${name}`;
    const names = fullName.split('/');
    if (names.length !== kinds.length) this.fail(`has ${path} of ${type} called ${fullName}`);
    const base = scope?.expanded.id ?? this.group ?? SUBSCRIPTION;
    const segments = kinds.map((kind, i) => `${kind}/${names[i] ?? ''}`).join('/');
    const id = provider === 'Microsoft.Resources' ? `${base}/${segments}` : `${base}/providers/${provider}/${segments}`;
    const batchSize = declared.decorators.get('batchSize');
    const batch = typeof batchSize === 'number' ? { batchSize } : {};
    const expanded = { path, type, name, id, scope: parent?.expanded.id ?? base, body, ...batch, after };
    if (!declared.isExisting) {
      this.once(id);
      this.world.resources.push(expanded);
    }
    return new Resource(expanded, fullName);
  }

  private once(id: string): void {
    if (this.world.ids.has(id.toLowerCase())) this.fail(`deploys ${id} twice`);
    this.world.ids.add(id.toLowerCase());
  }

  // Expressions

  private evaluate(expression: Expression, locals = NO_LOCALS): Value {
    return this.settle(this.reach(expression, locals));
  }

  private settle(reached: Reached): Value {
    if (reached instanceof Placeholder) return `{{${reached.path}}}`;
    if (!isValue(reached)) return this.fail('takes what is deployed for a value, or what is not deployed');
    return reached;
  }

  private reach(expression: Expression, locals: Locals): Reached {
    const evaluate = (inner: Expression): Value => this.evaluate(inner, locals);
    switch (expression.kind) {
      case 'literal':
        return expression.value;
      case 'text':
        return expression.parts.map((part) => (typeof part === 'string' ? part : inText(evaluate(part)))).join('');
      case 'object': {
        const entries = expression.properties.map(({ key, value }) => [show(evaluate(key)), evaluate(value)] as const);
        if (new Set(entries.map(([key]) => key)).size < entries.length)
          this.fail('has an object with a property twice');
        return Object.fromEntries(entries);
      }
      case 'array':
        return expression.items.map(evaluate);
      case 'for': {
        const { of, names, body } = expression;
        return asList(evaluate(of)).map((item, i) => this.evaluate(body, locally(names, [item, i], locals)));
      }
      case 'name':
        return locals.has(expression.name) ? locals.get(expression.name) : this.symbol(expression.name);
      case 'call':
        return this.call(expression.name, expression.args, locals);
      case 'member': {
        const of = this.reach(expression.of, locals);
        return this.member(of, evaluate(expression.key), expression.isSafe);
      }
      case 'lambda':
        return this.fail('has a lambda where a value stands');
      case 'unary':
        return expression.operator === '!' ? !asBool(evaluate(expression.of)) : -asInt(evaluate(expression.of));
      case 'binary': {
        const { operator, left, right } = expression;
        return OPERATORS[operator](
          () => evaluate(left),
          () => evaluate(right),
        );
      }
      case 'conditional': {
        const { test, yes, no } = expression;
        if (no === undefined) return this.fail('has an if where a value stands');
        return evaluate(asBool(evaluate(test)) ? yes : no);
      }
      default:
        return expression satisfies never;
    }
  }

  private member(of: Reached, key: Value, isSafe: boolean): Reached {
    if (of instanceof Placeholder)
      return new Placeholder(`${of.path}${typeof key === 'number' ? `[${key}]` : `.${show(key)}`}`);
    if (of instanceof Outputs) return of.of.output(show(key));
    if (of instanceof Scope) return key === 'outputs' ? new Outputs(of) : this.fail(`asks a module for ${show(key)}`);
    if (of instanceof Loop) {
      const item = of.items[asInt(key)];
      if (item === undefined) return this.fail(`asks for number ${show(key)}, which is not deployed`);
      this.touched.add(item.path);
      return item;
    }
    if (of instanceof Resource) {
      if (key === 'id' || key === 'name') return of.expanded[key];
      return key === 'properties'
        ? new Placeholder(`${of.expanded.name}.properties`)
        : this.fail(`asks a resource for ${show(key)}`);
    }
    if (isSafe && of === null) return null;
    const found = isList(of)
      ? of[asInt(key)]
      : isRecord(of)
        ? of[show(key)]
        : this.fail(`asks for ${show(key)} of nothing`);
    return found ?? (isSafe || found === null ? null : this.fail(`asks for ${show(key)}, which is not there`));
  }

  private call(name: string, args: readonly Expression[], locals: Locals): Value {
    const own = bicepFile(this.file).declarations.some((each) => each.kind !== 'output' && each.name === name);
    if (own)
      return this.callOwn(
        name,
        args.map((arg) => this.evaluate(arg, locals)),
      );
    const lambda = args.at(-1);
    const withLambda = WITH_LAMBDA[name];
    if (withLambda !== undefined) {
      if (lambda?.kind !== 'lambda') return this.fail(`calls ${name} without a lambda`);
      const { names, body }: Lambda = lambda;
      const values = args.slice(0, -1).map((arg) => this.evaluate(arg, locals));
      return withLambda(values, (...given) => this.evaluate(body, locally(names, given, locals)));
    }
    const values = args.map((arg) => this.evaluate(arg, locals));
    const aboutDeployment = this.deploymentFunction(name, values);
    if (aboutDeployment !== undefined) return aboutDeployment;
    const known = FUNCTIONS[name];
    if (known === undefined) return this.fail(`calls ${name}, which is not known here`);
    const [least, most] = known.arity;
    if (args.length < least || args.length > most) this.fail(`calls ${name} with ${args.length} arguments`);
    return known.run(...values);
  }

  private deploymentFunction(name: string, values: readonly Value[]): Value | undefined {
    const [first = null, second = null] = values;
    switch (`${name} ${values.length}`) {
      case 'subscription 0':
        return { id: SUBSCRIPTION };
      case 'resourceGroup 0':
        return { id: this.group ?? this.fail('is not in a resource group') };
      case 'tenant 0':
        return { tenantId: TENANT_ID };
      case 'deployment 0':
        return { location: 'region-of-the-deployment' };
      case 'subscriptionResourceId 2':
        return `${SUBSCRIPTION}/providers/${show(first)}/${show(second)}`;
      case 'loadTextContent 1':
        return textOf(posix.join(posix.dirname(this.file), show(first)));
      default:
        return undefined;
    }
  }

  private callOwn(name: string, values: readonly Value[]): Value {
    const { declared, path } = findDeclared(this.file, name);
    if (declared.kind !== 'func') return this.fail(`calls ${name}, which is no function`);
    const { fields, value } = declared;
    if (fields.length !== values.length) this.fail(`calls ${name} with ${values.length} arguments`);
    for (const [i, field] of fields.entries())
      checkType(values[i] ?? null, field, typesOf(path), `${name}: ${field.name}`);
    // It sees its parameters only, and the functions of its file.
    const group = bicepFile(path).targetScope === 'subscription' ? undefined : 'none';
    const scope = new Scope({ world: this.world, file: path, path: this.path, given: {}, group });
    const names = fields.map((field) => field.name);
    return scope.evaluate(value, locally(names, values));
  }
}

type Deployable = Declaration & { readonly kind: 'resource' | 'module' };

/** What stands in a resource or a module. */
interface Parts {
  readonly values: Values;
  readonly parent?: Resource;
  readonly scope?: Resource;
}

interface Placed extends Parts {
  readonly path: string;
  readonly after: readonly string[];
}

function isOnlyIf(expression: Expression): expression is Conditional {
  return expression.kind === 'conditional' && expression.no === undefined;
}

function locally(names: readonly string[], values: readonly Value[], outer: Locals = NO_LOCALS): Locals {
  return new Map([...outer, ...names.map((name, i) => [name, values[i] ?? null] as const)]);
}

function isValue(reached: Reached): reached is Value {
  const isOther =
    reached instanceof Resource || reached instanceof Scope || reached instanceof Loop || reached instanceof Outputs;
  return reached !== undefined && !isOther;
}
