// The policy of API Management as text: what could keep it from being deployed, or have it say something else than the container front.
// What it does is in policy-run.test.ts.

import assert from 'node:assert/strict';
import { ERROR_CODES } from '../../app/src/proxy/proxy-error.ts';
import { BARE_OPERATIONS, route, understand } from '../../app/src/proxy/front-door.ts';
import { readConfig } from '../../app/src/config.ts';
import { codeOf, compile } from './policy/csharp.ts';
import { MEMBERS } from './policy/members.ts';
import {
  breakerRule,
  clientsOf,
  elementsOf,
  filledIn,
  FRAGMENTS,
  fragmentsOf,
  POLICY_FILES,
  policyText,
  readXml,
  type PolicyElement,
  type PolicyFile,
  type PolicySettings,
} from './policy/policy-files.ts';
import { ALLOWED, PARTS, POLICIES, VARIABLE_TYPES, type ElementRule, type Section } from './policy/schema.ts';

/** The limit of the v2 tiers, per document. */
const MOST_BYTES = 16 * 1024;

const TENANTS = ['aaaaaaaa-1111-4111-8111-111111111111', 'bbbbbbbb-2222-4222-8222-222222222222'];
const PLAIN: PolicySettings = {
  entraTenantIds: TENANTS[0] ?? '',
  entraAllowedClients: '',
  clientApiKeys: '',
  chatDeployment: 'gpt-5.4-mini',
  embeddingDeployment: 'text-embedding-3-large',
  identityClientId: 'dddddddd-0000-4000-8000-000000000000',
  endpoints: 3,
};
const FULL: PolicySettings = {
  ...PLAIN,
  entraTenantIds: TENANTS.join(','),
  entraAllowedClients: 'app=eeeeeeee-1111-4111-8111-111111111111,ffffffff-2222-4222-8222-222222222222',
  clientApiKeys: 'team-a=key=one,team-a=key2,team-b=key3',
  endpoints: 1,
};

interface Expression {
  readonly file: PolicyFile;
  readonly element: PolicyElement;
  /** Undefined: the element's text. */
  readonly attribute: string | undefined;
  readonly text: string;
}

function expressionsOf(settings: PolicySettings): readonly Expression[] {
  return POLICY_FILES.flatMap((file) =>
    [...elementsOf(readXml(filledIn(file, settings)))].flatMap((element) => {
      const attributes = [...element.attributes].map(([attribute, text]) => ({ file, element, attribute, text }));
      return [...attributes, { file, element, attribute: undefined, text: element.text }];
    }),
  ).filter(({ text }) => codeOf(text) !== undefined);
}

/** Sections that a file's policies stand in. */
const SECTIONS: Readonly<Record<Exclude<PolicyFile, 'openai'>, readonly Section[]>> = {
  callers: ['inbound'],
  paths: ['inbound'],
  tenant: ['inbound'],
  exhausted: ['outbound', 'on-error'],
};

function ruleOf(element: PolicyElement): ElementRule {
  const rule = POLICIES[element.name] ?? PARTS[element.name];
  assert.ok(rule !== undefined, `no such element: ${element.name}`);
  return rule;
}

function checkElement(element: PolicyElement, sections: readonly Section[]): void {
  const { name } = element;
  const rule = ruleOf(element);
  for (const section of sections) {
    assert.ok(rule.sections?.includes(section) ?? true, `${name} must not stand in ${section}`);
  }
  for (const [attribute, value] of element.attributes) {
    const form = rule.attributes?.[attribute];
    assert.ok(form !== undefined, `${name} has no attribute ${attribute}`);
    assert.notEqual(value, '', `${name} ${attribute} is empty`);
    if (form.endsWith('literal')) assert.equal(codeOf(value), undefined, `${name} ${attribute} takes no expression`);
  }
  for (const [attribute, form] of Object.entries(rule.attributes ?? {})) {
    if (form.startsWith('required')) assert.ok(element.attributes.has(attribute), `${name} needs ${attribute}`);
  }
  if (rule.hasText !== true) assert.equal(element.text.trim(), '', `${name} has text`);
  for (const child of element.children) {
    const isPolicy = Object.hasOwn(POLICIES, child.name);
    const isAllowed =
      rule.children?.includes(child.name) === true || (rule.children?.includes('policies') === true && isPolicy);
    assert.ok(isAllowed, `${child.name} must not stand in ${name}`);
    // A body that is returned is not the request's or the response's: it may stand wherever return-response may.
    checkElement(child, name === 'return-response' ? [] : sectionsIn(child, sections));
  }
}

function sectionsIn(element: PolicyElement, sections: readonly Section[]): readonly Section[] {
  const section = (['inbound', 'backend', 'outbound', 'on-error'] as const).find((name) => name === element.name);
  return section === undefined ? sections : [section];
}

/** The only literal of an expression that lists words between commas. */
function listIn(file: PolicyFile, word: string): readonly string[] {
  const lists = [...policyText(file).matchAll(/&quot;(,[\w/,]+,)&quot;/g)].map(([, list = '']) => list);
  const found = lists.filter((list) => list.includes(`,${word},`));
  assert.equal(found.length, 1);
  return (found[0] ?? '').slice(1, -1).split(',');
}

describe('the policy of API Management', () => {
  for (const file of POLICY_FILES) {
    describe(`${file}.xml`, () => {
      it('is well-formed with its placeholders and without, and none stays', () => {
        readXml(policyText(file).replaceAll('@@VALIDATIONS@@', ''));
        for (const settings of [PLAIN, FULL]) {
          const text = filledIn(file, settings);
          readXml(text);
          assert.doesNotMatch(text, /@@\w+@@/);
        }
      });

      it(`is smaller than ${MOST_BYTES} bytes, with two tenants, too`, () => {
        assert.ok(Buffer.byteLength(filledIn(file, FULL)) < MOST_BYTES);
      });

      it('has no {{name}}, which would be a named value', () => {
        for (const settings of [PLAIN, FULL]) assert.doesNotMatch(filledIn(file, settings), /\{\{/);
      });

      it('has known elements with known attributes only, where they may stand', () => {
        const root = readXml(filledIn(file, FULL));
        if (file === 'openai') checkElement(root, []);
        else if (file === 'tenant') checkElement(root, SECTIONS.tenant);
        else checkElement(root, SECTIONS[file]);
        const roots: Readonly<Partial<Record<PolicyFile, string>>> = { openai: 'policies', tenant: 'when' };
        assert.equal(root.name, roots[file] ?? 'fragment');
      });
    });
  }

  it('includes each fragment that is deployed, in the sections that its file is checked for', () => {
    const root = readXml(filledIn('openai', FULL));
    const places: Record<string, Section[]> = {};
    for (const section of root.children) {
      for (const element of elementsOf(section)) {
        const id = element.attributes.get('fragment-id');
        const [name] = sectionsIn(section, []);
        if (id !== undefined && name !== undefined) (places[FRAGMENTS[id] ?? id] ??= []).push(name);
      }
    }
    const { tenant: _, ...expected } = SECTIONS;
    assert.deepEqual(places, expected);
    assert.deepEqual(fragmentsOf(FULL).toSorted(), Object.keys(FRAGMENTS).toSorted());
  });

  for (const [what, settings, tenants, allowed] of [
    ['plain settings', PLAIN, TENANTS.slice(0, 1), ''],
    ['all settings', FULL, TENANTS, ',eeeeeeee-1111-4111-8111-111111111111,ffffffff-2222-4222-8222-222222222222,'],
  ] as const) {
    it(`has what apim.bicep fills in where the files have a placeholder, and nowhere else, with ${what}`, () => {
      const ids = clientsOf(settings).map(({ id }) => `${id},`);
      const filled: Readonly<Record<string, string>> = {
        '@@TENANTS@@': `,${tenants.join(',')},`,
        '@@ALLOWED@@': allowed,
        '@@SUBSCRIPTIONS@@': ids.length === 0 ? '' : `,${ids.join('')}`,
        '@@VALIDATIONS@@': tenants.map((id) => policyText('tenant').replaceAll('@@TENANT@@', id)).join(''),
        '@@CHAT@@': settings.chatDeployment,
        '@@EMBEDDING@@': settings.embeddingDeployment,
        '@@RETRIES@@': settings === PLAIN ? '2' : '1',
        '@@IDENTITY@@': settings.identityClientId,
      };
      for (const file of ['callers', 'paths', 'exhausted', 'openai'] as const) {
        const expected = policyText(file).replaceAll(/@@\w+@@/g, (token) => filled[token] ?? token);
        assert.equal(filledIn(file, settings), expected);
      }
    });
  }

  it('is deployed beside a subscription for each client key', () => {
    const keys = clientsOf(FULL).map(({ key }) => key);
    assert.deepEqual(keys, ['key=one', 'key2', 'key3']);
    assert.deepEqual(clientsOf(PLAIN), []);
  });

  it('retries as often as there are other resources, and once at least', () => {
    assert.match(filledIn('openai', PLAIN), /<retry count="2"/);
    assert.match(filledIn('openai', FULL), /<retry count="1"/);
  });

  it('has a breaker that opens at once for 429 and gateways, and knows no wait but Retry-After and ten seconds', () => {
    assert.deepEqual(breakerRule(), {
      tripMs: 10_000,
      count: 1,
      ranges: [
        { min: 429, max: 429 },
        { min: 502, max: 504 },
      ],
      isRetryAfterAccepted: true,
      errorReasons: ['BackendConnectionFailure'],
    });
    assert.deepEqual(policyText('openai').match(/\b\d{4,6}L/g), ['10000L']);
  });

  describe('its expressions', () => {
    for (const [what, settings] of [
      ['plain settings', PLAIN],
      ['all settings', FULL],
    ] as const) {
      it(`compile, and have the type that their place needs, with ${what}`, () => {
        const expressions = expressionsOf(settings);
        assert.ok(expressions.length > 30);
        for (const { file, element, attribute, text } of expressions) {
          const where = `${file}.xml, ${element.name} ${attribute ?? ''}: ${text.slice(0, 80)}`;
          let type: string | undefined;
          assert.doesNotThrow(() => {
            type = compile(text)?.type;
          }, where);
          if (attribute === 'condition') assert.equal(type, 'bool', where);
          else if (attribute === 'code') assert.equal(type, 'int', where);
          else if (element.name === 'set-variable') assert.ok(VARIABLE_TYPES.has(type ?? ''), `${where} is ${type}`);
          else assert.equal(['string', 'long'].includes(type ?? ''), true, `${where} is ${type}`);
        }
      });
    }

    it('are all that begins with @: one that is not closed would be taken for text', () => {
      for (const file of POLICY_FILES) {
        for (const element of elementsOf(readXml(filledIn(file, FULL)))) {
          for (const text of [...element.attributes.values(), element.text]) {
            assert.equal(text.includes('@'), codeOf(text) !== undefined, text);
          }
        }
      }
    });

    it('use types and members of Microsoft’s list only', () => {
      const used = new Set(expressionsOf(FULL).flatMap(({ text }) => [...(compile(text)?.members ?? [])]));
      for (const { owner, name, of } of used) {
        const allowed = ALLOWED[of];
        assert.ok(allowed === true || allowed?.includes(name) === true, `${owner}.${name} of ${of}`);
      }
      const rows = new Set([...used].map(({ of }) => of));
      assert.deepEqual([...rows].toSorted(), Object.keys(ALLOWED).toSorted(), 'the list has only what is used');
      const unused = MEMBERS.filter((member) => !used.has(member)).map(({ owner, name }) => `${owner}.${name}`);
      assert.deepEqual(unused, [], 'the emulator knows only what is used');
    });

    it('have no lines that XML’s rule for attributes would join wrongly: no comments in them', () => {
      for (const { text } of expressionsOf(FULL)) assert.doesNotMatch(text, /(?<!:)\/\/|\/\*/);
    });
  });

  it('bodies that are literals are JSON', () => {
    const literals = POLICY_FILES.flatMap((file) => [...elementsOf(readXml(filledIn(file, PLAIN)))])
      .filter(({ name, text }) => name === 'set-body' && codeOf(text) === undefined)
      .map(({ text }): unknown => JSON.parse(text));
    assert.equal(literals.length, 5);
  });

  it('answers codes of ours only, each with its status and type', () => {
    for (const file of POLICY_FILES) {
      for (const element of elementsOf(readXml(filledIn(file, FULL)))) {
        if (element.name !== 'return-response') continue;
        const body = element.children.find(({ name }) => name === 'set-body')?.text ?? '';
        const status = element.children.find(({ name }) => name === 'set-status')?.attributes.get('code') ?? '';
        const known = Object.entries(ERROR_CODES).filter(([code]) => body.includes(`"${code}"`));
        assert.ok(known.length > 0, body);
        for (const [code, { status: expected, type }] of known) {
          assert.ok(status.includes(String(expected)), `${code} has ${status}`);
          assert.ok(body.includes(`"${type}"`), `${code} is no ${type}`);
        }
        // Words of the same form that are none of ours.
        const codes = [...body.matchAll(/"([a-z]+(?:_[a-z]+)+)"/g)].map(([, word = '']) => word);
        const types: ReadonlySet<string> = new Set(Object.values(ERROR_CODES).map(({ type }) => type));
        assert.deepEqual(
          codes.filter((word) => !Object.hasOwn(ERROR_CODES, word) && !types.has(word)),
          [],
        );
      }
    }
    const refusals = [...elementsOf(readXml(filledIn('callers', FULL)))]
      .filter(({ attributes }) => attributes.get('name') === 'refusal')
      .map(({ attributes }) => attributes.get('value') ?? '');
    assert.ok(refusals.length > 4);
    for (const code of refusals) assert.ok(Object.hasOwn(ERROR_CODES, code), code);
  });

  it('serves the same bare operations as the container front', () => {
    assert.deepEqual(listIn('paths', 'assistants'), BARE_OPERATIONS);
  });

  it('repeats the same operations as the container front', () => {
    const listed = listIn('paths', 'audio/speech');
    const creates = (operation: string): boolean => {
      const found = route(`/v1/${operation}`);
      assert.ok(found.kind === 'route');
      return understand(found, 'POST', 'application/json', { bytes: Buffer.from('{}') }).creates;
    };
    const candidates = new Set([
      ...listed,
      ...BARE_OPERATIONS,
      ...BARE_OPERATIONS.flatMap((first) =>
        ['completions', 'edits', 'generations', 'speech', 'compact'].map((rest) => `${first}/${rest}`),
      ),
    ]);
    assert.deepEqual([...candidates].filter((operation) => !creates(operation)).toSorted(), listed.toSorted());
  });

  it('accepts tokens for the same audiences as the container front', () => {
    const accepted = [...elementsOf(readXml(filledIn('tenant', FULL)))]
      .filter(({ name }) => name === 'audience')
      .map(({ text }) => text);
    const config = readConfig({ BACKEND_1_URL: 'https://one.openai.azure.com', ENTRA_TENANT_ID: TENANTS[0] });
    const ours = config.entra?.trust.audiences ?? [];
    assert.deepEqual(accepted.toSorted(), ours.flatMap((audience) => [audience, `${audience}/`]).toSorted());
  });
});
