// Load at a fixed rate: what callers who do not wait for each other do to a server that is not full.
import { monotonicUs } from '../payloads.ts';
import type { Tally } from '../tally.ts';
import { openConnection, plainRequest, PlainAnswerCheck } from './connection.ts';
import type { Connection, Target } from './connection.ts';

export interface OpenLoopPlan {
  readonly perSecond: number;
  readonly leadMs: number;
  readonly runMs: number;
}

const answerDeadlineMs = 2000;

/**
 * Sends at a fixed rate whether or not earlier answers came, each request on an idle connection or a new one, so a slow
 * answer delays no other. Returns the milliseconds from sending to the last byte, those of the lead left out.
 */
export async function runOpenLoop(target: Target, plan: OpenLoopPlan, tally: Tally): Promise<number[]> {
  const request = plainRequest(target);
  const latenciesMs: number[] = [];
  const idle: ((sentAtUs: number) => void)[] = [];
  const connections: Connection[] = [];
  const startUs = monotonicUs();
  const recordFromUs = startUs + plan.leadMs * 1000;
  const total = Math.floor(((plan.leadMs + plan.runMs) / 1000) * plan.perSecond);
  let sent = 0;
  let inFlight = 0;
  const finished = Promise.withResolvers<void>();

  function answered(): void {
    inFlight -= 1;
    if (sent === total && inFlight === 0) finished.resolve();
  }

  function openAndSend(firstSentAtUs: number): void {
    const check = new PlainAnswerCheck(target);
    let sentAtUs = firstSentAtUs;
    let isWaiting = true;
    const send = (atUs: number): void => {
      sentAtUs = atUs;
      isWaiting = true;
      connection.write(request);
    };
    const connection = openConnection(target, {
      opened: () => connection.write(request),
      head: (head) => check.head(head),
      body: (bytes) => check.body(bytes),
      end: () => {
        if (sentAtUs >= recordFromUs) latenciesMs.push((monotonicUs() - sentAtUs) / 1000);
        const problem = check.problem();
        if (problem !== undefined) tally.add(problem);
        isWaiting = false;
        idle.push(send);
        answered();
      },
      broken: (reason) => {
        const at = idle.indexOf(send);
        if (at >= 0) idle.splice(at, 1);
        if (!isWaiting) return;
        tally.add(reason);
        answered();
      },
    });
    connections.push(connection);
  }

  function sendDue(): void {
    const nowUs = monotonicUs();
    while (sent < total && startUs + (sent * 1e6) / plan.perSecond <= nowUs) {
      sent += 1;
      inFlight += 1;
      (idle.pop() ?? openAndSend)(monotonicUs());
    }
    if (sent < total) setTimeout(sendDue, 1);
  }

  sendDue();
  const deadline = setTimeout(
    () => {
      if (inFlight > 0) tally.add('no answer in time');
      finished.resolve();
    },
    plan.leadMs + plan.runMs + answerDeadlineMs,
  );
  await finished.promise;
  clearTimeout(deadline);
  for (const connection of connections) connection.close();
  return latenciesMs;
}
