import assert from 'node:assert/strict';
import { background, type Output, type WriteBytes } from '../../../app/src/telemetry/output.ts';
import { useManualTimers, type ManualTimers } from '../../support/manual-timers.ts';

type Done = Parameters<WriteBytes>[1];

describe('output in the background', () => {
  let timers: ManualTimers;
  let begun: { readonly text: string; readonly done: Done }[];
  let atOnce: string[];
  let output: Output;
  beforeEach(() => {
    timers = useManualTimers();
    begun = [];
    atOnce = [];
    output = background(
      true,
      (bytes, done) => begun.push({ text: bytes.toString(), done }),
      (bytes) => atOnce.push(bytes.toString()),
    );
  });
  afterEach(() => timers.restore());

  /** The last write comes to this; all of it was written unless it says otherwise. */
  function end(written?: number, code?: string): void {
    const last = begun.at(-1);
    assert.ok(last !== undefined);
    last.done(
      code === undefined ? null : Object.assign(new Error(code), { code }),
      written ?? Buffer.byteLength(last.text),
    );
  }

  const texts = (): readonly string[] => begun.map(({ text }) => text);

  it('has one write under way at a time, and writes what comes meanwhile together, in order', () => {
    output.write('a\n');
    output.write('b\n');
    output.write('c\n');
    assert.deepEqual(texts(), ['a\n']);
    end();
    assert.deepEqual(texts(), ['a\n', 'b\nc\n']);
    end();
    output.write('d\n');
    assert.deepEqual(texts(), ['a\n', 'b\nc\n', 'd\n']);
  });

  it('does not wait for who does not read: it says how much is waiting', () => {
    output.write('ü\n');
    assert.equal(output.writableLength, 3);
    output.write('bcd\n');
    assert.equal(output.writableLength, 7);
    end();
    assert.equal(output.writableLength, 4);
    end();
    assert.equal(output.writableLength, 0);
  });

  it('goes on where a write ended early', () => {
    output.write('abcdef');
    end(2);
    assert.deepEqual(texts(), ['abcdef', 'cdef']);
    assert.equal(output.writableLength, 4);
    end();
    assert.equal(output.writableLength, 0);
  });

  it('tries again when the terminal is busy', () => {
    output.write('a');
    end(0, 'EAGAIN');
    assert.deepEqual(texts(), ['a']);
    timers.advance(10);
    assert.deepEqual(texts(), ['a', 'a']);
  });

  it('loses what nobody is there to read, and goes on', () => {
    output.write('a');
    output.write('b');
    end(0, 'EIO');
    assert.deepEqual(texts(), ['a', 'b']);
    end();
    assert.equal(output.writableLength, 0);
  });

  it('is settled when all is written, or when that takes too long', async () => {
    assert.equal(await output.settled(1000), true);
    output.write('a');
    output.write('b');
    let isSettled = false;
    const settled = output.settled(1000).then((isWritten) => {
      isSettled = true;
      return isWritten;
    });
    end();
    await Promise.resolve();
    assert.equal(isSettled, false);
    end();
    assert.equal(await settled, true);
    assert.equal(timers.pending, 0);
    output.write('never');
    const late = output.settled(1000);
    timers.advance(1000);
    assert.equal(await late, false);
  });

  it('writes at once when the process ends, but not behind what does not get on', () => {
    output.finish();
    output.write('last\n');
    assert.deepEqual([texts(), atOnce], [[], ['last\n']]);
  });

  it('does not let the end of the process wait for a terminal that is paused', () => {
    output.write('stuck\n');
    output.finish();
    output.write('last\n');
    assert.deepEqual([texts(), atOnce], [['stuck\n'], []]);
  });

  it('survives an end at which nothing can be written any more', () => {
    const broken = background(
      false,
      () => undefined,
      () => {
        throw new Error('EBADF');
      },
    );
    broken.finish();
    broken.write('last\n');
    assert.equal(broken.writableLength, 0);
  });
});
