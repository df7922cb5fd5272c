// New connections under load: the event loop turns slowly then, and each turn must let in more than one of them.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { createServer as createPlainServer, Server as PlainServer, type ListenOptions } from 'node:net';
import { Worker } from 'node:worker_threads';
import { openEntrance, type Entrance } from '../../app/src/entrance.ts';
import { connectTo, exchange, head } from '../support/raw.ts';

const REQUEST = head('GET / HTTP/1.1', 'Host: x');
const CALLERS = 64;
/** Each turn of one listening socket lets in one. */
const MOST_TURNS = CALLERS / 4;

/** Opens the connections and, when all of them stand, says so in the shared memory. */
const CALLER = `
  const { workerData } = require('node:worker_threads');
  const { connect } = require('node:net');
  const done = new Int32Array(workerData.shared);
  for (let count = 0; count < workerData.callers; count += 1)
    connect(workerData.port, '127.0.0.1', () => {
      if (Atomics.add(done, 0, 1) + 1 === workerData.callers) Atomics.notify(done, 0);
    });
`;

describe('the entrance', () => {
  let server: Server;
  let entrance: Entrance | undefined;
  beforeEach(() => {
    server = createServer((_req, res) => void res.end('let in'));
  });
  afterEach(async () => {
    const closing = entrance;
    entrance = undefined;
    if (closing === undefined) return;
    const closed = new Promise<void>((resolve) => closing.close(resolve));
    closing.closeAllConnections();
    await closed;
  });

  it('lets in several new connections at one turn of the event loop', async function () {
    if (process.platform !== 'linux') this.skip();
    entrance = await openEntrance(server, 0, '127.0.0.1');
    const letIn = new Set<unknown>();
    server.on('connection', (socket) => letIn.add(socket));
    const shared = new SharedArrayBuffer(4);
    const worker = new Worker(CALLER, { eval: true, workerData: { shared, callers: CALLERS, port: entrance.port } });
    try {
      await once(worker, 'online');
      // Meanwhile the event loop stands still, as it does in a long turn, and the kernel makes the connections.
      const done = new Int32Array(shared);
      for (let stand = 0; stand < CALLERS; stand = Atomics.load(done, 0)) Atomics.wait(done, 0, stand, 1000);
      let turns = 0;
      while (letIn.size !== CALLERS && turns < 1000) {
        await new Promise(setImmediate);
        turns += 1;
      }
      assert.equal(letIn.size, CALLERS);
      assert.ok(turns <= MOST_TURNS, `${turns} turns for ${CALLERS} connections`);
    } finally {
      await worker.terminate();
    }
  });

  it('serves whoever comes, by whichever socket', async () => {
    const { port } = (entrance = await openEntrance(server, 0, '127.0.0.1'));
    const connections = await Promise.all(Array.from({ length: 40 }, () => connectTo(port)));
    for (const connection of connections) connection.write(REQUEST);
    const answers = await Promise.all(connections.map((connection) => connection.answer()));
    assert.deepEqual(new Set(answers.map(({ status, body }) => `${status} ${body}`)), new Set(['200 let in']));
  });

  it('hears of what is no request, by whichever socket', async () => {
    const { port } = (entrance = await openEntrance(server, 0, '127.0.0.1'));
    server.on('clientError', (_error, socket) =>
      socket.end('HTTP/1.1 400 Bad Request\r\ncontent-length: 4\r\n\r\nours'),
    );
    const answers = await Promise.all(Array.from({ length: 40 }, () => exchange(port, 'nonsense\r\n\r\n')));
    assert.deepEqual(new Set(answers.map(({ body }) => body)), new Set(['ours']));
  });

  it('is not shared with another that has the port, nor given to one who comes later', async () => {
    const { port } = (entrance = await openEntrance(server, 0, '127.0.0.1'));
    await assert.rejects(openEntrance(createServer(), port, '127.0.0.1'), { code: 'EADDRINUSE' });
    const later = createPlainServer().listen(port, '127.0.0.1');
    const [error] = await once(later, 'error');
    assert.equal(error.code, 'EADDRINUSE');
  });

  it('is a single one where the system shares no ports', async () => {
    const listen = server.listen.bind(server);
    let asked = 0;
    // As Node says it there.
    const value = (options: ListenOptions): Server => {
      asked += 1;
      if (options.reusePort !== true) return listen(options);
      queueMicrotask(() => server.emit('error', Object.assign(new Error('not supported'), { code: 'ENOTSUP' })));
      return server;
    };
    Object.defineProperty(server, 'listen', { value });
    const { port } = (entrance = await openEntrance(server, 0, '127.0.0.1'));
    assert.equal(asked, 2);
    const connection = await connectTo(port);
    connection.write(REQUEST);
    assert.equal((await connection.answer()).body, 'let in');
    connection.socket.end();
  });

  it('is a single one where there are no files for more', async () => {
    const listened: Server[] = [];
    const own = Object.getOwnPropertyDescriptor(PlainServer.prototype, 'listen');
    // As the system says it there: ten are had, the one that looks whether the port is free among them.
    function value(this: Server, options: ListenOptions): unknown {
      listened.push(this);
      if (listened.length <= 10) return Reflect.apply(own?.value, this, [options]);
      queueMicrotask(() => this.emit('error', Object.assign(new Error('too many open files'), { code: 'EMFILE' })));
      return this;
    }
    Object.defineProperty(PlainServer.prototype, 'listen', { ...own, value });
    try {
      entrance = await openEntrance(server, 0, '127.0.0.1');
    } finally {
      Object.defineProperty(PlainServer.prototype, 'listen', { ...own });
    }
    assert.equal(listened.length, 11);
    assert.deepEqual(
      listened.filter((each) => each.listening),
      [server],
    );
  });

  it('lets nobody in once it is closed, and waits for those who are in, by whichever socket', async () => {
    const opened = await openEntrance(server, 0, '127.0.0.1');
    const answering: (() => void)[] = [];
    server.removeAllListeners('request').on('request', (_req, res) => {
      answering.push(() => void res.end('at last'));
      if (answering.length === 20) server.emit('all here');
    });
    const connections = await Promise.all(Array.from({ length: 20 }, () => connectTo(opened.port)));
    const allHere = once(server, 'all here');
    for (const connection of connections) connection.write(REQUEST);
    await allHere;
    let isClosed = false;
    const closed = new Promise<void>((resolve) => opened.close(resolve)).then(() => (isClosed = true));
    await assert.rejects(connectTo(opened.port), { code: 'ECONNREFUSED' });
    assert.equal(isClosed, false);
    for (const answer of answering) answer();
    await Promise.all(connections.map((connection) => connection.answer()));
    for (const connection of connections) connection.socket.end();
    await closed;
  });
});
