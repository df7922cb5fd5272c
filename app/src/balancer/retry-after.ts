/**
 * How long a 429 asks us to wait, from the many forms in which Azure OpenAI and what stands before it say so.
 * "No information" is undefined: nonsense, negatives (Azure sends -1 for unknown) and zeros never become a wait.
 */

/** One response header by its lower-case name. */
export type HeaderLookup = (name: string) => string | undefined;

/** What is believed at most: a day. Anything above is as good as that, and keeps the sums finite. */
const LONGEST_MS = 86_400_000;

/**
 * Milliseconds to wait, by the first of these that says anything: `retry-after-ms`; `retry-after` in seconds or as a
 * date; the reset headers of the exhausted limits, else of any limit.
 * @param wallClockMs milliseconds since the epoch, to turn a date into a wait
 */
export function parseRetryAfterMs(header: HeaderLookup, wallClockMs: number): number | undefined {
  return (
    positive(plainNumber(header('retry-after-ms'))) ??
    parseRetryAfter(header('retry-after'), wallClockMs) ??
    resetMs(header, wallClockMs)
  );
}

/** The value of a `retry-after` header in milliseconds: seconds (integer or decimal), a duration, or an HTTP date. */
export function parseRetryAfter(value: string | undefined, wallClockMs: number): number | undefined {
  if (value === undefined) return undefined;
  const text = value.trim();
  const seconds = plainNumber(text);
  if (seconds !== undefined) return positive(seconds * 1000);
  const duration = goDurationMs(text);
  if (duration !== undefined) return positive(duration);
  return positive(httpDateMs(text, wallClockMs));
}

/** The reset headers; some 429s spell them with an extra hyphen (openai/openai-python#937). */
function resetMs(header: HeaderLookup, wallClockMs: number): number | undefined {
  const resets: { readonly ms: number; readonly exhausted: boolean }[] = [];
  for (const limit of ['requests', 'tokens']) {
    const ms =
      parseRetryAfter(header(`x-ratelimit-reset-${limit}`), wallClockMs) ??
      parseRetryAfter(header(`x-rate-limit-reset-${limit}`), wallClockMs);
    if (ms !== undefined) resets.push({ ms, exhausted: plainNumber(header(`x-ratelimit-remaining-${limit}`)) === 0 });
  }
  const telling = resets.some((reset) => reset.exhausted) ? resets.filter((reset) => reset.exhausted) : resets;
  return telling.length === 0 ? undefined : Math.max(...telling.map((reset) => reset.ms));
}

/** A decimal number without sign, exponent or unit; undefined for anything else, `-1` included. */
export function plainNumber(value: string | undefined): number | undefined {
  if (value === undefined || value.length > 32) return undefined;
  const text = value.trim();
  return /^\d+(?:\.\d+)?$/.test(text) ? Number(text) : undefined;
}

const SECOND_MS = 1000;
const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;

/** `6m0s`, `1h2m3.5s`, `120ms`: each unit at most once, largest first. */
function goDurationMs(text: string): number | undefined {
  if (text.length > 32) return undefined;
  const match = /^(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?$/.exec(text);
  if (match === null || text === '') return undefined;
  const [h, m, s, ms] = match.slice(1).map((amount) => Number(amount || 0));
  return HOUR_MS * Number(h) + MINUTE_MS * Number(m) + SECOND_MS * Number(s) + Number(ms);
}

const MONTHS = 'jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec';
/** RFC 9110 §5.6.7: IMF-fixdate, RFC 850 and asctime. Date.parse alone would also take `5` or `May`. */
const HTTP_DATE = new RegExp(
  String.raw`^(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,? (?:\d{1,2}[ -](?:${MONTHS})[ -]\d{2,4} \d\d:\d\d:\d\d gmt|(?:${MONTHS}) [ \d]\d \d\d:\d\d:\d\d \d{4})$`,
  'i',
);

function httpDateMs(text: string, wallClockMs: number): number | undefined {
  if (text.length > 40 || !HTTP_DATE.test(text)) return undefined;
  const at = Date.parse(/gmt$/i.test(text) ? text : `${text} GMT`);
  return Number.isNaN(at) ? undefined : at - wallClockMs;
}

/** Rounded up to whole milliseconds and capped; undefined unless it is a wait at all. */
function positive(ms: number | undefined): number | undefined {
  return ms === undefined || !(ms > 0) ? undefined : Math.min(Math.ceil(ms), LONGEST_MS);
}
