import assert from 'node:assert/strict';
import { affinityOf } from '../../../app/src/balancer/affinity.ts';
import type { Backend } from '../../../app/src/balancer/backend.ts';
import { backend } from '../../support/pool.ts';

const KEYS = Array.from({ length: 3000 }, (_, n) => `prefix ${n}`);

function homeOf(key: string, backends: readonly Backend[]): string | undefined {
  return backends.toSorted((a, b) => affinityOf(key, b) - affinityOf(key, a))[0]?.name;
}

function shares(backends: readonly Backend[]): readonly number[] {
  return backends.map(({ name }) => KEYS.filter((key) => homeOf(key, backends) === name).length / KEYS.length);
}

describe('affinity', () => {
  const THREE = [backend('a'), backend('b'), backend('c')];

  it('is always the same for a key and a backend, a number above 0', () => {
    for (const key of ['', 'k', ...KEYS.slice(0, 100)]) {
      const value = affinityOf(key, backend('a'));
      assert.ok(value > 0 && Number.isFinite(value), key);
      assert.equal(affinityOf(key, backend('a', { origin: 'https://elsewhere.example' })), value);
    }
  });

  it('gives each backend about as many keys as others of its weight', () => {
    for (const share of shares(THREE)) assert.ok(Math.abs(share - 1 / 3) < 0.04, String(share));
  });

  it('gives a backend of three times the weight about three times the keys', () => {
    const [light, heavy] = shares([backend('a'), backend('b', { weight: 3 })]);
    assert.ok(light !== undefined && Math.abs(light - 0.25) < 0.04, String(light));
    assert.ok(heavy !== undefined && Math.abs(heavy - 0.75) < 0.04, String(heavy));
  });

  it('moves the keys of one that is away, evenly, and no other', () => {
    const rest = THREE.slice(1);
    let moved = 0;
    let toB = 0;
    for (const key of KEYS) {
      const before = homeOf(key, THREE);
      const after = homeOf(key, rest);
      if (before === 'a') {
        moved += 1;
        if (after === 'b') toB += 1;
      } else assert.equal(after, before);
    }
    assert.ok(Math.abs(toB / moved - 0.5) < 0.06, `${toB} of ${moved}`);
  });
});
