import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { documents, tablesSource, withTables } from '../../bench/readme-tables.ts';
import { arenaDocuments, arenaSource, withArena } from '../../bench/arena/summary.ts';
import { textOf } from '../support/sources.ts';

const RESULTS = new URL('../../bench/results/', import.meta.url);

describe('the figures in a document', () => {
  const newest = readdirSync(RESULTS)
    .filter((name) => /^\d{4}-\d\d-\d\d\.json$/.test(name))
    .toSorted()
    .at(-1);

  for (const document of documents) {
    it(`are those of the newest results file, as the bench writes them: ${document}`, () => {
      const text = textOf(document);
      const source = tablesSource(text);
      assert.equal(source, `bench/results/${newest}`);
      assert.equal(withTables(document, text, source), text, `run npm run bench -- --readme ${source}`);
    });

    it(`are replaced, and nothing else of ${document}`, () => {
      const text = textOf(document);
      const source = tablesSource(text) ?? '';
      const lines = text.split('\n');
      const begin = lines.findIndex((line) => tablesSource(line) !== undefined);
      const broken = [...lines.slice(0, begin + 1), '| a figure that somebody typed |', ...lines.slice(begin + 1)];
      assert.equal(withTables(document, broken.join('\n'), source), text);
    });
  }

  it('have no place in a document without the comment lines', () => {
    assert.throws(() => withTables('README.md', '# Title\n', `bench/results/${newest}`), /has no place for tables/);
  });
});

describe('the figures of the arena in a document', () => {
  for (const document of arenaDocuments) {
    it(`are those of the newest results file: ${document}`, () => {
      const newest = readdirSync(RESULTS)
        .filter((name) => name.endsWith('-arena.json'))
        .toSorted()
        .at(-1);
      const text = textOf(document);
      const source = arenaSource(text) ?? '';
      assert.equal(source, `bench/results/${newest}`);
      assert.equal(withArena(text, source), text, `run npm run bench:arena -- --readme ${source}`);
    });
  }

  it('have no place in a document without the comment lines', () => {
    assert.throws(() => withArena('# Title\n', 'bench/results/x.json'), /no place for the arena/);
  });
});
