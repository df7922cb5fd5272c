import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { arenaTables } from '../../bench/arena/summary.ts';
import { sourceOf, withTables, type DocumentTables } from '../../bench/document-tables.ts';
import { liveQuotaTables } from '../../bench/live-quota/report.ts';
import { provisionedTables } from '../../bench/provisioned/report.ts';
import { benchTables } from '../../bench/readme-tables.ts';
import { textOf } from '../support/sources.ts';

const RESULTS = readdirSync(new URL('../../bench/results/', import.meta.url)).toSorted();

function newestOf({ ending }: DocumentTables): string {
  const newest = RESULTS.findLast((name) => name.slice('2026-11-22'.length) === ending);
  return `bench/results/${newest ?? 'none'}`;
}

for (const tables of [benchTables, arenaTables, provisionedTables, liveQuotaTables]) {
  describe(`the figures in a document: ${tables.name}`, () => {
    for (const document of Object.keys(tables.documents)) {
      it(`are those of the newest results file, as the run writes them: ${document}`, () => {
        const text = textOf(document);
        const source = sourceOf(tables, text);
        assert.equal(source, newestOf(tables));
        assert.equal(withTables(tables, document, text, source), text, `run ${tables.command} ${source}`);
      });

      it(`are replaced, and nothing else of ${document}`, () => {
        const text = textOf(document);
        const source = sourceOf(tables, text) ?? '';
        const lines = text.split('\n');
        const begin = lines.findIndex((line) => sourceOf(tables, line) !== undefined);
        const broken = [...lines.slice(0, begin + 1), '| a figure that somebody typed |', ...lines.slice(begin + 1)];
        assert.equal(withTables(tables, document, broken.join('\n'), source), text);
      });

      it(`have no place in ${document} without the comment lines`, () => {
        assert.throws(() => withTables(tables, document, '# Title\n', newestOf(tables)), /has no place for the/);
      });
    }
  });
}
