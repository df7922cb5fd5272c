// The rate-limit headers that were seen in the wild and are not as documented, each by a name. What a 429 says of its
// wait, and what an ordinary answer says of its quota. simulator/README.md names the source of each.

/** Header names and values to lay over the usual ones; undefined removes one. */
export type Overrides = Readonly<Record<string, string | undefined>>;

const NO_WAIT: Overrides = {
  'retry-after': undefined,
  'retry-after-ms': undefined,
  'x-ratelimit-reset-requests': undefined,
  'x-ratelimit-reset-tokens': undefined,
};

const NO_QUOTA: Overrides = {
  'x-ratelimit-limit-requests': undefined,
  'x-ratelimit-limit-tokens': undefined,
  'x-ratelimit-remaining-requests': undefined,
  'x-ratelimit-remaining-tokens': undefined,
};

const UNKNOWN: Overrides = {
  'x-ratelimit-limit-tokens': '-1',
  'x-ratelimit-remaining-tokens': '-1',
  'x-ratelimit-reset-tokens': '0',
};

/** Of a 429 that asks for `waitMs`, sent at `now` (ms since the epoch). */
const ofThrottles = {
  none: () => NO_WAIT,
  unknown: () => ({ ...NO_WAIT, ...UNKNOWN }),
  seconds: () => ({ 'retry-after-ms': undefined }),
  milliseconds: () => ({ 'retry-after': undefined }),
  float: (waitMs: number) => ({ ...NO_WAIT, 'retry-after': String(waitMs / 1000) }),
  date: (waitMs: number, now: number) => ({
    ...NO_WAIT,
    'retry-after': new Date(Math.ceil((now + waitMs) / 1000) * 1000).toUTCString(),
  }),
  'go-duration': (waitMs: number) => ({
    ...NO_WAIT,
    'x-ratelimit-reset-requests': goDuration(waitMs),
    'x-ratelimit-reset-tokens': goDuration(waitMs),
  }),
  hyphen: (waitMs: number) => ({ ...NO_WAIT, 'x-rate-limit-reset-tokens': String(Math.ceil(waitMs / 1000)) }),
  day: () => ({ 'retry-after': '86400', 'retry-after-ms': '86400000' }),
  zero: () => ({ 'retry-after': '0', 'retry-after-ms': '0' }),
  negative: () => ({ 'retry-after': '-1', 'retry-after-ms': '-1' }),
  garbage: () => ({ ...NO_WAIT, 'retry-after': 'soon', 'retry-after-ms': 'NaN', 'x-ratelimit-reset-tokens': '1e999' }),
} satisfies Record<string, (waitMs: number, now: number) => Overrides>;

const ofAnswers = {
  none: NO_QUOTA,
  unknown: UNKNOWN,
  'remaining-only': { 'x-ratelimit-limit-requests': undefined, 'x-ratelimit-limit-tokens': undefined },
  garbage: {
    'x-ratelimit-remaining-tokens': 'many',
    'x-ratelimit-remaining-requests': '',
    'x-ratelimit-limit-tokens': '1e999',
  },
} satisfies Record<string, Overrides>;

export type ThrottleOddity = keyof typeof ofThrottles;
export type AnswerOddity = keyof typeof ofAnswers;

export const throttleOddities = Object.keys(ofThrottles).filter(isThrottleOddity);
export const answerOddities = Object.keys(ofAnswers).filter(isAnswerOddity);

export function isThrottleOddity(name: string): name is ThrottleOddity {
  return Object.hasOwn(ofThrottles, name);
}

export function isAnswerOddity(name: string): name is AnswerOddity {
  return Object.hasOwn(ofAnswers, name);
}

export function oddThrottle(oddity: ThrottleOddity, waitMs: number, now: number): Overrides {
  return ofThrottles[oddity](waitMs, now);
}

export function oddAnswer(oddity: AnswerOddity): Overrides {
  return ofAnswers[oddity];
}

/** `6m0s`, `1h2m3s`, `1.5s`, `20ms`: how Go writes a duration. */
function goDuration(ms: number): string {
  if (ms < 1000) {
    return `${ms}ms`;
  }
  const hours = Math.floor(ms / 3_600_000);
  const minutes = Math.floor((ms % 3_600_000) / 60_000);
  const seconds = (ms % 60_000) / 1000;
  const beforeSeconds = hours > 0 ? `${hours}h${minutes}m` : minutes > 0 ? `${minutes}m` : '';
  return `${beforeSeconds}${seconds}s`;
}
