// What could be had: it knows the true state of every window, down to the request slices, and asks nobody who would refuse.
// A request that nobody would admit now waits for the earliest moment at which somebody will, if that comes in time. Those
// who wait are looked at in their order, and who fits goes. Where several would admit it there are rules to choose by;
// which of them serves most is for the run to find.
import { decideQuota, freshQuota } from '../../../simulator/limits/quota.ts';
import type { QuotaDecision, QuotaState } from '../../../simulator/limits/quota.ts';
import type { DeploymentSpec } from '../../../simulator/options.ts';
import type { Timer } from '../clock.ts';
import type { ArenaRequest } from '../workload.ts';
import type { Contender } from './contender.ts';

export const placements = ['most-room', 'best-fit', 'soonest-over'] as const;
export type Placement = (typeof placements)[number];

interface Waiter {
  readonly request: ArenaRequest;
  readonly deadline: number;
  readonly leave: (backend: number | undefined) => void;
}

interface Known {
  readonly index: number;
  readonly spec: DeploymentSpec;
  state: QuotaState;
}

const MINUTE_MS = 60_000;

export function oracle(placement: Placement): Contender {
  return {
    isOracle: true,
    start({ clock, ask, specs, maxHoldMs }) {
      const all = specs.map((spec, index): Known => ({ index, spec, state: freshQuota }));
      /** In the order of their arrival. */
      let line: Waiter[] = [];
      let timer: Timer | undefined;

      function decide({ spec, state }: Known, { countedTokens: tokens }: ArenaRequest, at: number): QuotaDecision {
        return decideQuota(state, { tokens }, spec, at);
      }

      /** The backend that is to take it now, which from now on has. */
      function place(request: ArenaRequest): number | undefined {
        const now = clock.now();
        let best: { readonly known: Known; readonly after: QuotaState; readonly score: number } | undefined;
        for (const known of all) {
          const { state: after, verdict } = decide(known, request, now);
          if (verdict.kind === 'refused') continue;
          const score = scoreOf(placement, known.spec, verdict.remaining.tokens ?? 0, now);
          if (best === undefined || score > best.score) best = { known, after, score };
        }
        if (best === undefined) return undefined;
        best.known.state = best.after;
        return best.known.index;
      }

      /** When somebody will take it, as things are; undefined when not in time. */
      function earliest({ request, deadline }: Waiter): number | undefined {
        let first: number | undefined;
        for (const known of all) {
          let at = clock.now();
          for (;;) {
            const { verdict } = decide(known, request, at);
            if (verdict.kind === 'admitted') break;
            at += Math.max(1, Math.ceil(verdict.retryAfterMs));
            if (at > (first ?? deadline)) break;
          }
          if (at <= (first ?? deadline)) first = at;
        }
        return first;
      }

      function look(): void {
        if (timer !== undefined) clock.cancel(timer);
        timer = undefined;
        let again: number | undefined;
        line = line.filter((waiter) => {
          const backend = place(waiter.request);
          const at = backend === undefined ? earliest(waiter) : undefined;
          if (at === undefined) waiter.leave(backend);
          else again = Math.min(again ?? at, at);
          return at !== undefined;
        });
        if (again !== undefined) timer = clock.at(again, look);
      }

      function waitInLine(request: ArenaRequest, deadline: number): Promise<number | undefined> {
        return new Promise((leave) => {
          const behind = line.findIndex((other) => other.request.id > request.id);
          line.splice(behind === -1 ? line.length : behind, 0, { request, deadline, leave });
          look();
        });
      }

      return async (request) => {
        let deadline: number | undefined;
        for (;;) {
          let backend = place(request);
          if (backend === undefined) {
            deadline ??= clock.now() + maxHoldMs; // One time for all its waiting.
            backend = await waitInLine(request, deadline);
          }
          if (backend === undefined) return 'refused';
          const answer = await ask(backend, request);
          if (answer.status === 429) throw new Error('the oracle was refused: it does not know what it should');
          if ((await answer.start) === 'throttled') continue;
          await answer.end;
          return 'answered';
        }
      };
    },
  };
}

/** The best has the highest. `left`: tokens that are left when it has taken the request. */
function scoreOf(placement: Placement, { phaseMs = 0 }: DeploymentSpec, left: number, now: number): number {
  switch (placement) {
    case 'most-room':
      return left;
    case 'best-fit':
      return -left;
    case 'soonest-over': // What a fixed window has left at its end is lost.
      return (((now - phaseMs) % MINUTE_MS) + MINUTE_MS) % MINUTE_MS;
    default:
      return placement satisfies never;
  }
}
