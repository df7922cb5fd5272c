// Callers at a rate, who do not wait for each other, and callers who do. Requests are numbered through the whole run.
import { randomOf } from '../random.ts';
import { drawGapMs } from './faults.ts';
import type { Callers, Experience } from './caller.ts';
import { drawRequest } from './traffic.ts';
import type { Planned } from './traffic.ts';

export interface Done {
  readonly planned: Planned;
  readonly experience: Experience;
  /** Epoch ms. */
  readonly sentAt: number;
}

export interface Load {
  readonly callers: Callers;
  readonly seed: number;
  /** The number of the next request. */
  readonly next: () => number;
  readonly onDone: (done: Done) => void;
}

/** A process has so many files, and each new caller needs one; who would come beyond them stays away. */
const MOST_IN_FLIGHT = 12_000;

async function ask({ callers, seed, next, onDone }: Load): Promise<void> {
  const planned = drawRequest(seed, next());
  const sentAt = Date.now();
  onDone({ planned, experience: await callers.ask(planned), sentAt });
}

/** So many at a time, each the next when it has been answered. Resolves with how many were over in this time. */
export async function closedLoop(load: Load, callers: number, ms: number): Promise<number> {
  const untilMs = performance.now() + ms;
  let over = 0;
  await Promise.all(
    Array.from({ length: callers }, async () => {
      while (performance.now() < untilMs) {
        await ask(load);
        if (performance.now() < untilMs) over += 1;
      }
    }),
  );
  return over;
}

/** At random, so many a second on average. Resolves when the last was sent; `answered` when the last was answered. */
export function openLoop(
  load: Load,
  perSecond: number,
  ms: number,
): { readonly sent: Promise<number>; readonly answered: Promise<void> } {
  const random = randomOf(load.seed, Math.round(perSecond), ms);
  const all = Promise.withResolvers<void>();
  let inFlight = 0;
  let isSent = false;
  const sent = new Promise<number>((resolve) => {
    const startMs = performance.now();
    let dueMs = startMs + drawGapMs(1000 / perSecond, random);
    let count = 0;
    const sendDue = (): void => {
      const nowMs = performance.now();
      // Late is late: what the machine held up is still sent, or the load would be less than is said.
      for (; dueMs <= nowMs && dueMs - startMs < ms; dueMs += drawGapMs(1000 / perSecond, random)) {
        if (load.callers.inFlight >= MOST_IN_FLIGHT) continue;
        count += 1;
        inFlight += 1;
        void ask(load).then(() => {
          inFlight -= 1;
          if (isSent && inFlight === 0) all.resolve();
        });
      }
      if (nowMs - startMs < ms) return void setTimeout(sendDue, 1);
      isSent = true;
      if (inFlight === 0) all.resolve();
      resolve(count);
    };
    sendDue();
  });
  return { sent, answered: all.promise };
}
