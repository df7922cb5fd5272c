/** The policy's files: read as XML, and filled in as infra/modules/apim.bicep does when it deploys them. */
import assert from 'node:assert/strict';
import { DOMParser, type Element, type Node } from '@xmldom/xmldom';
import { textOf } from '../../support/sources.ts';

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

interface Filling {
  readonly token: string;
  readonly file: PolicyFile;
  /** The Bicep expression that `text` mirrors, as apim.bicep has it. */
  readonly bicep: string;
  readonly text: (settings: PolicySettings) => string;
}

function items(list: string): readonly string[] {
  return list === '' ? [] : list.split(',');
}

function tenantsOf({ entraTenantIds }: PolicySettings): readonly string[] {
  return entraTenantIds.split(',').map((id) => id.trim().toLowerCase());
}

/** `,a,b,`, or nothing. */
function listed(ids: readonly string[]): string {
  return ids.length === 0 ? '' : `,${ids.join(',')},`;
}

export interface ClientKey {
  /** Of the subscription. */
  readonly id: string;
  readonly key: string;
}

/** The subscriptions that are deployed for client keys: `clients` of apim.bicep. */
export function clientsOf({ clientApiKeys }: PolicySettings): readonly ClientKey[] {
  return items(clientApiKeys).map((pair, i) => ({
    id: `client-key-${i + 1}-${pair.slice(0, pair.indexOf('=')).trim()}`,
    key: pair.slice(pair.indexOf('=') + 1).trim(),
  }));
}

/** Every placeholder, by the file that has it. */
export const FILLINGS: readonly Filling[] = [
  {
    token: '@@VALIDATIONS@@',
    file: 'callers',
    bicep: 'validations',
    text: (settings) =>
      tenantsOf(settings)
        .map((id) => policyText('tenant').replaceAll('@@TENANT@@', id))
        .join(''),
  },
  {
    token: '@@TENANTS@@',
    file: 'callers',
    bicep: "',${join(tenantIds, ',')},'",
    text: (settings) => listed(tenantsOf(settings)),
  },
  {
    token: '@@ALLOWED@@',
    file: 'callers',
    bicep: 'allowedList',
    text: ({ entraAllowedClients }) =>
      listed(items(entraAllowedClients).map((item) => (item.split('=').at(-1) ?? '').trim().toLowerCase())),
  },
  {
    token: '@@SUBSCRIPTIONS@@',
    file: 'callers',
    bicep: 'subscriptionList',
    text: (settings) => listed(clientsOf(settings).map(({ id }) => id)),
  },
  { token: '@@CHAT@@', file: 'paths', bicep: 'chatDeployment', text: ({ chatDeployment }) => chatDeployment },
  {
    token: '@@EMBEDDING@@',
    file: 'paths',
    bicep: 'embeddingDeployment',
    text: ({ embeddingDeployment }) => embeddingDeployment,
  },
  {
    token: '@@RETRIES@@',
    file: 'openai',
    bicep: 'retries',
    text: ({ endpoints }) => String(Math.max(1, endpoints - 1)),
  },
  {
    token: '@@IDENTITY@@',
    file: 'openai',
    bicep: 'identityClientId',
    text: ({ identityClientId }) => identityClientId,
  },
  { token: '@@TENANT@@', file: 'tenant', bicep: 'id', text: (settings) => tenantsOf(settings)[0] ?? '' },
];

/** The file as it is deployed. */
export function filledIn(file: PolicyFile, settings: PolicySettings): string {
  return FILLINGS.filter((filling) => filling.file === file).reduce(
    (text, { token, text: by }) => text.replaceAll(token, () => by(settings)),
    policyText(file),
  );
}

export interface BreakerRule {
  readonly tripMs: number;
  readonly count: number;
  readonly ranges: readonly { readonly min: number; readonly max: number }[];
  readonly isRetryAfterAccepted: boolean;
  readonly errorReasons: readonly string[];
}

/** The circuit breaker of each resource, as apim.bicep sets it. */
export function breakerRule(): BreakerRule {
  const bicep = textOf('infra/modules/apim.bicep');
  const one = (pattern: RegExp): string => {
    const found = pattern.exec(bicep)?.[1];
    assert.ok(found !== undefined, `apim.bicep has nothing like ${pattern}`);
    return found;
  };
  return {
    tripMs: Number(one(/tripDuration: 'PT(\d+)S'/)) * 1000,
    count: Number(one(/count: (\d+)/)),
    ranges: [...bicep.matchAll(/\{ min: (\d+), max: (\d+) \}/g)].map(([, min, max]) => ({
      min: Number(min),
      max: Number(max),
    })),
    isRetryAfterAccepted: one(/acceptRetryAfter: (\w+)/) === 'true',
    errorReasons: [...one(/errorReasons: \[([^\]]*)\]/).matchAll(/'(\w+)'/g)].map(([, reason = '']) => reason),
  };
}
