/** Errors of answers that have begun: as an event where there are events, and never with a clean end. */
import type { ServerResponse } from 'node:http';
import { errorEvent, type ErrorCode } from './proxy-error.ts';

/** An answer that is not complete never ends as if it were: the last chunk is missing, or some of the length. */
export function breakOff(res: ServerResponse, event?: string): void {
  if (event !== undefined) res.write(event);
  res.socket?.destroySoon();
}

/** What a backend answered with when the caller's stream had begun already: its own error, or that it was no stream. */
export function breakOffWith(
  res: ServerResponse,
  status: number,
  body: string,
): { readonly ending: 'broken'; readonly code?: ErrorCode } {
  const error = errorOf(body);
  if (error !== undefined) {
    breakOff(res, `event: error\ndata: ${JSON.stringify({ type: 'error', error })}\n\n`);
    return { ending: 'broken' };
  }
  const code = 'answer_not_streamed';
  const message = `The backend answered ${status}, and gave no stream, when this one had begun already.`;
  breakOff(res, errorEvent({ code, message }));
  return { ending: 'broken', code };
}
/** The `error` of a body in Azure's shape. */
function errorOf(body: string): unknown {
  try {
    const parsed: unknown = JSON.parse(body);
    const error: unknown =
      typeof parsed === 'object' && parsed !== null && 'error' in parsed ? parsed.error : undefined;
    return typeof error === 'object' && error !== null ? error : undefined;
  } catch {
    return undefined;
  }
}
