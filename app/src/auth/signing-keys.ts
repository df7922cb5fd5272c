/**
 * The published signing keys of one issuer. Fetched once however many wait, kept, and fetched anew in the background;
 * keys that are known go on working while the endpoint is out. Strangers, who can name any key they like, make it ask
 * every 30 s at most.
 *
 *   no keys yet        → every caller waits for one fetch; after a failure nobody waits until its pause is over
 *   keys of an hour    → served at once, and fetched anew in the background
 *   a key id not found → fetched anew, unless that was done a moment ago
 */

/** No keys are known, or not whether the one that was asked for exists, and the endpoint gives none now. */
export class KeysUnavailableError extends Error {
  override readonly name = 'KeysUnavailableError';
  readonly code = 'token_keys_unavailable';
}

/** Microsoft publishes a key a day and more before it signs with it. */
const RENEW_AFTER_MS = 60 * 60_000;
/** For a key that came as a surprise. */
const AT_MOST_EVERY_MS = 30_000;
/** After a failure the next try waits 1 s, 2 s, 4 s, … at most this. */
const LONGEST_PAUSE_MS = 30_000;

export interface SigningKeysParts<Keys> {
  /** Rejects when the endpoint cannot be reached, or its answer is no key document. */
  readonly fetchDocument: () => Promise<string>;
  /** Throws when it is no key document. */
  readonly parse: (document: string) => Keys;
  /** Monotonic ms. */
  readonly clock: () => number;
  /** Told when the endpoint begins to fail, and when it is back. */
  readonly onChange: (
    change: { readonly kind: 'failed'; readonly reason: unknown } | { readonly kind: 'back' },
  ) => void;
}

export interface SigningKeys<Keys> {
  /**
   * What is known; the same object until the published keys change.
   * @throws {KeysUnavailableError} when none are known and none can be had
   */
  get(): Keys | Promise<Keys>;
  /**
   * For a key that is not known: what is published now, or undefined when that was looked at a moment ago.
   * @throws {KeysUnavailableError} when nobody can say
   */
  renewed(): Promise<Keys | undefined>;
}

export function createSigningKeys<Keys>(parts: SigningKeysParts<Keys>): SigningKeys<Keys> {
  const { clock, onChange } = parts;
  let known: Keys | undefined;
  let document = '';
  let fetchedAt = Number.NEGATIVE_INFINITY;
  let pending: Promise<Keys> | undefined;
  let failures = 0;
  let pausedUntil = Number.NEGATIVE_INFINITY;

  function get(): Keys | Promise<Keys> {
    if (known === undefined) return fetchOnce();
    const now = clock();
    // A failed renewal is tried again by a later request, after its pause.
    if (now - fetchedAt >= RENEW_AFTER_MS && now >= pausedUntil) fetchOnce().catch(() => undefined);
    return known;
  }

  async function renewed(): Promise<Keys | undefined> {
    if (clock() - fetchedAt < AT_MOST_EVERY_MS) return undefined;
    return fetchOnce();
  }

  function fetchOnce(): Promise<Keys> {
    pending ??= fetchKeys().finally(() => {
      pending = undefined;
    });
    return pending;
  }

  async function fetchKeys(): Promise<Keys> {
    if (clock() < pausedUntil) throw new KeysUnavailableError('The signing keys could not be fetched a moment ago.');
    try {
      const text = await parts.fetchDocument();
      const keys = known !== undefined && text === document ? known : parts.parse(text);
      if (failures > 0) onChange({ kind: 'back' });
      failures = 0;
      fetchedAt = clock();
      document = text;
      known = keys;
      return keys;
    } catch (error) {
      pausedUntil = clock() + Math.min(1000 * 2 ** failures, LONGEST_PAUSE_MS);
      failures += 1;
      if (failures === 1) onChange({ kind: 'failed', reason: error });
      throw new KeysUnavailableError('The signing keys cannot be fetched.', { cause: error });
    }
  }

  return { get, renewed };
}
