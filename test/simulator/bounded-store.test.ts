// How much a resource keeps, and the pages in which it lists it.

import assert from 'node:assert/strict';
import { BoundedStore, MAX_BYTES, MAX_OBJECTS, page } from '../../simulator/kept/bounded-store.ts';

function idsIn(store: BoundedStore<number>): readonly string[] {
  return [...store.entries()].map(([id]) => id);
}

describe('bounded store', () => {
  it('forgets the oldest when there are too many', () => {
    const store = new BoundedStore<number>();
    for (let at = 0; at < MAX_OBJECTS + 2; at += 1) {
      store.add(`id-${at}`, at, 1);
    }
    assert.equal(idsIn(store).length, MAX_OBJECTS);
    assert.equal(store.get('id-1'), undefined);
    assert.equal(store.get('id-2'), 2);
  });

  it('forgets the oldest when they are too large together', () => {
    const store = new BoundedStore<number>();
    store.add('one', 1, MAX_BYTES / 2);
    store.add('two', 2, MAX_BYTES / 2);
    assert.deepEqual(idsIn(store), ['one', 'two']);
    store.add('three', 3, 1);
    assert.deepEqual(idsIn(store), ['two', 'three']);
  });

  it('keeps the newest whatever its size', () => {
    const store = new BoundedStore<number>();
    store.add('one', 1, 1);
    store.add('two', 2, MAX_BYTES + 1);
    assert.deepEqual(idsIn(store), ['two']);
  });

  it('counts what was deleted no longer', () => {
    const store = new BoundedStore<number>();
    store.add('one', 1, MAX_BYTES);
    assert.equal(store.delete('one'), true);
    assert.equal(store.delete('one'), false);
    store.add('two', 2, 1);
    store.add('three', 3, MAX_BYTES - 1);
    assert.deepEqual(idsIn(store), ['two', 'three']);
  });
});

describe('page of a list', () => {
  const all = ['a', 'b', 'c'].map((id) => ({ id, text: `"${id}"` }));
  const expected: readonly (readonly [string, readonly string[], boolean])[] = [
    ['', ['c', 'b', 'a'], false],
    ['order=asc', ['a', 'b', 'c'], false],
    ['limit=2', ['c', 'b'], true],
    ['limit=2&after=b', ['a'], false],
    ['order=asc&after=a&limit=1', ['b'], true],
    ['after=x', [], false],
    ['limit=0', ['c', 'b', 'a'], false],
    ['limit=x', ['c', 'b', 'a'], false],
  ];
  for (const [query, data, hasMore] of expected) {
    it(`has ${data.join(', ') || 'nothing'} for "${query}"`, () => {
      assert.deepEqual(JSON.parse(page(all, new URLSearchParams(query))), {
        object: 'list',
        data,
        first_id: data.at(0) ?? null,
        last_id: data.at(-1) ?? null,
        has_more: hasMore,
      });
    });
  }
});
