/**
 * Keeps strangers from filling the log: of what is turned away at the door so many lines a second are passed on, and
 * the rest is told in one. Known clients have so many lines for themselves, that no stranger can take. Metrics count
 * every one; whatever asked a backend, or is the balancer's own trouble with a known client (5xx), is always told.
 */
import type { Observe, ProxyEvent } from './events.ts';

const LINES_A_SECOND = 20;
const SECOND_MS = 1000;

export interface Damper {
  readonly observe: Observe;
  /** Tells what was kept back, now. */
  readonly flush: () => void;
}

/** @param clock monotonic ms */
export function damp(observe: Observe, clock: () => number): Damper {
  let secondEndsAt = Number.NEGATIVE_INFINITY;
  const passed = { strangers: 0, clients: 0 };
  const kept = new Map<string, number>();
  let timer: NodeJS.Timeout | undefined;

  function flush(): void {
    clearTimeout(timer);
    timer = undefined;
    if (kept.size === 0) return;
    const all = [...kept].toSorted(([, a], [, b]) => b - a);
    kept.clear();
    const count = all.reduce((sum, [, times]) => sum + times, 0);
    const text =
      `${count} more requests were turned away at the door within a second, without a line of their own: ` +
      all.map(([what, times]) => `${what} ${times}`).join(', ');
    observe({ kind: 'notice', level: 'warning', text });
  }

  function tell(event: ProxyEvent): void {
    const what = doorstep(event);
    if (what === undefined) return observe(event);
    const now = clock();
    if (now >= secondEndsAt) {
      secondEndsAt = now + SECOND_MS;
      passed.strangers = 0;
      passed.clients = 0;
    }
    const whose = isOfClient(event) ? 'clients' : 'strangers';
    passed[whose] += 1;
    if (passed[whose] <= LINES_A_SECOND) return observe(event);
    timer ??= setTimeout(flush, secondEndsAt - now).unref();
    kept.set(what, (kept.get(what) ?? 0) + 1);
  }

  return { observe: tell, flush };
}

/** What was turned away, in a word of ours; undefined for everything else. */
function doorstep(event: ProxyEvent): string | undefined {
  if (event.kind === 'connection-refused') return event.code;
  if (event.kind !== 'request-finished' || event.attempts > 0 || event.code === 'internal_error') return undefined;
  if (event.status >= 500 && event.client !== '') return undefined;
  return event.code ?? event.ending;
}

/** Who is known but not let in (403) is a stranger. */
function isOfClient(event: ProxyEvent): boolean {
  return event.kind === 'request-finished' && event.client !== '' && event.status !== 403;
}
