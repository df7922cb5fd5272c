// The rule of Azure-Samples/openai-aca-lb, which this project descends from: one of the healthy ones, by chance; a 429
// parks it for its Retry-After in whole seconds. When none is healthy any one is asked all the same. Nobody waits.
// A stream that begins with a throttle is passed on as it is.
import type { Contender } from './contender.ts';

/** When a refusal does not say. */
const DEFAULT_PARK_SECONDS = 10;

export const ancestor: Contender = {
  start({ clock, ask, specs, random }) {
    const parkedUntil = specs.map(() => 0);

    function healthy(): number[] {
      return [...parkedUntil.keys()].filter((index) => (parkedUntil[index] ?? 0) <= clock.now());
    }

    function choose(): number {
      const candidates = healthy();
      const among = candidates.length > 0 ? candidates : [...parkedUntil.keys()];
      return among[Math.floor(random() * among.length)] ?? 0;
    }

    return async (request) => {
      for (;;) {
        const backend = choose();
        const answer = await ask(backend, request);
        if (answer.status !== 429) {
          if ((await answer.start) === 'throttled') return 'refused';
          await answer.end;
          return 'answered';
        }
        const seconds = /^\d+$/.exec(answer.header('retry-after') ?? '')?.[0] ?? DEFAULT_PARK_SECONDS;
        parkedUntil[backend] = clock.now() + Number(seconds) * 1000;
        if (healthy().length === 0) return 'refused';
      }
    };
  },
};
