// The reader of Bicep that the other tests expand the template with: that it does what Azure does, and refuses what it does not know.
// Otherwise a green test of the template would say nothing.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative, sep } from 'node:path';
import { ROOT } from './bicep/declared.ts';
import { GROUP } from './bicep/deployed.ts';
import { expandBicep, type Expansion } from './bicep/expand.ts';
import { BicepError } from './bicep/syntax.ts';
import type { Value, Values } from './bicep/values.ts';

describe('the reader of Bicep', () => {
  let folder: string;
  let files = 0;

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'bicep-'));
  });
  after(() => rmSync(folder, { recursive: true }));

  function write(text: string): string {
    files += 1;
    const name = `file${files}.bicep`;
    writeFileSync(join(folder, name), text);
    return name;
  }

  function expand(text: string, parameters: Values = {}): Expansion {
    const path = join(relative(ROOT, folder), write(text)).replaceAll(sep, '/');
    return expandBicep(path, parameters, GROUP);
  }

  function valueOf(expression: string): Value | undefined {
    return expand(`var found = ${expression}\noutput found array = [found]`).outputs['found'];
  }

  for (const [expression, value] of [
    ["'a\\'b\\\\c\\${d}'", "a'b\\c${d}"],
    ["'${1 + 2 + 4}-${'in${'ner'}'}'", '7-inner'],
    ['10 - 2 - 3', 5],
    ['-(1 + 2)', -3],
    ['(1 < 2) && !(2 <= 1) || false', true],
    ["true ? 'yes' : fail('never asked')", 'yes'],
    ["false\n  ? fail('never asked')\n  : 'no'", 'no'],
    ["{ a: null }.?a ?? 'none'", 'none'],
    ["{}.?a ?? 'none'", 'none'],
    ["{ a: { 'b-c': [1, 2] } }.a['b-c'][1]", 2],
    ['[for (n, i) in [5, 6]: n + i]', [5, 7]],
    ["map(['a', 'b'], (x, i) => '${x}${i}')", ['a0', 'b1']],
    ['filter([{ a: 1 }, { a: 2 }], x => x.a > 1)', [{ a: 2 }]],
    ["reduce(['a', 'b'], 'x', (sum, each) => '${sum}${each}')", 'xab'],
    ["flatten([['a'], concat(['b'], ['c'])])", ['a', 'b', 'c']],
    ['union({ a: 1, b: 1 }, { b: 2 })', { a: 1, b: 2 }],
    ["join(split('a,b,', ','), '-')", 'a-b-'],
    ["substring('a=b=c', indexOf('a=b=c', '=') + 1)", 'b=c'],
    ["replace(toLower(trim(' A$&A ')), 'a', '$&')", '$&$&$&'],
    ["[empty(''), empty([]), empty({}), empty(null), empty('a')]", [true, true, true, true, false]],
    ["string(30) == '30' && string(true) == 'True'", true],
    ["[contains(['a', 1], 'a'), contains(['a', 1], '1'), contains(['a'], 'A')]", [true, false, false]],
    ["[contains('abc', 'bc'), contains('abc', 'BC')]", [true, false]],
    ["[contains({ a: 1 }, 'A'), contains({ a: 'b' }, 'b')]", [true, false]],
    ["last(['a', 'b'])", 'b'],
    ["max(1, length(['a', 'b']), length('abc'))", 3],
    ["json('0.5')", 0.5],
    ["endsWith('HOST/', '/')", true],
    ["uniqueString('a', 'b') == uniqueString('a', 'b') && uniqueString('ab') != uniqueString('a', 'b')", true],
  ] as const) {
    it(`takes ${expression} for ${JSON.stringify(value)}`, () => {
      assert.deepEqual(valueOf(expression), [value]);
    });
  }

  for (const expression of [
    'nothing',
    'unknownFunction()',
    "toUpper('a')",
    "trim('a', 'b')",
    "'a' + 'b'",
    "1 + '1'",
    "'a' && true",
    "true ? 'a'",
    '[1 2]',
    '{ a: 1 b: 2 }',
    '{ a: 1, a: 2 }',
    '{ a: 1 }.b',
    '[1][1]',
    "'${[1]}'",
    "'''a'''",
    "'\\d'",
    '1.5',
    '1 =~ 2',
    '2 * 3',
    '(1',
    'x => x',
    "map(['a'], 'a')",
    "substring('abc', 2, 5)",
    "json('{')",
    "fail('no')",
    'found',
    "contains([{ a: 1 }], 'a')",
    "contains(1, '1')",
    '{ a: 1 } == { a: 1 }',
    'union({ a: { b: 1 } }, { a: { c: 2 } })',
  ]) {
    it(`refuses ${expression}`, () => {
      assert.throws(() => valueOf(expression), BicepError);
    });
  }

  for (const [what, text] of [
    ['a parameter without a value', 'param a string'],
    ['a parameter of another type', "param a int = 'b'"],
    ['a list with an item of another type', "param a string[] = ['b', 1]"],
    ['a parameter that is too big', '@maxValue(1)\nparam a int = 2'],
    ['a text that is too long', "@maxLength(1)\nparam a string = 'bb'"],
    ['a value that is none of the allowed', "param a 'b' | 'c' = 'd'"],
    ['an unknown type', "param a thing = 'b'"],
    ['an unknown decorator', "@metadata({})\nparam a string = 'b'"],
    ['an unknown statement', "assert a = 'b'"],
    ['a name that is declared twice', "var a = 'b'\nvar a = 'c'\noutput b string = a"],
    ['values that wait for each other', 'var a = b\nvar b = a\noutput c string = a'],
    ['an output of another type', "output a int = 'b'"],
    ['two declarations on one line', "var a = 'b' var c = 'd'"],
    ['a resource without a version', "resource a 'A.B/c' = { name: 'd' }"],
    ['a resource without a name', "resource a 'A.B/c@2024-01-01' = { properties: {} }"],
    ['a child without its parent', "resource a 'A.B/c/d@2024-01-01' = { name: 'e' }"],
    [
      'one resource twice',
      "resource a 'A.B/c@2024-01-01' = { name: 'd' }\nresource b 'A.B/c@2024-01-01' = { name: 'D' }",
    ],
    ['what is not deployed', "resource a 'A.B/c@2024-01-01' = if (false) { name: 'd' }\noutput b string = a.id"],
    ['a resource for a value', "resource a 'A.B/c@2024-01-01' = { name: 'd' }\noutput b string = a"],
    [
      'a question that only what runs could answer',
      "resource a 'A.B/c@2024-01-01' = { name: 'd' }\noutput b string = toLower(a.properties.e)",
    ],
    ['a module for the subscription in a group', "targetScope = 'subscription'"],
  ] as const) {
    it(`refuses ${what}`, () => {
      assert.throws(() => expand(text), BicepError);
    });
  }

  it('refuses a parameter that the file does not have', () => {
    assert.throws(() => expand("param a string = 'b'", { c: 'd' }), BicepError);
  });

  it('refuses a module’s parameter and output that it does not have, and one that is missing', () => {
    const module = write('param a string\noutput b string = a');
    const main = (params: string, output: string): string =>
      `module m '${module}' = { params: ${params} }\noutput found string = m.outputs.${output}`;
    assert.equal(expand(main("{ a: 'x' }", 'b')).outputs['found'], 'x');
    assert.throws(() => expand(main("{ a: 'x', c: 'y' }", 'b')), BicepError);
    assert.throws(() => expand(main('{}', 'b')), BicepError);
    assert.throws(() => expand(main("{ a: 'x' }", 'c')), BicepError);
  });

  it('refuses to import what is not exported, and calls what is', () => {
    const types = write("@export()\nfunc twice(text string) string => '${text}${text}'\nfunc hidden() string => 'a'");
    const calling = (name: string, args: string): string =>
      `import { ${name} } from '${types}'\noutput found string = ${name}(${args})`;
    assert.equal(expand(calling('twice', "'ab'")).outputs['found'], 'abab');
    assert.throws(() => expand(calling('twice', '1')), BicepError);
    assert.throws(() => expand(calling('twice', "'a', 'b'")), BicepError);
    assert.throws(() => expand(calling('hidden', '')), BicepError);
  });

  it('says of a resource where it is, what it waits for, and what is known only when it runs', () => {
    const { resources, outputs } = expand(`
      param names array = ['x', 'y']
      resource site 'Microsoft.Web/sites@2024-01-01' = { name: 'site' }
      resource slot 'Microsoft.Web/sites/slots@2024-01-01' = [
        for (name, i) in names: if (i > 0) { parent: site, name: name, location: 'here' }
      ]
      var address = 'https://\${slot[1].properties.hosts[0].name}'
      resource lock 'Microsoft.Authorization/locks@2020-05-01' = { name: 'lock', scope: site, notes: address }
      resource last 'Microsoft.Web/sites@2024-01-01' = { name: 'last', dependsOn: [slot, lock] }
      resource other 'Microsoft.Web/sites@2024-01-01' existing = { name: 'other' }
      output otherId string = other.id
    `);
    const site = `${GROUP}/providers/Microsoft.Web/sites/site`;
    assert.deepEqual(
      resources.map(({ path, id, scope, body, after }) => ({ path, id, scope, body, after })),
      [
        { path: 'site', id: site, scope: GROUP, body: {}, after: [] },
        { path: 'slot[1]', id: `${site}/slots/y`, scope: site, body: { location: 'here' }, after: ['site'] },
        {
          path: 'lock',
          id: `${site}/providers/Microsoft.Authorization/locks/lock`,
          scope: site,
          body: { notes: 'https://{{y.properties.hosts[0].name}}' },
          after: ['site', 'slot[1]'],
        },
        {
          path: 'last',
          id: `${GROUP}/providers/Microsoft.Web/sites/last`,
          scope: GROUP,
          body: {},
          after: ['slot[1]', 'lock'],
        },
      ],
    );
    assert.deepEqual(outputs, { otherId: `${GROUP}/providers/Microsoft.Web/sites/other` });
  });
});
