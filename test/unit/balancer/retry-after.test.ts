import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { parseRetryAfter, parseRetryAfterMs, plainNumber } from '../../../app/src/balancer/retry-after.ts';

/** Sun, 06 Nov 1994 08:49:37 GMT, the date of RFC 9110's examples. */
const RFC_DATE_MS = 784_111_777_000;
const DAY_MS = 86_400_000;

function waitOf(headers: Readonly<Record<string, string>>, wallClockMs = 0): number | undefined {
  return parseRetryAfterMs((name) => headers[name], wallClockMs);
}

describe('retry-after: a plain number', () => {
  const numbers: readonly (readonly [string, number | undefined])[] = [
    ['0', 0],
    ['20', 20],
    [' 20 ', 20],
    ['0020', 20],
    ['1.5', 1.5],
    ['86400', 86_400],
    ['-1', undefined],
    ['+1', undefined],
    ['1e3', undefined],
    ['1.', undefined],
    ['.5', undefined],
    ['0x10', undefined],
    ['1,000', undefined],
    ['1 2', undefined],
    ['NaN', undefined],
    ['Infinity', undefined],
    ['', undefined],
    ['٣', undefined],
    ['9'.repeat(32), Number('9'.repeat(32))],
    ['9'.repeat(33), undefined],
  ];
  for (const [text, value] of numbers) {
    it(`reads ${JSON.stringify(text.slice(0, 40))} as ${value}`, () => {
      assert.equal(plainNumber(text), value);
    });
  }

  it('reads an absent header as unknown', () => {
    assert.equal(plainNumber(undefined), undefined);
  });
});

describe('retry-after: the header itself', () => {
  const waits: readonly (readonly [string, number | undefined])[] = [
    ['1', 1000],
    ['20', 20_000],
    [' 20 ', 20_000],
    ['0.5', 500],
    ['1.2345', 1235],
    ['0.0001', 1],
    ['86400', DAY_MS],
    ['86401', DAY_MS],
    ['9'.repeat(30), DAY_MS],
    ['0', undefined],
    ['0.0', undefined],
    ['-1', undefined],
    ['-20', undefined],
    ['6m0s', 360_000],
    ['1m30s', 90_000],
    ['120ms', 120],
    ['1s', 1000],
    ['1.5s', 1500],
    ['0.25ms', 1],
    ['1h', 3_600_000],
    ['1h2m3.5s', 3_723_500],
    ['1m5ms', 60_005],
    ['1s250ms', 1250],
    ['24h0m1s', DAY_MS],
    ['0s', undefined],
    [`${'0'.repeat(30)}1s`, 1000],
    [`${'0'.repeat(31)}1s`, undefined],
    ['0h0m0s', undefined],
    ['-6m0s', undefined],
    ['6m-1s', undefined],
    ['1s1m', undefined],
    ['1m1m', undefined],
    ['1d', undefined],
    ['5 s', undefined],
    ['1.5h', undefined],
    ['s', undefined],
    ['', undefined],
    ['   ', undefined],
    ['soon', undefined],
    ['tomorrow at noon', undefined],
    ['null', undefined],
    [`${'9'.repeat(40)}s`, undefined],
    ['9'.repeat(100_000), undefined],
    ['x'.repeat(100_000), undefined],
    ['1m'.repeat(100_000), undefined],
  ];
  for (const [text, ms] of waits) {
    it(`reads ${JSON.stringify(text.length > 40 ? `${text.slice(0, 12)}… (${text.length})` : text)} as ${ms} ms`, () => {
      assert.equal(parseRetryAfter(text, 0), ms);
    });
  }

  it('says nothing when it is absent', () => {
    assert.equal(parseRetryAfter(undefined, 0), undefined);
  });
});

describe('retry-after: as a date', () => {
  const grammars = {
    'IMF-fixdate': 'Sun, 06 Nov 1994 08:49:37 GMT',
    'RFC 850': 'Sunday, 06-Nov-94 08:49:37 GMT',
    asctime: 'Sun Nov  6 08:49:37 1994',
    'IMF-fixdate in lower case': 'sun, 06 nov 1994 08:49:37 gmt',
  };
  for (const [grammar, text] of Object.entries(grammars)) {
    it(`waits until an ${grammar} date`, () => {
      assert.equal(parseRetryAfter(text, RFC_DATE_MS - 7000), 7000);
    });

    it(`takes an ${grammar} date that has passed, or passes now, as no wait`, () => {
      assert.equal(parseRetryAfter(text, RFC_DATE_MS), undefined);
      assert.equal(parseRetryAfter(text, RFC_DATE_MS + 1), undefined);
    });
  }

  it('believes a date at most a day ahead', () => {
    assert.equal(parseRetryAfter('Sun, 06 Nov 1994 08:49:37 GMT', 0), DAY_MS);
  });

  for (const text of [
    'Sun, 99 Nov 1994 08:49:37 GMT',
    'Sun, 06 Nov 1994 08:49:37 CET',
    'Sun, 06 Foo 1994 08:49:37 GMT',
    '06 Nov 1994 08:49:37 GMT',
    '1994-11-06T08:49:37Z',
    'May',
    '5 May',
    `Sun${'day'.repeat(20)}, 06 Nov 1994 08:49:37 GMT`,
  ]) {
    it(`takes ${JSON.stringify(text.slice(0, 40))} as no date`, () => {
      assert.equal(parseRetryAfter(text, 0), undefined);
    });
  }
});

describe('retry-after: which header counts', () => {
  it('prefers retry-after-ms to retry-after, and retry-after to the reset headers', () => {
    const all = { 'retry-after-ms': '1200', 'retry-after': '30', 'x-ratelimit-reset-tokens': '50' };
    assert.equal(waitOf(all), 1200);
    assert.equal(waitOf({ ...all, 'retry-after-ms': '' }), 30_000);
    assert.equal(waitOf({ 'x-ratelimit-reset-tokens': '50' }), 50_000);
  });

  it('rounds a fraction of a millisecond up', () => {
    assert.equal(waitOf({ 'retry-after-ms': '0.2' }), 1);
    assert.equal(waitOf({ 'retry-after-ms': '1200.2' }), 1201);
  });

  it('skips a header that is negative, zero or nonsense', () => {
    for (const nothing of ['-1', '0', 'nonsense', '9'.repeat(1000)]) {
      assert.equal(waitOf({ 'retry-after-ms': nothing, 'retry-after': '3' }), 3000);
      assert.equal(waitOf({ 'retry-after': nothing, 'x-ratelimit-reset-requests': '4' }), 4000);
    }
  });

  it('knows nothing from the -1/-1/0 that Azure has sent', () => {
    const headers = {
      'x-ratelimit-limit-requests': '-1',
      'x-ratelimit-remaining-requests': '-1',
      'x-ratelimit-reset-requests': '0',
      'retry-after': '-1',
    };
    assert.equal(waitOf(headers), undefined);
  });

  it('knows nothing without headers', () => {
    assert.equal(waitOf({}), undefined);
  });

  it('waits for the exhausted limit and not for the other', () => {
    const resets = { 'x-ratelimit-reset-requests': '2', 'x-ratelimit-reset-tokens': '6m0s' };
    assert.equal(
      waitOf({ ...resets, 'x-ratelimit-remaining-requests': '0', 'x-ratelimit-remaining-tokens': '900' }),
      2000,
    );
    assert.equal(
      waitOf({ ...resets, 'x-ratelimit-remaining-requests': '9', 'x-ratelimit-remaining-tokens': '0' }),
      360_000,
    );
  });

  it('waits for the later one when both limits are exhausted, or neither says so', () => {
    const resets = { 'x-ratelimit-reset-requests': '2', 'x-ratelimit-reset-tokens': '300' };
    assert.equal(waitOf(resets), 300_000);
    assert.equal(
      waitOf({ ...resets, 'x-ratelimit-remaining-requests': '0', 'x-ratelimit-remaining-tokens': '0' }),
      300_000,
    );
  });

  it('reads reset headers that are spelled with an extra hyphen', () => {
    assert.equal(waitOf({ 'x-rate-limit-reset-tokens': '12' }), 12_000);
    assert.equal(waitOf({ 'x-rate-limit-reset-requests': '500ms' }), 500);
  });

  it('reads the reset header of either spelling when the other says nothing', () => {
    assert.equal(waitOf({ 'x-ratelimit-reset-tokens': '-1', 'x-rate-limit-reset-tokens': '12' }), 12_000);
  });

  it('takes a reset header as a date, too', () => {
    assert.equal(waitOf({ 'x-ratelimit-reset-tokens': 'Sun, 06 Nov 1994 08:49:37 GMT' }, RFC_DATE_MS - 1500), 1500);
  });
});

describe('retry-after: whatever is sent', () => {
  const headerNames = [
    'retry-after-ms',
    'retry-after',
    'x-ratelimit-reset-requests',
    'x-rate-limit-reset-tokens',
    'x-ratelimit-remaining-requests',
  ];

  it('is a whole number of milliseconds from 1 to a day, or unknown', () => {
    const value = fc.oneof(fc.string(), fc.integer().map(String), fc.double().map(String), fc.date().map(String));
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...headerNames), value), fc.integer({ min: 0 }), (headers, wall) => {
        const ms = waitOf(headers, wall);
        assert.ok(ms === undefined || (Number.isInteger(ms) && ms >= 1 && ms <= DAY_MS), String(ms));
      }),
    );
  });

  it('keeps to the millisecond what retry-after-ms says, up to a day', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: DAY_MS }), (ms) => {
        assert.equal(waitOf({ 'retry-after-ms': String(ms) }), ms);
      }),
    );
  });

  it('adds up the parts of a duration', () => {
    const part = fc.integer({ min: 0, max: 9 });
    fc.assert(
      fc.property(part, part, part, fc.integer({ min: 1, max: 999 }), (h, m, s, ms) => {
        assert.equal(parseRetryAfter(`${h}h${m}m${s}s${ms}ms`, 0), ((h * 60 + m) * 60 + s) * 1000 + ms);
      }),
    );
  });
});
