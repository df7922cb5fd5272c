import assert from 'node:assert/strict';
import { stat } from 'node:fs';
import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import * as fc from 'fast-check';
import { createUsageTap } from '../../../app/src/proxy/usage-tap.ts';
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

describe('relay: the usage chunk that only we asked for', () => {
  const header = (name: string): string | undefined => (name === 'content-type' ? 'text/event-stream' : undefined);
  const CHUNK = 'data: {"choices":[],"usage":{"prompt_tokens":11,"completion_tokens":5}}\n\n';
  const STREAM = [
    'data: {"choices":[],"prompt_filter_results":[]}\n\n',
    'data: {"choices":[{"delta":{"content":"H\u00e9"}}],"usage":null}\n\n',
    CHUNK,
    'data: [DONE]\n\n',
  ].join('');

  interface Given {
    readonly text: string;
    readonly tokens: number | undefined;
  }

  /** What the caller got of a stream that came in these pieces, and what was read along. */
  async function given(pieces: readonly Buffer[], hidesUsage: boolean, held: readonly Buffer[] = []): Promise<Given> {
    const body = new IncomingMessage(new Socket());
    const res = new ServerResponse(new IncomingMessage(new Socket()));
    const written: Buffer[] = [];
    Object.assign(res, {
      write: (bytes: Buffer) => written.push(bytes) > 0,
      end: (bytes = Buffer.alloc(0)) => written.push(bytes),
    });
    const tap = createUsageTap(header);
    assert.ok(tap !== undefined);
    const relayed = { status: 200, rawHeaders: [], header, held, tap, hidesUsage };
    const limits = { idleMs: 60_000, keepAliveMs: 60_000 };
    const { signal } = new AbortController();
    const ended =
      pieces.length === 0
        ? relay(relayed, [], res, limits, signal, () => 0)
        : relay({ ...relayed, body }, [], res, limits, signal, () => 0);
    for (const piece of pieces) body.emit('data', piece);
    body.emit('end');
    assert.deepEqual(await ended, { kind: 'served', status: 200 });
    return { text: Buffer.concat(written).toString(), tokens: tap.usage()?.promptTokens };
  }

  function cut(text: string, places: readonly number[]): readonly Buffer[] {
    const bytes = Buffer.from(text);
    const at = [0, ...places.map((place) => place % bytes.length).toSorted((a, b) => a - b), bytes.length];
    return at.slice(1).map((end, index) => bytes.subarray(at[index], end));
  }

  it('is read and kept from the caller, however the bytes are cut, and nothing else is', async () => {
    const places = fc.array(fc.nat(), { maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(places, fc.constantFrom('\n', '\r\n', '\r'), fc.boolean(), async (at, lineEnd, isEnded) => {
        const inLines = (text: string): string => text.replaceAll('\n', lineEnd);
        const stream = inLines(isEnded ? STREAM : STREAM.slice(0, STREAM.indexOf('data: [DONE]')).trimEnd());
        const { text, tokens } = await given(cut(stream, at), true);
        const kept = inLines(STREAM).replace(inLines(CHUNK), '');
        const expected = isEnded ? kept : kept.slice(0, kept.indexOf('data: [DONE]'));
        // Of a CRLF that is cut in two the second half may be left: a blank line more.
        const halves = (written: string): string => (lineEnd === '\r\n' ? written.replaceAll('\n', '') : written);
        assert.equal(halves(text), halves(expected));
        assert.equal(tokens, 11);
      }),
    );
  });

  it('is given to a caller who asked, byte for byte', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(), { maxLength: 12 }), async (at) => {
        assert.deepEqual(await given(cut(STREAM, at), false), { text: STREAM, tokens: 11 });
      }),
    );
  });

  it('is kept from the caller of a stream that came whole, or began with what was held', async () => {
    const expected = { text: STREAM.replace(CHUNK, ''), tokens: 11 };
    assert.deepEqual(await given([], true, [Buffer.from(STREAM)]), expected);
    assert.deepEqual(await given([], false, [Buffer.from(STREAM)]), { text: STREAM, tokens: 11 });
    const [first = Buffer.alloc(0), second = Buffer.alloc(0)] = cut(STREAM, [60]);
    assert.deepEqual(await given([second], true, [first]), expected);
  });

  it('is kept from the caller after an event so long that it went out in parts', async () => {
    const long = `data: {"choices":[{"delta":{"content":"${'x'.repeat(200_000)}"}}]}\n\n`;
    const pieces = Array.from({ length: 40 }, (_, n) => n * 6000);
    const { text, tokens } = await given(cut(long + STREAM, pieces), true);
    assert.ok(text === long + STREAM.replace(CHUNK, ''));
    assert.equal(tokens, 11);
  });
});

describe('relay: a process that stood still', () => {
  it('reads what came meanwhile before it takes it for silence', async () => {
    const body = new IncomingMessage(new Socket());
    const res = new ServerResponse(new IncomingMessage(new Socket()));
    const header = (name: string): string | undefined => (name === 'content-type' ? 'text/event-stream' : undefined);
    const relayed = { status: 200, rawHeaders: [], header, held: [], body };
    const limits = { idleMs: 20, keepAliveMs: 60_000 };
    const ended = relay(relayed, [], res, limits, new AbortController().signal, () => performance.now());
    // Done by another thread while this one stands still; heard of when the event loop looks for what came.
    stat('.', () => {
      body.emit('data', Buffer.from('data: x\n\n'));
      body.emit('end');
    });
    const until = performance.now() + 60;
    while (performance.now() < until);
    assert.deepEqual(await ended, { kind: 'served', status: 200 });
  });
});
