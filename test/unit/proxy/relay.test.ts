import assert from 'node:assert/strict';
import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { relay } from '../../../app/src/proxy/relay.ts';
import { copiedBy } from '../../support/copied.ts';

describe('relay: an event that comes byte by byte', () => {
  it('is copied no more than a few times', async () => {
    const length = 60_000;
    const body = new IncomingMessage(new Socket());
    const res = new ServerResponse(new IncomingMessage(new Socket()));
    const header = (name: string): string | undefined => (name === 'content-type' ? 'text/event-stream' : undefined);
    const copied = await copiedBy(async () => {
      const relayed = { status: 200, rawHeaders: [], header, held: [], body };
      const limits = { idleMs: 60_000, keepAliveMs: 60_000 };
      const ended = relay(relayed, [], res, limits, new AbortController().signal, () => 0);
      for (let n = 0; n < length; n += 1) body.emit('data', Buffer.from('x'));
      body.emit('end');
      assert.deepEqual(await ended, { kind: 'served', status: 200 });
    });
    // Four of them are looked at with each byte.
    assert.ok(copied > length && copied < 10 * length, `${copied} bytes for ${length}`);
  });
});
