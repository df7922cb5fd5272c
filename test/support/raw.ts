/** HTTP as bytes over a TCP connection: for requests that no client library sends, and answers read as they came. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

export interface RawAnswer {
  readonly status: number;
  /** Status line and headers, as they came. */
  readonly head: string;
  /** By lower-case name; a repeated one is joined with `, `. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface RawConnection {
  readonly socket: Socket;
  write(bytes: string | Buffer): void;
  /** The next answer, interim ones (1xx) included; rejects when the connection ends without a whole one. */
  answer(method?: string): Promise<RawAnswer>;
  /** All bytes that no `answer` took, once the balancer has closed the connection. */
  rest(): Promise<string>;
}

interface Parsed {
  readonly answer: RawAnswer;
  readonly length: number;
}

export async function connectTo(port: number): Promise<RawConnection> {
  const socket = connect(port, '127.0.0.1');
  let received = Buffer.alloc(0);
  let isClosed = false;
  const changed = new Set<() => void>();
  const tell = (): void => {
    for (const look of changed) look();
  };
  socket.on('data', (bytes) => {
    received = Buffer.concat([received, bytes]);
    tell();
  });
  socket.on('error', () => undefined); // A reset is an end too: `close` tells.
  socket.on('close', () => {
    isClosed = true;
    tell();
  });
  await once(socket, 'connect');

  /** Resolves with the first thing that `look` finds, now or after more bytes. */
  function until<T>(look: () => T | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      const attempt = (): void => {
        const found = look();
        if (found === undefined && !isClosed) return;
        changed.delete(attempt);
        if (found === undefined) reject(new Error(`the connection ended after ${JSON.stringify(received.toString())}`));
        else resolve(found);
      };
      changed.add(attempt);
      attempt();
    });
  }

  return {
    socket,
    write: (bytes) => void socket.write(bytes),
    async answer(method = 'GET') {
      const { answer, length } = await until(() => parseAnswer(received, method, isClosed));
      received = received.subarray(length);
      return answer;
    },
    rest: () => until(() => (isClosed ? received.toString('latin1') : undefined)),
  };
}

/** Writes these bytes on a connection of their own and reads until the balancer closes it. */
export async function exchange(port: number, bytes: string | Buffer): Promise<RawAnswer & { readonly rest: string }> {
  const connection = await connectTo(port);
  connection.write(bytes);
  const answer = await connection.answer();
  return { ...answer, rest: await connection.rest() };
}

/** Lines as a request's head. */
export function head(...lines: readonly string[]): string {
  return `${lines.join('\r\n')}\r\n\r\n`;
}

/** `error.code` of an error in Azure's shape; the shape and the type are checked on the way. */
export function codeOf({ body }: { readonly body: string }): string {
  const document: unknown = JSON.parse(body);
  const error = memberOf(document, 'error');
  const code = memberOf(error, 'code');
  for (const name of ['message', 'type']) {
    const text = memberOf(error, name);
    if (typeof text !== 'string' || text === '') throw new Error(`the error has no ${name}: ${body}`);
  }
  if (typeof code !== 'string') throw new Error(`the error has no code: ${body}`);
  return code;
}

function memberOf(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  return new Map<string, unknown>(Object.entries(value)).get(name);
}

function parseAnswer(bytes: Buffer, method: string, isClosed: boolean): Parsed | undefined {
  const headLength = bytes.indexOf('\r\n\r\n') + 4;
  if (headLength === 3) return undefined;
  const headText = bytes.toString('latin1', 0, headLength);
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(headText)?.[1]);
  const headers: Record<string, string> = {};
  for (const line of headText.split('\r\n').slice(1)) {
    const colon = line.indexOf(':');
    if (colon === -1) continue;
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`;
  }
  const body = bodyIn(bytes.subarray(headLength), { status, headers, method, isClosed });
  if (body === undefined) return undefined;
  return { answer: { status, head: headText, headers, body: body.text }, length: headLength + body.length };
}

function bodyIn(
  bytes: Buffer,
  framing: {
    readonly status: number;
    readonly headers: Readonly<Record<string, string>>;
    readonly method: string;
    readonly isClosed: boolean;
  },
): { readonly text: string; readonly length: number } | undefined {
  const { status, headers, method, isClosed } = framing;
  if (method === 'HEAD' || status < 200 || status === 204 || status === 304) return { text: '', length: 0 };
  if (headers['transfer-encoding'] !== undefined) return chunkedIn(bytes);
  const declared = headers['content-length'];
  if (declared === undefined) return isClosed ? { text: bytes.toString('latin1'), length: bytes.length } : undefined;
  const length = Number(declared);
  return bytes.length < length ? undefined : { text: bytes.toString('latin1', 0, length), length };
}

function chunkedIn(bytes: Buffer): { readonly text: string; readonly length: number } | undefined {
  let at = 0;
  let text = '';
  for (;;) {
    const lineEnd = bytes.indexOf('\r\n', at);
    if (lineEnd === -1) return undefined;
    const size = Number.parseInt(bytes.toString('latin1', at, lineEnd), 16);
    const end = lineEnd + 2 + size;
    if (bytes.length < end + 2) return undefined;
    text += bytes.toString('latin1', lineEnd + 2, end);
    at = end + 2;
    if (size === 0) return { text, length: at };
  }
}
