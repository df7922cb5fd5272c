import assert from 'node:assert/strict';
import type { Outcome } from '../../../app/src/balancer/outcome.ts';
import type { PoolSnapshot } from '../../../app/src/balancer/snapshot.ts';
import { createMetrics, type Metrics } from '../../../app/src/telemetry/metrics.ts';
import { linesOf, parseMetrics } from '../../support/metric-text.ts';
import { backend } from '../../support/pool.ts';
import { changed, cooldown, ended, finished, refused, started } from '../../support/told-events.ts';

const OF_TEAM_A = 'client="team-a",backend="openai1",gen_ai_request_model="gpt"';
const CHAT = 'gen_ai_operation_name="chat",gen_ai_provider_name="azure.ai.openai"';
const CHAT_AT_ONE = `${CHAT},gen_ai_request_model="gpt",backend="openai1"`;
const THROTTLED: Outcome = { kind: 'throttled', inStream: false };
const SERVED: Outcome = { kind: 'served', status: 200 };

/** At clock 5000 ms. */
const POOL: PoolSnapshot = {
  backends: [
    {
      backend: backend('ptu', { origin: 'https://ptu.openai.azure.com', priority: 1, weight: 3 }),
      standing: 'available',
      state: { kind: 'closed', softFailures: 0 },
      inFlight: 2,
      deployments: [
        {
          deployment: 'gpt',
          standing: 'cooldown',
          state: cooldown(6200),
          inFlight: 2,
          quota: { utilizationPercent: 82 },
        },
        {
          deployment: 'embed',
          standing: 'available',
          state: cooldown(4900),
          inFlight: 0,
          quota: { remainingTokens: 90, limitTokens: 1000, remainingRequests: 0, limitRequests: 6 },
        },
      ],
    },
    {
      backend: backend('local', { origin: 'http://127.0.0.1:8101', priority: 2 }),
      standing: 'quarantined',
      state: { kind: 'quarantined', since: 5000, until: 65_000, isNew: false },
      inFlight: 0,
      deployments: [],
    },
  ],
};

function start(pool: PoolSnapshot = { backends: [] }, withProcess = false): Metrics {
  return createMetrics({
    gauges: {
      requestsInFlight: () => 3,
      bytesBuffered: () => 4096,
      requestsHeld: () => 2,
      pool: () => pool,
      now: () => 5000,
    },
    withProcess,
  });
}

async function shown(metrics: Metrics, name: string): Promise<readonly string[]> {
  return linesOf((await metrics.render()).text, name);
}

describe('metrics of requests', () => {
  it('count them by client, route, status and ending', async () => {
    const metrics = start();
    metrics.observe(finished());
    metrics.observe(finished());
    metrics.observe(refused('', 'missing_credential', 401));
    metrics.observe(finished({ operation: 'other', status: 404 }));
    assert.deepEqual(await shown(metrics, 'balancer_requests_total'), [
      '{client="none",http_route="none",http_response_status_code="401",ending="refused"} 1',
      '{client="team-a",http_route="/chat/completions",http_response_status_code="200",ending="delivered"} 2',
      '{client="team-a",http_route="other",http_response_status_code="404",ending="delivered"} 1',
    ]);
    assert.deepEqual(await shown(metrics, 'balancer_errors_total'), [
      '{client="none",error_type="missing_credential"} 1',
    ]);
  });

  it('count what never became a request, and nobody who was not let in among the clients', async () => {
    const metrics = start();
    metrics.observe({ kind: 'connection-refused', code: 'malformed_request', message: 'No.' });
    for (let n = 0; n < 300; n += 1) metrics.observe(refused(`stranger-${n}`, 'client_not_allowed', 403));
    metrics.observe(finished());
    assert.deepEqual(await shown(metrics, 'balancer_errors_total'), [
      '{client="none",error_type="client_not_allowed"} 300',
      '{client="none",error_type="malformed_request"} 1',
    ]);
    const clients = await shown(metrics, 'balancer_requests_total');
    assert.ok(clients.some((line) => line.includes('client="team-a"')));
    assert.equal(clients.length, 2);
  });

  it('time those that were let in, in seconds, by what they were answered', async () => {
    const metrics = start();
    metrics.observe(finished({ durationMs: 120 }));
    metrics.observe(finished({ durationMs: 30, method: 'BREW' }));
    metrics.observe(finished({ durationMs: 2000, status: 429, ending: 'refused', code: 'all_backends_throttled' }));
    metrics.observe(finished({ durationMs: 5, status: 499, ending: 'abandoned' }));
    metrics.observe(refused('team-a', 'unknown_path', 404));
    const route = 'http_route="/chat/completions"';
    assert.deepEqual(await shown(metrics, 'http_server_request_duration_seconds'), [
      `_count{http_request_method="POST",${route},http_response_status_code="200"} 1`,
      `_count{http_request_method="POST",${route},http_response_status_code="429",error_type="all_backends_throttled"} 1`,
      `_count{http_request_method="POST",${route},http_response_status_code="499",error_type="abandoned"} 1`,
      `_count{http_request_method="_OTHER",${route},http_response_status_code="200"} 1`,
      `_sum{http_request_method="POST",${route},http_response_status_code="200"} 0.12`,
      `_sum{http_request_method="POST",${route},http_response_status_code="429",error_type="all_backends_throttled"} 2`,
      `_sum{http_request_method="POST",${route},http_response_status_code="499",error_type="abandoned"} 0.005`,
      `_sum{http_request_method="_OTHER",${route},http_response_status_code="200"} 0.03`,
    ]);
  });

  it('fill the buckets of a histogram up to the bound, and +Inf with all', async () => {
    const metrics = start();
    for (const durationMs of [0, 5, 5.001, 300_000, 300_001]) metrics.observe(finished({ durationMs }));
    const { samples } = parseMetrics((await metrics.render()).text);
    const buckets = samples.filter(({ name }) => name === 'http_server_request_duration_seconds_bucket');
    assert.deepEqual(
      buckets.map(({ labels, value }) => `${labels['le']} ${value}`),
      [
        '0.005 2',
        ...['0.01', '0.025', '0.05', '0.075', '0.1', '0.25', '0.5', '0.75', '1', '2.5', '5', '7.5', '10'].map(
          (bound) => `${bound} 3`,
        ),
        ...['30', '60', '120'].map((bound) => `${bound} 3`),
        '300 4',
        '+Inf 5',
      ],
    );
  });

  it('time the first content of a stream as its caller sees it', async () => {
    const metrics = start();
    metrics.observe(finished({ firstContentMs: 500 }));
    metrics.observe(finished({ firstContentMs: 1500 }));
    assert.deepEqual(await shown(metrics, 'balancer_time_to_first_content_seconds'), [
      '_count{http_route="/chat/completions"} 2',
      '_sum{http_route="/chat/completions"} 2',
    ]);
  });

  it('time those that were held, by how they ended', async () => {
    const metrics = start();
    metrics.observe(finished({ heldMs: 250 }));
    metrics.observe(finished({ heldMs: 2000, ending: 'refused', status: 429 }));
    metrics.observe(finished());
    assert.deepEqual(await shown(metrics, 'balancer_hold_duration_seconds'), [
      '_count{ending="delivered"} 1',
      '_count{ending="refused"} 1',
      '_sum{ending="delivered"} 0.25',
      '_sum{ending="refused"} 2',
    ]);
  });

  it('count whom requests were spilled from, and to whom', async () => {
    const metrics = start();
    metrics.observe(finished({ spilledFrom: 'ptu' }));
    metrics.observe(finished());
    assert.deepEqual(await shown(metrics, 'balancer_spillovers_total'), ['{backend="openai1",from_backend="ptu"} 1']);
  });
});

describe('metrics of tokens', () => {
  it('count them by client, backend and deployment, and how many a request has', async () => {
    const metrics = start();
    for (const promptTokens of [10, 20]) metrics.observe(finished({ usage: { promptTokens, completionTokens: 7 } }));
    metrics.observe(finished());
    assert.deepEqual(await shown(metrics, 'balancer_tokens_total'), [
      `{${OF_TEAM_A},gen_ai_token_type="input"} 30`,
      `{${OF_TEAM_A},gen_ai_token_type="output"} 14`,
    ]);
    assert.deepEqual(await shown(metrics, 'gen_ai_client_token_usage'), [
      `_count{${CHAT_AT_ONE},gen_ai_token_type="input"} 2`,
      `_count{${CHAT_AT_ONE},gen_ai_token_type="output"} 2`,
      `_sum{${CHAT_AT_ONE},gen_ai_token_type="input"} 30`,
      `_sum{${CHAT_AT_ONE},gen_ai_token_type="output"} 14`,
    ]);
    for (const name of ['balancer_cached_tokens_total', 'balancer_reasoning_tokens_total']) {
      assert.deepEqual(await shown(metrics, name), [], 'nobody said it');
    }
  });

  it('count those that were cached and those of reasoning beside, because they are among the others', async () => {
    const metrics = start();
    const usage = { promptTokens: 100, completionTokens: 50, cachedTokens: 64, reasoningTokens: 0 };
    for (let n = 0; n < 2; n += 1) metrics.observe(finished({ usage }));
    assert.deepEqual(await shown(metrics, 'balancer_cached_tokens_total'), [`{${OF_TEAM_A}} 128`]);
    assert.deepEqual(await shown(metrics, 'balancer_reasoning_tokens_total'), [`{${OF_TEAM_A}} 0`]);
    assert.deepEqual(await shown(metrics, 'balancer_tokens_total'), [
      `{${OF_TEAM_A},gen_ai_token_type="input"} 200`,
      `{${OF_TEAM_A},gen_ai_token_type="output"} 100`,
    ]);
  });

  it('keep what is guessed apart from what was counted', async () => {
    const metrics = start();
    metrics.observe(finished({ usage: { promptTokens: 9, completionTokens: 4, isEstimated: true } }));
    assert.deepEqual(await shown(metrics, 'balancer_estimated_tokens_total'), [
      `{${OF_TEAM_A},gen_ai_token_type="input"} 9`,
      `{${OF_TEAM_A},gen_ai_token_type="output"} 4`,
    ]);
    assert.deepEqual(await shown(metrics, 'balancer_tokens_total'), []);
    assert.deepEqual(await shown(metrics, 'gen_ai_client_token_usage'), []);
  });
});

describe('metrics of attempts', () => {
  it('count them by what they came to, in the words of the trace', async () => {
    const metrics = start();
    const outcomes: readonly (readonly [Outcome, string])[] = [
      [SERVED, 'served'],
      [{ kind: 'refused', status: 400 }, 'refused'],
      [THROTTLED, '429'],
      [{ kind: 'throttled', inStream: true }, 'in-stream-429'],
      [{ kind: 'failed', cause: 'status', status: 503 }, '503'],
      [{ kind: 'failed', cause: 'connect', code: 'ENOTFOUND' }, 'connect'],
      [{ kind: 'missing' }, 'missing'],
      [{ kind: 'unsupported' }, 'unsupported'],
      [{ kind: 'too-long' }, 'too-long'],
      [{ kind: 'unauthorized', scope: 'host' }, 'unauthorized'],
      [{ kind: 'broken', cause: 'idle' }, 'broken-idle'],
      [{ kind: 'abandoned' }, 'abandoned'],
    ];
    for (const [outcome] of outcomes) metrics.observe(ended(outcome));
    const at = 'backend="openai1",gen_ai_request_model="gpt"';
    assert.deepEqual(
      await shown(metrics, 'balancer_attempts_total'),
      outcomes.map(([, word]) => `{${at},outcome="${word}"} 1`).toSorted(),
    );
  });

  it('time them by operation, deployment and backend, with the error where there was one', async () => {
    const metrics = start();
    metrics.observe(ended(SERVED, { durationMs: 900, firstContentMs: 300 }));
    metrics.observe(ended(SERVED, { durationMs: 100, firstContentMs: 200 }));
    metrics.observe(ended({ kind: 'refused', status: 400 }, { durationMs: 10 }));
    metrics.observe(ended({ kind: 'refused', status: 422 }, { durationMs: 10 }));
    metrics.observe(ended(THROTTLED, { durationMs: 10, operation: 'embeddings' }));
    const embeddings = CHAT_AT_ONE.replace('"chat"', '"embeddings"');
    assert.deepEqual(await shown(metrics, 'gen_ai_client_operation_duration_seconds'), [
      `_count{${CHAT_AT_ONE},error_type="400"} 1`,
      `_count{${CHAT_AT_ONE},error_type="422"} 1`,
      `_count{${CHAT_AT_ONE}} 2`,
      `_count{${embeddings},error_type="429"} 1`,
      `_sum{${CHAT_AT_ONE},error_type="400"} 0.01`,
      `_sum{${CHAT_AT_ONE},error_type="422"} 0.01`,
      `_sum{${CHAT_AT_ONE}} 1`,
      `_sum{${embeddings},error_type="429"} 0.01`,
    ]);
    assert.deepEqual(await shown(metrics, 'gen_ai_client_operation_time_to_first_chunk_seconds'), [
      `_count{${CHAT_AT_ONE}} 2`,
      `_sum{${CHAT_AT_ONE}} 0.5`,
    ]);
  });

  for (const [operation, name] of [
    ['chat/completions', 'chat'],
    ['responses', 'chat'],
    ['completions', 'text_completion'],
    ['embeddings', 'embeddings'],
    ['audio/transcriptions', 'audio/transcriptions'],
  ] as const) {
    it(`call ${operation} ${name}, as the conventions do where they have a name`, async () => {
      const metrics = start();
      metrics.observe(ended(SERVED, { operation }));
      const [line = ''] = await shown(metrics, 'gen_ai_client_operation_duration_seconds');
      assert.ok(line.startsWith(`_count{gen_ai_operation_name="${name}",`), line);
    });
  }
});

describe('metrics of failovers', () => {
  it('count an attempt at another backend after one that failed, by why', async () => {
    const metrics = start();
    for (const requestId of ['a', 'b']) {
      metrics.observe(started({ requestId }));
      metrics.observe(ended(THROTTLED, { requestId }));
      metrics.observe(started({ requestId, backend: 'openai2', attempt: 2 }));
      metrics.observe(ended({ kind: 'failed', cause: 'connect' }, { requestId, backend: 'openai2' }));
      metrics.observe(started({ requestId, backend: 'openai3', attempt: 3 }));
      metrics.observe(ended(SERVED, { requestId, backend: 'openai3' }));
      metrics.observe(finished({ requestId, backend: 'openai3', attempts: 3 }));
    }
    assert.deepEqual(await shown(metrics, 'balancer_failovers_total'), [
      '{from_backend="openai1",reason="429"} 2',
      '{from_backend="openai2",reason="connect"} 2',
    ]);
  });

  it('count none where nobody else was asked, or the same was asked again', async () => {
    const metrics = start();
    metrics.observe(ended(THROTTLED));
    metrics.observe(finished({ status: 429, ending: 'refused', code: 'all_backends_throttled' }));
    // The same id in another balancer's numbers must not find what was left.
    metrics.observe(started({ backend: 'openai2' }));
    metrics.observe(ended({ kind: 'failed', cause: 'stale-socket' }, { requestId: 'again' }));
    metrics.observe(started({ requestId: 'again', attempt: 2 }));
    metrics.observe(ended(SERVED, { requestId: 'served' }));
    metrics.observe(started({ requestId: 'served', backend: 'openai2' }));
    assert.deepEqual(await shown(metrics, 'balancer_failovers_total'), []);
  });

  it('keep no more than ten thousand failed attempts in mind', async () => {
    const metrics = start();
    for (let n = 0; n <= 10_000; n += 1) metrics.observe(ended(THROTTLED, { requestId: `r-${n}` }));
    metrics.observe(started({ requestId: 'r-1', backend: 'openai2' }));
    assert.deepEqual(await shown(metrics, 'balancer_failovers_total'), []);
    metrics.observe(started({ requestId: 'r-10000', backend: 'openai2' }));
    assert.deepEqual(await shown(metrics, 'balancer_failovers_total'), ['{from_backend="openai1",reason="429"} 1']);
  });
});

describe('metrics of states', () => {
  it('count throttles and add up the waits that they named', async () => {
    const metrics = start();
    metrics.observe(changed(cooldown(6200), 'gpt'));
    metrics.observe(changed(cooldown(5300), 'gpt'));
    assert.deepEqual(await shown(metrics, 'balancer_cooldowns_total'), [
      '{backend="openai1",gen_ai_request_model="gpt"} 2',
    ]);
    assert.deepEqual(await shown(metrics, 'balancer_cooldown_seconds_total'), [
      '{backend="openai1",gen_ai_request_model="gpt"} 1.5',
    ]);
  });

  it('count what went out of rotation for another reason, and no return', async () => {
    const metrics = start();
    metrics.observe(changed({ kind: 'quarantined', since: 5000, until: 65_000, isNew: false }));
    metrics.observe(changed({ kind: 'open', since: 5000, until: 6000, times: 1 }, 'gpt'));
    metrics.observe(changed({ kind: 'missing', since: 5000, until: 6000 }, 'gpt'));
    metrics.observe(changed({ kind: 'closed', softFailures: 0 }, 'gpt'));
    assert.deepEqual(await shown(metrics, 'balancer_ejections_total'), [
      '{backend="openai1",gen_ai_request_model="gpt",state="missing"} 1',
      '{backend="openai1",gen_ai_request_model="gpt",state="open"} 1',
      '{backend="openai1",state="quarantined"} 1',
    ]);
    assert.deepEqual(await shown(metrics, 'balancer_cooldowns_total'), []);
  });

  it('show how each backend and deployment stands at the scrape, and for how long it rests', async () => {
    const metrics = start(POOL);
    const embed = 'backend="ptu",gen_ai_request_model="embed"';
    const gpt = 'backend="ptu",gen_ai_request_model="gpt"';
    for (const [name, lines] of Object.entries({
      balancer_backend_info: [
        '{backend="local",server_address="127.0.0.1",server_port="8101",priority="2",weight="1"} 1',
        '{backend="ptu",server_address="ptu.openai.azure.com",server_port="443",priority="1",weight="3"} 1',
      ],
      balancer_backend_state: ['{backend="local",state="quarantined"} 1', '{backend="ptu",state="closed"} 1'],
      balancer_deployment_state: [`{${embed},state="cooldown"} 1`, `{${gpt},state="cooldown"} 1`],
      // That of embed is over, though nobody has asked since.
      balancer_rest_remaining_seconds: ['{backend="local",state="quarantined"} 60', `{${gpt},state="cooldown"} 1.2`],
      balancer_attempts_in_flight: [`{${embed}} 0`, `{${gpt}} 2`],
      balancer_quota_remaining_tokens: [`{${embed}} 90`],
      balancer_quota_limit_tokens: [`{${embed}} 1000`],
      balancer_quota_remaining_requests: [`{${embed}} 0`],
      balancer_quota_limit_requests: [`{${embed}} 6`],
      balancer_utilization_ratio: [`{${gpt}} 0.82`],
    })) {
      assert.deepEqual(await shown(metrics, name), lines, name);
    }
  });

  it('show nothing any more of what is over at the next scrape', async () => {
    let pool = POOL;
    const metrics = createMetrics({
      gauges: {
        requestsInFlight: () => 0,
        bytesBuffered: () => 0,
        requestsHeld: () => 0,
        pool: () => pool,
        now: () => 5000,
      },
      withProcess: false,
    });
    assert.equal((await shown(metrics, 'balancer_backend_state')).length, 2);
    pool = { backends: POOL.backends.slice(1) };
    assert.deepEqual(await shown(metrics, 'balancer_backend_state'), ['{backend="local",state="quarantined"} 1']);
    assert.deepEqual(await shown(metrics, 'balancer_utilization_ratio'), []);
  });
});

describe('metrics of the balancer itself', () => {
  it('show what is in flight and held when they are asked', async () => {
    const metrics = start();
    assert.deepEqual(await shown(metrics, 'http_server_active_requests'), [' 3']);
    assert.deepEqual(await shown(metrics, 'balancer_requests_held'), [' 2']);
    assert.deepEqual(await shown(metrics, 'balancer_buffered_bytes'), [' 4096']);
  });

  it('name its version and that of Node.js', async () => {
    const [line = ''] = await shown(start(), 'balancer_build_info');
    assert.match(line, /^\{version="\d+\.\d+\.\d+",node_version="v24\.\d+\.\d+"\} 1$/);
  });

  it('tell of the process and the delay of its event loop where they are asked to', async () => {
    assert.deepEqual(await shown(start(), 'nodejs_eventloop_lag_p99_seconds'), []);
    const metrics = start({ backends: [] }, true);
    assert.equal((await shown(metrics, 'nodejs_eventloop_lag_p99_seconds')).length, 1);
    assert.equal((await shown(metrics, 'process_resident_memory_bytes')).length, 1);
  });
});

describe('metrics, whatever callers send,', () => {
  const usage = { promptTokens: 1, completionTokens: 1 };

  it('have bounded label sets: 200 clients, 100 deployments, then other', async () => {
    const metrics = start();
    for (let n = 0; n < 250; n += 1) metrics.observe(finished({ client: `c${n}`, deployment: 'gpt' }));
    for (let n = 0; n < 150; n += 1) metrics.observe(finished({ client: 'c1', deployment: `d${n}`, usage }));
    for (let n = 0; n < 150; n += 1) metrics.observe(ended(SERVED, { deployment: `d${n}` }));
    const clients = await shown(metrics, 'balancer_requests_total');
    assert.equal(clients.length, 201);
    assert.ok(clients.some((line) => line.includes('client="other"') && line.endsWith(' 50')));
    const tokens = await shown(metrics, 'balancer_tokens_total');
    assert.equal(tokens.length, 202);
    assert.ok(tokens.some((line) => line.includes('gen_ai_request_model="other"') && line.endsWith(' 50')));
    assert.equal((await shown(metrics, 'balancer_attempts_total')).length, 101);
  });

  it('show no gauge for deployments that share a name', async () => {
    const deployments = Array.from({ length: 150 }, (_, n) => ({
      deployment: `d${n}`,
      standing: 'available' as const,
      state: { kind: 'closed' as const, softFailures: 0 },
      inFlight: 1,
    }));
    const [one] = POOL.backends;
    assert.ok(one !== undefined);
    const lines = await shown(start({ backends: [{ ...one, deployments }] }), 'balancer_attempts_in_flight');
    assert.equal(lines.length, 100);
    assert.ok(!lines.join('').includes('other'));
  });

  it('write what callers and backends name so that it stays one label', async () => {
    const metrics = start();
    metrics.observe(finished({ deployment: 'a"} 1\nforged{x="\\', usage }));
    metrics.observe(finished({ deployment: 'gpt\u2028ü', usage }));
    const { text, contentType } = await metrics.render();
    assert.match(contentType, /^text\/plain; version=0\.0\.4; charset=utf-8$/);
    assert.ok(text.includes(String.raw`gen_ai_request_model="a\"} 1?forged{x=\"\\",gen_ai_token_type="input"} 1`));
    assert.ok(text.includes('gen_ai_request_model="gpt??"'));
    assert.doesNotMatch(text, /^forged/m);
  });

  it('do not grow by what is not a label: ids and paths', async () => {
    const metrics = start();
    const before = (await metrics.render()).text.split('\n').length;
    for (let n = 0; n < 500; n += 1) {
      metrics.observe(started({ requestId: `r-${n}`, url: `https://a/${n}` }));
      metrics.observe(ended(THROTTLED, { requestId: `r-${n}` }));
      metrics.observe(finished({ requestId: `r-${n}`, path: `/${n}`, trace: String(n), method: `M${n}` }));
    }
    const grown = (await metrics.render()).text.split('\n').length - before;
    // One request, one attempt, and two histograms with their buckets, sum and count.
    assert.equal(grown, 1 + 1 + (18 + 3) + (16 + 3));
  });
});
