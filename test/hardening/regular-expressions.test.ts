import assert from 'node:assert/strict';
import { analyse } from 'scslre';
import { expressionsIn, type FoundExpressions, type RegularExpression } from '../support/regular-expressions.ts';
import { codeOf, sourcesUnder, textOf } from '../support/sources.ts';

/** So many there are at the least: a reader that finds none finds no fault either. */
const LEAST = 40;

/** Code that is planted, to see that what is bad in it is found. */
const SLOW = {
  'goes back twice for each character': ['Self', 'const a = /^(?:x+)+$/;'],
  'has two parts that take the same': [
    'Trade',
    String.raw`export const b = (t: string) => t.replace(/^\s*(\w*\s*)*$/u, '');`,
  ],
  'has neighbours that take the same, in a text': ['Trade', String.raw`const c = new RegExp('^\\d+\\d+$', 'i');`],
  'begins anew at every blank': ['Move', String.raw`const d = (t: string) => t.split(/[ \t]+$/m);`],
  'is put together': ['Self', 'const part = "a|b"; const e = RegExp(String.raw`^(?:(?:${part})+c?)+$`);'],
  'is a text that is matched': ['Self', 'const f = (t: string) => t.match("(x+)*y");'],
} as const;
const UNKNOWN = [
  'export const a = (part: string) => new RegExp(part);',
  "export const b = (part: string) => RegExp(`^${part}$`, 'i');",
  "export const c = (flags: string) => new RegExp('x', flags);",
  'export const d = (text: string, part: string) => text.search(part);',
  'export const e = (flags: string) => new globalThis.RegExp(/x/, flags);',
];
const LOOKALIKES = [
  "const text = '/a+b/'; // /c+d/",
  '/* /e+f/ */ const half = 4 / 2 / 1;',
  'const inside = `${/g/.test(text) ? `${half / 2}/h/` : /i[/]j\\//u.source}`;',
  'export const k = (n: number): boolean => { return /k/.test(inside) && n++ / 2 > 1 / n; };',
  'if (half) /l/.test(text);',
];

/**
 * How the time of an expression can grow faster than the text that it looks at. Strangers choose those texts.
 * Trade, Self: by going back. Move: by beginning anew at every character. It is assumed that a text can end so that the
 * expression fails, although the analysis may not see how.
 */
function slowness({ path, source, flags }: RegularExpression): readonly string[] {
  const { reports } = analyse({ source, flags }, { assumeRejectingSuffix: true });
  return reports.map(({ type, character }) => `${path}: /${source}/${flags} ${type} ${character.pick}`);
}

describe('a regular expression of app/src', () => {
  const paths = sourcesUnder('app/src');
  let all: FoundExpressions;
  let ours: readonly RegularExpression[];
  before(() => {
    const planted = Object.entries(SLOW).map(([how, [, code]]): [string, string] => [`${how}.ts`, code]);
    all = expressionsIn(
      new Map([
        ...paths.map((path): [string, string] => [path, textOf(path)]),
        ...planted,
        ['unknown.ts', UNKNOWN.join('\n')],
        ['lookalikes.ts', LOOKALIKES.join('\n')],
      ]),
    );
    ours = of('app/src/');
  });

  function of(path: string): readonly RegularExpression[] {
    return all.expressions.filter((expression) => expression.path.startsWith(path));
  }

  it('takes time in proportion to the text, whatever a stranger writes', () => {
    assert.deepEqual(ours.flatMap(slowness), []);
  });

  it('is known before anything runs, so that it can be looked at', () => {
    assert.deepEqual(
      all.unreadable.filter((code) => code.startsWith('app/')),
      [],
    );
  });

  it('is found wherever one stands: at least in as many lines as look like one', () => {
    const looksLikeOne = /(?:[(=:!?|[]|&&|return) ?\/(?![/*])\S.*\/[a-z]*\s*[.,;)\]]|\bRegExp\(/;
    for (const path of paths) {
      const lines = codeOf(path)
        .split('\n')
        .filter((line) => looksLikeOne.test(line));
      assert.ok(of(path).length >= lines.length, `${path}: ${of(path).length} were read of\n${lines.join('\n')}`);
    }
    assert.ok(ours.length >= LEAST, `only ${ours.length} in app/src`);
    const dates = ours.filter(({ source }) => source.includes('jan|feb|mar'));
    assert.deepEqual(
      dates.map(({ path, flags }) => [path, flags]),
      [['app/src/balancer/retry-after.ts', 'i']],
    );
    assert.match('Wed, 21 Oct 2026 07:28:00 GMT', new RegExp(dates[0]?.source ?? '', dates[0]?.flags));
  });

  for (const [how, [type]] of Object.entries(SLOW)) {
    it(`would be found out that ${how}`, () => {
      const told = of(`${how}.ts`).flatMap(slowness);
      assert.ok(
        told.some((text) => text.includes(` ${type} `)),
        told.join('\n'),
      );
      assert.equal(of(`${how}.ts`).length, 1);
    });
  }

  it('would be found out that is made of what is known only when it runs', () => {
    assert.deepEqual(
      of('unknown.ts').map(({ source }) => source),
      ['x'],
    );
    assert.deepEqual(
      all.unreadable.filter((code) => code.startsWith('unknown.ts')),
      [
        'unknown.ts: new RegExp(part)',
        "unknown.ts: RegExp(`^${part}$`, 'i')",
        "unknown.ts: new RegExp('x', flags)",
        'unknown.ts: text.search(part)',
        'unknown.ts: new globalThis.RegExp(/x/, flags)',
      ],
    );
  });

  it('is told from what only looks like one', () => {
    assert.deepEqual(
      of('lookalikes.ts').map(({ source, flags }) => `/${source}/${flags}`),
      ['/g/', '/i[/]j\\//u', '/k/', '/l/'],
    );
  });

  it('is never looked for in what is not TypeScript', () => {
    assert.throws(() => expressionsIn(new Map([['broken.ts', 'const a = /x']])), /broken\.ts is not TypeScript/);
  });
});
