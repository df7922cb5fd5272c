// The arena's report in Markdown.
import { table } from '../table.ts';
import { barsOf } from './bars.ts';
import type { Cell, CellPlan, Row } from './cell.ts';
import { workloads } from './workload.ts';

export const method = `Virtual time: the resources are the simulator's limits (\`simulator/limits\`), 6 requests a minute for 1,000 tokens, requests
counted in slices too, windows of a phase that nobody is told. A refusal is back after 10 to 40 ms, a first
token after 0.2 to 0.9 s more, each further one after 12 ms; the headers of what is not streamed come when it is complete.
Load: the tokens that the service counts, of the summed quota; Poisson arrivals, the same for all. The first minute is not
counted. Two in five name no maximum: the service counts 16 tokens of completion, most come to more.
balancer: this project's code; ancestor: openai-aca-lb's rule; usage-based: the rule of LiteLLM's usage-based routing, told
the quotas; oracle: knows every window, asks without delay, holds as long as all may, places by
whichever of three rules serves most.
needless: refused beyond what the oracle refused, of all requests. tokens: counted, of those answered, to the oracle's.
wasted: 429s, of the attempts. held: what passed while a request was asked for nowhere. cached: tokens that were in the
cache, of the answered, to those of one resource that has the quota of all.`;

const HEAD = [
  'workload',
  'window',
  'load',
  'contender',
  'requests',
  'answered',
  'refused',
  'needless %',
  'tokens %',
  'attempts/request',
  'wasted %',
  'in-band',
  'held p50 ms',
  'held p99 ms',
  'cached %',
];

export function report(cells: readonly Cell[]): string {
  return table(
    HEAD,
    cells.flatMap(({ plan, rows }) => rows.map((row) => rowOf(plan, row))),
  ).join('\n');
}

function rowOf({ workload, window, load }: CellPlan, { contender, figures }: Row): string[] {
  return [
    `(${workload}) ${workloads[workload].title}`,
    window,
    load.toFixed(2),
    contender,
    String(figures.requests),
    String(figures.answered),
    String(figures.refused),
    percent(figures.needless),
    percent(figures.tokensOfOracle),
    figures.attemptsPerRequest.toFixed(3),
    percent(figures.wasted),
    String(figures.throttledInBand),
    figures.heldP50Ms.toFixed(0),
    figures.heldP99Ms.toFixed(0),
    figures.cachedOfSingle === undefined ? '–' : percent(figures.cachedOfSingle),
  ];
}

/** What differs from run to run. */
export function extentOf({ seeds, measuredMs, requestSlicesMs, maxHoldMs }: CellPlan): string {
  const slices = requestSlicesMs.map((ms) => `${ms / 1000} s`).join(' and ');
  return (
    `${seeds.length} runs a cell, ${measuredMs / 60_000} minutes each; slices of ${slices}; ` +
    `a request waits ${maxHoldMs / 1000} s at most.`
  );
}

/** Which bars the balancer meets, cell by cell, and how many in all. */
export function reportBars(cells: readonly Cell[]): string {
  const judged = cells.map((cell) => ({ plan: cell.plan, bars: barsOf(cell) }));
  const all = judged.flatMap(({ bars }) => bars);
  const rows = judged.map(({ plan: { workload, window, load }, bars }) => [
    `(${workload}) ${workloads[workload].title}, ${window}, ${load.toFixed(2)}`,
    bars.map(({ name, isMet, told }) => `${isMet ? '' : '**missed** '}${name} ${told}`).join('; '),
  ]);
  const met = all.filter(({ isMet }) => isMet).length;
  return [...table(['cell', 'bars of the balancer'], rows), '', `${met} of ${all.length} bars met.`].join('\n');
}

function percent(share: number): string {
  return (100 * share).toFixed(2).replace(/^-0\.00$/, '0.00');
}
