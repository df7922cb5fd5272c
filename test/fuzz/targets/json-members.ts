import assert from 'node:assert/strict';
import { findMembers, splice, textOf, type MemberRange } from '../../../app/src/proxy/json-members.ts';
import { bytesOf, isRecord, parsedJson, type Target, wordsOf } from '../target.ts';

const WANTED: ReadonlySet<string> = new Set(['model', 'stream', 'background', 'max_tokens', 'user']);
const OTHER = Buffer.from('"another \\" model"');

export const jsonSamples = bytesOf(
  '{"model":"gpt-5.4-mini","messages":[{"role":"user","content":"Say \\"hello\\", please: {}[]"}],"stream":true}',
  '\uFEFF { "model" :\t"größe-😀" ,\r\n "x" : { "model" : [ "inner" , { } ] } , "max_tokens":16 }\n',
  '{"mod\\u0065l":"a","model":"b\\\\","stream":false,"n":2,"background":true,"":null,"__proto__":{"model":1}}',
  '{"stream": true , "max_tokens": 5 }',
  '{"input":["\\ud83d\\ude00",-1.5e+3,true,false,null,""],"user":"u","model":null,"max_tokens":1e9}',
  '{"model":{"a":[[[]],{"b":{}}]},"max_completion_tokens":100,"stream":true,"model":"last"}',
  '[{"model":"a"}]',
  '{}',
);
export const jsonWords = wordsOf(
  '{¦}¦[¦]¦:¦,¦"¦\\¦\\"¦\\\\¦\\u006d¦\\ud83d¦ ¦\n¦\uFEFF¦""¦{}¦[]¦true¦false¦null¦0¦-1¦1e5¦"model"',
  '"model":¦"model":"a"¦,"model":"b"¦"stream":true¦"x":{"model":"y"}¦"m\\u006fdel":"c"¦"background":true',
  '"__proto__":¦"user":"u"¦"max_tokens":1',
);

export const jsonMembers: Target = {
  name: 'JSON members',
  property:
    'of an object that JSON.parse reads, the last value of each member is the one that it reads; a model is replaced, and no other byte',
  samples: jsonSamples,
  words: jsonWords,
  check(bytes) {
    const members = findMembers(bytes, WANTED);
    const parsed = parsedJson(bytes);
    if (parsed !== undefined) {
      assert.equal(members !== undefined, isRecord(parsed.value));
    }
    if (members === undefined) return parsed === undefined ? 'not followed' : 'no object';
    for (const [name, ranges] of members) {
      assert.ok(WANTED.has(name) && ranges.length > 0);
      let from = 0;
      for (const { start, end } of ranges) {
        assert.ok(from < start && start < end && end <= bytes.length);
        // The value, and none of the blanks around it.
        assert.ok((bytes[start] ?? 0) > 0x20 && (bytes[end - 1] ?? 0) > 0x20);
        textOf(bytes, { start, end });
        from = end;
      }
    }
    const models = members.get('model') ?? [];
    const written = splice(
      bytes,
      models.map((range) => ({ ...range, text: OTHER.toString() })),
    );
    assert.deepEqual(rest(written, findMembers(written, WANTED)?.get('model') ?? []), rest(bytes, models));
    assert.equal(rest(bytes, models).length + models.length * OTHER.length, written.length);
    if (parsed === undefined || !isRecord(parsed.value)) return `followed ${models.length}`;
    const { value } = parsed;
    for (const name of WANTED) {
      const last: MemberRange | undefined = members.get(name)?.at(-1);
      assert.equal(last !== undefined, Object.hasOwn(value, name), name);
      if (last === undefined) continue;
      assert.deepEqual(JSON.parse(bytes.toString('utf8', last.start, last.end)), value[name]);
      const text = textOf(bytes, last);
      assert.equal(text, typeof value[name] === 'string' ? value[name] : undefined);
    }
    if (models.length > 0) {
      assert.deepEqual(parsedJson(written)?.value, { ...value, model: 'another " model' });
    }
    return `read ${models.length} ${typeof value['model']} ${typeof value['stream']}`;
  },
};

/** All bytes but these ranges. */
function rest(bytes: Buffer, ranges: readonly { readonly start: number; readonly end: number }[]): Buffer {
  const parts: Buffer[] = [];
  let from = 0;
  for (const { start, end } of ranges) {
    parts.push(bytes.subarray(from, start));
    from = end;
  }
  return Buffer.concat([...parts, bytes.subarray(from)]);
}
