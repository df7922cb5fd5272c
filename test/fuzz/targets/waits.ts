import assert from 'node:assert/strict';
import { classify } from '../../../app/src/balancer/outcome.ts';
import { parseQuota } from '../../../app/src/balancer/quota.ts';
import { parseRetryAfterMs, type HeaderLookup } from '../../../app/src/balancer/retry-after.ts';
import { bytesOf, type Target, wordsOf } from '../target.ts';

const NOW = Date.UTC(2026, 10, 27, 12);
const DAY_MS = 86_400_000;

export const waitSamples = bytesOf(
  'retry-after-ms: 1200\nretry-after: 2',
  'retry-after: Fri, 27 Nov 2026 12:00:30 GMT',
  'retry-after: Friday, 27-Nov-26 12:00:30 GMT\nx-ratelimit-reset-tokens: 1h2m3.5s',
  'retry-after: Fri Nov 27 12:00:30 2026',
  'x-ratelimit-limit-requests: 300\nx-ratelimit-remaining-requests: 0\nx-ratelimit-reset-requests: 6m0s',
  'x-ratelimit-limit-tokens: 30000\nx-ratelimit-remaining-tokens: 29000.5\nx-rate-limit-reset-tokens: 120ms',
  'azure-openai-deployment-utilization: 104.5%\nretry-after-ms: -1',
);
export const waitWords = [
  ...wordsOf(
    'retry-after-ms: ¦retry-after: ¦x-ratelimit-reset-tokens: ¦x-ratelimit-reset-requests: ¦\n¦:¦ ¦\t',
    'x-ratelimit-remaining-tokens: 0¦x-ratelimit-remaining-requests: 5¦x-ratelimit-limit-tokens: ¦h¦m¦s¦ms',
    'GMT¦gmt¦Feb¦31¦99:99:99¦1994¦0000¦-¦+¦e¦.¦%¦1e5¦Infinity¦NaN¦0x1f',
  ),
  ...bytesOf('9'.repeat(31)),
];

/** Header lines, as an HTTP client gives them: without blanks around the values. */
export function headersIn(bytes: Buffer): ReadonlyMap<string, string> {
  const headers = new Map<string, string>();
  for (const line of bytes.toString('latin1').split('\n')) {
    const colon = line.indexOf(':');
    if (colon > 0) headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
  }
  return headers;
}

export const waits: Target = {
  name: 'waits and quotas in headers',
  property:
    'a wait is a whole number of milliseconds from 1 to a day, or none; what is named in milliseconds, in seconds or as a date is believed as it stands; what is left is finite and not negative',
  samples: waitSamples,
  words: waitWords,
  check(bytes, chance) {
    const headers = headersIn(bytes);
    const header: HeaderLookup = (name) => headers.get(name);
    const ms = parseRetryAfterMs(header, NOW);
    assert.ok(ms === undefined || (Number.isSafeInteger(ms) && ms >= 1 && ms <= DAY_MS), `${ms} ms`);
    const outcome = classify({ status: 429, header, bodyText: () => '' }, NOW);
    assert.deepEqual(outcome, {
      kind: 'throttled',
      inStream: false,
      ...(ms === undefined ? {} : { retryAfterMs: ms }),
    });
    const quota = parseQuota(header);
    for (const value of Object.values(quota ?? {})) assert.ok(Number.isFinite(value) && value >= 0, String(value));
    const inMs = 1 + chance.below(DAY_MS);
    assert.equal(parseRetryAfterMs(having(header, 'retry-after-ms', ` ${inMs} `), NOW), inMs);
    const unless = having(header, 'retry-after-ms', undefined);
    const inSeconds = Math.ceil(inMs / 1000);
    for (const text of [String(inSeconds), new Date(NOW + inSeconds * 1000).toUTCString()]) {
      assert.equal(parseRetryAfterMs(having(unless, 'retry-after', text), NOW), inSeconds * 1000, text);
    }
    // What has passed is no wait.
    const past = new Date(NOW - chance.below(DAY_MS)).toUTCString();
    assert.equal(
      parseRetryAfterMs((name) => (name === 'retry-after' ? past : undefined), NOW),
      undefined,
    );
    return `${sizeOf(ms)} ${Object.keys(quota ?? {}).length}`;
  },
};

function having(header: HeaderLookup, name: string, value: string | undefined): HeaderLookup {
  return (asked) => (asked === name ? value : header(asked));
}

function sizeOf(ms: number | undefined): string {
  if (ms === undefined) return 'no wait';
  return ms < 1000 ? 'under a second' : ms < 60_000 ? 'seconds' : ms < DAY_MS ? 'long' : 'a day';
}
