// The stand-in for three Azure OpenAI resources: one process, three ports and three more that speak TLS, raw sockets, as
// light as Node allows. A POST is answered with a fixed chat completion, or with the stream its `bench` field asks for.
// Prints its ports, with commas between them and those of TLS last, once it listens. Nothing here ever refuses or fails: only the way through a proxy is measured.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { listenAnywhere } from './listen.ts';
import { MessageParser } from './message-parser.ts';
import { doneEvent, monotonicUs, plainResponseBody, readStreamRequest, streamEvent } from './payloads.ts';
import type { StreamRequest } from './payloads.ts';

const backlog = 4096;

// The headers Azure OpenAI sends, with more quota left than the benchmark can use.
const commonHeaders = [
  'HTTP/1.1 200 OK',
  'apim-request-id: 6ad5dc0e-7b5c-4f0e-9c53-1e6f0f5a1c11',
  'strict-transport-security: max-age=31536000; includeSubDomains; preload',
  'x-content-type-options: nosniff',
  'x-ms-region: Sweden Central',
  'x-ratelimit-limit-requests: 100000000',
  'x-ratelimit-limit-tokens: 2000000000',
  'x-ratelimit-remaining-requests: 99999999',
  'x-ratelimit-remaining-tokens: 1999999999',
  'x-request-id: 0f4f1e2c-8a51-4f7e-bb0a-34a9c0a5e5d2',
  'connection: keep-alive',
];

const plainAnswer = Buffer.from(
  [
    ...commonHeaders,
    'content-type: application/json',
    `content-length: ${plainResponseBody.length}`,
    '',
    plainResponseBody,
  ].join('\r\n'),
);

const streamHead = [
  ...commonHeaders,
  'content-type: text/event-stream; charset=utf-8',
  'transfer-encoding: chunked',
  '',
  '',
].join('\r\n');

// The first event goes out at once; the others at different phases of their interval, spread by the golden ratio, as independent callers' would.
let streamsBegun = 0;

function serve(socket: Socket): void {
  let body = '';
  let stopStream: (() => void) | undefined;
  const parser = new MessageParser({
    head: () => {
      body = '';
    },
    body: (bytes) => {
      body += bytes.toString('latin1');
    },
    end: () => {
      const wanted = readStreamRequest(body);
      if (wanted === undefined) socket.write(plainAnswer);
      else stopStream = stream(socket, wanted);
    },
  });
  socket.setNoDelay(true);
  socket.on('data', (bytes) => parser.feed(bytes));
  socket.on('error', () => socket.destroy());
  socket.on('close', () => stopStream?.());
}

function stream(socket: Socket, wanted: StreamRequest): () => void {
  streamsBegun += 1;
  const phase = (streamsBegun * 0.618034) % 1;
  const startUs = monotonicUs() + phase * wanted.intervalMs * 1000;
  let sent = 0;
  let timer = schedule();

  // Due times are computed from the start, so that late timers do not slow the stream down.
  function schedule(): NodeJS.Timeout {
    const dueUs = sent === 0 ? 0 : startUs + (sent - 1) * wanted.intervalMs * 1000;
    return setTimeout(sendNext, Math.max(0, (dueUs - monotonicUs()) / 1000));
  }

  function sendNext(): void {
    const event = streamEvent({ number: sent, sentAtUs: monotonicUs() }, wanted.chunkBytes);
    const bytes = (sent === 0 ? streamHead : '') + chunk(event);
    sent += 1;
    if (sent < wanted.chunks) {
      socket.write(bytes, 'latin1');
      timer = schedule();
    } else {
      socket.write(`${bytes}${chunk(doneEvent)}0\r\n\r\n`, 'latin1');
    }
  }

  return () => clearTimeout(timer);
}

function chunk(data: string): string {
  return `${data.length.toString(16)}\r\n${data}\r\n`;
}

const certificate = {
  cert: readFileSync(process.env['TLS_CERT_FILE'] ?? ''),
  key: readFileSync(process.env['TLS_KEY_FILE'] ?? ''),
};
const servers: Server[] = [
  ...Array.from({ length: 3 }, () => createServer(serve)),
  ...Array.from({ length: 3 }, () => createTlsServer({ ...certificate, ALPNProtocols: ['http/1.1'] }, serve)),
];
const ports = await Promise.all(servers.map((server) => listenAnywhere(server, backlog)));
process.stdout.write(`${ports.join()}\n`);
