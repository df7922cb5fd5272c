// Conversations: made, filled, read, continued by responses, deleted.

import assert from 'node:assert/strict';
import type { SimulatedResource } from '../../simulator/server.ts';
import { ask, askJson, messageOf, valueAt, withResource } from './support.ts';
import type { Json } from './support.ts';

const BASE = '/openai/v1/conversations';

const hello = { type: 'message', role: 'user', content: 'Hello!' };

async function create(resource: SimulatedResource, body: object): Promise<string> {
  const { status, body: conversation } = await askJson(resource, { path: BASE, body });
  assert.equal(status, 200);
  assert.equal(conversation['object'], 'conversation');
  return String(conversation['id']);
}

function get(resource: SimulatedResource, path: string, method = 'GET'): Promise<{ status: number; body: Json }> {
  return askJson(resource, { path: `${BASE}/${path}`, method });
}

async function textsOf(resource: SimulatedResource, id: string): Promise<readonly unknown[]> {
  const { body } = await get(resource, `${id}/items?order=asc`);
  const data = body['data'];
  assert.ok(Array.isArray(data));
  return data.map((item: unknown) => valueAt(item, 'content', 0, 'text'));
}

describe('simulator: conversations', () => {
  it('keeps its metadata and its items', () =>
    withResource({}, async (resource) => {
      const id = await create(resource, { metadata: { a: 'b' }, items: [hello] });
      assert.deepEqual((await get(resource, id)).body['metadata'], { a: 'b' });
      await askJson(resource, { path: `${BASE}/${id}`, body: { metadata: { c: 'd' } } });
      assert.deepEqual((await get(resource, id)).body['metadata'], { c: 'd' });
      const added = await askJson(resource, { path: `${BASE}/${id}/items`, body: { items: [hello, hello] } });
      assert.equal(valueAt(added.body, 'data', 'length'), 2);
      assert.deepEqual(await textsOf(resource, id), ['Hello!', 'Hello!', 'Hello!']);
      const itemId = String(valueAt(added.body, 'data', 0, 'id'));
      assert.deepEqual((await get(resource, `${id}/items/${itemId}`)).body, valueAt(added.body, 'data', 0));
      await get(resource, `${id}/items/${itemId}`, 'DELETE');
      assert.equal((await get(resource, `${id}/items/${itemId}`)).status, 404);
      assert.equal((await textsOf(resource, id)).length, 2);
    }));

  it('keeps its last 1,000 items', () =>
    withResource({}, async (resource) => {
      const items = Array.from({ length: 1001 }, (_, at) => ({ ...hello, content: String(at) }));
      const id = await create(resource, { items });
      const { body } = await get(resource, `${id}/items?order=asc&limit=1`);
      assert.equal(valueAt(body, 'data', 0, 'content', 0, 'text'), '1');
      const newest = await get(resource, `${id}/items?order=desc&limit=1`);
      assert.equal(valueAt(newest.body, 'data', 0, 'content', 0, 'text'), '1000');
    }));

  it('is what a response continues, and what its question and answer are added to', () =>
    withResource({}, async (resource) => {
      const id = await create(resource, { items: [hello] });
      const body = { model: 'chat', input: 'What is new?', conversation: id };
      const { body: response } = await askJson(resource, { path: '/openai/v1/responses', body });
      const said = 'openai1 answers: What is new? (before: Hello!)';
      assert.equal(valueAt(response, 'output', 0, 'content', 0, 'text'), said);
      assert.deepEqual(response['conversation'], { id });
      assert.deepEqual(await textsOf(resource, id), ['Hello!', 'What is new?', said]);
    }));

  it('is known to one resource only, and no longer when it is deleted', () =>
    withResource({ name: 'openai1' }, (one) =>
      withResource({ name: 'openai2' }, async (two) => {
        const id = await create(one, {});
        const message = `Conversation with id '${id}' not found.`;
        const other = await ask(two, { path: `${BASE}/${id}`, method: 'GET' });
        assert.deepEqual([other.status, messageOf(other)], [404, message]);
        const body = { model: 'chat', input: 'x', conversation: { id } };
        const response = await ask(two, { path: '/openai/v1/responses', body });
        assert.deepEqual([response.status, messageOf(response)], [404, message]);
        assert.deepEqual((await get(one, id, 'DELETE')).body, { id, object: 'conversation.deleted', deleted: true });
        assert.equal((await get(one, id)).status, 404);
        assert.equal((await get(one, id, 'DELETE')).status, 404);
        assert.equal((await get(one, `${id}/items`)).status, 404);
      }),
    ));

  it('goes with no previous response', () =>
    withResource({}, async (resource) => {
      const conversation = await create(resource, {});
      const body = { model: 'chat', input: 'x', conversation, previous_response_id: 'resp_1' };
      const reply = await ask(resource, { path: '/openai/v1/responses', body });
      assert.equal(reply.status, 400);
      assert.match(messageOf(reply), /^Mutually exclusive parameters/);
    }));

  it('is not there on legacy paths', () =>
    withResource({}, async (resource) => {
      const path = '/openai/conversations?api-version=2025-04-01-preview';
      assert.equal((await ask(resource, { path, body: {} })).status, 404);
    }));
});
