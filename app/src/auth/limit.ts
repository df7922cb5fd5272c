/** What a client may use, as settings say it. */

/** At least one is there. Tokens are counted as backends count them: prompt and completion. */
export interface ClientLimit {
  readonly tokensPerMinute?: number;
  readonly requestsPerMinute?: number;
  /** Requests under way at a time. */
  readonly concurrent?: number;
}

/** By the client's name; `EVERYBODY_ELSE` stands for each client that is not named, by itself. */
export type ClientLimits = ReadonlyMap<string, ClientLimit>;

export const EVERYBODY_ELSE = '*';
