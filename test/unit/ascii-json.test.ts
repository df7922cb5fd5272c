import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { asciiJson } from '../../app/src/ascii-json.ts';

describe('JSON in ASCII alone', () => {
  it('is what a parser gives back as it was, in printable characters', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string(), (name, value) => {
        const text = asciiJson({ [name]: value, list: [name, 1, null] });
        assert.match(text, /^[\x20-\x7e]*$/);
        assert.deepEqual(JSON.parse(text), JSON.parse(JSON.stringify({ [name]: value, list: [name, 1, null] })));
      }),
    );
  });

  it('escapes what ends lines, drives terminals or turns the order of letters', () => {
    assert.equal(
      asciiJson('a\u007f\u009b\u2028\u202e\u{1f426}\ud83dé'),
      String.raw`"a\u007f\u009b\u2028\u202e\ud83d\udc26\ud83d\u00e9"`,
    );
    assert.equal(asciiJson({ a: 1 }, 2), '{\n  "a": 1\n}');
  });
});
