/** The text that Prometheus reads. The only importer of prom-client: what is counted is in metrics.ts, as plain numbers. */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { CounterForm } from './metric-forms.ts';
import type { Counters, Histograms } from './tallies.ts';

export interface Exposition {
  readonly contentType: string;
  readonly text: string;
}

export interface GaugeSample {
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

/** A gauge with what it shows at a scrape. */
export interface GaugeFamily extends CounterForm<string> {
  readonly samples: () => Iterable<GaugeSample>;
}

export interface ExpositionParts {
  readonly counters: Iterable<Counters>;
  readonly histograms: Iterable<Histograms>;
  readonly gauges: Iterable<GaugeFamily>;
  /** Memory, CPU and event loop of this process too: one balancer a process. */
  readonly withProcess: boolean;
}

export function createExposition(parts: ExpositionParts): () => Promise<Exposition> {
  const registry = new Registry();
  const registers = [registry];
  for (const family of parts.counters) {
    const { name, help, labelNames } = family.form;
    const collect = function (this: Counter): void {
      this.reset();
      for (const { labels, value } of family.all()) this.inc({ ...labels }, value);
    };
    register(new Counter({ name, help, labelNames: [...labelNames], registers, collect }));
  }
  for (const family of parts.histograms) register(new Collected(family, registers));
  for (const { name, help, labelNames, samples } of parts.gauges) {
    const collect = function (this: Gauge): void {
      this.reset();
      for (const { labels, value } of samples()) this.set(labels, value);
    };
    register(new Gauge({ name, help, labelNames: [...labelNames], registers, collect }));
  }
  if (parts.withProcess) collectDefaultMetrics({ register: registry });
  return async () => ({ contentType: registry.contentType, text: await registry.metrics() });
}

/** The registry that a metric was made for keeps it. */
function register(metric: Counter | Gauge | Histogram): void {
  void metric;
}

/** A histogram whose buckets were filled elsewhere. */
class Collected extends Histogram {
  private readonly family: Histograms;

  constructor(family: Histograms, registers: Registry[]) {
    const { name, help, labelNames, buckets } = family.form;
    super({ name, help, labelNames: [...labelNames], buckets: [...buckets], registers });
    this.family = family;
  }

  /** What the registry asks a histogram for when it writes the text; its types do not know. */
  async getForPromString() {
    const { name, help } = this.family.form;
    const values = [...this.family.all()].flatMap((spread) => {
      const own = spread.labels;
      const buckets = [...spread.cumulative(), ['+Inf', spread.count] as const];
      return [
        ...buckets.map(([le, value]) => ({ metricName: `${name}_bucket`, labels: { le, ...own }, value })),
        { metricName: `${name}_sum`, labels: own, value: spread.sum },
        { metricName: `${name}_count`, labels: own, value: spread.count },
      ];
    });
    return { name, help, type: 'histogram', values };
  }
}
