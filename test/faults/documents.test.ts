import assert from 'node:assert/strict';
import { faultForms } from '../../simulator/scenario.ts';
import { newestResults, textOf } from '../support/sources.ts';
import { faultTables } from './documents.ts';
import { plays } from './plays/all.ts';
import { readResults } from './results.ts';
import { backendRows } from './rows/backends.ts';
import { switchOffs } from './switch-offs.ts';

describe('the scorecard of faults', () => {
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
    const { results } = readResults(textOf(newestResults(faultTables.ending)));
    const seen = results.filter(({ contender }) => contender === 'balancer').map(({ row }) => row);
    assert.deepEqual(seen, names, 'run npm run test:faults -- --peers nginx,litellm --out FILE');
  });
});
