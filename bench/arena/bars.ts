// The bars for the balancer, cell by cell. A figure that is not judged in a cell has no bar there.
import type { Cell } from './cell.ts';
import type { Figures } from './figures.ts';

export interface Bar {
  readonly name: string;
  readonly isMet: boolean;
  /** What was measured and what it is held to. */
  readonly told: string;
}

const QUOTA = 1;
const NEAR_QUOTA = 0.9;
const NEEDLESS_ABOVE = 0.02;
const LEAST_TOKENS = 0.98;
const MOST_WASTED = 0.01;
const LEAST_CACHED = 0.9;
/** Beyond the quota: so many attempts a request more than the share that is answered. */
const ATTEMPTS_OVER = 0.02;

export function barsOf({ plan: { workload, load }, rows }: Cell): readonly Bar[] {
  const figures = rows.find(({ contender }) => contender === 'balancer')?.figures;
  if (figures === undefined) return [];
  const bars: Bar[] = [];
  if (workload === 'f') {
    const cached = figures.cachedOfSingle ?? 0;
    bars.push({ name: 'cached', isMet: cached >= LEAST_CACHED, told: `${percent(cached)} ≥ ${percent(LEAST_CACHED)}` });
  } else {
    bars.push(needlessBar(figures, load), tokensBar(figures));
  }
  if (load <= NEAR_QUOTA) bars.push(wastedBar(figures));
  if (load > QUOTA) bars.push(attemptsBar(figures));
  return bars;
}

function needlessBar({ needless }: Figures, load: number): Bar {
  const most = load <= NEAR_QUOTA ? 0 : NEEDLESS_ABOVE;
  return { name: 'needless', isMet: needless <= most, told: `${percent(needless)} ≤ ${percent(most)}` };
}

function tokensBar({ tokensOfOracle }: Figures): Bar {
  const told = `${percent(tokensOfOracle)} ≥ ${percent(LEAST_TOKENS)}`;
  return { name: 'tokens', isMet: tokensOfOracle >= LEAST_TOKENS, told };
}

function wastedBar({ wasted }: Figures): Bar {
  return { name: 'wasted', isMet: wasted < MOST_WASTED, told: `${percent(wasted)} < ${percent(MOST_WASTED)}` };
}

/** No rule can foresee a throttle in-band, so those attempts are left out. */
function attemptsBar({ attemptsPerRequest, throttledInBand, requests, answered }: Figures): Bar {
  const attempts = attemptsPerRequest - throttledInBand / requests;
  const most = answered / requests + ATTEMPTS_OVER;
  return { name: 'attempts', isMet: attempts <= most, told: `${attempts.toFixed(3)} ≤ ${most.toFixed(3)}` };
}

function percent(share: number): string {
  return `${(100 * share).toFixed(2)} %`;
}
