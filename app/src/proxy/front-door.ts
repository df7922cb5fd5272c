/**
 * Names what is asked, once: every path form and both API generations become (operation, deployment, stream, upstream
 * path). What follows the front door never looks at the caller's path again.
 *
 *   /openai/deployments/{deployment}/{operation}?api-version=…   AzureOpenAI clients   → the same
 *   /openai/{operation}?api-version=…                            AzureOpenAI clients   → the same
 *   /openai/v1/{operation}, /v1/{operation}, /{operation}        OpenAI clients        → /openai/v1/{operation}
 */
import { AFFINITY_MEMBERS, affinityKeyOf, type Affinity } from './affinity-key.ts';
import { USAGE_MEMBERS, usageAskingFor, type UsageAsking } from './include-usage.ts';
import { findMembers, isTrue, splice, textOf, type MemberRange } from './json-members.ts';
import { boundaryOf, findFields } from './multipart.ts';
import { withoutCredentials } from './query.ts';
import { COST_MEMBERS, costOf, promptTokensOf, type Cost } from './token-estimate.ts';

/** The path, read. `operation` is free text from the caller; see `operationLabel` for one that is not. */
export interface Route {
  readonly kind: 'route';
  /** `chat/completions`, `models/gpt-x`, …: what follows the prefix, decoded where it is safe. */
  readonly operation: string;
  /** From the legacy path; the others say it in the body. */
  readonly pathDeployment?: string;
  /** The upstream path for a deployment name; the name matters for the legacy form only. With the query, less credentials. */
  readonly upstreamPath: (deployment: string) => string;
}

/** `unserved`: it would give the caller a credential of the backend's own. */
export type Routed = Route | { readonly kind: 'invalid' | 'unknown' | 'unserved' };

/** A request, understood. */
export interface Asked {
  readonly operation: string;
  /** The name that the caller used; `''` when the request names none. */
  readonly deployment: string;
  readonly stream: boolean;
  /** It makes something: a repeat after an unclear failure could make it twice. */
  readonly creates: boolean;
  readonly upstreamPath: (deployment: string) => string;
  /** The body with the deployment's name in place; the very same bytes when the name is unchanged, and nothing is asked besides. */
  readonly upstreamBody: (deployment: string, asking?: UsageAsking) => Buffer;
  /** How its stream can be made to tell its usage; undefined when it cannot, or does by itself. Read while the body is held. */
  readonly usageAsking: () => UsageAsking | undefined;
  /** What it says of its cost; undefined when it costs no tokens. Read while the body is held, and kept. */
  readonly cost: () => Cost | undefined;
  /** What its prompt shares with others; undefined when nothing. Read while the body is held. */
  readonly affinityKey: (affinity: Affinity) => string | undefined;
  /** It spends tokens, and its answer may tell how many. What was stored tells so too, but has been counted when it was made. */
  readonly isCounted: boolean;
}

/** Where the bytes lie; see request-body.ts. */
interface BodyHolder {
  readonly bytes: Buffer;
}

/**
 * Names are kept in the pool's state and the log, so their length is bounded. Azure allows 64 characters; the names of
 * fine-tuned models are longer.
 */
export const LONGEST_DEPLOYMENT_NAME = 256;

/** First segments that are served without a prefix. Others under `/` are unknown: this is not an open relay. */
export const BARE_OPERATIONS: readonly string[] = [
  'assistants',
  'audio',
  'batches',
  'chat',
  'completions',
  'containers',
  'conversations',
  'embeddings',
  'evals',
  'files',
  'fine_tuning',
  'images',
  'models',
  'moderations',
  'responses',
  'threads',
  'uploads',
  'vector_stores',
  'videos',
];

/** POSTs that may be repeated: they answer and leave nothing that matters behind. */
const REPEATABLE: ReadonlySet<string> = new Set([
  'audio/speech',
  'audio/transcriptions',
  'audio/translations',
  'chat/completions',
  'completions',
  'embeddings',
  'extensions/chat/completions',
  'images/edits',
  'images/generations',
  'images/variations',
  'moderations',
  'responses',
  'responses/compact',
  'responses/input_tokens',
]);

/** Of these, those that give no text. */
const WORDLESS: ReadonlySet<string> = new Set(['audio/speech', 'embeddings', 'moderations', 'responses/input_tokens']);

/** First segments whose POSTs keep or prepare something. All others are counted, also those that nobody here has heard of. */
const KEEPING: ReadonlySet<string> = new Set([
  'assistants',
  'batches',
  'containers',
  'conversations',
  'evals',
  'files',
  'fine_tuning',
  'models',
  'threads',
  'uploads',
  'vector_stores',
]);
/** Their answers hold a secret with which the caller could go to the backend without us. */
const UNSERVED = /^(?:realtime|chatkit)/i;

const BARE: ReadonlySet<string> = new Set(BARE_OPERATIONS);
const MEMBERS: ReadonlySet<string> = new Set([
  'model',
  'stream',
  'background',
  ...COST_MEMBERS,
  ...AFFINITY_MEMBERS,
  ...USAGE_MEMBERS,
]);

/** Reads a request target: a path, or an absolute URL whose authority is of no interest. */
export function route(target: string): Routed {
  if (!/^(?:\/|https?:\/\/)/i.test(target)) return { kind: 'unknown' };
  const cut = target.indexOf('?');
  const query = cut === -1 ? '' : withoutCredentials(target.slice(cut));
  const segments = segmentsOf(pathOf(target));
  if (segments === undefined) return { kind: 'invalid' };
  const found = routeOf(segments, query);
  const operation = found.kind === 'route' ? found.operation : segments[0];
  return UNSERVED.test(operation ?? '') ? { kind: 'unserved' } : found;
}

function routeOf(segments: readonly string[], query: string): Routed {
  const [first, second, third, ...rest] = segments;
  if (first === 'openai' && second === 'deployments' && third !== undefined) {
    return legacy(third, rest, query);
  }
  if (first === 'openai' && second === 'v1') return versionOne(segments.slice(2), query);
  // Without an api-version Azure knows nothing under /openai but v1: the caller's base URL lacks the `/v1`.
  if (first === 'openai') {
    return /[?&]api-version=/i.test(query)
      ? plain(`/openai/${encode(segments.slice(1))}`, segments.slice(1), query)
      : versionOne(segments.slice(1), query);
  }
  if (first === 'v1') return versionOne(segments.slice(1), query);
  return first !== undefined && BARE.has(first) ? versionOne(segments, query) : { kind: 'unknown' };
}

/** The path of a request target, without its query and, in absolute form, its authority (which may hold a password). */
export function pathOf(target: string): string {
  const cut = target.indexOf('?');
  const path = cut === -1 ? target : target.slice(0, cut);
  return path.startsWith('/') ? path : path.replace(/^[a-z]+:\/\/[^/]*/i, '');
}

/** Completes a route with what the body says. */
export function understand(found: Route, method: string, contentType: string, body: BodyHolder): Asked {
  const read = readBody(contentType, body.bytes);
  const deployment = found.pathDeployment ?? read.model ?? '';
  let cost: Cost | undefined;

  function upstreamBody(name: string, asking?: UsageAsking): Buffer {
    const { models = [], write } = read;
    const isNamed = found.pathDeployment !== undefined || name === deployment;
    const renamed = isNamed ? [] : models.map((range) => ({ ...range, text: write(name) }));
    const edits = asking === undefined ? renamed : [...renamed, asking.edit];
    return edits.length === 0 ? body.bytes : splice(body.bytes, edits);
  }

  function usageAsking(): UsageAsking | undefined {
    const { members, stream } = read;
    if (method !== 'POST' || !stream || found.operation !== 'chat/completions' || members === undefined)
      return undefined;
    return usageAskingFor(members, body.bytes, found.upstreamPath(''));
  }

  return {
    operation: found.operation,
    deployment,
    stream: read.stream,
    creates: isCreation(method, found.operation, read.background),
    upstreamPath: found.upstreamPath,
    upstreamBody,
    usageAsking,
    isCounted: isCounted(method, found.operation),
    affinityKey: (affinity) => read.members && affinityKeyOf(affinity, read.members, body.bytes),
    cost() {
      if (body.bytes.length > 0 && isCounted(method, found.operation))
        cost ??= costFor(found.operation, read, body.bytes);
      return cost;
    },
  };
}

/** The operation as a label: one of a closed set, whatever callers send. */
export function operationLabel(operation: string): string {
  if (REPEATABLE.has(operation)) return operation;
  const first = operation.split('/', 1)[0] ?? '';
  return BARE.has(first) ? first : 'other';
}

function legacy(deployment: string, rest: readonly string[], query: string): Route {
  const tail = rest.length === 0 ? '' : `/${encode(rest)}`;
  return {
    kind: 'route',
    operation: rest.join('/'),
    pathDeployment: deployment,
    upstreamPath: (name) => `/openai/deployments/${encodeURIComponent(name)}${tail}${query}`,
  };
}

function versionOne(rest: readonly string[], query: string): Routed {
  return rest.length === 0 ? { kind: 'unknown' } : plain(`/openai/v1/${encode(rest)}`, rest, query);
}

function plain(path: string, rest: readonly string[], query: string): Routed {
  if (rest.length === 0) return { kind: 'unknown' };
  const upstreamPath = path + query;
  return { kind: 'route', operation: rest.join('/'), upstreamPath: () => upstreamPath };
}

/**
 * The decoded segments; empty ones (double and trailing slashes) are dropped. Undefined for what could climb out of the
 * prefix on its way through whatever stands behind us: dot segments, separators and control characters, encoded or not.
 */
function segmentsOf(path: string): readonly string[] | undefined {
  const segments: string[] = [];
  for (const raw of path.split('/')) {
    if (raw === '') continue;
    const segment = decode(raw);
    if (
      segment === undefined ||
      segment === '.' ||
      segment === '..' ||
      /[/\\]|[^\x20-\x7e\u0080-\uffff]/.test(segment)
    ) {
      return undefined;
    }
    segments.push(segment);
  }
  return segments;
}

function decode(segment: string): string | undefined {
  if (!segment.includes('%')) return segment;
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined;
  }
}

/** `:` stays as it is: operations such as `videos:remix` and ids with a colon are compared literally upstream. */
function encode(segments: readonly string[]): string {
  return segments.map((segment) => encodeURIComponent(segment).replaceAll('%3A', ':')).join('/');
}

/** What the body says, and where; it keeps no bytes. */
interface ReadBody {
  readonly model?: string;
  readonly models?: readonly MemberRange[];
  /** A name as it is written in this kind of body. */
  readonly write: (name: string) => string;
  readonly stream: boolean;
  readonly background: boolean;
  readonly cost: (body: Buffer) => Cost;
  readonly members?: ReadonlyMap<string, readonly MemberRange[]>;
}

/** What is uploaded is not text, and what it costs is known when it has been counted. */
const FREE: Cost = { promptTokens: 0, mostCompletionTokens: 0 };
const UNREAD: ReadBody = { stream: false, background: false, write: String, cost: () => FREE };

function readBody(contentType: string, body: Buffer): ReadBody {
  if (body.length === 0) return UNREAD;
  const boundary = boundaryOf(contentType);
  if (boundary !== undefined) return readMultipart(body, boundary);
  return readJson(body);
}

function readMultipart(body: Buffer, boundary: string): ReadBody {
  const models = findFields(body, boundary, 'model');
  const stream = valueOf(body, findFields(body, boundary, 'stream').at(-1)) === 'true';
  const model = valueOf(body, models.at(-1));
  if (model === undefined) return { ...UNREAD, stream };
  return { ...UNREAD, model, models, stream };
}

function valueOf(body: Buffer, range: MemberRange | undefined): string | undefined {
  return range === undefined ? undefined : body.toString('utf8', range.start, range.end).trim();
}

/** Of a repeated member the last counts, as in every JSON parser, and all are rewritten. */
function readJson(body: Buffer): ReadBody {
  const members = findMembers(body, MEMBERS);
  if (members === undefined) return { ...UNREAD, cost: (bytes) => ({ promptTokens: promptTokensOf(bytes) }) };
  const models = members.get('model') ?? [];
  const last = models.at(-1);
  const model = last === undefined ? undefined : textOf(body, last);
  const stream = isTrue(body, members.get('stream')?.at(-1));
  const background = isTrue(body, members.get('background')?.at(-1));
  const cost = (bytes: Buffer): Cost => costOf(members, bytes);
  const read = { stream, background, write: JSON.stringify, cost, members };
  return model === undefined ? read : { ...read, model, models };
}

function isCounted(method: string, operation: string): boolean {
  if (method !== 'POST') return false;
  const name = operation.toLowerCase();
  if (REPEATABLE.has(name)) return true;
  // Behind an operation stands what it made and somebody kept: chat/completions/{id}, responses/{id}/cancel.
  for (const known of REPEATABLE) if (name.startsWith(`${known}/`)) return false;
  const segments = name.split('/');
  return !KEEPING.has(segments[0] ?? '') || (segments[0] === 'threads' && segments.includes('runs'));
}

function costFor(operation: string, read: ReadBody, body: Buffer): Cost {
  const cost = read.cost(body);
  return WORDLESS.has(operation) ? { ...cost, mostCompletionTokens: 0 } : cost;
}

function isCreation(method: string, operation: string, background: boolean): boolean {
  if (method !== 'POST' && method !== 'PUT' && method !== 'PATCH') return false;
  return background || !REPEATABLE.has(operation);
}
