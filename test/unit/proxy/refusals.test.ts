import assert from 'node:assert/strict';
import type { Refusal } from '../../../app/src/balancer/failover.ts';
import { BARE_OPERATIONS } from '../../../app/src/proxy/front-door.ts';
import { ERROR_CODES, type ProxyError } from '../../../app/src/proxy/proxy-error.ts';
import { PATH_ERRORS, refusalError } from '../../../app/src/proxy/refusals.ts';

const NOW = 9000;

function errorFor(
  refusal: Exclude<Refusal, { readonly kind: 'verbatim' }>,
  chance = 0,
  deployment = 'gpt',
): ProxyError {
  return refusalError(refusal, deployment, NOW, () => chance);
}

function throttledFor(ms: number, chance = 0): Readonly<Record<string, string>> {
  return errorFor({ kind: 'throttled', recoversAt: NOW + ms }, chance).headers ?? {};
}

describe('refusals: all throttled', () => {
  it('is a 429 with the recovery in both forms, seconds rounded up', () => {
    const error = errorFor({ kind: 'throttled', recoversAt: NOW + 1200 });
    assert.equal(error.code, 'all_backends_throttled');
    assert.equal(ERROR_CODES[error.code].status, 429);
    assert.deepEqual(error.headers, { 'retry-after-ms': '1200', 'retry-after': '2' });
    assert.deepEqual(throttledFor(1000), { 'retry-after-ms': '1000', 'retry-after': '1' });
    assert.deepEqual(throttledFor(0.5), { 'retry-after-ms': '1', 'retry-after': '1' });
  });

  it('spreads those who come back over a tenth of the wait, and sends nobody too early', () => {
    assert.deepEqual(throttledFor(10_000, 0.5), { 'retry-after-ms': '10500', 'retry-after': '11' });
    const late = Number(throttledFor(10_000, 1 - 2 ** -53)['retry-after-ms']);
    assert.ok(late >= 10_000 && late <= 11_000);
  });

  it('spreads nobody beyond the minute that SDKs are ready to wait', () => {
    assert.equal(throttledFor(59_000, 0.9)['retry-after-ms'], '60000');
    assert.deepEqual(throttledFor(60_000, 0.9), { 'retry-after-ms': '60000', 'retry-after': '60' });
    assert.equal(throttledFor(60_001, 0.9)['x-should-retry'], 'false');
  });

  it('asks for a millisecond at least, even when the recovery has passed', () => {
    assert.deepEqual(throttledFor(0), { 'retry-after-ms': '1', 'retry-after': '1' });
    assert.deepEqual(throttledFor(-5000), { 'retry-after-ms': '1', 'retry-after': '1' });
  });

  it('asks for a second when no recovery is known', () => {
    assert.equal(errorFor({ kind: 'throttled' }).headers?.['retry-after-ms'], '1000');
  });

  it('tells SDKs not to retry beyond a minute, and not before', () => {
    assert.equal(throttledFor(60_000)['x-should-retry'], undefined);
    assert.equal(throttledFor(60_001)['x-should-retry'], 'false');
    assert.deepEqual(throttledFor(86_400_000), {
      'retry-after-ms': '86400000',
      'retry-after': '86400',
      'x-should-retry': 'false',
    });
  });
});

describe('refusals: the others', () => {
  const statuses = {
    missing: 404,
    unauthorized: 502,
    'not-permitted': 403,
    unreachable: 502,
    timeout: 504,
    'no-credential': 503,
  } as const;
  const codes = {
    missing: 'DeploymentNotFound',
    unauthorized: 'backend_auth_failed',
    'not-permitted': 'operation_not_permitted',
    unreachable: 'backends_unreachable',
    timeout: 'backends_timed_out',
    'no-credential': 'identity_unavailable',
  } as const;
  for (const kind of ['missing', 'unauthorized', 'not-permitted', 'unreachable', 'timeout', 'no-credential'] as const) {
    it(`answers ${statuses[kind]} ${codes[kind]} for ${kind}, and says what to do next`, () => {
      const error = errorFor({ kind });
      assert.equal(error.code, codes[kind]);
      assert.equal(ERROR_CODES[error.code].status, statuses[kind]);
      assert.match(error.message, /\. .+\.$/);
    });
  }

  it('names the missing deployment, made printable', () => {
    assert.match(errorFor({ kind: 'missing' }, 0, 'gpt-x').message, /named "gpt-x"/);
    assert.match(errorFor({ kind: 'missing' }, 0, 'a\nb').message, /named "a\?b"/);
  });

  it('hands on what it does not know', () => {
    const unknown = JSON.parse('{"kind":"future"}');
    assert.equal(
      refusalError(unknown, 'gpt', NOW, () => 0),
      unknown,
    );
  });

  it('lists every operation that is served at an unknown path', () => {
    for (const operation of BARE_OPERATIONS) assert.ok(PATH_ERRORS.unknown.message.includes(operation));
  });
});
