// The identity that gives the balancer's tokens, and the clocks that say how long they live.
import type { AccessToken } from '@azure/identity';
import { startFleet } from '../../../simulator/fleet.ts';
import { startIdentityEndpoint, type IdentityAnswer } from '../../support/identity-endpoint.ts';
import { read, type Heard } from '../reading.ts';
import type { Play } from '../row.ts';
import type { House } from '../house.ts';
import { MODEL } from '../stage.ts';
import { askInTurn, askMany, askOnce, want, wantAll } from './crowd.ts';

const HOUR_MS = 3_600_000;
const TOKEN = 'token-of-the-identity';
/** Less than five minutes, so that the balancer wants to renew it at once; more than it needs to use it. */
const SHORT_S = 200;

export const identityPlays: readonly Play[] = [
  {
    kind: 'play',
    name: 'the token expires in the middle of the traffic',
    group: 'identity',
    async act(house) {
      let wall = Date.now();
      let given = 0;
      const fleet = await startFleet(
        [1, 2, 3].map((number) => ({
          name: `openai${number}`,
          deployments: { [MODEL]: { model: MODEL } },
          get bearerToken() {
            return `token-${wall > startedAt + HOUR_MS ? 2 : 1}`;
          },
        })),
      );
      const startedAt = wall;
      const credential = (): Promise<{ getToken(): Promise<AccessToken> }> =>
        Promise.resolve({
          getToken: () => {
            given += 1;
            return Promise.resolve({ token: `token-${given}`, expiresOnTimestamp: wall + HOUR_MS });
          },
        });
      const none = [1, 2, 3].map((number) => [`BACKEND_${number}_APIKEY`, undefined] as const);
      const settings = Object.fromEntries(none);
      const running = await house.balancer({ fleet, credential, settings, wallClockMs: () => wall });
      const before = await askMany(running, 50);
      wall += HOUR_MS + 1;
      const after = await askMany(running, 50);
      const saw = wantAll([...before, ...after]);
      want(given === 2, `${saw}, with ${given} tokens`, 'that one token is fetched for all of them');
      return `${saw}, with two tokens`;
    },
  },
  {
    kind: 'play',
    name: 'the identity endpoint goes down while a token is held',
    group: 'identity',
    async act(house) {
      const { door, identity } = await withIdentity(house, { token: TOKEN, lifetimeSeconds: SHORT_S });
      wantAll([await askOnce(door)]);
      identity.answerWith({ status: 500 });
      const saw = wantAll(await askMany(door, 30));
      want(identity.requests.length > 1, 'the endpoint was not asked again', 'that a new token was tried for');
      return saw;
    },
  },
  ...(
    [
      ['answers 500', { status: 500 }],
      ['does not answer', 'silence'],
    ] as const
  ).map(([how, answer]): Play => ({
    kind: 'play',
    name: `the identity endpoint ${how} from the start, and then does its work`,
    group: 'identity',
    async act(house) {
      const { door, identity } = await withIdentity(house, answer);
      const down = wantAll(await askMany(door, 5), { kind: 'refusal', statuses: [503], saysWhen: true });
      identity.answerWith({ token: TOKEN });
      return `${down}; then ${wantAll([await untilServed(() => askOnce(door))])}`;
    },
  })),
  {
    kind: 'play',
    name: 'the identity endpoint is down, and one backend has a key',
    group: 'identity',
    async act(house) {
      const { door } = await withIdentity(house, { status: 500 }, { BACKEND_2_APIKEY: 'key-2' });
      return wantAll(await askInTurn(door, 5));
    },
  },
];

async function withIdentity(house: House, answer: IdentityAnswer, env: Readonly<Record<string, string>> = {}) {
  const fleet = await house.fleet(2, { bearerToken: TOKEN });
  const identity = await startIdentityEndpoint(answer);
  house.after(() => identity.close());
  const started = await house.process({ ...fleet.envWithoutKeys, ...identity.env, ...env });
  return { door: { url: started.url }, identity };
}

/** As an SDK does it: after a 503 again, in a while. */
async function untilServed(asking: () => Promise<Heard>): Promise<Heard> {
  for (;;) {
    const heard = await asking();
    if (read(heard).status !== 503) return heard;
  }
}
