/**
 * How many tokens a request may come to, before anybody knows: text at four bytes a token, and the completion that the
 * request allows, or, where it names no maximum, what such requests came to before. Azure estimates alike at arrival.
 */
import type { Need } from '../balancer/foresight.ts';
import type { Usage } from '../balancer/outcome.ts';
import type { MemberRange } from './json-members.ts';

/** What a request says of its cost. */
export interface Cost {
  readonly promptTokens: number;
  /** All choices together; absent where the request names no maximum. */
  readonly mostCompletionTokens?: number;
}

/** The chat, the responses and the legacy form. */
const MAXIMA = ['max_completion_tokens', 'max_output_tokens', 'max_tokens'];
/** How many completions are made. */
const COUNTS = ['n', 'best_of'];
export const COST_MEMBERS: readonly string[] = [...MAXIMA, ...COUNTS];

const BYTES_PER_TOKEN = 4;
/** Shorter ones may as well be text. */
const SHORTEST_BLOB = 512;
/** About what an image or a page costs. */
const TOKENS_PER_BLOB = 1000;
/** No request comes to more, whatever maximum it names. */
const LARGEST_ESTIMATE = 1_000_000_000;
/** A completion of which nothing is known. */
const USUAL_COMPLETION = 500;
const MOST_REMEMBERED = 1000;
/** How much the latest request counts in the mean. */
const LATEST_SHARE = 0.1;

/** @param members of the JSON body, those of COST_MEMBERS among them */
export function costOf(members: ReadonlyMap<string, readonly MemberRange[]>, body: Buffer): Cost {
  const largest = (names: readonly string[]): number | undefined => {
    const found = names.flatMap((name) => numberAt(body, members.get(name)?.at(-1)) ?? []);
    return found.length === 0 ? undefined : Math.max(...found);
  };
  const most = largest(MAXIMA);
  const promptTokens = promptTokensOf(body);
  return most === undefined ? { promptTokens } : { promptTokens, mostCompletionTokens: most * (largest(COUNTS) ?? 1) };
}

/** A count that a backend would accept; undefined for anything else. */
function numberAt(json: Buffer, range: MemberRange | undefined): number | undefined {
  if (range === undefined) return undefined;
  const text = json.toString('latin1', range.start, range.end);
  return /^[1-9]\d{0,8}$/.test(text) ? Number(text) : undefined;
}

/**
 * Prompt tokens of a JSON body: its text, without images, audio and files in base64. Those are known by the member that
 * holds them: whatever stands in a text is text.
 */
export function promptTokensOf(body: Buffer): number {
  let blobs = 0;
  let blobBytes = 0;
  for (const { marker, before } of BLOBS) {
    for (let at = body.indexOf(marker); at !== -1;) {
      const start = at + marker.length;
      const isBlob = before.test(body.toString('latin1', Math.max(0, start - LONGEST_LEAD), start));
      const end = isBlob ? body.indexOf(QUOTE, start) : start;
      if (end === -1) break;
      if (end - start > SHORTEST_BLOB) {
        blobs += 1;
        blobBytes += end - start;
      }
      at = body.indexOf(marker, end);
    }
  }
  return tokensOfText(body.length - blobBytes) + blobs * TOKENS_PER_BLOB;
}

const QUOTE = 0x22;
const LONGEST_LEAD = 160;
/** `"url":"data:image/png;base64,…"` and `"data":"…"`, as chat and responses have them; with blanks or without. */
const BLOBS = [
  {
    marker: Buffer.from(';base64,'),
    before: /"(?:url|image_url|file_data)"\s{0,4}:\s{0,4}"data:[\w\\/+.=;-]{1,100};base64,$/,
  },
  { marker: Buffer.from('"data":"'), before: /"data":"$/ },
  { marker: Buffer.from('"data": "'), before: /"data": "$/ },
] as const;

/** Tokens of a text of which only the length is known. */
export function tokensOfText(bytes: number): number {
  return Math.ceil(bytes / BYTES_PER_TOKEN);
}

export interface TokenEstimator {
  estimate(client: string, deployment: string, cost: Cost): number;
  /** The same for the balancing, with the part that is a guess; nothing for what costs no tokens. */
  need(client: string, deployment: string, cost: Cost | undefined): Need;
  /** Of each client by itself: what one asks for must not count against another. */
  learn(client: string, deployment: string, usage: Usage): void;
}

export function createTokenEstimator(): TokenEstimator {
  /** Mean completion, of those that asked last. */
  const means = new Map<string, number>();

  function estimate(client: string, deployment: string, { promptTokens, mostCompletionTokens }: Cost): number {
    const known = means.get(keyOf(client, deployment)) ?? USUAL_COMPLETION;
    const completion = mostCompletionTokens ?? Math.ceil(known);
    return Math.min(promptTokens + completion, LARGEST_ESTIMATE);
  }

  return {
    estimate,
    need(client, deployment, cost) {
      if (cost === undefined) return { tokens: 0, openTokens: 0 };
      const tokens = estimate(client, deployment, cost);
      return { tokens, openTokens: cost.mostCompletionTokens === undefined ? tokens - cost.promptTokens : 0 };
    },
    learn(client, deployment, { completionTokens }) {
      const key = keyOf(client, deployment);
      const mean = means.get(key) ?? completionTokens;
      means.delete(key);
      means.set(key, mean + (completionTokens - mean) * LATEST_SHARE);
      const [oldest] = means.keys();
      if (means.size > MOST_REMEMBERED && oldest !== undefined) means.delete(oldest);
    },
  };
}

/** No name of a client has a line break. */
function keyOf(client: string, deployment: string): string {
  return `${client}\n${deployment}`;
}
