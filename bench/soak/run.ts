// The phases of a soak, one after the other, before one balancer.
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { startChild } from '../children.ts';
import { cpuMsBetween, sampleCpu, waitedMs } from '../process-stats.ts';
import { percentile } from '../statistics.ts';
import { Callers } from './caller.ts';
import { capacityOf, climb } from './capacity.ts';
import type { Step } from './capacity.ts';
import { delaysOf } from './delays.ts';
import type { Delays } from './delays.ts';
import type { Befallen, FleetAddress, Gone, Notes } from './fleet.ts';
import { closedLoop, openLoop } from './load.ts';
import type { Load } from './load.ts';
import { undisturbed, type Look } from './looks.ts';
import type { SoakPlan } from './options.ts';
import { Recorder } from './recorder.ts';
import type { Tallied } from './recorder.ts';
import { recoveryOf, SLICE_MS } from './recovery.ts';
import type { Recovery } from './recovery.ts';
import { startTested } from './tested.ts';
import type { Tested } from './tested.ts';

/** Of the capacity. */
export const SOAK_SHARE = 0.7;
export const OVERLOAD_SHARE = 3;
/** Where the rate that it can bear is sought, as shares of what callers who wait get. */
const REST_SHARE = 0.1;
const LOWEST_SHARE = 0.4;
const STEP_SHARE = 0.05;
const MOST_STEPS = 16;
/** More than one core of a balancer needs to be busy, and fewer than it lets in. */
const CLOSED_CALLERS = 256;

/** One look at the balancer, from inside and from outside. */
export interface Sample {
  /** Since the soak began. */
  readonly atMs: number;
  readonly heapBytes: number;
  readonly rssBytes: number;
  /** Outside the heap: buffers. */
  readonly externalBytes: number;
  readonly openFiles: number;
  readonly openSockets: number;
  /** Those of them that callers opened. */
  readonly callersSockets: number;
  /** Closed, and still in memory after a collection. */
  readonly closedSockets: number;
  readonly mostListeners: number;
  readonly processListeners: number;
  readonly activeResources: number;
  readonly inFlight: number;
  readonly held: number;
  readonly bytesBuffered: number;
}

export interface Phase extends Tallied {
  /** Asked for and sent a second. */
  readonly perSecond: number;
  readonly lengthMs: number;
  readonly cpuPercent: number;
  /** Of the time, the balancer's thread was ready to run and had no core. */
  readonly waitedPercent: number;
  /** Of the processes that ask and that answer. */
  readonly callersCpuPercent: number;
  readonly resourcesCpuPercent: number;
  readonly loop: Delays;
  /** Each delay counted once, however many would have met it. */
  readonly loopTicks: Delays;
  /** The longest that the platform's question whether it lives was open: each comes on a connection of its own. */
  readonly probeMaxMs: number;
}

export interface Happenings {
  /** Requests that a fault befell, by its name. */
  readonly faults: Readonly<Record<string, number>>;
  readonly episodes: Readonly<Record<string, number>>;
  /** Requests that were open when their resource went away. */
  readonly openWhenGone: number;
  readonly attempts: number;
}

export interface Soaked {
  readonly seed: number;
  readonly plan: SoakPlan;
  readonly closed: Phase;
  readonly steps: readonly Step[];
  readonly capacityPerSecond: number;
  readonly soak: Phase;
  readonly happened: Happenings;
  readonly samples: readonly Sample[];
  /** Before and after the soak, with nobody asking. */
  readonly calmBefore: Sample;
  readonly calmAfter: Sample;
  readonly baseline: Phase;
  readonly overload: Phase;
  readonly after: Phase;
  readonly recovery: Recovery;
  /** What the 99th percentile of a slice was allowed to be. */
  readonly slowMs: number;
  readonly warnings: readonly string[];
  readonly crashes: readonly string[];
  readonly errorOutput: string;
  /** `internal_error`s that it counted. */
  readonly internalErrors: number;
  /** As prom-client has it, of the last moments of the soak, 10 ms of its interval included. */
  readonly metricsLoopP99Ms: number;
}

export interface Cores {
  readonly balancer: number;
  readonly resources: number;
}

export async function runSoak(
  seed: number,
  plan: SoakPlan,
  cores: Cores,
  tell: (text: string) => void,
): Promise<Soaked> {
  const fleet = await startFleetProcess(seed, plan, cores.resources);
  const tested = await startTested(fleet.address.resources, cores.balancer);
  try {
    return await new Run(seed, plan, fleet, tested, tell).all();
  } catch (error) {
    throw new Error(`the soak could not go on; the balancer's last words: ${tested.errors().slice(-2000)}`, {
      cause: error,
    });
  } finally {
    await tested.stop();
    await fleet.stop();
  }
}

interface FleetProcess {
  readonly pid: number;
  readonly address: FleetAddress;
  /** `begin` and `end` of the faults; `notes` asks only what happened. */
  tell(word: 'begin' | 'end' | 'notes'): Promise<Notes>;
  readonly stop: () => Promise<void>;
}

async function startFleetProcess(seed: number, plan: SoakPlan, core: number): Promise<FleetProcess> {
  const program = fileURLToPath(new URL('fleet.ts', import.meta.url));
  // What makes a resource rest for minutes comes a few times in a run, and not so often that it rests all the time.
  const rareEveryMs = Math.min(200_000, Math.max(15_000, plan.soakMs / 6));
  const args = [program, String(seed), String(rareEveryMs)];
  const child = startChild({ name: 'fleet', core, command: process.execPath, args });
  await child.ready(() => child.output().endsWith('\n'));
  const address: FleetAddress = JSON.parse(child.output());
  return {
    pid: child.pid,
    address,
    async tell(word) {
      const notes: Notes = JSON.parse(await (await fetch(`${address.control}/${word}`)).text());
      return notes;
    },
    stop: child.stop,
  };
}

class Run {
  private readonly seed: number;
  private readonly plan: SoakPlan;
  private readonly fleet: FleetProcess;
  private readonly tested: Tested;
  private readonly say: (text: string) => void;
  private readonly callers: Callers;
  private readonly befallen = new Map<string, Befallen[]>();
  private readonly gone: Gone[] = [];
  private readonly episodes: string[] = [];
  private attempts = 0;
  private number = 0;

  constructor(seed: number, plan: SoakPlan, fleet: FleetProcess, tested: Tested, say: (text: string) => void) {
    this.seed = seed;
    this.plan = plan;
    this.fleet = fleet;
    this.tested = tested;
    this.say = say;
    this.callers = new Callers(tested.port);
  }

  async all(): Promise<Soaked> {
    const { plan, tested, seed } = this;
    await this.phase(
      'warm-up',
      plan.warmMs,
      async (load) => void (await closedLoop(load, CLOSED_CALLERS, plan.warmMs)),
    );
    let over = 0;
    const closed = await this.phase('closed loop', plan.closedMs, async (load) => {
      over = await closedLoop(load, CLOSED_CALLERS, plan.closedMs);
    });
    // Those who are the last wait for long streams, and nobody asks beside them.
    const steps = await this.climb((over * 1000) / plan.closedMs);
    const capacityPerSecond = capacityOf(steps);
    if (capacityPerSecond === steps[0]?.perSecond) {
      throw new Error('not even the lowest rate was borne: the machine has something else to do');
    }
    this.say(`capacity ${Math.round(capacityPerSecond)} requests/s`);
    const calmBefore = await this.calm(plan.calmMs / 2);
    const perSecond = SOAK_SHARE * capacityPerSecond;

    const samples: Sample[] = [];
    await this.hear('begin');
    this.forget();
    const soak = await this.phase('soak', plan.soakMs, async (load) => {
      const startedAt = Date.now();
      const { sent, answered } = openLoop(load, perSecond, plan.soakMs);
      const stop = new AbortController();
      const watched = this.watch(samples, startedAt, stop.signal);
      await sent;
      await this.hear('end');
      stop.abort();
      await Promise.all([answered, watched]);
    });
    const metricsLoopP99Ms = (await tested.metrics())('nodejs_eventloop_lag_p99_seconds') * 1000;
    const happened = this.happenings();
    this.say(`soak: ${JSON.stringify(soak.verdicts)}`);
    const calmAfter = await this.calm(plan.calmMs);

    const base = new Recorder();
    const baseline = await this.phase(
      'baseline',
      plan.baselineMs,
      (load) => openLoop(load, perSecond, plan.baselineMs).answered,
      base,
    );
    const overloaded = new Recorder();
    let afterwards: Promise<{ readonly after: Phase; readonly recorder: Recorder }> | undefined;
    const overload = await this.phase(
      'overload',
      plan.overloadMs,
      async (load) => {
        const { sent, answered } = openLoop(load, OVERLOAD_SHARE * capacityPerSecond, plan.overloadMs);
        await sent;
        afterwards = this.recover(perSecond);
        await answered;
      },
      overloaded,
    );
    if (afterwards === undefined) throw new Error('there was no overload');
    const { after, recorder } = await afterwards;
    const slowMs = slowFrom(base, plan.baselineMs);
    const recovery = recoveryOf(recorder.timed, plan.recoveryMs, slowMs);

    const metrics = await tested.metrics();
    const looks = tested.looks();
    return {
      seed,
      plan,
      closed,
      steps,
      capacityPerSecond,
      soak,
      happened,
      samples,
      calmBefore,
      calmAfter,
      baseline,
      overload,
      after,
      recovery,
      slowMs,
      warnings: looks.flatMap(({ warnings }) => warnings),
      crashes: looks.flatMap(({ crashes }) => crashes),
      errorOutput: tested.errors().slice(0, 2000),
      internalErrors: metrics('balancer_errors_total', 'error_type="internal_error"'),
      metricsLoopP99Ms,
    };
  }

  private async climb(closedPerSecond: number): Promise<Step[]> {
    const { stepMs } = this.plan;
    await this.hear('begin');
    const steps = await climb({
      restPerSecond: REST_SHARE * closedPerSecond,
      fromPerSecond: LOWEST_SHARE * closedPerSecond,
      stepPerSecond: STEP_SHARE * closedPerSecond,
      mostSteps: MOST_STEPS,
      tryRate: async (perSecond) => {
        const name = `${Math.round(perSecond)} requests/s`;
        const phase = await this.phase(name, stepMs, (load) => openLoop(load, perSecond, stepMs).answered);
        this.forget();
        const { verdicts, p50Ms, loopTicks, cpuPercent } = phase;
        return { turnedAway: verdicts.shed, p50Ms, loopP99Ms: loopTicks.p99Ms, cpuPercent };
      },
    });
    await this.hear('end');
    return steps;
  }

  private async recover(perSecond: number): Promise<{ readonly after: Phase; readonly recorder: Recorder }> {
    const recorder = new Recorder();
    const { recoveryMs } = this.plan;
    const after = await this.phase(
      'recovery',
      recoveryMs,
      (load) => openLoop(load, perSecond, recoveryMs).answered,
      recorder,
    );
    return { after, recorder };
  }

  private async phase(
    name: string,
    ms: number,
    drive: (load: Load) => Promise<void>,
    recorder = new Recorder(),
  ): Promise<Phase> {
    this.say(`${name}, ${Math.round(ms / 1000)} s`);
    const { tested, callers, seed } = this;
    const next = (): number => (this.number += 1);
    const startedAt = Date.now();
    const [cpu, waited] = [sampleCpu(tested.pid), waitedMs(tested.pid)];
    const [own, fleet] = [process.cpuUsage(), sampleCpu(this.fleet.pid)];
    const probing = new AbortController();
    const probed = probeLife(tested.port, probing.signal);
    await drive({ callers, seed, next, onDone: recorder.record });
    probing.abort();
    const lengthMs = Date.now() - startedAt;
    const { user, system } = process.cpuUsage(own);
    const percentOf = (part: number): number => (100 * part) / lengthMs;
    const cpuPercent = percentOf(cpuMsBetween(cpu, sampleCpu(tested.pid)));
    const resourcesCpuPercent = percentOf(cpuMsBetween(fleet, sampleCpu(this.fleet.pid)));
    await this.hear('notes');
    const tallied = recorder.tally({ befallen: this.befallen, gone: this.gone });
    const looks = undisturbed(
      tested.looks().filter(({ at }) => at > startedAt + 1000 && at <= startedAt + lengthMs + 1000),
    );
    return {
      ...tallied,
      perSecond: (tallied.sent * 1000) / ms,
      lengthMs,
      cpuPercent,
      waitedPercent: percentOf(waitedMs(tested.pid) - waited),
      callersCpuPercent: percentOf((user + system) / 1000),
      resourcesCpuPercent,
      loop: delaysOf(looks.map(({ delays }) => delays)),
      loopTicks: delaysOf(looks.map(({ ticks }) => ticks)),
      probeMaxMs: await probed,
    };
  }

  private async watch(samples: Sample[], startedAt: number, signal: AbortSignal): Promise<void> {
    for (let n = 1; !signal.aborted; n += 1) {
      await sleep(Math.max(0, startedAt + n * this.plan.lookMs - Date.now()), undefined, { signal }).catch(
        () => undefined,
      );
      if (signal.aborted) return;
      samples.push(await this.sample(startedAt));
      await this.hear('notes');
    }
  }

  private async sample(startedAt: number): Promise<Sample> {
    const openFiles = this.tested.openFiles();
    return sampleOf(await this.tested.look(), await this.tested.metrics(), openFiles, startedAt);
  }

  /** Nobody asks, and the callers' connections are closed. */
  private async calm(ms: number): Promise<Sample> {
    this.say(`calm, ${Math.round(ms / 1000)} s`);
    this.callers.close();
    const startedAt = Date.now();
    await sleep(ms);
    return this.sample(startedAt);
  }

  private async hear(word: 'begin' | 'end' | 'notes'): Promise<void> {
    const { befallen, gone, episodes, calls } = await this.fleet.tell(word);
    for (const one of befallen) {
      const known = this.befallen.get(one.id);
      if (known === undefined) this.befallen.set(one.id, [one]);
      else known.push(one);
    }
    this.gone.push(...gone);
    this.episodes.push(...episodes);
    this.attempts += Object.values(calls).reduce((sum, count) => sum + count, 0);
  }

  /** What befell the requests of a phase that has been judged. */
  private forget(): void {
    this.befallen.clear();
    this.gone.length = 0;
    this.episodes.length = 0;
    this.attempts = 0;
  }

  private happenings(): Happenings {
    return {
      faults: counted([...this.befallen.values()].flat().map(({ fault }) => fault)),
      episodes: counted(this.episodes),
      openWhenGone: this.gone.reduce((sum, { open }) => sum + open, 0),
      attempts: this.attempts,
    };
  }
}

function sampleOf(look: Look, metrics: (name: string) => number, openFiles: number, startedAt: number): Sample {
  const { open = 0, fromCallers = 0, closed = 0, mostListeners = 0, ofProcess = 0 } = look.sockets ?? {};
  return {
    atMs: look.at - startedAt,
    heapBytes: look.heapUsed,
    rssBytes: look.rss,
    externalBytes: look.external,
    openFiles,
    openSockets: open,
    callersSockets: fromCallers,
    closedSockets: closed,
    mostListeners,
    processListeners: ofProcess,
    activeResources: Object.values(look.resources).reduce((sum, count) => sum + count, 0),
    inFlight: metrics('http_server_active_requests'),
    held: metrics('balancer_requests_held'),
    bytesBuffered: metrics('balancer_buffered_bytes'),
  };
}

/** Half as much again as in nine of ten slices before, and a little: a slice has a hundred requests, and its slowest is chance. */
function slowFrom({ timed }: Recorder, lengthMs: number): number {
  const slices = Array.from({ length: Math.floor(lengthMs / SLICE_MS) }, (_, index) =>
    timed.filter(({ atMs }) => Math.floor(atMs / SLICE_MS) === index).map(({ ms }) => ms),
  );
  const slowest = slices.filter((slice) => slice.length > 0).map((slice) => percentile(slice, 0.99));
  return 1.5 * percentile(slowest, 0.9) + 20;
}

/** Asks twice a second whether it lives; resolves with the longest time to an answer. */
async function probeLife(port: number, signal: AbortSignal): Promise<number> {
  let longestMs = 0;
  while (!signal.aborted) {
    const startedMs = performance.now();
    const isAlive = await askForLife(port);
    longestMs = Math.max(longestMs, isAlive ? performance.now() - startedMs : Number.POSITIVE_INFINITY);
    await sleep(500, undefined, { signal }).catch(() => undefined);
  }
  return longestMs;
}

function askForLife(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const asked = request({ port, host: '127.0.0.1', path: '/healthz', agent: false }, (answer) => {
      answer.resume();
      resolve(answer.statusCode === 200);
    });
    asked.on('error', () => resolve(false));
    asked.end();
  });
}

function counted(names: readonly string[]): Record<string, number> {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return Object.fromEntries([...counts].sort(([one], [other]) => one.localeCompare(other)));
}
