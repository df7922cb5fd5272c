/** Waiting for what no event tells: turns of the event loop, never a guessed time. */
import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';

const PATIENCE_MS = 10_000;

/** Turns the event loop until the claim holds. */
export async function until(claim: () => boolean): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (!claim()) {
    assert.ok(performance.now() < deadline, `never came true: ${String(claim)}`);
    await setImmediate();
  }
}

/** Turns the event loop until this number has stood still for so many turns. */
export async function untilStill(read: () => number, turns = 2000): Promise<number> {
  const deadline = performance.now() + PATIENCE_MS;
  let last = read();
  for (let still = 0; still < turns; still += 1) {
    await setImmediate();
    const now = read();
    if (now !== last) still = 0;
    last = now;
    assert.ok(performance.now() < deadline, `never stood still: ${String(read)}`);
  }
  return last;
}
