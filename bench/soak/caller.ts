// One request after the other on raw connections, in all the manners of callers: they read slowly, send in pieces, and
// leave in the middle. Raw, because the callers share their cores with the resources.
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { MessageParser } from '../message-parser.ts';
import type { Received } from './answers.ts';
import type { Manner, Planned } from './traffic.ts';

/** A request as its caller saw it; a caller who left saw nothing. */
export type Experience =
  | { readonly kind: 'vanished' }
  | { readonly kind: 'stayed'; readonly received: Received; readonly ms: number };

/** Longer than the longest way to an answer: two resources that hang, and one that answers. */
const DEADLINE_MS = 20_000;
/** An idle connection is used again within this time; the balancer keeps it far longer. */
const LONGEST_IDLE_MS = 30_000;
/** Loopback has millions of addresses: no caller runs out of ports. */
const ADDRESSES = 200;
const HEAD_END = '\r\n\r\n';

/** Callers, who share the connections they keep. */
export class Callers {
  private readonly port: number;
  private idle: { readonly line: Line; readonly since: number }[] = [];
  private opened = 0;
  /** Requests that are under way. */
  inFlight = 0;

  constructor(port: number) {
    this.port = port;
  }

  /** Resolves when the answer came, failed to, or the caller left; never rejects. */
  ask(planned: Planned): Promise<Experience> {
    this.inFlight += 1;
    return new Promise((resolve) => {
      const line = planned.isFresh ? this.open() : (this.takeIdle() ?? this.open());
      const exchange = new Exchange(planned, line, (experience, isReusable) => {
        this.inFlight -= 1;
        if (isReusable && !planned.isFresh) this.keep(line);
        else line.close();
        resolve(experience);
      });
      exchange.start();
    });
  }

  /** Closes the connections that wait. */
  close(): void {
    for (const { line } of this.idle) line.close();
    this.idle = [];
  }

  private open(): Line {
    this.opened += 1;
    return new Line(this.port, `127.0.1.${1 + (this.opened % ADDRESSES)}`);
  }

  private takeIdle(): Line | undefined {
    for (;;) {
      const last = this.idle.pop();
      if (last === undefined || last.line.isOpen) return last?.line;
    }
  }

  private keep(line: Line): void {
    const now = performance.now();
    while (this.idle[0] !== undefined && now - this.idle[0].since > LONGEST_IDLE_MS) this.idle.shift()?.line.close();
    this.idle.push({ line, since: now });
  }
}

interface LineUser {
  opened(): void;
  data(bytes: Buffer): void;
  ended(error: string): void;
}

const NOBODY: LineUser = { opened: () => {}, data: () => {}, ended: () => {} };

/** One connection. */
class Line {
  readonly socket: Socket;
  isOpen = true;
  user: LineUser = NOBODY;

  constructor(port: number, localAddress: string) {
    this.socket = connect({ port, host: '127.0.0.1', localAddress, noDelay: true });
    this.socket.on('connect', () => this.user.opened());
    this.socket.on('data', (bytes) => this.user.data(bytes));
    this.socket.on('error', (error: NodeJS.ErrnoException) => this.end(error.code ?? error.message));
    this.socket.on('end', () => this.end('end of the connection'));
    this.socket.on('close', () => this.end('connection closed'));
  }

  close(byReset = false): void {
    this.user = NOBODY;
    this.isOpen = false;
    if (byReset) this.socket.resetAndDestroy();
    else this.socket.destroy();
  }

  private end(error: string): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.socket.destroy();
    this.user.ended(error);
  }
}

type Finish = (experience: Experience, isReusable: boolean) => void;

/** One request and its answer. */
class Exchange {
  private readonly planned: Planned;
  private readonly line: Line;
  private readonly finish: Finish;
  private readonly parser: MessageParser;
  private readonly startedAt = performance.now();
  private readonly timers = new Set<NodeJS.Timeout>();
  private isOver = false;
  private status = 0;
  private headers: ReadonlyMap<string, string> = new Map();
  private pieces: Buffer[] = [];
  private bytes = 0;
  private pausesLeft: number;
  /** All of the request went out, as it was said to be long: after a refusal it may not have. */
  private isSent = false;

  constructor(planned: Planned, line: Line, finish: Finish) {
    this.planned = planned;
    this.line = line;
    this.finish = finish;
    const { manner } = planned;
    this.pausesLeft = manner.kind === 'slow' ? manner.pauses : 0;
    this.parser = new MessageParser({
      head: (head) => this.onHead(head),
      body: (bytes) => this.onBody(bytes),
      end: () => this.onEnd(),
    });
  }

  start(): void {
    const { line } = this;
    line.user = {
      opened: () => this.send(),
      data: (bytes) => this.onData(bytes),
      ended: (error) => this.stay('cut', error),
    };
    this.after(DEADLINE_MS, () => this.stay('late'));
    if (!line.socket.connecting) this.send();
  }

  private send(): void {
    const { head, body, manner, awaitsContinue } = this.planned;
    const headBytes = Buffer.from(head.join('\r\n') + HEAD_END, 'latin1');
    if (awaitsContinue) return this.write(headBytes);
    if (manner.kind === 'trickling') return this.trickle(headBytes, manner);
    this.isSent = true;
    if (manner.kind !== 'vanishing') return this.write(Buffer.concat([headBytes, body]));
    const { at } = manner;
    if (at.kind === 'in-body') {
      this.write(Buffer.concat([headBytes, body.subarray(0, Math.floor(at.share * body.length))]));
      // What was written goes out before the connection ends.
      return this.after(1, () => this.vanish(manner));
    }
    this.write(Buffer.concat([headBytes, body]));
    if (at.kind === 'waiting') this.after(at.ms, () => this.vanish(manner));
  }

  private trickle(bytes: Buffer, { pieces, gapMs }: Extract<Manner, { kind: 'trickling' }>): void {
    const { body } = this.planned;
    const size = Math.max(1, Math.ceil(body.length / pieces));
    const goOn = (from: number): void => {
      this.write(body.subarray(from, from + size));
      if (from + size < body.length) this.after(gapMs, () => goOn(from + size));
      else this.isSent = true;
    };
    this.write(bytes);
    // One after the other: timers of several lengths that are all late do not keep their order.
    this.after(gapMs, () => goOn(0));
  }

  private write(bytes: Buffer): void {
    if (this.line.isOpen) this.line.socket.write(bytes);
  }

  private onData(bytes: Buffer): void {
    try {
      this.parser.feed(bytes);
    } catch (error) {
      this.stay('cut', error instanceof Error ? error.message : String(error));
    }
    if (!this.isOver && this.pausesLeft > 0) this.rest();
  }

  private rest(): void {
    const { manner } = this.planned;
    this.pausesLeft -= 1;
    this.line.socket.pause();
    this.after(manner.kind === 'slow' ? manner.pauseMs : 0, () => this.line.socket.resume());
  }

  private onHead(head: string): void {
    if (this.isOver) return;
    this.status = Number(head.slice(9, 12));
    this.headers = headersIn(head);
    this.leaveAt(0);
  }

  private onBody(bytes: Buffer): void {
    if (this.isOver) return;
    this.pieces.push(Buffer.from(bytes));
    this.bytes += bytes.length;
    this.leaveAt(this.bytes);
  }

  private leaveAt(bytes: number): void {
    const { manner } = this.planned;
    if (manner.kind === 'vanishing' && manner.at.kind === 'in-answer' && bytes >= manner.at.bytes) this.vanish(manner);
  }

  private onEnd(): void {
    if (this.status === 100) {
      this.status = 0;
      this.isSent = true;
      return this.write(this.planned.body);
    }
    this.stay('whole');
  }

  private stay(end: Received['end'], error?: string): void {
    if (this.isOver) return;
    const { manner } = this.planned;
    // Everything had come before it could leave.
    if (manner.kind === 'vanishing') return this.vanish(manner);
    const body = Buffer.concat(this.pieces);
    const { status, headers } = this;
    const received = { status, headers, body, end, ...(error === undefined ? {} : { error }) };
    const isReusable = end === 'whole' && headers.get('connection') !== 'close' && this.isSent;
    this.over({ kind: 'stayed', received, ms: performance.now() - this.startedAt }, isReusable);
  }

  private vanish({ byReset }: Extract<Manner, { kind: 'vanishing' }>): void {
    if (this.isOver) return;
    if (this.line.isOpen) this.line.close(byReset);
    this.over({ kind: 'vanished' }, false);
  }

  private over(experience: Experience, isReusable: boolean): void {
    this.isOver = true;
    for (const timer of this.timers) clearTimeout(timer);
    this.line.user = NOBODY;
    this.finish(experience, isReusable && this.line.isOpen);
  }

  private after(ms: number, run: () => void): void {
    const timer = setTimeout(() => {
      this.timers.delete(timer);
      if (!this.isOver) run();
    }, ms);
    this.timers.add(timer);
  }
}

function headersIn(head: string): Map<string, string> {
  const headers = new Map<string, string>();
  for (const line of head.split('\r\n').slice(1)) {
    const colon = line.indexOf(':');
    if (colon > 0) headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
  }
  return headers;
}
