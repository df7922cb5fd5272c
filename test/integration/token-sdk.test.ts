// The openai package, unchanged, with Microsoft Entra tokens instead of a key. Its own retries are off but where said.

import assert from 'node:assert/strict';
import OpenAI, { APIError, AuthenticationError, AzureOpenAI, PermissionDeniedError } from 'openai';
import { startBalancer, type RunningBalancer } from '../support/balancer.ts';
import { startKeyServer, type KeyServer } from '../support/key-server.ts';
import { manualClock, type ManualClock } from '../support/manual-clock.ts';
import { callCounts, credentialsIn, hasNoOpenRequests } from '../support/observed.ts';
import {
  APP,
  LIFETIME,
  MADE_AT,
  MADE_AT_MS,
  OBJECT,
  PERSON,
  signingKey,
  TENANT,
  tokenBy,
  v1Claims,
  v2Claims,
} from '../support/tokens.ts';
import { until } from '../support/until.ts';

const A = signingKey('key-a');
const model = 'gpt-5.4-mini';
const messages = [{ role: 'user' as const, content: 'What is new?' }];
const apiVersion = '2024-10-21';
const GOOD = tokenBy(A, v1Claims());

interface Client {
  readonly name: string;
  /** `give` is asked for a token whenever the client needs one. */
  readonly make: (url: string, give: () => string, maxRetries?: number) => OpenAI;
}

const clients: readonly Client[] = [
  {
    name: 'AzureOpenAI with a token provider',
    make: (endpoint, give, maxRetries = 0) =>
      new AzureOpenAI({ endpoint, apiVersion, azureADTokenProvider: async () => give(), maxRetries }),
  },
  {
    name: 'OpenAI with a token as its key',
    make: (url, give, maxRetries = 0) => new OpenAI({ baseURL: `${url}/openai/v1`, apiKey: give(), maxRetries }),
  },
  {
    name: 'OpenAI with a token provider as its key',
    make: (url, give, maxRetries = 0) => new OpenAI({ baseURL: `${url}/v1`, apiKey: async () => give(), maxRetries }),
  },
  {
    name: 'AzureOpenAI with a token as its key',
    make: (endpoint, give, maxRetries = 0) => new AzureOpenAI({ endpoint, apiVersion, apiKey: give(), maxRetries }),
  },
];

describe('the openai package with tokens', () => {
  let running: RunningBalancer;
  let keys: KeyServer;
  let clock: ManualClock;
  let wallClock: ManualClock;

  beforeEach(async () => {
    keys = await startKeyServer(A);
    clock = manualClock(1000);
    wallClock = manualClock(MADE_AT_MS);
  });
  afterEach(async () => {
    await running.close();
    await keys.close();
  });

  async function start(settings: Readonly<Record<string, string | undefined>> = {}): Promise<void> {
    running = await startBalancer({
      backends: 2,
      clock: clock.now,
      wallClockMs: wallClock.now,
      settings: { CLIENT_API_KEYS: undefined, ENTRA_TENANT_ID: TENANT, ENTRA_JWKS_URL: keys.url, ...settings },
    });
  }

  /** Each call went out with the backend's credential alone. */
  function assertOwnCredentials(token: string): void {
    for (const [index, { calls }] of running.resources.entries()) {
      for (const call of calls) {
        assert.deepEqual(credentialsIn(call), ['api-key', `key-${index + 1}`]);
        assert.ok(!JSON.stringify(call.rawHeaders).includes(token));
      }
    }
    assert.ok(!running.log.join('').includes(token));
    assert.ok(!JSON.stringify(running.events).includes(token));
  }

  function clientNames(): readonly string[] {
    return running.events.flatMap((event) => (event.kind === 'request-finished' ? [event.client] : []));
  }

  for (const { name, make } of clients) {
    describe(name, () => {
      it('gets a completion, a stream and a response, through a failover', async () => {
        await start();
        running.resources[0]?.always({ kind: 'throttle', retryAfterMs: 50_000 });
        const client = make(running.url, () => GOOD);
        const completion = await client.chat.completions.create({ model, messages });
        assert.equal(completion.choices[0]?.message.content, 'openai2 answers: What is new?');
        let text = '';
        for await (const chunk of await client.chat.completions.create({ model, messages, stream: true })) {
          text += chunk.choices[0]?.delta.content ?? '';
        }
        assert.equal(text, 'openai2 answers: What is new?');
        const response = await client.responses.create({ model, input: messages, store: false });
        assert.equal(response.output_text, 'openai2 answers: What is new?');
        assert.deepEqual(callCounts(running), [1, 3]);
        assert.deepEqual(clientNames(), [APP, APP, APP]);
        assertOwnCredentials(GOOD);
        await until(() => hasNoOpenRequests(running));
        running.assertIdle();
      });

      it('throws an AuthenticationError that says why', async () => {
        await start();
        const graph = tokenBy(A, v1Claims({ aud: 'https://graph.microsoft.com' }));
        for (const [token, code, says] of [
          [tokenBy(A, v1Claims({ exp: MADE_AT - 600 })), 'token_expired', /Get a new one/],
          [graph, 'token_wrong_audience', /https:\/\/cognitiveservices\.azure\.com\/\.default/],
          [`${GOOD}AAAA`, 'token_signature_invalid', /whole and unchanged/],
        ] as const) {
          await assert.rejects(make(running.url, () => token).chat.completions.create({ model, messages }), (error) => {
            assert.ok(error instanceof AuthenticationError);
            assert.deepEqual([error.status, error.code, error.type], [401, code, 'authentication_error']);
            assert.match(error.message, says);
            assert.ok(!error.message.includes(token));
            return true;
          });
          assertOwnCredentials(token);
        }
        assert.deepEqual(callCounts(running), [0, 0]);
      });

      it('throws a PermissionDeniedError when it is not on the list', async () => {
        await start({ ENTRA_ALLOWED_CLIENTS: '99999999-0000-4000-8000-000000000000' });
        const token = tokenBy(A, v2Claims(PERSON));
        await assert.rejects(make(running.url, () => token).chat.completions.create({ model, messages }), (error) => {
          assert.ok(error instanceof PermissionDeniedError);
          assert.equal(error.code, 'client_not_allowed');
          assert.match(error.message, new RegExp(OBJECT));
          return true;
        });
        assert.deepEqual(callCounts(running), [0, 0]);
        assertOwnCredentials(token);
      });

      it('reads a 503 that asks to come again while the signing keys cannot be had', async () => {
        keys.answerWith({ status: 500 });
        await start();
        const client = make(running.url, () => GOOD);
        await assert.rejects(client.chat.completions.create({ model, messages }), (error) => {
          assert.ok(error instanceof APIError);
          assert.deepEqual([error.status, error.code], [503, 'token_keys_unavailable']);
          assert.equal(error.headers?.get('retry-after'), '5');
          return true;
        });
        keys.answerWith('keys');
        clock.advance(1000);
        const completion = await client.chat.completions.create({ model, messages });
        assert.equal(completion.choices[0]?.message.content, 'openai1 answers: What is new?');
        assert.deepEqual(callCounts(running), [1, 0]);
      });
    });
  }

  it('asks its provider for a token each time, so that one that ended is followed by another', async () => {
    await start({ ENTRA_ALLOWED_CLIENTS: `chat-app=${APP}` });
    const given: string[] = [];
    const client = new AzureOpenAI({
      endpoint: running.url,
      apiVersion,
      maxRetries: 0,
      azureADTokenProvider: () => {
        const now = Math.floor(wallClock.now() / 1000);
        const token = tokenBy(A, v2Claims({ iat: now, nbf: now, exp: now + LIFETIME }));
        given.push(token);
        return Promise.resolve(token);
      },
    });
    for (let hours = 0; hours < 3; hours += 1) {
      const completion = await client.chat.completions.create({ model, messages });
      assert.match(completion.choices[0]?.message.content ?? '', /^openai1 answers/);
      clock.advance(2 * LIFETIME * 1000);
      wallClock.advance(2 * LIFETIME * 1000);
    }
    assert.equal(new Set(given).size, 3);
    assert.deepEqual(clientNames(), ['chat-app', 'chat-app', 'chat-app']);
  });
});
