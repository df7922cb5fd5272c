/** What an attempt came to, in one of few words: those of `x-balancer-trace`, as far as that has them. For labels. */
import type { Outcome } from '../balancer/outcome.ts';

export function outcomeWord(outcome: Outcome): string {
  switch (outcome.kind) {
    case 'throttled':
      return outcome.inStream ? 'in-stream-429' : '429';
    case 'failed':
      return outcome.status === undefined ? outcome.cause : String(outcome.status);
    case 'broken':
      return `broken-${outcome.cause}`;
    case 'served':
    case 'refused':
    case 'missing':
    case 'too-long':
    case 'unsupported':
    case 'unauthorized':
    case 'abandoned':
      return outcome.kind;
    default:
      return outcome satisfies never;
  }
}

/** As OpenTelemetry's `error.type`; undefined where nothing went wrong. A refusal is told by its status. */
export function errorType(outcome: Outcome): string | undefined {
  if (outcome.kind === 'served') return undefined;
  return outcome.kind === 'refused' ? String(outcome.status) : outcomeWord(outcome);
}

/** Another backend might do better. */
export function isFailure({ kind }: Outcome): boolean {
  return kind !== 'served' && kind !== 'refused' && kind !== 'broken' && kind !== 'abandoned';
}
