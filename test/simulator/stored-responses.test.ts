// Responses that are kept: shown, continued, referred to, run in the background, deleted; and what another resource
// says to their ids.

import assert from 'node:assert/strict';
import type { ResourceOptions, SimulatedResource } from '../../simulator/server.ts';
import { ask, askEvents, askJson, messageOf, valueAt, withResource } from './support.ts';
import type { Json } from './support.ts';

const generations = [
  ['v1', '/openai/v1/responses', ''],
  ['legacy', '/openai/responses', '?api-version=2025-04-01-preview'],
] as const;
const [[, V1]] = generations;

const question = { model: 'chat', input: 'What is new?' };

async function post(resource: SimulatedResource, body: object, path: string = V1): Promise<Json> {
  const reply = await askJson(resource, { path, body });
  assert.equal(reply.status, 200, JSON.stringify(reply.body));
  return reply.body;
}

function withTwo(test: (one: SimulatedResource, two: SimulatedResource) => Promise<void>): Promise<void> {
  return withResource({ name: 'openai1' }, (one) => withResource({ name: 'openai2' }, (two) => test(one, two)));
}

/** With a clock that stands still until it is moved. */
async function withClock(
  options: Partial<ResourceOptions>,
  test: (resource: SimulatedResource, pass: (ms: number) => void) => Promise<void>,
): Promise<void> {
  let now = 1_000_000;
  await withResource({ now: () => now, ...options }, (resource) =>
    test(resource, (ms) => {
      now += ms;
    }),
  );
}

for (const [name, base, query] of generations) {
  describe(`simulator: stored responses on ${name} paths`, () => {
    it('shows a response again exactly as it was answered', () =>
      withResource({}, async (resource) => {
        const posted = await ask(resource, { path: base + query, body: question });
        const { id } = await JSON.parse(posted.body.toString());
        const again = await ask(resource, { path: `${base}/${id}${query}`, method: 'GET' });
        assert.equal(again.status, 200);
        assert.equal(again.body.toString(), posted.body.toString());
      }));

    it('keeps nothing when it is told not to', () =>
      withResource({}, async (resource) => {
        const { id, store } = await post(resource, { ...question, store: false }, base + query);
        assert.equal(store, false);
        const reply = await ask(resource, { path: `${base}/${String(id)}${query}`, method: 'GET' });
        assert.equal(reply.status, 404);
        assert.equal(messageOf(reply), `Response with id '${String(id)}' not found.`);
      }));

    it('answers 404 to the id of another resource, whatever is asked of it', () =>
      withTwo(async (one, two) => {
        const { id } = await post(one, { ...question, background: true }, base + query);
        const path = `${base}/${String(id)}`;
        const asked = [
          ['GET', ''],
          ['DELETE', ''],
          ['POST', '/cancel'],
          ['GET', '/input_items'],
        ] as const;
        for (const [method, part] of asked) {
          const reply = await askJson(two, { path: path + part + query, method });
          assert.equal(reply.status, 404);
          const message = `Response with id '${String(id)}' not found.`;
          assert.deepEqual(reply.body, { error: { message, type: 'invalid_request_error', param: null, code: null } });
        }
        assert.equal((await ask(one, { path: path + query, method: 'GET' })).status, 200);
      }));

    it('forgets a response that is deleted', () =>
      withResource({}, async (resource) => {
        const { id } = await post(resource, question, base + query);
        const path = `${base}/${String(id)}${query}`;
        const deleted = await askJson(resource, { path, method: 'DELETE' });
        assert.deepEqual(deleted, { status: 200, body: { id, object: 'response', deleted: true } });
        assert.equal((await ask(resource, { path, method: 'GET' })).status, 404);
        assert.equal((await ask(resource, { path, method: 'DELETE' })).status, 404);
      }));

    it('lists the items of its input in pages, the newest first unless asked otherwise', () =>
      withResource({}, async (resource) => {
        const input = ['one', 'two', 'three'].map((content) => ({ role: 'user', content }));
        const { id } = await post(resource, { model: 'chat', input }, base + query);
        const list = (more: string): Promise<{ body: Json }> => {
          const separator = query === '' ? '?' : '&';
          return askJson(resource, {
            path: `${base}/${String(id)}/input_items${query}${separator}${more}`,
            method: 'GET',
          });
        };
        const texts = ({ body }: { body: Json }): unknown[] =>
          [0, 1, 2].map((at) => valueAt(body, 'data', at, 'content', 0, 'text'));
        const oldest = await list('order=asc&limit=2');
        assert.deepEqual(texts(oldest), ['one', 'two', undefined]);
        assert.equal(oldest.body['has_more'], true);
        const rest = await list(`order=asc&limit=2&after=${String(oldest.body['last_id'])}`);
        assert.deepEqual(texts(rest), ['three', undefined, undefined]);
        assert.equal(rest.body['has_more'], false);
        assert.deepEqual(texts(await list('limit=3')), ['three', 'two', 'one']);
        assert.deepEqual((await list('after=msg_unknown')).body['data'], []);
      }));
  });
}

describe('simulator: what a response repeats', () => {
  const sent = {
    instructions: 'Be brief.',
    metadata: { a: 'b' },
    temperature: 0.3,
    top_p: 0.5,
    max_output_tokens: 100,
    user: 'user-1',
    prompt_cache_key: 'key-1',
    parallel_tool_calls: false,
    truncation: 'auto',
    text: { format: { type: 'text' }, verbosity: 'low' },
  };

  it('repeats what was sent, when it answers and when it shows the response again', () =>
    withResource({}, async (resource) => {
      const posted = await post(resource, { ...question, ...sent });
      const { body: again } = await askJson(resource, { path: `${V1}/${String(posted['id'])}`, method: 'GET' });
      for (const body of [posted, again]) {
        assert.deepEqual(Object.fromEntries(Object.keys(sent).map((key) => [key, body[key]])), sent);
        assert.equal(body['store'], true);
        assert.equal(body['previous_response_id'], null);
      }
    }));

  it('repeats it in the events of a stream too', () =>
    withResource({}, async (resource) => {
      const events = await askEvents(resource, { path: V1, body: { ...question, ...sent, stream: true } });
      for (const event of [events[0], events.at(-1)]) {
        assert.deepEqual(valueAt(event, 'response', 'metadata'), sent.metadata);
        assert.equal(valueAt(event, 'response', 'instructions'), sent.instructions);
      }
    }));

  it('keeps a response that was streamed', () =>
    withResource({}, async (resource) => {
      const events = await askEvents(resource, { path: V1, body: { ...question, stream: true } });
      const done = valueAt(events.at(-1), 'response');
      const { body } = await askJson(resource, { path: `${V1}/${String(valueAt(done, 'id'))}`, method: 'GET' });
      assert.deepEqual(body, done);
    }));
});

describe('simulator: a response after another', () => {
  it('counts what was said before into its prompt and says that it heard it', () =>
    withResource({ answerTokens: 4 }, async (resource) => {
      const first = await post(resource, question);
      const next = { model: 'chat', input: 'And you?', previous_response_id: first['id'] };
      const second = await post(resource, next);
      assert.equal(second['previous_response_id'], first['id']);
      const said = String(valueAt(first, 'output', 0, 'content', 0, 'text'));
      const characters = question.input.length + said.length + next.input.length;
      assert.equal(valueAt(second, 'usage', 'input_tokens'), Math.ceil(characters / 4));
      assert.equal(
        valueAt(second, 'output', 0, 'content', 0, 'text'),
        'openai1 answers: And you? (before: What is new?)',
      );
      const third = await post(resource, { ...next, previous_response_id: second['id'] });
      assert.ok(Number(valueAt(third, 'usage', 'input_tokens')) > Number(valueAt(second, 'usage', 'input_tokens')));
    }));

  it('lists as its input only its own input', () =>
    withResource({}, async (resource) => {
      const first = await post(resource, question);
      const second = await post(resource, { model: 'chat', input: 'And you?', previous_response_id: first['id'] });
      const path = `${V1}/${String(second['id'])}/input_items`;
      const { body } = await askJson(resource, { path, method: 'GET' });
      assert.equal(valueAt(body, 'data', 'length'), 1);
      assert.equal(valueAt(body, 'data', 0, 'content', 0, 'text'), 'And you?');
    }));

  it('refuses an id that it does not know with 400', () =>
    withTwo(async (one, two) => {
      const { id } = await post(one, question);
      const reply = await askJson(two, { path: V1, body: { ...question, previous_response_id: id } });
      assert.equal(reply.status, 400);
      const message = `Previous response with id '${String(id)}' not found.`;
      const param = 'previous_response_id';
      const code = 'previous_response_not_found';
      assert.deepEqual(reply.body, { error: { message, type: 'invalid_request_error', param, code } });
    }));

  it('counts the request against the quota before it looks for what was said before', () =>
    withResource({ deployments: { chat: { model: 'gpt-5.4-mini', rpm: 6 } } }, async (resource) => {
      const body = { ...question, previous_response_id: 'resp_unknown' };
      assert.equal((await ask(resource, { path: V1, body })).status, 400);
      assert.equal((await ask(resource, { path: V1, body })).status, 429);
    }));
});

describe('simulator: references to items', () => {
  const second = { role: 'user', content: 'And you?' };

  it('puts the items in the place of their references', () =>
    withResource({}, async (resource) => {
      const first = await post(resource, question);
      const answered = valueAt(first, 'output', 0, 'id');
      const { body: items } = await askJson(resource, {
        path: `${V1}/${String(first['id'])}/input_items`,
        method: 'GET',
      });
      const asked = valueAt(items, 'data', 0, 'id');
      const input = [{ type: 'item_reference', id: asked }, { id: answered }, second];
      const { id, usage } = await post(resource, { model: 'chat', input });
      const said = String(valueAt(first, 'output', 0, 'content', 0, 'text'));
      const characters = question.input.length + said.length + second.content.length;
      assert.equal(valueAt(usage, 'input_tokens'), Math.ceil(characters / 4));
      const path = `${V1}/${String(id)}/input_items?order=asc`;
      const { body: seen } = await askJson(resource, { path, method: 'GET' });
      assert.deepEqual(
        [0, 1, 2].map((at) => valueAt(seen, 'data', at, 'content', 0, 'text')),
        [question.input, said, second.content],
      );
    }));

  it('refuses a reference to an item of another resource with 400', () =>
    withTwo(async (one, two) => {
      const first = await post(one, question);
      const id = String(valueAt(first, 'output', 0, 'id'));
      const body = { model: 'chat', input: [{ type: 'item_reference', id }, second] };
      const reply = await askJson(two, { path: V1, body });
      assert.equal(reply.status, 400);
      const error = {
        message: `Item with id '${id}' not found.`,
        type: 'invalid_request_error',
        param: 'input',
        code: null,
      };
      assert.deepEqual(reply.body, { error });
      const unstored = await ask(two, { path: V1, body: { ...body, store: false } });
      assert.equal(
        messageOf(unstored),
        `Item with id '${id}' not found. Items are not persisted when \`store\` is set to false. Try again with \`store\` set to true, or remove this item from your input.`,
      );
    }));

  it('knows no item of a response that was not stored', () =>
    withResource({}, async (resource) => {
      const first = await post(resource, { ...question, store: false });
      const id = valueAt(first, 'output', 0, 'id');
      const body = { model: 'chat', input: [{ type: 'item_reference', id }, second] };
      assert.equal((await ask(resource, { path: V1, body })).status, 400);
    }));
});

describe('simulator: background responses', () => {
  const background = { ...question, background: true };
  const get = (resource: SimulatedResource, id: unknown): Promise<{ body: Json }> =>
    askJson(resource, { path: `${V1}/${String(id)}`, method: 'GET' });

  it('is queued, then in progress, then completed, a step of the clock in each', () =>
    withClock({ jobStepMs: 500 }, async (resource, pass) => {
      const posted = await post(resource, background);
      assert.equal(posted['status'], 'queued');
      assert.deepEqual([posted['output'], posted['usage'], posted['background']], [[], null, true]);
      pass(499);
      assert.equal((await get(resource, posted['id'])).body['status'], 'queued');
      pass(1);
      assert.equal((await get(resource, posted['id'])).body['status'], 'in_progress');
      pass(500);
      const { body } = await get(resource, posted['id']);
      assert.equal(body['status'], 'completed');
      assert.equal(valueAt(body, 'output', 0, 'content', 0, 'text'), 'openai1 answers: What is new?');
    }));

  it('is cancelled while it is not complete, and only shown after that', () =>
    withClock({}, async (resource, pass) => {
      const cancel = (id: unknown): Promise<{ status: number; body: Json }> =>
        askJson(resource, { path: `${V1}/${String(id)}/cancel`, body: {} });
      const [one, two] = [await post(resource, background), await post(resource, background)];
      assert.equal((await cancel(one['id'])).body['status'], 'cancelled');
      assert.equal((await cancel(one['id'])).status, 200);
      pass(5000);
      assert.equal((await get(resource, one['id'])).body['status'], 'cancelled');
      assert.equal((await cancel(two['id'])).body['status'], 'completed');
    }));

  it('refuses to cancel what does not run in the background', () =>
    withResource({}, async (resource) => {
      const { id } = await post(resource, question);
      const reply = await ask(resource, { path: `${V1}/${String(id)}/cancel`, body: {} });
      assert.equal(reply.status, 400);
      assert.equal(messageOf(reply), 'Cannot cancel a synchronous response.');
    }));

  it('has to be stored', () =>
    withResource({}, async (resource) => {
      assert.equal((await ask(resource, { path: V1, body: { ...background, store: false } })).status, 400);
    }));

  it('streams its events again after a number, and is complete then', () =>
    withClock({}, async (resource) => {
      const body = { ...background, stream: true };
      const events = await askEvents(resource, { path: V1, body });
      assert.deepEqual(
        events.slice(0, 3).map((event) => event['type']),
        ['response.created', 'response.queued', 'response.in_progress'],
      );
      const id = String(valueAt(events[0], 'response', 'id'));
      const again = (after: number): Promise<readonly Json[]> =>
        askEvents(resource, { path: `${V1}/${id}?stream=true&starting_after=${after}`, method: 'GET' });
      assert.deepEqual(await again(4), events.slice(5));
      assert.deepEqual(await again(-1), events);
      assert.equal((await get(resource, id)).body['status'], 'completed');
    }));

  it('streams again only what was streamed in the background', () =>
    withResource({}, async (resource) => {
      for (const body of [question, background]) {
        const { id } = await post(resource, body);
        assert.equal((await ask(resource, { path: `${V1}/${String(id)}?stream=true`, method: 'GET' })).status, 400);
      }
    }));
});
