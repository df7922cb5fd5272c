// What a resource shows of its limits: odd headers, provisioned deployments, spillover, reductions, roles.

import assert from 'node:assert/strict';
import type { IncomingHttpHeaders } from 'node:http';
import { throttleOddities } from '../../simulator/limits/oddities.ts';
import type { ThrottleOddity } from '../../simulator/limits/oddities.ts';
import type { DeploymentSpec } from '../../simulator/server.ts';
import { CHAT, ask, chatBody, codeOf, eventually, messageOf, open, withResource } from './support.ts';
import { uploadForText } from './uploads.ts';

const WAIT_HEADERS = [
  'retry-after',
  'retry-after-ms',
  'x-rate-limit-reset-tokens',
  'x-ratelimit-limit-tokens',
  'x-ratelimit-remaining-tokens',
  'x-ratelimit-reset-requests',
  'x-ratelimit-reset-tokens',
];

function pick(headers: IncomingHttpHeaders, names: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(names.filter((name) => headers[name] !== undefined).map((name) => [name, headers[name]]));
}

describe('a 429 with odd headers', () => {
  const usual = { 'x-ratelimit-limit-tokens': '10000000', 'x-ratelimit-remaining-tokens': '0' };
  const reset = { 'x-ratelimit-reset-requests': '363', 'x-ratelimit-reset-tokens': '363' };
  const unknown = {
    'x-ratelimit-limit-tokens': '-1',
    'x-ratelimit-remaining-tokens': '-1',
    'x-ratelimit-reset-tokens': '0',
  };
  const seen: Readonly<Record<ThrottleOddity, object>> = {
    none: usual,
    unknown,
    seconds: { ...usual, ...reset, 'retry-after': '363' },
    milliseconds: { ...usual, ...reset, 'retry-after-ms': '362500' },
    float: { ...usual, 'retry-after': '362.5' },
    date: { ...usual, 'retry-after': 'Thu, 01 Jan 1970 00:06:03 GMT' },
    'go-duration': {
      ...usual,
      'x-ratelimit-reset-requests': '6m2.5s',
      'x-ratelimit-reset-tokens': '6m2.5s',
    },
    hyphen: { ...usual, 'x-rate-limit-reset-tokens': '363' },
    day: { ...usual, ...reset, 'retry-after': '86400', 'retry-after-ms': '86400000' },
    zero: { ...usual, ...reset, 'retry-after': '0', 'retry-after-ms': '0' },
    negative: { ...usual, ...reset, 'retry-after': '-1', 'retry-after-ms': '-1' },
    garbage: { ...usual, 'retry-after': 'soon', 'retry-after-ms': 'NaN', 'x-ratelimit-reset-tokens': '1e999' },
  };
  for (const oddity of throttleOddities) {
    it(`says its wait as seen in the wild: ${oddity}`, () =>
      withResource({ now: () => 0 }, async (resource) => {
        resource.script({ kind: 'odd-throttle', oddity, retryAfterMs: 362_500 });
        const { status, headers } = await ask(resource);
        assert.equal(status, 429);
        assert.deepEqual(pick(headers, WAIT_HEADERS), seen[oddity]);
      }));
  }

  for (const [ms, text] of [
    [20, '20ms'],
    [7000, '7s'],
    [360_000, '6m0s'],
    [3_723_000, '1h2m3s'],
  ] as const) {
    it(`writes ${ms} ms as Go does: ${text}`, () =>
      withResource({}, async (resource) => {
        resource.script({ kind: 'odd-throttle', oddity: 'go-duration', retryAfterMs: ms });
        assert.equal((await ask(resource)).headers['x-ratelimit-reset-tokens'], text);
      }));
  }
});

describe('an answer with odd headers', () => {
  const names = [
    'x-ratelimit-limit-requests',
    'x-ratelimit-remaining-requests',
    'x-ratelimit-limit-tokens',
    'x-ratelimit-remaining-tokens',
    'x-ratelimit-reset-tokens',
  ];
  const limited = { 'gpt-5.4-mini': { model: 'gpt-5.4-mini', tpm: 6000, rpm: 36 } };
  const seen = {
    none: {},
    unknown: {
      'x-ratelimit-limit-requests': '36',
      'x-ratelimit-remaining-requests': '35',
      'x-ratelimit-limit-tokens': '-1',
      'x-ratelimit-remaining-tokens': '-1',
      'x-ratelimit-reset-tokens': '0',
    },
    'remaining-only': { 'x-ratelimit-remaining-requests': '35', 'x-ratelimit-remaining-tokens': '5981' },
    garbage: {
      'x-ratelimit-limit-requests': '36',
      'x-ratelimit-remaining-requests': '',
      'x-ratelimit-limit-tokens': '1e999',
      'x-ratelimit-remaining-tokens': 'many',
    },
  } as const;
  for (const [oddity, headers] of Object.entries(seen)) {
    for (const stream of [false, true]) {
      it(`shows its quota as seen in the wild: ${oddity}, stream ${stream}`, () =>
        withResource({ deployments: limited }, async (resource) => {
          await ask(resource, { path: `/simulator/fault?name=odd-headers:${oddity}`, body: '' });
          const reply = await ask(resource, { body: { ...chatBody, stream } });
          assert.equal(reply.status, 200);
          assert.deepEqual(pick(reply.headers, names), headers);
        }));
    }
  }
});

describe('a provisioned deployment of a resource', () => {
  /** Holds 1,000 tokens and leaks one a millisecond. */
  const ptu: DeploymentSpec = { model: 'gpt-5.4', provisioned: { tokensPerMinute: 60_000, burstMs: 1000 } };
  const question = (maxTokens: number, stream = false) => ({
    body: { model: 'ptu', max_tokens: maxTokens, stream, messages: [{ role: 'user', content: 'Hi, you' }] },
  });

  it('shows its utilization instead of what is left, and says its wait in milliseconds', () => {
    let now = 0;
    return withResource({ deployments: { ptu }, now: () => now, answerTokens: 8 }, async (resource) => {
      resource.script({ kind: 'stall', afterChunks: 1 });
      const held = ask(resource, question(1040, true)); // 2 of the prompt and 1,040: not given back while it streams
      await eventually(() => resource.calls.length === 1);
      const refused = await ask(resource, question(10));
      assert.equal(refused.status, 429);
      assert.equal(refused.headers['azure-openai-deployment-utilization'], '104%');
      assert.equal(refused.headers['retry-after-ms'], '43');
      assert.equal(refused.headers['retry-after'], '1');
      assert.equal(refused.headers['x-ratelimit-limit-tokens'], undefined);
      assert.equal(refused.headers['x-ratelimit-remaining-tokens'], undefined);
      now = 43;
      const admitted = await ask(resource, question(10));
      assert.equal(admitted.status, 200);
      assert.equal(admitted.headers['azure-openai-deployment-utilization'], '101%');
      await resource.stopListening();
      await held;
      await resource.listenAgain();
    });
  });

  it('gets back what an answer did not use as soon as it ended', () =>
    withResource({ deployments: { ptu }, now: () => 0, answerTokens: 8 }, async (resource) => {
      const first = await ask(resource, question(2000));
      assert.equal(first.headers['azure-openai-deployment-utilization'], '200%');
      const second = await ask(resource, question(10));
      assert.equal(second.status, 200);
      // 10 that the first really took, and 12 of the second.
      assert.equal(second.headers['azure-openai-deployment-utilization'], '2%');
    }));

  it('gets that back from an answer that was cancelled too', () =>
    withResource({ deployments: { ptu }, now: () => 0, answerTokens: 8 }, async (resource) => {
      resource.script({ kind: 'stall', afterChunks: 1 });
      const res = await open(resource, question(2000, true));
      assert.equal((await ask(resource, question(10))).headers['azure-openai-deployment-utilization'], '200%');
      res.destroy();
      await eventually(() => resource.openRequests === 0);
      // 10 of the one that was cancelled, and 12 of this one.
      const after = await ask(resource, question(10));
      assert.equal(after.status, 200);
      assert.equal(after.headers['azure-openai-deployment-utilization'], '2%');
    }));

  describe('spills over', () => {
    const payg: DeploymentSpec = { model: 'gpt-5.4' };
    const spilling = { ...ptu, spilloverDeploymentName: 'payg' };
    const full = { tokensPerMinute: 60, burstMs: 1000 }; // by any one request

    it('to the deployment that its property names, when its bucket is full', () =>
      withResource(
        { deployments: { ptu: { ...spilling, provisioned: full }, payg }, now: () => 0 },
        async (resource) => {
          const first = await ask(resource, question(10));
          assert.equal(first.headers['x-ms-spillover-from-deployment'], undefined);
          const reply = await ask(resource, question(10));
          assert.equal(reply.status, 200);
          assert.equal(reply.headers['x-ms-spillover-from-deployment'], 'ptu');
          assert.equal(reply.headers['x-ms-deployment-name'], 'payg');
          assert.equal(reply.headers['x-ms-spillover-error'], '429');
          assert.equal(reply.headers['x-ratelimit-limit-tokens'], '10000000');
        },
      ));

    it('to the deployment that the request names, streamed too; the property wins over it', () =>
      withResource({ deployments: { ptu, spilling, payg, other: payg } }, async (resource) => {
        const headers = { 'x-ms-spillover-deployment': 'other' };
        for (const [model, target] of [
          ['ptu', 'other'],
          ['spilling', 'payg'],
        ] as const) {
          resource.script({ kind: 'status', status: 503, body: { error: 'never seen' } });
          const reply = await ask(resource, { headers, body: { ...chatBody, model, stream: true } });
          assert.equal(reply.status, 200);
          assert.equal(reply.headers['x-ms-deployment-name'], target);
          assert.equal(reply.headers['x-ms-spillover-error'], '503');
          assert.match(reply.body.toString(), /data: \[DONE\]\n\n$/);
        }
      }));

    it('with a prompt that is too long for it', () =>
      withResource({ deployments: { ptu: { ...spilling, contextTokens: 1 }, payg } }, async (resource) => {
        const reply = await ask(resource, question(10));
        assert.equal(reply.status, 200);
        assert.equal(reply.headers['x-ms-spillover-error'], '400');
      }));

    it('and answers as the other does when that fails too', () =>
      withResource({ deployments: { ptu: spilling, payg: { ...payg, contextTokens: 1 } } }, async (resource) => {
        resource.script({ kind: 'status', status: 500 });
        const reply = await ask(resource, question(10));
        assert.equal(reply.status, 400);
        assert.equal(codeOf(reply), 'context_length_exceeded');
        assert.equal(reply.headers['x-ms-spillover-error'], '500');
      }));

    it('never for other errors, nor from a deployment that is not provisioned, nor without a name', () =>
      withResource({ deployments: { ptu: spilling, payg, alone: ptu } }, async (resource) => {
        const headers = { 'x-ms-spillover-deployment': 'ptu' };
        for (const [model, status] of [
          ['ptu', 502],
          ['ptu', 401],
          ['payg', 503],
        ] as const) {
          resource.script({ kind: 'status', status });
          const reply = await ask(resource, { headers, body: { ...chatBody, model } });
          assert.equal(reply.status, status);
          assert.equal(reply.headers['x-ms-spillover-from-deployment'], undefined);
        }
        resource.script({ kind: 'status', status: 503 });
        assert.equal((await ask(resource, { body: { ...chatBody, model: 'alone' } })).status, 503);
      }));
  });
});

describe('a limit that is reduced for a while', () => {
  const deployments = {
    chat: { model: 'gpt-5.4-mini', tpm: 6000 },
    other: { model: 'gpt-5.4-mini', tpm: 500 },
    free: { model: 'gpt-5.4-mini' },
  };
  const limitOf = async (resource: Parameters<typeof ask>[0], model: string): Promise<unknown> =>
    (await ask(resource, { body: { ...chatBody, model } })).headers['x-ratelimit-limit-tokens'];

  it('holds and is shown until its time is over, and never raises a limit', () => {
    let now = 0;
    return withResource({ deployments, now: () => now }, async (resource) => {
      resource.reduce(2000, 3_600_000);
      resource.reduce(1000, 3_600_000, 'chat');
      assert.equal(await limitOf(resource, 'chat'), '1000');
      assert.equal(await limitOf(resource, 'other'), '500');
      assert.equal(await limitOf(resource, 'free'), '2000');
      now = 3_600_000;
      assert.equal(await limitOf(resource, 'chat'), '6000');
      assert.equal(await limitOf(resource, 'free'), '10000000');
    });
  });

  it('refuses what the usual limit would have admitted', () =>
    withResource({ deployments, now: () => 0 }, async (resource) => {
      resource.reduce(100, 60_000, 'chat');
      const reply = await ask(resource, { body: { ...chatBody, model: 'chat', max_tokens: 200 } });
      assert.equal(reply.status, 429);
      assert.equal(reply.headers['x-ratelimit-limit-tokens'], '100');
      resource.clearFaults();
      assert.equal((await ask(resource, { body: { ...chatBody, model: 'chat', max_tokens: 200 } })).status, 200);
    }));
});

describe('who may call a resource', () => {
  it('a token has no role for the first time after the start; a key needs none', () => {
    let now = 0;
    const options = { apiKey: 'key', bearerToken: 'token', roleAfterMs: 5000, now: () => now };
    return withResource(options, async (resource) => {
      const token = { headers: { authorization: 'Bearer token' } };
      const denied = await ask(resource, token);
      assert.equal(denied.status, 401);
      assert.equal(codeOf(denied), 'PermissionDenied');
      assert.match(messageOf(denied), /lacks the required data action/);
      assert.equal((await ask(resource, { headers: { 'api-key': 'key' } })).status, 200);
      assert.equal((await ask(resource, { headers: { authorization: 'Bearer key' } })).status, 200);
      now = 5000;
      assert.equal((await ask(resource, token)).status, 200);
    });
  });

  it('a wrong token is a wrong credential, with a role or without', () =>
    withResource({ bearerToken: 'token', roleAfterMs: 5000 }, async (resource) => {
      assert.equal(codeOf(await ask(resource, { headers: { authorization: 'Bearer other' } })), '401');
    }));

  it('a key is refused with 403 where keys are disabled, a token is not', () =>
    withResource({ apiKey: 'key', bearerToken: 'token', isKeyless: true }, async (resource) => {
      for (const headers of [{ 'api-key': 'key' }, { 'api-key': 'wrong' }, { authorization: 'Bearer key' }]) {
        const reply = await ask(resource, { headers });
        assert.equal(reply.status, 403);
        assert.equal(codeOf(reply), 'AuthenticationTypeDisabled');
      }
      assert.equal((await ask(resource, { headers: { authorization: 'Bearer token' } })).status, 200);
    }));

  it('nobody while the resource is blocked', () =>
    withResource({ apiKey: 'key', bearerToken: 'token' }, async (resource) => {
      resource.always({ kind: 'blocked' });
      for (const headers of [{ 'api-key': 'key' }, { authorization: 'Bearer token' }]) {
        const reply = await ask(resource, { headers });
        assert.equal(reply.status, 403);
        assert.equal(codeOf(reply), '403');
        assert.match(messageOf(reply), /temporarily blocked/);
      }
      assert.equal((await ask(resource, { headers: { 'api-key': 'wrong' } })).status, 401);
    }));

  it('permission-denied comes as 401 and as 403', () =>
    withResource({}, async (resource) => {
      resource.script({ kind: 'permission-denied' }, { kind: 'permission-denied', status: 403 });
      for (const status of [401, 403]) {
        const reply = await ask(resource);
        assert.equal(reply.status, status);
        assert.equal(codeOf(reply), 'PermissionDenied');
      }
    }));
});

describe('what a request is counted as', () => {
  const limited = { chat: { model: 'gpt-5.4-mini', tpm: 1000 } };
  const counted: readonly (readonly [string, object, number])[] = [
    ['chat/completions', { messages: [{ role: 'user', content: '12345678' }] }, 2 + 16],
    ['chat/completions', { messages: [{ role: 'user', content: '12345678' }], max_completion_tokens: 100 }, 102],
    ['completions', { prompt: '12345678', max_tokens: 100 }, 102],
    ['completions', { prompt: '12345678', max_tokens: 100, best_of: 3 }, 302],
    ['responses', { input: '12345678', max_output_tokens: 100 }, 102],
    ['embeddings', { input: ['1234', '56789'] }, 3],
    ['audio/speech', { input: '12345678' }, 2],
    ['images/generations', { prompt: '12345678' }, 2],
  ];
  for (const [operation, body, tokens] of counted) {
    it(`${tokens} tokens: ${operation} ${JSON.stringify(body)}`, () =>
      withResource({ deployments: limited }, async (resource) => {
        const { headers } = await ask(resource, { path: `/openai/v1/${operation}`, body: { ...body, model: 'chat' } });
        assert.equal(headers['x-ratelimit-remaining-tokens'], String(1000 - tokens));
      }));
  }

  it('no tokens: an upload', () =>
    withResource({ deployments: limited }, async (resource) => {
      const path = '/openai/v1/audio/transcriptions';
      const asked = { path, content: Buffer.alloc(32_000), fields: { model: 'chat' } };
      assert.equal((await uploadForText(resource, asked)).status, 200);
      const { headers } = await ask(resource, {
        path: '/openai/v1/embeddings',
        body: { model: 'chat', input: '1234' },
      });
      assert.equal(headers['x-ratelimit-remaining-tokens'], '999');
    }));
});

describe('a prompt', () => {
  const MODEL_ERROR_HEADERS = ['ms-azureml-model-error-reason', 'ms-azureml-model-error-statuscode'];
  const modelError = {
    'ms-azureml-model-error-reason': 'model_error',
    'ms-azureml-model-error-statuscode': '400',
  };

  it('that is filtered is answered 400 in the older and in the newer form', () =>
    withResource({}, async (resource) => {
      resource.script({ kind: 'content-filter' }, { kind: 'content-filter', variant: 'prompt-newer' });
      for (const inner of ['ResponsibleAIPolicyViolation', 'ContentFiltered']) {
        const reply = await ask(resource);
        assert.equal(reply.status, 400);
        assert.equal(codeOf(reply), 'content_filter');
        const body: { error?: { innererror?: { code?: unknown } } } = JSON.parse(reply.body.toString());
        assert.equal(body.error?.innererror?.code, inner);
        assert.deepEqual(pick(reply.headers, MODEL_ERROR_HEADERS), modelError);
      }
    }));

  it('that is longer than the context is answered 400, by its deployment and by a script', () =>
    withResource({ deployments: { short: { model: 'gpt-5.4-mini', contextTokens: 2 } } }, async (resource) => {
      const fits = { model: 'short', messages: [{ role: 'user', content: '12345678' }] };
      assert.equal((await ask(resource, { path: CHAT, body: fits })).status, 200);
      const longer = { model: 'short', messages: [{ role: 'user', content: '123456789' }] };
      const reply = await ask(resource, { path: CHAT, body: longer });
      assert.equal(reply.status, 400);
      assert.equal(codeOf(reply), 'context_length_exceeded');
      assert.match(messageOf(reply), /maximum context length is 2 tokens.*resulted in 3 tokens/);
      assert.deepEqual(pick(reply.headers, MODEL_ERROR_HEADERS), modelError);
      resource.script({ kind: 'context-too-long' });
      assert.equal(codeOf(await ask(resource, { body: fits })), 'context_length_exceeded');
    }));
});
