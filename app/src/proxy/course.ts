/**
 * The course of one request over its attempts: who was tried, what each came to, and the trace that tells it.
 */
import type { Failure } from '../balancer/failover.ts';
import { isTimeout, type Outcome } from '../balancer/outcome.ts';
import type { Lease } from '../balancer/pool.ts';
import type { SpanIds } from '../telemetry/events.ts';
import { requestIdHeader } from './headers.ts';
import type { KeptAnswer } from './peek.ts';

/** An attempt that was failed over. */
export interface FailedAttempt extends Failure {
  readonly lease: Lease;
  readonly kept?: KeptAnswer;
}

export class Course {
  /** Attempts that were made, the present one included. */
  attempts = 0;
  readonly tried = new Set<string>();
  /** Of those, the ones that throttled. */
  readonly throttled = new Set<string>();
  /** Of those, the ones that were given up because another could be asked, and not because their time was over. */
  readonly slow = new Set<string>();
  /** The best priority that could not serve it: only worse ones can. */
  worseThan = -1;
  /** An attempt is under way, or its answer. */
  isAsking = false;
  /** So long it has waited for a throttled backend. */
  heldMs = 0;
  /** Clock ms: when the first content of a stream was there. */
  firstContentAt: number | undefined;
  /** Of the attempt that is under way; undefined before anything is sent, or when no traces are. */
  span: SpanIds | undefined;
  readonly failures: FailedAttempt[] = [];
  private readonly id: string;
  private readonly steps: string[] = [];
  /** Where the failures of the present pass begin. */
  private passBegan = 0;

  /** @param id ours for the request */
  constructor(id: string) {
    this.id = id;
  }

  /** An attempt failed; another backend may be asked. */
  add(lease: Lease, outcome: Outcome, kept: KeptAnswer | undefined): void {
    this.tried.add(lease.backend.name);
    if (outcome.kind === 'throttled') this.throttled.add(lease.backend.name);
    if (outcome.kind === 'too-long') this.worseThan = lease.backend.priority;
    this.failures.push({ lease, outcome, hasAnswer: kept !== undefined, ...(kept === undefined ? {} : { kept }) });
    this.steps.push(`${lease.backend.name}=${stepOf(outcome, kept?.status)}`);
  }

  /** The request waits, and begins anew: whoever was throttled may be asked once more, and nobody who failed it. */
  restart(): void {
    for (const name of this.throttled) this.tried.delete(name);
    this.throttled.clear();
    this.passBegan = this.failures.length;
  }

  /**
   * Nobody is left: those that were given up for being slow to begin may be asked once more, for slow is better than
   * nobody. False if there were none since the last time, and when the last one that was asked took all the time that
   * there is: then it is over.
   */
  takeSlow(): boolean {
    const last = this.failures.at(-1);
    if (last !== undefined && isTimeout(last.outcome) && !this.slow.has(last.lease.backend.name)) return false;
    const { size } = this.slow;
    for (const name of this.slow) this.tried.delete(name);
    this.slow.clear();
    return size > 0;
  }

  /** The caller's stream began without a backend's. */
  opened(ms: number): void {
    this.steps.push(`opened=${Math.round(ms)}ms`);
  }

  /** A backend was asked again, without what it does not know. */
  askedAgain(backend: string, status: number): void {
    this.steps.push(`${backend}=${status}(stream_options)`);
  }

  held(ms: number): void {
    this.heldMs += ms;
    this.steps.push(`held=${Math.round(ms)}ms`);
  }

  /** What failed since the request waited; all, when nothing did. */
  latest(): readonly FailedAttempt[] {
    return this.passBegan === this.failures.length ? this.failures : this.failures.slice(this.passBegan);
  }

  /** The leases of the 500s, whose blame waits for the request's end. */
  failed500(): readonly Lease[] {
    const leases: Lease[] = [];
    for (const { lease, outcome } of this.failures) {
      if (outcome.kind === 'failed' && outcome.status === 500) leases.push(lease);
    }
    return leases;
  }

  /** `openai1=429(1200ms) openai2=200` */
  trace(backend?: string, status?: number): string {
    const last = backend === undefined || status === undefined ? [] : [`${backend}=${status}`];
    return this.steps.length === 0 ? (last[0] ?? '') : [...this.steps, ...last].join(' ');
  }

  /** `openai1=CERT_HAS_EXPIRED`: what the network or TLS said, for operators; undefined when it said nothing. */
  reasons(): string | undefined {
    const said = this.failures.flatMap(({ lease, outcome }) =>
      outcome.kind === 'failed' && outcome.code !== undefined ? [`${lease.backend.name}=${outcome.code}`] : [],
    );
    return said.length === 0 ? undefined : said.join(' ');
  }

  /** The headers that tell all this to the caller, as name, value, name, value, … */
  headers(backend?: string, status?: number): string[] {
    const headers = [...requestIdHeader(this.id), 'x-balancer-attempts', String(this.attempts)];
    const trace = this.trace(backend, status);
    if (backend !== undefined) headers.push('x-balancer-backend', backend);
    if (trace !== '') headers.push('x-balancer-trace', trace);
    return headers;
  }
}

function stepOf(outcome: Outcome, status: number | undefined): string {
  switch (outcome.kind) {
    case 'throttled':
      return outcome.retryAfterMs === undefined ? '429' : `429(${outcome.retryAfterMs}ms)`;
    case 'failed':
      return outcome.status === undefined ? outcome.cause : String(outcome.status);
    case 'missing':
    case 'too-long':
    case 'unsupported':
    case 'unauthorized':
      return status === undefined ? outcome.kind : String(status);
    case 'served':
    case 'refused':
    case 'broken':
    case 'abandoned':
      return outcome.kind;
    default:
      return outcome satisfies never;
  }
}
