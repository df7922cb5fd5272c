/**
 * How long things took over the last ten to fifteen minutes: a histogram whose bins grow by a twelfth, so that a
 * percentile is right within some percent, in constant memory. Three windows of five minutes take turns.
 */

const WINDOW_MS = 300_000;
const WINDOWS = 3;
const BINS_AN_OCTAVE = 8;
/** Up to 2^20 ms, which is a quarter of an hour. */
const BINS = 20 * BINS_AN_OCTAVE;

export interface Percentiles {
  readonly count: number;
  readonly p50Ms: number;
  readonly p95Ms: number;
}

export class Latencies {
  private readonly bins = new Uint32Array(WINDOWS * BINS);
  private latest = 0;

  add(ms: number, wallMs: number): void {
    const window = Math.floor(wallMs / WINDOW_MS);
    if (window > this.latest) this.advance(window);
    const bin = Math.min(BINS - 1, Math.floor(Math.log2(Math.max(1, ms)) * BINS_AN_OCTAVE));
    const at = (window % WINDOWS) * BINS + bin;
    this.bins[at] = (this.bins[at] ?? 0) + 1;
  }

  /** Undefined when nothing was. */
  percentiles(wallMs: number): Percentiles | undefined {
    const window = Math.floor(wallMs / WINDOW_MS);
    if (window > this.latest) this.advance(window);
    const merged = new Uint32Array(BINS);
    let count = 0;
    for (const [at, times] of this.bins.entries()) {
      merged[at % BINS] = (merged[at % BINS] ?? 0) + times;
      count += times;
    }
    return count === 0 ? undefined : { count, p50Ms: rank(merged, count * 0.5), p95Ms: rank(merged, count * 0.95) };
  }

  private advance(window: number): void {
    const first = Math.max(this.latest + 1, window - WINDOWS + 1);
    for (let each = first; each <= window; each += 1) {
      const from = (each % WINDOWS) * BINS;
      this.bins.fill(0, from, from + BINS);
    }
    this.latest = window;
  }
}

/** The middle of the bin that holds the one of this rank, with two digits: no more of them are known. */
function rank(bins: Uint32Array, wanted: number): number {
  let seen = 0;
  const bin = bins.findIndex((times) => {
    seen += times;
    return seen >= wanted;
  });
  return Number((2 ** ((bin + 0.5) / BINS_AN_OCTAVE)).toPrecision(2));
}
