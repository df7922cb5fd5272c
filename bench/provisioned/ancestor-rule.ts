// The rule of Azure-Samples/openai-aca-lb, which this project descends from: whom it asks, and for how long it parks one
// that refused. Pure.

export interface ParkableBackend {
  readonly priority: number;
  /** Clock ms; not asked before, while there is another. */
  readonly parkedUntil: number;
}

/** When a refusal does not say it in whole seconds. */
const DEFAULT_PARK_SECONDS = 10;

/** One of the best priority that is not parked, by chance; when all are parked, any of all. */
export function chooseBackend(backends: readonly ParkableBackend[], now: number, random: () => number): number {
  const all = backends.map((backend, index) => ({ ...backend, index }));
  const healthy = all.filter((backend) => isHealthy(backend, now));
  const best = Math.min(...healthy.map(({ priority }) => priority));
  const candidates = healthy.length > 0 ? healthy.filter(({ priority }) => priority === best) : all;
  return candidates[Math.floor(random() * candidates.length)]?.index ?? 0;
}

export function isHealthy({ parkedUntil }: ParkableBackend, now: number): boolean {
  return parkedUntil <= now;
}

/** A 429 or a server error parks it for its Retry-After in whole seconds; retry-after-ms is not looked at. */
export function parkedUntilAfter(status: number, retryAfter: string | undefined, now: number): number | undefined {
  if (status !== 429 && status < 500) return undefined;
  const seconds = /^\s*(\d+)\s*$/.exec(retryAfter ?? '')?.[1] ?? DEFAULT_PARK_SECONDS;
  return now + Number(seconds) * 1000;
}
