// What a play may have: balancers in this process, the real process, resources. All of it is gone when the play is over.
// A mechanism that is to be missing is taken away here, so that a play need not know.
import { startBalancer, type BalancerSetup, type RunningBalancer } from '../support/balancer.ts';
import { startTestFleet, type TestFleet } from '../support/fleet.ts';
import { startProcess, type RunningProcess } from '../support/process.ts';
import type { ResourceOptions } from '../../simulator/server.ts';

/** What is changed so that a mechanism is missing. */
export interface Sabotage {
  readonly balancer?: BalancerSetup;
  /** Of the process. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface House {
  /** Called when the play is over, the last first. */
  after(release: () => unknown): void;
  balancer(setup?: BalancerSetup): Promise<RunningBalancer>;
  process(env: Readonly<Record<string, string>>, openFiles?: number): Promise<RunningProcess>;
  fleet(count: number, options?: Partial<ResourceOptions>): Promise<TestFleet>;
}

export async function inHouse<T>(sabotage: Sabotage, play: (house: House) => Promise<T>): Promise<T> {
  const releases: (() => unknown)[] = [];
  const house: House = {
    after: (release) => void releases.push(release),
    async balancer(setup = {}) {
      const settings = { ...setup.settings, ...sabotage.balancer?.settings };
      const running = await startBalancer({ ...setup, ...sabotage.balancer, settings });
      releases.push(() => running.close());
      return running;
    },
    async process(env, openFiles) {
      const started = await startProcess({ ...env, ...sabotage.env }, openFiles);
      releases.push(async () => {
        started.signal('SIGKILL');
        await started.exited;
      });
      return started;
    },
    async fleet(count, options) {
      const fleet = await startTestFleet(count, options);
      releases.push(() => fleet.close());
      return fleet;
    },
  };
  try {
    return await play(house);
  } finally {
    for (const release of releases.toReversed()) await release();
  }
}
