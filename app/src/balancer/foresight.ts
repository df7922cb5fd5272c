/**
 * Will a backend take this request? Known from what its answers say is left of its quota, and what was sent since; for
 * one deployment at one backend. An answer of "not before then" is believed for a window at most: a backend whose answers
 * say nothing of their quota, or say nonsense, is asked as ever. Pure; times are clock ms.
 */
import type { Quota } from './quota.ts';
import { Sends } from './sends.ts';
import { Window, WINDOW_MS, type Surprise } from './window.ts';

/** What a request may come to, in tokens. `open`: of these a guess, where it names no maximum. */
export interface Need {
  readonly tokens: number;
  readonly openTokens: number;
}

export interface Outlook {
  /** Clock ms: when it will take the request; now when it will, or when nobody knows better. */
  readonly fitsAt: number;
  /**
   * Its place among those that will take a request, the lower first. While half of the quota is left nobody looks at it.
   * Then the fullest is used up first, so that the others have room for something large; but where quota comes back evenly
   * the emptiest is, because what comes back to a full one is lost.
   */
  readonly rank: number;
}

export interface Reduction {
  readonly limit: number;
  readonly usual: number;
}

/** Requests are counted in short slices besides: no more than a part of the minute's in any of them. */
interface Slice {
  readonly ms: number;
  /** Clock ms at which one of them ends. */
  readonly end: number;
  readonly most: number;
}

const SLICES_MS: readonly number[] = [1000, 10_000];
/** From here to there, and not much more. */
const TRANSIT_MS = 30;
/** The rank of one of which nobody knows what is left, or which has plenty: half of its quota. */
export const INDIFFERENT = 0.5;

/** How much the latest answer counts in what is learned of answers without a maximum. */
const LATEST_SHARE = 0.1;
const LEAST_STEP = 32;
/** No answer is counted as more than so many times what answers really come to. */
const MOST_OF_GUESS = 4;

export class Foresight {
  /** The most tokens a minute that its answers ever named; less is a reduction by the platform, which lasts for hours. */
  private usual: number | undefined;
  private readonly sends = new Sends();
  private readonly tokens = new Window(this.sends, ({ isRefused, tokens }) => (isRefused ? 0 : tokens));
  /** Refused ones count here as well. */
  private readonly requests = new Window(this.sends, () => 1);
  private slices: readonly Slice[] = [];
  /** What the backend counts for an answer whose maximum nobody named. */
  private completion: number | undefined;

  /** @param capacity tokens a minute, by the settings, until an answer says it */
  constructor(capacity?: number) {
    this.tokens.limit = capacity;
  }

  /** A request goes out; `seq` grows with each. */
  sent(seq: number, need: Need, now: number): void {
    this.sends.forgetBefore(now - 2 * WINDOW_MS);
    const { openTokens } = need;
    this.tokens.begin(now);
    const amount = this.amountOf(need);
    // What is more than there ever is will be refused, and takes nothing.
    const tokens = amount > (this.tokens.limit ?? amount) ? 0 : amount;
    this.sends.add({ seq, at: now, tokens, openTokens, isRefused: false });
    this.tokens.spend(tokens);
    this.requests.spend(1);
  }

  /** Its answer came, and says what was left after it. */
  told(seq: number, quota: Quota, isRefused: boolean): void {
    const send = this.sends.find(seq);
    if (send === undefined) return;
    send.isRefused = isRefused;
    const { limitTokens, limitRequests, remainingTokens, remainingRequests } = quota;
    // None at all is nonsense: nothing could be asked there.
    if (limitTokens !== undefined && limitTokens > 0) {
      this.tokens.limit = limitTokens;
      this.usual = Math.max(this.usual ?? 0, limitTokens);
    }
    if (limitRequests !== undefined && limitRequests > 0) this.requests.limit = limitRequests;
    if (remainingTokens !== undefined) this.learn(this.tokens.tell(seq, send.at, remainingTokens));
    if (remainingRequests !== undefined) this.requests.tell(seq, send.at, remainingRequests);
    if (!isRefused) this.slices = this.slices.filter((slice) => this.countIn(slice, send.at, 0, seq) <= slice.most);
  }

  /**
   * It was refused, with what was left then (`quota`) and how long to wait.
   * @returns from how many tokens on it refuses, when it was too large for what was left; undefined when it refuses all
   */
  refused(seq: number, quota: Quota | undefined, retryAfterMs: number | undefined, now: number): number | undefined {
    const send = this.sends.find(seq);
    if (send === undefined) return undefined;
    send.isRefused = true;
    this.tokens.reckon();
    if (quota === undefined) return undefined;
    const { remainingTokens, remainingRequests } = quota;
    const isTooLarge = remainingTokens !== undefined && remainingTokens > 0 && remainingTokens < send.tokens;
    const least = isTooLarge ? remainingTokens + 1 : undefined;
    if (retryAfterMs === undefined) return least;
    if (this.learnSlice(retryAfterMs, now)) return undefined;
    if (remainingTokens !== undefined && remainingTokens < send.tokens) this.tokens.endsAt(now + retryAfterMs, now);
    else if (remainingRequests === 0) this.requests.endsAt(now + retryAfterMs, now);
    return least;
  }

  /** What is to be expected of it for such a request. */
  outlook(need: Need, now: number): Outlook {
    const [tokens, requests] = [this.tokens.left(now), this.requests.left(now)];
    const fitsAt = Math.max(
      this.tokens.fitsAt(this.amountOf(need), now, tokens),
      this.requests.fitsAt(1, now, requests),
      this.sliceAt(now),
    );
    const left = Math.min(share(tokens, this.tokens.limit), share(requests, this.requests.limit), INDIFFERENT);
    return { fitsAt, rank: this.tokens.kind() === 'leaky' ? 2 * INDIFFERENT - left : left };
  }

  /** Tokens a minute: what it has, and what it usually has, while that is more. */
  reduction(): Reduction | undefined {
    const { limit } = this.tokens;
    if (limit === undefined || this.usual === undefined || limit >= this.usual) return undefined;
    return { limit, usual: this.usual };
  }

  /** What such a request is counted as, as far as is known. */
  amountOf({ tokens, openTokens }: Need): number {
    return openTokens === 0 || this.completion === undefined ? tokens : tokens - openTokens + this.completion;
  }

  /** When none of the slices is full. */
  private sliceAt(now: number): number {
    let at = now;
    for (const slice of this.slices) {
      if (this.countIn(slice, now, TRANSIT_MS) >= slice.most) at = Math.max(at, sliceBegan(slice, now) + slice.ms);
    }
    return at;
  }

  /** What was not expected is put down to those that named no maximum. */
  private learn(surprise: Surprise | undefined): void {
    const open = surprise?.sent.filter(({ openTokens, isRefused }) => openTokens > 0 && !isRefused) ?? [];
    const [first] = open;
    if (surprise === undefined || first === undefined) return;
    const known = this.completion ?? first.openTokens;
    // Step by step: one surprise may have other causes, many that agree have not.
    const most = Math.max(known, LEAST_STEP) * LATEST_SHARE;
    const step = Math.min(Math.max(surprise.amount / open.length, -most), most);
    this.completion = Math.min(Math.max(0, known + step), first.openTokens * MOST_OF_GUESS);
  }

  /** @returns true when it was refused for too many requests in a slice */
  private learnSlice(retryAfterMs: number, now: number): boolean {
    const { limit } = this.requests;
    if (limit === undefined) return false;
    for (const ms of SLICES_MS) {
      const most = Math.ceil((limit * ms) / WINDOW_MS);
      // The refused one is among them; one before them may have arrived late.
      if (retryAfterMs > ms || this.sends.since(now - ms).length < most) continue;
      this.slices = [...this.slices.filter((slice) => slice.ms !== ms), { ms, end: now + retryAfterMs, most }];
      return true;
    }
    return false;
  }

  /** @param before those sent so many ms before its beginning may have arrived in it */
  private countIn(slice: Slice, now: number, before: number, last?: number): number {
    const began = sliceBegan(slice, now);
    let count = 0;
    for (const { seq, at } of this.sends.since(began - before)) {
      if (at < began + slice.ms && (last === undefined || seq <= last)) count += 1;
    }
    return count;
  }
}

function sliceBegan({ end, ms }: Slice, now: number): number {
  return end + Math.floor((now - end) / ms) * ms;
}

function share(left: number | undefined, limit: number | undefined): number {
  return left === undefined || limit === undefined ? 1 : Math.min(1, Math.max(0, left / limit));
}
