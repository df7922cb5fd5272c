import assert from 'node:assert/strict';
import { parser } from '@prometheus-io/lezer-promql';
import { everyMetric } from '../../support/every-metric.ts';
import { parseMetrics } from '../../support/metric-text.ts';
import { textOf } from '../../support/sources.ts';

interface Target {
  readonly expr: string;
  readonly legendFormat: string;
  readonly refId: string;
}

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly datasource?: { readonly uid: string };
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly fieldConfig?: { readonly defaults: { readonly unit?: string } };
  readonly targets?: readonly Target[];
}

interface Variable {
  readonly name: string;
  readonly type: string;
  readonly definition?: string;
}

interface Dashboard {
  readonly uid: string;
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly Variable[] };
}

/** What one expression asks for. */
interface Asked {
  readonly metrics: readonly { readonly name: string; readonly labels: readonly string[] }[];
  /** In `by (…)`, `on (…)` and the like. */
  readonly grouped: readonly string[];
}

const PATH = 'docs/grafana/balancer.json';
const dashboard: Dashboard = JSON.parse(textOf(PATH));
const panels = dashboard.panels.filter(({ type }) => type !== 'row');
const targets = panels.flatMap((panel) => (panel.targets ?? []).map((target) => ({ panel, ...target })));

/** Labels that Prometheus gives to what it scrapes, and that a query makes itself. */
const NOT_OURS = new Set(['job', 'instance']);

/** With what Grafana would put in the place of its own variables. */
function filled(expr: string): string {
  return expr.replaceAll('$__rate_interval', '1m').replaceAll('$__range', '1h');
}

function read(expr: string): Asked {
  const metrics: { name: string; labels: string[] }[] = [];
  const grouped: string[] = [];
  let isGrouping = false;
  parser.parse(expr).iterate({
    enter({ name, from, to, type }) {
      const text = expr.slice(from, to);
      assert.ok(!type.isError, `not PromQL at ${from}: ${expr}`);
      if (name === 'VectorSelector') metrics.push({ name: '', labels: [] });
      const last = metrics.at(-1);
      if (name === 'Identifier' && last !== undefined) last.name = text;
      if (name === 'GroupingLabels') isGrouping = true;
      if (name === 'LabelMatchers') isGrouping = false;
      if (name === 'LabelName' && isGrouping) grouped.push(text);
      else if (name === 'LabelName') last?.labels.push(text);
    },
    leave({ name }) {
      if (name === 'GroupingLabels') isGrouping = false;
    },
  });
  return { metrics, grouped };
}

describe('the dashboard for Grafana', () => {
  /** Sample name → the labels that it can have. */
  const labelsOf = new Map<string, Set<string>>();
  let types: ReadonlyMap<string, string>;
  before(async () => {
    const seen = parseMetrics(await everyMetric());
    ({ types } = seen);
    for (const { name, labels } of seen.samples) {
      const known = labelsOf.get(name) ?? new Set();
      labelsOf.set(name, known);
      for (const label of Object.keys(labels)) known.add(label);
    }
  });

  function assertKnown(name: string, labels: readonly string[], where: string): void {
    const known = labelsOf.get(name);
    assert.ok(known !== undefined, `${name} is no metric: ${where}`);
    const unknown = labels.filter((label) => !known.has(label) && !NOT_OURS.has(label));
    assert.deepEqual(unknown, [], `${name} has no such label: ${where}`);
  }

  it('asks for metrics and labels that there are', () => {
    assert.ok(targets.length > 30);
    for (const { expr } of targets) {
      const { metrics, grouped } = read(filled(expr));
      assert.ok(metrics.length > 0, expr);
      for (const { name, labels } of metrics) assertKnown(name, labels, expr);
      const known = new Set(metrics.flatMap(({ name }) => [...(labelsOf.get(name) ?? [])]));
      assert.deepEqual(
        grouped.filter((label) => !known.has(label) && !NOT_OURS.has(label)),
        [],
        expr,
      );
    }
  });

  it('has metrics and labels that there are in the expressions of docs/operations.md too', () => {
    const exprs = [...textOf('docs/operations.md').matchAll(/^\| [^|]+ \| `([^`]+)` \| /gm)].map(
      ([, expr = '']) => expr,
    );
    const alerts = exprs.filter((expr) => expr.includes('balancer_'));
    assert.equal(alerts.length, 3);
    for (const expr of alerts) {
      const { metrics } = read(expr);
      assert.equal(metrics.length, 1, expr);
      for (const { name, labels } of metrics) assertKnown(name, labels, expr);
    }
  });

  it('counts what is counted up by its rate, and shows what stands at the scrape as it is', () => {
    for (const { expr } of targets) {
      const { metrics } = read(filled(expr));
      for (const { name } of metrics) {
        const grows = name.endsWith('_total') || /_(?:bucket|count|sum)$/.test(name);
        const isRated = new RegExp(`\\b(?:rate|increase)\\(${name}\\b`).test(expr);
        assert.equal(isRated, grows, `${name} in ${expr}`);
      }
    }
  });

  it('lets every panel be told by job and replica', () => {
    for (const { expr } of targets) {
      assert.ok(expr.includes('job=~"$job",instance=~"$instance"'), expr);
      for (const [, name = ''] of filled(expr).matchAll(/\$\{?(\w+)/g)) {
        assert.ok(
          dashboard.templating.list.some((variable) => variable.name === name),
          `no variable ${name}`,
        );
      }
    }
  });

  it('names in its legends labels that the query leaves', () => {
    for (const { expr, legendFormat } of targets) {
      const { grouped } = read(filled(expr));
      for (const [, label = ''] of legendFormat.matchAll(/\{\{(\w+)\}\}/g)) {
        assert.ok(grouped.includes(label), `${label} is not left by ${expr}`);
      }
    }
  });

  it('fills its variables from metrics and labels that there are, and reads them from any data source', () => {
    const [first, ...rest] = dashboard.templating.list;
    assert.deepEqual([first?.name, first?.type], ['datasource', 'datasource']);
    for (const { definition = '' } of rest) {
      const [, name = '', matchers = '', label = ''] = /^label_values\((\w+)(\{.*\})?, (\w+)\)$/.exec(definition) ?? [];
      assertKnown(name, [label, ...read(`${name}${matchers}`).metrics.flatMap(({ labels }) => labels)], definition);
    }
    for (const { datasource, title } of panels) assert.equal(datasource?.uid, '${datasource}', title);
    assert.doesNotMatch(textOf(PATH), /https?:\/\//);
  });

  it('answers three questions on its first row', () => {
    const [row, ...first] = dashboard.panels.slice(0, 4);
    assert.equal(row?.type, 'row');
    assert.deepEqual(
      first.map(({ title }) => title),
      ['Which resource is throttled now?', 'Who uses how much?', 'Why was this answer slow?'],
    );
    assert.deepEqual(new Set(first.map(({ gridPos }) => gridPos.y)), new Set([1]));
  });

  it('has no two panels in one place, and none beyond the edge', () => {
    const taken = new Map<string, string>();
    for (const { gridPos, title } of dashboard.panels) {
      const { x, y, w, h } = gridPos;
      assert.ok(x >= 0 && x + w <= 24 && h > 0, title);
      for (let column = x; column < x + w; column += 1) {
        for (let line = y; line < y + h; line += 1) {
          const place = `${column},${line}`;
          assert.equal(taken.get(place), undefined, `${title} is in the place of ${taken.get(place)}`);
          taken.set(place, title);
        }
      }
    }
  });

  it('says of every panel what it shows and in which unit, and numbers each once', () => {
    for (const { title, description = '', fieldConfig, targets: asked = [] } of panels) {
      assert.ok(description.length > 30 && description.endsWith('.'), title);
      assert.ok((fieldConfig?.defaults.unit ?? '') !== '', title);
      assert.ok(asked.length > 0, title);
      assert.equal(new Set(asked.map(({ refId }) => refId)).size, asked.length, title);
    }
    assert.equal(new Set(dashboard.panels.map(({ id }) => id)).size, dashboard.panels.length);
  });

  it('shows every metric of the balancer that is not another way to look at one that it shows', () => {
    const asked = targets.map(({ expr }) => expr).join('\n');
    const left = [...types.keys()].filter((name) => !/^(?:process|nodejs)_/.test(name) && !asked.includes(name));
    // It shows how long an entry rests, which is a state, too.
    assert.deepEqual(left, ['balancer_deployment_state']);
  });
});
