// The rule of LiteLLM's usage-based routing, not the product: of those that are not cooling down, the one that used the
// fewest tokens in the present minute of the clock, ties by chance, without those whose tokens or requests a minute, which
// its users configure, this request would exceed. A 429 cools a deployment down for its Retry-After, or 5 s without one. A
// request is tried again twice: at once while another deployment is left, else after the refusal's Retry-After, or 0.5 s
// doubling when there is none. To be kind to it: it hears a throttle in-band as a 429, and waits as long as everybody here
// may. The product itself is in bench/live-quota.
import type { DeploymentSpec } from '../../../simulator/options.ts';
import type { Answer } from '../resources.ts';
import type { Contender } from './contender.ts';

const MINUTE_MS = 60_000;
const COOLDOWN_MS = 5000;
const RETRIES = 2;
const FIRST_WAIT_MS = 500;

interface Used {
  minute: number;
  /** Of answers that ended in this minute. */
  tokens: number;
  /** That were sent in this minute. */
  requests: number;
  coolsUntil: number;
}

export const usageBased: Contender = {
  start({ clock, ask, specs, random, maxHoldMs }) {
    const all = specs.map((): Used => ({ minute: 0, tokens: 0, requests: 0, coolsUntil: 0 }));

    function usedBy(index: number): Used {
      const used = all[index];
      if (used === undefined) throw new Error(`there is no backend ${index}`);
      const minute = Math.floor(clock.now() / MINUTE_MS);
      if (used.minute !== minute) Object.assign(used, { minute, tokens: 0, requests: 0 });
      return used;
    }

    function choose(promptTokens: number): number | undefined {
      const candidates = [...specs.entries()].filter(([index, spec]) => hasRoom(usedBy(index), spec, promptTokens));
      const least = Math.min(...candidates.map(([index]) => usedBy(index).tokens));
      const best = candidates.filter(([index]) => usedBy(index).tokens === least);
      return best[Math.floor(random() * best.length)]?.[0];
    }

    function hasRoom(
      { coolsUntil, tokens, requests }: Used,
      { tpm = 0, rpm = 0 }: DeploymentSpec,
      more: number,
    ): boolean {
      return coolsUntil <= clock.now() && tokens + more <= tpm && requests < rpm;
    }

    return async (request) => {
      let deadline: number | undefined;
      let last: Answer | undefined;
      for (let retry = 0; ; retry += 1) {
        const backend = choose(request.bodyTokens);
        if (backend !== undefined) {
          usedBy(backend).requests += 1;
          const answer = await ask(backend, request);
          if (answer.status === 200 && (await answer.start) === 'content') {
            const { promptTokens, completionTokens } = await answer.end;
            usedBy(backend).tokens += promptTokens + completionTokens;
            return 'answered';
          }
          last = answer;
          const named = Number(answer.header('retry-after') ?? Number.NaN) * 1000;
          usedBy(backend).coolsUntil = clock.now() + (named > 0 ? named : COOLDOWN_MS);
        }
        if (retry === RETRIES) return 'refused';
        if (all.some(({ coolsUntil }) => coolsUntil <= clock.now()) && backend !== undefined) continue;
        const seconds = Number(last?.header('retry-after') ?? Number.NaN);
        const waitMs = seconds > 0 ? seconds * 1000 : FIRST_WAIT_MS * 2 ** retry;
        deadline ??= clock.now() + maxHoldMs;
        if (clock.now() + waitMs > deadline) return 'refused';
        await clock.until(clock.now() + waitMs);
      }
    };
  },
};
