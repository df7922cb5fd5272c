import assert from 'node:assert/strict';
import { parseQuota, type Quota } from '../../../app/src/balancer/quota.ts';

function quotaOf(headers: Readonly<Record<string, string>>): Quota | undefined {
  return parseQuota((name) => headers[name]);
}

describe('quota', () => {
  it('reads limits and what is left of them', () => {
    assert.deepEqual(
      quotaOf({
        'x-ratelimit-limit-requests': '60',
        'x-ratelimit-limit-tokens': '10000',
        'x-ratelimit-remaining-requests': '59',
        'x-ratelimit-remaining-tokens': '0',
      }),
      { limitRequests: 60, limitTokens: 10_000, remainingRequests: 59, remainingTokens: 0 },
    );
  });

  it('reads how much of a provisioned deployment is in use, with or without its sign', () => {
    for (const text of ['82%', '82']) {
      assert.deepEqual(quotaOf({ 'azure-openai-deployment-utilization': text }), { utilizationPercent: 82 }, text);
    }
    assert.equal(quotaOf({ 'azure-openai-deployment-utilization': 'full' }), undefined);
  });

  it('reads each header alone', () => {
    assert.deepEqual(quotaOf({ 'x-ratelimit-limit-requests': '6' }), { limitRequests: 6 });
    assert.deepEqual(quotaOf({ 'x-ratelimit-limit-tokens': '7' }), { limitTokens: 7 });
    assert.deepEqual(quotaOf({ 'x-ratelimit-remaining-requests': '8' }), { remainingRequests: 8 });
    assert.deepEqual(quotaOf({ 'x-ratelimit-remaining-tokens': '9' }), { remainingTokens: 9 });
  });

  it('takes negative and nonsensical values as unknown', () => {
    assert.deepEqual(
      quotaOf({
        'x-ratelimit-limit-requests': '-1',
        'x-ratelimit-limit-tokens': 'unlimited',
        'x-ratelimit-remaining-requests': '-1',
        'x-ratelimit-remaining-tokens': '12',
      }),
      { remainingTokens: 12 },
    );
  });

  it('is unknown when no header says anything', () => {
    assert.equal(quotaOf({}), undefined);
    assert.equal(quotaOf({ 'x-ratelimit-remaining-tokens': '-1' }), undefined);
  });
});
