/** A balancer on a free port in this process, in front of simulated resources, with all it tells kept. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { TokenCredential } from '@azure/identity';
import { compose, type Balancer } from '../../app/src/compose.ts';
import { readConfig } from '../../app/src/config.ts';
import type { HandlerLimits } from '../../app/src/proxy/handler-deps.ts';
import type { CreateForwarder } from '../../app/src/proxy/forward.ts';
import type { IsBehind } from '../../app/src/proxy/turns.ts';
import type { ServerLimits } from '../../app/src/server.ts';
import { observeAll, type ProxyEvent } from '../../app/src/telemetry/events.ts';
import { createLog } from '../../app/src/telemetry/log.ts';
import { startFleet, type Fleet } from '../../simulator/fleet.ts';
import type { ResourceOptions, SimulatedResource } from '../../simulator/server.ts';

export interface RunningBalancer {
  /** `http://127.0.0.1:41233` */
  readonly url: string;
  readonly port: number;
  readonly balancer: Balancer;
  /** The simulated resources, in the order of BACKEND_1, BACKEND_2, … */
  readonly resources: readonly SimulatedResource[];
  readonly events: readonly ProxyEvent[];
  /** The log as text, line by line. */
  readonly log: readonly string[];
  /** The next event of this kind, or the first already told when `from` says where to begin to look. */
  event<K extends ProxyEvent['kind']>(kind: K, from?: number): Promise<Extract<ProxyEvent, { kind: K }>>;
  /** Nothing in flight, no byte held: what must be true after every request. */
  assertIdle(): void;
  close(): Promise<void>;
}

export interface BalancerSetup {
  /** How many simulated resources; 3 by default. Their names are openai1, openai2, …, their keys key-1, key-2, … */
  readonly backends?: number;
  /** Resources that run already, in place of those; closed with the balancer. */
  readonly fleet?: Fleet;
  /** Changes to a resource's options, by index. */
  readonly resource?: (index: number) => Partial<ResourceOptions>;
  /** More settings; undefined removes one. Nobody is held unless MAX_HOLD_SECONDS says so. */
  readonly settings?: Readonly<Record<string, string | undefined>>;
  readonly clock?: () => number;
  readonly wallClockMs?: () => number;
  /** Numbers in [0, 1); 0 by default, so that the first of equals is asked first. */
  readonly random?: () => number;
  readonly credential?: () => Promise<TokenCredential>;
  readonly handlerLimits?: Partial<HandlerLimits>;
  readonly serverLimits?: ServerLimits;
  readonly createForwarder?: CreateForwarder;
  /** By its own event loop otherwise. */
  readonly isBehind?: IsBehind;
}

/** The key that tests call with, in CLIENT_API_KEYS as `tester`. */
export const CLIENT_KEY = 'client-key';

const DEPLOYMENTS = {
  'gpt-5.4-mini': { model: 'gpt-5.4-mini' },
  'text-embedding-3-large': { model: 'text-embedding-3-large' },
  'gpt-4o-transcribe': { model: 'gpt-4o-transcribe' },
};

export async function startBalancer(setup: BalancerSetup = {}): Promise<RunningBalancer> {
  const count = setup.backends ?? 3;
  const fleet =
    setup.fleet ??
    (await startFleet(
      Array.from({ length: count }, (_, index) => ({
        name: `openai${index + 1}`,
        apiKey: `key-${index + 1}`,
        deployments: DEPLOYMENTS,
        ...setup.resource?.(index),
      })),
    ));
  const { resources } = fleet;
  const config = readConfig({
    ...settingsFor(resources),
    CLIENT_API_KEYS: `tester=${CLIENT_KEY}`,
    MAX_HOLD_SECONDS: '0',
    ...setup.settings,
  });
  const events: ProxyEvent[] = [];
  const log: string[] = [];
  const waiting = new Set<(event: ProxyEvent) => void>();
  const observe = observeAll([
    (told) => events.push(told),
    createLog(
      { format: 'text' },
      (text) => log.push(text),
      () => new Date(),
    ),
    (told) => {
      for (const tell of waiting) tell(told);
    },
  ]);
  const { clock, wallClockMs, random = () => 0, credential, handlerLimits, serverLimits } = setup;
  const { createForwarder, isBehind } = setup;
  const balancer = compose(config, {
    observe,
    random,
    ...(clock === undefined ? {} : { clock }),
    ...(wallClockMs === undefined ? {} : { wallClockMs }),
    ...(credential === undefined ? {} : { credential }),
    ...(handlerLimits === undefined ? {} : { handlerLimits }),
    ...(serverLimits === undefined ? {} : { serverLimits }),
    ...(createForwarder === undefined ? {} : { createForwarder }),
    ...(isBehind === undefined ? {} : { isBehind }),
  });
  balancer.server.listen(0, '127.0.0.1');
  await once(balancer.server, 'listening');
  balancer.setReady();
  const address = balancer.server.address();
  assert.ok(typeof address === 'object' && address !== null);
  const { port } = address;

  function event<K extends ProxyEvent['kind']>(kind: K, from?: number): Promise<Extract<ProxyEvent, { kind: K }>> {
    const isWanted = (told: ProxyEvent): told is Extract<ProxyEvent, { kind: K }> => told.kind === kind;
    const already = from === undefined ? undefined : events.slice(from).find(isWanted);
    if (already !== undefined) return Promise.resolve(already);
    return new Promise((resolve) => {
      const tell = (told: ProxyEvent): void => {
        if (!isWanted(told)) return;
        waiting.delete(tell);
        resolve(told);
      };
      waiting.add(tell);
    });
  }

  return {
    url: `http://127.0.0.1:${port}`,
    port,
    balancer,
    resources,
    events,
    log,
    event,
    assertIdle() {
      assert.equal(balancer.admission.inFlight, 0);
      assert.equal(balancer.admission.bodies.taken, 0);
      for (const backend of balancer.pool.snapshot(0).backends) {
        assert.equal(backend.inFlight, 0);
        for (const deployment of backend.deployments) assert.equal(deployment.inFlight, 0);
      }
    },
    async close() {
      const closed = once(balancer.server, 'close');
      balancer.server.close();
      balancer.server.closeAllConnections();
      await closed;
      balancer.close();
      await balancer.endTelemetry();
      await fleet.close();
    },
  };
}

function settingsFor(resources: readonly SimulatedResource[]): Record<string, string> {
  const settings: Record<string, string> = {};
  for (const [index, { url }] of resources.entries()) {
    settings[`BACKEND_${index + 1}_URL`] = url;
    settings[`BACKEND_${index + 1}_APIKEY`] = `key-${index + 1}`;
  }
  return settings;
}
