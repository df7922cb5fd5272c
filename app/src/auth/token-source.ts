/**
 * Microsoft Entra tokens for the backends and for telemetry. The only importer of @azure/identity.
 * One token is kept, fetched once however many wait for it, and renewed ahead of its end while the old one still serves.
 */
import type { AccessToken, TokenCredential } from '@azure/identity';

/** Resolves to a token, or rejects when the identity cannot give one now. */
export interface TokenSource {
  token(): Promise<string>;
}

/** The scope of every Azure OpenAI resource. */
export const BACKEND_SCOPE = 'https://cognitiveservices.azure.com/.default';
/** The scope of Application Insights. */
export const TELEMETRY_SCOPE = 'https://monitor.azure.com/.default';

/** The identity cannot give a token now: in the first minutes after a deployment it may not exist yet. */
export class TokenError extends Error {
  override readonly name = 'TokenError';
  readonly code = 'identity_unavailable';
}

/** Renewed when less than this is left, in the background. */
const RENEW_AHEAD_MS = 5 * 60_000;
/** Not handed out when less than this is left: it must outlive the call. */
const LEAST_LEFT_MS = 30_000;
/** The identity endpoint is on this machine or beside it: slower is broken. */
const FETCH_WITHIN_MS = 5000;
/** After a failure the next try waits 1 s, 2 s, 4 s, … at most this. */
const LONGEST_PAUSE_MS = 30_000;

const NO_TOKEN =
  'The identity gives no token. On your own machine run az login, or set BACKEND_n_APIKEY; in Azure check ' +
  'AZURE_CLIENT_ID and that the managed identity is assigned.';

export interface TokenSourceOptions {
  readonly credential: () => Promise<TokenCredential>;
  /** Milliseconds since the epoch: the tokens' ends are such times. */
  readonly wallClockMs: () => number;
  /** That of the backends by default. */
  readonly scope?: string;
}

export function createTokenSource({ credential, wallClockMs, scope = BACKEND_SCOPE }: TokenSourceOptions): TokenSource {
  let held: AccessToken | undefined;
  let pending: Promise<AccessToken> | undefined;
  let failures = 0;
  let pausedUntil = 0;

  async function token(): Promise<string> {
    const left = held === undefined ? 0 : held.expiresOnTimestamp - wallClockMs();
    if (held === undefined || left < LEAST_LEFT_MS) return (await fetchOnce()).token;
    // The one held is still good: a failed renewal is tried again by the next request, after its pause.
    if (isRenewalDue(held, left)) fetchOnce().catch(() => undefined);
    return held.token;
  }

  function isRenewalDue(current: AccessToken, left: number): boolean {
    const at = current.refreshAfterTimestamp;
    return left < RENEW_AHEAD_MS || (at !== undefined && wallClockMs() >= at);
  }

  function fetchOnce(): Promise<AccessToken> {
    pending ??= fetchToken().finally(() => {
      pending = undefined;
    });
    return pending;
  }

  async function fetchToken(): Promise<AccessToken> {
    if (wallClockMs() < pausedUntil) throw new TokenError('The managed identity gave no token a moment ago.');
    try {
      const fetched = await inTime(async (abortSignal) => (await credential()).getToken(scope, { abortSignal }));
      if (fetched === null) throw new TokenError('The managed identity has no token for this scope.');
      failures = 0;
      held = fetched;
      return fetched;
    } catch (error) {
      pausedUntil = wallClockMs() + Math.min(1000 * 2 ** failures, LONGEST_PAUSE_MS);
      failures += 1;
      throw error instanceof TokenError ? error : new TokenError(NO_TOKEN, { cause: error });
    }
  }

  return { token };
}

/** Not every credential heeds its signal, so the wait ends in any case. */
async function inTime<T>(fetching: (abortSignal: AbortSignal) => Promise<T>): Promise<T> {
  const late = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new TokenError(`The identity gave no token within ${FETCH_WITHIN_MS} ms.`));
      late.abort();
    }, FETCH_WITHIN_MS);
  });
  try {
    return await Promise.race([fetching(late.signal), deadline]);
  } finally {
    clearTimeout(timer);
  }
}

/** The identity of the machine, or of the developer who runs this. Loaded when first needed: it is a large package. */
export function azureCredential(clientId: string | undefined): () => Promise<TokenCredential> {
  let loaded: Promise<TokenCredential> | undefined;
  return () => {
    loaded ??= import('@azure/identity').then(
      ({ DefaultAzureCredential }) =>
        new DefaultAzureCredential({
          // Its own five tries take a quarter of a minute; the next request tries again anyway.
          retryOptions: { maxRetries: 1 },
          ...(clientId === undefined ? {} : { managedIdentityClientId: clientId }),
        }),
    );
    return loaded;
  };
}
