/**
 * Is the process so far behind its work that whoever comes now would only make it worse? A turn of the event loop serves all that has
 * come meanwhile: the longer one takes, the more has come for the next, and under an overload turns take seconds, in which nobody is
 * answered, the platform's probes neither. So when turns have been long for a while, whoever is met late in one is refused: the
 * turn ends the sooner, and those who are in are served.
 *
 * A burst is not refused: it is worked off in a second, and queues are for that. (CoDel's rule, RFC 8289: a queue is bad when it has
 * not been short for a while.) Nor is anybody where few come: it is not for them that turns are long.
 */

/** Who is met so long after the first request of a turn is late, and such a turn is long. */
export const LONG_TURN_MS = 100;
/** For so long turns may be long, one after the other. */
export const TOLERATED_MS = 1000;
/** A row of long turns ends when none was long for so long. */
export const RELIEF_MS = 500;
/** Requests in one turn; with fewer it is not long for their sake. */
export const CROWD = 20;

/** What is known of turns. All times are clock ms. Pure. */
export class TurnWatch {
  /** The turn that goes on: when its first request was met, and how many were. */
  private turn: { readonly since: number; met: number } | undefined;
  /** The row of long turns: when its first began, and when its last ended. */
  private row: { readonly since: number; until: number } | undefined;

  /** Somebody is met. True for the first of a turn. */
  meet(now: number): boolean {
    if (this.turn !== undefined) {
      this.turn.met += 1;
      return false;
    }
    this.turn = { since: now, met: 1 };
    if (this.row !== undefined && now - this.row.until >= RELIEF_MS) this.row = undefined;
    return true;
  }

  /** Who was met last is better refused. */
  isBehind(now: number): boolean {
    if (this.turn === undefined || !this.isLong(now)) return false;
    return now - (this.row?.since ?? this.turn.since) >= TOLERATED_MS;
  }

  ended(now: number): void {
    if (this.turn !== undefined && this.isLong(now)) {
      this.row ??= { since: this.turn.since, until: now };
      this.row.until = now;
    }
    this.turn = undefined;
  }

  private isLong(now: number): boolean {
    return this.turn !== undefined && this.turn.met >= CROWD && now - this.turn.since >= LONG_TURN_MS;
  }
}

/** Asked once for each request that comes: true when it cannot be taken now. */
export type IsBehind = () => boolean;

/** @param clock monotonic ms */
export function watchTurns(clock: () => number): IsBehind {
  const watch = new TurnWatch();
  const end = (): void => watch.ended(clock());
  return () => {
    const now = clock();
    // Immediates run when all that had come for this turn has been served.
    if (watch.meet(now)) setImmediate(end);
    return watch.isBehind(now);
  };
}
