import assert from 'node:assert/strict';
import type { Usage } from '../../../app/src/balancer/outcome.ts';
import type { ProxyEvent } from '../../../app/src/telemetry/events.ts';
import { LEDGER_COLUMNS, ledgerCsv } from '../../../app/src/telemetry/ledger-csv.ts';
import { createLedger, type Ledger, type LedgerRow } from '../../../app/src/telemetry/ledger.ts';
import { rowsOfCsv } from '../../support/csv.ts';
import { finished, unanswered } from '../../support/told-events.ts';

const START = Date.UTC(2026, 10, 22, 12);

function ledgerOf(...events: readonly ProxyEvent[]): Ledger {
  const ledger = createLedger(() => START);
  for (const event of events) ledger.observe(event);
  return ledger;
}

/** The only row, without what is 0. */
function only(ledger: Ledger): Partial<LedgerRow> {
  const { rows } = ledger.read();
  assert.equal(rows.length, 1);
  return Object.fromEntries(Object.entries(rows[0] ?? {}).filter(([, value]) => value !== 0));
}

const KEY = { client: 'team-a', deployment: 'gpt', backend: 'openai1' };
const USAGE: Usage = { promptTokens: 11, completionTokens: 5, cachedTokens: 8, reasoningTokens: 2 };

describe('ledger', () => {
  it('counts requests by how they ended', () => {
    const ledger = ledgerOf(
      finished(),
      finished({ status: 400 }),
      finished({ ending: 'broken', code: 'stream_broken' }),
      finished({ ending: 'abandoned' }),
      finished({ ending: 'refused', status: 503, code: 'stream_drained' }),
    );
    const expected = { ...KEY, requests: 5, delivered: 1, refused: 1, broken: 1, abandoned: 1, failed: 1 };
    assert.deepEqual(only(ledger), expected);
  });

  it('adds up tokens by kind, and keeps apart what nobody said', () => {
    const { cachedTokens: _, reasoningTokens: __, ...plain } = USAGE;
    const guessed = { promptTokens: 100, completionTokens: 50, isEstimated: true } as const;
    const ledger = ledgerOf(
      finished({ usage: USAGE }),
      finished({ usage: plain }),
      finished({ usage: guessed, ending: 'abandoned' }),
      finished({ usage: guessed, ending: 'broken' }),
    );
    assert.deepEqual(only(ledger), {
      ...KEY,
      requests: 4,
      delivered: 2,
      abandoned: 1,
      broken: 1,
      promptTokens: 22,
      cachedTokens: 8,
      completionTokens: 10,
      reasoningTokens: 2,
      estimatedRequests: 2,
      estimatedPromptTokens: 200,
      estimatedCompletionTokens: 100,
    });
  });

  it('has a row for each client, deployment and backend, in the order of their names', () => {
    const ledger = ledgerOf(
      finished({ client: 'team-b' }),
      finished({ backend: 'openai2' }),
      finished({ deployment: 'emb' }),
      finished(),
      finished(),
    );
    assert.deepEqual(
      ledger.read().rows.map(({ client, deployment, backend, requests }) => [client, deployment, backend, requests]),
      [
        ['team-a', 'emb', 'openai1', 1],
        ['team-a', 'gpt', 'openai1', 2],
        ['team-a', 'gpt', 'openai2', 1],
        ['team-b', 'gpt', 'openai1', 1],
      ],
    );
  });

  it('says none for whoever is not known or not let in, what is nowhere, and where nobody answered', () => {
    const ledger = ledgerOf(
      unanswered({ client: '', deployment: '', status: 401, code: 'unknown_credential' }),
      unanswered({ client: 'someone', deployment: '', status: 403, code: 'client_not_allowed' }),
      unanswered({ deployment: 'typo', status: 404, code: 'DeploymentNotFound' }),
      unanswered({ code: 'all_backends_throttled', status: 429 }),
    );
    assert.deepEqual(
      ledger.read().rows.map(({ client, deployment, backend, failed }) => [client, deployment, backend, failed]),
      [
        ['none', 'none', 'none', 2],
        ['team-a', 'gpt', 'none', 1],
        ['team-a', 'none', 'none', 1],
      ],
    );
  });

  it('is no longer for names that callers make up, and loses no request and no token', () => {
    const ledger = createLedger(() => START);
    for (let n = 0; n < 300; n += 1) ledger.observe(finished({ client: `client-${n}`, usage: USAGE }));
    for (let n = 0; n < 300; n += 1) ledger.observe(finished({ deployment: `deployment-${n}`, usage: USAGE }));
    const { rows } = ledger.read();
    assert.ok(rows.length <= 201 + 101, `${rows.length} rows`);
    const of = (client: string, deployment: string): number | undefined =>
      rows.find((row) => row.client === client && row.deployment === deployment)?.requests;
    assert.deepEqual([of('other', 'gpt'), of('client-0', 'gpt'), of('client-200', 'gpt')], [100, 1, undefined]);
    assert.equal(of('other', 'other'), 201);
    const sum = (column: 'requests' | 'promptTokens'): number => rows.reduce((all, row) => all + row[column], 0);
    assert.deepEqual([sum('requests'), sum('promptTokens')], [600, 600 * 11]);
  });

  it('has no more than 10,000 rows, but for one of each backend for all the rest', () => {
    const ledger = createLedger(() => START);
    for (let client = 0; client < 150; client += 1) {
      for (let deployment = 0; deployment < 80; deployment += 1) {
        ledger.observe(
          finished({ client: `client-${client}`, deployment: `d-${deployment}`, backend: `b-${client % 2}` }),
        );
      }
    }
    const { rows } = ledger.read();
    assert.equal(rows.length, 10_002);
    assert.equal(
      rows.reduce((all, row) => all + row.requests, 0),
      150 * 80,
    );
    const rest = rows.filter(({ client, deployment }) => client === 'other' && deployment === 'other');
    assert.deepEqual([rest.length, rest.reduce((all, row) => all + row.requests, 0)], [2, 2000]);
  });

  it('is counted of nothing but requests that ended, and says since when', () => {
    let now = START;
    const ledger = createLedger(() => now);
    ledger.observe({ kind: 'notice', level: 'info', text: 'x' });
    ledger.observe({
      kind: 'attempt-ended',
      requestId: 'r-1',
      backend: 'openai1',
      deployment: 'gpt',
      operation: 'chat/completions',
      outcome: { kind: 'served', status: 200, usage: USAGE },
      durationMs: 1,
    });
    now += 90_000;
    const expected = { since: '2026-11-22T12:00:00.000Z', until: '2026-11-22T12:01:30.000Z', rows: [] };
    assert.deepEqual(ledger.read(), expected);
  });
});

describe('ledger as CSV', () => {
  it('has a line of names, and a row a line with its times', () => {
    const text = ledgerCsv(ledgerOf(finished({ usage: USAGE }), finished({ ending: 'abandoned' })).read());
    assert.equal(
      text,
      `${LEDGER_COLUMNS.join(',')}\r\n` +
        'team-a,gpt,openai1,2,1,0,0,0,1,11,8,5,2,0,0,0,2026-11-22T12:00:00.000Z,2026-11-22T12:00:00.000Z\r\n',
    );
  });

  it('keeps apart what has commas, quotes and lines in it', () => {
    const deployment = 'a,"b",c';
    const text = ledgerCsv(ledgerOf(finished({ deployment }), finished({ client: 'x,y' })).read());
    const [names = [], ...rows] = rowsOfCsv(text);
    assert.deepEqual(names, LEDGER_COLUMNS);
    assert.deepEqual(
      rows.map((row) => row.slice(0, 4)),
      [
        ['team-a', deployment, 'openai1', '1'],
        ['x,y', 'gpt', 'openai1', '1'],
      ],
    );
  });

  it('has no name that a spreadsheet would run', () => {
    for (const name of ['=1+1', '+1', '-1', '@SUM(A1)', ' =1', '=HYPERLINK("http://x","y")', '\t=1', '\r\n=1']) {
      for (const event of [finished({ client: name }), finished({ deployment: name })]) {
        const [, row = []] = rowsOfCsv(ledgerCsv(ledgerOf(event).read()));
        assert.equal(row.length, LEDGER_COLUMNS.length);
        for (const field of row) assert.doesNotMatch(field, /^\s*[=+\-@\t\r]/, JSON.stringify(name));
      }
    }
  });
});
