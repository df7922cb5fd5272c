/**
 * `node bench/soak/fleet.ts seed rareEveryMs`: three simulated resources in a process of their own, and what befalls them. The first
 * two have faults while they are told to, the third is always well. It is told by HTTP, and tells what it did.
 */
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { CONTROL_PREFIX } from '../../simulator/control.ts';
import { startFleet } from '../../simulator/fleet.ts';
import type { SimulatedResource } from '../../simulator/server.ts';
import { listenAnywhere } from '../listen.ts';
import { randomOf } from '../random.ts';
import { drawEpisode, drawFaults, drawGapMs, drawRare, EPISODES_EVERY_MS, FAULTS_EVERY_MS } from './faults.ts';
import type { Episode } from './faults.ts';
import { DEPLOYMENTS, ID_HEADER } from './traffic.ts';

export const BACKEND_KEY = 'soak-backend-key';
const NAMES = ['openai1', 'openai2', 'openai3'] as const;
const UNLUCKY = 2;
/** More than anybody here asks for; said in headers, so that the balancer has something to foresee. */
const TPM = 1_000_000_000;
/** Between two events of a stream. */
const CHUNK_DELAY_MS = 15;

/** One request that a fault befell, by the name it has in its header. */
export interface Befallen {
  readonly id: string;
  readonly fault: string;
  readonly resource: string;
}

/** A resource that went away with so many requests open. */
export interface Gone {
  readonly resource: string;
  /** Epoch ms. */
  readonly at: number;
  readonly open: number;
}

/** What happened since it was asked before. */
export interface Notes {
  readonly befallen: readonly Befallen[];
  readonly gone: readonly Gone[];
  readonly episodes: readonly string[];
  /** Attempts, by resource. */
  readonly calls: Readonly<Record<string, number>>;
}

export interface FleetAddress {
  readonly control: string;
  readonly resources: readonly { readonly name: string; readonly url: string }[];
}

if (process.argv[1] === import.meta.filename) await run(Number(process.argv[2]), Number(process.argv[3]));

async function run(seed: number, rareEveryMs: number): Promise<void> {
  const { resources } = await startFleet(
    NAMES.map((name) => ({
      name,
      apiKey: BACKEND_KEY,
      chunkDelayMs: CHUNK_DELAY_MS,
      deployments: Object.fromEntries(Object.entries(DEPLOYMENTS).map(([of, model]) => [of, { model, tpm: TPM }])),
    })),
  );
  const gone: Gone[] = [];
  const episodes: string[] = [];
  let stop = new AbortController();
  let running: Promise<void>[] = [];

  function begin(): void {
    stop = new AbortController();
    const { signal } = stop;
    running = resources.slice(0, UNLUCKY).flatMap((resource, index) => {
      const every = (ms: number, name: number, act: (random: () => number) => Promise<void> | void): Promise<void> => {
        const random = randomOf(seed, index, name);
        return repeat(
          signal,
          () => drawGapMs(ms, random),
          () => act(random),
        );
      };
      return [
        every(FAULTS_EVERY_MS, 1, (random) => scriptFaults(resource, random)),
        every(rareEveryMs, 2, (random) => resource.script(drawRare(random))),
        every(EPISODES_EVERY_MS, 3, (random) => play(resource, drawEpisode(random), signal)),
      ];
    });
  }

  async function end(): Promise<void> {
    stop.abort();
    await Promise.all(running);
    for (const resource of resources) resource.clearFaults();
  }

  async function play(resource: SimulatedResource, episode: Episode, signal: AbortSignal): Promise<void> {
    episodes.push(episode.kind);
    switch (episode.kind) {
      case 'gone':
        gone.push({ resource: resource.name, at: Date.now(), open: resource.openRequests });
        await resource.stopListening();
        await pause(episode.ms, signal);
        return resource.listenAgain();
      case 'throttled':
        return resource.throttle(episode.ms, episode.deployment);
      case 'reduced':
        return resource.reduce(episode.tpm, episode.ms, episode.deployment);
      case 'sockets dropped':
        return resource.dropIdleSockets();
      default:
        return episode satisfies never;
    }
  }

  function takeNotes(): Notes {
    const befallen: Befallen[] = [];
    const calls: Record<string, number> = {};
    for (const resource of resources) {
      calls[resource.name] = resource.calls.length;
      for (const { fault, headers } of resource.calls) {
        const id = headers[ID_HEADER];
        if (fault !== undefined && typeof id === 'string') befallen.push({ id, fault, resource: resource.name });
      }
      resource.clearCalls();
    }
    return { befallen, gone: gone.splice(0), episodes: episodes.splice(0), calls };
  }

  async function answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
    if (req.url === '/begin') begin();
    else if (req.url === '/end') await end();
    res.end(JSON.stringify(takeNotes()));
  }

  const control = createServer((req, res) => {
    answer(req, res).catch((error: unknown) => res.destroy(error instanceof Error ? error : undefined));
  });
  const port = await listenAnywhere(control);
  const address: FleetAddress = {
    control: `http://127.0.0.1:${port}`,
    resources: resources.map(({ name, url }) => ({ name, url })),
  };
  process.stdout.write(`${JSON.stringify(address)}\n`);
}

/** What nobody asked for meanwhile is dropped: a resource that rests would else have nothing but faults when it is back. */
async function scriptFaults(resource: SimulatedResource, random: () => number): Promise<void> {
  const faults = drawFaults(random);
  if ((await scriptedAt(resource)) > 0) resource.clearFaults();
  if (random() < 0.6) resource.script(...faults);
}

async function scriptedAt({ url }: SimulatedResource): Promise<number> {
  try {
    const state: { scriptedFaults: unknown[] } = JSON.parse(await (await fetch(`${url}${CONTROL_PREFIX}state`)).text());
    return state.scriptedFaults.length;
  } catch {
    return 0; // it is gone for a while
  }
}

async function repeat(signal: AbortSignal, gapMs: () => number, act: () => Promise<void> | void): Promise<void> {
  while (!signal.aborted) {
    await pause(gapMs(), signal);
    if (!signal.aborted) await act();
  }
}

/** Ends at once when nobody waits any more. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined);
}
