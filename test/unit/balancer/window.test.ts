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
    this.window.spend(tokens);
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

  it('is surprised by nothing when a window has ended: how much came back is not known', () => {
    const scene = new Scene();
    scene.send(1000);
    scene.now += 1000;
    assert.equal(scene.send(5900), undefined);
  });

  it('takes more than a hundredth of the limit that came back for the end of a window', () => {
    const scene = new Scene();
    scene.send(1000);
    assert.equal(scene.send(1060)?.amount, -160);
    assert.equal(scene.send(1121), undefined);
  });

  for (const [when, ms] of [
    ['soon', 1000],
    ['after a while', 15_000],
  ] as const) {
    it(`holds an end that nobody could foretell against no way of counting (${when})`, () => {
      const scene = new Scene();
      scene.send(1000);
      scene.now += ms;
      scene.send(5900);
      scene.now += 10_000;
      scene.send(5800);
      assert.equal(scene.window.kind(), 'fixed');
    });
  }

  it('keeps its end when it is seen by a request that was on its way', () => {
    const scene = new Scene();
    scene.send(50);
    const end = scene.now + 1000;
    scene.window.endsAt(end, scene.now);
    scene.now = end - 50;
    scene.send(5900);
    scene.now = end + 5000;
    scene.send(50, 5850);
    assert.equal(scene.window.fitsAt(1000, end + 58_000), end + 60_000);
  });

  it('knows nothing a minute after the last word', () => {
    const scene = new Scene();
    scene.send(50);
    assert.equal(scene.window.left(scene.now + 59_999), 50);
    assert.equal(scene.window.left(scene.now + 60_000), undefined);
  });

  it('says of nothing larger than the limit when it fits', () => {
    const scene = new Scene();
    scene.send(50);
    scene.window.endsAt(scene.now + 2000, scene.now);
    assert.equal(scene.window.fitsAt(LIMIT, scene.now), scene.now + 2000);
    assert.equal(scene.window.fitsAt(LIMIT + 1, scene.now), scene.now);
  });

  it('has at its end all but what was sent since, and at that very moment what is said', () => {
    const scene = new Scene();
    const end = scene.now + 2000;
    const add = (seq: number, at: number): void => {
      scene.sends.add({ seq, at, tokens: 100, openTokens: 0, isRefused: false });
      scene.window.spend(100);
    };
    scene.send(1000);
    scene.window.endsAt(end, scene.now);
    add(2, end - 1);
    add(3, end);
    add(4, end + 1);
    assert.equal(scene.window.left(end - 1), 700);
    assert.equal(scene.window.left(end + 1), LIMIT - 200);
    scene.window.tell(3, end, 900);
    assert.equal(scene.window.left(end + 1), 800);
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

  /** A window that ends at 0.7 s of each minute, as requests at these times of it see it. */
  function watchEnds(seen: readonly (readonly [before: number, after: number])[]): Scene {
    const scene = new Scene();
    for (const [minute, [before, after]] of seen.entries()) {
      scene.now = 1_020_000 + minute * 60_000 + before;
      scene.send(50, minute === 0 ? 100 : 1950);
      scene.now += after - before;
      scene.send(5900);
      scene.now += 30_000;
      scene.send(2000, 3900);
    }
    scene.now = 1_020_000 + seen.length * 60_000;
    return scene;
  }

  it('is narrowed by each end that is seen, on either side', () => {
    const scene = watchEnds([
      [0, 1000],
      [400, 1000],
      [0, 750],
    ]);
    const minute = scene.now;
    scene.now = minute - 1000;
    scene.send(50, 1950);
    assert.equal(scene.window.fitsAt(1000, minute - 1000), minute + 400);
    assert.equal(scene.window.fitsAt(1000, minute + 399), minute + 400);
    scene.now = minute + 500;
    scene.send(50, 0);
    // It has not ended yet; and a request may be on its way for 100 ms.
    assert.equal(scene.window.fitsAt(1000, minute + 849), minute + 849);
    assert.equal(scene.window.fitsAt(1000, minute + 850), minute + 60_500);
  });

  it('is sure of its end when it came twice where it was expected', () => {
    const waits = (scene: Scene): boolean => {
      scene.now -= 5000;
      scene.send(50, 1950);
      return scene.window.fitsAt(1000, scene.now) > scene.now;
    };
    const first = [0, 1000] as const;
    const again = [-500, 700] as const;
    assert.equal(waits(watchEnds([first, again])), false);
    assert.equal(waits(watchEnds([first, again, again])), true);
  });

  it('is told by a refusal when exactly it ends', () => {
    const scene = watchEnds([[0, 1000]]);
    scene.now -= 1000;
    scene.send(50, 1950);
    scene.window.endsAt(scene.now + 1700, scene.now);
    assert.equal(scene.window.fitsAt(1000, scene.now), scene.now + 1700);
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
    assert.equal(scene.window.fitsAt(1000, scene.now), scene.now + 20_000);
    // In the window after it, it is for the backend to say again.
    scene.now += 30_000;
    scene.send(50);
    assert.equal(scene.window.fitsAt(1000, scene.now), scene.now);
  });

  it('that comes back evenly is never fuller than full, and takes as much as it has', () => {
    const scene = new Scene();
    // 100 a second come back, and 200 are used, up to the middle of a minute.
    let left = LIMIT;
    for (let second = 0; second < 600; second += 1) {
      const used = second % 60 < 30 ? 180 : 10;
      left = Math.min(LIMIT, left + 100) - used;
      scene.send(left, used);
      scene.now += 1000;
    }
    assert.equal(scene.window.kind(), 'leaky');
    assert.equal(scene.window.left(scene.now + 30_000), LIMIT);
    assert.equal(scene.window.fitsAt(LIMIT, scene.now + 30_000), scene.now + 30_000);
    scene.send(3000, left - 2900);
    scene.now += 10_000;
    assert.equal(scene.send(3990, 10)?.amount, 0);
    scene.send(0, 0);
    // With a margin of 90.
    assert.equal(scene.window.fitsAt(100, scene.now), scene.now + 1900);
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
    // What was said is believed for a minute.
    assert.equal(scene.window.fitsAt(5900, scene.now + 500), scene.now + 60_000);
    scene.send(LIMIT, 0);
    assert.equal(scene.window.left(scene.now + 50_000), LIMIT);
  });

  /** What comes back evenly stays where it is, at 100 a second. */
  const even = (): number => 3000;

  it('compares the ways of counting after ten seconds, and not before', () => {
    const scene = new Scene();
    scene.watch(10, even);
    assert.equal(scene.window.kind(), 'fixed');
    scene.watch(1, even);
    assert.equal(scene.window.kind(), 'leaky');
  });

  it('forgets a fifth of what was foretold wrongly with every comparison', () => {
    const scene = new Scene();
    scene.watch(61, () => 4000);
    // Six of them speak for leaky, with a sum of 3.69; with a fifth less each time, the third of those against it is one too many.
    let left = 4000;
    const usedUp = (): number => (left -= 100);
    scene.watch(29, usedUp);
    assert.equal(scene.window.kind(), 'leaky');
    scene.watch(1, usedUp);
    assert.equal(scene.window.kind(), 'fixed');
  });

  /** Would it name a long wait? */
  function isSure({ window, now }: Scene): boolean {
    return window.fitsAt(5000, now) > now;
  }

  it('is sure of another way when a fixed window has foretold enough wrongly', () => {
    const scene = new Scene();
    // A sixth each time: 0.49 in sum after four of them, and 0.56 after five.
    scene.watch(50, even);
    assert.equal(isSure(scene), false);
    scene.watch(1, even);
    assert.equal(isSure(scene), true);
  });

  for (const [off, sure] of [
    [0.055, true],
    [0.065, false],
  ] as const) {
    it(`is ${sure ? 'sure' : 'not sure'} of another way that is off by ${off} of the limit each time`, () => {
      const scene = new Scene();
      // Up in ten seconds, and down in the next.
      scene.watch(401, (second) => 3000 + off * LIMIT * (1 - Math.abs(1 - (second % 20) / 10)));
      assert.equal(scene.window.kind(), 'leaky');
      assert.equal(isSure(scene), sure);
    });
  }

  it('names a wait of three seconds without being sure, and none that is longer', () => {
    const scene = new Scene();
    scene.watch(21, even);
    scene.send(0);
    assert.equal(scene.window.kind(), 'leaky');
    assert.equal(isSure(scene), false);
    // With a margin of 90, of which a hundred come back in a second.
    assert.equal(scene.window.fitsAt(210, scene.now), scene.now + 3000);
    assert.equal(scene.window.fitsAt(211, scene.now), scene.now);
  });

  it('hears in a refusal of up to ten seconds, elsewhere than at its end, a shorter slice', () => {
    const [named, inTen, later] = [new Scene(), new Scene(), new Scene()];
    for (const scene of [named, inTen, later]) {
      scene.send(50);
      scene.window.endsAt(scene.now + 2000, scene.now);
    }
    inTen.window.endsAt(inTen.now + 10_000, inTen.now);
    later.window.endsAt(later.now + 10_001, later.now);
    const ends = [named, inTen, later].map(({ window, now }) => window.fitsAt(1000, now) - now);
    assert.deepEqual(ends, [2000, 2000, 10_001]);
  });
});
