// A small incremental parser of HTTP/1.1 messages, requests or responses, with a length or chunked. It exists because the
// load generator and the upstream share a core: Node's own client and server would cost more than nginx, which they measure.

export interface MessageHandlers {
  head(head: string): void;
  body(bytes: Buffer): void;
  end(): void;
}

type Expecting = 'head' | 'fixed' | 'chunk-size' | 'chunk-data' | 'chunk-end' | 'trailer';

const headEnd = Buffer.from('\r\n\r\n');
const lineEnd = Buffer.from('\r\n');

export class MessageParser {
  private readonly handlers: MessageHandlers;
  private expecting: Expecting = 'head';
  private remaining = 0;
  private held: Buffer | undefined;

  constructor(handlers: MessageHandlers) {
    this.handlers = handlers;
  }

  feed(received: Buffer): void {
    const bytes = this.held === undefined ? received : Buffer.concat([this.held, received]);
    this.held = undefined;
    let at = 0;
    while (at < bytes.length) {
      const next = this.step(bytes, at);
      if (next === undefined) {
        this.held = bytes.subarray(at);
        return;
      }
      at = next;
    }
  }

  /** Consumes one element at `at` and returns where the next begins; undefined when more bytes are needed first. */
  private step(bytes: Buffer, at: number): number | undefined {
    switch (this.expecting) {
      case 'head': {
        const end = bytes.indexOf(headEnd, at);
        if (end < 0) return undefined;
        this.startBody(bytes.toString('latin1', at, end + 2));
        return end + 4;
      }
      case 'fixed':
      case 'chunk-data': {
        const end = Math.min(bytes.length, at + this.remaining);
        this.remaining -= end - at;
        this.handlers.body(bytes.subarray(at, end));
        if (this.remaining === 0) this.endData();
        return end;
      }
      case 'chunk-size': {
        const end = bytes.indexOf(lineEnd, at);
        if (end < 0) return undefined;
        this.remaining = Number.parseInt(bytes.toString('latin1', at, end), 16);
        if (!Number.isFinite(this.remaining)) throw new Error('a chunk without a size');
        this.expecting = this.remaining === 0 ? 'trailer' : 'chunk-data';
        return end + 2;
      }
      case 'chunk-end': {
        if (bytes.length - at < 2) return undefined;
        this.expecting = 'chunk-size';
        return at + 2;
      }
      case 'trailer': {
        const end = bytes.indexOf(lineEnd, at);
        if (end < 0) return undefined;
        if (end === at) this.finish();
        return end + 2;
      }
      default:
        return this.expecting satisfies never;
    }
  }

  private startBody(head: string): void {
    this.handlers.head(head);
    const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
    if (length !== undefined) {
      this.remaining = Number(length);
      this.expecting = 'fixed';
      if (this.remaining === 0) this.finish();
    } else if (/\r\ntransfer-encoding: *chunked/i.test(head)) {
      this.expecting = 'chunk-size';
    } else {
      this.finish();
    }
  }

  private endData(): void {
    if (this.expecting === 'fixed') this.finish();
    else this.expecting = 'chunk-end';
  }

  private finish(): void {
    this.expecting = 'head';
    this.handlers.end();
  }
}
