import assert from 'node:assert/strict';
import { Sends } from '../../../app/src/balancer/sends.ts';

function sendsAt(...times: readonly number[]): Sends {
  const sends = new Sends();
  for (const [index, at] of times.entries()) {
    // Numbers have gaps: other deployments are asked too.
    sends.add({ seq: index * 2 + 1, at, tokens: 10, openTokens: 0, isRefused: false });
  }
  return sends;
}

const numbers = (list: Iterable<{ readonly seq: number }>): readonly number[] => [...list].map(({ seq }) => seq);

describe('sends', () => {
  it('are found by their number, and only by theirs', () => {
    const sends = sendsAt(100, 200, 300);
    assert.equal(sends.find(3)?.at, 200);
    for (const seq of [0, 2, 6, 7]) assert.equal(sends.find(seq), undefined, String(seq));
  });

  it('are those after one, up to another', () => {
    const sends = sendsAt(100, 200, 300, 400);
    assert.deepEqual(numbers(sends.between(1)), [3, 5, 7]);
    assert.deepEqual(numbers(sends.between(1, 5)), [3, 5]);
    assert.deepEqual(numbers(sends.between(2, 4)), [3]);
    assert.deepEqual(numbers(sends.between(7)), []);
  });

  it('are those since a time, that very millisecond included', () => {
    const sends = sendsAt(100, 200, 300);
    assert.deepEqual(numbers(sends.since(200)), [3, 5]);
    assert.deepEqual(numbers(sends.since(301)), []);
    assert.deepEqual(numbers(sends.since(0)), [1, 3, 5]);
  });

  it('are those during a while, without its beginning and with its end', () => {
    const sends = sendsAt(100, 200, 300, 400);
    assert.deepEqual(numbers(sends.during(100, 300)), [3, 5]);
    assert.deepEqual(numbers(sends.during(400, 500)), []);
  });

  it('are forgotten from the oldest on, when they are many', () => {
    const sends = sendsAt(...Array.from({ length: 100 }, (_, n) => n));
    sends.forgetBefore(20);
    assert.equal(numbers(sends.since(0)).length, 100);
    sends.forgetBefore(80);
    assert.deepEqual(numbers(sends.since(0)), numbers(sends.since(80)));
    assert.equal(numbers(sends.since(0)).length, 20);
  });
});
