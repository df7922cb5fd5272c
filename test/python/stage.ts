/**
 * What the Python tests play on: a small HTTP server on loopback that sets up a balancer in front of simulated
 * resources for each test, and takes the last one down again.
 *
 *   POST /scene?backends=3         a fresh balancer and fresh resources; answers with their URLs and credentials
 *   POST /pass?seconds=60          the clock of the resources moves on by so much
 *   POST /down?resource=openai1    connections to it are refused from now on
 *   GET  /called?resource=openai1  once a request has arrived there
 *   GET  /finished                 once nothing is in flight: how each request ended, in order; 500 when it never is
 *
 * Faults are scripted on the resources themselves, with the simulator's control API.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { SimulatedResource } from '../../simulator/server.ts';
import { CLIENT_KEY, startBalancer, type RunningBalancer } from '../support/balancer.ts';
import { hasNoOpenRequests } from '../support/observed.ts';
import { takeDown } from '../support/outage.ts';
import { until } from '../support/until.ts';

export interface Stage {
  readonly url: string;
  close(): Promise<void>;
}

const OPERATOR_KEY = 'operator-key';
/** What the resources accept beside their key, as a token of Microsoft Entra. */
const BEARER_TOKEN = 'entra-token';

/** Longer than any test, so that only a clock that is moved on ends a batch or a response in the background. */
const JOB_STEP_S = 60;

const MODELS = ['gpt-5.4-mini', 'text-embedding-3-large', 'gpt-4o-transcribe', 'tts-hd', 'gpt-image-1'];

export async function openStage(): Promise<Stage> {
  let scene: RunningBalancer | undefined;
  let passedMs = 0;

  async function endScene(): Promise<void> {
    await scene?.close();
    scene = undefined;
  }

  function resourceNamed(wanted: string | null): SimulatedResource | undefined {
    return scene?.resources.find(({ name }) => name === wanted);
  }

  async function answer({ method, url }: IncomingMessage): Promise<object> {
    const { pathname, searchParams } = new URL(url ?? '/', 'http://127.0.0.1');
    switch (`${method} ${pathname}`) {
      case 'POST /scene':
        await endScene();
        passedMs = 0;
        scene = await startBalancer({
          backends: Number(searchParams.get('backends')),
          resource: () => ({
            deployments: deployments(),
            bearerToken: BEARER_TOKEN,
            now: () => Date.now() + passedMs,
            jobStepMs: JOB_STEP_S * 1000,
          }),
          settings: { OPERATOR_KEYS: `tester=${OPERATOR_KEY}` },
        });
        return described(scene);
      case 'POST /pass':
        passedMs += Number(searchParams.get('seconds')) * 1000;
        return {};
      case 'POST /down':
        await takeDown(resourceNamed(searchParams.get('resource')));
        return {};
      case 'GET /called': {
        const resource = resourceNamed(searchParams.get('resource'));
        if (resource?.calls.length === 0) await resource.onceCalled();
        return {};
      }
      case 'GET /finished':
        return scene === undefined ? [] : finished(scene);
      default:
        throw new Error(`nothing is done for ${method} ${pathname}`);
    }
  }

  const server = createServer((req, res) => {
    answer(req).then(
      (body) => res.end(JSON.stringify(body)),
      (error: unknown) => res.writeHead(500).end(String(error)),
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;

  return {
    url: `http://127.0.0.1:${port}`,
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
      await endScene();
    },
  };
}

function deployments(): Record<string, { readonly model: string }> {
  return Object.fromEntries(MODELS.map((model) => [model, { model }]));
}

function described({ url, resources }: RunningBalancer): object {
  return {
    balancer: { name: 'balancer', url, key: CLIENT_KEY, token: CLIENT_KEY },
    resources: resources.map(({ name, url: resourceUrl }, index) => ({
      name,
      url: resourceUrl,
      key: `key-${index + 1}`,
      token: BEARER_TOKEN,
    })),
    operatorKey: OPERATOR_KEY,
    jobStepSeconds: JOB_STEP_S,
  };
}

async function finished(scene: RunningBalancer): Promise<object> {
  await until(() => hasNoOpenRequests(scene) && scene.balancer.admission.inFlight === 0);
  scene.assertIdle();
  return scene.events.flatMap((event) => {
    if (event.kind !== 'request-finished') return [];
    const { status, ending, attempts, code = '' } = event;
    return [{ status, ending, attempts, code }];
  });
}
