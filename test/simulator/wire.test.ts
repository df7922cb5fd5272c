// What a simulated resource looks like on the wire: its paths, credentials, headers and error bodies.

import assert from 'node:assert/strict';
import { request } from 'node:http';
import {
  CHAT,
  ask,
  askEvents,
  chatBody,
  codeOf,
  eventsIn,
  eventually,
  jsonOf,
  messageOf,
  valueAt,
  withResource,
} from './support.ts';
import type { Reply } from './support.ts';
import { uploadForText } from './uploads.ts';

const DEPLOYMENT = '/openai/deployments/chat';
const VERSION = '?api-version=2024-10-21';

function assertNotFound(reply: Reply): void {
  assert.equal(reply.status, 404);
  assert.deepEqual(jsonOf(reply), { error: { code: '404', message: 'Resource not found' } });
}

describe('simulator: paths', () => {
  const chat = { model: 'chat', messages: [] };
  const operations: readonly (readonly [string, object])[] = [
    ['chat/completions', chat],
    ['completions', { model: 'chat', prompt: 'hi' }],
    ['embeddings', { model: 'chat', input: 'hi' }],
    ['audio/speech', { model: 'chat', input: 'hi', voice: 'alloy' }],
    ['images/generations', { model: 'chat', prompt: 'hi' }],
  ];
  for (const [operation, body] of operations) {
    it(`serves ${operation} in a deployment and on v1`, () =>
      withResource({}, async (resource) => {
        for (const path of [`${DEPLOYMENT}/${operation}${VERSION}`, `/openai/v1/${operation}`]) {
          assert.equal((await ask(resource, { path, body })).status, 200, path);
        }
      }));
  }

  for (const operation of ['audio/transcriptions', 'audio/translations', 'images/edits']) {
    it(`serves the form of ${operation} in a deployment and on v1`, () =>
      withResource({}, async (resource) => {
        for (const path of [`${DEPLOYMENT}/${operation}${VERSION}`, `/openai/v1/${operation}`]) {
          const reply = await uploadForText(resource, { path, content: 'x', fields: { model: 'chat', prompt: 'hi' } });
          assert.equal(reply.status, 200, path);
        }
      }));
  }

  it('serves responses outside of a deployment and on v1', () =>
    withResource({}, async (resource) => {
      for (const path of [`/openai/responses${VERSION}`, '/openai/v1/responses']) {
        assert.equal((await ask(resource, { path, body: { model: 'chat', input: 'hi' } })).status, 200, path);
      }
    }));

  it('lists models, not deployments, and shows one by its name or by that of its deployment', () =>
    withResource(
      { deployments: { chat: { model: 'gpt-5.4-mini' }, other: { model: 'gpt-5.4-mini' } } },
      async (resource) => {
        for (const [path, query] of [
          ['/openai/models', VERSION],
          ['/openai/v1/models', ''],
        ] as const) {
          const list = jsonOf(await ask(resource, { path: path + query, method: 'GET' }));
          assert.deepEqual([valueAt(list, 'data', 'length'), valueAt(list, 'data', 0, 'id')], [1, 'gpt-5.4-mini']);
          for (const name of ['gpt-5.4-mini', 'chat']) {
            const model = await ask(resource, { path: `${path}/${name}${query}`, method: 'GET' });
            assert.deepEqual(jsonOf(model), valueAt(list, 'data', 0));
          }
          assertNotFound(await ask(resource, { path: `${path}/gpt-99${query}`, method: 'GET' }));
        }
      },
    ));

  const unknown = [
    '/',
    '/v1/chat/completions',
    '/chat/completions',
    '/responses',
    '/openai/v1',
    '/openai/v1/chat',
    '/openai/v1/chat/completions/',
    '/openai/v1/realtime',
    `/openai/deployments/chat${VERSION}`,
    `${DEPLOYMENT}/responses${VERSION}`,
    `${DEPLOYMENT}/v1/chat/completions${VERSION}`,
    `/openai/chat/completions${VERSION}`,
  ];
  for (const path of unknown) {
    it(`has nothing at ${path}`, () =>
      withResource({}, async (resource) => assertNotFound(await ask(resource, { path }))));
  }

  it('has no legacy path without its api-version', () =>
    withResource({}, async (resource) => {
      assertNotFound(await ask(resource, { path: `${DEPLOYMENT}/chat/completions` }));
      assertNotFound(await ask(resource, { path: `${DEPLOYMENT}/chat/completions?api-version=` }));
      assertNotFound(await ask(resource, { path: '/openai/models', method: 'GET' }));
    }));

  it('refuses a dated api-version on a v1 path and takes preview, latest and v1', () =>
    withResource({}, async (resource) => {
      const dated = await ask(resource, { path: `${CHAT}${VERSION}` });
      assert.equal(dated.status, 400);
      const message = 'api-version query parameter is not allowed when using /v1 path';
      assert.deepEqual(jsonOf(dated), { error: { code: 'BadRequest', message } });
      for (const version of ['preview', 'latest', 'v1']) {
        assert.equal((await ask(resource, { path: `${CHAT}?api-version=${version}` })).status, 200);
      }
    }));

  const notSimulated = [
    'vector_stores',
    'assistants',
    'threads',
    'fine_tuning/jobs',
    'evals',
    'videos',
    'containers',
    'uploads',
    'responses',
    'responses/resp_1/other',
    'responses//input_items',
    'files/file_1/content/more',
  ];
  for (const path of notSimulated) {
    it(`has nothing to get at ${path}, of either generation`, () =>
      withResource({}, async (resource) => {
        assertNotFound(await ask(resource, { path: `/openai/v1/${path}`, method: 'GET' }));
        assertNotFound(await ask(resource, { path: `/openai/${path}${VERSION}`, method: 'GET' }));
      }));
  }

  it('answers 404 to a WebSocket and closes the connection', () =>
    withResource({}, async (resource) => {
      const headers = { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13' };
      for (const path of ['/openai/v1/realtime?model=chat', '/openai/v1/responses']) {
        const reply = await ask(resource, { path, method: 'GET', headers });
        assertNotFound(reply);
        assert.equal(reply.headers.connection, 'close');
        await eventually(() => resource.openSockets === 0);
      }
    }));

  it('answers nothing to the wrong method', () =>
    withResource({}, async (resource) => {
      assertNotFound(await ask(resource, { path: '/openai/v1/embeddings', method: 'GET' }));
      assertNotFound(await ask(resource, { path: '/openai/v1/models' }));
    }));

  it('takes the deployment from the path, exactly as written there, whatever model the body names', () =>
    withResource({}, async (resource) => {
      const body = { ...chatBody, model: 'ignored' };
      const named = await ask(resource, { path: `${DEPLOYMENT}/chat/completions${VERSION}`, body });
      assert.equal(named.status, 200);
      for (const name of ['Chat', 'chat2', 'toString']) {
        const reply = await ask(resource, { path: `/openai/deployments/${name}/chat/completions${VERSION}`, body });
        assert.equal(reply.status, 404);
        const message =
          'The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, please wait a moment and try again.';
        assert.deepEqual(jsonOf(reply), { error: { code: 'DeploymentNotFound', message } });
      }
    }));

  it('answers 400 on v1 for a model that is no deployment, and for none', () =>
    withResource({}, async (resource) => {
      const unknownModel = await ask(resource, { body: { ...chatBody, model: 'gpt-99' } });
      assert.equal(unknownModel.status, 400);
      const message = 'Could not find an existing deployment to match the model in the request.';
      const error = { message, type: 'invalid_request_error', param: 'model', code: null };
      assert.deepEqual(jsonOf(unknownModel), { error });
      assert.equal((await ask(resource, { body: { messages: [] } })).status, 400);
    }));
});

describe('simulator: credentials', () => {
  const both = { apiKey: 'key-1', bearerToken: 'token-1' };
  const accepted = [{ 'api-key': 'key-1' }, { authorization: 'Bearer key-1' }, { authorization: 'Bearer token-1' }];
  for (const headers of accepted) {
    it(`accepts ${JSON.stringify(headers)}`, () =>
      withResource(both, async (resource) => assert.equal((await ask(resource, { headers })).status, 200)));
  }

  const denied = [
    {},
    { 'api-key': 'key-2' },
    { 'api-key': 'token-1' },
    { authorization: 'key-1' },
    { authorization: 'Bearer ' },
    { authorization: 'Bearer key-2' },
  ];
  for (const headers of denied) {
    it(`denies ${JSON.stringify(headers)}`, () =>
      withResource(both, async (resource) => {
        const reply = await ask(resource, { headers });
        assert.equal(reply.status, 401);
        assert.equal(codeOf(reply), '401');
        assert.match(messageOf(reply), /^Access denied due to invalid subscription key or wrong API endpoint\./);
      }));
  }

  it('denies a key where only a token is accepted', () =>
    withResource({ bearerToken: 'token-1' }, async (resource) => {
      assert.equal((await ask(resource, { headers: { 'api-key': 'token-1' } })).status, 401);
    }));

  it('accepts any credential, even none, when it has neither key nor token', () =>
    withResource({}, async (resource) => {
      assert.equal((await ask(resource)).status, 200);
      assert.equal((await ask(resource, { headers: { 'api-key': 'any' } })).status, 200);
    }));

  it('refuses two credentials at once, even right ones, even where any is accepted', () =>
    withResource({}, async (resource) => {
      const reply = await ask(resource, { headers: { 'api-key': 'key-1', authorization: 'Bearer key-1' } });
      assert.equal(reply.status, 400);
      assert.match(messageOf(reply), /two credentials/);
    }));

  it('denies before it applies a scripted error', () =>
    withResource(both, async (resource) => {
      resource.script({ kind: 'status', status: 503 });
      assert.equal((await ask(resource)).status, 401);
    }));
});

describe('simulator: headers', () => {
  it('sends the documented ones with a success', () =>
    withResource({ region: 'Japan East' }, async (resource) => {
      const { headers } = await ask(resource, { headers: { 'x-ms-client-request-id': 'mine' } });
      assert.match(headers['apim-request-id']?.toString() ?? '', /^[0-9a-f-]{36}$/);
      assert.match(headers['x-request-id']?.toString() ?? '', /^[0-9a-f-]{36}$/);
      assert.equal(headers['x-ms-region'], 'Japan East');
      assert.equal(headers['x-ms-client-request-id'], 'mine');
      assert.equal(headers['azureml-model-session'], 'simulated-openai1');
      assert.equal(headers['x-ratelimit-limit-tokens'], '10000000');
      assert.equal(headers['x-ratelimit-remaining-requests'], '100000');
      for (const ofThrottles of ['retry-after', 'retry-after-ms', 'x-ratelimit-reset-tokens', 'policy-id']) {
        assert.equal(headers[ofThrottles], undefined);
      }
      const second = await ask(resource);
      assert.equal(second.headers['x-ms-client-request-id'], undefined);
      assert.equal(second.headers['x-ratelimit-remaining-tokens'], '10000000');
      assert.equal(second.headers['x-ratelimit-limit-requests'], '100000');
      assert.equal(second.headers['x-ratelimit-remaining-requests'], '100000');
    }));

  it('names the operation, the api-version, the limit and the wait in the body of a 429', () =>
    withResource({}, async (resource) => {
      for (const [path, named, version] of [
        [`${DEPLOYMENT}/embeddings${VERSION}`, 'Embeddings_Create', '2024-10-21'],
        ['/openai/v1/responses', 'Responses_Create', 'v1'],
      ] as const) {
        resource.throttle(7000);
        const reply = await ask(resource, { path, body: { model: 'chat', input: 'hi' } });
        assert.equal(reply.status, 429);
        const message = `Requests to the ${named} Operation under Azure OpenAI API version ${version} have exceeded token rate limit of your current OpenAI S0 pricing tier. Please retry after 7 seconds. Please go here: https://aka.ms/oai/quotaincrease if you would like to further increase the default rate limit.`;
        assert.deepEqual(jsonOf(reply), { error: { code: '429', message } });
      }
    }));

  it('counts the quota down in them and answers 429 with every wait when it is used up', () => {
    let now = 0;
    const limited = { chat: { model: 'gpt-5.4-mini', tpm: 1000, rpm: 12 } };
    return withResource({ deployments: limited, now: () => now }, async (resource) => {
      const body = { ...chatBody, model: 'chat', max_tokens: 10 };
      const first = await ask(resource, { body });
      assert.equal(first.headers['x-ratelimit-limit-requests'], '12');
      assert.equal(first.headers['x-ratelimit-remaining-requests'], '11');
      assert.equal(first.headers['x-ratelimit-limit-tokens'], '1000');
      assert.equal(first.headers['x-ratelimit-remaining-tokens'], '987'); // 3 of the prompt, 10 of the answer
      now = 1500;
      await ask(resource, { body });
      const third = await ask(resource, { body });
      assert.equal(third.status, 429);
      assert.equal(third.headers['retry-after-ms'], '8500');
      assert.equal(third.headers['retry-after'], '9');
      assert.equal(third.headers['x-ratelimit-reset-requests'], '9');
      assert.equal(third.headers['x-ratelimit-reset-tokens'], '59');
      assert.equal(third.headers['policy-id'], 'DeploymentRatelimit-Call');
      assert.match(
        messageOf(third),
        /^Requests to the ChatCompletions_Create Operation .* call rate limit .* 9 seconds/,
      );
      now = 10_000;
      assert.equal((await ask(resource, { body })).status, 200);
      const large = await ask(resource, { body: { ...body, max_tokens: 1000 } });
      assert.equal(large.status, 429);
      assert.equal(large.headers['policy-id'], 'DeploymentRatelimit-Token');
      assert.equal(large.headers['retry-after'], '50');
    });
  });

  it('keeps the quotas of two deployments apart', () => {
    const limited = { a: { model: 'gpt-5.4-mini', rpm: 1 }, b: { model: 'gpt-5.4-mini', rpm: 1 } };
    return withResource({ deployments: limited }, async (resource) => {
      assert.equal((await ask(resource, { body: { ...chatBody, model: 'a' } })).status, 200);
      assert.equal((await ask(resource, { body: { ...chatBody, model: 'a' } })).status, 429);
      assert.equal((await ask(resource, { body: { ...chatBody, model: 'b' } })).status, 200);
    });
  });

  it('marks a stream as one that no proxy is to buffer', () =>
    withResource({}, async (resource) => {
      const { headers, body } = await ask(resource, { body: { ...chatBody, stream: true } });
      assert.equal(headers['content-type'], 'text/event-stream; charset=utf-8');
      assert.equal(headers['x-accel-buffering'], 'no');
      assert.equal(eventsIn(body.toString()).at(-1), '[DONE]');
    }));
});

describe('simulator: bodies', () => {
  for (const body of ['', '{', '[]', '"text"', 'null']) {
    it(`answers 400 to ${JSON.stringify(body)}`, () =>
      withResource({}, async (resource) => {
        const reply = await ask(resource, { body });
        assert.equal(reply.status, 400);
        assert.match(messageOf(reply), /could not parse the JSON body/);
      }));
  }

  it('answers 413 to more than 64 MiB', () =>
    withResource({}, async (resource) => {
      const most = JSON.stringify(chatBody).padEnd(64 * 1024 * 1024);
      assert.equal((await ask(resource, { body: most })).status, 200);
      const reply = await ask(resource, { body: `${most} ` });
      assert.equal(reply.status, 413);
      assert.deepEqual(jsonOf(reply), { error: { code: '413', message: 'Request body too large.' } });
    }));

  it('shows the results of the filter on legacy paths, whole and streamed, and on v1 none', () =>
    withResource({}, async (resource) => {
      const legacy = `${DEPLOYMENT}/chat/completions${VERSION}`;
      const whole = jsonOf(await ask(resource, { path: legacy }));
      assert.equal(valueAt(whole, 'prompt_filter_results', 0, 'prompt_index'), 0);
      assert.equal(valueAt(whole, 'choices', 0, 'content_filter_results', 'hate', 'filtered'), false);
      const stream = { ...chatBody, stream: true };
      const [first, , delta] = await askEvents(resource, { path: legacy, body: stream });
      assert.deepEqual(first?.['choices'], []);
      assert.equal(valueAt(first, 'prompt_filter_results', 0, 'prompt_index'), 0);
      assert.equal(valueAt(delta, 'choices', 0, 'content_filter_results', 'hate', 'filtered'), false);
      for (const body of [chatBody, stream]) {
        assert.doesNotMatch((await ask(resource, { body })).body.toString(), /filter/);
      }
    }));

  it('answers 400 to an upload that is no form', () =>
    withResource({}, async (resource) => {
      const path = '/openai/v1/audio/transcriptions';
      assert.equal((await ask(resource, { path })).status, 400);
      const headers = { 'content-type': 'multipart/form-data; boundary=x' };
      assert.equal((await ask(resource, { path, headers, body: '--x\r\ncontent-dis' })).status, 400);
    }));

  it('reads a chunked body and records it whole', () =>
    withResource({}, async (resource) => {
      const text = JSON.stringify(chatBody);
      const status = await new Promise((resolve, reject) => {
        const req = request(resource.url + CHAT, { method: 'POST', agent: false }, (res) => {
          res.resume();
          res.once('end', () => resolve(res.statusCode));
        });
        req.on('error', reject);
        req.write(text.slice(0, 10));
        req.end(text.slice(10));
      });
      assert.equal(status, 200);
      assert.equal(resource.calls[0]?.headers['transfer-encoding'], 'chunked');
      assert.equal(resource.calls[0]?.body.toString(), text);
    }));

  it('quotes the first 40 characters of the last user message, of text parts too', () =>
    withResource({ name: 'openai2' }, async (resource) => {
      const content = [
        { type: 'text', text: 'a'.repeat(39) },
        { type: 'text', text: '😀 and more' },
      ];
      const messages = [
        { role: 'user', content: 'first' },
        { role: 'user', content },
        { role: 'assistant', content: 'x' },
      ];
      const reply = await ask(resource, { body: { ...chatBody, messages } });
      assert.match(reply.body.toString(), /"content":"openai2 answers: a{39}\uFFFD"/);
    }));

  it('gives every answer an id of its own', () =>
    withResource({}, async (resource) => {
      const bodies = [await ask(resource), await ask(resource)].map((reply) => reply.body.toString());
      const ids = bodies.map((body) => /"id":"(.*?)"/.exec(body)?.[1]);
      assert.ok(ids[0]?.startsWith('chatcmpl-'));
      assert.notEqual(ids[0], ids[1]);
    }));
});
