import assert from 'node:assert/strict';
import { barsOf } from '../../bench/arena/bars.ts';
import { runCell } from '../../bench/arena/cell.ts';
import type { CellPlan } from '../../bench/arena/cell.ts';
import { VirtualClock } from '../../bench/arena/clock.ts';
import { contenders } from '../../bench/arena/contenders/all.ts';
import type { Contender } from '../../bench/arena/contenders/contender.ts';
import { oracle, placements } from '../../bench/arena/contenders/oracle.ts';
import { readOptions } from '../../bench/arena/options.ts';
import { drawSpecs } from '../../bench/arena/resources.ts';
import { run } from '../../bench/arena/run.ts';
import type { Course } from '../../bench/arena/run.ts';
import { arrivals, workloadNames, workloads } from '../../bench/arena/workload.ts';
import type { WorkloadName } from '../../bench/arena/workload.ts';
import { windowKinds } from '../../simulator/limits/meter.ts';
import type { WindowKind } from '../../simulator/limits/meter.ts';

const SLICES = [10_000, 1000];
const everybody: ReadonlyMap<string, Contender> = new Map([
  ...contenders,
  ...placements.map((placement): [string, Contender] => [`oracle, ${placement}`, oracle(placement)]),
]);

interface Match {
  readonly name: WorkloadName;
  readonly window: WindowKind;
  readonly load: number;
  readonly seed?: number;
}

/** A virtual minute and a half. */
function play(contender: Contender, { name, window, load, seed = 1 }: Match): Promise<readonly Course[]> {
  const workload = workloads[name];
  return run({
    contender,
    requests: arrivals(workload, { load, lengthMs: 90_000, seed }),
    specs: drawSpecs(workload.tpms, { window, requestSlicesMs: SLICES }, seed),
    throttledInBand: workload.throttledInBand,
    seed,
    maxHoldMs: 2000,
  });
}

function cell(plan: Partial<CellPlan>): CellPlan {
  return {
    workload: 'a',
    window: 'fixed',
    requestSlicesMs: SLICES,
    load: 1,
    seeds: [1],
    leadMs: 0,
    measuredMs: 60_000,
    maxHoldMs: 2000,
    ...plan,
  };
}

/** What was asked of whom and what came of it, in short. */
function traceOf(courses: readonly Course[]): string {
  return courses
    .map(({ request, ending, attempts, heldMs }) => {
      const steps = attempts.map(({ backend, sentAt, result }) => `${backend}@${sentAt}=${result}`);
      return `${request.id} ${ending} ${heldMs} ${steps.join(' ')}`;
    })
    .join('\n');
}

describe('the virtual clock', () => {
  it('runs what is due in the order of its time, and of asking among equals', async () => {
    const clock = new VirtualClock();
    const seen: string[] = [];
    for (const at of [30, 10, 20, 10, 50, 40, 20, 0]) clock.at(at, () => seen.push(`${at} at ${clock.now()}`));
    await clock.run();
    const times = [0, 10, 10, 20, 20, 30, 40, 50];
    assert.deepEqual(
      seen,
      times.map((at) => `${at} at ${at}`),
    );
  });

  it('keeps the order of many, however they come', async () => {
    const clock = new VirtualClock();
    const asked = Array.from({ length: 500 }, (_, index) => ({ at: (index * 7919) % 101, index }));
    const seen: { readonly at: number; readonly index: number }[] = [];
    for (const one of asked) clock.at(one.at, () => seen.push(one));
    await clock.run();
    assert.deepEqual(
      seen,
      asked.toSorted((a, b) => a.at - b.at || a.index - b.index),
    );
  });

  it('runs nothing that was cancelled, and lets nobody see the time go back', async () => {
    const clock = new VirtualClock();
    const seen: number[] = [];
    const cancelled = clock.at(20, () => seen.push(20));
    clock.at(10, () => {
      clock.cancel(cancelled);
      clock.at(5, () => seen.push(clock.now()));
    });
    await clock.run();
    assert.deepEqual(seen, [10]);
  });

  it('waits for all that follows from one thing before the next is due', async () => {
    const clock = new VirtualClock();
    const seen: string[] = [];
    clock.at(10, () => {
      void (async () => {
        for (let step = 0; step < 100; step += 1) await Promise.resolve();
        seen.push(`followed at ${clock.now()}`);
      })();
    });
    clock.at(10, () => seen.push('next'));
    await clock.run();
    assert.deepEqual(seen, ['followed at 10', 'next']);
  });

  it('waits for timers as Node does: whole ms, at least one', async () => {
    const clock = new VirtualClock();
    const seen: number[] = [];
    for (const ms of [0, 0.4, 2.9]) clock.after(ms, () => seen.push(clock.now()));
    await clock.run();
    assert.deepEqual(seen, [1, 1, 2]);
  });
});

describe('a workload of the arena', () => {
  for (const name of workloadNames) {
    it(`(${name}) offers what its load says, in order, in whole tokens`, () => {
      const { tpms } = workloads[name];
      const requests = arrivals(workloads[name], { load: 0.9, lengthMs: 600_000, seed: 3 });
      const offered = requests.reduce((sum, { countedTokens }) => sum + countedTokens, 0);
      const quota = 10 * tpms.reduce((sum, tpm) => sum + tpm, 0);
      assert.ok(Math.abs(offered / quota - 0.9) < 0.01, `${offered} of ${quota}`);
      assert.ok(requests.every(({ countedTokens }) => Number.isInteger(countedTokens)));
      assert.ok(requests.every(({ atMs }, index) => atMs >= (requests[index - 1]?.atMs ?? 0)));
      assert.ok(requests.some(({ maxTokens }) => maxTokens === undefined));
      assert.ok(requests.some(({ maxTokens }) => maxTokens !== undefined));
    });
  }

  it('(b) has one in twenty that is counted as 8,000 tokens', () => {
    const requests = arrivals(workloads.b, { load: 1, lengthMs: 3_600_000, seed: 1 });
    const large = requests.filter(({ countedTokens }) => countedTokens >= 2000);
    assert.deepEqual([...new Set(large.map(({ countedTokens }) => countedTokens))], [8000]);
    assert.ok(Math.abs(large.length / requests.length - 0.05) < 0.01, `${large.length} of ${requests.length}`);
  });

  it('(c) comes within one second of every ten', () => {
    const requests = arrivals(workloads.c, { load: 1, lengthMs: 120_000, seed: 1 });
    const phases = requests.slice(40).map(({ atMs }) => atMs % 10_000);
    const offsets = phases.map((phase) => (phase - (phases[0] ?? 0) + 15_000) % 10_000);
    assert.ok(Math.max(...offsets) - Math.min(...offsets) <= 1000);
  });
});

describe('a run of the arena', () => {
  for (const [name, contender] of everybody) {
    it(`ends every request once, and answers those that it says are: ${name}`, async () => {
      for (const workload of ['c', 'e'] as const) {
        const courses = await play(contender, { name: workload, window: 'sliding', load: 1.5 });
        assert.ok(courses.length > 100);
        for (const { ending, attempts } of courses) {
          const answers = attempts.filter(({ result }) => result === 'complete').length;
          assert.equal(answers, ending === 'answered' ? 1 : 0);
        }
        assert.ok(courses.some(({ ending }) => ending === 'answered'));
        assert.ok(courses.some(({ ending }) => ending === 'refused'));
      }
    });

    it(`is the same again with the same seed, and another with another: ${name}`, async () => {
      const match = { name: 'e', window: 'fixed', load: 1 } as const;
      const first = traceOf(await play(contender, match));
      assert.equal(traceOf(await play(contender, match)), first);
      assert.notEqual(traceOf(await play(contender, { ...match, seed: 2 })), first);
    });
  }

  it('does not go on with a contender that loses a request', async () => {
    const losing: Contender = {
      start: () => () =>
        new Promise(() => {
          // It never ends.
        }),
    };
    await assert.rejects(play(losing, { name: 'a', window: 'fixed', load: 1 }), /request 1 never ended/);
  });

  it('does not go on with a contender that says what is not so', async () => {
    const boasting: Contender = { start: () => () => Promise.resolve('answered') };
    await assert.rejects(play(boasting, { name: 'a', window: 'fixed', load: 1 }), /was answered with 0 answers/);
    const wasting: Contender = {
      start:
        ({ ask }) =>
        async (request) => {
          await ask(0, request);
          return 'refused';
        },
    };
    await assert.rejects(play(wasting, { name: 'a', window: 'fixed', load: 0.1 }), /was refused with 1 answers/);
  });

  it('tells a contender of a 429 what the service tells, and when the road allows', async () => {
    const seen: { readonly tookMs: number; readonly waitMs: number; readonly remaining: string | undefined }[] = [];
    const asking: Contender = {
      start:
        ({ ask, clock }) =>
        async (request) => {
          const began = clock.now();
          const answer = await ask(0, request);
          if (answer.status === 200) {
            await answer.end;
            return 'answered';
          }
          seen.push({
            tookMs: clock.now() - began,
            waitMs: Number(answer.header('retry-after-ms')),
            remaining: answer.header('x-ratelimit-remaining-tokens'),
          });
          return 'refused';
        },
    };
    await play(asking, { name: 'a', window: 'fixed', load: 1.5 });
    assert.ok(seen.length > 50);
    assert.ok(seen.every(({ tookMs }) => tookMs >= 10 && tookMs <= 40));
    assert.ok(seen.every(({ waitMs }) => waitMs > 0 && waitMs <= 60_000));
    assert.ok(seen.every(({ remaining }) => /^\d+$/.test(remaining ?? '')));
  });
});

describe('the oracle', () => {
  for (const window of windowKinds) {
    it(`never gets a 429 from a resource with ${window} windows`, async () => {
      for (const placement of placements) {
        for (const name of ['b', 'c'] as const) {
          const courses = await play(oracle(placement), { name, window, load: 1.5 });
          const results = new Set(courses.flatMap(({ attempts }) => attempts.map(({ result }) => result)));
          assert.equal(results.has('429'), false);
          assert.ok(Math.max(...courses.map(({ heldMs }) => heldMs)) <= 2000);
        }
      }
    });

    it(`refuses nothing that a contender answers in the end, in sum: ${window} windows`, async () => {
      const { rows } = await runCell(cell({ workload: 'd', window, load: 1.5 }));
      for (const { contender, figures } of rows) assert.ok(figures.needless >= 0, contender);
    });
  }

  it('holds a request for the very moment that a window is over', async () => {
    const waits = (await play(oracle('most-room'), { name: 'c', window: 'fixed', load: 0.9 })).filter(
      ({ heldMs }) => heldMs > 0,
    );
    assert.ok(waits.length > 0);
    const specs = drawSpecs(workloads.c.tpms, { window: 'fixed', requestSlicesMs: SLICES }, 1);
    for (const { attempts } of waits) {
      const [{ backend, sentAt } = { backend: 0, sentAt: 0 }] = attempts;
      const sinceSecond = (sentAt + 60_000 - (specs[backend]?.phaseMs ?? 0)) % 1000;
      assert.ok(Math.min(sinceSecond, 1000 - sinceSecond) <= 1, `${sentAt} is ${sinceSecond} ms into a slice`);
    }
  });
});

describe('the bars of the arena', () => {
  it('judge by load: needless and wasted strictly up to 0.9, attempts beyond the quota', async () => {
    const names = async (plan: Partial<CellPlan>): Promise<readonly string[]> =>
      barsOf(await runCell(cell(plan))).map(({ name }) => name);
    assert.deepEqual(await names({ load: 0.9 }), ['needless', 'tokens', 'wasted']);
    assert.deepEqual(await names({ load: 1 }), ['needless', 'tokens']);
    assert.deepEqual(await names({ load: 1.5 }), ['needless', 'tokens', 'attempts']);
    assert.deepEqual(await names({ workload: 'f', load: 1 }), ['cached']);
  });

  it('are missed by who refuses what the oracle answers', () => {
    const figures = {
      requests: 100,
      answered: 99,
      refused: 1,
      needless: 0.01,
      tokensOfOracle: 0.97,
      attemptsPerRequest: 1.01,
      wasted: 0.01,
      throttledInBand: 0,
      heldP50Ms: 0,
      heldP99Ms: 0,
    };
    const bars = barsOf({ plan: cell({ load: 0.9 }), rows: [{ contender: 'balancer', figures }] });
    assert.deepEqual(
      bars.map(({ isMet }) => isMet),
      [false, false, false],
    );
  });
});

describe('the command line of the arena', () => {
  it('plays everything unless told otherwise', () => {
    const { cells } = readOptions([]);
    assert.equal(cells.length, workloadNames.length * windowKinds.length * 4);
    assert.ok(cells.every(({ seeds, measuredMs }) => seeds.length >= 3 && measuredMs >= 300_000));
  });

  it('says all that is wrong at once', () => {
    assert.throws(
      () => readOptions(['--workload', 'a,z', '--window', 'round', '--load', '0']),
      (error: Error) => ['workload z', 'window round', 'load 0'].every((wrong) => error.message.includes(wrong)),
    );
  });
});
