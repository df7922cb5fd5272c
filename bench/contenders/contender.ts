// What a scenario needs to know of a contender: where to send, and the processes to look at.
import type { Target } from '../load/connection.ts';

export const contenderNames = ['direct', 'nginx', 'bare', 'balancer'] as const;
export type ContenderName = (typeof contenderNames)[number];

export interface Contender {
  readonly name: ContenderName;
  start(): Promise<RunningContender>;
}

export interface RunningContender {
  readonly name: ContenderName;
  readonly target: Target;
  /** The root of its process tree; `direct` has none. */
  readonly pid?: number;
  readonly stop: () => Promise<void>;
}

/** What every contender is started with. */
export interface Surroundings {
  readonly core: number;
  readonly upstreamPorts: readonly number[];
  readonly clientKey: string;
  readonly backendKey: string;
}

export function isContenderName(name: string): name is ContenderName {
  return (contenderNames as readonly string[]).includes(name);
}
