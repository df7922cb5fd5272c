// Against the simulator's own limits, which count in each of the ways that Azure might.

import assert from 'node:assert/strict';
import { Foresight, INDIFFERENT } from '../../../app/src/balancer/foresight.ts';
import type { Quota } from '../../../app/src/balancer/quota.ts';
import { Limits } from '../../../simulator/limits/limits.ts';
import type { DeploymentSpec } from '../../../simulator/options.ts';

/** A request that fits wherever something is left. */
const SMALL = { tokens: 1, openTokens: 0 };
const TPM = 60_000;
const SPEC: DeploymentSpec = { model: 'm', tpm: TPM, rpm: 6000, phaseMs: 17_000, requestSlicesMs: [] };

/** A deployment, and what is foreseen of it; answers come at once. */
class Scene {
  now = 0;
  readonly foresight: Foresight;
  readonly limits = new Limits(() => this.now);
  private readonly spec: DeploymentSpec;
  private seq = 0;
  readonly refusals: { readonly at: number; readonly retryAfterMs: number }[] = [];

  constructor(spec: DeploymentSpec, foresight = new Foresight()) {
    this.spec = spec;
    this.foresight = foresight;
  }

  /** Asks for so much, counted as `counted`; true when it was taken. */
  ask(tokens: number, { openTokens = 0, counted = tokens, isSilent = false } = {}): boolean {
    const { foresight, limits, now } = this;
    this.seq += 1;
    foresight.sent(this.seq, { tokens, openTokens }, now);
    const admission = limits.admit('d', this.spec, { tokens: counted, cachedTokens: 0 });
    const quota = quotaOf(admission.headers);
    const isRefused = admission.kind === 'refused';
    if (!isSilent) foresight.told(this.seq, quota, isRefused);
    if (!isRefused) return true;
    const { retryAfterMs } = admission.throttled;
    this.refusals.push({ at: now, retryAfterMs });
    this.least = foresight.refused(this.seq, quota, retryAfterMs, now);
    return false;
  }

  least: number | undefined;

  /** So many requests, evenly. */
  run(ms: number, everyMs: number, tokens: number): void {
    for (const until = this.now + ms; this.now < until; this.now += everyMs) this.ask(tokens);
  }

  waitFor(tokens: number): number {
    return this.foresight.outlook({ tokens, openTokens: 0 }, this.now).fitsAt - this.now;
  }
}

function quotaOf(headers: readonly string[]): Quota {
  const number = (name: string): number | undefined => {
    const at = headers.indexOf(name);
    return at === -1 ? undefined : Number(headers[at + 1]);
  };
  const quota: { -readonly [K in keyof Quota]: Quota[K] } = {};
  const [limitTokens, remainingTokens] = [number('x-ratelimit-limit-tokens'), number('x-ratelimit-remaining-tokens')];
  const [limitRequests, remainingRequests] = [
    number('x-ratelimit-limit-requests'),
    number('x-ratelimit-remaining-requests'),
  ];
  if (limitTokens !== undefined) quota.limitTokens = limitTokens;
  if (remainingTokens !== undefined) quota.remainingTokens = remainingTokens;
  if (limitRequests !== undefined) quota.limitRequests = limitRequests;
  if (remainingRequests !== undefined) quota.remainingRequests = remainingRequests;
  return quota;
}

/** Full by the middle of each minute. */
function fill(scene: Scene, minutes: number): void {
  for (let minute = 0; minute < minutes; minute += 1) {
    scene.run(30_000, 250, 600);
    scene.run(30_000, 1000, 10);
  }
}

describe('foresight', () => {
  it('foresees nothing of a backend that says nothing, or nonsense', () => {
    const foresight = new Foresight();
    for (let seq = 1; seq < 50; seq += 1) {
      foresight.sent(seq, { tokens: 5000, openTokens: 0 }, seq);
      foresight.told(seq, {}, false);
    }
    assert.equal(foresight.outlook({ tokens: 1e9, openTokens: 0 }, 60).fitsAt, 60);
    assert.equal(foresight.outlook(SMALL, 60).rank, INDIFFERENT);
  });

  it('ignores what it hears of requests that it does not know', () => {
    const foresight = new Foresight();
    foresight.told(7, { limitTokens: 10, remainingTokens: 0 }, false);
    assert.equal(foresight.refused(7, { limitTokens: 10, remainingTokens: 5 }, 1000, 0), undefined);
    assert.equal(foresight.outlook({ tokens: 5, openTokens: 0 }, 0).fitsAt, 0);
  });

  it('takes off what is under way, by its estimate, until an answer says better', () => {
    const scene = new Scene({ ...SPEC, window: 'fixed' });
    scene.ask(1000);
    for (let n = 0; n < 10; n += 1) scene.ask(5000, { counted: 16, isSilent: true });
    // 59,000 less 50,000; and a window whose end nobody knows names no time.
    assert.equal(scene.foresight.outlook(SMALL, scene.now).rank, 9000 / TPM);
    assert.equal(scene.waitFor(9001), 0);
    scene.ask(16);
    assert.equal(scene.foresight.outlook(SMALL, scene.now).rank, INDIFFERENT);
  });

  it('never says that what is larger than the whole quota does not fit: that is for the backend to say', () => {
    const scene = new Scene({ ...SPEC, window: 'leaky' });
    scene.run(60_000, 250, 240);
    assert.equal(scene.waitFor(TPM + 1), 0);
  });

  it('believes what was said for a minute, and asks again after it', () => {
    const scene = new Scene({ ...SPEC, window: 'leaky' });
    fill(scene, 5);
    while (scene.ask(700)) scene.now += 10;
    assert.ok(scene.waitFor(20_000) > 10_000);
    scene.now += 60_000;
    assert.equal(scene.waitFor(60_000), 0);
  });

  it('looks at what is left of the requests too', () => {
    const foresight = new Foresight();
    foresight.sent(1, SMALL, 0);
    foresight.told(1, { limitTokens: TPM, remainingTokens: TPM, limitRequests: 100, remainingRequests: 10 }, false);
    assert.equal(foresight.outlook(SMALL, 0).rank, 0.1);
  });

  it('uses the capacity of the settings as the limit until an answer names one', () => {
    const scene = new Scene({ ...SPEC, window: 'fixed' }, new Foresight(TPM));
    scene.foresight.sent(1000, { tokens: 10, openTokens: 0 }, 0);
    scene.foresight.told(1000, { remainingTokens: 600 }, false);
    assert.equal(scene.foresight.outlook(SMALL, 0).rank, 0.01);
  });

  describe('of a quota that comes back evenly', () => {
    it('says when there is room again, after it has watched for a while', () => {
      const scene = new Scene({ ...SPEC, window: 'leaky' });
      fill(scene, 5);
      while (scene.ask(700)) scene.now += 10;
      const wait = scene.waitFor(2000);
      assert.ok(wait > 500 && wait < 4000, `${wait} ms`);
      scene.now += wait;
      assert.equal(scene.ask(2000), true);
    });

    it('has its emptiest asked first', () => {
      const scene = new Scene({ ...SPEC, window: 'leaky' });
      scene.run(60_000, 250, 240);
      const before = scene.foresight.outlook(SMALL, scene.now).rank;
      for (let n = 0; n < 160; n += 1) scene.ask(250);
      assert.ok(scene.foresight.outlook(SMALL, scene.now).rank > before && before >= INDIFFERENT);
    });
  });

  describe('of a window', () => {
    it('that is fixed names its end when it was so often enough, to some milliseconds', () => {
      const scene = new Scene({ ...SPEC, window: 'fixed' });
      fill(scene, 5);
      const until = scene.now + 20_000;
      while (scene.now < until && scene.ask(700)) scene.now += 100;
      const end = Math.ceil((scene.now - 17_000) / 60_000) * 60_000 + 17_000;
      const wait = scene.waitFor(5000);
      assert.ok(Math.abs(scene.now + wait - end) <= 100, `${scene.now + wait} instead of ${end}`);
    });

    it('that is sliding says when what was used a minute ago is back', () => {
      const scene = new Scene({ ...SPEC, window: 'sliding' });
      fill(scene, 5);
      scene.run(15_000, 250, 600);
      const wait = scene.waitFor(3000);
      assert.ok(wait > 0 && wait <= 60_000, `${wait} ms`);
      scene.now += wait;
      assert.equal(scene.ask(2000), true);
    });

    it('has its fullest asked first', () => {
      const scene = new Scene({ ...SPEC, window: 'fixed' });
      scene.ask(40_000);
      assert.equal(scene.foresight.outlook(SMALL, scene.now).rank, 20_000 / TPM);
    });
  });

  describe('of a refusal', () => {
    it('says from which size on it counts, when something is left', () => {
      const scene = new Scene({ ...SPEC, window: 'fixed' });
      scene.ask(59_000);
      assert.equal(scene.ask(5000), false);
      assert.equal(scene.least, 1001);
      assert.equal(scene.waitFor(1000), 0);
    });

    it('says nothing of sizes when nothing is left, or nobody says', () => {
      const scene = new Scene({ ...SPEC, window: 'fixed' });
      scene.ask(60_000);
      assert.equal(scene.ask(5000), false);
      assert.equal(scene.least, undefined);
      scene.foresight.sent(99, { tokens: 10, openTokens: 0 }, 0);
      assert.equal(scene.foresight.refused(99, undefined, 1000, 0), undefined);
    });

    it('says so too when it names no wait', () => {
      const scene = new Scene({ ...SPEC, window: 'fixed' });
      scene.ask(59_000);
      scene.foresight.sent(99, { tokens: 2000, openTokens: 0 }, 0);
      assert.equal(scene.foresight.refused(99, { remainingTokens: 1000 }, undefined, 0), 1001);
    });

    it('charges no tokens: what was refused is not used up', () => {
      const scene = new Scene({ ...SPEC, window: 'fixed' });
      scene.ask(59_000);
      for (let n = 0; n < 5; n += 1) scene.ask(5000);
      assert.equal(scene.foresight.outlook(SMALL, scene.now).rank, 1000 / TPM);
    });

    it('charges no tokens either where a stream had begun with a 200', () => {
      const foresight = new Foresight();
      foresight.sent(1, SMALL, 0);
      foresight.told(1, { limitTokens: TPM, remainingTokens: 10_000 }, false);
      foresight.sent(2, { tokens: 4000, openTokens: 0 }, 1);
      assert.equal(foresight.outlook(SMALL, 1).rank, 6000 / TPM);
      foresight.refused(2, undefined, undefined, 2);
      assert.equal(foresight.outlook(SMALL, 2).rank, 10_000 / TPM);
    });

    it('for want of requests is when there are some again', () => {
      const foresight = new Foresight();
      const quota = { limitTokens: TPM, remainingTokens: TPM, limitRequests: 6000, remainingRequests: 0 };
      foresight.sent(1, SMALL, 0);
      foresight.told(1, quota, true);
      assert.equal(foresight.refused(1, quota, 2000, 0), undefined);
      assert.equal(foresight.outlook(SMALL, 0).fitsAt, 2000);
    });

    it('says nothing of the tokens when just as many were left', () => {
      const foresight = new Foresight();
      const quota = { limitTokens: TPM, remainingTokens: 1000 };
      foresight.sent(1, { tokens: 1000, openTokens: 0 }, 0);
      foresight.told(1, quota, true);
      assert.equal(foresight.refused(1, quota, 2000, 0), undefined);
      assert.equal(foresight.outlook({ tokens: 2000, openTokens: 0 }, 0).fitsAt, 0);
    });

    it('comes when the requests of a minute are used up, those under way too, whatever is left of the tokens', () => {
      const scene = new Scene({ ...SPEC, rpm: 10, window: 'fixed' });
      scene.ask(1);
      for (let n = 0; n < 9; n += 1) scene.ask(1, { isSilent: true });
      assert.equal(scene.foresight.outlook(SMALL, scene.now).rank, 0);
    });

    it('for too many requests a minute is the end of that window', () => {
      const scene = new Scene({ ...SPEC, rpm: 60, window: 'fixed' });
      for (let n = 0; n < 60; n += 1) scene.ask(1);
      assert.equal(scene.ask(1), false);
      const [refusal] = scene.refusals;
      assert.ok(refusal !== undefined && refusal.retryAfterMs > 3000);
      assert.equal(scene.waitFor(1), refusal.retryAfterMs);
      scene.now += refusal.retryAfterMs;
      assert.equal(scene.waitFor(1), 0);
    });
  });

  describe('of requests that are counted in slices', () => {
    const SLICED: DeploymentSpec = { ...SPEC, rpm: 180, window: 'fixed', requestSlicesMs: [1000] };

    it('learns from a refusal how many a slice takes, and when each ends', () => {
      const scene = new Scene(SLICED);
      scene.now = 17_200;
      for (let n = 0; n < 3; n += 1) assert.equal(scene.ask(1), true);
      assert.equal(scene.waitFor(1), 0);
      assert.equal(scene.ask(1), false);
      assert.equal(scene.waitFor(1), 800);
      scene.now = 18_000;
      for (let n = 0; n < 3; n += 1) assert.equal(scene.ask(1), true);
      assert.equal(scene.waitFor(1), 1000);
    });

    it('counts for one what was sent some milliseconds before it began: it may arrive in it', () => {
      const scene = new Scene(SLICED);
      scene.now = 17_200;
      for (let n = 0; n < 4; n += 1) scene.ask(1);
      for (const [sentAt, most] of [
        [18_970, 2],
        [20_969, 3],
      ] as const) {
        scene.now = sentAt;
        scene.ask(1);
        scene.now = Math.ceil(sentAt / 1000) * 1000;
        let taken = 0;
        for (; scene.waitFor(1) === 0; taken += 1) scene.ask(1);
        assert.equal(taken, most, `${sentAt}`);
        assert.equal(scene.waitFor(1), 1000);
      }
    });

    it('learns the longer ones too', () => {
      const scene = new Scene({ ...SLICED, requestSlicesMs: [10_000] });
      scene.now = 17_000;
      for (let n = 0; n < 30; n += 1) {
        assert.equal(scene.ask(1), true);
        scene.now += 200;
      }
      assert.equal(scene.ask(1), false);
      assert.equal(scene.waitFor(1), 4000);
    });

    it('forgets a slice in which more were taken than it takes', () => {
      const scene = new Scene(SLICED);
      scene.now = 17_200;
      for (let n = 0; n < 4; n += 1) scene.ask(1);
      assert.equal(scene.waitFor(1), 800);
      scene.foresight.sent(99, { tokens: 1, openTokens: 0 }, scene.now);
      scene.foresight.told(99, {}, false);
      assert.equal(scene.waitFor(1), 0);
    });

    /** Three were taken in the slice that ends at 18,000, and a fourth refused. */
    function startFull(): Scene {
      const scene = new Scene(SLICED);
      scene.now = 17_200;
      for (let n = 0; n < 4; n += 1) scene.ask(1);
      assert.equal(scene.waitFor(1), 800);
      return scene;
    }

    it('keeps a slice for all that is refused in it', () => {
      const { foresight, now } = startFull();
      foresight.sent(99, SMALL, now);
      foresight.told(99, {}, true);
      assert.equal(foresight.outlook(SMALL, now).fitsAt, now + 800);
    });

    it('keeps a slice for what was sent after the one that was taken, or before it began', () => {
      const { foresight } = startFull();
      // May have arrived in the slice before.
      foresight.sent(98, SMALL, 18_990);
      for (const seq of [99, 100, 101, 102, 103]) foresight.sent(seq, SMALL, 19_000);
      for (const seq of [98, 99, 100, 101]) foresight.told(seq, {}, false);
      assert.equal(foresight.outlook(SMALL, 19_000).fitsAt, 20_000);
    });

    it('forgets when its slices ended once it learns that they end at another time', () => {
      const scene = startFull();
      const { foresight } = scene;
      const refusedAt = 18_600;
      for (const seq of [97, 98, 99]) foresight.sent(seq, SMALL, refusedAt);
      foresight.refused(99, { remainingTokens: 5000, remainingRequests: 100 }, 300, refusedAt);
      assert.equal(foresight.outlook(SMALL, 18_899).fitsAt, 18_900);
      assert.equal(foresight.outlook(SMALL, 18_950).fitsAt, 18_950);
    });

    it('takes a part of a request in a slice for a whole one', () => {
      const foresight = new Foresight();
      const quota = { limitRequests: 100, remainingRequests: 50, remainingTokens: 5000 };
      for (const seq of [1, 2]) foresight.sent(seq, SMALL, 0);
      foresight.told(2, quota, true);
      foresight.refused(2, quota, 500, 0);
      assert.equal(foresight.outlook(SMALL, 400).fitsAt, 500);
      foresight.sent(3, SMALL, 600);
      assert.equal(foresight.outlook(SMALL, 600).fitsAt, 600);
      foresight.sent(4, SMALL, 600);
      assert.equal(foresight.outlook(SMALL, 600).fitsAt, 1500);
    });

    it('takes no refusal for one of its size where a slice was full', () => {
      const foresight = new Foresight();
      const quota = { limitRequests: 60, limitTokens: TPM, remainingRequests: 50, remainingTokens: 50 };
      foresight.sent(1, { tokens: 100, openTokens: 0 }, 0);
      foresight.told(1, quota, true);
      assert.equal(foresight.refused(1, quota, 500, 0), undefined);
    });

    it('knows no slices where nobody says how many requests a minute there may be', () => {
      const foresight = new Foresight();
      for (let seq = 1; seq < 9; seq += 1) foresight.sent(seq, { tokens: 1, openTokens: 0 }, 0);
      assert.equal(foresight.refused(8, { remainingTokens: 5000 }, 700, 0), undefined);
      assert.equal(foresight.outlook({ tokens: 1, openTokens: 0 }, 0).fitsAt, 0);
    });

    it('takes no refusal for one of a slice that was not full', () => {
      const scene = new Scene(SLICED);
      scene.ask(1);
      scene.foresight.sent(99, { tokens: 1, openTokens: 0 }, 0);
      scene.foresight.refused(99, { remainingTokens: 5000, remainingRequests: 100 }, 700, 0);
      assert.equal(scene.waitFor(1), 0);
    });
  });

  describe('of answers whose maximum nobody names', () => {
    it('learns what the backend counts them as, step by step', () => {
      const scene = new Scene({ ...SPEC, window: 'fixed' });
      const need = { tokens: 600, openTokens: 500 };
      assert.equal(scene.foresight.amountOf(need), 600);
      for (let n = 0; n < 100; n += 1) scene.ask(600, { openTokens: 500, counted: 116 });
      const counted = scene.foresight.amountOf(need);
      assert.ok(counted >= 100 && counted < 160, `${counted}`);
      assert.equal(scene.foresight.amountOf({ tokens: 600, openTokens: 0 }), 600);
    });

    /** So much was left after a first answer, when these were sent; then so much. */
    function learnt(
      needs: readonly (Parameters<Foresight['sent']>[1] & { readonly isRefused?: boolean })[],
      used: number,
    ): Foresight {
      const foresight = new Foresight();
      foresight.sent(1, SMALL, 0);
      foresight.told(1, { limitTokens: TPM, remainingTokens: 50_000 }, false);
      for (const [index, { isRefused = false, ...need }] of needs.entries()) {
        foresight.sent(index + 2, need, 1);
        if (isRefused) foresight.refused(index + 2, undefined, undefined, 1);
      }
      foresight.told(needs.length + 1, { remainingTokens: 50_000 - used }, false);
      return foresight;
    }

    it('learns no more than a tenth at a time, and of small answers a little more', () => {
      const need = { tokens: 600, openTokens: 500 };
      assert.equal(learnt([need], 200).amountOf(need), 550);
      assert.equal(learnt([need], 2000).amountOf(need), 650);
      const small = { tokens: 110, openTokens: 10 };
      assert.equal(learnt([small], 200).amountOf(small), 113.2);
    });

    it('shares a surprise among all that may have caused it', () => {
      const need = { tokens: 600, openTokens: 500 };
      assert.equal(learnt([need, need], 1140).amountOf(need), 570);
    });

    it('learns nothing from one that was refused, nor where a maximum was named', () => {
      const need = { tokens: 600, openTokens: 500 };
      const other = { tokens: 300, openTokens: 0 };
      assert.equal(learnt([{ ...need, isRefused: true }, other], 100).amountOf(need), 600);
      const foresight = learnt([], 0);
      foresight.sent(2, need, 1);
      foresight.told(2, { remainingTokens: 50_000 }, true);
      assert.equal(foresight.amountOf(need), 600);
    });

    it('never takes them for more than four times what answers come to', () => {
      const scene = new Scene({ ...SPEC, tpm: 10_000_000, window: 'fixed' });
      for (let n = 0; n < 200; n += 1) scene.ask(200, { openTokens: 100, counted: 9000 });
      assert.equal(scene.foresight.amountOf({ tokens: 200, openTokens: 100 }), 500);
    });
  });
});
