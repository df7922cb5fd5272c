/**
 * Who used what: requests, how they ended, and tokens, per client × deployment × backend since the start; a fold over the
 * events, for whoever divides a bill. What backends said they counted and what is estimated where none said it stand apart.
 * Its rows are bounded whatever callers send: names that a stranger can choose become `other` after the first few.
 */
import type { Usage } from '../balancer/outcome.ts';
import { boundedNames, OTHER } from './bounded-names.ts';
import type { Observe, ProxyEvent } from './events.ts';

export interface Ledger {
  readonly observe: Observe;
  /** What has been counted by now, ordered by client, deployment and backend. */
  readonly read: () => LedgerDocument;
}

export interface LedgerDocument {
  /** ISO 8601, as the two clocks that it is read by have it. */
  readonly since: string;
  readonly until: string;
  readonly rows: readonly LedgerRow[];
}

export interface LedgerRow extends Tally {
  /** `none`: nobody who is known. */
  readonly client: string;
  /** As the client named it; `none`: it named none, or one that nobody has. */
  readonly deployment: string;
  /** Who answered, or was being asked when the caller left; `none`: nobody. */
  readonly backend: string;
}

interface Tally {
  readonly requests: number;
  /** To their end. */
  readonly delivered: number;
  /** By the backend: its own error is the answer. */
  readonly refused: number;
  /** By the balancer, with an error of its own. */
  readonly failed: number;
  /** In the middle of the answer. */
  readonly broken: number;
  /** The caller left. */
  readonly abandoned: number;
  readonly promptTokens: number;
  /** Of the prompt's. */
  readonly cachedTokens: number;
  readonly completionTokens: number;
  /** Of the completion's. */
  readonly reasoningTokens: number;
  /** Requests whose tokens nobody said; they are not among the tokens above. */
  readonly estimatedRequests: number;
  readonly estimatedPromptTokens: number;
  readonly estimatedCompletionTokens: number;
}

type Column = keyof Tally;
type Finished = Extract<ProxyEvent, { kind: 'request-finished' }>;

/** In the order of the columns. */
const NOTHING: Tally = {
  requests: 0,
  delivered: 0,
  refused: 0,
  failed: 0,
  broken: 0,
  abandoned: 0,
  promptTokens: 0,
  cachedTokens: 0,
  completionTokens: 0,
  reasoningTokens: 0,
  estimatedRequests: 0,
  estimatedPromptTokens: 0,
  estimatedCompletionTokens: 0,
};

/** Clients are known, but a tenant may have tens of thousands. */
const MOST_CLIENTS = 200;
/** Any caller who is let in can name deployments. */
const MOST_DEPLOYMENTS = 100;
/** Of all that are possible few ever come up. */
const MOST_ROWS = 10_000;
const NONE = 'none';

/** @param wallClockMs of the beginning, and of each reading */
export function createLedger(wallClockMs: () => number): Ledger {
  const since = new Date(wallClockMs()).toISOString();
  const clients = boundedNames(MOST_CLIENTS);
  const deployments = boundedNames(MOST_DEPLOYMENTS);
  const rows = new Map<string, { readonly row: LedgerRow; readonly tally: Record<Column, number> }>();

  function tallyOf(event: Finished): Record<Column, number> {
    const { backend = NONE, code } = event;
    // Whoever is not let in, and whatever is nowhere, must not take the place of somebody or something that is.
    const client = event.client === '' || code === 'client_not_allowed' ? NONE : clients(event.client);
    const isNamed = event.deployment !== '' && code !== 'DeploymentNotFound';
    const deployment = isNamed ? deployments(event.deployment) : NONE;
    const key = `${client}\n${deployment}\n${backend}`;
    const known = rows.get(key);
    if (known !== undefined) return known.tally;
    if (rows.size < MOST_ROWS) return begun(key, { client, deployment, backend });
    const rest = { client: OTHER, deployment: OTHER, backend };
    return rows.get(`${OTHER}\n${OTHER}\n${backend}`)?.tally ?? begun(`${OTHER}\n${OTHER}\n${backend}`, rest);
  }

  function begun(key: string, names: Pick<LedgerRow, 'client' | 'deployment' | 'backend'>): Record<Column, number> {
    const tally = { ...NOTHING };
    rows.set(key, { row: { ...names, ...NOTHING }, tally });
    return tally;
  }

  return {
    observe(event) {
      if (event.kind !== 'request-finished') return;
      const tally = tallyOf(event);
      tally.requests += 1;
      tally[endingOf(event)] += 1;
      if (event.usage !== undefined) addUsage(tally, event.usage);
    },
    read: () => ({
      since,
      until: new Date(wallClockMs()).toISOString(),
      rows: [...rows].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, { row, tally }]) => ({ ...row, ...tally })),
    }),
  };
}

function endingOf({ ending, status }: Finished): Column {
  if (ending === 'delivered') return status < 400 ? 'delivered' : 'refused';
  return ending === 'refused' ? 'failed' : ending;
}

function addUsage(tally: Record<Column, number>, usage: Usage): void {
  if (usage.isEstimated === true) {
    tally.estimatedRequests += 1;
    tally.estimatedPromptTokens += usage.promptTokens;
    tally.estimatedCompletionTokens += usage.completionTokens;
    return;
  }
  tally.promptTokens += usage.promptTokens;
  tally.completionTokens += usage.completionTokens;
  tally.cachedTokens += usage.cachedTokens ?? 0;
  tally.reasoningTokens += usage.reasoningTokens ?? 0;
}
