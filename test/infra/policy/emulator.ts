/**
 * Plays the gateway of API Management on loopback, with the policy of infra/policies as it is deployed: only what that policy uses.
 * Where Microsoft's documentation leaves open what the service does, the test says which reading it means: see Readings.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import type { JSONWebKeySet } from 'jose';
import {
  Body,
  Context,
  headersFrom,
  LastError,
  NamedValues,
  NetError,
  Request,
  Response,
  shown,
  Subscription,
} from './context.ts';
import type { Value } from './context.ts';
import { compile, type Compiled } from './csharp.ts';
import {
  breakerRule,
  clientsOf,
  filledIn,
  FRAGMENTS,
  readXml,
  type PolicyElement,
  type PolicySettings,
} from './policy-files.ts';
import { BackendPool, type MemberSpec } from './pool.ts';
import { checkToken } from './token-check.ts';

/** What the documentation does not say. The policy has to be right in each. */
export interface Readings {
  /** A pool without a member whose breaker is closed: an answer with status 503, or an error that ends in on-error. */
  readonly emptyPool: 'answer' | 'error';
  /** An error of forward-request: retry looks at its condition, or the request goes to on-error at once. */
  readonly failure: 'retried' | 'raised';
  /** What LastError.Source says when validate-azure-ad-token refuses. */
  readonly tokenSource: 'validate-azure-ad-token' | 'validate-jwt';
  /** A stored value is there for the next request only: storing is asynchronous. */
  readonly isCacheSlow: boolean;
}

export const DOCUMENTED: Readings = {
  emptyPool: 'answer',
  failure: 'retried',
  tokenSource: 'validate-azure-ad-token',
  isCacheSlow: false,
};

export interface GatewaySetup {
  readonly settings: PolicySettings;
  readonly members: readonly MemberSpec[];
  /** Active subscriptions beside those of the client keys, by their keys. */
  readonly subscriptions: ReadonlyMap<string, string>;
  /** What each tenant publishes. */
  readonly keys: ReadonlyMap<string, JSONWebKeySet>;
  /** What the managed identity gets for Azure OpenAI. */
  readonly identityToken: string;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly readings: Readings;
}

export interface Gateway {
  readonly url: string;
  readonly port: number;
  /** Every error that a request met, in order: of policies, of steps of the gateway, of expressions. */
  readonly errors: readonly LastError[];
  readonly pool: BackendPool;
  close(): Promise<void>;
}

type Section = 'inbound' | 'backend' | 'outbound' | 'on-error';

/** What ends the pipeline and goes to the caller. */
class Returned extends Error {
  readonly response: Response;
  readonly body: Buffer;

  constructor(response: Response, body: Buffer) {
    super('return-response');
    this.response = response;
    this.body = body;
  }
}

/** What sends the request through on-error. */
class PolicyError extends Error {
  readonly told: { readonly source: string; readonly reason: string; readonly status: number };

  constructor(source: string, reason: string, status: number, message = reason) {
    super(message);
    this.told = { source, reason, status };
  }
}

/** One request on its way through the policy. */
class Run {
  readonly context: Context;
  /** The answer of the resource, whose body has not been read. */
  upstream: IncomingMessage | undefined;
  section: Section = 'inbound';
  /** Set inside return-response. */
  answer: { readonly response: Response; body: Buffer } | undefined;
  readonly isDone: AbortSignal;

  constructor(context: Context, isDone: AbortSignal) {
    this.context = context;
    this.isDone = isDone;
  }
}

const METHODS: ReadonlySet<string> = new Set(['DELETE', 'GET', 'PATCH', 'POST', 'PUT']);
/** Of one connection, not of the request. */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'te',
  'transfer-encoding',
  'content-length',
  'host',
  'expect',
]);

export async function startGateway(setup: GatewaySetup): Promise<Gateway> {
  const policies = readXml(filledIn('openai', setup.settings));
  const fragments = new Map(
    Object.entries(FRAGMENTS).map(([id, file]) => [id, readXml(filledIn(file, setup.settings))] as const),
  );
  const clients = [...clientsOf(setup.settings).map(({ id, key }) => [key, id] as const), ...setup.subscriptions];
  const subscriptions = new Map(clients);
  const pool = new BackendPool(setup.members, breakerRule(), setup.now);
  const cache = new Map<string, { readonly value: Value; readonly until: number }>();
  const stored: [string, { readonly value: Value; readonly until: number }][] = [];
  const expressions = new Map<string, Compiled | undefined>();
  const errors: LastError[] = [];

  function evaluate(text: string, { context }: Run): Value {
    if (!expressions.has(text)) expressions.set(text, compile(text));
    const compiled = expressions.get(text);
    if (compiled === undefined) return text.trim();
    try {
      return compiled.run(context);
    } catch (error) {
      if (!(error instanceof NetError)) throw error;
      throw new PolicyError('expression', 'ExpressionValueEvaluationFailure', 500, error.message);
    }
  }

  function textFor(text: string, run: Run): string {
    return shown(evaluate(text, run));
  }

  async function each(children: readonly PolicyElement[], run: Run): Promise<void> {
    for (const child of children) await apply(child, run);
  }

  async function apply(element: PolicyElement, run: Run): Promise<void> {
    const { context } = run;
    const attribute = (name: string): string => element.attributes.get(name) ?? '';
    switch (element.name) {
      case 'base':
        return;
      case 'include-fragment': {
        const fragment = fragments.get(attribute('fragment-id'));
        assert.ok(fragment !== undefined, `no fragment ${attribute('fragment-id')}`);
        return each(fragment.children, run);
      }
      case 'choose': {
        const chosen = element.children.find(
          (child) => child.name === 'otherwise' || evaluate(child.attributes.get('condition') ?? '', run) === true,
        );
        return each(chosen?.children ?? [], run);
      }
      case 'set-variable':
        context.variables.set(attribute('name'), evaluate(attribute('value'), run));
        return;
      case 'set-header':
        return setHeader(element, run);
      case 'set-query-parameter':
        assert.equal(attribute('exists-action'), 'delete');
        context.request.url.deleteParameter(attribute('name'));
        return;
      case 'rewrite-uri':
        assert.equal(attribute('copy-unmatched-params'), 'true');
        context.request.url.path = textFor(attribute('template'), run);
        return;
      case 'set-body':
        return setBody(element, run);
      case 'set-status':
        assert.ok(run.answer !== undefined);
        run.answer.response.statusCode = Number(textFor(attribute('code'), run));
        run.answer.response.statusReason = textFor(attribute('reason'), run);
        return;
      case 'return-response': {
        run.answer = { response: new Response(200, 'OK'), body: Buffer.alloc(0) };
        await each(element.children, run);
        throw new Returned(run.answer.response, run.answer.body);
      }
      case 'cache-lookup-value': {
        const found = cache.get(attribute('key'));
        const isKnown = found !== undefined && found.until > setup.now();
        context.variables.set(
          attribute('variable-name'),
          isKnown ? found.value : evaluate(attribute('default-value'), run),
        );
        return;
      }
      case 'cache-store-value': {
        const until = setup.now() + Number(textFor(attribute('duration'), run)) * 1000;
        const entry = { value: evaluate(attribute('value'), run), until };
        if (setup.readings.isCacheSlow) stored.push([attribute('key'), entry]);
        else cache.set(attribute('key'), entry);
        return;
      }
      case 'validate-azure-ad-token':
        return validateToken(element, run);
      case 'authentication-managed-identity':
        context.request.headers.set('authorization', [`Bearer ${setup.identityToken}`]);
        return;
      case 'set-backend-service':
        assert.equal(attribute('backend-id'), 'openai-pool');
        return;
      case 'retry':
        return retry(element, run);
      case 'forward-request':
        return forward(run);
      default:
        assert.fail(`the emulator knows no ${element.name}`);
    }
  }

  function setHeader(element: PolicyElement, run: Run): void {
    const name = element.attributes.get('name') ?? '';
    const { request, response } = run.context;
    const isRequest = run.answer === undefined && (run.section === 'inbound' || run.section === 'backend');
    const headers = isRequest ? request.headers : (run.answer?.response ?? response)?.headers;
    if (element.attributes.get('exists-action') === 'delete') headers?.delete(name);
    else
      headers?.set(
        name,
        element.children.map(({ text }) => textFor(text, run)),
      );
  }

  function setBody(element: PolicyElement, run: Run): void {
    const bytes = Buffer.from(textFor(element.text, run));
    if (run.answer !== undefined) run.answer.body = bytes;
    else if (run.context.request.body === null) throw new PolicyError('set-body', 'NoBody', 500);
    else run.context.request.body = new Body(bytes);
  }

  async function validateToken(element: PolicyElement, run: Run): Promise<void> {
    const tenant = element.attributes.get('tenant-id') ?? '';
    const audiences = element.children.flatMap(({ children }) => children.map(({ text }) => text.trim()));
    const header = run.context.request.headers.get(element.attributes.get('header-name') ?? '') ?? '';
    const verdict = await checkToken(header.replace(/^Bearer +/i, ''), {
      tenant,
      audiences,
      keys: setup.keys.get(tenant) ?? { keys: [] },
      nowMs: setup.now(),
    });
    if (verdict.kind === 'refused') {
      const status = Number(element.attributes.get('failed-validation-httpcode'));
      throw new PolicyError(setup.readings.tokenSource, verdict.reason, status);
    }
    run.context.variables.set(element.attributes.get('output-token-variable-name') ?? '', verdict.token);
  }

  async function retry(element: PolicyElement, run: Run): Promise<void> {
    const count = Number(textFor(element.attributes.get('count') ?? '', run));
    assert.ok(count >= 1 && count <= 50);
    for (let retries = 0; ; retries += 1) {
      let failure: PolicyError | undefined;
      try {
        await each(element.children, run);
      } catch (error) {
        const isOfForwarding = error instanceof PolicyError && error.told.source === 'forward-request';
        if (!isOfForwarding || setup.readings.failure === 'raised') throw error;
        failure = error;
      }
      const isWanted = evaluate(element.attributes.get('condition') ?? '', run) === true;
      if (!isWanted || retries === count) {
        if (failure !== undefined) throw failure;
        return;
      }
    }
  }

  /** Undefined: it could not be reached, or broke off before it answered. */
  function ask(member: MemberSpec, run: Run): Promise<IncomingMessage | undefined> {
    const { request } = run.context;
    const headers = request.headers
      .entries()
      .filter(([name]) => !HOP_BY_HOP.has(name))
      .map(([name, values]) => [name, values.join(', ')] as const);
    const { promise, resolve } = Promise.withResolvers<IncomingMessage | undefined>();
    const target = request.url.path + request.url.queryString;
    const length = request.body === null ? {} : { 'content-length': request.body.bytes.length };
    const req = httpRequest(member.url, {
      method: request.method,
      path: target,
      headers: { ...Object.fromEntries(headers), ...length },
      agent: false,
      signal: run.isDone,
    });
    req.on('error', () => resolve(undefined));
    req.on('response', resolve);
    req.end(request.body?.bytes);
    return promise;
  }

  async function forward(run: Run): Promise<void> {
    const { context } = run;
    run.upstream?.destroy();
    run.upstream = undefined;
    context.response = null;
    const member = pool.next();
    if (member === undefined) {
      if (setup.readings.emptyPool === 'error') throw new PolicyError('forward-request', 'BackendPoolInactive', 503);
      context.response = new Response(503, 'Service Unavailable');
      return;
    }
    context.request.url.host = new URL(member.url).hostname;
    const upstream = await ask(member, run);
    if (upstream === undefined) {
      pool.failed(member, 'BackendConnectionFailure');
      throw new PolicyError('forward-request', 'BackendConnectionFailure', 500);
    }
    const { statusCode = 0, statusMessage = '', rawHeaders, headers } = upstream;
    pool.answered(member, statusCode, headers['retry-after']);
    run.upstream = upstream;
    context.response = new Response(statusCode, statusMessage, headersFrom(rawHeaders));
  }

  /** What the gateway does before any policy: a key that was sent must be right. */
  function subscriptionFor(request: Request): Subscription | null {
    const key = request.headers.get('api-key') ?? request.originalUrl.query.get('api-key');
    if (key === undefined) return null;
    const id = subscriptions.get(key);
    if (id === undefined) throw new PolicyError('authorization', 'SubscriptionKeyInvalid', 401);
    return new Subscription(id);
  }

  async function pass(run: Run, isRefused: PolicyError | undefined): Promise<void> {
    try {
      if (isRefused !== undefined) throw isRefused;
      for (const section of ['inbound', 'backend', 'outbound'] as const) {
        run.section = section;
        await each(sectionOf(policies, section).children, run);
      }
    } catch (error) {
      if (!(error instanceof PolicyError)) throw error;
      await raise(run, error);
    }
  }

  async function raise(run: Run, error: PolicyError): Promise<never> {
    const { source, reason, status } = error.told;
    const { context, section } = run;
    context.lastError = new LastError({ source, reason, message: error.message, section });
    errors.push(context.lastError);
    context.response = new Response(status, '');
    run.section = 'on-error';
    run.answer = undefined;
    await each(sectionOf(policies, 'on-error').children, run);
    const body = { statusCode: context.response.statusCode, message: error.message };
    const headers = new NamedValues([['content-type', 'application/json'], ...flat(context.response.headers)]);
    throw new Returned(new Response(context.response.statusCode, '', headers), Buffer.from(JSON.stringify(body)));
  }

  async function handle(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of req) chunks.push(chunk);
    for (const [key, entry] of stored.splice(0)) cache.set(key, entry);
    const { method = '', url: target = '', headers } = req;
    if (!METHODS.has(method)) {
      answer(res, new Response(404, 'Not Found'), Buffer.from('{"statusCode":404,"message":"Resource not found"}'));
      return;
    }
    const request = new Request(
      method,
      { host: headers.host ?? '', target },
      headersFrom(req.rawHeaders),
      Buffer.concat(chunks),
    );
    let subscription: Subscription | null = null;
    let refusal: PolicyError | undefined;
    try {
      subscription = subscriptionFor(request);
    } catch (error) {
      if (!(error instanceof PolicyError)) throw error;
      refusal = error;
    }
    const left = new AbortController();
    res.on('close', () => left.abort());
    const run = new Run(new Context(request, subscription, setup.now), left.signal);
    try {
      await pass(run, refusal);
      relay(res, run);
    } catch (error) {
      run.upstream?.destroy();
      if (!(error instanceof Returned)) throw error;
      answer(res, error.response, error.body);
    }
  }

  const server = createServer((req, res) => {
    handle(req, res).catch((error: unknown) => {
      // A mistake of the emulator's, or a policy that would not have been deployed: the test must not take it for an answer.
      errors.push(new LastError({ source: 'emulator', reason: null, message: String(error), section: '' }));
      res.destroy();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  return {
    url: `http://127.0.0.1:${address.port}`,
    port: address.port,
    errors,
    pool,
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

function sectionOf(policies: PolicyElement, section: Section): PolicyElement {
  const found = policies.children.find(({ name }) => name === section);
  assert.ok(found !== undefined, `the policy has no ${section}`);
  return found;
}

function flat(headers: NamedValues): [string, string][] {
  return headers.entries().flatMap(([name, values]) => values.map((value): [string, string] => [name, value]));
}

function answer(res: ServerResponse, response: Response, body: Buffer): void {
  res.writeHead(response.statusCode, response.statusReason, [
    ...flat(response.headers).flat(),
    'content-length',
    String(body.length),
  ]);
  res.end(body);
}

/** The resource's answer, piece by piece as it comes. */
function relay(res: ServerResponse, { context, upstream }: Run): void {
  const { response } = context;
  assert.ok(response !== null);
  if (upstream === undefined) {
    answer(res, response, Buffer.alloc(0));
    return;
  }
  const headers = flat(response.headers).filter(
    ([name]) => !['connection', 'keep-alive', 'transfer-encoding'].includes(name),
  );
  res.writeHead(response.statusCode, response.statusReason, headers.flat());
  res.flushHeaders();
  upstream.on('error', () => res.destroy());
  upstream.pipe(res);
}
