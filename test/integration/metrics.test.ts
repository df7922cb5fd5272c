import assert from 'node:assert/strict';
import { startBalancer, type BalancerSetup, type RunningBalancer } from '../support/balancer.ts';
import { chat, send } from '../support/http.ts';
import { parseMetrics } from '../support/metric-text.ts';

describe('/metrics', () => {
  let running: RunningBalancer;
  afterEach(() => running.close());

  async function start(setup: BalancerSetup = {}): Promise<void> {
    running = await startBalancer({ settings: { OPERATOR_KEYS: 'alice=operator-key' }, ...setup });
  }

  async function scrape(): Promise<string> {
    return (await send(`${running.url}/metrics`, { headers: { 'api-key': 'operator-key' } })).body.toString();
  }

  async function ask(path: string, sent: Parameters<typeof send>[1]): Promise<number> {
    const from = running.events.length;
    const told = running.event('request-finished', from);
    const { status } = await send(running.url + path, sent);
    await told;
    return status;
  }

  it('tells of all that happened, and of nothing else', async () => {
    await start({ clock: () => 5000 });
    const [one, two] = running.resources;
    one?.script({ kind: 'throttle', retryAfterMs: 1200 });
    two?.script({ kind: 'status', status: 503 });
    assert.equal(await ask('/v1/chat/completions', { body: chat() }), 200);
    const stream = chat({ stream: true, stream_options: { include_usage: true } });
    assert.equal(await ask('/openai/v1/chat/completions', { body: stream }), 200);
    const embedding = JSON.stringify({ model: 'text-embedding-3-large', input: 'Say hello.' });
    assert.equal(await ask('/v1/embeddings', { body: embedding }), 200);
    assert.equal(await ask('/v1/models', { headers: { 'api-key': 'guess' } }), 401);
    assert.equal(await ask('/v1/chat/completions', { body: chat({ model: 'nobody-has-it' }) }), 404);

    const { samples } = parseMetrics(await scrape());
    const lines = samples
      .filter(({ name }) => !name.endsWith('_bucket') && name !== 'balancer_build_info')
      .map(({ name, labels, value }) => {
        // The port is a free one; how many tokens the simulator counts is its own.
        const shown = Object.entries(labels).map(([label, text]) =>
          label === 'server_port' ? label : `${label}=${text}`,
        );
        return `${name} ${shown.join(' ')} ${name.includes('token') ? 'some' : value}`.replace('  ', ' ');
      });
    const gpt = 'gen_ai_request_model=gpt-5.4-mini';
    const embed = 'gen_ai_request_model=text-embedding-3-large';
    const nobody = 'gen_ai_request_model=nobody-has-it';
    const attempt = 'gen_ai_provider_name=azure.ai.openai';
    const chatAt = (model: string, backend: string): string =>
      `gen_ai_operation_name=chat ${attempt} ${model} backend=${backend}`;
    const embeddingsAt = `gen_ai_operation_name=embeddings ${attempt} ${embed} backend=openai1`;
    const timed = (name: string, labels: string, count: number): string[] => [
      `${name}_sum ${labels} 0`,
      `${name}_count ${labels} ${count}`,
    ];
    const operation = 'gen_ai_client_operation_duration_seconds';
    const request = 'http_server_request_duration_seconds';
    const chatRoute = 'http_route=/chat/completions';
    const tokens = (labels: string): string[] =>
      ['input', 'output'].flatMap((type) => [
        `balancer_tokens_total client=tester ${labels} gen_ai_token_type=${type} some`,
      ]);
    const usage = (labels: string): string[] =>
      ['input', 'output'].flatMap((type) =>
        ['sum', 'count'].map((what) => `gen_ai_client_token_usage_${what} ${labels} gen_ai_token_type=${type} some`),
      );
    assert.deepEqual(
      lines.toSorted(),
      [
        `balancer_requests_total client=tester ${chatRoute} http_response_status_code=200 ending=delivered 2`,
        'balancer_requests_total client=tester http_route=/embeddings http_response_status_code=200 ending=delivered 1',
        `balancer_requests_total client=tester ${chatRoute} http_response_status_code=404 ending=refused 1`,
        'balancer_requests_total client=none http_route=none http_response_status_code=401 ending=refused 1',
        'balancer_errors_total client=none error_type=unknown_credential 1',
        'balancer_errors_total client=tester error_type=DeploymentNotFound 1',
        ...timed(request, `http_request_method=POST ${chatRoute} http_response_status_code=200`, 2),
        ...timed(request, 'http_request_method=POST http_route=/embeddings http_response_status_code=200', 1),
        ...timed(
          request,
          `http_request_method=POST ${chatRoute} http_response_status_code=404 error_type=DeploymentNotFound`,
          1,
        ),
        ...timed('balancer_time_to_first_content_seconds', chatRoute, 1),
        `balancer_attempts_total backend=openai1 ${gpt} outcome=429 1`,
        `balancer_attempts_total backend=openai2 ${gpt} outcome=503 1`,
        `balancer_attempts_total backend=openai3 ${gpt} outcome=served 2`,
        `balancer_attempts_total backend=openai1 ${embed} outcome=served 1`,
        ...['openai1', 'openai2', 'openai3'].map(
          (name) => `balancer_attempts_total backend=${name} ${nobody} outcome=missing 1`,
        ),
        'balancer_failovers_total from_backend=openai1 reason=429 1',
        'balancer_failovers_total from_backend=openai2 reason=503 1',
        'balancer_failovers_total from_backend=openai1 reason=missing 1',
        'balancer_failovers_total from_backend=openai2 reason=missing 1',
        `balancer_cooldowns_total backend=openai1 ${gpt} 1`,
        `balancer_cooldown_seconds_total backend=openai1 ${gpt} 1.2`,
        `balancer_ejections_total backend=openai2 ${gpt} state=open 1`,
        ...['openai1', 'openai2', 'openai3'].map(
          (name) => `balancer_ejections_total backend=${name} ${nobody} state=missing 1`,
        ),
        ...timed(operation, `${chatAt(gpt, 'openai1')} error_type=429`, 1),
        ...timed(operation, `${chatAt(gpt, 'openai2')} error_type=503`, 1),
        ...timed(operation, chatAt(gpt, 'openai3'), 2),
        ...timed(operation, embeddingsAt, 1),
        ...['openai1', 'openai2', 'openai3'].flatMap((name) =>
          timed(operation, `${chatAt(nobody, name)} error_type=missing`, 1),
        ),
        ...timed('gen_ai_client_operation_time_to_first_chunk_seconds', chatAt(gpt, 'openai3'), 1),
        ...tokens(`backend=openai3 ${gpt}`),
        ...['cached', 'reasoning'].map(
          (part) => `balancer_${part}_tokens_total client=tester backend=openai3 ${gpt} some`,
        ),
        ...tokens(`backend=openai1 ${embed}`),
        ...usage(chatAt(gpt, 'openai3')),
        ...usage(embeddingsAt),
        'http_server_active_requests 0',
        'balancer_requests_held 0',
        'balancer_buffered_bytes 0',
        ...['openai1', 'openai2', 'openai3'].flatMap((name) => [
          `balancer_backend_info backend=${name} server_address=127.0.0.1 server_port priority=1 weight=1 1`,
          `balancer_backend_state backend=${name} state=closed 1`,
          `balancer_deployment_state backend=${name} ${nobody} state=missing 1`,
          `balancer_rest_remaining_seconds backend=${name} ${nobody} state=missing 300`,
          `balancer_attempts_in_flight backend=${name} ${nobody} 0`,
          `balancer_attempts_in_flight backend=${name} ${gpt} 0`,
          `balancer_attempts_in_flight backend=${name} ${embed} 0`,
          `balancer_deployment_state backend=${name} ${embed} state=closed 1`,
        ]),
        ...[`openai1 ${gpt}`, `openai1 ${embed}`, `openai3 ${gpt}`].flatMap((who) => [
          `balancer_quota_remaining_tokens backend=${who} some`,
          `balancer_quota_limit_tokens backend=${who} some`,
          `balancer_quota_remaining_requests backend=${who} 100000`,
          `balancer_quota_limit_requests backend=${who} 100000`,
        ]),
        `balancer_deployment_state backend=openai1 ${gpt} state=cooldown 1`,
        `balancer_deployment_state backend=openai2 ${gpt} state=open 1`,
        `balancer_deployment_state backend=openai3 ${gpt} state=closed 1`,
        `balancer_rest_remaining_seconds backend=openai1 ${gpt} state=cooldown 1.2`,
        `balancer_rest_remaining_seconds backend=openai2 ${gpt} state=open 1`,
      ].toSorted(),
    );
    running.assertIdle();
  });

  it('tells what is left of each quota, as the answers said', async () => {
    await start({
      backends: 1,
      resource: () => ({ deployments: { chat: { model: 'gpt', tokensPerMinute: 60_000 } } }),
    });
    const { headers } = await send(`${running.url}/v1/chat/completions`, { body: chat({ model: 'chat' }) });
    const { samples } = parseMetrics(await scrape());
    for (const [name, header] of [
      ['balancer_quota_remaining_tokens', 'x-ratelimit-remaining-tokens'],
      ['balancer_quota_limit_tokens', 'x-ratelimit-limit-tokens'],
      ['balancer_quota_remaining_requests', 'x-ratelimit-remaining-requests'],
      ['balancer_quota_limit_requests', 'x-ratelimit-limit-requests'],
    ] as const) {
      assert.ok(headers[header] !== undefined, header);
      assert.deepEqual(
        samples.filter((sample) => sample.name === name),
        [
          {
            name,
            labels: { backend: 'openai1', gen_ai_request_model: 'chat' },
            value: Number(headers[header]),
          },
        ],
      );
    }
  });

  it('tells how long requests were held', async () => {
    await start({ backends: 1, settings: { OPERATOR_KEYS: 'alice=operator-key', MAX_HOLD_SECONDS: '2' } });
    running.resources[0]?.script({ kind: 'throttle', retryAfterMs: 20 });
    assert.equal(await ask('/v1/chat/completions', { body: chat() }), 200);
    const held = parseMetrics(await scrape()).samples.filter(({ name }) => name.startsWith('balancer_hold_duration'));
    const [sum, count] = ['_sum', '_count'].map((what) => held.find(({ name }) => name.endsWith(what)));
    assert.deepEqual([count?.labels, count?.value], [{ ending: 'delivered' }, 1]);
    assert.ok((sum?.value ?? 0) >= 0.019, String(sum?.value));
    assert.ok(!(await scrape()).includes('balancer_failovers_total{'), 'the same backend was asked again');
  });
});
