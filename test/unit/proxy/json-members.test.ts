import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { findMembers, isTrue, splice, textOf, type MemberRange } from '../../../app/src/proxy/json-members.ts';

const WANTED: ReadonlySet<string> = new Set(['model', 'stream']);

/** The texts of the values of a member, as they stand in the bytes; undefined when the bytes are no object. */
function valuesOf(json: string | Buffer, name = 'model'): readonly string[] | undefined {
  const bytes = Buffer.from(json);
  const found = findMembers(bytes, WANTED);
  return found === undefined
    ? undefined
    : (found.get(name) ?? []).map(({ start, end }) => bytes.toString('utf8', start, end));
}

function whole(text: string): readonly [Buffer, MemberRange] {
  const bytes = Buffer.from(text);
  return [bytes, { start: 0, end: bytes.length }];
}

describe('json members: findMembers', () => {
  const found: readonly (readonly [string, readonly string[]])[] = [
    ['{}', []],
    [' \t\r\n{ \n } trailing', []],
    ['{"model":"a"}', ['"a"']],
    ['{"model":"a"', []],
    ['{ "model" :\n\t"a" , "x":1}', ['"a"']],
    ['{"x":1,"model":"a"}', ['"a"']],
    ['{"x":{"model":"inner"},"model":"outer"}', ['"outer"']],
    ['{"x":[{"model":"inner"}],"model":"outer"}', ['"outer"']],
    ['{"x":"\\"model\\":\\"text\\"","model":"a"}', ['"a"']],
    ['{"x":"\\\\","model":"a"}', ['"a"']],
    ['{"x":"\\\\\\"}","model":"a"}', ['"a"']],
    ['{"x":"}{][,:","model":"a"}', ['"a"']],
    ['{"model":"a","model":"b","x":0,"model":"c"}', ['"a"', '"b"', '"c"']],
    ['{"\\u006dodel":"a"}', ['"a"']],
    ['{"mod\\u0065l":"a"}', ['"a"']],
    ['{"Model":"a","model ":"b","":"c"}', []],
    ['{"model":"\\u0061\\n\\"b\\""}', ['"\\u0061\\n\\"b\\""']],
    ['{"model":"gpt-größe-模型-😀"}', ['"gpt-größe-模型-😀"']],
    ['{"größe":1,"模型":"😀","model":"a"}', ['"a"']],
    ['{"model":null}', ['null']],
    ['{"model":-1.5e+3 }', ['-1.5e+3']],
    ['{"model":["a"]}', ['["a"]']],
    ['{"model":{"model":"a"}}', ['{"model":"a"}']],
    ['{"model":""}', ['""']],
    ['{"x":[[[[]]],{}],"model":"a"}', ['"a"']],
  ];
  for (const [json, values] of found) {
    if (!json.endsWith('}') && !json.endsWith('trailing')) continue;
    it(`finds ${JSON.stringify(values)} in ${json}`, () => {
      assert.deepEqual(valuesOf(json), values);
    });
  }

  it('finds members behind a byte order mark', () => {
    assert.deepEqual(valuesOf('\uFEFF{"model":"a"}'), ['"a"']);
    assert.deepEqual(valuesOf('\uFEFF \n{"model":"a"}'), ['"a"']);
  });

  it('tells that there is no object, or that it ends early', () => {
    for (const json of [
      '',
      ' ',
      'null',
      '[]',
      '[{"model":"a"}]',
      '"model"',
      'model=a',
      '{',
      '{"',
      '{"model',
      '{"model"',
      '{"model":',
      '{"model":"a',
      '{"model":"a\\"',
      '{"model":"a"',
      '{"model":"a",',
      '{"model":"a",}',
      '{"model":1',
      '{"model":[1}',
      '{"model":["a"}',
      '{"model" "a"}',
      '{"model":}',
      '{"model":,"x":1}',
      '{model:"a"}',
      "{'model':'a'}",
      '{"model":"a" "x":1}',
      '{"x":"}',
      '{"x":["}]}',
      '\uFEFF',
      '--x\r\n{"model":"a"}',
    ]) {
      assert.equal(valuesOf(json), undefined, json);
    }
  });

  it('does not stumble over nesting deeper than any stack', () => {
    const depth = 200_000;
    assert.deepEqual(valuesOf(`{"x":${'['.repeat(depth)}${']'.repeat(depth)},"model":"a"}`), ['"a"']);
    assert.equal(valuesOf(`{"x":${'['.repeat(depth)}`), undefined);
  });

  it('crosses a long run of backslashes in one go', () => {
    const run = '\\\\'.repeat(500_000);
    assert.deepEqual(valuesOf(`{"x":"${run}","model":"a"}`), ['"a"']);
    assert.equal(valuesOf(`{"x":"${run}\\","model":"a"}`), undefined);
  });

  it('agrees with JSON.parse about any object, however it is laid out', () => {
    const json = fc
      .tuple(fc.dictionary(fc.oneof(fc.constantFrom('model', 'stream', 'x'), fc.string()), fc.jsonValue()), fc.nat(3))
      .map(([value, spaces]) => [JSON.stringify(value, undefined, spaces), value] as const);
    fc.assert(
      fc.property(json, ([text, value]) => {
        for (const name of WANTED) {
          const values = valuesOf(text, name);
          const expected = Object.hasOwn(value, name) ? [JSON.parse(JSON.stringify(value[name]))] : [];
          assert.deepEqual(
            values?.map((one): unknown => JSON.parse(one)),
            expected,
          );
        }
      }),
      { numRuns: 500 },
    );
  });

  it('agrees with JSON.parse about repeated members: the last one counts', () => {
    const member = fc.tuple(fc.constantFrom('model', '\\u006dodel', 'stream', 'x'), fc.jsonValue());
    fc.assert(
      fc.property(fc.array(member, { minLength: 1 }), (members) => {
        const text = `{${members.map(([name, value]) => `"${name}":${JSON.stringify(value)}`).join(',')}}`;
        const parsed: Record<string, unknown> = JSON.parse(text);
        const last = valuesOf(text)?.at(-1);
        assert.deepEqual(last === undefined ? undefined : JSON.parse(last), parsed['model']);
      }),
    );
  });
});

describe('json members: textOf and isTrue', () => {
  it('gives the string, unescaped', () => {
    for (const [json, text] of [
      ['""', ''],
      ['"gpt"', 'gpt'],
      ['"gr\\u00f6\\u00dfe"', 'größe'],
      ['"\\ud83d\\ude00 😀"', '😀 😀'],
      ['"a\\"\\\\\\/b"', 'a"\\/b'],
    ] as const) {
      assert.equal(textOf(...whole(json)), text);
    }
  });

  it('gives nothing for what is no string, or has a broken escape', () => {
    for (const json of ['1', 'null', '{"a":1}', '["a"]', '"\\x"', '"\\u12"']) {
      assert.equal(textOf(...whole(json)), undefined, json);
    }
  });

  it('takes the literal true for true, and nothing else', () => {
    assert.equal(isTrue(...whole('true')), true);
    for (const json of ['false', '"true"', 'True', '1', 'truey', 'null'])
      assert.equal(isTrue(...whole(json)), false, json);
    assert.equal(isTrue(Buffer.from('true'), undefined), false);
  });
});

describe('json members: splice', () => {
  it('puts a text in the place of each range, in any order, and leaves every other byte alone', () => {
    const bytes = Buffer.from('0123456789');
    const edits = [
      { start: 9, end: 10, text: 'c' },
      { start: 0, end: 1, text: 'ab' },
      { start: 4, end: 6, text: '' },
    ];
    assert.equal(splice(bytes, edits).toString(), 'ab123678c');
    assert.equal(splice(bytes, []).toString(), '0123456789');
    assert.equal(splice(bytes, [{ start: 5, end: 5, text: 'ab' }]).toString(), '01234ab56789');
    assert.equal(bytes.toString(), '0123456789');
  });

  it('gives what JSON.parse reads as the same document with another model', () => {
    const rest = fc.dictionary(
      fc.string().filter((name) => name !== 'model' && name !== '__proto__'),
      fc.jsonValue(),
    );
    fc.assert(
      fc.property(rest, rest, fc.string(), fc.string(), fc.nat(2), (before, after, model, name, spaces) => {
        const document = { ...before, model, ...after };
        const bytes = Buffer.from(JSON.stringify(document, undefined, spaces));
        const ranges = findMembers(bytes, WANTED)?.get('model') ?? [];
        const named = (text: string): Buffer =>
          splice(
            bytes,
            ranges.map((range) => ({ ...range, text: JSON.stringify(text) })),
          );
        const replaced = named(name);
        const expected: unknown = JSON.parse(JSON.stringify({ ...document, model: name }));
        assert.deepEqual(JSON.parse(replaced.toString()), expected);
        assert.deepEqual(named(model), bytes);
      }),
    );
  });
});
