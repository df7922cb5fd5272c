import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { Latencies } from '../../../app/src/telemetry/latencies.ts';

const NOW = 1_780_000_000_000;

describe('latencies', () => {
  it('are unknown where nothing was', () => {
    assert.equal(new Latencies().percentiles(NOW), undefined);
  });

  it('are right within ten percent, whatever they are', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 1, max: 600_000, noNaN: true }), { minLength: 1, maxLength: 200 }),
        (all) => {
          const latencies = new Latencies();
          for (const ms of all) latencies.add(ms, NOW);
          const sorted = all.toSorted((a, b) => a - b);
          const exact = (share: number): number => sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? 0;
          const { count, p50Ms, p95Ms } = latencies.percentiles(NOW) ?? { count: 0, p50Ms: 0, p95Ms: 0 };
          assert.equal(count, all.length);
          assert.ok(Math.abs(p50Ms / exact(0.5) - 1) < 0.1, `${p50Ms} for ${exact(0.5)}`);
          assert.ok(Math.abs(p95Ms / exact(0.95) - 1) < 0.1, `${p95Ms} for ${exact(0.95)}`);
        },
      ),
    );
  });

  it('take what is shorter than a millisecond and longer than a quarter of an hour as that', () => {
    const latencies = new Latencies();
    latencies.add(0, NOW);
    assert.equal(latencies.percentiles(NOW)?.p50Ms, 1);
    latencies.add(1e12, NOW);
    assert.ok((latencies.percentiles(NOW)?.p95Ms ?? 0) > 900_000);
  });

  it('forget what was a quarter of an hour ago, and nothing of the last ten minutes', () => {
    const latencies = new Latencies();
    latencies.add(100, NOW);
    latencies.add(100, NOW + 600_000 - 1);
    assert.equal(latencies.percentiles(NOW + 600_000 - 1)?.count, 2);
    assert.equal(latencies.percentiles(NOW + 900_000)?.count, 1);
    assert.equal(latencies.percentiles(NOW + 9_000_000), undefined);
  });
});
