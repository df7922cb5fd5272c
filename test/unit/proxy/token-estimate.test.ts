import assert from 'node:assert/strict';
import { createTokenEstimator, promptTokensOf, tokensOfText } from '../../../app/src/proxy/token-estimate.ts';

function promptTokens(text: string): number {
  return promptTokensOf(Buffer.from(text));
}

describe('token estimate: the prompt', () => {
  it('takes four bytes of text for a token, and counts a part of one', () => {
    assert.equal(promptTokens(''), 0);
    assert.equal(promptTokens('a'), 1);
    assert.equal(promptTokens('four'), 1);
    assert.equal(promptTokens('fives'), 2);
    assert.equal(promptTokens('word '.repeat(800)), 1000);
    assert.equal(promptTokens('日本'), 2);
    assert.equal(tokensOfText(4001), 1001);
  });

  it('takes an image or file in base64 for 1,000 tokens, whatever its size, and counts the text around it', () => {
    const image = 'iVBORw0KGgo'.repeat(100_000);
    assert.equal(promptTokens(`"data:image/png;base64,${image}"`), 1006);
    assert.equal(promptTokens(image), 1000);
    assert.equal(promptTokens(`${image}" "${image}`), 2001);
  });

  it('takes long words for words: from 513 characters without a break they are none', () => {
    assert.equal(promptTokens('x'.repeat(512)), 128);
    assert.equal(promptTokens('x'.repeat(513)), 1000);
    assert.equal(promptTokens(`${'x'.repeat(512)} ${'x'.repeat(512)}`), 257);
  });
});

describe('token estimate: the completion', () => {
  it('is the most that the request allows', () => {
    assert.equal(createTokenEstimator().estimate('gpt', { promptTokens: 10, mostCompletionTokens: 300 }), 310);
    assert.equal(createTokenEstimator().estimate('gpt', { promptTokens: 10, mostCompletionTokens: 0 }), 10);
  });

  it('is bounded, whatever a request allows', () => {
    const mostCompletionTokens = 999_999_999 * 999_999_999;
    assert.equal(createTokenEstimator().estimate('gpt', { promptTokens: 10, mostCompletionTokens }), 1_000_000_000);
  });

  it('is 500 where nothing is known, then what requests of that deployment came to, the latest for a tenth', () => {
    const estimator = createTokenEstimator();
    const unbounded = { promptTokens: 0 };
    assert.equal(estimator.estimate('gpt', unbounded), 500);
    estimator.learn('gpt', { promptTokens: 7, completionTokens: 100 });
    assert.equal(estimator.estimate('gpt', unbounded), 100);
    estimator.learn('gpt', { promptTokens: 7, completionTokens: 200 });
    assert.equal(estimator.estimate('gpt', unbounded), 110);
    assert.equal(estimator.estimate('other', unbounded), 500);
  });

  it('forgets the deployment that it heard of least recently after 1,000', () => {
    const estimator = createTokenEstimator();
    const usage = { promptTokens: 0, completionTokens: 7 };
    for (const name of ['first', 'second', 'first']) estimator.learn(name, usage);
    for (let n = 0; n < 999; n += 1) estimator.learn(`d${n}`, usage);
    assert.equal(estimator.estimate('first', { promptTokens: 0 }), 7);
    assert.equal(estimator.estimate('second', { promptTokens: 0 }), 500);
  });
});
