/** What the pool knows at the moment of a scrape, as samples: states, quotas, how busy each deployment is. */
import type { BreakerState } from '../balancer/circuit-breaker.ts';
import type { BackendSnapshot, DeploymentSnapshot, PoolSnapshot } from '../balancer/snapshot.ts';

const DEPLOYMENT = ['backend', 'gen_ai_request_model'] as const;
const BACKEND = ['backend'] as const;

/** The gauges, with their labels. */
export const POOL_GAUGES = {
  balancer_backend_info: {
    help: 'Always 1: where a backend is, its priority and its weight.',
    labelNames: [...BACKEND, 'server_address', 'server_port', 'priority', 'weight'],
  },
  balancer_backend_state: {
    help: 'Always 1: the state of a backend as a whole (failing connections, refused credentials).',
    labelNames: [...BACKEND, 'state'],
  },
  balancer_deployment_state: {
    help: 'Always 1: the state of a deployment at a backend (throttles, failing answers, missing).',
    labelNames: [...DEPLOYMENT, 'state'],
  },
  balancer_rest_remaining_seconds: {
    help: 'So long a backend, or a deployment there, is not asked any more, by why. Absent when it may be asked.',
    labelNames: [...DEPLOYMENT, 'state'],
  },
  balancer_attempts_in_flight: {
    help: 'Attempts that are under way at a backend, answers that are being given included.',
    labelNames: DEPLOYMENT,
  },
  balancer_quota_remaining_tokens: {
    help: 'Tokens that are left of the present minute, as the last answer said.',
    labelNames: DEPLOYMENT,
  },
  balancer_quota_limit_tokens: {
    help: 'Tokens that a deployment has in a minute, as the last answer said.',
    labelNames: DEPLOYMENT,
  },
  balancer_quota_remaining_requests: {
    help: 'Requests that are left of the present window, as the last answer said.',
    labelNames: DEPLOYMENT,
  },
  balancer_quota_limit_requests: {
    help: 'Requests that a deployment has in a window, as the last answer said.',
    labelNames: DEPLOYMENT,
  },
  balancer_utilization_ratio: {
    help: 'How much of a provisioned deployment is in use, as its last answer said; 1 when it is full.',
    labelNames: DEPLOYMENT,
  },
} as const;

export type PoolGauge = keyof typeof POOL_GAUGES;

export interface Sample {
  readonly name: PoolGauge;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

/**
 * @param label a deployment's name as a label; undefined for those that have none of their own
 * @param now clock ms, of the pool's clock
 */
export function poolSamples(
  { backends }: PoolSnapshot,
  label: (deployment: string) => string | undefined,
  now: number,
): readonly Sample[] {
  return backends.flatMap((snapshot) => [
    ...ofBackend(snapshot, now),
    ...snapshot.deployments.flatMap((deployment) => {
      const model = label(deployment.deployment);
      return model === undefined ? [] : ofDeployment(snapshot.backend.name, model, deployment, now);
    }),
  ]);
}

function ofBackend({ backend, state }: BackendSnapshot, now: number): readonly Sample[] {
  const { name, origin, priority, weight } = backend;
  const { hostname, port, protocol } = new URL(origin);
  const address = { server_address: hostname, server_port: port === '' ? standardPort(protocol) : port };
  const labels = { backend: name };
  return [
    { name: 'balancer_backend_info', labels: { ...labels, ...address, priority, weight }, value: 1 },
    { name: 'balancer_backend_state', labels: { ...labels, state: state.kind }, value: 1 },
    ...restOf(state, labels, now),
  ];
}

function ofDeployment(
  backend: string,
  model: string,
  { state, inFlight, quota = {} }: DeploymentSnapshot,
  now: number,
): readonly Sample[] {
  const labels = { backend, gen_ai_request_model: model };
  const { utilizationPercent, remainingTokens, limitTokens, remainingRequests, limitRequests } = quota;
  const told: readonly (readonly [PoolGauge, number | undefined])[] = [
    ['balancer_quota_remaining_tokens', remainingTokens],
    ['balancer_quota_limit_tokens', limitTokens],
    ['balancer_quota_remaining_requests', remainingRequests],
    ['balancer_quota_limit_requests', limitRequests],
    ['balancer_utilization_ratio', utilizationPercent === undefined ? undefined : utilizationPercent / 100],
  ];
  return [
    { name: 'balancer_deployment_state', labels: { ...labels, state: state.kind }, value: 1 },
    { name: 'balancer_attempts_in_flight', labels, value: inFlight },
    ...restOf(state, labels, now),
    ...told.flatMap(([name, value]) => (value === undefined ? [] : [{ name, labels, value }])),
  ];
}

/** A rest whose time has come is over, though nobody has asked yet. */
function restOf(state: BreakerState, labels: Sample['labels'], now: number): readonly Sample[] {
  if (!('until' in state) || state.until <= now) return [];
  const value = (state.until - now) / 1000;
  return [{ name: 'balancer_rest_remaining_seconds', labels: { ...labels, state: state.kind }, value }];
}

function standardPort(protocol: string): string {
  return protocol === 'https:' ? '443' : '80';
}
