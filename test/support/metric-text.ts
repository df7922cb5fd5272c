/** The text that Prometheus reads, taken apart. */
import assert from 'node:assert/strict';

export interface Sample {
  /** With `_bucket`, `_sum` or `_count` of a histogram. */
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface MetricText {
  /** Name → counter, gauge, histogram or summary. */
  readonly types: ReadonlyMap<string, string>;
  readonly samples: readonly Sample[];
}

/** Fails on a line that is not of the format. */
export function parseMetrics(text: string): MetricText {
  const types = new Map<string, string>();
  const samples: Sample[] = [];
  for (const line of text.split('\n')) {
    const [, named, type] = /^# TYPE (\w+) (\w+)$/.exec(line) ?? [];
    if (named !== undefined && type !== undefined) {
      assert.ok(!types.has(named), `${named} is there twice`);
      types.set(named, type);
    } else if (line !== '' && !line.startsWith('# HELP ')) samples.push(sampleOf(line));
  }
  return { types, samples };
}

function sampleOf(line: string): Sample {
  const [, name, list = '', value] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
  assert.ok(name !== undefined && value !== undefined, `not a sample: ${line}`);
  const labels: Record<string, string> = {};
  for (const [, label = '', text = ''] of list.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"(?:,|$)/g)) labels[label] = text;
  return { name, labels, value: value === '+Inf' ? Number.POSITIVE_INFINITY : Number(value) };
}

/** The samples of one metric as `{label="value"} number`, sorted; of a histogram only `_count` and `_sum`. */
export function linesOf(text: string, name: string): readonly string[] {
  return text
    .split('\n')
    .filter((line) => new RegExp(`^${name}(?:_count|_sum)?[{ ]`).test(line))
    .map((line) => line.slice(name.length))
    .toSorted();
}
