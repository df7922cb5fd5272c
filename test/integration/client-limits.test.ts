import assert from 'node:assert/strict';
import OpenAI, { RateLimitError } from 'openai';
import type { Usage } from '../../app/src/balancer/outcome.ts';
import { startBalancer, type BalancerSetup, type RunningBalancer } from '../support/balancer.ts';
import { chat, errorOf, send, type Received, type Sent } from '../support/http.ts';
import { callCounts, course } from '../support/observed.ts';
import { assertAtRest, watch } from '../support/watched.ts';

const KEYS = { CLIENT_API_KEYS: 'team-a=key-of-a,team-b=key-of-b' };
const A = { 'api-key': 'key-of-a' };
const B = { 'api-key': 'key-of-b' };
const TOKENS = 1_000_000;

describe('client limits, over sockets', () => {
  let running: RunningBalancer;
  afterEach(() => running.close());

  async function start(limits: string, setup: BalancerSetup = {}): Promise<void> {
    const settings = { ...KEYS, CLIENT_LIMITS: limits, ...setup.settings };
    running = await startBalancer({ backends: 1, ...setup, settings });
  }

  function ask(more: Sent = {}, path = '/v1/chat/completions'): Promise<Received> {
    return send(running.url + path, { headers: A, body: chat(), ...more });
  }

  /** What is left of team-a's tokens before a small request and, once it has ended, after it. */
  async function look(): Promise<{ readonly before: number; readonly after: number }> {
    const body = JSON.stringify({ model: 'text-embedding-3-large', input: '' });
    const { received } = await watch(running, () => ask({ body }, '/v1/embeddings'));
    const { usage }: { usage: { total_tokens: number } } = JSON.parse(received.body.toString());
    const before = Number(received.headers['x-ratelimit-remaining-tokens']) + Math.ceil(body.length / 4);
    return { before, after: before - usage.total_tokens };
  }

  /** Does this, which is one request of team-a's, and says what was taken of its tokens when it had ended. */
  async function spentBy<T>(
    request: () => Promise<T>,
  ): Promise<{ readonly spent: number; readonly received: T; readonly usage: Usage | undefined }> {
    const { after } = await look();
    const { received, finished } = await watch(running, request);
    const { before } = await look();
    return { spent: after - before, received, usage: finished.usage };
  }

  function assertRefused(received: Received, limit: 'requests' | 'tokens', most: number): void {
    assert.equal(received.status, 429);
    const { code, message, type } = errorOf(received);
    assert.deepEqual([code, type], ['client_limit_exceeded', 'too_many_requests']);
    assert.match(
      message,
      new RegExp(`^team-a has (used|sent) the ${most} ${limit} .*\\(CLIENT_LIMITS\\)\\. Try again in \\d+ s\\.$`),
    );
    const { headers } = received;
    const waitMs = Number(headers['retry-after-ms']);
    assert.ok(waitMs > 55_000 && waitMs <= 60_000, `retry-after-ms ${waitMs}`);
    assert.equal(headers['retry-after'], String(Math.ceil(waitMs / 1000)));
    assert.equal(headers['x-ratelimit-limit-' + limit], String(most));
    assert.equal(headers['x-ratelimit-remaining-' + limit], '0');
    assert.equal(headers['x-ratelimit-reset-' + limit], headers['retry-after']);
    assert.deepEqual(course(received), { backend: undefined, attempts: undefined, trace: undefined });
  }

  it('answers 429 beyond the requests of a minute, asks no backend, and leaves other clients alone', async () => {
    await start('team-a=2rpm');
    for (const left of ['1', '0']) {
      const received = await ask();
      assert.equal(received.status, 200);
      assert.equal(received.headers['x-ratelimit-limit-requests'], '2');
      assert.equal(received.headers['x-ratelimit-remaining-requests'], left);
    }
    const { received, finished } = await watch(running, () => ask());
    assertRefused(received, 'requests', 2);
    assert.deepEqual([finished.client, finished.code, finished.status], ['team-a', 'client_limit_exceeded', 429]);
    assert.equal((await ask({ headers: B })).status, 200);
    assert.deepEqual(callCounts(running), [3]);
    await assertAtRest(running);
  });

  it('refuses beyond the requests before a body is read', async () => {
    await start('team-a=1rpm', { handlerLimits: { bodyIdleMs: 3_600_000 } });
    assert.equal((await ask()).status, 200);
    const received = await ask({ headers: { ...A, 'content-length': '20000000' }, body: 'x' });
    assertRefused(received, 'requests', 1);
    assert.equal(running.balancer.admission.bodies.taken, 0);
  });

  it('answers 429 beyond the tokens of a minute', async () => {
    await start('team-a=100tpm');
    assert.equal((await ask({ body: chat({ max_tokens: 5000 }) })).status, 200);
    // What was estimated is given back, so that it takes real use.
    let received = await ask({ body: chat({ messages: [{ role: 'user', content: 'word '.repeat(500) }] }) });
    assert.equal(received.status, 200);
    received = await ask();
    assertRefused(received, 'tokens', 100);
    assert.equal((await ask({ headers: B })).status, 200);
    assert.equal((await send(`${running.url}/v1/models`, { headers: A })).status, 200);
    await assertAtRest(running);
  });

  it('counts so many requests at a time, and lets another in when one ends', async () => {
    await start('team-a=1concurrent');
    running.resources[0]?.script({ kind: 'hang' });
    const gone = new AbortController();
    const hanging = ask({ signal: gone.signal }).catch(() => 'gone');
    await running.event('attempt-started', 0);
    const received = await ask();
    assert.equal(received.status, 429);
    assert.deepEqual([errorOf(received).code, received.headers['retry-after']], ['client_limit_exceeded', '1']);
    assert.match(errorOf(received).message, /^team-a has 1 requests under way/);
    assert.equal((await ask({ headers: B })).status, 200);
    const from = running.events.length;
    gone.abort();
    assert.equal(await hanging, 'gone');
    await running.event('request-finished', from);
    assert.equal((await ask()).status, 200);
    await assertAtRest(running);
  });

  it('counts each client by itself under *', async () => {
    await start('*=1rpm');
    for (const headers of [A, B]) {
      assert.equal((await ask({ headers })).status, 200);
      assert.equal((await ask({ headers })).status, 429);
    }
  });

  it('tells a client of its own limits, not of what a backend has left', async () => {
    await start('team-a=1000000tpm');
    const own = await ask({ body: chat({ max_tokens: 1000 }) });
    const names = own.rawHeaders.filter((name) => name.toLowerCase().startsWith('x-ratelimit-'));
    assert.deepEqual(names, ['x-ratelimit-limit-tokens', 'x-ratelimit-remaining-tokens', 'x-ratelimit-reset-tokens']);
    assert.equal(own.headers['x-ratelimit-limit-tokens'], '1000000');
    const estimate = Math.ceil(chat({ max_tokens: 1000 }).length / 4) + 1000;
    assert.equal(own.headers['x-ratelimit-remaining-tokens'], String(TOKENS - estimate));
    const other = await ask({ headers: B });
    assert.ok(Number(other.headers['x-ratelimit-remaining-tokens']) !== TOKENS);
    assert.ok(other.headers['x-ratelimit-remaining-requests'] !== undefined);
  });

  describe('takes in the end what a request came to:', () => {
    beforeEach(() => start(`team-a=${TOKENS}tpm`));

    function totalIn(received: Received): number {
      const [, total] = [...received.body.toString().matchAll(/"total_tokens": ?(\d+)/g)].at(-1) ?? [];
      assert.ok(Number(total) > 0 && Number(total) < 500, `total_tokens ${total}`);
      return Number(total);
    }

    for (const [what, path, body] of [
      ['a whole chat completion', '/v1/chat/completions', chat({ max_tokens: 9000 })],
      [
        'a chat stream that was asked for its usage',
        '/v1/chat/completions',
        chat({ stream: true, stream_options: { include_usage: true }, max_tokens: 9000 }),
      ],
      ['a response', '/responses', JSON.stringify({ model: 'gpt-5.4-mini', input: 'Say hello.', store: false })],
      [
        'a stream of responses, which says it at its end',
        '/responses',
        JSON.stringify({ model: 'gpt-5.4-mini', input: 'Say hello.', stream: true, store: false }),
      ],
      [
        'embeddings of several hundred kilobytes',
        '/v1/embeddings',
        JSON.stringify({ model: 'text-embedding-3-large', input: Array.from({ length: 40 }, () => 'word') }),
      ],
    ] as const) {
      it(what, async () => {
        const { spent, received, usage } = await spentBy(() => ask({ body }, path));
        assert.equal(received.status, 200);
        assert.equal(spent, totalIn(received));
        assert.equal(spent, (usage?.promptTokens ?? 0) + (usage?.completionTokens ?? 0));
      });
    }

    it('a chat stream whose caller did not ask for its usage, because we do', async () => {
      const { spent, received, usage } = await spentBy(() => ask({ body: chat({ stream: true, max_tokens: 9000 }) }));
      assert.doesNotMatch(received.body.toString(), /total_tokens/);
      assert.deepEqual([spent, usage?.promptTokens, usage?.completionTokens], [11, 3, 8]);
    });

    it('a stream that says nothing: its prompt by the estimate, its text by its length', async () => {
      const body = chat({ stream: true, max_tokens: 9000 });
      const path = '/openai/deployments/gpt-5.4-mini/chat/completions?api-version=2024-02-01';
      const { spent, received, usage } = await spentBy(() => ask({ body }, path));
      assert.equal(usage?.isEstimated, true);
      const text = textOf(received.body.toString());
      assert.ok(text.length > 10);
      assert.equal(spent, Math.ceil(body.length / 4) + Math.ceil(text.length / 4));
    });

    it('a stream that broke: its prompt, and its text so far', async () => {
      const body = chat({ stream: true, max_tokens: 9000 });
      const { spent, received } = await spentBy(() => {
        running.resources[0]?.script({ kind: 'reset-mid-stream', afterChunks: 4 });
        return ask({ body });
      });
      assert.match(received.body.toString(), /stream_broken/);
      const prompt = Math.ceil(body.length / 4);
      assert.ok(spent > prompt && spent < prompt + 50, `${spent} spent, ${prompt} of the prompt`);
    });

    it('speech, which has no usage: the text to be spoken', async () => {
      const body = JSON.stringify({ model: 'gpt-5.4-mini', input: 'Say hello.', voice: 'alloy' });
      const { spent, received } = await spentBy(() => ask({ body }, '/v1/audio/speech'));
      assert.equal(received.status, 200);
      assert.equal(spent, Math.ceil(body.length / 4));
    });

    it('a stream whose caller left in its middle: all that it allowed, as the quota of the backend was charged', async () => {
      const body = chat({ stream: true, max_tokens: 9000 });
      const gone = new AbortController();
      const { spent } = await spentBy(() => {
        running.resources[0]?.script({ kind: 'stall', afterChunks: 4 });
        const onData = (): void => gone.abort();
        return ask({ body, signal: gone.signal, onData }).catch(() => undefined);
      });
      assert.equal(spent, Math.ceil(body.length / 4) + 9000);
    });

    it('a stream whose caller left before its end: its text so far, where that is more than was estimated', async () => {
      // From now on such requests are expected to come to one token.
      assert.equal((await ask({ body: chat({ max_tokens: 1 }) })).status, 200);
      const body = chat({ stream: true });
      const gone = new AbortController();
      let got = '';
      const { spent } = await spentBy(() => {
        running.resources[0]?.script({ kind: 'stall', afterChunks: 6 });
        const onData = (piece: Buffer): void => {
          got += piece.toString();
          if (textOf(got).length > 8) gone.abort();
        };
        return ask({ body, signal: gone.signal, onData }).catch(() => undefined);
      });
      const prompt = Math.ceil(body.length / 4);
      assert.ok(spent >= prompt + Math.ceil(textOf(got).length / 4), `${spent} spent, ${prompt} of the prompt`);
      assert.ok(spent > prompt + 2 && spent < prompt + 50, `${spent} spent, ${prompt} of the prompt`);
    });

    it('a stream that broke before its first word, and nobody else answered: nothing', async () => {
      const body = chat({ stream: true, max_tokens: 9000 });
      const { spent, received } = await spentBy(() => {
        running.resources[0]?.script({ kind: 'reset-mid-stream', afterChunks: 1 });
        return ask({ body });
      });
      assert.equal(received.status, 502);
      assert.equal(spent, 0);
    });

    it('a caller who left before the answer: all that it allowed', async () => {
      const body = chat({ max_tokens: 9000 });
      const gone = new AbortController();
      const { spent } = await spentBy(() => {
        running.resources[0]?.script({ kind: 'hang' });
        void running.resources[0]?.onceCalled().then(() => gone.abort());
        return ask({ body, signal: gone.signal }).catch(() => undefined);
      });
      assert.equal(spent, Math.ceil(body.length / 4) + 9000);
    });

    for (const [what, fault, status] of [
      ['a request that the backend refused', { kind: 'content-filter' }, 400],
      ['a request that every backend was too busy for', { kind: 'throttle', retryAfterMs: 1 }, 429],
      ['a request that every backend failed on', { kind: 'status', status: 503 }, 503],
      ['a request that reached nobody', { kind: 'reset-before-headers' }, 502],
    ] as const) {
      it(`${what}: nothing`, async () => {
        const { spent, received } = await spentBy(() => {
          running.resources[0]?.always(fault);
          return ask({ body: chat({ max_tokens: 9000 }) }).finally(() => running.resources[0]?.always(undefined));
        });
        assert.equal(received.status, status);
        assert.equal(spent, 0);
      });
    }
  });

  it('estimates what names no maximum by what such requests came to before', async () => {
    await start(`team-a=${TOKENS}tpm`);
    const charged = async (): Promise<number> => {
      const { after } = await look();
      const { received, finished } = await watch(running, () => ask());
      completion = finished.usage?.completionTokens ?? 0;
      return after - Number(received.headers['x-ratelimit-remaining-tokens']);
    };
    let completion = 0;
    const prompt = Math.ceil(chat().length / 4);
    assert.equal(await charged(), prompt + 500);
    assert.ok(completion > 0 && completion < 400);
    assert.equal(await charged(), prompt + completion);
  });

  it('shows a client what it has left on errors of the balancer too', async () => {
    await start('team-a=5rpm');
    running.resources[0]?.script({ kind: 'throttle', retryAfterMs: 5000 });
    const received = await ask();
    assert.deepEqual([received.status, errorOf(received).code], [429, 'all_backends_throttled']);
    assert.equal(received.headers['x-ratelimit-remaining-requests'], '4');
  });

  it('gives a place back to a client that finds the house full', async () => {
    await start('team-a=2concurrent', { settings: { MAX_CONCURRENT_REQUESTS: '1' } });
    running.resources[0]?.script({ kind: 'hang' });
    const gone = new AbortController();
    const hanging = ask({ headers: B, signal: gone.signal }).catch(() => 'gone');
    await running.event('attempt-started', 0);
    for (let n = 0; n < 3; n += 1) {
      const { received, finished } = await watch(running, () => ask());
      assert.deepEqual([received.status, finished.code], [503, 'too_many_requests_in_flight']);
      assert.equal(finished.client, 'team-a');
    }
    const from = running.events.length;
    gone.abort();
    await hanging;
    await running.event('request-finished', from);
    assert.equal((await ask()).status, 200);
  });

  it('takes nothing of a request that could not be read', async () => {
    await start('team-a=1rpm');
    const compressed = { ...A, 'content-encoding': 'gzip' };
    for (let n = 0; n < 3; n += 1) assert.equal((await ask({ headers: compressed })).status, 415);
    assert.equal((await ask()).status, 200);
  });

  it('is an error that the openai package understands', async () => {
    await start('team-a=1rpm');
    const client = new OpenAI({ baseURL: `${running.url}/v1`, apiKey: 'key-of-a', maxRetries: 0 });
    const question = { model: 'gpt-5.4-mini', messages: [{ role: 'user' as const, content: 'hello' }] };
    await client.chat.completions.create(question);
    await assert.rejects(client.chat.completions.create(question), (error) => {
      assert.ok(error instanceof RateLimitError);
      assert.equal(error.code, 'client_limit_exceeded');
      assert.match(error.message, /team-a has sent the 1 requests/);
      return true;
    });
  });
});

/** What a chat stream says, so far. */
function textOf(stream: string): string {
  return [...stream.matchAll(/"content":"([^"]*)"/g)].map(([, part = '']) => part).join('');
}
