// How long and how often each scenario measures: `fullPlan` for figures, `quickPlan` to see that everything still works.
// `lead` is the load that precedes each measured window, with the same connections, so that opening them is not counted.

export interface Plan {
  readonly cpuPerRequest: {
    readonly connections: number;
    readonly warmMs: number;
    /** A run is measured in this many slices, those of the contenders in turn. */
    readonly slices: number;
    readonly sliceMs: number;
    readonly rounds: number;
  };
  readonly addedLatency: {
    readonly perSecond: number;
    readonly leadMs: number;
    readonly runMs: number;
    readonly rounds: number;
  };
  readonly streamCpu: StreamShape & {
    readonly warmMs: number;
    readonly leadMs: number;
    readonly runMs: number;
    readonly rounds: number;
  };
  readonly streamMemory: StreamShape & {
    readonly warmMs: number;
    readonly settleMs: number;
    readonly leadMs: number;
    readonly runMs: number;
    readonly rounds: number;
  };
}

export interface StreamShape {
  readonly streams: number;
  readonly intervalMs: number;
  readonly chunkBytes: number;
  readonly rampMs: number;
}

export const fullPlan: Plan = {
  cpuPerRequest: { connections: 32, warmMs: 3000, slices: 8, sliceMs: 250, rounds: 11 },
  addedLatency: { perSecond: 300, leadMs: 500, runMs: 4000, rounds: 5 },
  streamCpu: {
    streams: 200,
    intervalMs: 20,
    chunkBytes: 250,
    rampMs: 400,
    warmMs: 1500,
    leadMs: 600,
    runMs: 3000,
    rounds: 5,
  },
  streamMemory: {
    streams: 2000,
    intervalMs: 1000,
    chunkBytes: 250,
    rampMs: 1500,
    warmMs: 1500,
    settleMs: 2000,
    leadMs: 1500,
    runMs: 3000,
    rounds: 3,
  },
};

export const quickPlan: Plan = {
  cpuPerRequest: { connections: 8, warmMs: 100, slices: 2, sliceMs: 200, rounds: 1 },
  addedLatency: { perSecond: 300, leadMs: 100, runMs: 500, rounds: 1 },
  streamCpu: {
    streams: 20,
    intervalMs: 20,
    chunkBytes: 250,
    rampMs: 50,
    warmMs: 100,
    leadMs: 50,
    runMs: 500,
    rounds: 1,
  },
  streamMemory: {
    streams: 100,
    intervalMs: 100,
    chunkBytes: 250,
    rampMs: 100,
    warmMs: 200,
    settleMs: 200,
    leadMs: 200,
    runMs: 500,
    rounds: 1,
  },
};
