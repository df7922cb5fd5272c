// The callers: plain fetch, each request once and when it is due, whether or not earlier ones were answered.
import { setTimeout as sleep } from 'node:timers/promises';
import { clock } from '../provisioned/clock.ts';
import type { RunningContender } from './contenders.ts';
import type { Answered } from './figures.ts';
import { bodyOf } from './workload.ts';
import type { Arrival } from './workload.ts';

/** Two waits of a minute each, and some: nobody who was asked is given up on earlier. */
const DEADLINE_MS = 130_000;

/** Resolves when all are answered or given up. `startMs` is when the measured time begins. */
export async function sendAll(
  target: RunningContender,
  arrivals: readonly Arrival[],
  startMs: number,
): Promise<Answered[]> {
  const answers: Promise<Answered>[] = [];
  for (const arrival of arrivals) {
    const waitMs = startMs + arrival.atMs - clock();
    if (waitMs > 0) await sleep(waitMs);
    answers.push(send(target, arrival));
  }
  return Promise.all(answers);
}

/** Never rejects. */
async function send({ url, headers }: RunningContender, arrival: Arrival): Promise<Answered> {
  const { id } = arrival;
  const sentAtMs = clock();
  try {
    const answer = await fetch(url, {
      method: 'POST',
      headers: { ...headers, 'content-type': 'application/json' },
      body: bodyOf(arrival),
      signal: AbortSignal.timeout(DEADLINE_MS),
    });
    const body = await answer.text();
    const problem = answer.status === 200 && !body.includes('"choices"') ? { problem: 'not an answer' } : {};
    return { id, status: answer.status, ms: clock() - sentAtMs, ...problem };
  } catch (error) {
    return { id, ms: clock() - sentAtMs, problem: error instanceof Error ? error.message : String(error) };
  }
}
