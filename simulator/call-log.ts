// The calls a simulated resource received, the last 10,000 of them, for tests to look at.

import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';

export interface Call {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly rawHeaders: readonly string[];
  /** Empty until the whole body arrived, and for good when it never does. */
  readonly body: Buffer;
  /** The name of the fault that was applied to it. */
  readonly fault?: string;
}

type RecordedCall = { -readonly [Key in keyof Call]: Call[Key] };

const KEPT_CALLS = 10_000;
const KEPT_BYTES = 256 * 1024 * 1024;
const NO_BODY = Buffer.alloc(0);

export class CallLog {
  readonly calls: RecordedCall[] = [];
  private bytes = 0;
  private waiting: ((call: Call) => void)[] = [];

  /** Records a request whose head arrived. */
  add(req: IncomingMessage, fault: string | undefined): RecordedCall {
    const call: RecordedCall = {
      method: req.method ?? '',
      path: req.url ?? '',
      headers: req.headers,
      rawHeaders: req.rawHeaders,
      body: NO_BODY,
    };
    if (fault !== undefined) {
      call.fault = fault;
    }
    this.calls.push(call);
    this.trim();
    if (this.waiting.length > 0) {
      const waiting = this.waiting;
      this.waiting = [];
      for (const resolve of waiting) {
        resolve(call);
      }
    }
    return call;
  }

  complete(call: RecordedCall, body: Buffer): void {
    call.body = body;
    this.bytes += body.length;
    this.trim();
  }

  next(): Promise<Call> {
    return new Promise((resolve) => {
      this.waiting.push(resolve);
    });
  }

  clear(): void {
    this.calls.length = 0;
    this.bytes = 0;
  }

  private trim(): void {
    if (this.bytes > KEPT_BYTES) {
      // Counted anew: a body that arrived after its call was cleared away was added and never taken off.
      this.bytes = this.calls.reduce((sum, call) => sum + call.body.length, 0);
    }
    while (this.calls.length > KEPT_CALLS || (this.bytes > KEPT_BYTES && this.calls.length > 1)) {
      this.bytes -= this.calls.shift()?.body.length ?? 0;
    }
  }
}
