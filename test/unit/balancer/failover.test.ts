import assert from 'node:assert/strict';
import { decide, refuse, type Failure, type NoneReason, type Verdict } from '../../../app/src/balancer/failover.ts';
import type { FailureCause, Outcome } from '../../../app/src/balancer/outcome.ts';
import {
  ABANDONED,
  FORBIDDEN,
  MISSING,
  RESET,
  SERVED,
  SERVER_ERROR,
  SILENT,
  UNAUTHORIZED,
  UNAVAILABLE,
  UNREACHABLE,
  UNSUPPORTED,
  throttled,
} from '../../support/pool.ts';

const NOW = 7000;

function failedBy(cause: FailureCause): Outcome {
  return { kind: 'failed', cause };
}

describe('failover: decide', () => {
  /** outcome, verdict for what may be repeated, verdict for what creates something */
  const rows: readonly (readonly [string, Outcome, Verdict, Verdict])[] = [
    ['an answer', SERVED, 'deliver', 'deliver'],
    ["a backend's own refusal", { kind: 'refused', status: 400 }, 'deliver', 'deliver'],
    ['a break after commit', { kind: 'broken', cause: 'reset' }, 'deliver', 'deliver'],
    ['silence after commit', { kind: 'broken', cause: 'idle' }, 'deliver', 'deliver'],
    ['a caller who left', ABANDONED, 'deliver', 'deliver'],
    ['a throttle', throttled(1000), 'retry', 'retry'],
    ['a throttle inside a stream', { kind: 'throttled', inStream: true }, 'retry', 'retry'],
    ['a missing deployment', MISSING, 'retry', 'retry'],
    ['an unsupported operation', UNSUPPORTED, 'retry', 'retry'],
    ['a prompt that is too long', { kind: 'too-long' }, 'retry', 'retry'],
    ['a refused credential', UNAUTHORIZED, 'retry', 'retry'],
    ['a credential refused for the operation', FORBIDDEN, 'retry', 'retry'],
    ['no connection', UNREACHABLE, 'retry', 'retry'],
    ['no credential to send', failedBy('credential'), 'retry', 'retry'],
    ['a 503', UNAVAILABLE, 'retry', 'deliver'],
    ['a 500', SERVER_ERROR, 'retry', 'deliver'],
    ['a reset', RESET, 'retry', 'deliver'],
    ['silence', SILENT, 'retry', 'deliver'],
    ['no first token', failedBy('first-token-timeout'), 'retry', 'deliver'],
    ['an error inside a stream', failedBy('in-stream'), 'retry', 'deliver'],
    ['a reset of a kept connection', failedBy('stale-socket'), 'again', 'deliver'],
  ];
  for (const [what, outcome, repeatable, creating] of rows) {
    it(`says ${repeatable} after ${what}, and ${creating} for a call that creates something`, () => {
      assert.equal(decide(outcome, false), repeatable);
      assert.equal(decide(outcome, true), creating);
    });
  }

  it('hands on an outcome that it does not know', () => {
    const unknown = JSON.parse('{"kind":"future"}');
    assert.equal(decide(unknown, false), unknown);
  });
});

/** A failure whose answer was received whole; a cause alone has none. */
function withAnswer(outcome: Outcome): Failure {
  return { outcome, hasAnswer: true };
}

function without(outcome: Outcome): Failure {
  return { outcome, hasAnswer: false };
}

function refusalOf(failures: readonly Failure[], why: NoneReason, recoversAt?: number): unknown {
  return refuse(failures, recoversAt === undefined ? { why } : { why, recoversAt }, NOW);
}

describe('failover: refuse, when any was throttled', () => {
  it('tells the recovery that the pool knows', () => {
    assert.deepEqual(refusalOf([], 'throttled', 9000), { kind: 'throttled', recoversAt: 9000 });
    assert.deepEqual(refusalOf([without(throttled(100))], 'throttled', 9000), { kind: 'throttled', recoversAt: 9000 });
  });

  it('is throttled although others failed, were missing or refused our credential', () => {
    for (const other of [UNAVAILABLE, MISSING, UNAUTHORIZED, FORBIDDEN, UNSUPPORTED, UNREACHABLE]) {
      assert.deepEqual(refusalOf([withAnswer(throttled(500)), withAnswer(other)], 'failing'), {
        kind: 'throttled',
        recoversAt: NOW + 500,
      });
      assert.deepEqual(refusalOf([withAnswer(other)], 'throttled', 8000), { kind: 'throttled', recoversAt: 8000 });
    }
  });

  it('takes the earliest of the waits that were told when the pool has forgotten them', () => {
    const failures = [without(throttled(900)), without(throttled()), without(throttled(300)), without(throttled(600))];
    assert.deepEqual(refusalOf(failures, 'failing'), { kind: 'throttled', recoversAt: NOW + 300 });
  });

  it('tells no recovery when nobody named one', () => {
    assert.deepEqual(refusalOf([without(throttled()), withAnswer(UNAVAILABLE)], 'failing'), { kind: 'throttled' });
    assert.deepEqual(refusalOf([], 'throttled'), { kind: 'throttled' });
  });
});

describe('failover: refuse, when none was throttled', () => {
  it("passes the last backend's 5xx on, word for word", () => {
    const failures = [withAnswer(UNAVAILABLE), withAnswer(SERVER_ERROR), withAnswer(MISSING), without(RESET)];
    for (const why of ['failing', 'missing', 'unauthorized'] as const) {
      assert.deepEqual(refusalOf(failures, why), { kind: 'verbatim', index: 1 });
    }
  });

  it('passes no 5xx on whose body was cut', () => {
    assert.deepEqual(refusalOf([withAnswer(UNAVAILABLE), without(SERVER_ERROR)], 'failing'), {
      kind: 'verbatim',
      index: 0,
    });
    assert.deepEqual(refusalOf([without(UNAVAILABLE)], 'failing'), { kind: 'unreachable' });
  });

  it('passes the last answer about the operation on when there is no 5xx', () => {
    for (const before of [UNSUPPORTED, FORBIDDEN]) {
      assert.deepEqual(refusalOf([withAnswer(before), withAnswer(UNSUPPORTED), without(RESET)], 'failing'), {
        kind: 'verbatim',
        index: 1,
      });
      assert.deepEqual(refusalOf([withAnswer(before), withAnswer(UNAVAILABLE)], 'failing'), {
        kind: 'verbatim',
        index: 1,
      });
    }
  });

  it('says that an operation is not permitted when that is what was said of it last', () => {
    for (const before of [UNSUPPORTED, FORBIDDEN, MISSING, UNAUTHORIZED]) {
      const failures = [withAnswer(before), withAnswer(FORBIDDEN), without(RESET), withAnswer(MISSING)];
      for (const why of ['failing', 'missing', 'unauthorized'] as const) {
        assert.deepEqual(refusalOf(failures, why), { kind: 'not-permitted' });
      }
    }
  });

  it('says that the credential may be accepted soon, with the time of the next try, when that is all there is', () => {
    const notYet = { why: 'not-yet', recoversAt: NOW + 5000 } as const;
    assert.deepEqual(refuse([withAnswer(UNAUTHORIZED)], notYet, NOW), { kind: 'not-yet', recoversAt: NOW + 5000 });
    // The pool says more than is asked for.
    assert.deepEqual(refuse([], { ...notYet, kind: 'none' } as typeof notYet, NOW), {
      kind: 'not-yet',
      recoversAt: NOW + 5000,
    });
    assert.deepEqual(refuse([withAnswer(UNAVAILABLE)], notYet, NOW), { kind: 'verbatim', index: 0 });
    assert.deepEqual(refuse([withAnswer(UNSUPPORTED)], notYet, NOW), { kind: 'verbatim', index: 0 });
    assert.deepEqual(refuse([], { why: 'not-yet' }, NOW), { kind: 'not-yet' });
  });

  it('takes what a role does not permit for not yet permitted while a backend is new', () => {
    const failures = [withAnswer(FORBIDDEN)];
    assert.deepEqual(refuse(failures, { why: 'failing', isNew: true }, NOW), { kind: 'not-yet' });
    assert.deepEqual(refuse(failures, { why: 'failing', isNew: false }, NOW), { kind: 'not-permitted' });
  });

  it('passes a refusal of a prompt that was too long on, from whoever said it last', () => {
    const failures = [withAnswer({ kind: 'too-long' }), withAnswer({ kind: 'too-long' })];
    assert.deepEqual(refusalOf(failures, 'missing'), { kind: 'verbatim', index: 1 });
  });

  it("never passes on what a backend says about the balancer's own credential", () => {
    assert.deepEqual(refusalOf([withAnswer(UNAUTHORIZED)], 'unauthorized'), { kind: 'unauthorized' });
    assert.deepEqual(refusalOf([withAnswer(UNAUTHORIZED), withAnswer(MISSING)], 'unauthorized'), {
      kind: 'unauthorized',
    });
  });

  it('tells of the last thing that the network did', () => {
    const told: readonly (readonly [FailureCause, string])[] = [
      ['connect', 'unreachable'],
      ['reset', 'unreachable'],
      ['stale-socket', 'unreachable'],
      ['in-stream', 'unreachable'],
      ['header-timeout', 'timeout'],
      ['first-token-timeout', 'timeout'],
      ['credential', 'no-credential'],
    ];
    for (const [cause, kind] of told) {
      for (const why of ['failing', 'missing', 'unauthorized'] as const) {
        assert.deepEqual(refusalOf([without(RESET), without(failedBy(cause)), withAnswer(MISSING)], why), { kind });
      }
    }
  });

  it('is unauthorized when all are quarantined, and missing when all are missing', () => {
    assert.deepEqual(refusalOf([], 'unauthorized'), { kind: 'unauthorized' });
    assert.deepEqual(refusalOf([], 'missing'), { kind: 'missing' });
    assert.deepEqual(refusalOf([withAnswer(MISSING), withAnswer(MISSING)], 'missing'), { kind: 'missing' });
  });

  it('is unreachable when nothing is known but that it fails', () => {
    assert.deepEqual(refusalOf([], 'failing'), { kind: 'unreachable' });
    assert.deepEqual(refusalOf([without(UNSUPPORTED), without(FORBIDDEN)], 'failing'), { kind: 'unreachable' });
  });
});

describe('failover: refuse, when a request that names no deployment was told that one is missing', () => {
  it("passes the last backend's own words on", () => {
    const failures = [withAnswer(MISSING), withAnswer(MISSING), without(MISSING)];
    assert.deepEqual(refusalOf(failures, 'failing'), { kind: 'verbatim', index: 1 });
  });

  it('is unreachable when no backend said it whole', () => {
    assert.deepEqual(refusalOf([without(MISSING)], 'failing'), { kind: 'unreachable' });
  });
});
