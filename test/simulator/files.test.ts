// Files: uploaded, listed, read back byte for byte, deleted, on both kinds of paths.

import assert from 'node:assert/strict';
import type { SimulatedResource } from '../../simulator/server.ts';
import { ask, askJson, messageOf, valueAt, withResource } from './support.ts';
import type { Json } from './support.ts';
import { upload } from './uploads.ts';

const generations = [
  ['v1', '/openai/v1/files', ''],
  ['legacy', '/openai/files', '?api-version=2024-10-21'],
] as const;

/** Every byte there is, so that nothing that decodes them goes unnoticed. */
const bytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index));

for (const [name, base, query] of generations) {
  const get = (resource: SimulatedResource, path: string, method = 'GET'): Promise<{ status: number; body: Json }> =>
    askJson(resource, { path: base + path + query, method });

  describe(`simulator: files on ${name} paths`, () => {
    it('keeps a file and gives it back byte for byte', () =>
      withResource({ now: () => 1_700_000_000_000 }, async (resource) => {
        const { status, body } = await upload(resource, { path: base + query, content: bytes, filename: 'a.bin' });
        assert.equal(status, 200);
        const { id, ...file } = body;
        assert.match(String(id), /^assistant-/);
        assert.deepEqual(file, {
          object: 'file',
          purpose: 'assistants',
          filename: 'a.bin',
          bytes: 256,
          created_at: 1_700_000_000,
          status: 'processed',
        });
        assert.deepEqual((await get(resource, `/${String(id)}`)).body, body);
        const content = await ask(resource, { path: `${base}/${String(id)}/content${query}`, method: 'GET' });
        assert.equal(content.headers['content-type'], 'application/octet-stream');
        assert.deepEqual(content.body, bytes);
      }));

    it('deletes a file', () =>
      withResource({}, async (resource) => {
        const { body } = await upload(resource, { path: base + query, content: bytes });
        const path = `/${String(body['id'])}`;
        assert.deepEqual((await get(resource, path, 'DELETE')).body, { object: 'file', id: body['id'], deleted: true });
        assert.equal((await get(resource, path)).status, 404);
      }));

    it('has the files of no other resource', () =>
      withResource({ name: 'openai1' }, (one) =>
        withResource({ name: 'openai2' }, async (two) => {
          const { body } = await upload(one, { path: base + query, content: bytes });
          const path = `/${String(body['id'])}`;
          const message = `No such File object: ${String(body['id'])}`;
          const error = { message, type: 'invalid_request_error', param: 'id', code: null };
          for (const [method, part] of [
            ['GET', ''],
            ['GET', '/content'],
            ['DELETE', ''],
          ] as const) {
            assert.deepEqual(await get(two, path + part, method), { status: 404, body: { error } });
          }
        }),
      ));
  });
}

describe('simulator: files', () => {
  const path = '/openai/v1/files';

  it('lists them in pages and by purpose', () =>
    withResource({}, async (resource) => {
      for (const [filename, purpose] of [
        ['a', 'batch'],
        ['b', 'fine-tune'],
        ['c', 'user_data'],
      ] as const) {
        await upload(resource, { path, content: bytes, filename, purpose });
      }
      const { body: last } = await askJson(resource, { path: `${path}?limit=1`, method: 'GET' });
      assert.match(String(last['last_id']), /^file-/);
      const names = async (query: string): Promise<readonly unknown[]> => {
        const { body } = await askJson(resource, { path: path + query, method: 'GET' });
        return [0, 1, 2].map((at) => valueAt(body, 'data', at, 'filename'));
      };
      assert.deepEqual(await names(''), ['c', 'b', 'a']);
      assert.deepEqual(await names('?order=asc&limit=2'), ['a', 'b', undefined]);
      assert.deepEqual(await names('?purpose=batch'), ['a', undefined, undefined]);
    }));

  it('says when a file will expire if it was told so', () =>
    withResource({ now: () => 1_700_000_000_000 }, async (resource) => {
      const fields = { 'expires_after[anchor]': 'created_at', 'expires_after[seconds]': '1209600' };
      const { body } = await upload(resource, { path, content: bytes, fields });
      assert.equal(body['expires_at'], 1_701_209_600);
    }));

  it('refuses an unknown purpose, a form without a file, and what is no form', () =>
    withResource({}, async (resource) => {
      const odd = await upload(resource, { path, content: bytes, purpose: 'fun' });
      assert.equal(odd.status, 400);
      const empty = await upload(resource, { path, fields: { purpose: 'batch' } });
      assert.equal(empty.status, 400);
      const none = await ask(resource, { path, body: { purpose: 'batch' } });
      assert.deepEqual([none.status, messageOf(none)], [400, 'Could not parse multipart form']);
    }));
});
