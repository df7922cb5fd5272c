// Rows whose mechanism is taken away: each must fail then, or it would hold nothing.
import { performance } from 'node:perf_hooks';
import type { Outcome } from '../../app/src/balancer/outcome.ts';
import { createForwarder, type CreateForwarder, type Forwarded } from '../../app/src/proxy/forward.ts';
import type { BalancerSetup } from '../support/balancer.ts';
import { balancerContender } from './contenders/balancer.ts';
import type { Sabotage } from './house.ts';
import type { Row, Result } from './row.ts';
import { runBackendRows, runPlays, several } from './run.ts';

export interface SwitchOff {
  readonly mechanism: string;
  /** A row by its name. */
  readonly row: string;
  readonly change: Sabotage;
}

export interface SwitchedOff {
  readonly mechanism: string;
  readonly result: Result;
}

/** Long enough for every answer that comes; what hangs is seen to. */
const PATIENCE_MS = 4000;
const AT_ONCE = 6;

const settings = (some: NonNullable<BalancerSetup['settings']>): Sabotage => ({ balancer: { settings: some } });
const handlerLimits = (some: NonNullable<BalancerSetup['handlerLimits']>): Sabotage => ({
  balancer: { handlerLimits: some },
});
const preloaded = (code: string): Sabotage => ({
  env: { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(code)}` },
});

/** Attempts whose failures are told as something else. */
function telling(change: (outcome: Outcome) => Outcome): CreateForwarder {
  return (options) => {
    const { forward, close } = createForwarder(options);
    const changed = (forwarded: Forwarded): Forwarded =>
      forwarded.kind === 'failed' ? { kind: 'failed', outcome: change(forwarded.outcome) } : forwarded;
    return { forward: async (attempt, signal) => changed(await forward(attempt, signal)), close };
  };
}

function told(outcome: Outcome, cause: string, as: 'reset' | 'connect'): Outcome {
  return outcome.kind === 'failed' && outcome.cause === cause ? { kind: 'failed', cause: as } : outcome;
}

const DECADE_MS = 315_360_000_000;

export const switchOffs: readonly SwitchOff[] = [
  {
    mechanism: 'another backend is asked',
    row: 'a 503, at the first',
    change: settings({
      BACKEND_2_URL: undefined,
      BACKEND_2_APIKEY: undefined,
      BACKEND_3_URL: undefined,
      BACKEND_3_APIKEY: undefined,
    }),
  },
  {
    mechanism: 'a backend may be silent so long (HTTP_TIMEOUT_SECONDS)',
    row: 'silence, at the first',
    change: settings({ HTTP_TIMEOUT_SECONDS: '230' }),
  },
  {
    mechanism: 'a stream may be silent so long (STREAM_IDLE_TIMEOUT_SECONDS)',
    row: 'silence between two events, in mid-stream, streamed, at the first',
    change: settings({ STREAM_IDLE_TIMEOUT_SECONDS: '600' }),
  },
  {
    mechanism: 'a stream is looked into before it is passed on',
    row: 'a throttle as the first event (response-failed), a streamed response, at the first',
    change: handlerLimits({ holdBytes: 0 }),
  },
  {
    mechanism: 'a JSON answer is held until it is complete',
    row: 'a reset in the middle of the JSON, at the first',
    change: handlerLimits({ holdBytes: 0 }),
  },
  {
    mechanism: "an error's body may take so long",
    row: 'a 503 that stalls, at the first',
    change: handlerLimits({ errorBodyMs: 600_000 }),
  },
  {
    mechanism: 'what may have been created is not created again',
    row: 'a reset after it was read to a creation, at the first',
    change: { balancer: { createForwarder: telling((outcome) => told(outcome, 'reset', 'connect')) } },
  },
  {
    mechanism: 'a request is held until somebody is back (MAX_HOLD_SECONDS)',
    row: 'all three are throttled for 1.5 s',
    change: settings({ MAX_HOLD_SECONDS: '0' }),
  },
  {
    mechanism: 'a throttled backend rests as long as it said',
    row: 'a backend is throttled for 50 s, and asked meanwhile',
    change: { balancer: { clock: () => performance.now() * 1e6 } },
  },
  {
    mechanism: 'a connection that was closed meanwhile is tried once more',
    row: 'the only backend closes its kept connections',
    change: { balancer: { createForwarder: telling((outcome) => told(outcome, 'stale-socket', 'reset')) } },
  },
  {
    mechanism: 'a first word may take so long (FIRST_TOKEN_TIMEOUT_SECONDS)',
    row: 'a backend thinks for 50 s before its first word',
    change: settings({ FIRST_TOKEN_TIMEOUT_SECONDS: undefined }),
  },
  {
    mechanism: 'signs of life in a silent stream (SSE_KEEPALIVE_SECONDS)',
    row: 'a stream is silent for 1.5 s, and the way to the caller closes what is idle',
    change: settings({ SSE_KEEPALIVE_SECONDS: '600' }),
  },
  {
    mechanism: 'a connection may take so long to stand (CONNECT_TIMEOUT_SECONDS)',
    row: 'TLS to a backend never stands',
    change: settings({ CONNECT_TIMEOUT_SECONDS: '230' }),
  },
  {
    mechanism: 'a backend is told when the caller has left',
    row: 'a caller leaves before the answer',
    change: {
      balancer: {
        createForwarder: (options) => {
          const { forward, close } = createForwarder(options);
          return { forward: (attempt) => forward(attempt, new AbortController().signal), close };
        },
      },
    },
  },
  {
    mechanism: 'so many requests at once (MAX_CONCURRENT_REQUESTS)',
    row: 'forty requests where five have room',
    change: settings({ MAX_CONCURRENT_REQUESTS: '1000' }),
  },
  {
    mechanism: 'a body may be so long (MAX_BODY_BYTES)',
    row: 'a caller sends more than it may',
    change: settings({ MAX_BODY_BYTES: undefined }),
  },
  {
    mechanism: 'a token is renewed before it ends',
    row: 'the token expires in the middle of the traffic',
    change: {
      balancer: {
        credential: () =>
          Promise.resolve({
            getToken: () => Promise.resolve({ token: 'token-1', expiresOnTimestamp: Date.now() + DECADE_MS }),
          }),
      },
    },
  },
  {
    mechanism: 'what is under way may end after SIGTERM (DRAIN_SECONDS)',
    row: 'SIGTERM in the middle of a stream',
    change: { env: { DRAIN_SECONDS: '0' } },
  },
  {
    mechanism: 'nobody has to read the log',
    row: 'whoever reads the log goes away (EPIPE on stdout)',
    change: preloaded(
      'const { on } = process.stdout; process.stdout.on = (name, ...more) => name === "error" ? process.stdout : on.call(process.stdout, name, ...more);',
    ),
  },
  {
    mechanism: 'what has come is read before a deadline counts',
    row: 'the process stands still for 2 s with creations on their way, longer than a backend may be silent',
    change: preloaded(
      'const { setImmediate } = globalThis; globalThis.setImmediate = (run, ...more) => new Error().stack.includes("/deadline.ts") ? void run() : setImmediate(run, ...more);',
    ),
  },
];

/** @returns how each row ended without its mechanism */
export async function runSwitchOffs(rows: readonly Row[]): Promise<SwitchedOff[]> {
  const named = new Map(rows.map((row) => [row.name, row]));
  const seen: SwitchedOff[] = [];
  await several(switchOffs, AT_ONCE, async ({ mechanism, row: name, change }) => {
    const row = named.get(name);
    if (row === undefined) throw new Error(`there is no row "${name}"`);
    const keep = (result: Result): void => void seen.push({ mechanism, result });
    if (row.kind === 'play') await runPlays([row], keep, change, 2 * PATIENCE_MS);
    else await runBackendRows(balancerContender(change.balancer), [row], keep, PATIENCE_MS);
  });
  const placeOf = ({ mechanism }: SwitchedOff): number => switchOffs.findIndex((each) => each.mechanism === mechanism);
  return seen.toSorted((a, b) => placeOf(a) - placeOf(b));
}
