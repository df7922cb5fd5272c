// How long after an overload everybody is answered again, and as fast as before. Pure.
import { percentile } from '../statistics.ts';

/** One request that was sent after the overload ended. */
export interface Sent {
  /** After its end. */
  readonly atMs: number;
  readonly isRight: boolean;
  /** To the end of its answer. */
  readonly ms: number;
}

export interface Recovery {
  /** From then on every request was answered rightly; undefined: not within the time that was looked at. */
  readonly rightAfterMs: number | undefined;
  /** The first of a whole second of slices whose slow requests were no slower than before. */
  readonly fastAfterMs: number | undefined;
}

export const SLICE_MS = 250;
const SLICES_IN_A_ROW = 4;

/** @param slowMs what the 99th percentile of a slice may be */
export function recoveryOf(sent: readonly Sent[], lengthMs: number, slowMs: number): Recovery {
  const slices = Array.from({ length: Math.floor(lengthMs / SLICE_MS) }, (_, index) =>
    sent.filter(({ atMs }) => Math.floor(atMs / SLICE_MS) === index),
  );
  const lastWrong = slices.findLastIndex((slice) => slice.some(({ isRight }) => !isRight));
  const areFast = slices.map(
    (slice) =>
      slice.length === 0 ||
      percentile(
        slice.map(({ ms }) => ms),
        0.99,
      ) <= slowMs,
  );
  const firstFast = areFast.findIndex(
    (_, index) =>
      index + SLICES_IN_A_ROW <= areFast.length && areFast.slice(index, index + SLICES_IN_A_ROW).every(Boolean),
  );
  return {
    rightAfterMs: lastWrong + 1 < slices.length ? (lastWrong + 1) * SLICE_MS : undefined,
    fastAfterMs: firstFast < 0 ? undefined : firstFast * SLICE_MS,
  };
}
