/** The emulated gateway in front of simulated Azure OpenAI resources that take the managed identity's token only. */
import assert from 'node:assert/strict';
import type { JSONWebKeySet } from 'jose';
import { startFleet } from '../../../simulator/fleet.ts';
import type { Call, ResourceOptions, SimulatedResource } from '../../../simulator/server.ts';
import { manualClock, type ManualClock } from '../../support/manual-clock.ts';
import { MADE_AT_MS, OTHER_TENANT, signingKey, TENANT, type SigningKey } from '../../support/tokens.ts';
import { DOCUMENTED, startGateway, type Gateway, type Readings } from './emulator.ts';
import type { PolicySettings } from './policy-files.ts';

export const TEAM_KEY = 'team-key';
export const IDENTITY_TOKEN = 'token-of-the-identity';
export const TENANT_KEY = signingKey('key-a');
export const OTHER_TENANT_KEY = signingKey('key-b');

const DEPLOYMENTS = {
  'gpt-5.4-mini': { model: 'gpt-5.4-mini' },
  'text-embedding-3-large': { model: 'text-embedding-3-large' },
  'gpt-4o-transcribe': { model: 'gpt-4o-transcribe' },
};

export interface StageSetup {
  readonly resources?: number;
  readonly resource?: Partial<ResourceOptions>;
  readonly settings?: Partial<PolicySettings>;
  readonly readings?: Partial<Readings>;
  readonly priorities?: readonly number[];
  /** Keys of subscriptions beside those of CLIENT_API_KEYS. */
  readonly subscriptions?: Readonly<Record<string, string>>;
}

export interface Stage {
  readonly url: string;
  readonly gateway: Gateway;
  readonly resources: readonly SimulatedResource[];
  /** Of the gateway, the resources and the tokens alike. */
  readonly clock: ManualClock;
  /** No expression failed and the emulator met nothing that it does not know. */
  assertNoAccident(): void;
  close(): Promise<void>;
}

export async function startStage(setup: StageSetup = {}): Promise<Stage> {
  const clock = manualClock(MADE_AT_MS);
  const count = setup.resources ?? 3;
  const fleet = await startFleet(
    Array.from({ length: count }, (_, index) => ({
      name: `openai${index + 1}`,
      bearerToken: IDENTITY_TOKEN,
      isKeyless: true,
      now: clock.now,
      deployments: DEPLOYMENTS,
      ...setup.resource,
    })),
  );
  const gateway = await startGateway({
    settings: {
      entraTenantIds: TENANT,
      entraAllowedClients: '',
      clientApiKeys: `team=${TEAM_KEY}`,
      chatDeployment: 'gpt-5.4-mini',
      embeddingDeployment: 'text-embedding-3-large',
      identityClientId: 'client-id-of-the-identity',
      endpoints: count,
      ...setup.settings,
    },
    members: fleet.resources.map(({ url }, index) => ({ url, priority: setup.priorities?.[index] ?? 1, weight: 1 })),
    subscriptions: new Map(Object.entries(setup.subscriptions ?? {})),
    keys: new Map([
      [TENANT, keySet(TENANT_KEY)],
      [OTHER_TENANT, keySet(OTHER_TENANT_KEY)],
    ]),
    identityToken: IDENTITY_TOKEN,
    now: clock.now,
    readings: { ...DOCUMENTED, ...setup.readings },
  });
  return {
    url: gateway.url,
    gateway,
    resources: fleet.resources,
    clock,
    assertNoAccident() {
      const accidents = gateway.errors.filter(({ source }) => source === 'expression' || source === 'emulator');
      assert.deepEqual(accidents, []);
    },
    async close() {
      await gateway.close();
      await fleet.close();
    },
  };
}

function keySet({ jwk }: SigningKey): JSONWebKeySet {
  return { keys: [{ kty: 'RSA', ...jwk }] };
}

export function callsOf({ resources }: Stage): readonly number[] {
  return resources.map(({ calls }) => calls.length);
}

/** The call that only one resource got. */
export function onlyCall(stage: Stage): Call {
  const calls = stage.resources.flatMap((resource) => resource.calls);
  const [call] = calls;
  assert.equal(calls.length, 1);
  assert.ok(call !== undefined);
  return call;
}
