import assert from 'node:assert/strict';
import { Sends } from '../../../app/src/balancer/sends.ts';
import { Window } from '../../../app/src/balancer/window.ts';

const LIMIT = 6000;

/** A window that is told what is left by whatever rule a test gives, one request of 100 a second. */
class Scene {
  readonly sends = new Sends();
  readonly window = new Window(this.sends, ({ tokens }) => tokens);
  now = 1_000_000;
  private seq = 0;

  constructor() {
    this.window.limit = LIMIT;
  }

  send(left: number, tokens = 100) {
    this.seq += 1;
    this.sends.add({ seq: this.seq, at: this.now, tokens, openTokens: 0, isRefused: false });
    return this.window.tell(this.seq, this.now, left);
  }

  /** @param leftAt what is left after so many seconds */
  watch(seconds: number, leftAt: (second: number) => number): void {
    for (let second = 0; second < seconds; second += 1) {
      this.send(leftAt(second));
      this.now += 1000;
    }
  }
}

/** Used up by 100 a second; all of it is back every minute. */
const fixed = (second: number): number => LIMIT - 100 - 100 * (second % 60);

describe('window', () => {
  it('tells how much less is left than was expected of what was sent', () => {
    const scene = new Scene();
    assert.equal(scene.send(5900), undefined);
    assert.deepEqual(scene.send(5700), { amount: 100, sent: scene.sends.since(0).slice(1) });
    assert.equal(scene.send(5600)?.amount, 0);
  });

  it('hears nothing new from a request that was sent before the last one it heard of', () => {
    const scene = new Scene();
    scene.send(5900);
    scene.send(5800);
    assert.equal(scene.window.tell(1, scene.now, 100), undefined);
    assert.equal(scene.window.left(scene.now), 5800);
  });

  it('begins anew after a minute without a word', () => {
    const scene = new Scene();
    scene.send(5900);
    scene.now += 60_000;
    assert.equal(scene.send(10), undefined);
    assert.equal(scene.window.left(scene.now), 10);
  });

  it('is fixed until something speaks for another way of counting', () => {
    assert.equal(new Scene().window.kind(), 'fixed');
  });

  it('finds its end from what comes back, more exactly each time', () => {
    const scene = new Scene();
    scene.now += 500;
    scene.watch(240, fixed);
    assert.equal(scene.window.kind(), 'fixed');
    // Full again 17 s after the last end, which was seen between two requests a second apart.
    for (let n = 0; n < 17; n += 1) scene.watch(1, () => LIMIT - 100 - 100 * n);
    scene.send(50);
    const at = scene.window.fitsAt(1000, scene.now);
    assert.ok(Math.abs(at - scene.now - 43_000) <= 1000, `${at - scene.now} ms`);
  });

  it('asks in the while in which the window may end', () => {
    const scene = new Scene();
    scene.watch(240, fixed);
    // It ends between the 59th second of a minute and the 60th, and has not by the half of it.
    scene.now += 59_500;
    scene.send(50);
    scene.now += 200;
    assert.equal(scene.window.fitsAt(1000, scene.now), scene.now);
  });

  it('takes the word of a refusal for its end, and not that of a shorter slice when it knows better', () => {
    const scene = new Scene();
    scene.send(5900);
    scene.send(50);
    scene.window.endsAt(scene.now + 2000, scene.now);
    assert.equal(scene.window.fitsAt(1000, scene.now), scene.now + 2000);
    scene.window.endsAt(scene.now + 700, scene.now);
    assert.equal(scene.window.fitsAt(1000, scene.now), scene.now + 2000);
    scene.window.endsAt(scene.now + 20_000, scene.now);
    // Longer than it is trusted with: it is for the backend to say.
    assert.equal(scene.window.fitsAt(1000, scene.now), scene.now);
    scene.now += 18_000;
    scene.send(50);
    assert.equal(scene.window.fitsAt(1000, scene.now), scene.now + 2000);
  });

  it('knows of what others use only what it is told', () => {
    const scene = new Scene();
    // Back a minute after it was used, by a burst in the first quarter of each minute.
    const used = (second: number): number => (second % 60 < 15 ? 350 : 1);
    for (let second = 0; second < 600; second += 1) {
      let sum = 0;
      for (let past = Math.max(0, second - 59); past <= second; past += 1) sum += used(past);
      scene.send(LIMIT - sum, used(second));
      scene.now += 1000;
    }
    assert.equal(scene.window.kind(), 'sliding');
    scene.send(0, 1);
    assert.equal(scene.window.fitsAt(5900, scene.now), scene.now + 60_000);
  });
});
