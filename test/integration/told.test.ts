import assert from 'node:assert/strict';
import { startBalancer, type BalancerSetup, type RunningBalancer } from '../support/balancer.ts';
import { chat, send } from '../support/http.ts';
import { eventsIn } from '../support/observed.ts';
import { connectTo, head } from '../support/raw.ts';
import { watch } from '../support/watched.ts';

describe('what is told of a request', () => {
  let running: RunningBalancer;
  afterEach(() => running.close());

  async function start(setup: BalancerSetup = {}): Promise<void> {
    running = await startBalancer({ backends: 1, ...setup });
  }

  it('is all of it, and nothing else: every member of its last event', async () => {
    await start({ clock: () => 5000 });
    const body = chat({ stream: true, stream_options: { include_usage: true } });
    const { received, finished } = await watch(running, () => send(`${running.url}/v1/chat/completions`, { body }));
    const last = eventsIn(received.body.toString()).at(-2) ?? '';
    const { usage: sent }: { usage: Readonly<Record<'prompt_tokens' | 'completion_tokens', number>> } =
      JSON.parse(last);
    const { requestId: _, usage, ...rest } = finished;
    assert.deepEqual(rest, {
      kind: 'request-finished',
      client: 'tester',
      method: 'POST',
      path: '/v1/chat/completions',
      operation: 'chat/completions',
      deployment: 'gpt-5.4-mini',
      stream: true,
      attempts: 1,
      trace: 'openai1=200',
      firstContentMs: 0,
      durationMs: 0,
      ending: 'delivered',
      status: 200,
      backend: 'openai1',
    });
    assert.deepEqual(usage, {
      promptTokens: sent.prompt_tokens,
      completionTokens: sent.completion_tokens,
      cachedTokens: 0,
      reasoningTokens: 0,
    });
    const ended = running.events.find((event) => event.kind === 'attempt-ended');
    assert.deepEqual([ended?.outcome, ended?.firstContentMs], [{ kind: 'served', status: 200, usage }, 0]);
  });

  it('names the client that was turned away after it was known', async () => {
    await start({ settings: { MAX_BODY_BYTES: '2000' } });
    const url = `${running.url}/v1/chat/completions`;
    for (const [code, sent] of [
      ['invalid_content_encoding', { body: 'x', headers: { 'content-encoding': 'br' } }],
      ['body_too_large', { body: ' '.repeat(3000) }],
      ['invalid_deployment_name', { body: JSON.stringify({ model: 'm'.repeat(257) }) }],
    ] as const) {
      const { finished } = await watch(running, () => send(url, sent));
      assert.deepEqual([finished.code, finished.client, finished.attempts], [code, 'tester', 0]);
    }
    const connection = await connectTo(running.port);
    const from = running.events.length;
    const request = head('POST /v1/responses HTTP/1.1', 'Host: x', 'api-key: client-key', 'Content-Length: 100');
    connection.write(`${request}{`);
    connection.socket.end();
    const { client, ending } = await running.event('request-finished', from);
    assert.deepEqual([client, ending], ['tester', 'abandoned']);
    running.assertIdle();
  });

  it('says when the first content of a stream was there, and nothing of the kind of other answers', async () => {
    let now = 0;
    await start({ clock: () => (now += 1) });
    const url = `${running.url}/v1/chat/completions`;
    const streamed = await watch(running, () => send(url, { body: chat({ stream: true }) }));
    const { firstContentMs = 0, durationMs } = streamed.finished;
    assert.ok(firstContentMs > 0 && firstContentMs < durationMs);
    const whole = await watch(running, () => send(url, { body: chat() }));
    assert.deepEqual([whole.finished.firstContentMs, whole.finished.stream], [undefined, false]);
  });

  it('names the error that a caller was told in-band', async () => {
    await start();
    running.resources[0]?.script({ kind: 'reset-mid-stream', afterChunks: 2 });
    const body = chat({ stream: true });
    const { finished } = await watch(running, () => send(`${running.url}/v1/chat/completions`, { body }));
    assert.deepEqual([finished.ending, finished.code, finished.status], ['broken', 'stream_broken', 200]);
  });

  it('reads no usage of what was stored before: it was counted when it was made', async () => {
    await start();
    const url = `${running.url}/v1/responses`;
    const made = await watch(running, () =>
      send(url, { body: JSON.stringify({ model: 'gpt-5.4-mini', input: 'Say hello.' }) }),
    );
    assert.ok(made.finished.usage !== undefined);
    const { id }: { id: string } = JSON.parse(made.received.body.toString());
    const read = await watch(running, () => send(`${url}/${id}`));
    assert.equal(read.received.status, 200);
    assert.match(read.received.body.toString(), /"usage":\s*\{/);
    assert.equal(read.finished.usage, undefined);
  });

  it('lets a deployment name have 256 characters', async () => {
    await start();
    const body = JSON.stringify({ model: 'm'.repeat(256) });
    const { finished } = await watch(running, () => send(`${running.url}/v1/chat/completions`, { body }));
    assert.deepEqual([finished.code, finished.attempts], ['DeploymentNotFound', 1]);
  });
});
