// Batches: a file of requests, run by the clock, and the files that come of it.

import assert from 'node:assert/strict';
import type { ResourceOptions, SimulatedResource } from '../../simulator/server.ts';
import { ask, askJson, messageOf, valueAt, withResource } from './support.ts';
import type { Json } from './support.ts';
import { upload } from './uploads.ts';

const generations = [
  ['v1', '/openai/v1', ''],
  ['legacy', '/openai', '?api-version=2024-10-21'],
] as const;
const STEP = 1000;
const START_S = 1_000_000;

function line(customId: string, content: string, more: object = {}): string {
  const body = { model: 'chat', messages: [{ role: 'user', content }] };
  return JSON.stringify({ custom_id: customId, method: 'POST', url: '/v1/chat/completions', body, ...more });
}

class Desk {
  now = START_S * 1000;
  readonly resource: SimulatedResource;
  readonly base: string;
  readonly query: string;

  constructor(resource: SimulatedResource, base: string, query: string) {
    this.resource = resource;
    this.base = base;
    this.query = query;
  }

  async submit(lines: readonly string[], more: object = {}): Promise<{ status: number; body: Json }> {
    const content = lines.map((text) => `${text}\n`).join('');
    const path = `${this.base}/files${this.query}`;
    const { body: file } = await upload(this.resource, { path, content, purpose: 'batch' });
    const body = { input_file_id: file['id'], endpoint: '/v1/chat/completions', completion_window: '24h', ...more };
    return askJson(this.resource, { path: `${this.base}/batches${this.query}`, body });
  }

  async batch(id: unknown): Promise<Json> {
    const { body } = await askJson(this.resource, { path: this.path(`/batches/${String(id)}`), method: 'GET' });
    return body;
  }

  /** The lines of a file that a batch wrote. */
  async linesOf(fileId: unknown): Promise<readonly Json[]> {
    const reply = await ask(this.resource, { path: this.path(`/files/${String(fileId)}/content`), method: 'GET' });
    assert.equal(reply.status, 200);
    const texts = reply.body.toString().split('\n');
    assert.equal(texts.pop(), ''); // each line is ended
    return texts.map((text): Json => JSON.parse(text));
  }

  path(rest: string): string {
    return this.base + rest + this.query;
  }
}

function withDesk(
  test: (desk: Desk) => Promise<void>,
  options: Partial<ResourceOptions> = {},
  [, base, query]: (typeof generations)[number] = generations[0],
): Promise<void> {
  let desk: Desk | undefined;
  return withResource({ now: () => desk?.now ?? 0, ...options }, (resource) => {
    desk = new Desk(resource, base, query);
    return test(desk);
  });
}

for (const generation of generations) {
  describe(`simulator: batches on ${generation[0]} paths`, () => {
    it('validates, runs, finalizes and completes, a step of the clock for each', () =>
      withDesk(
        async (desk) => {
          const { status, body } = await desk.submit([line('a', 'one'), line('b', 'two')], { metadata: { x: 'y' } });
          assert.equal(status, 200);
          assert.equal(body['status'], 'validating');
          assert.deepEqual(body['metadata'], { x: 'y' });
          const seen: unknown[] = [];
          for (let step = 0; step < 4; step += 1) {
            const batch = await desk.batch(body['id']);
            seen.push([
              batch['status'],
              batch['output_file_id'] !== null,
              valueAt(batch, 'request_counts', 'completed'),
            ]);
            desk.now += STEP;
          }
          assert.deepEqual(seen, [
            ['validating', false, 0],
            ['in_progress', false, 0],
            ['finalizing', false, 2],
            ['completed', true, 2],
          ]);
          const done = await desk.batch(body['id']);
          assert.deepEqual(
            ['created_at', 'in_progress_at', 'finalizing_at', 'completed_at'].map((key) => done[key]),
            [START_S, START_S + 1, START_S + 2, START_S + 3],
          );
        },
        { jobStepMs: STEP },
        generation,
      ));

    it('answers the lines in order, with what the model answers', () =>
      withDesk(
        async (desk) => {
          const { body } = await desk.submit([line('a', 'one'), line('b', 'two')]);
          desk.now += 3 * STEP;
          const done = await desk.batch(body['id']);
          const lines = await desk.linesOf(done['output_file_id']);
          assert.deepEqual(
            lines.map((each) => each['custom_id']),
            ['a', 'b'],
          );
          const [, second] = lines;
          assert.equal(second?.['error'], null);
          assert.equal(valueAt(second, 'response', 'status_code'), 200);
          assert.equal(valueAt(second, 'response', 'body', 'choices', 0, 'message', 'content'), 'openai1 answers: two');
          assert.deepEqual(await desk.linesOf(done['error_file_id']), []);
          const { body: file } = await askJson(desk.resource, {
            path: desk.path(`/files/${String(done['output_file_id'])}`),
            method: 'GET',
          });
          assert.equal(file['purpose'], 'batch_output');
        },
        {},
        generation,
      ));

    it('answers 404 to the batch of another resource', () =>
      withDesk(
        (desk) =>
          withResource({ name: 'openai2' }, async (other) => {
            const { body } = await desk.submit([line('a', 'one')]);
            const path = desk.path(`/batches/${String(body['id'])}`);
            assert.equal((await ask(other, { path, method: 'GET' })).status, 404);
            const cancel = desk.path(`/batches/${String(body['id'])}/cancel`);
            assert.equal((await ask(other, { path: cancel, body: {} })).status, 404);
          }),
        {},
        generation,
      ));
  });
}

describe('simulator: batches', () => {
  it('writes what the model refuses into the file of errors', () =>
    withDesk(async (desk) => {
      const url = '/v1/responses';
      const refused = { url, body: { model: 'chat', input: 'x', previous_response_id: 'resp_unknown' } };
      const fine = { url, body: { model: 'chat', input: 'x', stream: true } };
      const { body } = await desk.submit([line('a', '', refused), line('b', '', fine)], { endpoint: url });
      desk.now += 3 * STEP;
      const done = await desk.batch(body['id']);
      assert.deepEqual(done['request_counts'], { total: 2, completed: 1, failed: 1 });
      const [error] = await desk.linesOf(done['error_file_id']);
      assert.equal(error?.['custom_id'], 'a');
      assert.equal(valueAt(error, 'response', 'status_code'), 400);
      assert.equal(valueAt(error, 'response', 'body', 'error', 'code'), 'previous_response_not_found');
      const [output] = await desk.linesOf(done['output_file_id']);
      assert.equal(valueAt(output, 'response', 'body', 'object'), 'response');
    }));

  it('runs embeddings and completions too, with or without v1 in the endpoint', () =>
    withDesk(async (desk) => {
      const body = { model: 'text-embedding-3-large', input: 'one', dimensions: 2 };
      const { body: batch } = await desk.submit([line('a', '', { url: '/embeddings', body })], {
        endpoint: '/v1/embeddings',
      });
      desk.now += 3 * STEP;
      const [output] = await desk.linesOf((await desk.batch(batch['id']))['output_file_id']);
      assert.equal(valueAt(output, 'response', 'body', 'data', 0, 'embedding', 'length'), 2);
      const question = { url: '/v1/completions', body: { model: 'chat', prompt: 'What is new?' } };
      const { body: other } = await desk.submit([line('a', '', question)], { endpoint: '/completions' });
      desk.now += 3 * STEP;
      const [text] = await desk.linesOf((await desk.batch(other['id']))['output_file_id']);
      assert.equal(valueAt(text, 'response', 'body', 'choices', 0, 'text'), 'openai1 answers: What is new?');
    }));

  it('counts its lines against no quota', () =>
    withDesk(
      async (desk) => {
        const { body } = await desk.submit([line('a', 'one'), line('b', 'two'), line('c', 'three')]);
        desk.now += 3 * STEP;
        assert.deepEqual((await desk.batch(body['id']))['request_counts'], { total: 3, completed: 3, failed: 0 });
        const chat = { model: 'chat', messages: [] };
        assert.equal((await ask(desk.resource, { body: chat })).status, 200);
      },
      { deployments: { chat: { model: 'gpt-5.4-mini', rpm: 6 } } },
    ));

  const wrong: readonly (readonly [string, readonly string[], number | null])[] = [
    ['invalid_json_line', [line('a', 'one'), '{"custom_id":'], 2],
    ['invalid_json_line', ['[]'], 1],
    ['invalid_request', ['{"custom_id":"a"}'], 1],
    ['url_mismatch', [line('a', 'one', { url: '/v1/embeddings' })], 1],
    ['duplicate_custom_id', [line('a', 'one'), '', line('a', 'two')], 3],
    ['model_not_found', [line('a', '', { body: { model: 'gpt-99' } })], 1],
    ['model_mismatch', [line('a', 'one'), line('b', '', { body: { model: 'gpt-5.4-mini' } })], 2],
    ['empty_file', [], null],
  ];
  for (const [code, lines, at] of wrong) {
    it(`fails as a whole with ${code} in line ${String(at)}`, () =>
      withDesk(async (desk) => {
        const { body } = await desk.submit(lines);
        assert.equal(body['status'], 'validating');
        desk.now += STEP;
        const failed = await desk.batch(body['id']);
        assert.equal(failed['status'], 'failed');
        assert.equal(failed['failed_at'], START_S + 1);
        assert.equal(valueAt(failed, 'errors', 'data', 'length'), 1);
        assert.equal(valueAt(failed, 'errors', 'data', 0, 'code'), code);
        assert.equal(valueAt(failed, 'errors', 'data', 0, 'line'), at);
        desk.now += 5 * STEP;
        const later = await desk.batch(body['id']);
        assert.deepEqual([later['status'], later['output_file_id']], ['failed', null]);
      }));
  }

  it('is cancelling for a step and then cancelled, with no output', () =>
    withDesk(async (desk) => {
      const { body } = await desk.submit([line('a', 'one')]);
      const cancel = (): ReturnType<typeof askJson> =>
        askJson(desk.resource, { path: desk.path(`/batches/${String(body['id'])}/cancel`), body: {} });
      desk.now += STEP;
      assert.equal((await cancel()).body['status'], 'cancelling');
      desk.now += STEP;
      const batch = await desk.batch(body['id']);
      assert.equal(batch['status'], 'cancelled');
      assert.deepEqual([batch['cancelling_at'], batch['cancelled_at']], [START_S + 1, START_S + 2]);
      assert.deepEqual([batch['finalizing_at'], batch['output_file_id']], [null, null]);
      const again = await cancel();
      assert.equal(again.status, 409);
    }));

  it('refuses an unknown file, an unknown endpoint and another window', () =>
    withDesk(async (desk) => {
      const unknown = await desk.submit([], { input_file_id: 'file-unknown' });
      assert.equal(unknown.status, 400);
      assert.equal(valueAt(unknown.body, 'error', 'param'), 'input_file_id');
      assert.equal((await desk.submit([], { endpoint: '/v1/images/generations' })).status, 400);
      const window = await ask(desk.resource, { path: desk.path('/batches'), body: { completion_window: '1h' } });
      assert.equal(window.status, 400);
      assert.ok(messageOf(window));
      assert.equal((await desk.submit([], { completion_window: '1h' })).status, 400);
    }));

  it('lists the newest first, in pages', () =>
    withDesk(async (desk) => {
      const ids: unknown[] = [];
      for (const name of ['a', 'b', 'c']) {
        ids.push((await desk.submit([line(name, 'x')])).body['id']);
      }
      const { body } = await askJson(desk.resource, { path: `${desk.path('/batches')}?limit=2`, method: 'GET' });
      assert.deepEqual([valueAt(body, 'data', 0, 'id'), valueAt(body, 'data', 1, 'id')], [ids[2], ids[1]]);
      assert.equal(body['has_more'], true);
    }));
});
