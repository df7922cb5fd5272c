import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { faultForms } from '../../simulator/scenario.ts';
import { textOf } from '../support/sources.ts';
import { faultDocuments, faultsSource, withFaults } from './documents.ts';
import { plays } from './plays/all.ts';
import { readResults } from './results.ts';
import { backendRows } from './rows/backends.ts';
import { switchOffs } from './switch-offs.ts';

const RESULTS = new URL('../../bench/results/', import.meta.url);

describe('the scorecard of faults', () => {
  const newest = readdirSync(RESULTS)
    .filter((name) => name.endsWith('-faults.json'))
    .toSorted()
    .at(-1);
  const names = [...backendRows, ...plays].map(({ name }) => name);

  it('has every row once', () => {
    assert.equal(new Set(names).size, names.length);
  });

  it('has every fault that a resource can be told to have', () => {
    const kinds = backendRows.flatMap(({ order }) =>
      order.map((trouble) => (trouble === 'down' ? trouble : trouble.kind)),
    );
    // What a kept connection needs is a play: plays/time.ts.
    const missing = Object.keys(faultForms).filter((kind) => kind !== 'stale' && !kinds.some((each) => each === kind));
    assert.deepEqual(missing, []);
  });

  it('switches off mechanisms of rows that there are', () => {
    for (const { row } of switchOffs) assert.ok(names.includes(row), row);
  });

  it('was written down with the rows that there are', () => {
    const { results } = readResults(new URL(String(newest), RESULTS));
    const seen = results.filter(({ contender }) => contender === 'balancer').map(({ row }) => row);
    assert.deepEqual(seen, names, 'run npm run test:faults -- --peers nginx,litellm --out FILE');
  });

  for (const document of faultDocuments) {
    it(`is in a document as in the newest results file: ${document}`, () => {
      const text = textOf(document);
      const source = faultsSource(text) ?? '';
      assert.equal(source, `bench/results/${newest}`);
      assert.equal(withFaults(document, text, source), text, `run npm run test:faults -- --readme ${source}`);
    });
  }

  it('has no place in a document without the comment lines', () => {
    assert.throws(() => withFaults('README.md', '# Title\n', `bench/results/${newest}`), /no place for faults/);
  });
});
