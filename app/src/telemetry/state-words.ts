/** A backend's state in words, for the log and the status page. */
import type { BreakerState } from '../balancer/circuit-breaker.ts';

/** `cooling down for 1200 ms`, `quarantined: …`. `now` and the state's times are clock ms. */
export function describeState(state: BreakerState, now: number): string {
  switch (state.kind) {
    case 'closed':
      return 'serving';
    case 'probing':
      return 'probing: one request is out to see whether it is back';
    case 'recovering':
      return `recovering: at most ${state.limit} requests at a time, growing`;
    case 'returning':
      return 'returning: its throttle is over, and it is asked for more with every request that it takes';
    case 'cooldown':
      return `cooling down for ${left(state.recoversAt, now)} ms: it answered 429`;
    case 'open':
      return `failing: not asked for ${left(state.until, now)} ms while others answer`;
    case 'missing':
      return `missing: it does not know this deployment, asked again in ${left(state.until, now)} ms`;
    case 'quarantined':
      if (state.isNew) {
        return `quarantined: it does not accept the balancer's identity yet (401/403), tried again in ${left(state.until, now)} ms. The role of a new deployment takes some minutes`;
      }
      return `quarantined: it refused our credential (401/403), tried again in ${left(state.until, now)} ms. Check its key, or the role of the managed identity`;
    default:
      return state satisfies never;
  }
}

function left(until: number, now: number): number {
  return Math.max(0, Math.round(until - now));
}
