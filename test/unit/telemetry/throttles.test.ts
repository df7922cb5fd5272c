import assert from 'node:assert/strict';
import type { BreakerState } from '../../../app/src/balancer/circuit-breaker.ts';
import type { ProxyEvent } from '../../../app/src/telemetry/events.ts';
import { steady, type Steady } from '../../../app/src/telemetry/throttles.ts';
import { useManualTimers, type ManualTimers } from '../../support/manual-timers.ts';
import { backend } from '../../support/pool.ts';

const CLOSED: BreakerState = { kind: 'closed', softFailures: 0 };
const COOLDOWN = { kind: 'cooldown', until: 1, recoversAt: 1, times: 1, heardAfterMs: 1 } as const;
const RETURNING: BreakerState = {
  kind: 'returning',
  after: COOLDOWN,
  since: 1,
  window: 1,
  asked: [],
  softFailures: 0,
};
const OPEN: BreakerState = { kind: 'open', since: 0, until: 1, times: 1 };

describe('throttles in the log', () => {
  let timers: ManualTimers;
  let told: string[];
  let calm: Steady;
  beforeEach(() => {
    timers = useManualTimers();
    told = [];
    calm = steady((event) => told.push(wordsOf(event)));
  });
  afterEach(() => timers.restore());

  function wordsOf(event: ProxyEvent): string {
    if (event.kind !== 'state-changed') return event.kind;
    const { change, skipped = 0 } = event;
    return `${change.backend.name}/${change.deployment ?? ''} ${change.to.kind} ${skipped}`;
  }

  function changed(from: BreakerState, to: BreakerState, deployment = 'gpt'): void {
    calm.observe({ kind: 'state-changed', change: { backend: backend('ptu'), deployment, from, to }, now: 0 });
  }

  it('passes on the first at once, and of more within a second the latest, when it is over', () => {
    changed(CLOSED, COOLDOWN);
    for (let n = 0; n < 12; n += 1) {
      changed(COOLDOWN, RETURNING);
      changed(RETURNING, COOLDOWN);
    }
    assert.deepEqual(told, ['ptu/gpt cooldown 0']);
    timers.advance(999);
    assert.equal(told.length, 1);
    timers.advance(1);
    assert.deepEqual(told.slice(1), ['ptu/gpt cooldown 23']);
  });

  it('goes on so second by second, and begins anew after a quiet one', () => {
    changed(CLOSED, COOLDOWN);
    changed(COOLDOWN, RETURNING);
    timers.advance(1000);
    changed(RETURNING, CLOSED);
    assert.deepEqual(told, ['ptu/gpt cooldown 0', 'ptu/gpt returning 0']);
    timers.advance(1000);
    assert.deepEqual(told.slice(2), ['ptu/gpt closed 0']);
    timers.advance(1000);
    assert.equal(timers.pending, 0);
    changed(CLOSED, COOLDOWN);
    assert.deepEqual(told.slice(3), ['ptu/gpt cooldown 0']);
  });

  it('keeps nothing back of another deployment, of another kind, or of what is no change', () => {
    changed(CLOSED, COOLDOWN);
    changed(CLOSED, COOLDOWN, 'other');
    calm.observe({ kind: 'notice', level: 'info', text: 'something' });
    changed(COOLDOWN, RETURNING);
    changed(RETURNING, OPEN);
    assert.deepEqual(told, ['ptu/gpt cooldown 0', 'ptu/other cooldown 0', 'notice', 'ptu/gpt open 0']);
    timers.advance(1000);
    assert.equal(told.length, 4);
  });

  it('tells at the end what it has kept back', () => {
    changed(CLOSED, COOLDOWN);
    changed(COOLDOWN, RETURNING);
    changed(RETURNING, CLOSED);
    calm.flush();
    assert.deepEqual(told, ['ptu/gpt cooldown 0', 'ptu/gpt closed 1']);
    assert.equal(timers.pending, 0);
  });
});
