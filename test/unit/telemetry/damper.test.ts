import assert from 'node:assert/strict';
import type { ProxyEvent } from '../../../app/src/telemetry/events.ts';
import { damp } from '../../../app/src/telemetry/damper.ts';
import { useManualTimers, type ManualTimers } from '../../support/manual-timers.ts';

type Finished = Extract<ProxyEvent, { kind: 'request-finished' }>;

function finished(more: Partial<Finished> = {}): Finished {
  return {
    kind: 'request-finished',
    requestId: 'r-1',
    client: '',
    method: 'GET',
    path: '/',
    operation: '',
    deployment: '',
    stream: false,
    status: 401,
    ending: 'refused',
    code: 'missing_credential',
    attempts: 0,
    trace: '',
    durationMs: 0,
    ...more,
  };
}

describe('damper', () => {
  let timers: ManualTimers;
  let now: number;
  let told: ProxyEvent[];
  let observe: (event: ProxyEvent) => void;
  let flush: () => void;
  beforeEach(() => {
    timers = useManualTimers();
    now = 5000;
    told = [];
    const damper = damp(
      (event) => told.push(event),
      () => now,
    );
    ({ observe, flush } = damper);
  });
  afterEach(() => timers.restore());

  function pass(ms: number): void {
    now += ms;
    timers.advance(ms);
  }

  function tell(times: number, event: ProxyEvent = finished()): void {
    for (let n = 0; n < times; n += 1) observe(event);
  }

  it('passes on 20 a second of what is turned away, and tells the rest in one line, most frequent first', () => {
    tell(18);
    tell(4, { kind: 'connection-refused', code: 'malformed_request', message: 'No.' });
    tell(7, finished({ code: 'unknown_path', status: 404 }));
    assert.equal(told.length, 20);
    pass(999);
    assert.equal(told.length, 20);
    pass(1);
    assert.deepEqual(told.slice(20), [
      {
        kind: 'notice',
        level: 'warning',
        text:
          '9 more requests were turned away at the door within a second, without a line of their own: ' +
          'unknown_path 7, malformed_request 2',
      },
    ]);
    assert.equal(timers.pending, 0);
  });

  it('begins anew in the next second, and says nothing of a second with fewer', () => {
    tell(20);
    pass(1000);
    tell(20);
    assert.equal(told.length, 40);
    tell(1);
    pass(1000);
    assert.match(JSON.stringify(told.at(-1)), /"1 more requests/);
    tell(3);
    assert.equal(told.length, 44);
    pass(5000);
    assert.equal(told.length, 44);
  });

  it('tells at the end what it had kept back, once', () => {
    tell(23);
    flush();
    assert.match(JSON.stringify(told.at(-1)), /"3 more requests/);
    pass(5000);
    flush();
    assert.equal(told.length, 21);
    assert.equal(timers.pending, 0);
  });

  it('keeps the lines of known clients from strangers, and those who are not let in among these', () => {
    tell(25);
    tell(1, finished({ client: 'stranger', status: 403, code: 'client_not_allowed' }));
    assert.equal(told.length, 20);
    tell(25, finished({ client: 'team-a', status: 429, code: 'client_limit_exceeded' }));
    assert.equal(told.length, 40);
    pass(1000);
    assert.match(JSON.stringify(told.at(-1)), /"11 more requests/);
  });

  it('tells all trouble of the balancer itself', () => {
    tell(50, finished({ client: 'team-a', status: 503, code: 'too_many_requests_in_flight' }));
    assert.equal(told.length, 50);
    tell(50, finished({ status: 500, code: 'internal_error' }));
    assert.equal(told.length, 100);
  });

  it('lets strangers cause no more lines by a 5xx: a WebSocket, a token while no signing keys can be had', () => {
    tell(25, finished({ status: 501, code: 'websocket_not_supported' }));
    tell(25, finished({ status: 503, code: 'token_keys_unavailable' }));
    assert.equal(told.length, 20);
    pass(1000);
    assert.match(
      JSON.stringify(told.at(-1)),
      /"30 more requests .* token_keys_unavailable 25, websocket_not_supported 5"/,
    );
  });

  it('passes on everything that asked a backend, and all other events', () => {
    tell(50, finished({ attempts: 1, status: 200, ending: 'delivered' }));
    tell(50, { kind: 'notice', level: 'error', text: 'x' });
    assert.equal(told.length, 100);
    assert.equal(timers.pending, 0);
  });

  it('counts those who left by themselves too', () => {
    const { code: _, ...left } = finished({ ending: 'abandoned', status: 499 });
    tell(21, left);
    pass(1000);
    assert.match(JSON.stringify(told.at(-1)), /abandoned 1"/);
  });
});
