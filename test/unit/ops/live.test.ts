import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { mock } from 'node:test';
import { createLive, type Live, type Viewer } from '../../../app/src/ops/live.ts';

const TICK_MS = 500;

/** A viewer's answer without a socket: what was written, and how much of it waits. */
class FakeViewer extends EventEmitter implements Viewer {
  readonly written: string[] = [];
  writableLength = 0;
  isEnded = false;
  isDestroyed = false;

  writeHead(): void {
    assert.deepEqual(this.written, []);
  }

  write(text: string | Buffer): void {
    this.written.push(text.toString());
  }

  end(): void {
    this.isEnded = true;
    this.emit('close');
  }

  destroy(): void {
    this.isDestroyed = true;
    this.emit('close');
  }

  /** The data of the last event. */
  get told(): unknown {
    return JSON.parse(/data: (.*)\n\n$/.exec(this.written.at(-1) ?? '')?.[1] ?? '');
  }
}

describe('live', () => {
  let document: Record<string, unknown>;
  let made: number;
  let live: Live;

  function start(more: { readonly mostViewers?: number; readonly mostTicks?: number } = {}): void {
    live = createLive({
      document: () => {
        made += 1;
        return { ...document };
      },
      everyMs: TICK_MS,
      mostViewers: 3,
      mostTicks: 1000,
      ...more,
    });
  }

  function view(): FakeViewer {
    const viewer = new FakeViewer();
    assert.equal(live.add(viewer, []), true);
    return viewer;
  }

  function tick(times = 1): void {
    for (let n = 0; n < times; n += 1) mock.timers.tick(TICK_MS);
  }

  beforeEach(() => {
    mock.timers.enable({ apis: ['setInterval'] });
    made = 0;
    document = { state: 'serving', count: 0 };
  });
  afterEach(() => {
    live.end();
    mock.timers.reset();
  });

  it('tells a new viewer everything, and then what has changed', () => {
    start();
    const viewer = view();
    assert.deepEqual(viewer.told, { state: 'serving', count: 0 });
    assert.match(viewer.written[0] ?? '', /^retry: 1000\n/);
    document = { ...document, count: 1 };
    tick();
    assert.deepEqual(viewer.told, { count: 1 });
    tick();
    assert.deepEqual(viewer.told, {});
    assert.equal(viewer.written.length, 3);
  });

  it('makes the document once a tick for all of them, and never while nobody looks', () => {
    start();
    const viewers = [view(), view(), view()];
    assert.equal(made, 3);
    tick(2);
    assert.equal(made, 5);
    for (const viewer of viewers) viewer.emit('close');
    assert.equal(live.viewers, 0);
    tick(5);
    assert.equal(made, 5);
    view();
    tick();
    assert.equal(made, 7);
  });

  it('tells whoever comes in between the same as all others from then on', () => {
    start();
    const first = view();
    document = { ...document, count: 1 };
    const second = view();
    assert.deepEqual(second.told, { state: 'serving', count: 1 });
    tick();
    assert.deepEqual(first.told, { count: 1 });
    assert.deepEqual(second.told, {});
  });

  it('keeps nothing for who reads slowly, who gets all that has changed when there is room', () => {
    start();
    const [slow, quick] = [view(), view()];
    slow.writableLength = 1;
    document = { ...document, count: 1 };
    tick();
    document = { ...document, state: 'draining' };
    tick();
    assert.deepEqual(quick.told, { state: 'draining' });
    assert.equal(slow.written.length, 1);
    slow.writableLength = 0;
    tick();
    assert.deepEqual(slow.told, { state: 'draining', count: 1 });
  });

  it('lets go of who has taken nothing for a minute', () => {
    start();
    const gone = view();
    gone.writableLength = 1;
    tick(120);
    assert.equal(gone.isDestroyed, false);
    tick();
    assert.equal(gone.isDestroyed, true);
    assert.equal(live.viewers, 0);
  });

  it('ends a stream after a while, so that whoever may not look any more is found out', () => {
    start({ mostTicks: 10 });
    const viewer = view();
    tick(10);
    assert.equal(viewer.isEnded, false);
    tick();
    assert.equal(viewer.isEnded, true);
    assert.equal(live.viewers, 0);
  });

  it('has room for so many viewers, and for another when one leaves', () => {
    start({ mostViewers: 2 });
    const first = view();
    view();
    const third = new FakeViewer();
    assert.equal(live.add(third, []), false);
    assert.deepEqual(third.written, []);
    first.emit('close');
    view();
  });

  it('ends all of them, and takes no more', () => {
    start();
    const viewer = view();
    live.end();
    assert.equal(viewer.isEnded, true);
    assert.equal(live.viewers, 0);
    assert.equal(live.add(new FakeViewer(), []), false);
  });
});
