import assert from 'node:assert/strict';
import { once } from 'node:events';
import http, { IncomingMessage } from 'node:http';
import { connect, Socket } from 'node:net';
import * as fc from 'fast-check';
import {
  createByteBudget,
  isEncoded,
  readBody,
  type BodyRead,
  type ByteBudget,
} from '../../../app/src/proxy/request-body.ts';
import { copiedBy } from '../../support/copied.ts';
import { useManualTimers, type ManualTimers } from '../../support/manual-timers.ts';

const IDLE_MS = 30_000;

/** A request whose body comes when the test says so. */
function request(headers: Readonly<Record<string, string>> = { 'transfer-encoding': 'chunked' }): IncomingMessage {
  const req = new IncomingMessage(new Socket());
  Object.assign(req.headers, headers);
  return req;
}

function read(req: IncomingMessage, budget: ByteBudget, mostBytes = 1000): Promise<BodyRead> {
  return readBody(req, budget, { mostBytes, idleMs: IDLE_MS });
}

/** A tick of the streams' own scheduling. */
function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

/** The bytes that were read, which must be held by the budget until they are freed, once. */
function assertHeld(got: BodyRead, budget: ByteBudget, heldBesides = 0): Buffer {
  assert.equal(got.kind, 'body');
  assert.ok(got.kind === 'body');
  const { bytes } = got.body;
  assert.equal(budget.taken, heldBesides + bytes.length);
  got.body.free();
  got.body.free();
  assert.equal(budget.taken, heldBesides);
  assert.equal(got.body.bytes.length, 0);
  return bytes;
}

describe('request body: the budget', () => {
  it('takes what fits, to the last byte, and all of it or nothing', () => {
    const budget = createByteBudget(10);
    assert.deepEqual([budget.take(6), budget.take(5), budget.take(4), budget.take(1)], [true, false, true, false]);
    assert.equal(budget.taken, 10);
    budget.give(10);
    assert.equal(budget.taken, 0);
  });
});

describe('request body: its encoding', () => {
  it('is plain without Content-Encoding, and with identity', () => {
    for (const headers of [{}, { 'content-encoding': '' }, { 'content-encoding': 'Identity' }]) {
      assert.equal(isEncoded(request(headers)), false);
    }
  });

  it('is something else with any other', () => {
    for (const encoding of ['gzip', 'br', 'identity, gzip', 'x', ' ']) {
      assert.equal(isEncoded(request({ 'content-encoding': encoding })), true, encoding);
    }
  });
});

describe('request body: read whole', () => {
  it('is empty at once for a request without a body', async () => {
    const budget = createByteBudget(10);
    assert.equal(assertHeld(await read(request({}), budget), budget).length, 0);
  });

  it('is the bytes as they came, in one piece or in many', async () => {
    for (const pieces of [['abc'], ['a', '', 'bc'], ['\0\u00ff', 'ü', '\r\n'], []]) {
      const budget = createByteBudget(1000);
      const req = request();
      const reading = read(req, budget);
      for (const piece of pieces) req.push(piece);
      req.push(null);
      assert.equal(assertHeld(await reading, budget).toString(), pieces.join(''));
    }
  });

  it('is copied no more than a few times, however small its pieces', async () => {
    const count = 20_000;
    const budget = createByteBudget(count);
    const copied = await copiedBy(async () => {
      const req = request();
      const reading = read(req, budget, count);
      for (let n = 0; n < count; n += 1) req.push('x');
      req.push(null);
      assert.equal(assertHeld(await reading, budget).length, count);
    });
    assert.ok(copied > 0 && copied <= 3 * count, `${copied} bytes for ${count}`);
  });

  it('may be as long as the limit and not a byte longer, declared or not', async () => {
    for (const [length, kind] of [
      [10, 'body'],
      [11, 'too-large'],
    ] as const) {
      for (const headers of [{ 'content-length': String(length) }, { 'transfer-encoding': 'chunked' }]) {
        const budget = createByteBudget(1000);
        const req = request(headers);
        const reading = read(req, budget, 10);
        req.push(Buffer.alloc(6));
        req.push(Buffer.alloc(length - 6));
        req.push(null);
        const got = await reading;
        assert.equal(got.kind, kind);
        if (got.kind === 'body') assertHeld(got, budget);
        assert.equal(budget.taken, 0);
      }
    }
  });

  it('is refused by its declared length without reading any of it', async () => {
    const budget = createByteBudget(1000);
    const req = request({ 'content-length': '11' });
    req.push(Buffer.alloc(11));
    assert.deepEqual(await read(req, budget, 10), { kind: 'too-large' });
    assert.equal(req.readableLength, 11);
    assert.equal(budget.taken, 0);
  });
});

describe('request body: the budget on every path', () => {
  it('is given back when there is no room left, and what others hold stays', async () => {
    const budget = createByteBudget(10);
    budget.take(4);
    const req = request();
    const reading = read(req, budget);
    req.push(Buffer.alloc(6));
    await turn();
    assert.equal(budget.taken, 10);
    req.push(Buffer.alloc(1));
    assert.deepEqual(await reading, { kind: 'no-room' });
    assert.equal(budget.taken, 4);
  });

  it('is given back when the body turns out too large in the middle', async () => {
    const budget = createByteBudget(1000);
    const req = request();
    const reading = read(req, budget, 10);
    req.push(Buffer.alloc(10));
    await turn();
    assert.equal(budget.taken, 10);
    req.push(Buffer.alloc(1));
    assert.deepEqual(await reading, { kind: 'too-large' });
    assert.equal(budget.taken, 0);
    assert.equal(req.isPaused(), true);
  });

  it('is given back when the caller goes away in the middle, with or without an error', async () => {
    for (const error of [undefined, new Error('reset')]) {
      const budget = createByteBudget(1000);
      const req = request();
      const reading = read(req, budget);
      req.push('abc');
      await turn();
      assert.equal(budget.taken, 3);
      req.destroy(error);
      assert.deepEqual(await reading, { kind: 'gone' });
      assert.equal(budget.taken, 0);
    }
  });

  it('survives the errors of a request that it has given up', async () => {
    const budget = createByteBudget(1);
    const req = request();
    const reading = read(req, budget);
    req.push('abc');
    assert.deepEqual(await reading, { kind: 'no-room' });
    req.destroy(new Error('late'));
    await turn();
    assert.equal(budget.taken, 0);
  });

  it('leaves no listener of its own on a request that is read', async () => {
    const req = request();
    const before = ['data', 'end', 'error', 'close'].map((event) => req.listenerCount(event));
    const reading = read(req, createByteBudget(10));
    req.push('abc');
    req.push(null);
    await reading;
    assert.deepEqual(
      ['data', 'end', 'error', 'close'].map((event) => req.listenerCount(event)),
      before,
    );
  });

  it('is balanced whatever comes, in whatever pieces, and however it ends', async () => {
    const piece = fc.integer({ min: 0, max: 40 });
    const ending = fc.constantFrom('end' as const, 'destroy' as const, 'error' as const);
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ pieces: fc.array(piece, { maxLength: 6 }), ending }), { maxLength: 5 }),
        fc.integer({ min: 1, max: 200 }),
        fc.integer({ min: 1, max: 100 }),
        async (bodies, room, mostBytes) => {
          const budget = createByteBudget(room);
          const readings = bodies.map((one) => {
            const req = request();
            const reading = read(req, budget, mostBytes);
            for (const length of one.pieces) req.push(Buffer.alloc(length));
            if (one.ending === 'end') req.push(null);
            else req.destroy(one.ending === 'error' ? new Error('reset') : undefined);
            return reading;
          });
          let held = 0;
          const results = await Promise.all(readings);
          for (const [index, got] of results.entries()) {
            if (got.kind !== 'body') continue;
            const expected = bodies[index]?.pieces.reduce((sum, length) => sum + length, 0);
            assert.equal(got.body.bytes.length, expected);
            held += got.body.bytes.length;
          }
          assert.equal(budget.taken, held);
          assert.ok(held <= room);
          for (const got of results) if (got.kind === 'body') got.body.free();
          assert.equal(budget.taken, 0);
        },
      ),
    );
  });
});

describe('request body: a sender who pauses', () => {
  let timers: ManualTimers;
  beforeEach(() => {
    timers = useManualTimers();
  });
  afterEach(() => timers.restore());

  it('is given up after the longest pause, to the millisecond, and the budget is given back', async () => {
    const budget = createByteBudget(1000);
    const req = request();
    let got: BodyRead | undefined;
    const reading = read(req, budget).then((result) => {
      got = result;
    });
    req.push('abc');
    await turn();
    timers.advance(IDLE_MS - 1);
    await turn();
    assert.equal(got, undefined);
    timers.advance(1);
    await reading;
    assert.deepEqual(got, { kind: 'too-slow' });
    assert.equal(budget.taken, 0);
  });

  it('may take as long as it wants while it sends', async () => {
    const budget = createByteBudget(1000);
    const req = request();
    const reading = read(req, budget);
    for (let i = 0; i < 5; i += 1) {
      timers.advance(IDLE_MS - 1);
      req.push('x');
      await turn();
    }
    req.push(null);
    assert.equal(assertHeld(await reading, budget).toString(), 'xxxxx');
    assert.equal(timers.pending, 0);
  });
});

describe('request body: over a real connection', () => {
  let server: http.Server;
  let budget: ByteBudget;
  let reads: Promise<BodyRead>[];
  beforeEach(async () => {
    budget = createByteBudget(1_000_000);
    reads = [];
    server = http.createServer((req, res) => {
      const reading = read(req, budget, 500_000);
      reads.push(reading);
      void reading.then(() => res.end('done'));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  afterEach(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });

  function port(): number {
    const address = server.address();
    assert.ok(typeof address === 'object' && address !== null);
    return address.port;
  }

  async function post(body: Buffer, headers: Readonly<Record<string, string>>): Promise<void> {
    const req = http.request({ port: port(), host: '127.0.0.1', method: 'POST', headers, agent: false });
    req.on('error', () => undefined);
    req.end(body);
    const [res]: IncomingMessage[] = await once(req, 'response');
    res?.resume();
    await once(res ?? req, 'end');
  }

  it('is read byte for byte, with a length and chunked', async () => {
    const body = Buffer.alloc(400_000, 'a\0ü\r\n');
    for (const headers of [{ 'content-length': String(body.length) }, { 'transfer-encoding': 'chunked' }]) {
      await post(body, headers);
      const got = await reads.pop();
      assert.ok(got !== undefined);
      assert.ok(assertHeld(got, budget).equals(body));
    }
  });

  it('gives the budget back when the connection breaks in the middle', async () => {
    const socket = connect(port(), '127.0.0.1');
    const asked = once(server, 'request');
    socket.write('POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nabc');
    await asked;
    socket.destroy();
    assert.deepEqual(await reads[0], { kind: 'gone' });
    assert.equal(budget.taken, 0);
  });
});
