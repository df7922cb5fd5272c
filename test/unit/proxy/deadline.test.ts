import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { Deadline } from '../../../app/src/proxy/deadline.ts';

/** Nothing happens in this process meanwhile. */
function standStill(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

describe('a deadline', () => {
  let server: Server;
  let near: Socket;
  let far: Socket;
  beforeEach(async () => {
    server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    assert.ok(typeof address === 'object' && address !== null);
    const accepted = once(server, 'connection');
    near = connect(address.port, '127.0.0.1');
    await once(near, 'connect');
    [far] = await accepted;
  });
  afterEach(async () => {
    near.destroy();
    far.destroy();
    const closed = once(server, 'close');
    server.close();
    await closed;
  });

  it('lets be read what came while the process stood still', async () => {
    const told: string[] = [];
    const deadline = new Deadline(5, () => told.push('late'));
    near.once('data', () => {
      told.push('read');
      deadline.cancel();
    });
    far.write('x');
    standStill(30);
    await once(near, 'data');
    await new Promise(setImmediate);
    await new Promise(setImmediate);
    assert.deepEqual(told, ['read']);
  });

  it('is over when nothing came', async () => {
    await new Promise<void>((resolve) => {
      const deadline = new Deadline(1, resolve);
      deadline.renew();
    });
  });

  it('begins anew when it is renewed by what came while the process stood still', async () => {
    const told: string[] = [];
    const over = new Promise<void>((resolve) => {
      const deadline = new Deadline(5, () => {
        told.push('late');
        resolve();
      });
      near.once('data', () => {
        told.push('read');
        deadline.renew();
      });
    });
    far.write('x');
    standStill(30);
    await over;
    assert.deepEqual(told, ['read', 'late']);
  });
});
