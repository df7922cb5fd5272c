import assert from 'node:assert/strict';
import { FirstContentLimit } from '../../../app/src/proxy/first-content.ts';
import { useManualTimers, type ManualTimers } from '../../support/manual-timers.ts';

describe('the time to a first content', () => {
  let timers: ManualTimers;
  let hasOther: boolean;
  beforeEach(() => {
    timers = useManualTimers();
    hasOther = true;
  });
  afterEach(() => timers.restore());

  /** Time passes, and what falls due then has its turn. */
  async function pass(ms: number): Promise<void> {
    timers.advance(ms);
    await new Promise((resolve) => setImmediate(resolve));
  }

  it('is over after so long, once, where another can be asked then', async () => {
    const limit = new FirstContentLimit(5000, () => hasOther);
    await pass(4999);
    assert.equal(limit.signal.aborted, false);
    await pass(1);
    assert.equal(limit.signal.aborted, true);
    assert.equal(timers.pending, 0);
  });

  it('goes on while nobody else can be asked, and is over within a second of when somebody can', async () => {
    const limit = new FirstContentLimit(5000, () => hasOther);
    hasOther = false;
    await pass(5000);
    for (let seconds = 0; seconds < 20; seconds += 1) await pass(1000);
    assert.equal(limit.signal.aborted, false);
    hasOther = true;
    await pass(999);
    assert.equal(limit.signal.aborted, false);
    await pass(1);
    assert.equal(limit.signal.aborted, true);
    assert.equal(timers.pending, 0);
  });

  it('looks again after as long as it is, where that is less than a second', async () => {
    const limit = new FirstContentLimit(300, () => hasOther);
    hasOther = false;
    await pass(300);
    hasOther = true;
    await pass(299);
    assert.equal(limit.signal.aborted, false);
    await pass(1);
    assert.equal(limit.signal.aborted, true);
  });

  it('leaves nothing behind when it is not needed any more, whether or not it was looked at again', async () => {
    const [fresh, old] = [new FirstContentLimit(5000, () => hasOther), new FirstContentLimit(1000, () => false)];
    await pass(1000);
    fresh.cancel();
    old.cancel();
    assert.equal(timers.pending, 0);
    await pass(60_000);
    assert.deepEqual([fresh.signal.aborted, old.signal.aborted], [false, false]);
  });
});
