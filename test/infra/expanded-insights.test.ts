// The workbook and the alerts as `azd provision` would deploy them, and their queries against what the balancer sends.

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { createLines } from '../../app/src/telemetry/lines.ts';
import { createMeasures, MEASURES } from '../../app/src/telemetry/measures.ts';
import { createSpans } from '../../app/src/telemetry/spans.ts';
import { observeAll, type ProxyEvent } from '../../app/src/telemetry/events.ts';
import type { LineData, SpanData } from '../../app/src/telemetry/insights-data.ts';
import { textOf } from '../support/sources.ts';
import { assertSame, inBackticks, rowsOf } from '../support/tables.ts';
import { provision } from './bicep/azd.ts';
import { all, GROUP, idOf, only, TAGS, TOKEN } from './bicep/deployed.ts';
import { asList, asText, at } from './bicep/values.ts';

const PAGE = 'docs/application-insights.md';
const FOLDER = 'infra/queries';
const FILES = readdirSync(fileURLToPath(new URL(`../../${FOLDER}`, import.meta.url))).toSorted();
const WORKSPACE = idOf('Microsoft.OperationalInsights/workspaces', `log-${TOKEN}`);
const RULE = 'Microsoft.Insights/scheduledQueryRules';

const queryOf = (file: string): string => textOf(`${FOLDER}/${file}`);

describe('the workbook', () => {
  const { scope, body } = only(provision(), 'Microsoft.Insights/workbooks');
  const panels = asList(at(JSON.parse(asText(at(body, 'properties', 'serializedData'))), 'items'));

  it('is one, beside the workspace that it reads', () => {
    assert.equal(scope, GROUP);
    assert.deepEqual([at(body, 'kind'), at(body, 'tags'), at(body, 'location')], ['shared', TAGS, 'northeurope']);
    assert.equal(at(body, 'properties', 'sourceId'), WORKSPACE);
  });

  it('asks the questions of the documentation, of the workspace', () => {
    assert.deepEqual(
      panels.map((panel) => at(panel, 'content', 'query')),
      ['throttled-now.kql', 'attempts.kql', 'who-uses-how-much.kql', 'why-slow.kql'].map(queryOf),
    );
    for (const panel of panels) assert.deepEqual(at(panel, 'content', 'crossComponentResources'), [WORKSPACE]);
    assert.equal(new Set(panels.map((panel) => at(panel, 'name'))).size, panels.length);
  });

  it('is not there without the container app', () => {
    assert.deepEqual(all(provision({ LOAD_BALANCER: 'apim' }), 'Microsoft.Insights/workbooks'), []);
  });
});

describe('the alerts', () => {
  it('are not there until an address is set', () => {
    for (const settings of [{}, { ALERT_EMAIL: '' }, { ALERT_EMAIL: 'team@example.com', LOAD_BALANCER: 'apim' }]) {
      assert.deepEqual(all(provision(settings), RULE), []);
      assert.deepEqual(all(provision(settings), 'Microsoft.Insights/actionGroups'), []);
    }
  });

  it('tell the address of every backend throttled, of a backend quarantined and of 5xx', () => {
    const expansion = provision({ ALERT_EMAIL: 'team@example.com' });
    const group = only(expansion, 'Microsoft.Insights/actionGroups');
    assert.deepEqual(at(group.body, 'properties', 'emailReceivers'), [
      { name: 'email', emailAddress: 'team@example.com', useCommonAlertSchema: true },
    ]);
    const rules = all(expansion, RULE).map(({ name, body }) => {
      const properties = at(body, 'properties');
      assert.deepEqual(at(properties, 'scopes'), [WORKSPACE]);
      assert.deepEqual(at(properties, 'actions', 'actionGroups'), [group.id]);
      const [condition, ...more] = asList(at(properties, 'criteria', 'allOf'));
      assert.ok(condition !== undefined && more.length === 0);
      // What is added up must be a column of the query's answer.
      const measure = at(condition, 'metricMeasureColumn');
      const query = asText(at(condition, 'query'));
      if (measure !== null) assert.match(query, new RegExp(`\\b${asText(measure)} = `));
      return [name, query, at(condition, 'timeAggregation'), at(condition, 'threshold')];
    });
    assert.deepEqual(rules, [
      [`all-throttled-${TOKEN}`, queryOf('all-throttled.kql'), 'Total', 0],
      [`quarantined-${TOKEN}`, queryOf('quarantined.kql'), 'Count', 0],
      [`failed-answers-${TOKEN}`, queryOf('failed-answers.kql'), 'Total', 5],
    ]);
  });
});

/** Events that between them have everything that can be told. */
function tellEverything(): { readonly spans: readonly SpanData[]; readonly lines: readonly LineData[] } {
  const spans: SpanData[] = [];
  const lines: LineData[] = [];
  const observe = observeAll([
    createSpans(
      () => 0,
      (span) => spans.push(span),
    ),
    createLines(
      () => 0,
      (line) => lines.push(line),
    ),
  ]);
  const span = { traceId: '1', spanId: '2', parentId: '3', isSampled: true };
  const usage = {
    promptTokens: 1,
    completionTokens: 2,
    cachedTokens: 3,
    reasoningTokens: 4,
    isEstimated: true,
  } as const;
  const attempt = { requestId: 'r', backend: 'openai1', deployment: 'gpt', span } as const;
  const second = { ...attempt, span: { ...span, spanId: '4' } };
  const backend = { name: 'openai1', origin: 'https://one', priority: 1, weight: 1, byIdentity: true };
  const events: readonly ProxyEvent[] = [
    { kind: 'attempt-started', ...attempt, url: 'https://one/openai', attempt: 1, probe: true, spilledFrom: 'x' },
    {
      kind: 'attempt-ended',
      ...attempt,
      operation: 'chat/completions',
      durationMs: 1,
      outcome: { kind: 'throttled', retryAfterMs: 5, inStream: false },
    },
    {
      kind: 'attempt-ended',
      ...second,
      operation: 'chat/completions',
      durationMs: 1,
      firstContentMs: 1,
      outcome: { kind: 'served', status: 200, usage },
    },
    {
      kind: 'request-finished',
      requestId: 'r',
      client: 'a',
      method: 'POST',
      path: '/p',
      operation: 'chat/completions',
      deployment: 'gpt',
      stream: true,
      status: 502,
      ending: 'broken',
      code: 'stream_broken',
      backend: 'openai1',
      attempts: 1,
      trace: 't',
      reasons: 'r',
      spilledFrom: 's',
      spillover: 's',
      usage,
      heldMs: 1,
      firstContentMs: 1,
      durationMs: 1,
      span,
    },
    {
      kind: 'state-changed',
      now: 0,
      change: {
        backend,
        deployment: 'gpt',
        from: { kind: 'closed', softFailures: 0 },
        to: { kind: 'quarantined', until: 1, since: 0, isNew: false },
        reason: '401',
      },
    },
  ];
  for (const event of events) observe(event);
  return { spans, lines };
}

describe('the names in queries and documentation', () => {
  const { spans, lines } = tellEverything();
  const attributesOf = (kind: SpanData['kind']): readonly string[] =>
    [
      ...new Set(spans.filter((span) => span.kind === kind).flatMap(({ attributes }) => Object.keys(attributes))),
    ].filter(
      // These become columns of their own.
      (name) => !/^(?:http|url|server|ai)\./.test(name),
    );
  const ofLines = [...new Set(lines.flatMap(({ attributes }) => Object.keys(attributes)))];

  it('of metrics and their dimensions are those of the code', () => {
    const rows = rowsOf(PAGE, 'metric in `appmetrics`').map(([name = '', dimensions = '']) => [
      inBackticks(name)[0],
      dimensions.split(', '),
    ]);
    assert.deepEqual(Object.fromEntries(rows), MEASURES);
  });

  for (const [table, kind] of [
    ['AppRequests', 'server'],
    ['AppDependencies', 'client'],
  ] as const) {
    it(`of the dimensions of ${table} are those of the code`, () => {
      const names = rowsOf(PAGE, `\`${table.toLowerCase()}\``).flatMap(([first = '']) => inBackticks(first));
      assertSame(
        names.filter((name) => !/^[A-Z]/.test(name)),
        attributesOf(kind),
        `${PAGE}, ${table}`,
      );
    });
  }

  it('of queries are those that their table has', () => {
    const known = {
      AppRequests: attributesOf('server'),
      AppDependencies: attributesOf('client'),
      AppTraces: ofLines,
      AppMetrics: Object.values(MEASURES).flat(),
    } as const;
    const tables = Object.entries(known);
    for (const file of FILES) {
      const query = queryOf(file);
      const used = [...query.matchAll(/Properties(?:\.(\w+)|\['([^']+)'\])/g)].map(([, a, b]) => a ?? b ?? '');
      const own = tables.filter(([table]) => new RegExp(`\\b${table}\\b`).test(query)).flatMap(([, names]) => names);
      assert.ok(own.length > 0, `${file} asks no table that is known`);
      assert.deepEqual(
        used.filter((name) => !own.includes(name)),
        [],
        file,
      );
      const metrics: readonly string[] = query.match(/balancer\.\w+/g) ?? [];
      assert.deepEqual(
        metrics.filter((name) => !(name in MEASURES)),
        [],
        file,
      );
      assert.equal(query.includes('AppMetrics'), metrics.length > 0, `${file}: which metric?`);
    }
  });

  it('of severities are those that lines are sent with', () => {
    const line = lines.find(({ attributes }) => attributes['kind'] === 'state-changed');
    // AppTraces counts them from 0: verbose, information, warning, error.
    assert.equal(line?.level, 'error');
    assert.match(queryOf('quarantined.kql'), /SeverityLevel >= 3/);
  });

  it('are in the documentation with the queries themselves', () => {
    const blocks = [...textOf(PAGE).matchAll(/```kusto\n([\s\S]*?)```/g)].map(([, query]) => query);
    assertSame(blocks.map(String), FILES.map(queryOf), PAGE);
  });

  it('of measures that are taken have their labels', () => {
    const measures = createMeasures();
    for (let index = 0; index < 3; index += 1) {
      measures.observe({
        kind: 'attempt-ended',
        requestId: 'r',
        backend: 'openai1',
        deployment: 'gpt',
        operation: 'chat/completions',
        outcome: { kind: 'throttled', inStream: false },
        firstContentMs: 5,
        durationMs: 1,
      });
    }
    assert.deepEqual(measures.take(), [
      {
        name: 'balancer.attempts',
        kind: 'sum',
        dimensions: { backend: 'openai1', deployment: 'gpt', outcome: 'throttled' },
        values: [3],
      },
      {
        name: 'balancer.failovers',
        kind: 'sum',
        dimensions: { backend: 'openai1', deployment: 'gpt', outcome: 'throttled' },
        values: [3],
      },
      {
        name: 'balancer.first_content_ms',
        kind: 'values',
        dimensions: { backend: 'openai1', deployment: 'gpt' },
        values: [5, 5, 5],
      },
    ]);
    assert.deepEqual(measures.take(), []);
  });
});
