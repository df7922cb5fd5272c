import assert from 'node:assert/strict';
import { arenaTables } from '../../bench/arena/summary.ts';
import { sourceOf, withTables } from '../../bench/document-tables.ts';
import { liveQuotaTables } from '../../bench/live-quota/report.ts';
import { provisionedTables } from '../../bench/provisioned/report.ts';
import { benchTables } from '../../bench/readme-tables.ts';
import { soakTables } from '../../bench/soak/report.ts';
import { telemetryTables } from '../../bench/telemetry/report.ts';
import { faultTables } from '../faults/documents.ts';
import { fuzzTables } from '../fuzz/results.ts';
import { newestResults, textOf } from '../support/sources.ts';

for (const tables of [
  benchTables,
  soakTables,
  telemetryTables,
  arenaTables,
  provisionedTables,
  liveQuotaTables,
  faultTables,
  fuzzTables,
]) {
  describe(`the figures in a document: ${tables.name}`, () => {
    for (const document of Object.keys(tables.documents)) {
      it(`are those of the newest results file, as the run writes them: ${document}`, () => {
        const text = textOf(document);
        const source = sourceOf(tables, text);
        assert.equal(source, newestResults(tables.ending));
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
        assert.throws(
          () => withTables(tables, document, '# Title\n', newestResults(tables.ending)),
          /has no place for the/,
        );
      });
    }
  });
}
