/**
 * Where callers come in. Node lets in one new connection a turn of its event loop for each socket that listens (libuv has done so since
 * 1.45, https://github.com/libuv/libuv/pull/3696), and under load a turn takes tens of milliseconds: whoever comes on a new connection,
 * the probes of the platform among them, would wait seconds even for a 503, or be reset when the kernel's line is full.
 * So several sockets listen on the one port, where the system shares a port out among them (SO_REUSEPORT).
 */
import { once } from 'node:events';
import type { Server as HttpServer } from 'node:http';
import { createServer, type ListenOptions, type Server } from 'node:net';

export interface Entrance {
  readonly port: number;
  /** Lets nobody in any more. `onClosed` is called when everybody has gone. */
  close(onClosed: () => void): void;
  closeAllConnections(): void;
}

/** So many connections can be let in at one turn. With hundreds of requests in flight a turn takes a tenth of a second and more. */
const SOCKETS = 256;
/** The kernel's line for each: together thousands. Who does not get into it is not told anything for a second and more, or is reset. */
const BACKLOG = 32;

/** What is said where ports cannot be shared: macOS, old kernels. */
const NOT_SHARED: ReadonlySet<unknown> = new Set(['ENOTSUP', 'EOPNOTSUPP', 'ENOPROTOOPT', 'EINVAL']);

/** Rejects with the system's error when the port is not to be had. */
export async function openEntrance(server: HttpServer, port: number, host: string): Promise<Entrance> {
  // A shared port is given to whoever asks to share it: that another balancer has it would not be noticed.
  const free = createServer();
  await listen(free, { port, host });
  const plain = { port: portOf(free), host };
  await new Promise((resolve) => free.close(resolve));
  const shared = { ...plain, backlog: BACKLOG, reusePort: true };
  try {
    await listen(server, shared);
  } catch (error) {
    if (!NOT_SHARED.has(error instanceof Error && 'code' in error ? error.code : undefined)) throw error;
    await listen(server, plain);
    return entranceOf(server, []);
  }
  const others: Server[] = [];
  try {
    for (let count = 1; count < SOCKETS; count += 1) {
      // As Node's HTTP server has them.
      const other = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => server.emit('connection', socket));
      others.push(other);
      await listen(other, shared);
    }
  } catch {
    // Where files are so few (EMFILE), callers and backends need them more.
    for (const other of others) other.close();
    return entranceOf(server, []);
  }
  return entranceOf(server, others);
}

function entranceOf(server: HttpServer, others: readonly Server[]): Entrance {
  return {
    port: portOf(server),
    close(onClosed) {
      const all = [server, ...others].map((each) => new Promise((resolve) => each.close(resolve)));
      void Promise.all(all).then(onClosed); // `close` never rejects
    },
    closeAllConnections: () => server.closeAllConnections(),
  };
}

async function listen(server: Server, options: ListenOptions): Promise<void> {
  server.listen(options);
  await once(server, 'listening');
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}
