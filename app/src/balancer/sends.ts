/** What was sent to one deployment of late, in its order: what a quota may have been charged with. */

export interface Send {
  /** Grows with each. */
  readonly seq: number;
  /** Clock ms. */
  readonly at: number;
  tokens: number;
  /** Of these, a guess at what the answer may come to, where the request names no maximum. */
  readonly openTokens: number;
  isRefused: boolean;
}

export class Sends {
  private list: Send[] = [];

  add(send: Send): void {
    this.list.push(send);
  }

  find(seq: number): Send | undefined {
    const found = this.list[this.placeOf((send) => send.seq >= seq)];
    return found?.seq === seq ? found : undefined;
  }

  /** Those with a greater number than `after`, and none greater than `last`. */
  between(after: number, last = Number.POSITIVE_INFINITY): readonly Send[] {
    return this.list.slice(
      this.placeOf((send) => send.seq > after),
      this.placeOf((send) => send.seq > last),
    );
  }

  /** Those since then. */
  since(at: number): readonly Send[] {
    return this.list.slice(this.placeOf((send) => send.at >= at));
  }

  /** Those later than `after`, up to `until`. */
  during(after: number, until: number): readonly Send[] {
    return this.list.slice(
      this.placeOf((send) => send.at > after),
      this.placeOf((send) => send.at > until),
    );
  }

  /** Now and then, so that it costs nothing a send. */
  forgetBefore(at: number): void {
    const count = this.placeOf((send) => send.at >= at);
    if (count > 32 && count * 2 > this.list.length) this.list = this.list.slice(count);
  }

  /** Of the first for which it holds; it holds for all that follow it. */
  private placeOf(holds: (send: Send) => boolean): number {
    let low = 0;
    let high = this.list.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const send = this.list[middle];
      if (send === undefined || holds(send)) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
