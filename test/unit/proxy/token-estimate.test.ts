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

  const blob = 'iVBORw0KGgo'.repeat(10_000);
  for (const [what, lead] of [
    ['an image of chat', '{"image_url":{"url":"data:image/png;base64,'],
    ['an image of responses', '{"image_url":"data:image/png;base64,'],
    ['a file', '{"file_data":"data:application/pdf;name=a.pdf;base64,'],
    ['audio', '{"input_audio":{"data":"'],
    ['an image, with blanks and escaped slashes', String.raw`{"image_url": {"url": "data:image\/png;base64,`],
    ['audio, with blanks', '{"input_audio": {"data": "'],
  ] as const) {
    it(`takes ${what} for 1,000 tokens, whatever its size, and counts the text around it`, () => {
      const text = Math.ceil(`${lead}"}}`.length / 4);
      assert.equal(promptTokens(`${lead}${blob}"}}`), text + 1000);
      const twice = promptTokens(`${lead}${blob}"}}${lead}${blob}"}}`);
      assert.equal(twice, Math.ceil((2 * `${lead}"}}`.length) / 4) + 2000);
    });
  }

  it('takes for text what stands in a text, however much it looks like an image', () => {
    for (const lead of [
      '"content":"',
      '"text":"data:image/png;base64,',
      String.raw`"text":"\"url\":\"data:image/png;base64,`,
    ]) {
      const body = `{${lead}${blob}"}`;
      assert.equal(promptTokens(body), Math.ceil(body.length / 4), lead);
    }
  });

  it('takes what is short, or does not end, for text', () => {
    const short = `{"data":"${'A'.repeat(512)}"}`;
    assert.equal(promptTokens(short), Math.ceil(short.length / 4));
    const cut = `{"data":"${blob}`;
    assert.equal(promptTokens(cut), Math.ceil(cut.length / 4));
  });
});

describe('token estimate: the completion', () => {
  it('is the most that the request allows', () => {
    assert.equal(
      createTokenEstimator().estimate('team-a', 'gpt', { promptTokens: 10, mostCompletionTokens: 300 }),
      310,
    );
    assert.equal(createTokenEstimator().estimate('team-a', 'gpt', { promptTokens: 10, mostCompletionTokens: 0 }), 10);
  });

  it('is bounded, whatever a request allows', () => {
    const mostCompletionTokens = 999_999_999 * 999_999_999;
    assert.equal(
      createTokenEstimator().estimate('team-a', 'gpt', { promptTokens: 10, mostCompletionTokens }),
      1_000_000_000,
    );
  });

  it('is 500 where nothing is known, then what requests of that deployment came to, the latest for a tenth', () => {
    const estimator = createTokenEstimator();
    const unbounded = { promptTokens: 0 };
    assert.equal(estimator.estimate('team-a', 'gpt', unbounded), 500);
    estimator.learn('team-a', 'gpt', { promptTokens: 7, completionTokens: 100 });
    assert.equal(estimator.estimate('team-a', 'gpt', unbounded), 100);
    estimator.learn('team-a', 'gpt', { promptTokens: 7, completionTokens: 200 });
    assert.equal(estimator.estimate('team-a', 'gpt', unbounded), 110);
    assert.equal(estimator.estimate('team-a', 'other', unbounded), 500);
    // What others ask for is not counted against this one.
    assert.equal(estimator.estimate('team-b', 'gpt', unbounded), 500);
  });

  it('forgets the deployment that it heard of least recently after 1,000', () => {
    const estimator = createTokenEstimator();
    const usage = { promptTokens: 0, completionTokens: 7 };
    for (const name of ['first', 'second', 'first']) estimator.learn('team-a', name, usage);
    for (let n = 0; n < 999; n += 1) estimator.learn('team-a', `d${n}`, usage);
    assert.equal(estimator.estimate('team-a', 'first', { promptTokens: 0 }), 7);
    assert.equal(estimator.estimate('team-a', 'second', { promptTokens: 0 }), 500);
  });
});
