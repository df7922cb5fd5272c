// Fault by fault: what a caller sees when it is scripted.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import { gunzipSync } from 'node:zlib';
import type { Fault } from '../../simulator/scenario.ts';
import { createAuthority } from '../../simulator/tls.ts';
import {
  CHAT,
  ask,
  askEvents,
  askRaw,
  chatBody,
  codeOf,
  eventsIn,
  eventually,
  jsonOf,
  messageOf,
  open,
  valueAt,
  withResource,
} from './support.ts';

const streamed = { ...chatBody, stream: true };

describe('simulator: scripting', () => {
  it('applies each scripted fault to one request, in order, and the standing one in between', () =>
    withResource({}, async (resource) => {
      resource.always({ kind: 'status', status: 500 });
      resource.script({ kind: 'status', status: 502 }, { kind: 'status', status: 503 });
      const seen = [await ask(resource), await ask(resource), await ask(resource)].map((reply) => reply.status);
      resource.always(undefined);
      assert.deepEqual([...seen, (await ask(resource)).status], [502, 503, 500, 200]);
      assert.deepEqual(
        resource.calls.map((call) => call.fault),
        ['status', 'status', 'status', undefined],
      );
    }));

  it('forgets faults, throttles and used quotas when cleared', () =>
    withResource({ deployments: { 'gpt-5.4-mini': { model: 'gpt-5.4-mini', rpm: 1 } } }, async (resource) => {
      await ask(resource);
      resource.always({ kind: 'hang' });
      resource.script({ kind: 'hang' });
      resource.throttle(60_000);
      resource.clearFaults();
      assert.equal((await ask(resource)).status, 200);
    }));
});

describe('simulator: throttling', () => {
  it('throttles one deployment or all for as long as it was told and counts the wait down', () => {
    let now = 0;
    return withResource({ now: () => now }, async (resource) => {
      resource.throttle(30_000, 'chat');
      assert.equal((await ask(resource)).status, 200);
      now = 10_000;
      const one = await ask(resource, { body: { ...chatBody, model: 'chat' } });
      assert.equal(one.status, 429);
      assert.equal(one.headers['retry-after-ms'], '20000');
      assert.equal(one.headers['retry-after'], '20');
      assert.equal(one.headers['x-ratelimit-remaining-tokens'], '0');
      resource.throttle(1_000);
      assert.equal((await ask(resource)).headers['retry-after'], '1');
      now = 30_000;
      assert.equal((await ask(resource, { body: { ...chatBody, model: 'chat' } })).status, 200);
    });
  });

  it('scripts a 429 by its wait and its reason', () =>
    withResource({}, async (resource) => {
      resource.script({ kind: 'throttle' }, { kind: 'throttle', retryAfterMs: 2500, body: 'requests' });
      const usual = await ask(resource);
      assert.deepEqual([usual.headers['retry-after-ms'], usual.headers['retry-after']], ['1000', '1']);
      assert.equal(usual.headers['policy-id'], 'DeploymentRatelimit-Token');
      assert.match(messageOf(usual), /exceeded token rate limit .* retry after 1 seconds/);
      const requests = await ask(resource);
      assert.deepEqual([requests.headers['retry-after-ms'], requests.headers['retry-after']], ['2500', '3']);
      assert.equal(requests.headers['policy-id'], 'DeploymentRatelimit-Call');
      assert.match(messageOf(requests), /exceeded call rate limit .* retry after 3 seconds/);
      resource.script({ kind: 'throttle', retryAfterMs: 86_400_000, body: 'capacity' });
      const reply = await ask(resource);
      assert.equal(reply.status, 429);
      assert.equal(codeOf(reply), '429');
      assert.equal(reply.headers['retry-after'], '86400');
      assert.match(messageOf(reply), /^The system is currently experiencing high demand .* 86400 seconds/);
    }));

  it('shows the limits of the deployment that was asked for in a scripted 429', () =>
    withResource({ deployments: { chat: { model: 'gpt-5.4-mini', tpm: 6000, rpm: 12 } } }, async (resource) => {
      resource.always({ kind: 'throttle' });
      for (const path of ['/openai/v1/chat/completions', '/openai/deployments/chat/chat/completions?api-version=1']) {
        const { headers } = await ask(resource, { path, body: { ...chatBody, model: 'chat' } });
        assert.equal(headers['x-ratelimit-limit-tokens'], '6000');
        assert.equal(headers['x-ratelimit-remaining-tokens'], '0');
        assert.equal(headers['x-ratelimit-limit-requests'], '12');
      }
    }));

  it('replaces, adds and removes headers of a 429', () =>
    withResource({}, async (resource) => {
      const headers = { 'Retry-After-Ms': undefined, 'retry-after': 'Wed, 21 Oct 2026 07:28:00 GMT', 'x-odd': '-1' };
      resource.script({ kind: 'throttle', headers });
      const reply = await ask(resource);
      assert.equal(reply.headers['retry-after-ms'], undefined);
      assert.equal(reply.headers['retry-after'], 'Wed, 21 Oct 2026 07:28:00 GMT');
      assert.equal(reply.headers['x-odd'], '-1');
    }));

  it('has a bare 429 without any wait', () =>
    withResource({}, async (resource) => {
      resource.script({ kind: 'status', status: 429 });
      const reply = await ask(resource);
      assert.equal(reply.status, 429);
      assert.equal(reply.headers['retry-after'] ?? reply.headers['retry-after-ms'], undefined);
    }));

  const responsesBody = { model: 'gpt-5.4-mini', input: 'hi', stream: true };
  it('throttles inside a 200 by a failed response without a code and an error event', () =>
    withResource({}, async (resource) => {
      resource.script({ kind: 'throttle-in-stream', shape: 'error-event' });
      const reply = await ask(resource, { path: '/openai/v1/responses', body: responsesBody });
      assert.equal(reply.status, 200);
      assert.equal(reply.headers['retry-after'], '1');
      const [failed, error, ...more] = eventsIn(reply.body.toString());
      assert.match(failed ?? '', /^\{"type":"response.failed","response":\{.*"error":null/);
      assert.match(error ?? '', /"type":"too_many_requests","code":"rate_limit_exceeded"/);
      assert.deepEqual(more, []);
    }));

  it('throttles inside a 200 by a failed response that carries the code', () =>
    withResource({}, async (resource) => {
      resource.script({ kind: 'throttle-in-stream', shape: 'response-failed' });
      const reply = await ask(resource, { path: '/openai/v1/responses', body: responsesBody });
      const [created, failed, ...more] = eventsIn(reply.body.toString());
      assert.match(created ?? '', /"type":"response.created"/);
      assert.match(failed ?? '', /"type":"response.failed".*"error":\{"code":"rate_limit_exceeded"/);
      assert.deepEqual(more, []);
    }));

  it('throttles inside a 200 by an error in a chat stream', () =>
    withResource({}, async (resource) => {
      resource.script({ kind: 'throttle-in-stream', shape: 'chat-error' });
      const reply = await ask(resource, { body: streamed });
      assert.equal(reply.status, 200);
      assert.match(reply.body.toString(), /^data: \{"error":\{"message":"That model is currently overloaded/);
    }));

  it('answers an ordinary 429 instead when no stream was asked for', () =>
    withResource({}, async (resource) => {
      resource.script({ kind: 'throttle-in-stream', shape: 'error-event', retryAfterMs: 2500 });
      const reply = await ask(resource);
      assert.equal(reply.status, 429);
      assert.equal(reply.headers['retry-after-ms'], '2500');
    }));
});

describe('simulator: a failure in the middle of a stream', () => {
  const message = 'The server had an error while processing your request. Sorry about that!';
  const failure = { error: { message, type: 'server_error', param: null, code: null } };
  const responsesBody = { model: 'gpt-5.4-mini', input: 'hi', stream: true };
  const RESPONSES = '/openai/v1/responses';

  const streams: readonly (readonly [string, object, number])[] = [
    [CHAT, streamed, 11],
    ['/openai/v1/completions', { model: 'gpt-5.4-mini', prompt: 'hi', stream: true }, 10],
  ];
  for (const [path, body, events] of streams) {
    for (const afterChunks of [0, 3, 100]) {
      it(`says an error after ${afterChunks} events and ends the stream in order: ${path}`, () =>
        withResource({}, async (resource) => {
          resource.script({ kind: 'error-mid-stream', afterChunks });
          const reply = await ask(resource, { path, body });
          assert.equal(reply.status, 200);
          assert.equal(reply.error, undefined);
          const seen = eventsIn(reply.body.toString());
          assert.equal(seen.length, Math.min(afterChunks, events - 1) + 1); // at most all but [DONE]
          assert.deepEqual(JSON.parse(seen.at(-1) ?? ''), failure);
          assert.ok(seen.slice(0, -1).every((event) => event.startsWith('{') && !event.includes('error')));
        }));
    }
  }

  for (const afterChunks of [0, 5]) {
    it(`says an error event after ${afterChunks} events of a response`, () =>
      withResource({}, async (resource) => {
        resource.script({ kind: 'error-mid-stream', afterChunks });
        const reply = await ask(resource, { path: RESPONSES, body: responsesBody });
        assert.equal(reply.status, 200);
        assert.equal(reply.error, undefined);
        const seen = eventsIn(reply.body.toString());
        assert.equal(seen.length, afterChunks + 1);
        const error = { type: 'server_error', code: 'server_error', message, param: null };
        assert.deepEqual(JSON.parse(seen.at(-1) ?? ''), { type: 'error', error, sequence_number: afterChunks });
        assert.match(reply.body.toString(), /(^|\n\n)event: error\ndata: [^\n]*\n\n$/);
      }));

    it(`fails a response after ${afterChunks} events when it is to say so itself`, () =>
      withResource({}, async (resource) => {
        resource.script({ kind: 'error-mid-stream', afterChunks, shape: 'response-failed' });
        const reply = await ask(resource, { path: RESPONSES, body: responsesBody });
        const seen = eventsIn(reply.body.toString());
        assert.equal(seen.length, afterChunks + 1);
        const last: unknown = JSON.parse(seen.at(-1) ?? '');
        assert.equal(valueAt(last, 'type'), 'response.failed');
        assert.equal(valueAt(last, 'sequence_number'), afterChunks);
        assert.equal(valueAt(last, 'response', 'status'), 'failed');
        assert.deepEqual(valueAt(last, 'response', 'error'), { code: 'server_error', message });
        const path = `${RESPONSES}/${String(valueAt(last, 'response', 'id'))}`;
        assert.equal((await ask(resource, { path, method: 'GET' })).status, 404);
      }));
  }

  it('says between any two events of a response that it goes on', () =>
    withResource({}, async (resource) => {
      const typesOf = async (): Promise<readonly unknown[]> => {
        const events = await askEvents(resource, { path: RESPONSES, body: responsesBody });
        assert.deepEqual(
          events.map((event) => event['sequence_number']),
          events.map((_, index) => index),
        );
        return events.map((event) => event['type']);
      };
      const usual = await typesOf();
      resource.script({ kind: 'keepalive' });
      assert.deepEqual(await typesOf(), usual.flatMap((type) => ['keepalive', type]).slice(1));
    }));

  it('is an ordinary 500 when no stream was asked for', () =>
    withResource({}, async (resource) => {
      resource.script({ kind: 'error-mid-stream', afterChunks: 3 });
      const reply = await ask(resource);
      assert.equal(reply.status, 500);
      assert.equal(valueAt(jsonOf(reply), 'error', 'type'), 'server_error');
    }));
});

describe('simulator: errors', () => {
  const errors: readonly (readonly [Fault, number, unknown, RegExp])[] = [
    [{ kind: 'status', status: 500 }, 500, null, /^The server had an error/],
    [{ kind: 'status', status: 408 }, 408, 'Timeout', /^The operation was timeout\.$/],
    [{ kind: 'status', status: 409 }, 409, '409', /409/],
    [{ kind: 'unauthorized' }, 401, '401', /^Access denied due to invalid subscription key/],
    [{ kind: 'permission-denied' }, 401, 'PermissionDenied', /^Principal does not have access/],
    [{ kind: 'content-filter' }, 400, 'content_filter', /^The response was filtered/],
    [
      { kind: 'operation-not-supported' },
      400,
      'OperationNotSupported',
      /^The chatCompletion operation .* gpt-5\.4-mini/,
    ],
    [{ kind: 'missing-deployment' }, 400, null, /^Could not find an existing deployment/],
  ];
  for (const [fault, status, code, message] of errors) {
    it(`answers ${JSON.stringify(fault)} with ${status} and code ${String(code)}`, () =>
      withResource({}, async (resource) => {
        resource.script(fault);
        const reply = await ask(resource);
        assert.equal(reply.status, status);
        assert.equal(codeOf(reply), code);
        assert.match(messageOf(reply), message);
        assert.ok(reply.headers['apim-request-id']);
      }));
  }

  it('answers a missing deployment on a legacy path with 404', () =>
    withResource({}, async (resource) => {
      resource.script({ kind: 'missing-deployment' });
      const reply = await ask(resource, { path: '/openai/deployments/chat/chat/completions?api-version=2024-10-21' });
      assert.equal(reply.status, 404);
      assert.equal(codeOf(reply), 'DeploymentNotFound');
    }));

  it('answers a status with the body and headers it was given', () =>
    withResource({}, async (resource) => {
      resource.script({ kind: 'status', status: 503, body: { error: 'x' }, headers: { 'retry-after': '7' } });
      const reply = await ask(resource);
      assert.deepEqual(jsonOf(reply), { error: 'x' });
      assert.equal(reply.headers['retry-after'], '7');
    }));

  it('truncates the body of a status under its full content-length', () =>
    withResource({}, async (resource) => {
      resource.script({ kind: 'status', status: 503, body: '0123456789', truncateBody: true });
      const reply = await ask(resource);
      assert.equal(reply.status, 503);
      assert.equal(reply.headers['content-length'], '10');
      assert.equal(reply.body.toString(), '01234');
      assert.equal(reply.error?.code, 'ECONNRESET');
    }));

  it('stalls in the middle of the body of a status until the caller goes away', () =>
    withResource({}, async (resource) => {
      resource.script({ kind: 'status', status: 503, body: '0123456789', stallBody: true });
      const res = await open(resource);
      const [half]: unknown[] = await once(res, 'data');
      assert.equal(String(half), '01234');
      assert.equal(resource.openRequests, 1);
      res.destroy();
      await eventually(() => resource.openRequests === 0 && resource.openSockets === 0);
    }));

  it('answers early, before the body was read', () =>
    withResource({}, async (resource) => {
      resource.script({ kind: 'early-answer', status: 413 });
      assert.equal((await ask(resource)).status, 413);
      assert.equal(resource.calls[0]?.body.length, 0);
    }));
});

describe('simulator: connections', () => {
  it('refuses by ending the connection without an answer or reading the body', () =>
    withResource({}, async (resource) => {
      resource.script({ kind: 'refuse' });
      await assert.rejects(ask(resource), { code: 'ECONNRESET' });
      assert.equal(resource.calls[0]?.body.length, 0);
    }));

  for (const tls of [false, true]) {
    it(`resets a kept connection at the first bytes of its next request, ${tls ? 'under TLS' : 'without TLS'}`, async () => {
      const authority = await createAuthority();
      await withResource(tls ? { tls: await authority.issue() } : {}, async (resource) => {
        const scheme = tls ? https : http;
        const agent = new scheme.Agent({ keepAlive: true });
        const askKept = (body: string): Promise<number> =>
          new Promise((resolve, reject) => {
            const options = { method: 'POST', agent, ...(tls ? { ca: authority.cert } : {}) };
            const req = scheme.request(resource.url + CHAT, options, (res) => {
              res.on('end', () => resolve(res.statusCode ?? 0)).resume();
            });
            req.on('error', reject).end(body);
          });
        const body = JSON.stringify(chatBody);
        try {
          resource.script({ kind: 'stale' }, { kind: 'status', status: 503 });
          assert.equal(await askKept(body), 200);
          await assert.rejects(askKept(JSON.stringify({ ...chatBody, user: 'x'.repeat(2 ** 20) })), /ECONNRESET|EPIPE/);
          assert.equal(resource.calls.length, 1);
          assert.deepEqual([resource.openRequests, resource.openSockets], [0, 0]);
          assert.equal(await askKept(body), 503); // On a new connection, which the next fault meets.
        } finally {
          agent.destroy();
        }
      });
    });
  }

  it('leaves every connection that is new alone while the kept ones go stale', () =>
    withResource({}, async (resource) => {
      resource.always({ kind: 'stale' });
      for (let n = 0; n < 3; n += 1) assert.equal((await ask(resource)).status, 200);
      assert.equal(resource.calls.length, 3);
      assert.deepEqual(
        resource.calls.map(({ fault }) => fault),
        [undefined, undefined, undefined],
      );
    }));

  it('resets before headers once the whole request was read', () =>
    withResource({}, async (resource) => {
      resource.script({ kind: 'reset-before-headers' });
      assert.deepEqual(await askRaw(resource), { text: '', ending: 'reset' });
      assert.equal(resource.calls[0]?.body.toString(), JSON.stringify(chatBody));
    }));

  for (const afterChunks of [0, 1, 3, 100]) {
    it(`resets a stream after ${afterChunks} events`, () =>
      withResource({ answerTokens: 8 }, async (resource) => {
        resource.script({ kind: 'reset-mid-stream', afterChunks });
        const { text, ending } = await askRaw(resource, streamed);
        assert.equal(ending, 'reset');
        assert.match(text, /^HTTP\/1.1 200 OK/);
        assert.equal(eventsIn(text).length, Math.min(afterChunks, 11)); // role, 8 deltas, finish, [DONE]
        assert.doesNotMatch(text, /\r\n0\r\n/);
      }));
  }

  it('resets in the middle of an event', () =>
    withResource({}, async (resource) => {
      resource.script({ kind: 'reset-mid-stream', afterChunks: 2, midEvent: true });
      const { text, ending } = await askRaw(resource, streamed);
      assert.equal(ending, 'reset');
      assert.equal(eventsIn(text).length, 2);
      assert.equal(text.match(/data: /g)?.length, 3);
    }));

  it('resets a whole answer after so many pieces of 16 bytes', () =>
    withResource({}, async (resource) => {
      resource.script({ kind: 'reset-mid-stream', afterChunks: 2 });
      const { text, ending } = await askRaw(resource);
      assert.equal(ending, 'reset');
      assert.equal(text.split('\r\n\r\n')[1]?.length, 32);
    }));

  for (const afterChunks of [0, 3, 100]) {
    it(`truncates a stream after ${afterChunks} events by an orderly end`, () =>
      withResource({}, async (resource) => {
        resource.script({ kind: 'truncated', afterChunks });
        const { text, ending } = await askRaw(resource, streamed);
        assert.equal(ending, 'end');
        assert.equal(eventsIn(text).length, Math.min(afterChunks, 11));
        assert.doesNotMatch(text, /\r\n0\r\n/);
      }));
  }

  it('stalls after so many events until the caller goes away', () =>
    withResource({}, async (resource) => {
      resource.script({ kind: 'stall', afterChunks: 2 });
      const res = await open(resource, { body: streamed });
      let text = '';
      res.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
      await eventually(() => eventsIn(text).length === 2);
      assert.equal(resource.openRequests, 1);
      res.destroy();
      await eventually(() => resource.openRequests === 0);
      assert.equal(eventsIn(text).length, 2);
    }));

  it('goes on after a stall that has an end', () =>
    withResource({}, async (resource) => {
      resource.script({ kind: 'stall', afterChunks: 2, ms: 5 });
      const reply = await ask(resource, { body: streamed });
      assert.equal(reply.error, undefined);
      assert.equal(eventsIn(reply.body.toString()).length, 11);
    }));

  it('hangs after it read the request until the caller goes away', () =>
    withResource({}, async (resource) => {
      resource.script({ kind: 'hang' });
      const asked = open(resource).catch(() => 'no answer');
      const call = await resource.onceCalled();
      await eventually(() => call.body.length > 0);
      assert.equal(resource.openRequests, 1);
      await resource.stopListening();
      assert.equal(await asked, 'no answer');
      assert.equal(resource.openRequests, 0);
    }));
});

describe('simulator: pace and size', () => {
  it('sends headers late', () =>
    withResource({}, async (resource) => {
      resource.script({ kind: 'slow-first-byte', ms: 30 });
      const askedAt = performance.now();
      const res = await open(resource);
      assert.ok(performance.now() - askedAt >= 29);
      res.resume();
    }));

  for (const body of [chatBody, streamed]) {
    it(`sends headers at once and the first chunk late (${'stream' in body ? 'streamed' : 'whole'})`, () =>
      withResource({}, async (resource) => {
        resource.script({ kind: 'slow-first-chunk', ms: 30 });
        const askedAt = performance.now();
        const res = await open(resource, { body });
        for await (const chunk of res) {
          assert.ok(performance.now() - askedAt >= 29);
          assert.ok(chunk);
          return;
        }
      }));
  }

  it('pauses between chunks as it was told', () =>
    withResource({ chunkDelayMs: 2 }, async (resource) => {
      const askedAt = performance.now();
      const reply = await ask(resource, { body: streamed });
      assert.equal(eventsIn(reply.body.toString()).length, 11);
      assert.ok(performance.now() - askedAt >= 15);
    }));

  it('gives up waiting when the caller goes away', () =>
    withResource({}, async (resource) => {
      for (const fault of [
        { kind: 'slow-first-byte', ms: 600_000 },
        { kind: 'slow-first-chunk', ms: 600_000 },
        { kind: 'stall', afterChunks: 1, ms: 600_000 },
      ] as const) {
        resource.script(fault);
        const asked = ask(resource).catch(() => undefined);
        const call = await resource.onceCalled();
        await eventually(() => call.body.length > 0);
        await resource.stopListening();
        await asked;
        await resource.listenAgain();
      }
      assert.equal((await ask(resource)).status, 200);
    }));

  for (const body of [chatBody, streamed]) {
    it(`compresses although nobody asked (${'stream' in body ? 'streamed' : 'whole'})`, () =>
      withResource({}, async (resource) => {
        resource.script({ kind: 'gzip' });
        const reply = await ask(resource, { body, headers: { 'accept-encoding': 'identity' } });
        assert.equal(reply.headers['content-encoding'], 'gzip');
        assert.match(gunzipSync(reply.body).toString(), 'stream' in body ? /data: \[DONE\]\n\n$/ : /"chat.completion"/);
      }));
  }

  const large: readonly (readonly [string, object])[] = [
    ['/openai/v1/chat/completions', chatBody],
    ['/openai/v1/chat/completions', streamed],
    ['/openai/v1/completions', { model: 'chat', prompt: 'hi' }],
    ['/openai/v1/completions', { model: 'chat', prompt: 'hi', stream: true }],
    ['/openai/v1/responses', { model: 'chat', input: 'hi' }],
    ['/openai/v1/responses', { model: 'chat', input: 'hi', stream: true }],
    ['/openai/v1/embeddings', { model: 'chat', input: 'hi' }],
    ['/openai/v1/audio/speech', { model: 'chat', input: 'hi' }],
    ['/openai/v1/images/generations', { model: 'chat', prompt: 'hi' }],
  ];
  for (const [path, body] of large) {
    it(`pads an answer to about a megabyte (${path}${'stream' in body ? ', streamed' : ''})`, () =>
      withResource({}, async (resource) => {
        resource.script({ kind: 'large', bytes: 1_000_000 });
        const reply = await ask(resource, { path, body });
        assert.equal(reply.status, 200);
        assert.ok(reply.body.length >= 990_000 && reply.body.length <= 1_100_000, String(reply.body.length));
        if (!('stream' in body) && !path.endsWith('speech')) {
          assert.ok(jsonOf(reply));
        }
      }));
  }
});
