/**
 * The connections to the backends: kept ones for each scheme, fresh ones beside them, and two things that Node's agents
 * do not do by themselves: take all headers of an answer, and hear out a backend that closes while it is written to.
 */
import http from 'node:http';
import https from 'node:https';
import type { Duplex } from 'node:stream';

declare module 'http' {
  interface Agent {
    /** Not documented, and what every agent of others overrides. */
    addRequest(request: ClientRequest, ...rest: readonly unknown[]): void;
  }
}

export interface Agents {
  /** `fresh`: a connection of its own, which is not kept. */
  readonly agentFor: (protocol: 'http:' | 'https:', fresh: boolean) => http.Agent;
  /** Destroys the kept connections. */
  readonly close: () => void;
}

export function createAgents(): Agents {
  // httpxy's own agents stop at 256 sockets an origin.
  const keeping = { keepAlive: true, maxSockets: Number.POSITIVE_INFINITY, maxFreeSockets: 256 };
  const agents = {
    'http:': { kept: patient(new http.Agent(keeping)), fresh: patient(new http.Agent({ keepAlive: false })) },
    'https:': { kept: patient(new https.Agent(keeping)), fresh: patient(new https.Agent({ keepAlive: false })) },
  };
  return {
    agentFor: (protocol, fresh) => agents[protocol][fresh ? 'fresh' : 'kept'],
    close() {
      for (const { kept, fresh } of Object.values(agents)) {
        kept.destroy();
        fresh.destroy();
      }
    },
  };
}

/** All headers of an answer. */
const MOST_HEADER_BYTES = 65_536;

function patient<T extends http.Agent>(agent: T): T {
  // Node takes an answer with more than 16 KiB of headers for a broken one, and drops those after the first 1,000
  // without a word. This is the one place that every request passes before its parser is made.
  const addRequest = agent.addRequest.bind(agent);
  agent.addRequest = (request, ...rest) => {
    addRequest(Object.assign(request, { maxHeaderSize: MOST_HEADER_BYTES, maxHeadersCount: 0 }), ...rest);
  };
  const createConnection = agent.createConnection.bind(agent);
  agent.createConnection = (...options) => {
    const connection = createConnection(...options);
    if (connection !== null && connection !== undefined) hearOut(connection);
    return connection;
  };
  return agent;
}

type Done = (error?: Error | null) => void;

/**
 * A backend may answer, and close with a reset, before it has read the whole body: its answer is there to be read
 * although writing fails, but Node throws it away with the connection. So a failed write is told when all was read.
 */
function hearOut(connection: Duplex): void {
  const write = connection['_write'].bind(connection);
  const writev = connection['_writev']?.bind(connection);
  connection['_write'] = (chunk, encoding, done) => write(chunk, encoding, onceRead(connection, done));
  if (writev !== undefined) connection['_writev'] = (chunks, done) => writev(chunks, onceRead(connection, done));
}

function onceRead(connection: Duplex, done: Done): Done {
  return (error) => {
    if (!isGone(error) || connection.readableEnded || connection.destroyed) return done(error);
    const tell = (): void => {
      connection.off('end', tell).off('close', tell);
      done(error);
    };
    // The other end is gone, so that one of the two comes as soon as what it said was taken.
    connection.on('end', tell).on('close', tell);
  };
}

function isGone(error: Error | null | undefined): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'EPIPE' || error.code === 'ECONNRESET');
}
