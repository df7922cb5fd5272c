/**
 * What a backend says is left of its quota, read from its answer's headers.
 * Negative and nonsensical values are unknown (openai/openai-dotnet#838 saw -1/-1/0), never numbers to reckon with.
 */
import { plainNumber, type HeaderLookup } from './retry-after.ts';

/** Requests and tokens of the present window; absent where the backend did not say. */
export interface Quota {
  readonly limitRequests?: number;
  readonly limitTokens?: number;
  readonly remainingRequests?: number;
  readonly remainingTokens?: number;
  /** Of a provisioned deployment: so much of it is in use; over 100 while it is throttled. */
  readonly utilizationPercent?: number;
}

/** The quota of these headers, or undefined when they say nothing. */
export function parseQuota(header: HeaderLookup): Quota | undefined {
  const quota: { -readonly [K in keyof Quota]: Quota[K] } = {};
  const limitRequests = plainNumber(header('x-ratelimit-limit-requests'));
  const limitTokens = plainNumber(header('x-ratelimit-limit-tokens'));
  const remainingRequests = plainNumber(header('x-ratelimit-remaining-requests'));
  const remainingTokens = plainNumber(header('x-ratelimit-remaining-tokens'));
  if (limitRequests !== undefined) quota.limitRequests = limitRequests;
  if (limitTokens !== undefined) quota.limitTokens = limitTokens;
  if (remainingRequests !== undefined) quota.remainingRequests = remainingRequests;
  if (remainingTokens !== undefined) quota.remainingTokens = remainingTokens;
  const utilization = plainNumber(header('azure-openai-deployment-utilization')?.replace(/%$/, ''));
  if (utilization !== undefined) quota.utilizationPercent = utilization;
  return Object.keys(quota).length === 0 ? undefined : quota;
}
