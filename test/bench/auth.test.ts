import assert from 'node:assert/strict';
import { authTable, measureAuth, quickAuthPlan } from '../../bench/auth.ts';

describe('the bench of who calls', () => {
  it('times keys, tokens that were seen and new ones, each call, and makes a table of it', async () => {
    const figures = await measureAuth(quickAuthPlan);
    assert.deepEqual(
      figures.map(({ name, calls, aim }) => [name, calls, aim]),
      [
        ['a key, of one', 500, 30],
        ['a key, of 100', 500, 30],
        ['a token already seen', 500, 60],
        ['a new token', 20, undefined],
      ],
    );
    for (const { p50, p99 } of figures) assert.ok(p50 > 0 && p99 >= p50);
    assert.equal(authTable(figures).split('\n').length, 2 + figures.length + 1);
  });
});
