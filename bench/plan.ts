// How long and how often each scenario measures: `fullPlan` for figures, `quickPlan` to see that everything still works.
// `lead` is the load that precedes each measured window, with the same connections, so that opening them is not counted.
import type { Transport } from './contenders/contender.ts';
import { spareChunks } from './scenarios/lively-streams.ts';
import { sampledMs } from './scenarios/open-streams.ts';

export interface RequestsPlan {
  readonly connections: number;
  /** V8 goes on optimising for tens of thousands of requests, so the slow are warmed up for longer, but not beyond `warmMs`. */
  readonly warmRequests: number;
  readonly warmMs: number;
  /** A run is measured in this many slices, those of the contenders in turn. */
  readonly slices: number;
  readonly sliceMs: number;
  readonly rounds: number;
}

export interface LatencyPlan {
  readonly perSecond: number;
  readonly leadMs: number;
  readonly runMs: number;
  readonly rounds: number;
}

export interface StreamShape {
  readonly streams: number;
  readonly intervalMs: number;
  readonly chunkBytes: number;
  readonly rampMs: number;
}

export interface LivelyPlan extends StreamShape {
  readonly warmMs: number;
  readonly leadMs: number;
  readonly runMs: number;
  readonly rounds: number;
}

export interface OpenPlan extends StreamShape {
  /** Which contenders take part. */
  readonly transports: readonly Transport[];
  readonly warmMs: number;
  readonly settleMs: number;
  readonly leadMs: number;
  readonly runMs: number;
  readonly rounds: number;
}

/** What is asked of the gateways for language models, which are far slower. */
export interface PeersPlan {
  readonly requests: RequestsPlan;
  readonly addedLatency: LatencyPlan;
  readonly livelyStreams: LivelyPlan;
}

export interface Plan extends PeersPlan {
  readonly openStreams: OpenPlan;
  readonly peers: PeersPlan;
}

const chunkBytes = 250;

export const fullPlan: Plan = {
  requests: { connections: 32, warmRequests: 30_000, warmMs: 9000, slices: 4, sliceMs: 250, rounds: 5 },
  addedLatency: { perSecond: 300, leadMs: 300, runMs: 2000, rounds: 3 },
  livelyStreams: {
    streams: 500,
    intervalMs: 50,
    chunkBytes,
    rampMs: 1000,
    warmMs: 500,
    leadMs: 400,
    runMs: 1800,
    rounds: 3,
  },
  openStreams: {
    transports: ['plain', 'tls'],
    streams: 2000,
    intervalMs: 1000,
    chunkBytes,
    rampMs: 2000,
    warmMs: 800,
    settleMs: 600,
    leadMs: 600,
    runMs: 1400,
    rounds: 2,
  },
  peers: {
    requests: { connections: 16, warmRequests: 15_000, warmMs: 4000, slices: 3, sliceMs: 500, rounds: 3 },
    addedLatency: { perSecond: 20, leadMs: 500, runMs: 2500, rounds: 2 },
    livelyStreams: {
      streams: 50,
      intervalMs: 100,
      chunkBytes,
      rampMs: 800,
      warmMs: 800,
      leadMs: 400,
      runMs: 2000,
      rounds: 2,
    },
  },
};

const quickStreams = { streams: 20, intervalMs: 10, chunkBytes, rampMs: 50, warmMs: 60, leadMs: 50, runMs: 150 };

export const quickPlan: Plan = {
  requests: { connections: 8, warmRequests: 1000, warmMs: 50, slices: 1, sliceMs: 100, rounds: 1 },
  addedLatency: { perSecond: 300, leadMs: 50, runMs: 100, rounds: 1 },
  livelyStreams: { ...quickStreams, rounds: 1 },
  openStreams: { ...quickStreams, transports: ['plain'], intervalMs: 50, settleMs: 50, rounds: 1 },
  peers: {
    requests: { connections: 2, warmRequests: 1000, warmMs: 100, slices: 1, sliceMs: 200, rounds: 1 },
    addedLatency: { perSecond: 20, leadMs: 50, runMs: 300, rounds: 1 },
    livelyStreams: { ...quickStreams, streams: 5, rounds: 1 },
  },
};

/** Roughly what starting takes: a contender of the open streams, with what TLS adds, in each round; the peers, together. */
const startMs = 700;
const peersStartMs = 9000;
/** Of all contenders together; for the length of warming up. */
const requestsPerMs = 8;

export interface Field {
  /** `direct` and the proxies, once for each transport. */
  readonly contenders: number;
  readonly openContenders: number;
  readonly peers: number;
}

/** How long a plan takes, but for building the balancer. */
export function expectedMs(plan: Plan, { contenders, openContenders, peers }: Field): number {
  const { warmMs, settleMs, rampMs, leadMs, runMs, rounds } = plan.openStreams;
  const open = rampMs + leadMs + runMs + sampledMs;
  const fresh = startMs + warmMs + settleMs + 200;
  const openStreams = rounds * (openContenders * open + (openContenders - 1) * fresh);
  const measured = commonMs(plan, contenders) + openStreams + 2000;
  // Beside the peers, direct and the balancer are measured again.
  return measured + (peers === 0 ? 0 : commonMs(plan.peers, peers + 2) + peersStartMs);
}

function commonMs({ requests, addedLatency, livelyStreams }: PeersPlan, contenders: number): number {
  const { rampMs, leadMs, runMs, warmMs, intervalMs } = livelyStreams;
  const tailMs = spareChunks * intervalMs;
  return (
    contenders *
    (Math.min(requests.warmMs, requests.warmRequests / requestsPerMs) +
      requests.rounds * requests.slices * requests.sliceMs +
      addedLatency.rounds * (addedLatency.leadMs + addedLatency.runMs) +
      (warmMs + tailMs) +
      livelyStreams.rounds * (rampMs + leadMs + runMs + tailMs))
  );
}
