import assert from 'node:assert/strict';
import { isCrowded, isForgotten, onWaitedInVain, type Crowding } from '../../../app/src/balancer/crowding.ts';

const NOW = 4000;

describe('crowding', () => {
  it('is none where nobody waited in vain', () => {
    assert.equal(isCrowded(undefined, NOW), false);
  });

  it('lasts a second after somebody waited in vain, to the millisecond', () => {
    const state = onWaitedInVain(undefined, NOW);
    assert.deepEqual(state, { until: NOW + 1000, times: 1 });
    assert.equal(isCrowded(state, NOW + 999), true);
    assert.equal(isCrowded(state, NOW + 1000), false);
  });

  it('is not made longer by those who came before it was known', () => {
    const state = onWaitedInVain(undefined, NOW);
    assert.equal(onWaitedInVain(state, NOW + 999), state);
  });

  it('doubles as long as it happens again, up to eight seconds', () => {
    let state: Crowding | undefined;
    let now = NOW;
    for (const [index, seconds] of [1, 2, 4, 8, 8, 8].entries()) {
      state = onWaitedInVain(state, now);
      assert.deepEqual(state, { until: now + seconds * 1000, times: index + 1 });
      now = state.until + seconds * 1000 - 1;
    }
  });

  it('begins anew after a quiet time as long as the last one was', () => {
    const twice = onWaitedInVain(onWaitedInVain(undefined, NOW), NOW + 1000);
    const quietAt = twice.until + 2000;
    assert.equal(isForgotten(twice, quietAt - 1), false);
    assert.equal(isForgotten(twice, quietAt), true);
    assert.deepEqual(onWaitedInVain(twice, quietAt), { until: quietAt + 1000, times: 1 });
  });
});
