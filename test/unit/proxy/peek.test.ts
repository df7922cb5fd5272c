import assert from 'node:assert/strict';
import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { peek, type Peeked, type PeekFailed, type PeekLimits } from '../../../app/src/proxy/peek.ts';
import { useManualTimers, type ManualTimers } from '../../support/manual-timers.ts';

const CONTENT = 'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n';
const LIMITS: PeekLimits = { holdBytes: 10_000, errorBodyMs: 500, idleMs: 100, spillsLongPrompts: false };

/** An answer whose body comes as the test says, and what it was taken for. */
class Scene {
  readonly body = new IncomingMessage(new Socket());
  private taken: Peeked | PeekFailed | undefined;

  constructor(contentType: string, limits: Partial<PeekLimits>, status = 200) {
    const header = (name: string): string | undefined => (name === 'content-type' ? contentType : undefined);
    const answer = { status, rawHeaders: [], header, body: this.body };
    const { signal } = new AbortController();
    void peek(answer, { ...LIMITS, ...limits }, signal, () => 0).then((verdict) => (this.taken = verdict));
  }

  verdict(): Peeked | PeekFailed | undefined {
    return this.taken;
  }

  async come(text: string): Promise<void> {
    this.body.emit('data', Buffer.from(text));
    await this.turn();
  }

  async turn(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe('the look at an answer', () => {
  let timers: ManualTimers;
  beforeEach(() => {
    timers = useManualTimers();
  });
  afterEach(() => timers.restore());

  /** One piece every 60 ms, all of which is no content. */
  async function lasts(scene: Scene, ms: number, piece: string): Promise<void> {
    for (let passed = 0; passed < ms; passed += 60) {
      timers.advance(60);
      await scene.come(piece);
    }
  }

  for (const [what, limits] of [
    ['where it has no time to its first content', {}],
    ['where its time to its first content is not over', { late: new AbortController().signal }],
  ] as const) {
    it(`waits for the content of a stream as long as something comes, ${what}`, async () => {
      const scene = new Scene('text/event-stream', limits);
      await lasts(scene, 900, ': still here\n\n');
      assert.equal(scene.verdict(), undefined);
      await scene.come(CONTENT);
      assert.equal(scene.verdict()?.kind, 'commit');
      assert.equal(timers.pending, 0);
    });
  }

  it('gives up on a stream that has no content in its time, whatever comes, and on one that is silent', async () => {
    const over = new AbortController();
    const busy = new Scene('text/event-stream', { late: over.signal });
    const silent = new Scene('text/event-stream', { late: over.signal });
    const late = { kind: 'failed', outcome: { kind: 'failed', cause: 'first-token-timeout' } };
    await lasts(busy, 120, ': still here\n\n');
    assert.deepEqual([busy.verdict(), silent.verdict()], [undefined, late]);
    over.abort();
    await busy.turn();
    assert.deepEqual(busy.verdict(), late);
    assert.equal(timers.pending, 0);
  });

  it('has no time to a first content for what is no stream', async () => {
    const over = new AbortController();
    const scene = new Scene('application/json', { late: over.signal });
    await scene.come(' ');
    over.abort();
    await scene.turn();
    assert.equal(scene.verdict(), undefined);
    scene.body.emit('end');
    await scene.turn();
    const verdict = scene.verdict();
    assert.ok(verdict?.kind === 'commit' && verdict.isWhole);
  });
});
