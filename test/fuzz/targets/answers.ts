import assert from 'node:assert/strict';
import type { Outcome } from '../../../app/src/balancer/outcome.ts';
import { peek, type PeekFailed } from '../../../app/src/proxy/peek.ts';
import type { AnswerBody } from '../../../app/src/proxy/forward.ts';
import { errorEvent } from '../../../app/src/proxy/proxy-error.ts';
import { bodyToCome, relayed } from '../../support/relayed.ts';
import { slowEventsLength } from '../../support/slow-events.ts';
import { piecesOf, type Chance } from '../mutate.ts';
import { bytesOf, type Target } from '../target.ts';
import { eventSamples, eventWords } from './events.ts';

const LONGEST_HELD_EVENT = 65_536;
const PEEK = { holdBytes: 65_536, errorBodyMs: 1000, idleMs: 1000, spillsLongPrompts: false };
const RELAY = { idleMs: 1_000_000, keepAliveMs: 1_000_000 };
const HEADERS = [
  { 'content-type': 'text/event-stream; charset=utf-8' },
  { 'content-type': 'application/json' },
  { 'content-type': 'text/event-stream', 'content-encoding': 'gzip' },
  {},
] as const;
const BROKEN = errorEvent({
  code: 'stream_broken',
  message: 'The backend broke off in the middle of its answer. Send the request again.',
});

/** What a backend gives piece by piece, and how it ends. */
interface Given {
  readonly body: AnswerBody;
  readonly pieces: readonly Buffer[];
  readonly isCut: boolean;
}

export const answers: Target = {
  name: 'answers',
  property:
    'however an answer is cut and however slowly it is taken, what was read ahead and what is relayed are its bytes, in events that are whole; of one that breaks off, the whole events, and an error',
  samples: [
    ...eventSamples,
    ...bytesOf(
      '{"choices":[{"message":{"content":"x"}}],"usage":{"prompt_tokens":1}}',
      `data: ${'x'.repeat(3000)}\n\n`,
      `data: ${'x'.repeat(70_000)}\n\ndata: a\n\n`,
    ),
  ],
  words: eventWords,
  longest: 140_000,
  share: 0.1,
  async check(bytes, chance) {
    const headers: Readonly<Record<string, string>> = chance.pick(HEADERS);
    const header = (name: string): string | undefined => headers[name];
    const isEvents = headers === HEADERS[0];
    const body = bodyToCome();
    const { signal } = new AbortController();
    const given: Given = { body, pieces: piecesOf(bytes, chance), isCut: chance.oneIn(4) };
    const answer = { status: 200, rawHeaders: [], header, body };
    const looked = peek(answer, PEEK, signal, () => 0);
    const read = readAhead(given);
    const peeked = await looked;
    body.removeAllListeners('data');
    if (peeked.kind === 'failed') return failedWith(peeked, given);
    const held = Buffer.concat(peeked.held);
    assert.ok(held.equals(bytes.subarray(0, held.length)));
    assert.equal(held.length, Buffer.concat(given.pieces.slice(0, read)).length);
    if (peeked.isWhole) {
      assert.equal(held.length, bytes.length);
      return `whole ${isEvents}`;
    }
    const caught = relayed({ ...answer, held: peeked.held }, RELAY, signal, () => chance.oneIn(3));
    giveRest(given, read, caught, chance);
    const outcome = await caught.outcome;
    const got = Buffer.concat(caught.writes);
    if (!given.isCut) assert.ok(got.equals(bytes), JSON.stringify(got.toString('latin1')));
    else if (isEvents) checkBrokenOff(bytes, caught.writes);
    else assert.ok(got.equals(bytes));
    assert.equal(caught.isEnded, !given.isCut);
    assert.deepEqual(outcome, outcomeOf(given));
    if (isEvents) checkBoundaries(bytes, given.isCut ? caught.writes.slice(0, -1) : caught.writes);
    return `${isEvents ? 'events' : 'bytes'} ${outcome.kind}`;
  },
};

/** Gives what is asked for, and its end where there is nothing more; how many pieces that took. */
function readAhead({ body, pieces, isCut }: Given): number {
  let given = 0;
  // Whoever has seen enough listens no more.
  while (given < pieces.length && body.listenerCount('data') > 0) {
    body.emit('data', pieces[given]);
    given += 1;
  }
  if (body.listenerCount('data') > 0) body.emit(isCut ? 'close' : 'end');
  return given;
}

function giveRest(
  { body, pieces, isCut }: Given,
  from: number,
  caught: ReturnType<typeof relayed>,
  chance: Chance,
): void {
  for (const piece of pieces.slice(from)) {
    // A stream that is paused may still have a piece on the way.
    if (caught.isPaused && !chance.oneIn(4)) caught.drain();
    body.emit('data', piece);
  }
  if (caught.isPaused) caught.drain();
  body.emit(isCut ? 'close' : 'end');
}

function failedWith({ outcome }: PeekFailed, { isCut }: Given): string {
  if (outcome.kind === 'failed' && outcome.cause === 'reset') assert.ok(isCut);
  return outcome.kind === 'failed' ? `failed ${outcome.cause}` : outcome.kind;
}

function outcomeOf({ isCut }: Given): Outcome {
  return isCut ? { kind: 'broken', cause: 'reset' } : { kind: 'served', status: 200 };
}

/** Of events those that are whole, and of one that is too long what went out of it; then the error, by itself. */
function checkBrokenOff(bytes: Buffer, writes: readonly Buffer[]): void {
  const sent = Buffer.concat(writes.slice(0, -1));
  assert.ok(sent.equals(bytes.subarray(0, sent.length)));
  const whole = slowEventsLength(bytes.toString('latin1'));
  if (sent.length > whole) assert.ok(bytes.length - whole > LONGEST_HELD_EVENT);
  // More blank lines than one are no events.
  else assert.match(bytes.toString('latin1', sent.length, whole), /^[\r\n]*$/);
  const error = writes.at(-1)?.toString('latin1');
  assert.equal(error, isBoundary(bytes, sent.length) ? BROKEN : `\n\n${BROKEN}`);
}

/** Every write but the last ends with an event, unless that is too long to be held. */
function checkBoundaries(bytes: Buffer, writes: readonly Buffer[]): void {
  let sent = 0;
  let boundary = 0;
  for (const write of writes.slice(0, -1)) {
    sent += write.length;
    if (isBoundary(bytes, sent)) boundary = sent;
    else assert.ok(sent - boundary > LONGEST_HELD_EVENT, `${sent} is in the middle of an event`);
  }
}

/** A blank line ends here: of two line ends the longest form has four bytes. */
function isBoundary(bytes: Buffer, at: number): boolean {
  const before = `${at > 4 ? 'x' : ''}${bytes.toString('latin1', Math.max(0, at - 4), at)}`;
  const next = bytes.toString('latin1', at, at + 1);
  return at === 0 || [before, before + next].some((text) => slowEventsLength(text) === before.length);
}
