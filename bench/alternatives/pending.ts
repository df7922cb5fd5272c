// What both alternatives share: an attempt that is settled once, its deadlines, and the answer as the balancer reads it.
import type { FailureCause } from '../../app/src/balancer/outcome.ts';
import type { AnswerBody, Forwarded, ForwardOptions } from '../../app/src/proxy/forward.ts';

export interface Settling {
  readonly resolve: (forwarded: Forwarded) => void;
  readonly signal: AbortSignal;
  /** Ends what was begun: there will be no answer, or nobody who wants one. */
  readonly cancel: () => void;
}

export class Pending {
  private readonly options: ForwardOptions;
  private readonly settling: Settling;
  private timer: NodeJS.Timeout | undefined;
  isConnected = false;
  isSettled = false;

  constructor(options: ForwardOptions, settling: Settling) {
    this.options = options;
    this.settling = settling;
    settling.signal.addEventListener('abort', this.onAbort);
  }

  connecting(): void {
    this.deadline(this.options.connectTimeoutMs, 'connect');
  }

  readonly connected = (): void => {
    if (this.isSettled) return;
    this.isConnected = true;
    this.deadline(this.options.headerTimeoutMs, 'header-timeout');
  };

  answer(status: number, rawHeaders: readonly string[], body: AnswerBody): void {
    const header = (name: string): string | undefined => headerOf(rawHeaders, name);
    this.settle({ kind: 'answer', answer: { status, rawHeaders, header, body } });
  }

  /** The connection ended before there was an answer. */
  broke(wasUsedBefore: boolean): void {
    this.fail(this.isConnected ? (wasUsedBefore ? 'stale-socket' : 'reset') : 'connect');
  }

  fail(cause: FailureCause): void {
    this.settle({ kind: 'failed', outcome: { kind: 'failed', cause } });
  }

  release(): void {
    this.isSettled = true;
    clearTimeout(this.timer);
    this.settling.signal.removeEventListener('abort', this.onAbort);
  }

  private readonly onAbort = (): void => {
    this.settle({ kind: 'failed', outcome: { kind: 'abandoned' } });
  };

  private deadline(ms: number, cause: FailureCause): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.fail(cause), ms);
  }

  private settle(forwarded: Forwarded): void {
    if (this.isSettled) return;
    this.release();
    if (forwarded.kind === 'failed') this.settling.cancel();
    this.settling.resolve(forwarded);
  }
}

export const ABANDONED: Forwarded = { kind: 'failed', outcome: { kind: 'abandoned' } };

/** A status that HTTP knows, and not an interim one. */
export function isFinal(status: number): boolean {
  return status >= 200 && status <= 599;
}

function headerOf(rawHeaders: readonly string[], name: string): string | undefined {
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const found = rawHeaders[i] ?? '';
    if (found.length === name.length && found.toLowerCase() === name) return rawHeaders[i + 1];
  }
  return undefined;
}
