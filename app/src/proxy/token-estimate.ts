/**
 * How many tokens a request may come to, before anybody knows: text at four bytes a token, and the completion that the
 * request allows, or, where it names no maximum, what such requests came to before. Azure estimates alike at arrival.
 */
import type { Usage } from '../balancer/outcome.ts';

/** What a request says of its cost. */
export interface Cost {
  readonly promptTokens: number;
  /** All choices together; absent where the request names no maximum. */
  readonly mostCompletionTokens?: number;
}

const BYTES_PER_TOKEN = 4;
/** Longer runs of base64 are no text: images, audio, files. */
const LONGEST_WORD = 512;
/** About what an image or a page costs. */
const TOKENS_PER_BLOB = 1000;
/** No request comes to more, whatever maximum it names. */
const LARGEST_ESTIMATE = 1_000_000_000;
/** A completion of which nothing is known. */
const USUAL_COMPLETION = 500;
const MOST_REMEMBERED = 1000;
/** How much the latest request counts in the mean. */
const LATEST_SHARE = 0.1;

/** Prompt tokens of a body: its text, without what is in it in base64. */
export function promptTokensOf(body: Buffer): number {
  let text = 0;
  let blobs = 0;
  let run = 0;
  for (let i = 0; i <= body.length; i += 1) {
    const byte = body[i];
    if (byte !== undefined && IS_BASE64[byte] === 1) {
      run += 1;
      continue;
    }
    if (run > LONGEST_WORD) blobs += 1;
    else text += run;
    run = 0;
    if (byte !== undefined) text += 1;
  }
  return Math.ceil(text / BYTES_PER_TOKEN) + blobs * TOKENS_PER_BLOB;
}

/** Tokens of a text of which only the length is known. */
export function tokensOfText(bytes: number): number {
  return Math.ceil(bytes / BYTES_PER_TOKEN);
}

export interface TokenEstimator {
  estimate(deployment: string, cost: Cost): number;
  learn(deployment: string, usage: Usage): void;
}

export function createTokenEstimator(): TokenEstimator {
  /** Mean completion, of the deployments that were asked last. */
  const means = new Map<string, number>();
  return {
    estimate(deployment, { promptTokens, mostCompletionTokens }) {
      const completion = mostCompletionTokens ?? Math.ceil(means.get(deployment) ?? USUAL_COMPLETION);
      return Math.min(promptTokens + completion, LARGEST_ESTIMATE);
    },
    learn(deployment, { completionTokens }) {
      const mean = means.get(deployment) ?? completionTokens;
      means.delete(deployment);
      means.set(deployment, mean + (completionTokens - mean) * LATEST_SHARE);
      const [oldest] = means.keys();
      if (means.size > MOST_REMEMBERED && oldest !== undefined) means.delete(oldest);
    },
  };
}

const IS_BASE64 = new Uint8Array(256);
for (const character of 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_=') {
  IS_BASE64[character.charCodeAt(0)] = 1;
}
