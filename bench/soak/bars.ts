// What the balancer is held to, and whether it was met. Pure.
import { flatnessOf } from './flatness.ts';
import type { Tolerance } from './flatness.ts';
import { canBreak } from './faults.ts';
import type { Sample, Soaked } from './run.ts';

export interface Bar {
  readonly name: string;
  readonly isMet: boolean;
  /** What was measured and what it is held to. */
  readonly told: string;
}

const MIB = 2 ** 20;
const LOOP_P99_MS = 20;
const RECOVERED_MS = 2000;
const HEAP: Tolerance = { share: 0.1, amount: 5 * MIB };
const BUFFERS: Tolerance = { share: 0.1, amount: 5 * MIB };
const SOCKETS: Tolerance = { share: 0.15, amount: 20 };
const CLOSED: Tolerance = { share: 0.15, amount: 20 };
const LISTENERS: Tolerance = { share: 0, amount: 0 };
/** With nobody asking: one is for the metrics. */
const CALM_SOCKETS = 2;

export function barsOf(soaked: Soaked): Bar[] {
  const { soak, happened, samples, calmAfter, overload, after, recovery, slowMs } = soaked;
  const { warnings, crashes, errorOutput, internalErrors } = soaked;
  const breaking = sum(happened.faults, canBreak) + happened.openWhenGone;
  const trouble = [...warnings, ...crashes, ...(errorOutput === '' ? [] : [errorOutput])];
  return [
    bar('no answer is lost', soak.verdicts.lost === 0, `${soak.verdicts.lost} of ${stayed(soak)}`),
    bar('nobody is turned away', soak.verdicts.shed === 0, `${soak.verdicts.shed} of ${stayed(soak)} got a 503`),
    bar(
      'no stream breaks but by a fault',
      soak.verdicts.broken <= breaking,
      `${soak.verdicts.broken} broken after their first content; ${breaking} requests had a fault that can do that`,
    ),
    flat('heap after collection', samples, ({ heapBytes }) => heapBytes / MIB, inMiB(HEAP), 'MiB'),
    flat('buffers outside the heap', samples, ({ externalBytes }) => externalBytes / MIB, inMiB(BUFFERS), 'MiB'),
    flat('open files', samples, ({ openFiles }) => openFiles, SOCKETS, ''),
    flat('open sockets', samples, ({ openSockets }) => openSockets, SOCKETS, ''),
    flat('closed sockets in memory', samples, ({ closedSockets }) => closedSockets, CLOSED, ''),
    flat('most listeners on one socket', samples, ({ mostListeners }) => mostListeners, { share: 0, amount: 2 }, ''),
    flat('listeners of the process', samples, ({ processListeners }) => processListeners, LISTENERS, ''),
    bar(
      'all is given back',
      calmAfter.inFlight + calmAfter.held + calmAfter.bytesBuffered === 0 && calmAfter.callersSockets <= CALM_SOCKETS,
      `with nobody asking: ${calmAfter.inFlight} in flight, ${calmAfter.held} held, ${calmAfter.bytesBuffered} bytes, ${calmAfter.callersSockets} connections of callers`,
    ),
    bar(
      'no rejection, warning or bug',
      trouble.length === 0 && internalErrors === 0,
      trouble.length === 0
        ? `${internalErrors} internal errors`
        : `${internalErrors} internal errors; ${trouble.join('; ').slice(0, 1000)}`,
    ),
    bar(
      'event loop',
      soak.loopTicks.p99Ms < LOOP_P99_MS,
      `delay p99 ${soak.loopTicks.p99Ms.toFixed(1)} ms < ${LOOP_P99_MS} ms (${soak.loop.p99Ms.toFixed(1)} ms for whoever comes at any moment)`,
    ),
    bar(
      'overload is shed',
      overload.verdicts.lost + overload.verdicts.told + overload.verdicts.broken === 0 && overload.verdicts.shed > 0,
      `${overload.verdicts.right} right, ${overload.verdicts.shed} honest 503s, ${overload.verdicts.lost + overload.verdicts.told + overload.verdicts.broken} others`,
    ),
    bar(
      'recovery: right answers',
      recovery.rightAfterMs !== undefined && recovery.rightAfterMs <= RECOVERED_MS && after.verdicts.lost === 0,
      `${ms(recovery.rightAfterMs)} ≤ ${RECOVERED_MS} ms, ${after.verdicts.lost} lost`,
    ),
    bar(
      'recovery: latency',
      recovery.fastAfterMs !== undefined && recovery.fastAfterMs <= RECOVERED_MS,
      `p99 of a slice under ${slowMs.toFixed(0)} ms again after ${ms(recovery.fastAfterMs)} ≤ ${RECOVERED_MS} ms`,
    ),
  ];
}

/** Whoever did not leave. */
export function stayed({ sent, vanished }: { readonly sent: number; readonly vanished: number }): number {
  return sent - vanished;
}

function bar(name: string, isMet: boolean, told: string): Bar {
  return { name, isMet, told };
}

function flat(
  name: string,
  samples: readonly Sample[],
  figure: (sample: Sample) => number,
  tolerance: Tolerance,
  unit: string,
): Bar {
  const { first, last, allowed, isFlat, isCreeping } = flatnessOf(samples.map(figure), tolerance);
  const told = `floor ${number(first)} → ${number(last)} ≤ ${number(allowed)} ${unit}`.trim();
  return bar(`flat: ${name}`, isFlat, isCreeping ? `${told}, and creeping` : told);
}

function inMiB({ share, amount }: Tolerance): Tolerance {
  return { share, amount: amount / MIB };
}

function number(value: number): string {
  return Number.isInteger(value) ? String(value) : value.toFixed(1);
}

function ms(value: number | undefined): string {
  return value === undefined ? 'never' : `${value} ms`;
}

function sum(counts: Readonly<Record<string, number>>, isWanted: (name: string) => boolean): number {
  return Object.entries(counts).reduce((total, [name, count]) => total + (isWanted(name) ? count : 0), 0);
}
