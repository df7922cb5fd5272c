// The rule of Azure-Samples/openai-aca-lb over resources of one priority. Nobody waits. A stream that begins with a throttle
// is passed on as it is.
import { chooseBackend, isHealthy, parkedUntilAfter } from '../../provisioned/ancestor-rule.ts';
import type { Contender } from './contender.ts';

export const ancestor: Contender = {
  start({ clock, ask, specs, random }) {
    const backends = specs.map(() => ({ priority: 1, parkedUntil: 0 }));

    return async (request) => {
      for (;;) {
        const chosen = chooseBackend(backends, clock.now(), random);
        const answer = await ask(chosen, request);
        if (answer.status !== 429) {
          if ((await answer.start) === 'throttled') return 'refused';
          await answer.end;
          return 'answered';
        }
        const parkedUntil = parkedUntilAfter(answer.status, answer.header('retry-after'), clock.now());
        backends[chosen] = { priority: 1, parkedUntil: parkedUntil ?? 0 };
        if (!backends.some((backend) => isHealthy(backend, clock.now()))) return 'refused';
      }
    };
  },
};
