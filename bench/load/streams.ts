// Load of many streams at once, every chunk of which is checked and timed.
import { doneEvent, monotonicUs, readRewrittenEvent, readStreamEvent, streamRequestBody } from '../payloads.ts';
import type { StreamRequest } from '../payloads.ts';
import type { Tally } from '../tally.ts';
import { openConnection, requestBytes } from './connection.ts';
import type { Connection, Target } from './connection.ts';

export interface StreamLoadPlan extends StreamRequest {
  readonly streams: number;
  readonly rampMs: number;
}

export interface StreamLoad {
  /** Chunks received so far. */
  received(): number;
  /** Of each stream that has begun, the milliseconds from its request to its first chunk. */
  readonly firstChunksMs: readonly number[];
  /** Streams that have had their first chunk and have not ended. */
  flowing(): number;
  /** From now on, or no longer, collect the milliseconds between a chunk's sending and its arrival. */
  record(into: number[] | undefined): void;
  /** Every stream has had its first chunk; or all is over. */
  readonly begun: Promise<void>;
  readonly finished: Promise<void>;
  /** Leaves before the end, as callers do. */
  stop(): void;
}

const stallDeadlineMs = 5000;

/**
 * Opens the streams evenly over the ramp; each must bring all its chunks in order and then the end. The first has
 * `chunks`; those that begin later have fewer, so that all end together.
 */
export function startStreams(target: Target, plan: StreamLoadPlan, tally: Tally): StreamLoad {
  const allBegun = Promise.withResolvers<void>();
  const finished = Promise.withResolvers<void>();
  const connections = new Set<Connection>();
  const firstChunksMs: number[] = [];
  let delaysMs: number[] | undefined;
  let received = 0;
  let flowing = 0;
  let begun = 0;
  let ended = 0;

  function count(number: number, sentAtUs: number, askedAtUs: number, nowUs: number): void {
    if (number === 0) {
      flowing += 1;
      firstChunksMs.push((nowUs - askedAtUs) / 1000);
      if (firstChunksMs.length === plan.streams) allBegun.resolve();
    }
    received += 1;
    delaysMs?.push((nowUs - sentAtUs) / 1000);
  }

  function run(chunks: number): void {
    const request = requestBytes(target, streamRequestBody({ ...plan, chunks }));
    let askedAtUs = 0;
    let text = '';
    let next = 0;
    let status = '';
    const finish = (problem: string | undefined): void => {
      if (problem !== undefined) tally.add(problem);
      if (next > 0) flowing -= 1;
      connection.close();
      connections.delete(connection);
      ended += 1;
      if (ended === plan.streams) finished.resolve();
    };
    const readEvents = (nowUs: number): void => {
      let end = text.indexOf('\n\n');
      let start = 0;
      for (; end >= 0; end = text.indexOf('\n\n', start)) {
        const piece = text.slice(start, end + 2);
        const event = target.isRewritten ? readRewrittenEvent(piece) : readStreamEvent(piece);
        if (event !== undefined && event.number === next && (target.isRewritten || piece.length === plan.chunkBytes)) {
          count(next, event.sentAtUs, askedAtUs, nowUs);
          next += 1;
        } else if (event !== undefined || !(target.isRewritten || (next === chunks && piece === doneEvent))) {
          tally.add('unexpected event');
        }
        start = end + 2;
      }
      text = text.slice(start);
    };
    const connection = openConnection(target, {
      opened: () => {
        askedAtUs = monotonicUs();
        connection.write(request);
      },
      head: (head) => {
        status = head.slice(9, 12);
      },
      body: (bytes) => {
        text += bytes.toString('latin1');
        readEvents(monotonicUs());
      },
      end: () => {
        if (status !== '200') finish(`status ${status}`);
        else finish(next === chunks ? undefined : 'stream ended early');
      },
      broken: (reason) => finish(`stream: ${reason}`),
    });
    connections.add(connection);
  }

  const startUs = monotonicUs();
  const ramp = setInterval(() => {
    const elapsedMs = (monotonicUs() - startUs) / 1000;
    const due = Math.min(plan.streams, (elapsedMs / plan.rampMs) * plan.streams);
    const missed = Math.floor(Math.min(elapsedMs, plan.rampMs) / plan.intervalMs);
    for (; begun < due; begun += 1) run(Math.max(1, plan.chunks - missed));
    if (begun === plan.streams) clearInterval(ramp);
  }, 1);
  const stop = (): void => {
    clearInterval(ramp);
    for (const connection of connections) connection.close();
    finished.resolve();
  };
  const deadline = setTimeout(
    () => {
      if (ended < plan.streams) tally.add('streams stalled');
      stop();
    },
    plan.rampMs + plan.chunks * plan.intervalMs + stallDeadlineMs,
  );
  void finished.promise.then(() => clearTimeout(deadline)); // never rejects

  return {
    received: () => received,
    firstChunksMs,
    flowing: () => flowing,
    record: (into) => {
      delaysMs = into;
    },
    begun: Promise.race([allBegun.promise, finished.promise]),
    finished: finished.promise,
    stop,
  };
}
