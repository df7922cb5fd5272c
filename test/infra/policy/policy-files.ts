/** The policy's files: read as XML, and filled in by infra/modules/apim.bicep itself, as test/infra/bicep expands it. */
import assert from 'node:assert/strict';
import { DOMParser, type Element, type Node } from '@xmldom/xmldom';
import { textOf } from '../../support/sources.ts';
import { expandBicep, SUBSCRIPTION, type ExpandedResource } from '../bicep/expand.ts';
import { asInt, asList, asText, at, type Value } from '../bicep/values.ts';

export const POLICY_FILES = ['callers', 'exhausted', 'openai', 'paths', 'tenant'] as const;
export type PolicyFile = (typeof POLICY_FILES)[number];

/** Which file is which fragment; openai.xml includes them. */
export const FRAGMENTS: Readonly<Record<string, PolicyFile>> = {
  'openai-callers': 'callers',
  'openai-paths': 'paths',
  'openai-exhausted': 'exhausted',
};

export interface PolicyElement {
  readonly name: string;
  readonly attributes: ReadonlyMap<string, string>;
  readonly children: readonly PolicyElement[];
  /** Its own text, without that of its children. */
  readonly text: string;
}

export function policyText(file: PolicyFile): string {
  return textOf(`infra/policies/${file}.xml`);
}

/** @throws when it is not well-formed */
export function readXml(text: string): PolicyElement {
  const problems: string[] = [];
  const parser = new DOMParser({ onError: (level, message) => void problems.push(`${level}: ${message}`) });
  const document = parser.parseFromString(text, 'text/xml');
  assert.deepEqual(problems, []);
  assert.ok(document.documentElement !== null);
  return elementFrom(document.documentElement);
}

function elementFrom(element: Element): PolicyElement {
  const children: PolicyElement[] = [];
  let text = '';
  for (let node: Node | null = element.firstChild; node !== null; node = node.nextSibling) {
    if (isElement(node)) children.push(elementFrom(node));
    else if (node.nodeType === node.TEXT_NODE) text += node.nodeValue ?? '';
    else
      assert.equal(
        node.nodeType,
        node.COMMENT_NODE,
        `${element.tagName} has something that is neither text nor comment`,
      );
  }
  const attributes = [...element.attributes].map(({ name, value }) => [name, value] as const);
  return { name: element.tagName, attributes: new Map(attributes), children, text };
}

function isElement(node: Node): node is Element {
  return node.nodeType === node.ELEMENT_NODE;
}

/** The element and all below it. */
export function* elementsOf(element: PolicyElement): Generator<PolicyElement> {
  yield element;
  for (const child of element.children) yield* elementsOf(child);
}

/** The parameters of infra/modules/apim.bicep that go into the policy. */
export interface PolicySettings {
  readonly entraTenantIds: string;
  readonly entraAllowedClients: string;
  /** `name=key,…` */
  readonly clientApiKeys: string;
  readonly chatDeployment: string;
  readonly embeddingDeployment: string;
  readonly identityClientId: string;
  /** How many resources there are. */
  readonly endpoints: number;
}

const expanded = new Map<string, readonly ExpandedResource[]>();

/** What apim.bicep deploys with these settings. */
function deployed(settings: PolicySettings): readonly ExpandedResource[] {
  const { endpoints, ...parameters } = settings;
  const key = JSON.stringify(settings);
  const known = expanded.get(key);
  if (known !== undefined) return known;
  const { resources } = expandBicep(
    'infra/modules/apim.bicep',
    {
      ...parameters,
      name: 'apim',
      location: 'northeurope',
      tags: {},
      sku: 'BasicV2',
      publisherEmail: 'noreply@example.com',
      identityId: 'id-of-the-identity',
      insightsId: 'id-of-insights',
      connectionString: 'connection-string',
      endpoints: Array.from({ length: endpoints }, (_, i) => ({
        name: `openai${i + 1}`,
        url: `https://openai${i + 1}.openai.azure.com`,
        priority: 1,
        weight: 1,
        deployments: '',
      })),
    },
    `${SUBSCRIPTION}/resourceGroups/rg`,
  );
  expanded.set(key, resources);
  return resources;
}

/** Those of a type, by the end of its name. */
function ofType(end: string, settings: PolicySettings): readonly ExpandedResource[] {
  return deployed(settings).filter(({ type }) => type === `Microsoft.ApiManagement/service/${end}`);
}

export interface ClientKey {
  /** Of the subscription. */
  readonly id: string;
  readonly key: string;
}

/** The subscriptions that are deployed for client keys. */
export function clientsOf(settings: PolicySettings): readonly ClientKey[] {
  return ofType('subscriptions', settings).map(({ name, body }) => ({
    id: name,
    key: asText(at(body, 'properties', 'primaryKey')),
  }));
}

/** Names of the fragments that are deployed. */
export function fragmentsOf(settings: PolicySettings): readonly string[] {
  return ofType('policyFragments', settings).map(({ name }) => name);
}

/** The file as it is deployed; of `tenant`, that for the first tenant. */
export function filledIn(file: PolicyFile, settings: PolicySettings): string {
  if (file === 'tenant') {
    const [first = ''] = settings.entraTenantIds.split(',');
    const filled = policyText(file).replaceAll('@@TENANT@@', first.trim().toLowerCase());
    assert.ok(filledIn('callers', settings).includes(filled));
    return filled;
  }
  const fragments = ofType('policyFragments', settings).filter(({ name }) => FRAGMENTS[name] === file);
  const found = file === 'openai' ? ofType('apis/policies', settings) : fragments;
  const [only] = found;
  assert.ok(only !== undefined && found.length === 1, `${file} is deployed ${found.length} times`);
  assert.equal(at(only.body, 'properties', 'format'), 'xml');
  return asText(at(only.body, 'properties', 'value'));
}

export interface BreakerRule {
  readonly tripMs: number;
  readonly count: number;
  readonly ranges: readonly { readonly min: number; readonly max: number }[];
  readonly isRetryAfterAccepted: boolean;
  readonly errorReasons: readonly string[];
}

/** The circuit breaker that each resource has. */
export function breakerRule(): BreakerRule {
  const backends = ofType('backends', ANY).filter(({ body }) => at(body, 'properties', 'type') !== 'Pool');
  const breakers = backends.map(({ body }) => at(body, 'properties', 'circuitBreaker', 'rules'));
  assert.equal(new Set(breakers.map((breaker) => JSON.stringify(breaker))).size, 1);
  const [rule = null, ...more] = asList(breakers[0]);
  assert.deepEqual(more, []);
  const condition = (name: string): Value => at(rule, 'failureCondition', name);
  return {
    tripMs: Number(/^PT(\d+)S$/.exec(asText(at(rule, 'tripDuration')))?.[1]) * 1000,
    count: asInt(condition('count')),
    ranges: asList(condition('statusCodeRanges')).map((range) => ({
      min: asInt(at(range, 'min')),
      max: asInt(at(range, 'max')),
    })),
    isRetryAfterAccepted: at(rule, 'acceptRetryAfter') === true,
    errorReasons: asList(condition('errorReasons')).map(asText),
  };
}

/** For what depends on none of them. */
const ANY: PolicySettings = {
  entraTenantIds: 'tenant',
  entraAllowedClients: '',
  clientApiKeys: '',
  chatDeployment: 'chat-model',
  embeddingDeployment: 'embedding-model',
  identityClientId: 'client-id',
  endpoints: 2,
};
