// The sockets of a simulated resource: which are open, and how to reset one. A reset is of the TCP connection, which under
// TLS is another object than the request's socket.

import type { Server as HttpServer } from 'node:http';
import { Server as HttpsServer } from 'node:https';
import type { Socket } from 'node:net';

/** TLS socket → the TCP socket beneath. */
const beneath = new WeakMap<Socket, Socket>();

/** The open TCP connections of a server, kept up to date. */
export function openSocketsOf(server: HttpServer | HttpsServer): ReadonlySet<Socket> {
  const open = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
  });
  if (server instanceof HttpsServer) {
    server.on('secureConnection', (secure) => {
      for (const socket of open) {
        if (socket.remotePort === secure.remotePort && socket.remoteAddress === secure.remoteAddress) {
          beneath.set(secure, socket);
        }
      }
    });
  }
  return open;
}

/** Ends the connection with RST. */
export function resetConnection(socket: Socket): void {
  (beneath.get(socket) ?? socket).resetAndDestroy();
}
