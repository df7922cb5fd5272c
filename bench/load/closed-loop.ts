// Load as fast as the answers come, in slices: contenders take turns within a second, with their connections kept.
import type { Tally } from '../tally.ts';
import { openConnection, plainRequest, PlainAnswerCheck } from './connection.ts';
import type { Connection, Target } from './connection.ts';

export interface ClosedLoop {
  completed(): number;
  /** Every connection sends, and sends again whenever it is answered. */
  resume(): void;
  /** Sends nothing more and awaits the answers that are due. */
  pause(): Promise<void>;
  close(): void;
}

const drainDeadlineMs = 5000;

/** Begins paused, with all its connections open. */
export async function openClosedLoop(target: Target, connections: number, tally: Tally): Promise<ClosedLoop> {
  const request = plainRequest(target);
  const idle = new Set<Connection>();
  const busy = new Set<Connection>();
  let completed = 0;
  let isPaused = true;
  let drained: (() => void) | undefined;

  function open(): Promise<void> {
    const check = new PlainAnswerCheck(target);
    return new Promise((resolve) => {
      const connection = openConnection(target, {
        opened: () => {
          idle.add(connection);
          resolve();
        },
        head: (head) => check.head(head),
        body: (bytes) => check.body(bytes),
        end: () => {
          completed += 1;
          const problem = check.problem();
          if (problem !== undefined) tally.add(problem);
          if (!isPaused) return connection.write(request);
          idle.add(connection);
          leave(connection);
        },
        // A failure, also between two requests; the load goes on without this connection.
        broken: (reason) => {
          tally.add(reason);
          idle.delete(connection);
          leave(connection);
          resolve();
        },
      });
    });
  }

  function leave(connection: Connection): void {
    busy.delete(connection);
    if (busy.size === 0) drained?.();
  }

  await Promise.all(Array.from({ length: connections }, () => open()));
  return {
    completed: () => completed,
    resume: () => {
      isPaused = false;
      for (const connection of idle) {
        busy.add(connection);
        connection.write(request);
      }
      idle.clear();
    },
    pause: async () => {
      isPaused = true;
      if (busy.size === 0) return;
      await new Promise<void>((resolve) => {
        const deadline = setTimeout(() => {
          tally.add('no answer in time');
          resolve();
        }, drainDeadlineMs);
        drained = () => {
          clearTimeout(deadline);
          resolve();
        };
      });
      drained = undefined;
    },
    close: () => {
      for (const connection of [...idle, ...busy]) connection.close();
    },
  };
}
