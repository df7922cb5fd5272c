/** Gets a key document, bounded in time and size. Whatever else comes back than a plain 200 is an error. */

/** It stands on the way of a caller who waits. */
const WITHIN_MS = 5000;
/** Microsoft's are a tenth of this. */
const LARGEST_BYTES = 262_144;

/** @throws when the endpoint cannot be reached in time, answers otherwise or redirects; the message names no secret */
export async function fetchKeyDocument(url: string): Promise<string> {
  const response = await fetch(url, {
    headers: { accept: 'application/json' },
    // Keys are where the settings say, and nowhere else.
    redirect: 'error',
    signal: AbortSignal.timeout(WITHIN_MS),
  });
  if (response.status !== 200 || response.body === null) {
    await response.body?.cancel();
    throw new Error(`it answered ${response.status}`);
  }
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body) {
    size += chunk.length;
    if (size > LARGEST_BYTES) throw new Error(`its answer is larger than ${LARGEST_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** `ENOTFOUND`, `it answered 500`, …: what went wrong, for the log. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  if (error.name === 'TimeoutError') return `no answer within ${WITHIN_MS} ms`;
  const { cause } = error;
  if (!(cause instanceof Error)) return error.message;
  return 'code' in cause && typeof cause.code === 'string' ? cause.code : cause.message;
}
