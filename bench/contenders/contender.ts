// What a scenario needs to know of a contender: where to send, and the processes to look at.
import type { Target } from '../load/connection.ts';

export const contenderNames = [
  'direct',
  'nginx',
  'haproxy',
  'bare',
  'bare-undici',
  'balancer',
  'balancer-http',
  'balancer-undici',
  'litellm',
  'portkey',
] as const;
export type ContenderName = (typeof contenderNames)[number];

/** How a contender reaches its backends; the load always reaches the contender over plain HTTP. */
export type Transport = 'plain' | 'tls';

/** A row of the report. */
export type Label = ContenderName | `${ContenderName}, TLS`;

/** All rows there can be, in the report's order. */
export const labels: readonly Label[] = [
  ...contenderNames,
  ...contenderNames.map((name): Label => labelOf(name, 'tls')),
];

/** Each once, as the report has them. */
export function inOrder(contenders: readonly string[]): readonly string[] {
  const order: readonly string[] = labels;
  return [...new Set(contenders)].toSorted((a, b) => order.indexOf(a) - order.indexOf(b));
}

export interface Contender {
  readonly label: Label;
  start(): Promise<RunningContender>;
}

export interface RunningContender {
  readonly label: Label;
  readonly target: Target;
  /** The root of its process tree; `direct` has none. */
  readonly pid?: number;
  readonly stop: () => Promise<void>;
}

/** What every contender is started with. */
export interface Surroundings {
  readonly core: number;
  readonly transport: Transport;
  /** Of the three backends, speaking what `transport` says. */
  readonly upstreamPorts: readonly number[];
  /** PEM: who signed the backends' certificates. */
  readonly authorityFile: string;
  readonly clientKey: string;
  readonly backendKey: string;
}

export function isContenderName(name: string): name is ContenderName {
  return (contenderNames as readonly string[]).includes(name);
}

export function labelOf(name: ContenderName, transport: Transport): Label {
  return transport === 'tls' ? `${name}, TLS` : name;
}

/** `http://127.0.0.1:41233` for each backend. */
export function originsOf({ transport, upstreamPorts }: Surroundings): readonly string[] {
  return upstreamPorts.map((port) => `${transport === 'tls' ? 'https' : 'http'}://127.0.0.1:${port}`);
}

/** A Node program trusts the backends' authority by this. */
export function trusting({ transport, authorityFile }: Surroundings): Record<string, string> {
  return transport === 'tls' ? { NODE_EXTRA_CA_CERTS: authorityFile } : {};
}
