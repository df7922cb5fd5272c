// Which paths an Azure OpenAI resource serves, and nothing else: the deployment-scoped ones with their api-version,
// and the v1 ones without. The bare `/v1/…` and `/chat/completions` do not exist there, so neither do they here.

import { findObjectRoute } from '../kept/object-routes.ts';
import type { ObjectRoute } from '../kept/object-routes.ts';

export type Generation = 'legacy' | 'v1';

export type Operation =
  | 'chat-completions'
  | 'completions'
  | 'embeddings'
  | 'responses'
  | 'transcriptions'
  | 'translations'
  | 'speech'
  | 'image-generations'
  | 'image-edits';

export type Route =
  /** `deployment` is there when the path names it; otherwise the body's `model` does. */
  | {
      readonly kind: 'operation';
      readonly generation: Generation;
      readonly operation: Operation;
      readonly deployment?: string;
      readonly apiVersion: string;
    }
  | ObjectRoute
  | { readonly kind: 'models'; readonly generation: Generation; readonly id?: string }
  | { readonly kind: 'not-found'; readonly generation: Generation }
  | { readonly kind: 'dated-v1'; readonly generation: 'v1' };

const DEPLOYMENTS = '/openai/deployments/';
const V1 = '/openai/v1/';
const LEGACY = '/openai/';
const NO_QUERY = new URLSearchParams();

const operations: ReadonlyMap<string, Operation> = new Map([
  ['chat/completions', 'chat-completions'],
  ['completions', 'completions'],
  ['embeddings', 'embeddings'],
  ['responses', 'responses'],
  ['audio/transcriptions', 'transcriptions'],
  ['audio/translations', 'translations'],
  ['audio/speech', 'speech'],
  ['images/generations', 'image-generations'],
  ['images/edits', 'image-edits'],
]);

export function findRoute(method: string, url: string): Route {
  const queryAt = url.indexOf('?');
  const path = queryAt === -1 ? url : url.slice(0, queryAt);
  const query = queryAt === -1 ? NO_QUERY : new URLSearchParams(url.slice(queryAt + 1));
  const apiVersion = query.get('api-version') ?? '';
  if (path.startsWith(V1)) {
    // A v1 path refuses a dated version: https://github.com/pydantic/pydantic-ai/issues/5066
    return /^\d/.test(apiVersion)
      ? { kind: 'dated-v1', generation: 'v1' }
      : find(method, 'v1', path.slice(V1.length), 'v1', query);
  }
  // Without an api-version a legacy path is not found: https://github.com/MicrosoftDocs/azure-docs/issues/114602
  if (apiVersion === '') {
    return { kind: 'not-found', generation: 'legacy' };
  }
  if (path.startsWith(DEPLOYMENTS)) {
    return findInDeployment(method, path.slice(DEPLOYMENTS.length), apiVersion);
  }
  const rest = path.startsWith(LEGACY) ? path.slice(LEGACY.length) : '';
  return find(method, 'legacy', rest, apiVersion, query);
}

function find(method: string, generation: Generation, rest: string, apiVersion: string, query: URLSearchParams): Route {
  if (method === 'GET' && rest === 'models') {
    return { kind: 'models', generation };
  }
  if (method === 'GET' && rest.startsWith('models/')) {
    return { kind: 'models', generation, id: decode(rest.slice('models/'.length)) };
  }
  // Of the operations a legacy path without a deployment knows only this one.
  const operation = generation === 'v1' || rest === 'responses' ? operations.get(rest) : undefined;
  return method === 'POST' && operation !== undefined
    ? { kind: 'operation', generation, operation, apiVersion }
    : (findObjectRoute(method, generation, rest, query) ?? { kind: 'not-found', generation });
}

function findInDeployment(method: string, rest: string, apiVersion: string): Route {
  const slash = rest.indexOf('/');
  const operation = operations.get(rest.slice(slash + 1));
  if (method !== 'POST' || slash < 1 || operation === undefined || operation === 'responses') {
    return { kind: 'not-found', generation: 'legacy' };
  }
  return { kind: 'operation', generation: 'legacy', operation, deployment: decode(rest.slice(0, slash)), apiVersion };
}

function decode(segment: string): string {
  if (!segment.includes('%')) {
    return segment;
  }
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
