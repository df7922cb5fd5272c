// A way to a simulated resource that takes its time: an answer is back after some 300 ms, its headers with it, a refusal
// after 20 ms. (The simulator's own delays either hold refusals as long, or send the head of an answer at once.) It
// notes how each attempt ended, which the resource's log of calls does not say.
import { Agent, createServer, request } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SimulatedResource } from '../../simulator/server.ts';
import { listenAnywhere } from '../listen.ts';
import { clock } from '../provisioned/clock.ts';
import { idIn } from '../provisioned/load.ts';
import { answerMsOf } from './workload.ts';

export interface Attempt {
  /** Of its request. */
  readonly id: number;
  /** When the resource got it. */
  readonly atMs: number;
  readonly status: number;
}

export interface DistantResource {
  readonly url: string;
  readonly attempts: readonly Attempt[];
  close(): void;
}

const REFUSAL_MS = 20;

export async function startDistant(resource: SimulatedResource): Promise<DistantResource> {
  const agent = new Agent({ keepAlive: true });
  const attempts: Attempt[] = [];

  async function serve(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const sent = await buffer(req);
    const atMs = clock();
    const answer = await ask(req, sent);
    const body = await buffer(answer);
    const status = answer.statusCode ?? 0;
    const id = idIn(sent) ?? 0;
    attempts.push({ id, atMs, status });
    await sleep(status === 200 ? answerMsOf(id) : REFUSAL_MS);
    res.writeHead(status, answer.rawHeaders).end(body);
  }

  function ask({ method = '', url = '', headers }: IncomingMessage, body: Buffer): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const asked = request(new URL(url, resource.url), { agent, method, headers });
      asked.once('response', resolve);
      asked.on('error', reject);
      asked.end(body);
    });
  }

  const server = createServer((req, res) => {
    serve(req, res).catch(() => res.destroy()); // seen by the contender as a broken connection
  });
  server.keepAliveTimeout = 300_000;
  const port = await listenAnywhere(server);
  return {
    url: `http://127.0.0.1:${port}`,
    attempts,
    close: () => {
      server.close();
      server.closeAllConnections();
      agent.destroy();
    },
  };
}
