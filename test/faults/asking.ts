// One caller, with an SDK's patience but without its retries.
import { send } from '../support/http.ts';
import type { Heard } from './reading.ts';

export interface Asked {
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: string;
}

export async function ask({ url, headers = {}, body }: Asked, patienceMs: number): Promise<Heard> {
  const signal = AbortSignal.timeout(patienceMs);
  try {
    const received = await send(url, { body, headers, signal });
    return { received, ending: received.isComplete ? 'whole' : signal.aborted ? 'patience' : 'cut' };
  } catch (error) {
    if (signal.aborted) return { received: undefined, ending: 'patience' };
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    return { received: undefined, ending: 'no answer', code };
  }
}
