import assert from 'node:assert/strict';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { CROWD, LONG_TURN_MS, RELIEF_MS, TOLERATED_MS, TurnWatch, watchTurns } from '../../../app/src/proxy/turns.ts';

describe('turns of the event loop', () => {
  let watch: TurnWatch;
  let now: number;

  beforeEach(() => {
    watch = new TurnWatch();
    now = 5000;
  });

  /** So many requests are met, evenly over a turn of so many ms; says which of them were to be refused. */
  function turn(ms: number, requests = 2 * CROWD): boolean[] {
    const startedAt = now;
    const refused = Array.from({ length: requests }, (_, index) => {
      now = startedAt + (ms * index) / requests;
      watch.meet(now);
      return watch.isBehind(now);
    });
    now = startedAt + ms;
    watch.ended(now);
    return refused;
  }

  function pause(ms: number): void {
    now += ms;
  }

  /** Long turns for as long as they are tolerated. */
  function fallBehind(): void {
    const startedAt = now;
    while (now - startedAt < TOLERATED_MS) assert.deepEqual(new Set(turn(2 * LONG_TURN_MS)), new Set([false]));
  }

  it('tells which request is the first of a turn', () => {
    assert.deepEqual([watch.meet(0), watch.meet(1)], [true, false]);
    watch.ended(2);
    assert.deepEqual([watch.meet(3), watch.meet(4)], [true, false]);
  });

  it('refuses nobody while turns are short, however long that goes on', () => {
    for (let count = 0; count < 100; count += 1) assert.ok(!turn(LONG_TURN_MS - 1).includes(true));
  });

  it('lets a burst in: turns may be long for a second', fallBehind);

  it('refuses whoever is met late in a turn when turns have been long for a second, and nobody who is met early', () => {
    fallBehind();
    const refused = turn(4 * LONG_TURN_MS, 40);
    assert.deepEqual(
      refused,
      refused.map((_, index) => index >= 10 && index >= CROWD - 1),
    );
    assert.ok(refused.includes(true));
  });

  it('refuses whoever is met later than a second in a single turn', () => {
    const refused = turn(2 * TOLERATED_MS, 100);
    assert.deepEqual(
      refused,
      refused.map((_, index) => index >= 50),
    );
  });

  it('goes on with that after a short turn, and forgets it when none was long for half a second', () => {
    fallBehind();
    turn(LONG_TURN_MS / 2);
    assert.ok(turn(4 * LONG_TURN_MS).includes(true));
    pause(RELIEF_MS - 1);
    assert.ok(turn(4 * LONG_TURN_MS).includes(true));
    pause(RELIEF_MS);
    assert.ok(!turn(4 * LONG_TURN_MS).includes(true));
  });

  it('refuses nobody where few come: it is not for them that turns are long', () => {
    for (let count = 0; count < 20; count += 1) assert.ok(!turn(LONG_TURN_MS * 4, CROWD - 1).includes(true));
    fallBehind();
    assert.ok(!turn(LONG_TURN_MS * 4, CROWD - 1).includes(true));
  });

  it('ends a turn when all that had come for it has been served', async () => {
    let clock = 0;
    const isBehind = watchTurns(() => clock);
    function meetMany(): boolean {
      for (let count = 0; count < CROWD; count += 1) isBehind();
      clock += TOLERATED_MS;
      return isBehind();
    }
    assert.equal(meetMany(), true);
    await nextTurn();
    clock += RELIEF_MS;
    assert.equal(isBehind(), false);
    await nextTurn();
    // A turn that was not ended would be long by now.
    clock += LONG_TURN_MS;
    assert.equal(isBehind(), false);
  });
});
