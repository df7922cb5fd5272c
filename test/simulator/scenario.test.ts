import assert from 'node:assert/strict';
import { faultForms, parseFault } from '../../simulator/scenario.ts';
import type { Fault } from '../../simulator/scenario.ts';

const readable: readonly (readonly [string, Fault])[] = [
  ['status:503', { kind: 'status', status: 503 }],
  ['throttle', { kind: 'throttle' }],
  ['throttle:2000', { kind: 'throttle', retryAfterMs: 2000 }],
  ['throttle:2000:capacity', { kind: 'throttle', retryAfterMs: 2000, body: 'capacity' }],
  ['throttle-in-stream', { kind: 'throttle-in-stream', shape: 'error-event' }],
  ['throttle-in-stream:response-failed', { kind: 'throttle-in-stream', shape: 'response-failed' }],
  ['throttle-in-stream:error-event:1500', { kind: 'throttle-in-stream', shape: 'error-event', retryAfterMs: 1500 }],
  ['odd-throttle:go-duration', { kind: 'odd-throttle', oddity: 'go-duration' }],
  ['odd-throttle:date:90000', { kind: 'odd-throttle', oddity: 'date', retryAfterMs: 90_000 }],
  ['odd-headers:unknown', { kind: 'odd-headers', oddity: 'unknown' }],
  ['error-mid-stream:3', { kind: 'error-mid-stream', afterChunks: 3 }],
  ['error-mid-stream:0:error-event', { kind: 'error-mid-stream', afterChunks: 0, shape: 'error-event' }],
  ['error-mid-stream:3:response-failed', { kind: 'error-mid-stream', afterChunks: 3, shape: 'response-failed' }],
  ['refuse', { kind: 'refuse' }],
  ['reset-before-headers', { kind: 'reset-before-headers' }],
  ['reset-mid-stream:3', { kind: 'reset-mid-stream', afterChunks: 3 }],
  ['reset-mid-stream:3:mid-event', { kind: 'reset-mid-stream', afterChunks: 3, midEvent: true }],
  ['truncated:0', { kind: 'truncated', afterChunks: 0 }],
  ['stall:3', { kind: 'stall', afterChunks: 3 }],
  ['stall:3:500', { kind: 'stall', afterChunks: 3, ms: 500 }],
  ['slow-first-byte:100', { kind: 'slow-first-byte', ms: 100 }],
  ['slow-first-chunk:100', { kind: 'slow-first-chunk', ms: 100 }],
  ['hang', { kind: 'hang' }],
  ['keepalive', { kind: 'keepalive' }],
  ['stale', { kind: 'stale' }],
  ['missing-deployment', { kind: 'missing-deployment' }],
  ['operation-not-supported', { kind: 'operation-not-supported' }],
  ['unauthorized', { kind: 'unauthorized' }],
  ['permission-denied', { kind: 'permission-denied' }],
  ['permission-denied:403', { kind: 'permission-denied', status: 403 }],
  ['blocked', { kind: 'blocked' }],
  ['content-filter', { kind: 'content-filter' }],
  ['content-filter:prompt-newer', { kind: 'content-filter', variant: 'prompt-newer' }],
  ['content-filter:answer', { kind: 'content-filter', variant: 'answer' }],
  ['context-too-long', { kind: 'context-too-long' }],
  ['gzip', { kind: 'gzip' }],
  ['large:1000000', { kind: 'large', bytes: 1_000_000 }],
  ['early-answer:413', { kind: 'early-answer', status: 413 }],
];

const unreadable = [
  '',
  'nonsense',
  'toString',
  'status',
  'status:',
  'status:abc',
  'status:42',
  'status:600',
  'status:503:1',
  'throttle:soon',
  'throttle:1:all',
  'throttle-in-stream:other',
  'throttle-in-stream:error-event:soon',
  'error-mid-stream',
  'error-mid-stream:3:chat-error',
  'odd-throttle',
  'odd-throttle:even',
  'odd-throttle:toString',
  'odd-throttle:date:soon',
  'odd-headers',
  'odd-headers:day',
  'odd-headers:none:1',
  'permission-denied:401',
  'content-filter:question',
  'refuse:1',
  'reset-mid-stream',
  'reset-mid-stream:3:later',
  'truncated',
  'truncated:-1',
  'truncated:1.5',
  'stall',
  'stall:3:',
  'stall:3:500:1',
  'large',
  'hang:1',
  'stale:1',
];

describe('parseFault', () => {
  for (const [text, fault] of readable) {
    it(`reads ${text}`, () => {
      assert.deepEqual(parseFault(text), fault);
    });
  }

  for (const text of unreadable) {
    it(`finds no fault in ${JSON.stringify(text)}`, () => {
      assert.equal(parseFault(text), undefined);
    });
  }

  it('reads every fault there is', () => {
    const kinds = new Set(readable.map(([, fault]) => fault.kind));
    assert.deepEqual([...kinds].sort(), Object.keys(faultForms).sort());
  });
});
