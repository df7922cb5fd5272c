import assert from 'node:assert/strict';
import { VERSION } from '../../../app/src/version.ts';
import { everyMetric } from '../../support/every-metric.ts';
import { parseMetrics, type MetricText } from '../../support/metric-text.ts';
import { textOf } from '../../support/sources.ts';
import { assertSame, inBackticks, rowsOf } from '../../support/tables.ts';

const CONFIGURATION = 'docs/configuration.md';
/** Of Node.js and the process, which prom-client names. */
const OF_PROCESS = /^(?:process|nodejs)_/;

describe('the table of metrics', () => {
  let seen: MetricText;
  before(async () => {
    seen = parseMetrics(await everyMetric());
  });

  function ownNames(): readonly string[] {
    return [...seen.types.keys()].filter((name) => !OF_PROCESS.test(name));
  }

  it('has every metric, and no other', () => {
    assertSame(
      rowsOf(CONFIGURATION, 'metric').flatMap(([first = '']) => inBackticks(first)),
      ownNames(),
      CONFIGURATION,
    );
  });

  it('has the labels of each, in their order', () => {
    for (const [first = '', labels = ''] of rowsOf(CONFIGURATION, 'metric')) {
      const [name = ''] = inBackticks(first);
      const found = seen.samples
        .filter((sample) => sample.name.replace(/_(?:bucket|sum|count)$/, '') === name || sample.name === name)
        .map((sample) => Object.keys(sample.labels).filter((label) => label !== 'le'))
        .toSorted((a, b) => b.length - a.length);
      assert.ok(found.length > 0, `no sample of ${name}`);
      assert.deepEqual(found[0], labels === '' ? [] : labels.split(', '), name);
    }
  });

  it('follows the rules of Prometheus: the unit and the kind can be read from the name', () => {
    for (const name of ownNames()) {
      const type = seen.types.get(name);
      assert.equal(name.endsWith('_total'), type === 'counter', `${name} is a ${type}`);
      assert.doesNotMatch(name, /_(?:ms|milliseconds|minutes|percent|kb|count|sum|bucket)(?:_|$)/, name);
      if (type === 'histogram') assert.match(name, /_(?:seconds|token_usage)$/);
    }
  });

  it('says what each is in the text too', async () => {
    const text = await everyMetric();
    for (const name of ownNames()) assert.match(text, new RegExp(`^# HELP ${name} \\S.*\\.$`, 'm'));
  });
});

describe('the version', () => {
  it('is that of the package', () => {
    const manifest: { version?: string } = JSON.parse(textOf('package.json'));
    assert.equal(VERSION, manifest.version);
  });
});
