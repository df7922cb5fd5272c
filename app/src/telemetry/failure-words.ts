/** What went wrong with an attempt, in words, for the status page. */
import type { FailureCause, Outcome } from '../balancer/outcome.ts';

/** `429, asked for 1200 ms`, `could not be reached (ECONNREFUSED)`; undefined for what is nobody's fault, or the caller's. */
export function describeFailure(outcome: Outcome): string | undefined {
  switch (outcome.kind) {
    case 'throttled': {
      const where = outcome.inStream ? ' inside a stream' : '';
      return `429${where}${outcome.retryAfterMs === undefined ? '' : `, asked for ${waitOf(outcome.retryAfterMs)}`}`;
    }
    case 'failed':
      // It is asked again at once, on a fresh connection.
      if (outcome.cause === 'stale-socket') return undefined;
      if (outcome.code !== undefined) return `${CAUSES[outcome.cause]} (${outcome.code})`;
      return outcome.status === undefined ? CAUSES[outcome.cause] : `${outcome.status}`;
    case 'missing':
      return 'does not know this deployment';
    case 'unauthorized':
      return outcome.scope === 'host'
        ? `${outcome.status ?? '401/403'}: refused our credential`
        : `${outcome.status ?? '401/403'}: our credential may not do this`;
    case 'broken':
      return outcome.cause === 'idle' ? 'fell silent in the middle of a stream' : 'broke off in the middle';
    case 'served':
    case 'refused':
    case 'unsupported':
    case 'too-long':
    case 'abandoned':
      return undefined;
    default:
      return outcome satisfies never;
  }
}

function waitOf(ms: number): string {
  return ms < 10_000 ? `${ms} ms` : `${Math.round(ms / 1000)} s`;
}

const CAUSES: Readonly<Record<Exclude<FailureCause, 'stale-socket'>, string>> = {
  credential: 'no credential to send',
  connect: 'could not be reached',
  reset: 'broke off before it answered',
  'header-timeout': 'no answer in time',
  'first-token-timeout': 'no first token in time',
  status: 'failed',
  'in-stream': 'failed inside a stream',
};
