import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, Socket, type Server } from 'node:net';
import { text } from 'node:stream/consumers';
import { setImmediate } from 'node:timers/promises';
import { createAgents } from '../../../app/src/proxy/agents.ts';

/** What became of a write: undefined until it was told. */
interface Written {
  code?: string;
}

/** Unlike `once`, whether or not an error comes with it. */
function closeOf(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.once('close', () => resolve());
  });
}

describe('agents: a write to a backend that is gone', () => {
  const agents = createAgents();
  let server: Server;
  let near: Socket;
  let far: Socket;

  beforeEach(async () => {
    server = createServer({ allowHalfOpen: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    assert.ok(typeof address === 'object' && address !== null);
    const accepted = once(server, 'connection');
    const options = { port: address.port, host: '127.0.0.1', allowHalfOpen: true };
    const connection = agents.agentFor('http:', true).createConnection(options);
    assert.ok(connection instanceof Socket);
    near = connection;
    near.pause(); // So that nothing is read before the test wants it.
    await once(near, 'connect');
    const [socket]: unknown[] = await accepted;
    assert.ok(socket instanceof Socket);
    far = socket;
    near.on('error', () => undefined);
    far.on('error', () => undefined);
  });

  afterEach(async () => {
    near.destroy();
    far.destroy();
    const closed = once(server, 'close');
    server.close();
    await closed;
  });

  function write(): Written {
    const written: Written = {};
    near.write('more', (error) => {
      written.code = error instanceof Error && 'code' in error ? String(error.code) : 'none';
    });
    return written;
  }

  async function gone(): Promise<void> {
    const closed = closeOf(far);
    far.resetAndDestroy();
    await closed;
  }

  async function assertUntold(written: Written): Promise<void> {
    for (let n = 0; n < 5; n += 1) await setImmediate();
    assert.deepEqual(written, {});
  }

  it('fails when the connection has closed, not before (ECONNRESET)', async () => {
    await gone();
    const written = write();
    await assertUntold(written);
    const closed = closeOf(near);
    near.resume();
    await closed;
    assert.deepEqual(written, { code: 'ECONNRESET' });
  });

  it('fails when what it said was read, not before (EPIPE)', async () => {
    await new Promise<void>((resolve) => {
      far.end('the answer', () => resolve());
    });
    await gone();
    const written = write();
    await assertUntold(written);
    assert.equal(await text(near), 'the answer');
    if (!near.closed) await closeOf(near);
    assert.deepEqual(written, { code: 'EPIPE' });
  });

  it('fails at once when all that it said was read before', async () => {
    far.end();
    near.resume();
    await once(near, 'end');
    await gone();
    const closed = closeOf(near);
    const written = write();
    await closed;
    assert.deepEqual(written, { code: 'EPIPE' });
  });

  it('fails when the connection is given up here', async () => {
    await gone();
    const written = write();
    await assertUntold(written);
    const closed = closeOf(near);
    near.destroy();
    await closed;
    await setImmediate();
    assert.deepEqual(written, { code: 'ECONNRESET' });
  });

  it('leaves no listener behind', async () => {
    const before = [near.listenerCount('end'), near.listenerCount('close')];
    await gone();
    const written = write();
    await assertUntold(written);
    near.destroy();
    await closeOf(near);
    assert.deepEqual([near.listenerCount('end'), near.listenerCount('close')], before);
  });
});
