// Holds simulator/README.md to the code and the tests: every fault is listed, and every row of its tables names tests
// that exist.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { faultForms } from '../../simulator/scenario.ts';

const readme = readFileSync(new URL('../../simulator/README.md', import.meta.url), 'utf8');

interface Row {
  readonly name: string;
  /** The cell of the last column. */
  readonly tests: string;
}

/** The rows of the tables whose last column is `Test`, by the table's first column. */
function rowsOf(tableName: string): readonly Row[] {
  const tables = readme.matchAll(/^(\|.*\|)\n\|[-|]+\|\n((?:\|.*\|\n)+)/gm);
  return [...tables]
    .filter(([, head = '']) => cellsOf(head)[0] === tableName)
    .flatMap(([, head = '', body = '']) => {
      const columns = cellsOf(head);
      assert.equal(columns.at(-1), 'Test');
      return body
        .trimEnd()
        .split('\n')
        .map((line) => {
          const cells = cellsOf(line);
          assert.equal(cells.length, columns.length, `not as many cells as the head has: ${line}`);
          return { name: cells[0] ?? '', tests: cells.at(-1) ?? '' };
        });
    });
}

function cellsOf(line: string): readonly string[] {
  return line
    .slice(1, -1)
    .split(/(?<!\\)\|/)
    .map((cell) => cell.trim());
}

/** `file: "title", "title"; file: "title"` as pairs of a file and a part of a title; throws when it is written otherwise. */
function testsIn(cell: string): readonly (readonly [string, string])[] {
  return cell.split('; ').flatMap((part) => {
    const [, file = '', titles = ''] = /^([\w-]+): ("[^"]+"(?:, "[^"]+")*)$/.exec(part) ?? [];
    assert.notEqual(file, '', `not written as file: "title", "title": ${part}`);
    return [...titles.matchAll(/"([^"]+)"/g)].map((match) => [file, match[1] ?? ''] as const);
  });
}

/** The titles of a file's tests as its source has them, those of loops with their `${…}`. */
function titlesIn(file: string): readonly string[] {
  const url = new URL(`./${file}.test.ts`, import.meta.url);
  assert.ok(existsSync(url), `no such file: ${file}.test.ts`);
  const source = readFileSync(url, 'utf8');
  return [...source.matchAll(/^ *it\(\s*(['"`])(.*?)\1,/gm)].map((match) => match[2] ?? '');
}

/** Either the whole title of one test, or a part of the title of just one. */
function namesOne(titles: readonly string[], text: string): boolean {
  return (
    titles.filter((title) => title === text).length === 1 || titles.filter((title) => title.includes(text)).length === 1
  );
}

describe('simulator/README.md', () => {
  it('lists every fault as it is written on the command line, and no other', () => {
    const listed = rowsOf('Fault').map(({ name }) => name.slice(1, -1).replaceAll('\\|', '|'));
    assert.deepEqual(listed.sort(), Object.values(faultForms).sort());
  });

  for (const [table, fewest] of [
    ['Behaviour', 50],
    ['Fault', 20],
    ['Request', 6],
  ] as const) {
    it(`names for each ${table} tests that there are`, () => {
      const rows = rowsOf(table);
      assert.ok(rows.length >= fewest, `only ${rows.length} rows`);
      const missing = rows.flatMap(({ name, tests }) =>
        testsIn(tests)
          .filter(([file, title]) => !namesOne(titlesIn(file), title))
          .map(([file, title]) => `${file}.test.ts has not just one test "${title}", which is to assert: ${name}`),
      );
      assert.deepEqual(missing, []);
    });
  }
});
