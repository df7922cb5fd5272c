import assert from 'node:assert/strict';
import { startBalancer, type BalancerSetup, type RunningBalancer } from '../support/balancer.ts';
import { chat, send, type Received } from '../support/http.ts';
import { exchange, head } from '../support/raw.ts';
import { rowsOf } from '../support/tables.ts';
import { rowsOfCsv } from '../support/csv.ts';

const OPERATOR = { OPERATOR_KEYS: 'alice=operator-key' };
const UNLOCKED = { CLIENT_API_KEYS: undefined };

describe('operations endpoints', () => {
  let running: RunningBalancer;
  afterEach(() => running.close());

  async function start(setup: BalancerSetup = {}): Promise<void> {
    running = await startBalancer({ backends: 1, ...setup });
  }

  function get(path: string, headers: Readonly<Record<string, string>> = {}): Promise<Received> {
    return send(running.url + path, { headers: { 'api-key': '', ...headers } });
  }

  function codeOf(received: Received): unknown {
    const body: { error?: { code?: unknown } } = JSON.parse(received.body.toString());
    return body.error?.code;
  }

  for (const path of ['/metrics', '/status', '/ledger']) {
    it(`${path} opens to an operator: key in either header, or as the password that a browser asks for`, async () => {
      await start({ settings: OPERATOR });
      const basic = `Basic ${Buffer.from('anybody:operator-key').toString('base64')}`;
      for (const headers of [
        { 'api-key': 'operator-key' },
        { authorization: 'Bearer operator-key' },
        { authorization: basic },
      ]) {
        assert.equal((await get(path, headers)).status, 200, JSON.stringify(headers));
      }
    });

    it(`${path} is 401 to everybody else, and says how a browser can ask`, async () => {
      await start({ settings: OPERATOR });
      const wrong = `Basic ${Buffer.from('operator-key:wrong').toString('base64')}`;
      for (const headers of [{}, { 'api-key': 'client-key' }, { 'api-key': 'key-1' }, { authorization: wrong }]) {
        const received = await get(path, headers);
        assert.equal(received.status, 401);
        assert.equal(codeOf(received), 'operator_credential_needed');
        assert.match(received.headers['www-authenticate'] ?? '', /^Basic /);
      }
    });

    it(`${path} tells of those it refused, in log and metrics`, async () => {
      await start({ settings: OPERATOR });
      for (let n = 0; n < 3; n += 1) await get(path, { 'api-key': 'guess' });
      const told = running.events.flatMap((event) => (event.kind === 'request-finished' ? [event] : []));
      assert.deepEqual(
        told.map(({ code, status, client, path: asked }) => [code, status, client, asked]),
        Array.from({ length: 3 }, () => ['operator_credential_needed', 401, '', path]),
      );
      assert.equal(running.log.filter((line) => line.startsWith(`GET ${path} 401 refused`)).length, 3);
      const metrics = (await get('/metrics', { 'api-key': 'operator-key' })).body.toString();
      assert.match(metrics, /^balancer_errors_total\{client="none",error_type="operator_credential_needed"\} 3$/m);
      assert.doesNotMatch(running.log.join(''), /guess/);
    });

    it(`${path} is open where nothing is locked, to this machine's programs only`, async () => {
      await start({ settings: UNLOCKED });
      assert.equal((await get(path)).status, 200);
      for (const headers of [
        { host: 'evil.example' },
        { origin: 'https://evil.example' },
        { origin: 'null' },
        { 'sec-fetch-site': 'cross-site' },
        { 'x-forwarded-host': 'octocat-8080.app.github.dev' },
        { 'x-forwarded-for': '203.0.113.7' },
        { forwarded: 'for=203.0.113.7' },
        { via: '1.1 tunnel' },
      ]) {
        const received = await get(path, headers);
        assert.equal(received.status, 403, JSON.stringify(headers));
        assert.equal(codeOf(received), 'host_not_local');
      }
    });

    it(`${path} stays locked where only clients have keys`, async () => {
      await start();
      assert.equal((await get(path)).status, 401);
      assert.equal((await get(path, { 'api-key': 'client-key' })).status, 401);
    });
  }

  it('the API is open where nothing is locked, to this machine’s programs only', async () => {
    await start({ settings: UNLOCKED });
    const ask = (headers: Readonly<Record<string, string>>): Promise<Received> =>
      send(`${running.url}/v1/chat/completions`, { headers, body: chat() });
    assert.equal((await ask({})).status, 200);
    assert.equal((await ask({ origin: 'http://localhost:3000', 'sec-fetch-site': 'same-origin' })).status, 200);
    for (const headers of [
      { host: 'evil.example' },
      { origin: 'https://evil.example' },
      { 'x-forwarded-host': 'octocat-8080.app.github.dev' },
    ]) {
      const received = await ask(headers);
      assert.equal(received.status, 403, JSON.stringify(headers));
      assert.equal(codeOf(received), 'host_not_local');
    }
    assert.equal(running.resources[0]?.calls.length, 2);
  });

  it('has in /ledger who used what, as CSV and as JSON, with the columns of docs/ledger.md', async () => {
    await start({ settings: OPERATOR });
    const received = await send(`${running.url}/v1/chat/completions`, { body: chat() });
    await get('/v1/models');
    const { usage }: { usage: Readonly<Record<string, number>> } = JSON.parse(received.body.toString());
    const csv = await get('/ledger', { 'api-key': 'operator-key' });
    assert.equal(csv.headers['content-type'], 'text/csv; charset=utf-8; header=present');
    const [names = [], ...rows] = rowsOfCsv(csv.body.toString());
    const documented = rowsOf('docs/ledger.md', 'column').flatMap(([cell = '']) => cell.match(/\w+/g) ?? []);
    assert.deepEqual([...names].toSorted(), documented.toSorted());
    const values = (row: readonly string[]): readonly (string | undefined)[] =>
      ['client', 'deployment', 'backend', 'requests', 'failed', 'delivered', 'prompt_tokens', 'completion_tokens'].map(
        (name) => row[names.indexOf(name)],
      );
    const { prompt_tokens: prompt, completion_tokens: completion } = usage;
    assert.deepEqual(rows.map(values), [
      ['none', 'none', 'none', '1', '1', '0', '0', '0'],
      ['tester', 'gpt-5.4-mini', 'openai1', '1', '0', '1', String(prompt), String(completion)],
    ]);
    const json = await get('/ledger', { 'api-key': 'operator-key', accept: 'application/json, */*' });
    assert.equal(json.headers['content-type'], 'application/json');
    const document: { since: string; rows: Record<string, unknown>[] } = JSON.parse(json.body.toString());
    assert.equal(document.since, rows[0]?.[names.indexOf('since')]);
    assert.deepEqual(
      document.rows.map(({ client, requests, promptTokens }) => [client, requests, promptTokens]),
      [
        ['none', 1, 0],
        ['tester', 1, prompt],
      ],
    );
  });

  it('sends on every answer of its own what makes it harmless in a browser', async () => {
    await start({ settings: OPERATOR });
    const answers = [
      await get('/healthz'),
      await get('/readyz'),
      await get('/status'),
      await get('/status', { 'api-key': 'operator-key' }),
      await get('/metrics', { 'api-key': 'operator-key' }),
      await get('/ledger', { 'api-key': 'operator-key' }),
      await get('/v1/models'),
      await get('/nowhere'),
      await get('/%'),
      await exchange(running.port, head('TRACE / HTTP/1.1', 'Host: x')),
      await exchange(running.port, head('CONNECT x:1 HTTP/1.1', 'Host: x')),
      await exchange(running.port, 'GARBAGE\r\n\r\n'),
    ];
    assert.deepEqual(
      answers.map(({ status }) => status),
      [200, 200, 401, 200, 200, 200, 401, 404, 400, 405, 405, 400],
    );
    for (const { headers } of answers) {
      assert.equal(headers['x-content-type-options'], 'nosniff');
      assert.equal(headers['content-security-policy'], "default-src 'none'; frame-ancestors 'none'");
      assert.equal(headers['cross-origin-resource-policy'], 'same-origin');
      assert.equal(headers['referrer-policy'], 'no-referrer');
      assert.equal(headers['cache-control'], 'no-store');
      assert.equal(headers['access-control-allow-origin'], undefined);
      for (const banner of ['server', 'x-powered-by']) assert.equal(headers[banner], undefined);
    }
  });

  it('adds none of them to an answer of a backend', async () => {
    await start();
    const received = await send(`${running.url}/v1/chat/completions`, { body: chat() });
    assert.equal(received.headers['content-security-policy'], undefined);
  });
});
