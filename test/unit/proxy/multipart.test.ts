import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { boundaryOf, findFields } from '../../../app/src/proxy/multipart.ts';
import { busboyFields } from '../../support/busboy-fields.ts';

/** The values of a field, as this scanner finds them. */
function fields(body: string | Buffer, name = 'model', boundary = 'x'): readonly string[] {
  const bytes = Buffer.from(body);
  return findFields(bytes, boundary, name).map(({ start, end }) => bytes.toString('utf8', start, end));
}

function part(disposition: string, value: string, more = ''): string {
  return `--x\r\nContent-Disposition: ${disposition}\r\n${more}\r\n${value}\r\n`;
}

const MODEL = part('form-data; name="model"', 'gpt');

describe('multipart: the boundary', () => {
  const types: readonly (readonly [string, string | undefined])[] = [
    ['multipart/form-data; boundary=x', 'x'],
    ['multipart/form-data;boundary=x', 'x'],
    ['Multipart/Form-Data; Boundary=X', 'X'],
    ['multipart/form-data; boundary="a b;c"', 'a b;c'],
    ['multipart/form-data; charset=utf-8; boundary=x; more=1', 'x'],
    ['multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxk', '----WebKitFormBoundary7MA4YWxk'],
    [`multipart/form-data; boundary=${'b'.repeat(70)}`, 'b'.repeat(70)],
    ['multipart/form-data', undefined],
    ['multipart/form-data; boundary=', undefined],
    ['multipart/form-data; boundary=""', undefined],
    ['multipart/form-database; boundary=x', undefined],
    ['multipart/mixed; boundary=x', undefined],
    ['application/json; boundary=x', undefined],
    ['', undefined],
  ];
  for (const [type, boundary] of types) {
    it(`of ${JSON.stringify(type.slice(0, 60))} is ${boundary?.slice(0, 40)}`, () => {
      assert.equal(boundaryOf(type), boundary);
    });
  }
});

describe('multipart: fields', () => {
  it('are found by their name, first, last and alone', () => {
    const file = part('form-data; name="file"; filename="a.wav"', '\0\u0001binary', 'Content-Type: audio/wav\r\n');
    assert.deepEqual(fields(`${MODEL}--x--\r\n`), ['gpt']);
    assert.deepEqual(fields(`${MODEL}${file}--x--\r\n`), ['gpt']);
    assert.deepEqual(fields(`${file}${MODEL}--x--\r\n`), ['gpt']);
    assert.deepEqual(fields(`${file}${MODEL}--x--\r\n`, 'language'), []);
  });

  it('are found every time they come', () => {
    assert.deepEqual(fields(`${MODEL}${part('form-data; name="model"', 'b')}--x--`), ['gpt', 'b']);
  });

  it('may be empty, and may have line breaks and text like a boundary', () => {
    for (const value of ['', '\r\n', '\n--x\n', ' --x', '\r\n--', '\r\n-x', '\r--x', '\r\n--y\r\n', 'a\r\n\r\nb']) {
      assert.deepEqual(fields(`${part('form-data; name="model"', value)}--x--`), [value], JSON.stringify(value));
    }
  });

  it('are found behind file bytes that contain the boundary in part', () => {
    const bytes = '\r\n--\r\n-x\r\n--y--x--\n--x\r--x\r\r\n';
    const file = part('form-data; name="file"; filename="f"', bytes);
    assert.deepEqual(fields(`${file}${MODEL}--x--`), ['gpt']);
  });

  it('are no files: not one whose filename is "model", nor one under that name', () => {
    for (const disposition of [
      'form-data; name="file"; filename="model"',
      'form-data; name="model"; filename="model"',
      'form-data; name="model"; filename=""',
      'form-data; filename=model; name=model',
      'form-data; name="model"; filename*=UTF-8\'\'a.txt',
    ]) {
      assert.deepEqual(fields(`${part(disposition, 'gpt')}--x--`), [], disposition);
    }
  });

  it('are named with or without quotes, in any case and order, beside other headers', () => {
    for (const [disposition, more] of [
      ['form-data; name=model', ''],
      ['form-data;name="model"', ''],
      ['form-data; x=1; name="model"', 'Content-Type: text/plain; charset=utf-8\r\nX-Y: z\r\n'],
      ['FORM-DATA; NAME="model"', ''],
    ] as const) {
      assert.deepEqual(fields(`${part(disposition, 'gpt', more)}--x--`), ['gpt'], disposition);
    }
    assert.deepEqual(fields('--x\r\nX-Y: z\r\ncontent-disposition : form-data; name="model"\r\n\r\ngpt\r\n--x--'), [
      'gpt',
    ]);
  });

  it('have exactly this name', () => {
    for (const name of ['Model', 'models', 'model ', 'a model', 'model[]', '']) {
      assert.deepEqual(fields(`${part(`form-data; name="${name}"`, 'gpt')}--x--`), [], name);
    }
    assert.deepEqual(fields(`${part('form-data; filename2=x; xname="model"', 'gpt')}--x--`), []);
    assert.deepEqual(fields('--x\r\nX-Name: model\r\n\r\ngpt\r\n--x--'), []);
    assert.deepEqual(fields('--x\r\n\r\ngpt\r\n--x--'), []);
  });

  it('are found behind a preamble, and none behind the last boundary', () => {
    assert.deepEqual(fields(`preamble --x\r\n${MODEL}--x--\r\n`), ['gpt']);
    assert.deepEqual(fields(`\r\n${MODEL}--x--\r\n${MODEL}--x--`), ['gpt']);
    assert.deepEqual(fields(`--x--\r\n${MODEL}`), []);
  });

  it('end with a line break of their own: not with the one that ends the headers', () => {
    // A name that is written there would run into the delimiter.
    assert.deepEqual(fields('--x\r\nContent-Disposition: form-data; name="model"\r\n\r\n--x--'), []);
    const head = '--x\r\nContent-Disposition: form-data; name="model"\r\n\r\n';
    assert.deepEqual(fields(`${head}--x\r\n\r\n--x--`), ['--x\r\n']);
  });

  it('begin behind the whole boundary, not behind one that begins like it', () => {
    assert.deepEqual(fields(MODEL.replace('--x', '--xy') + '--x--'), []);
    assert.deepEqual(fields(`--xy\r\n${MODEL}--x--`), ['gpt']);
    assert.deepEqual(fields(`${part('form-data; name="model"', 'a\r\n--xy')}${MODEL}--x--`), ['a', 'gpt']);
  });

  it('are of form data, and of nothing else', () => {
    for (const disposition of ['; name="model"', 'attachment; name="model"', 'form-database; name="model"']) {
      assert.deepEqual(fields(`${part(disposition, 'gpt')}--x--`), [], disposition);
    }
  });

  it('are found under a boundary with blanks and special characters', () => {
    const body = MODEL.replace('--x', "--a b'()+_,-./:=?");
    assert.deepEqual(fields(`${body}--a b'()+_,-./:=?--`, 'model', "a b'()+_,-./:=?"), ['gpt']);
  });

  it('are not found in a body that is cut', () => {
    const body = `${MODEL}--x--`;
    for (let length = 0; length < MODEL.length + 1; length += 1)
      assert.deepEqual(fields(body.slice(0, length)), [], String(length));
  });

  it('are not looked for behind headers that are longer than any', () => {
    const long = `X: ${'y'.repeat(8200)}\r\n`;
    assert.deepEqual(fields(`${part('form-data; name="model"', 'gpt', long)}--x--`), []);
  });

  it('are found in linear time in a large file', () => {
    const file = Buffer.concat([
      Buffer.from(part('form-data; name="file"; filename="f"', '').slice(0, -2)),
      Buffer.alloc(5_000_000, '\r\n--'),
      Buffer.from('\r\n'),
    ]);
    assert.deepEqual(fields(Buffer.concat([file, Buffer.from(`${MODEL}--x--`)])), ['gpt']);
  });
});

describe('multipart: against busboy', () => {
  const boundaryChar = fc.constantFrom(..."abz019'+_-./:=?".split(''));
  const boundary = fc.string({ unit: boundaryChar, minLength: 1, maxLength: 70 });
  const name = fc.constantFrom('model', 'stream', 'file', 'Model', 'prompt');
  const text = fc.array(fc.constantFrom('a', 'model', '\r', '\n', '\r\n', '-', '--', '"', 'ü', '😀', ' ', '\0'), {
    maxLength: 12,
  });

  it('finds the same values in any body', async () => {
    await fc.assert(
      fc.asyncProperty(
        boundary,
        fc.array(fc.record({ name, value: text, isFile: fc.boolean(), quoted: fc.boolean(), partial: fc.nat(70) }), {
          maxLength: 6,
        }),
        fc.constantFrom('', '\r\n', 'preamble\r\n'),
        fc.constantFrom('', '\r\n', '\r\nepilogue'),
        async (mark, parts, preamble, epilogue) => {
          const bodies = parts.map(
            ({ value, partial }) => `${value.join('')}\r\n--${mark.slice(0, partial % mark.length)}`,
          );
          // A value that has the whole delimiter is no value: no client would choose such a boundary.
          fc.pre(bodies.every((value) => !`\r\n${value}\r\n`.includes(`\r\n--${mark}`)));
          const written = parts.map((one, index) => {
            const field = one.quoted ? `"${one.name}"` : one.name;
            const filename = one.isFile ? '; filename="model"\r\nContent-Type: audio/wav' : '';
            return `--${mark}\r\nContent-Disposition: form-data; name=${field}${filename}\r\n\r\n${bodies[index]}\r\n`;
          });
          const body = Buffer.from(`${preamble}${written.join('')}--${mark}--${epilogue}`);
          const type = `multipart/form-data; boundary="${mark}"`;
          assert.equal(boundaryOf(type), mark);
          for (const wanted of ['model', 'stream']) {
            assert.deepEqual(fields(body, wanted, mark), await busboyFields(body, type, wanted));
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});
