// Chat completions that were asked for with `store: true`.

import assert from 'node:assert/strict';
import type { SimulatedResource } from '../../simulator/server.ts';
import { CHAT, ask, askJson, chatBody, valueAt, withResource } from './support.ts';
import type { Json } from './support.ts';

function get(resource: SimulatedResource, path: string, method = 'GET'): Promise<{ status: number; body: Json }> {
  return askJson(resource, { path: CHAT + path, method });
}

describe('simulator: stored chat completions', () => {
  it('keeps those that ask for it, and no others', () =>
    withResource({}, async (resource) => {
      await ask(resource);
      const { body: kept } = await askJson(resource, { body: { ...chatBody, store: true, metadata: { a: 'b' } } });
      const { body: list } = await get(resource, '');
      assert.deepEqual(list['data'], [{ ...kept, metadata: { a: 'b' } }]);
      const { body: again } = await get(resource, `/${String(kept['id'])}`);
      assert.deepEqual(again, { ...kept, metadata: { a: 'b' } });
      assert.deepEqual((await get(resource, '?model=gpt-99')).body['data'], []);
    }));

  it('shows the messages of the request', () =>
    withResource({}, async (resource) => {
      const messages = [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: 'What is new?' },
      ];
      const { body: kept } = await askJson(resource, { body: { ...chatBody, messages, store: true } });
      const { body: list } = await get(resource, `/${String(kept['id'])}/messages?order=asc`);
      assert.deepEqual(
        [0, 1].map((at) => [valueAt(list, 'data', at, 'role'), valueAt(list, 'data', at, 'content')]),
        messages.map(({ role, content }) => [role, content]),
      );
    }));

  it('lists the oldest first, chat completions and messages alike, unless asked otherwise', () =>
    withResource({}, async (resource) => {
      const messages = ['one', 'two'].map((content) => ({ role: 'user', content }));
      const ids: unknown[] = [];
      for (let count = 0; count < 2; count += 1) {
        const { body: kept } = await askJson(resource, { body: { ...chatBody, messages, store: true } });
        ids.push(kept['id']);
      }
      const listed = async (path: string, key: string): Promise<unknown[]> => {
        const { body: list } = await get(resource, path);
        return [0, 1].map((at) => valueAt(list, 'data', at, key));
      };
      assert.deepEqual(await listed('', 'id'), ids);
      assert.deepEqual(await listed('?order=desc', 'id'), ids.toReversed());
      assert.deepEqual(await listed(`/${String(ids[0])}/messages`, 'content'), ['one', 'two']);
      assert.deepEqual(await listed(`/${String(ids[0])}/messages?order=desc`, 'content'), ['two', 'one']);
    }));

  it('changes the metadata, and deletes', () =>
    withResource({}, async (resource) => {
      const { body: kept } = await askJson(resource, { body: { ...chatBody, store: true } });
      const id = String(kept['id']);
      const changed = await askJson(resource, { path: `${CHAT}/${id}`, body: { metadata: { c: 'd' } } });
      assert.deepEqual(changed.body['metadata'], { c: 'd' });
      const deleted = { object: 'chat.completion.deleted', id, deleted: true };
      assert.deepEqual((await get(resource, `/${id}`, 'DELETE')).body, deleted);
      for (const path of [`/${id}`, `/${id}/messages`]) {
        assert.equal((await get(resource, path)).status, 404);
      }
    }));

  it('keeps nothing on legacy paths, and lists nothing there', () =>
    withResource({}, async (resource) => {
      const path = '/openai/deployments/chat/chat/completions?api-version=2024-10-21';
      await ask(resource, { path, body: { ...chatBody, store: true } });
      assert.deepEqual((await get(resource, '')).body['data'], []);
      assert.equal((await ask(resource, { path, method: 'GET' })).status, 404);
    }));
});
