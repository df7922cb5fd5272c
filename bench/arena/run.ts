// One workload under one contender, from the first arrival to the last answer's end, in virtual time. Whatever a contender
// does that no proxy may do is an error here: lose a request, ask for an answer that nobody gets, or end without one.
import type { DeploymentSpec } from '../../simulator/options.ts';
import { VirtualClock } from './clock.ts';
import type { Contender, Ending } from './contenders/contender.ts';
import { randomOf } from '../random.ts';
import { createResources } from './resources.ts';
import type { Attempt } from './resources.ts';
import type { ArenaRequest } from './workload.ts';

export interface RunParts {
  readonly contender: Contender;
  readonly requests: readonly ArenaRequest[];
  readonly specs: readonly DeploymentSpec[];
  readonly throttledInBand: number;
  readonly seed: number;
  readonly maxHoldMs: number;
}

/** What became of a request. */
export interface Course {
  readonly request: ArenaRequest;
  readonly ending: Ending;
  readonly attempts: readonly Attempt[];
  /** What passed while it was not being asked for anywhere. */
  readonly heldMs: number;
}

interface Ended {
  readonly ending: Ending;
  readonly at: number;
}

/** In the order of the arrivals. */
export async function run(parts: RunParts): Promise<readonly Course[]> {
  const { contender, requests, specs, throttledInBand, seed, maxHoldMs } = parts;
  const clock = new VirtualClock();
  const isInstant = contender.isOracle === true;
  const { ask, attempts } = createResources({ clock, specs, seed, throttledInBand, isInstant });
  const serve = contender.start({ clock, ask, specs, random: randomOf(seed, 4), maxHoldMs });
  const ended = new Map<number, Ended>();
  const bugs: unknown[] = [];
  for (const request of requests) {
    clock.at(request.atMs, () => {
      serve(request).then(
        (ending) => ended.set(request.id, { ending, at: clock.now() }),
        (bug: unknown) => bugs.push(bug),
      );
    });
  }
  await clock.run();
  if (bugs.length > 0) throw bugs[0];
  const attemptsOf = Map.groupBy(attempts, ({ request }) => request.id);
  return requests.map((request) => courseOf(request, attemptsOf.get(request.id) ?? [], ended.get(request.id)));
}

function courseOf(request: ArenaRequest, attempts: readonly Attempt[], end: Ended | undefined): Course {
  if (end === undefined) throw new Error(`request ${request.id} never ended`);
  const answers = attempts.filter(({ result }) => result === 'complete').length;
  const open = attempts.filter(({ result }) => result === 'under-way' || result === 'content').length;
  if (open > 0 || answers !== (end.ending === 'answered' ? 1 : 0)) {
    throw new Error(`request ${request.id} was ${end.ending} with ${answers} answers and ${open} attempts left open`);
  }
  const lastHeardAt = attempts.at(-1)?.heardAt ?? request.atMs;
  const until = end.ending === 'answered' ? lastHeardAt : end.at;
  const askedMs = attempts.reduce((sum, { sentAt, heardAt }) => sum + heardAt - sentAt, 0);
  return { request, ending: end.ending, attempts, heldMs: until - request.atMs - askedMs };
}
