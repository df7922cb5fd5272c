/** Errors of answers that have begun: as an event where there are events, and never with a clean end. */
import type { ServerResponse } from 'node:http';
import { errorEvent, type ProxyError } from './proxy-error.ts';

/** An answer that is not complete never ends as if it were: the last chunk is missing, or some of the length. */
export function breakOff(res: ServerResponse, event?: string): void {
  if (event !== undefined) res.write(event);
  res.socket?.destroySoon();
}

/** What a backend answered with when the caller's stream had begun already, as the event that ends it. */
export function answerAsEvent(status: number, body: Buffer): string {
  const error = errorOf(body);
  return error === undefined
    ? errorEvent(notStreamed(status))
    : `event: error\ndata: ${JSON.stringify({ type: 'error', error })}\n\n`;
}

function notStreamed(status: number): ProxyError {
  return {
    code: 'answer_not_streamed',
    message: `The backend answered ${status}, and no stream, when this one had begun already. Send the request again.`,
  };
}

/** The `error` of a body in Azure's shape. */
function errorOf(body: Buffer): unknown {
  try {
    const parsed: unknown = JSON.parse(body.toString('utf8'));
    const error: unknown =
      typeof parsed === 'object' && parsed !== null && 'error' in parsed ? parsed.error : undefined;
    return typeof error === 'object' && error !== null ? error : undefined;
  } catch {
    return undefined;
  }
}
