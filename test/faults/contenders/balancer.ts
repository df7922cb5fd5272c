// The balancer: a fresh one for each row, put together as main.ts does, in this process.
import { until } from '../../support/until.ts';
import { CLIENT_KEY, startBalancer, type BalancerSetup, type RunningBalancer } from '../../support/balancer.ts';
import { isChat } from '../reading.ts';
import { BACKEND_KEY, MODEL, type Stage } from '../stage.ts';
import type { Contender, Door } from './contender.ts';

/** @param sabotage what is changed in it so that a mechanism is missing */
export function balancerContender(sabotage: BalancerSetup = {}): Contender {
  return {
    name: 'balancer',
    version: 'this one',
    atOnce: 16,
    open: () => Promise.resolve({ doorTo: (stage) => doorTo(stage, sabotage), close: () => Promise.resolve() }),
  };
}

async function doorTo({ fleet, row }: Stage, sabotage: BalancerSetup): Promise<Door> {
  const silence = row.silenceMs === undefined ? undefined : String(row.silenceMs / 1000);
  const running = await startBalancer({
    fleet,
    ...sabotage,
    settings: {
      ...Object.fromEntries(fleet.resources.map((_, index) => [`BACKEND_${index + 1}_APIKEY`, BACKEND_KEY])),
      ...(silence === undefined ? {} : { HTTP_TIMEOUT_SECONDS: silence, STREAM_IDLE_TIMEOUT_SECONDS: silence }),
      ...row.settings,
      ...sabotage.settings,
    },
  });
  return {
    url: (form) => `${running.url}/v1/${isChat(form) ? 'chat/completions' : 'responses'}`,
    headers: { 'api-key': CLIENT_KEY },
    model: MODEL,
    inspect: ({ status, text }) => inspect(running, status, text),
    close: () => running.close(),
  };
}

async function inspect(running: RunningBalancer, status: number, text: string): Promise<string | undefined> {
  if (status >= 400 && !/^\{[^]*"error"[^]*\}\s*$/.test(text)) return 'an error in the shape that clients parse';
  try {
    await until(() => running.balancer.admission.inFlight === 0);
    await until(() => running.resources.every(({ openRequests }) => openRequests === 0));
    running.assertIdle();
    return undefined;
  } catch (error) {
    return `nothing left behind: ${error instanceof Error ? error.message : String(error)}`;
  }
}
