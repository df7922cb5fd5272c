// The project's own code: the pool, the line, the permission for the next attempt and the course of a request. What is
// mirrored here is the loop of proxy/handler.ts around them, without bodies and sockets.
import type { Backend } from '../../../app/src/balancer/backend.ts';
import { classify, type Outcome } from '../../../app/src/balancer/outcome.ts';
import { createPool, type Acquired, type Lease } from '../../../app/src/balancer/pool.ts';
import { parseQuota } from '../../../app/src/balancer/quota.ts';
import { parseRetryAfterMs } from '../../../app/src/balancer/retry-after.ts';
import { Course } from '../../../app/src/proxy/course.ts';
import { createHold, type StartTimer } from '../../../app/src/proxy/hold.ts';
import { Crowds, nextLease, Patience } from '../../../app/src/proxy/lease-or-wait.ts';
import { createTokenEstimator, type Cost } from '../../../app/src/proxy/token-estimate.ts';
import type { VirtualClock } from '../clock.ts';
import { DEPLOYMENT } from '../resources.ts';
import type { Answer } from '../resources.ts';
import type { ArenaRequest } from '../workload.ts';
import type { Contender } from './contender.ts';

const CLIENT = 'client';

export const balancer: Contender = {
  start({ clock, ask, specs, random, maxHoldMs }) {
    const backends = specs.map((_, index): Backend => backendOf(index + 1));
    const pool = createPool({ backends, random });
    const hold = createHold({ clock: clock.now, startTimer: startTimerOf(clock) });
    const estimator = createTokenEstimator();
    const signal = new AbortController().signal;
    const deps = { pool, hold, clock: clock.now, lineOf: (name: string) => name, crowds: new Crowds() };

    function acquire(request: ArenaRequest, course: Course, patience: Patience) {
      const affinity = request.prefix === undefined ? {} : { affinityKey: `prefix ${request.prefix}` };
      const need = estimator.need(CLIENT, DEPLOYMENT, costOf(request));
      const asking = { deployment: DEPLOYMENT, ...need, ...affinity };
      return nextLease(deps, asking, course, patience, signal);
    }

    function end(lease: Lease, outcome: Outcome): void {
      pool.settle(lease, outcome, clock.now());
      hold.wake();
    }

    return async (request) => {
      const course = new Course('');
      const patience = new Patience({ holdMs: maxHoldMs, priorityMs: 0 });
      for (;;) {
        const got: Acquired | undefined = await acquire(request, course, patience);
        if (got?.kind !== 'lease') return 'refused';
        const { lease } = got;
        course.attempts += 1;
        const answer = await ask(backends.indexOf(lease.backend), request);
        const quota = parseQuota(answer.header);
        const isRefused = answer.status === 429;
        pool.observe(
          lease,
          quota === undefined ? { kind: 'headers' } : { kind: 'headers', quota, isRefused },
          clock.now(),
        );
        const refusal = await refusalOf(answer, clock.now());
        if (refusal !== undefined) {
          end(lease, refusal);
          course.add(lease, refusal, undefined);
          patience.throttled();
          continue;
        }
        pool.observe(lease, { kind: 'first-content' }, clock.now());
        hold.wake();
        const usage = await answer.end;
        estimator.learn(CLIENT, DEPLOYMENT, usage);
        end(lease, { kind: 'served', status: answer.status, usage });
        return 'answered';
      }
    };
  },
};

/** As `peek` has it; undefined for an answer that is given. */
async function refusalOf({ status, header, start }: Answer, now: number): Promise<Outcome | undefined> {
  if (status === 429) return classify({ status, header, bodyText: () => '' }, now);
  if ((await start) === 'content') return undefined;
  const isNamed = ['retry-after-ms', 'retry-after'].some((name) => header(name) !== undefined);
  const retryAfterMs = isNamed ? parseRetryAfterMs(header, now) : undefined;
  return { kind: 'throttled', inStream: true, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
}

function costOf({ bodyTokens, maxTokens }: ArenaRequest): Cost {
  return maxTokens === undefined
    ? { promptTokens: bodyTokens }
    : { promptTokens: bodyTokens, mostCompletionTokens: maxTokens };
}

function backendOf(n: number): Backend {
  return { name: `openai${n}`, origin: `https://openai${n}.example`, priority: 1, weight: 1 };
}

function startTimerOf(clock: VirtualClock): StartTimer {
  return (run, ms) => {
    const timer = clock.after(ms, run);
    return () => clock.cancel(timer);
  };
}
