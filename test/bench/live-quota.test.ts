import assert from 'node:assert/strict';
import { figuresOf } from '../../bench/live-quota/figures.ts';
import type { Observed } from '../../bench/live-quota/figures.ts';
import { configuration } from '../../bench/live-quota/litellm.ts';
import { OptionsError, readOptions } from '../../bench/live-quota/options.ts';
import { toMarkdown } from '../../bench/live-quota/report.ts';
import {
  answerMsOf,
  bodyOf,
  deployments,
  planArrivals,
  quotaTokens,
  usedAtStart,
} from '../../bench/live-quota/workload.ts';
import type { Arrival } from '../../bench/live-quota/workload.ts';
import { idIn } from '../../bench/provisioned/load.ts';
import { estimateTokens } from '../../simulator/limits/quota.ts';
import { readPrompt } from '../../simulator/model/prompt.ts';
import { isJsonObject } from '../../simulator/answering/json.ts';

const MINUTE_MS = 60_000;

function arrivalOf(id: number, atMs: number): Arrival {
  return { id, atMs, promptTokens: 400, maxTokens: 50, countedTokens: 450 };
}

/** One in the lead, and in the minute that is measured: one answered at once, one at the second attempt, two not. */
function observed(changes: Partial<Observed> = {}): Observed {
  return {
    arrivals: [-100, 0, 100, 200, 300].map((atMs, index) => arrivalOf(index + 1, atMs)),
    answers: [
      { id: 1, status: 200, ms: 9000 },
      { id: 2, status: 200, ms: 300 },
      { id: 3, status: 200, ms: 340 },
      { id: 4, status: 429, ms: 25 },
      { id: 5, ms: 40, problem: 'fetch failed' },
    ],
    attempts: [
      { id: 1, atMs: 950, status: 200, resource: 0 },
      { id: 2, atMs: 1000, status: 200, resource: 0 },
      { id: 3, atMs: 1101, status: 429, resource: 0 },
      { id: 3, atMs: 1140, status: 200, resource: 0 },
      { id: 4, atMs: 1201, status: 429, resource: 0 },
    ],
    fromMs: 1000,
    leadMs: 1000,
    windowMs: MINUTE_MS,
    ...changes,
  };
}

describe('the requests of the live quotas in the bench', () => {
  const plan = { load: 1.5, leadMs: MINUTE_MS, windowMs: 3 * MINUTE_MS };

  it('are the same each time, in order, and numbered through', () => {
    const arrivals = planArrivals(plan);
    assert.deepEqual(planArrivals(plan), arrivals);
    assert.deepEqual(
      arrivals.map(({ atMs }) => atMs),
      arrivals.map(({ atMs }) => atMs).toSorted((a, b) => a - b),
    );
    assert.deepEqual(
      arrivals.map(({ id }) => id),
      arrivals.map((_, index) => index + 1),
    );
  });

  it('are exactly the load, before and in the measured time', () => {
    for (const isMeasured of [false, true]) {
      const part = planArrivals(plan).filter(({ atMs }) => atMs >= 0 === isMeasured);
      const tokens = part.reduce((sum, { countedTokens }) => sum + countedTokens, 0);
      const wanted = 1.5 * quotaTokens(isMeasured ? plan.windowMs : plan.leadMs);
      assert.ok(Math.abs(tokens - wanted) <= 550, `${tokens} tokens, not ${wanted}`);
    }
  });

  it('are counted by a resource as 100 to 1,100 tokens, which their bodies come to', () => {
    for (const arrival of planArrivals(plan).slice(0, 50)) {
      const body: unknown = JSON.parse(bodyOf(arrival));
      assert.ok(isJsonObject(body));
      const { characters, maxTokens } = readPrompt(body);
      assert.equal(estimateTokens(characters, maxTokens), arrival.countedTokens);
      assert.ok(arrival.countedTokens >= 100 && arrival.countedTokens <= 1100);
      assert.equal(idIn(Buffer.from(bodyOf(arrival))), arrival.id);
    }
  });

  it('are answered after some 300 ms, and always the same', () => {
    const times = [1, 2, 3, 4, 5].map(answerMsOf);
    assert.deepEqual([1, 2, 3, 4, 5].map(answerMsOf), times);
    assert.ok(times.every((ms) => ms >= 250 && ms <= 350));
  });
});

describe('the quotas at the start of the live quotas in the bench', () => {
  it('are used as far as the load would have used them in the part of the window that is over', () => {
    for (const [index, { phaseMs = 0 }] of deployments().entries()) {
      const elapsed = 1 - phaseMs / MINUTE_MS;
      assert.ok(Math.abs(usedAtStart(index, 0.9) - Math.max(100, 27_000 * elapsed)) <= 1);
      assert.ok(usedAtStart(index, 1000) <= 30_000);
    }
  });
});

describe('the figures of the live quotas in the bench', () => {
  it('leave out what arrived before the measured time', () => {
    const { requests, answered, p99Ms } = figuresOf(observed());
    assert.deepEqual({ requests, answered, p99Ms }, { requests: 4, answered: 2, p99Ms: 340 });
  });

  it('tell a 429 from every other failure', () => {
    const { throttled, others, refusedP50Ms } = figuresOf(observed());
    assert.deepEqual(
      { throttled, others, refusedP50Ms },
      { throttled: 1, others: { 'fetch failed': 1 }, refusedP50Ms: 25 },
    );
  });

  it('set the tokens that were admitted in the measured time and answered against the quota', () => {
    assert.equal(figuresOf(observed()).servedPercent, (900 / 90_000) * 100);
    const answers = observed().answers.map((answer) => ({ ...answer, status: 500 }));
    assert.equal(figuresOf(observed({ answers })).servedPercent, 0);
  });

  it('tell what each resource served in each of its own windows', () => {
    const [phaseMs = 0] = deployments().map((spec) => spec.phaseMs);
    assert.ok(phaseMs > 2000);
    const later = { id: 3, atMs: phaseMs, status: 200, resource: 0 };
    const attempts = [...observed().attempts.slice(0, 3), later];
    assert.deepEqual(figuresOf(observed({ attempts })).servedByWindow, [[900, 450], [], []]);
  });

  it('count the attempts a request, and those of them that were refused', () => {
    const { attemptsPerRequest, wastedPercent } = figuresOf(observed());
    assert.deepEqual({ attemptsPerRequest, wastedPercent }, { attemptsPerRequest: 1, wastedPercent: 50 });
  });

  it('are a row of the report', () => {
    const machine = { date: 'today', cpu: 'a CPU', cores: 2, memoryGiB: 4, kernel: '6', versions: {}, loadAverage: 0 };
    const row = { load: 0.9, contender: 'balancer' as const, ...figuresOf(observed()) };
    const report = toMarkdown({ machine, plan: readOptions([]), rows: [row], notes: [] });
    assert.match(report, /^\| 90 %, balancer \| 4 \| 2 \| 1 \| 1 \| 1\.0 \| 1\.00 \| 50\.0 \| 300 \| 340 \| 25 \|$/m);
    assert.match(report, /^90 %, balancer: fetch failed \(1\)$/m);
  });
});

describe('LiteLLM before live quotas in the bench', () => {
  it('is told what each deployment has, and nothing of cooldowns', () => {
    const text = JSON.stringify(configuration(['http://one', 'http://two', 'http://three'], 'key'));
    assert.equal(text.match(/"tpm":30000,"rpm":180/g)?.length, deployments().length);
    assert.match(text, /"routing_strategy":"usage-based-routing-v2","num_retries":2/);
    assert.doesNotMatch(text, /cooldown/);
  });
});

describe('the command line of the live quotas in the bench', () => {
  it('takes everything unless told otherwise', () => {
    const { loads, contenders, leadMs, windowMs } = readOptions([]);
    assert.deepEqual(
      { loads, contenders, leadMs, windowMs },
      { loads: [0.9, 1.5], contenders: ['balancer', 'ancestor', 'litellm'], leadMs: 60_000, windowMs: 180_000 },
    );
    assert.deepEqual(readOptions(['--load', '1.2']).loads, [1.2]);
    assert.deepEqual(readOptions(['--only', 'litellm, balancer']).contenders, ['balancer', 'litellm']);
  });

  it('says which contender there is none of', () => {
    assert.throws(() => readOptions(['--only', 'nginx']), OptionsError);
    assert.throws(() => readOptions(['--fast']), OptionsError);
    assert.throws(() => readOptions(['--load', 'much']), OptionsError);
  });
});
