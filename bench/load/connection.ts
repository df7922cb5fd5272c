// One raw keep-alive connection of the load generator, and the check of a plain answer.
import { connect } from 'node:net';
import { MessageParser } from '../message-parser.ts';
import type { MessageHandlers } from '../message-parser.ts';
import { contentOf, plainRequestBody, plainResponseBody } from '../payloads.ts';

export interface Target {
  readonly port: number;
  readonly apiKey: string;
  /** Where it takes chat completions; by default where Azure OpenAI does. */
  readonly path?: string;
  /** More of them, for gateways that want their own. */
  readonly headers?: Readonly<Record<string, string>>;
  /** It reads answers and writes them anew: what they say is checked, not their bytes. */
  readonly isRewritten?: boolean;
  /** False: it cannot stream. */
  readonly hasStreams?: boolean;
}

export interface Connection {
  write(bytes: Buffer): void;
  close(): void;
}

export interface ConnectionHandlers extends MessageHandlers {
  opened(): void;
  /** The connection ended or failed, and not because of `close`. */
  broken(reason: string): void;
}

export function openConnection(target: Target, handlers: ConnectionHandlers): Connection {
  const parser = new MessageParser(handlers);
  const socket = connect({ port: target.port, host: '127.0.0.1', noDelay: true });
  let isOver = false;
  const end = (reason: string): void => {
    if (isOver) return;
    isOver = true;
    socket.destroy();
    handlers.broken(reason);
  };
  socket.on('connect', () => handlers.opened());
  socket.on('data', (bytes) => {
    try {
      parser.feed(bytes);
    } catch (error) {
      end(error instanceof Error ? error.message : String(error));
    }
  });
  socket.on('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message));
  socket.on('close', () => end('connection closed'));
  return {
    write: (bytes) => void socket.write(bytes),
    close: () => {
      isOver = true;
      socket.destroy();
    },
  };
}

export function requestBytes(target: Target, body: string): Buffer {
  return Buffer.from(
    [
      `POST ${target.path ?? '/openai/v1/chat/completions'} HTTP/1.1`,
      `host: 127.0.0.1:${target.port}`,
      'content-type: application/json',
      'accept: application/json',
      'user-agent: bench',
      `api-key: ${target.apiKey}`,
      ...Object.entries(target.headers ?? {}).map(([name, value]) => `${name}: ${value}`),
      `content-length: ${body.length}`,
      '',
      body,
    ].join('\r\n'),
    'latin1',
  );
}

export function plainRequest(target: Target): Buffer {
  return requestBytes(target, plainRequestBody);
}

const expectedBody = Buffer.from(plainResponseBody, 'latin1');
const expectedContent = contentOf(plainResponseBody, 'message');

/** Follows one answer after the other; `problem()` says what is wrong with the one that just ended. */
export class PlainAnswerCheck {
  private readonly isRewritten: boolean;
  private status = '';
  private at = 0;
  private isIntact = true;
  private text = '';

  constructor(target: Target) {
    this.isRewritten = target.isRewritten === true;
  }

  head(head: string): void {
    this.status = head.slice(9, 12);
    this.at = 0;
    this.isIntact = true;
    this.text = '';
  }

  body(bytes: Buffer): void {
    if (this.isRewritten) {
      this.text += bytes.toString('latin1');
      return;
    }
    const end = this.at + bytes.length;
    if (end > expectedBody.length || expectedBody.compare(bytes, 0, bytes.length, this.at, end) !== 0) {
      this.isIntact = false;
    }
    this.at = end;
  }

  problem(): string | undefined {
    if (this.status !== '200') return `status ${this.status}`;
    const isRight = this.isRewritten
      ? contentOf(this.text, 'message') === expectedContent
      : this.isIntact && this.at === expectedBody.length;
    return isRight ? undefined : 'answer differs';
  }
}
