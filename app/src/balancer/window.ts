/**
 * What is left of a quota that is counted by the minute. Nobody says how Azure counts, so three ways race, and the one
 * that foretold best what the answers said is believed:
 *
 *   fixed    all of it is back at the end of a window; when that is, is learned
 *   sliding  what was used is back a minute later
 *   leaky    it comes back evenly
 *
 * Each answer says what was left when it was admitted; what was sent after it is taken off by its estimate. So an
 * estimate that is wrong is put right with the next answer. Pure; times are clock ms.
 */
import type { Send, Sends } from './sends.ts';

export const WINDOW_MS = 60_000;

const KINDS = ['fixed', 'sliding', 'leaky'] as const;
type Kind = (typeof KINDS)[number];

/** What an answer said: so much was left after this request. */
interface Told {
  readonly seq: number;
  readonly at: number;
  readonly left: number;
}

/** So much more was used than was expected of these. */
export interface Surprise {
  readonly amount: number;
  readonly sent: readonly Send[];
}

/** How fast what was foretold long ago stops to matter. */
const MEMORY = 0.8;
/** Ways of counting differ over a while; from one answer to the next all foretell about the same. */
const RACE_MS = 10_000;
/** By so much of the limit more is left than was before, though more was sent: a window is over. */
const JUMP = 0.01;
/** What is foretold for so long is as good as known. */
const TRUSTED_MS = 3000;
const MARGIN = 0.015;
/** Errors, in the sum of what is remembered: of one that is right, and of one that is wrong. */
const SMALL = 0.3;
const LARGE = 0.5;
/** A window that ended so often when it was expected to is one. */
const OFTEN = 2;
/** Requests are counted in slices besides, of which refusals speak alike. */
const LONGEST_SLICE_MS = 10_000;
/** A request arrives somewhat later than it is sent. */
const TRANSIT_MS = 100;

/** Clock ms between which a window ends; any of them. */
interface End {
  readonly from: number;
  readonly to: number;
}

export class Window {
  limit: number | undefined = undefined;
  private readonly sends: Sends;
  private readonly amountOf: (send: Send) => number;
  private told: Told | undefined;
  /** Of what was sent since it was told. */
  private used = 0;
  /** What the race goes on from. */
  private start: Told | undefined;
  /** How far off each was of late, in shares of the limit. */
  private readonly errors: Record<Kind, number> = { fixed: 0, sliding: 0, leaky: 0 };
  private end: End | undefined;
  /** How often in a row it ended when it was foretold. */
  private cameTrue = 0;
  /** Clock ms: the present one ends then, by the backend's own word. */
  private namedUntil = 0;

  constructor(sends: Sends, amountOf: (send: Send) => number) {
    this.sends = sends;
    this.amountOf = amountOf;
  }

  /** Before the first answer all of the limit is there, if that is known. */
  begin(now: number): void {
    if (this.limit !== undefined) this.told ??= { seq: 0, at: now, left: this.limit };
  }

  /**
   * An answer to request `seq`, sent at `at`, says that so much is left.
   * @returns how much less that is than was expected of what was sent since the last; undefined when there is nothing
   * to compare it with
   */
  tell(seq: number, at: number, left: number): Surprise | undefined {
    const { told, limit } = this;
    if (told !== undefined && seq < told.seq) return undefined; // It took longer; what it knows is older.
    let surprise: Surprise | undefined;
    if (told !== undefined && limit !== undefined && at - told.at < WINDOW_MS) {
      const sent = this.sends.between(told.seq, seq);
      const hasEnded = left > told.left + limit * JUMP;
      const kind = this.kind();
      if (!hasEnded || kind !== 'fixed') {
        surprise = { amount: this.foretoldBy(kind, told, at, sent, limit) - left, sent };
      }
      this.race(seq, at, left, limit, hasEnded && this.end === undefined);
      if (hasEnded) this.endedBetween(told.at, at);
      else this.notEndedAt(at);
    }
    this.told = { seq, at, left };
    this.start ??= this.told;
    this.reckon();
    return surprise;
  }

  /** So much was sent now. */
  spend(amount: number): void {
    this.used += amount;
  }

  /** What was sent counts otherwise than it did. */
  reckon(): void {
    this.used = this.told === undefined ? 0 : this.sum(this.sends.between(this.told.seq));
  }

  /** Who foretold this best? @param isNews a window ended, and nobody knew yet when they do */
  private race(seq: number, at: number, left: number, limit: number, isNews: boolean): void {
    const { start } = this;
    if (start === undefined || at - start.at < RACE_MS) {
      if (isNews) this.start = undefined; // It goes on from there: a window whose end nobody knew was not foretold wrongly.
      return;
    }
    if (!isNews && at - start.at < WINDOW_MS) {
      const sent = this.sends.between(start.seq, seq);
      for (const kind of KINDS) {
        const expected = this.foretoldBy(kind, start, at, sent, limit);
        this.errors[kind] = this.errors[kind] * MEMORY + Math.min(1, Math.abs(expected - left) / limit);
      }
    }
    this.start = undefined;
  }

  /** A refusal says that there is room then: of a fixed window it is the end, unless it speaks of something shorter. */
  endsAt(at: number, now: number): void {
    if (this.end !== undefined && at - now <= LONGEST_SLICE_MS && !isWithin(this.end, at)) return;
    this.end = { from: at, to: at };
    this.namedUntil = at;
  }

  /** What is left now; undefined when nobody knows. */
  left(now: number): number | undefined {
    const { told, limit } = this;
    // What was said a window ago says nothing.
    if (told === undefined || limit === undefined || now - told.at >= WINDOW_MS) return undefined;
    const kind = this.kind();
    const hasEnded = this.end !== undefined && lastEnd(this.end.from, now) > told.at;
    // The usual case, at every decision: without looking at what was sent.
    if (kind === 'fixed' && !hasEnded) return told.left - this.used;
    if (kind === 'leaky') return refilled(told, now, limit) - this.used;
    return this.foretoldBy(kind, told, now, this.sends.between(told.seq), limit);
  }

  /**
   * When so much fits: `now` when it does or when nobody knows.
   * @param left what is left now
   */
  fitsAt(amount: number, now: number, left = this.left(now)): number {
    const { told, limit } = this;
    if (left === undefined || told === undefined || limit === undefined) return now;
    const needed = Math.min(amount + this.margin(limit), limit);
    if (left >= needed || amount > limit) return now;
    const at = Math.min(this.backAt(needed - left, limit, now), told.at + WINDOW_MS);
    // A long wait is for the backend to name, unless what was foretold has often come true.
    return at - now <= TRUSTED_MS || this.isSure(now) ? at : now;
  }

  /** What comes back all the time may come a little later than foretold, and nothing is lost by leaving it there. */
  private margin(limit: number): number {
    return this.kind() === 'fixed' ? 0 : limit * MARGIN;
  }

  private isSure(now: number): boolean {
    const kind = this.kind();
    const { errors } = this;
    if (kind !== 'fixed') return errors[kind] < SMALL && errors.fixed > LARGE;
    return this.cameTrue >= OFTEN || now < this.namedUntil;
  }

  /** When so much will be back. */
  private backAt(amount: number, limit: number, now: number): number {
    const { end } = this;
    const kind = this.kind();
    if (kind === 'leaky') return now + (amount * WINDOW_MS) / limit;
    if (kind === 'sliding') return this.freedAt(amount, now);
    return end === undefined ? now : nextEnd(end, now);
  }

  /** The way of counting that is believed. */
  kind(): Kind {
    const { fixed, sliding, leaky } = this.errors;
    if (fixed <= sliding && fixed <= leaky) return 'fixed';
    return sliding <= leaky ? 'sliding' : 'leaky';
  }

  /** What is left then, if it is counted so. @param sent since it was told */
  private foretoldBy(kind: Kind, told: Told, now: number, sent: readonly Send[], limit: number): number {
    if (kind === 'leaky') return refilled(told, now, limit) - this.sum(sent);
    if (kind === 'sliding') return Math.min(limit, told.left + this.freedBetween(told.at, now)) - this.sum(sent);
    const began = this.end === undefined ? undefined : lastEnd(this.end.from, now);
    if (began === undefined || began <= told.at) return told.left - this.sum(sent);
    return limit - this.sum(sent.filter(({ at }) => at >= began));
  }

  /** A window ended in between. Many such observations say when, ever more exactly. */
  private endedBetween(after: number, before: number): void {
    const { end } = this;
    if (end !== undefined) {
      const shift = lastEnd(end.from, before + TRANSIT_MS) - end.from;
      const from = Math.max(end.from + shift, after);
      const to = Math.min(end.to + shift, before + TRANSIT_MS);
      if (from <= to) {
        this.end = { from, to };
        this.cameTrue += 1;
        return;
      }
    }
    this.cameTrue = 0;
    this.end = { from: after, to: before };
  }

  /** It might have ended by then, and has not. */
  private notEndedAt(at: number): void {
    const { end } = this;
    if (end === undefined) return;
    const from = lastEnd(end.from, at);
    const to = from + end.to - end.from;
    if (at < to) this.end = { from: at, to };
  }

  /** What a sliding window has given back since: what was sent a minute before. */
  private freedBetween(after: number, now: number): number {
    return this.sum(this.sends.during(after - WINDOW_MS, now - WINDOW_MS));
  }

  private freedAt(amount: number, now: number): number {
    let missing = amount;
    for (const send of this.sends.during(now - WINDOW_MS, now)) {
      missing -= this.amountOf(send);
      if (missing <= 0) return send.at + WINDOW_MS;
    }
    return now + WINDOW_MS; // Others use the quota too, and nobody knows when.
  }

  private sum(sends: readonly Send[]): number {
    let sum = 0;
    for (const send of sends) sum += this.amountOf(send);
    return sum;
  }
}

function refilled({ at, left }: Told, now: number, limit: number): number {
  return Math.min(limit, left + (limit * (now - at)) / WINDOW_MS);
}

function isWithin({ from, to }: End, at: number): boolean {
  const began = lastEnd(from, at);
  return at <= began + to - from + TRANSIT_MS;
}

/** The next one; `now` when it may be now. */
function nextEnd({ from, to }: End, now: number): number {
  const began = lastEnd(from, now);
  return now < began + to - from ? now : began + WINDOW_MS;
}

/** The latest end of a window that is not after `now`. */
function lastEnd(anEnd: number, now: number): number {
  return anEnd + Math.floor((now - anEnd) / WINDOW_MS) * WINDOW_MS;
}
