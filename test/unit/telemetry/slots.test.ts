import assert from 'node:assert/strict';
import { slotOf, SLOT_MS, SLOTS, Slots } from '../../../app/src/telemetry/slots.ts';

const NOW = 178_000_000;

describe('slots', () => {
  it('are of ten seconds, ninety of them: fifteen minutes', () => {
    assert.equal(SLOT_MS * SLOTS, 15 * 60_000);
    assert.deepEqual([slotOf(0), slotOf(9999), slotOf(10_000)], [0, 0, 1]);
  });

  it('keep columns apart and add up', () => {
    const slots = new Slots(2);
    slots.add(0, NOW, 1);
    slots.add(0, NOW, 2);
    slots.add(1, NOW, 40);
    slots.add(0, NOW - 1, 4); // Late, but not too late.
    assert.deepEqual([slots.get(0, NOW), slots.get(1, NOW), slots.get(0, NOW - 1)], [3, 40, 4]);
    assert.deepEqual([slots.sum(0, NOW), slots.sum(0, NOW, 1), slots.sum(1, NOW)], [7, 3, 40]);
  });

  it('forget what is a quarter of an hour old, also when nothing was added in between', () => {
    const slots = new Slots(1);
    slots.add(0, NOW, 5);
    assert.equal(slots.sum(0, NOW + SLOTS - 1), 5);
    assert.equal(slots.sum(0, NOW + SLOTS), 0);
    slots.add(0, NOW + SLOTS, 1);
    assert.equal(slots.get(0, NOW + SLOTS), 1);
    slots.add(0, NOW + 10 * SLOTS + 3, 7);
    assert.equal(slots.sum(0, NOW + 10 * SLOTS + 3), 7);
  });

  it('take nothing that is too old: it would count as of today', () => {
    const slots = new Slots(1);
    slots.add(0, NOW, 5);
    slots.add(0, NOW - SLOTS, 100);
    assert.equal(slots.sum(0, NOW), 5);
    assert.equal(slots.get(0, NOW - SLOTS), 0);
  });
});
