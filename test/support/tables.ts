/** Tables of our documents, for tests that compare them with the code. */
import assert from 'node:assert/strict';
import { textOf } from './sources.ts';

/** What docs call nothing: no default. */
export const NONE = '–';

/** The rows of all tables of a document whose first heading is this one; cells trimmed. */
export function rowsOf(path: string, heading: string): readonly (readonly string[])[] {
  const rows: string[][] = [];
  let isWanted = false;
  let isInTable = false;
  for (const line of textOf(path).split('\n')) {
    const cells = line.startsWith('|') ? cellsOf(line) : [];
    if (cells.length === 0) {
      isInTable = false;
    } else if (!isInTable) {
      isInTable = true;
      isWanted = cells[0]?.toLowerCase() === heading;
    } else if (isWanted && !/^:?-+:?$/.test(cells[0] ?? '')) {
      rows.push(cells);
    }
  }
  assert.ok(rows.length > 0, `${path} has no table whose first column is called "${heading}"`);
  return rows;
}

function cellsOf(line: string): string[] {
  return line
    .replace(/^\||\|\s*$/g, '')
    .split(/(?<!\\)\|/)
    .map((cell) => cell.trim());
}

/** The names in backticks of a table's first column; every row must have one at least. */
export function namesIn(path: string, heading: string): readonly string[] {
  return rowsOf(path, heading).flatMap(([first = '']) => {
    const names = inBackticks(first);
    assert.ok(names.length > 0, `${path}: no name in backticks in the row "${first}"`);
    return names;
  });
}

export function inBackticks(text: string): readonly string[] {
  return [...text.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name);
}

/** Compares both ways, and says which side lacks what. */
export function assertSame(documented: readonly string[], inCode: readonly string[], where: string): void {
  const missing = inCode.filter((name) => !documented.includes(name));
  const unknown = documented.filter((name) => !inCode.includes(name));
  const repeated = documented.filter((name, index) => documented.indexOf(name) !== index);
  assert.deepEqual({ missing, unknown, repeated }, { missing: [], unknown: [], repeated: [] }, `in ${where}`);
}
