/**
 * Numbers that are counted up, one for each set of labels. Whoever counts often keeps the tally and not the labels:
 * prom-client makes a text of all labels at every count, which costs ten times as much as finding a kept tally.
 */
import type { CounterForm, HistogramForm } from './metric-forms.ts';

export type Labels<L extends string = string> = Readonly<Partial<Record<L, string | number>>>;

export class Tally {
  value = 0;
  readonly labels: Labels;

  constructor(labels: Labels) {
    this.labels = labels;
  }

  add(value = 1): void {
    this.value += value;
  }
}

/** Of a histogram: how many values were in each bucket, and above all of them. */
export class Spread {
  sum = 0;
  count = 0;
  readonly labels: Labels;
  private readonly bounds: readonly number[];
  private readonly counts: number[];

  constructor(labels: Labels, bounds: readonly number[]) {
    this.labels = labels;
    this.bounds = bounds;
    this.counts = bounds.map(() => 0);
  }

  observe(value: number): void {
    const { bounds, counts } = this;
    this.sum += value;
    this.count += 1;
    for (let n = 0; n < bounds.length; n += 1) {
      if (value <= (bounds[n] ?? 0)) {
        counts[n] = (counts[n] ?? 0) + 1;
        return;
      }
    }
  }

  /** Each bound with the number of values up to it. */
  cumulative(): readonly (readonly [bound: number, count: number])[] {
    let sum = 0;
    return this.bounds.map((bound, n) => {
      sum += this.counts[n] ?? 0;
      return [bound, sum] as const;
    });
  }
}

/** All the children of one metric, by their labels. */
export class Family<L extends string, T, F extends CounterForm<L> = CounterForm<L>> {
  readonly form: F;
  private readonly children = new Map<string, T>();
  private readonly make: (labels: Labels<L>) => T;

  constructor(form: F, make: (labels: Labels<L>) => T) {
    this.form = form;
    this.make = make;
  }

  child(labels: Labels<L>): T {
    const key = JSON.stringify(this.form.labelNames.map((name) => labels[name]));
    return at(this.children, key, () => this.make(labels));
  }

  all(): Iterable<T> {
    return this.children.values();
  }
}

export type Counters<L extends string = string> = Family<L, Tally>;
export type Histograms<L extends string = string> = Family<L, Spread, HistogramForm<L>>;

export function counters<L extends string>(form: CounterForm<L>): Counters<L> {
  return new Family(form, (labels) => new Tally(labels));
}

export function histograms<L extends string>(form: HistogramForm<L>): Histograms<L> {
  return new Family<L, Spread, HistogramForm<L>>(form, (labels) => new Spread(labels, form.buckets));
}

/** What is kept by four keys together. Maps in maps: no text is made of the keys. */
export class Kept<T> {
  private readonly maps = new Map<string, Map<string, Map<string, Map<string | number, T>>>>();

  at(a: string, b: string, c: string, d: string | number, make: () => T): T {
    const ofA = at(this.maps, a, () => new Map<string, Map<string, Map<string | number, T>>>());
    const ofB = at(ofA, b, () => new Map<string, Map<string | number, T>>());
    return at(
      at(ofB, c, () => new Map<string | number, T>()),
      d,
      make,
    );
  }
}

/** What a map has at a key, made when it was not there. */
export function at<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const found = map.get(key);
  if (found !== undefined) return found;
  const made = make();
  map.set(key, made);
  return made;
}
