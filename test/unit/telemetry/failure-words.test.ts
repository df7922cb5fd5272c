import assert from 'node:assert/strict';
import type { Outcome } from '../../../app/src/balancer/outcome.ts';
import { describeFailure } from '../../../app/src/telemetry/failure-words.ts';

describe('what went wrong with an attempt, in words', () => {
  const cases: readonly (readonly [Outcome, string | undefined])[] = [
    [{ kind: 'throttled', inStream: false, retryAfterMs: 1200 }, '429, asked for 1200 ms'],
    [{ kind: 'throttled', inStream: true, retryAfterMs: 48_000 }, '429 inside a stream, asked for 48 s'],
    [{ kind: 'throttled', inStream: false }, '429'],
    [{ kind: 'failed', cause: 'status', status: 503 }, '503'],
    [{ kind: 'failed', cause: 'connect', code: 'ECONNREFUSED' }, 'could not be reached (ECONNREFUSED)'],
    [{ kind: 'failed', cause: 'header-timeout' }, 'no answer in time'],
    [{ kind: 'failed', cause: 'stale-socket', code: 'ECONNRESET' }, undefined],
    [{ kind: 'missing' }, 'does not know this deployment'],
    [{ kind: 'unauthorized', scope: 'host', status: 401 }, '401: refused our credential'],
    [{ kind: 'unauthorized', scope: 'operation' }, '401/403: our credential may not do this'],
    [{ kind: 'broken', cause: 'idle' }, 'fell silent in the middle of a stream'],
    [{ kind: 'broken', cause: 'reset' }, 'broke off in the middle'],
    [{ kind: 'served', status: 200 }, undefined],
    [{ kind: 'refused', status: 400 }, undefined],
    [{ kind: 'abandoned' }, undefined],
  ];
  for (const [outcome, words] of cases) {
    it(`${JSON.stringify(outcome)}: ${words ?? 'nothing'}`, () => assert.equal(describeFailure(outcome), words));
  }
});
