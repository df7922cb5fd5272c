import assert from 'node:assert/strict';
import { decideQuota, estimateTokens, freshQuota, tokensIn } from '../../simulator/limits/quota.ts';
import type { QuotaLimits, QuotaState, QuotaVerdict } from '../../simulator/limits/quota.ts';

/** A deployment's quota and a clock that only the test moves. */
function startQuota(limits: QuotaLimits) {
  let state: QuotaState = freshQuota;
  let now = 1_000_000;
  return {
    wait(ms: number): void {
      now += ms;
    },
    ask(tokens = 1): QuotaVerdict {
      const decided = decideQuota(state, { tokens }, limits, now);
      state = decided.state;
      return decided.verdict;
    },
  };
}

describe('quota: tokens', () => {
  it('counts a quarter of the prompt characters and the maximum of the answer, or 16 when none is set', () => {
    assert.equal(tokensIn(9), 3);
    assert.equal(estimateTokens(40, 100), 110);
    assert.equal(estimateTokens(40, undefined), 26);
  });

  it('admits until the minute is used up and says how long it still lasts', () => {
    const quota = startQuota({ tpm: 100 });
    assert.deepEqual(quota.ask(60), { kind: 'admitted', remaining: { tokens: 40 } });
    quota.wait(20_000);
    assert.deepEqual(quota.ask(41), {
      kind: 'refused',
      limit: 'tokens',
      retryAfterMs: 40_000,
      minuteEndsInMs: 40_000,
      remaining: { tokens: 40 },
    });
    assert.deepEqual(quota.ask(40), { kind: 'admitted', remaining: { tokens: 0 } });
  });

  it('starts afresh when the minute ended, exactly then', () => {
    const quota = startQuota({ tpm: 100 });
    quota.ask(100);
    quota.wait(59_999);
    assert.equal(quota.ask(1).kind, 'refused');
    quota.wait(1);
    assert.deepEqual(quota.ask(100), { kind: 'admitted', remaining: { tokens: 0 } });
  });

  it('refuses a request larger than the whole quota in every minute', () => {
    const quota = startQuota({ tpm: 100 });
    assert.equal(quota.ask(101).kind, 'refused');
    quota.wait(60_000);
    assert.equal(quota.ask(101).kind, 'refused');
  });
});

describe('quota: requests', () => {
  it('refuses the third request in ten seconds of 12 a minute and asks to wait for the next slice', () => {
    const quota = startQuota({ rpm: 12 });
    quota.ask();
    quota.wait(4_000);
    assert.deepEqual(quota.ask(), { kind: 'admitted', remaining: { requests: 10 } });
    assert.deepEqual(quota.ask(), {
      kind: 'refused',
      limit: 'requests',
      retryAfterMs: 6_000,
      minuteEndsInMs: 56_000,
      remaining: { requests: 9 },
    });
    quota.wait(6_000);
    assert.equal(quota.ask().kind, 'admitted');
  });

  it('counts refused requests too, so that asking again and again uses up the minute', () => {
    const quota = startQuota({ rpm: 12 });
    for (let at = 0; at < 12; at += 1) {
      quota.ask();
    }
    quota.wait(10_000);
    assert.deepEqual(quota.ask(), {
      kind: 'refused',
      limit: 'requests',
      retryAfterMs: 50_000,
      minuteEndsInMs: 50_000,
      remaining: { requests: 0 },
    });
    quota.wait(50_000);
    assert.deepEqual(quota.ask(), { kind: 'admitted', remaining: { requests: 11 } });
  });

  it('rounds a slice up, so that one request a minute is admitted at all', () => {
    const quota = startQuota({ rpm: 1 });
    assert.equal(quota.ask().kind, 'admitted');
    quota.wait(10_000);
    const verdict = quota.ask();
    assert.equal(verdict.kind === 'refused' && verdict.retryAfterMs, 50_000);
  });

  it('does not count the tokens of a request it refused', () => {
    const quota = startQuota({ rpm: 6, tpm: 100 });
    quota.ask(10);
    assert.deepEqual(quota.ask(10).remaining, { tokens: 90, requests: 4 });
  });

  it('has no limit and nothing to show when none is set', () => {
    assert.deepEqual(startQuota({}).ask(1_000_000), { kind: 'admitted', remaining: {} });
  });
});
