/** The policy elements that ours uses, as Microsoft's policy reference describes them: a closed table. */

export type Section = 'inbound' | 'backend' | 'outbound' | 'on-error';

export interface ElementRule {
  /** Each attribute: must it be there, and may it be an expression. */
  readonly attributes?: Readonly<Record<string, 'required' | 'optional' | 'required literal' | 'optional literal'>>;
  /** Where the reference allows it; absent: wherever its parent may stand. */
  readonly sections?: readonly Section[];
  /** Names of elements inside it; `policies` stands for any policy. Absent: none. */
  readonly children?: readonly string[];
  /** Text inside it, with or without expressions. */
  readonly hasText?: true;
}

const EVERYWHERE: readonly Section[] = ['inbound', 'backend', 'outbound', 'on-error'];

/** Policies: what may stand in a section. */
export const POLICIES: Readonly<Record<string, ElementRule>> = {
  base: { sections: EVERYWHERE },
  'include-fragment': { attributes: { 'fragment-id': 'required literal' }, sections: EVERYWHERE },
  choose: { sections: EVERYWHERE, children: ['when', 'otherwise'] },
  'set-variable': { attributes: { name: 'required literal', value: 'required' }, sections: EVERYWHERE },
  'set-header': {
    attributes: { name: 'required', 'exists-action': 'optional' },
    sections: EVERYWHERE,
    children: ['value'],
  },
  'set-query-parameter': {
    attributes: { name: 'required', 'exists-action': 'optional' },
    sections: ['inbound', 'backend'],
    children: ['value'],
  },
  'set-body': { sections: ['inbound', 'backend', 'outbound'], hasText: true },
  'rewrite-uri': { attributes: { template: 'required', 'copy-unmatched-params': 'optional' }, sections: ['inbound'] },
  'return-response': { sections: EVERYWHERE, children: ['set-status', 'set-header', 'set-body'] },
  'cache-lookup-value': {
    attributes: {
      key: 'required',
      'variable-name': 'required literal',
      'default-value': 'optional',
      'caching-type': 'optional literal',
    },
    sections: EVERYWHERE,
  },
  'cache-store-value': {
    attributes: { key: 'required', value: 'required', duration: 'required', 'caching-type': 'optional literal' },
    sections: EVERYWHERE,
  },
  'validate-azure-ad-token': {
    attributes: {
      'tenant-id': 'required',
      'header-name': 'optional',
      'output-token-variable-name': 'optional literal',
      'failed-validation-httpcode': 'optional',
    },
    sections: ['inbound'],
    children: ['audiences'],
  },
  'authentication-managed-identity': {
    attributes: { resource: 'required', 'client-id': 'optional literal' },
    sections: ['inbound'],
  },
  'set-backend-service': { attributes: { 'backend-id': 'required' }, sections: ['inbound', 'backend'] },
  retry: {
    attributes: { condition: 'required', count: 'required', interval: 'required', 'first-fast-retry': 'optional' },
    sections: EVERYWHERE,
    children: ['policies'],
  },
  'forward-request': {
    attributes: { 'buffer-request-body': 'optional', 'buffer-response': 'optional', timeout: 'optional' },
    sections: ['backend'],
  },
};

/** What stands inside policies, and around them. */
export const PARTS: Readonly<Record<string, ElementRule>> = {
  policies: { children: EVERYWHERE },
  inbound: { children: ['policies'] },
  backend: { children: ['policies'] },
  outbound: { children: ['policies'] },
  'on-error': { children: ['policies'] },
  fragment: { children: ['policies'] },
  when: { attributes: { condition: 'required' }, children: ['policies'] },
  otherwise: { children: ['policies'] },
  value: { hasText: true },
  'set-status': { attributes: { code: 'required', reason: 'required' } },
  audiences: { children: ['audience'] },
  audience: { hasText: true },
};

/** The types that set-variable's reference allows a value to have, of those that ours has. */
export const VARIABLE_TYPES: ReadonlySet<string> = new Set(['string', 'bool', 'int', 'long']);

/**
 * Of Microsoft's list "API Management policy expressions", the rows that ours needs: .NET types with their members, then the
 * context variable. `true`: all members.
 */
export const ALLOWED: Readonly<Record<string, true | readonly string[]>> = {
  'Newtonsoft.Json.Linq.JObject': true,
  'Newtonsoft.Json.Linq.JProperty': true,
  'System.Array': true,
  'System.Convert': true,
  'System.DateTimeOffset': true,
  'System.Int32': true,
  'System.Int64': true,
  'System.Linq.Enumerable': true,
  'System.String': true,
  'System.StringComparison': true,
  'System.Uri': true,
  'System.Text.RegularExpressions.Regex': [
    '(Constructor)',
    'IsMatch',
    'Match',
    'Matches',
    'Replace',
    'Unescape',
    'Split',
  ],
  'System.Collections.Generic.IReadOnlyDictionary<TKey, TValue>': true,
  context: ['LastError', 'Request', 'Response', 'Subscription', 'Variables'],
  'context.Request': ['Body', 'Headers', 'Method', 'OriginalUrl', 'Url'],
  'context.Response': ['Headers', 'StatusCode'],
  'context.Subscription': ['Id'],
  'context.LastError': ['Source', 'Reason', 'Section'],
  IUrl: ['Host', 'Path', 'Query'],
  IMessageBody: ['As<string>'],
  Jwt: ['Claims'],
  /** string …GetValueOrDefault(name: string, defaultValue: string) of headers, queries and claims. */
  GetValueOrDefault: ['GetValueOrDefault'],
  AsJwt: ['AsJwt'],
};
