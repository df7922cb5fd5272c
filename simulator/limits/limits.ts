// What limits the deployments of one resource: their quotas, temporary reductions of them, and the buckets of provisioned
// ones. Holds the state that quota.ts and provisioned.ts decide on, and shows it in headers.

import type { DeploymentSpec } from '../options.ts';
import { correctProvisioned, decideProvisioned, emptyBucket } from './provisioned.ts';
import type { ProvisionedLimits, ProvisionedState } from './provisioned.ts';
import { decideQuota, freshQuota } from './quota.ts';
import type { QuotaState } from './quota.ts';
import { quotaHeaders, utilizationHeader } from '../answering/wire.ts';
import type { HeaderList, Throttled } from '../answering/wire.ts';

/** What a request is counted as when it arrives. */
export interface Need {
  /** Its prompt and all it may generate. */
  readonly tokens: number;
  /** Of the prompt, what is in the cache: free of a provisioned deployment's bucket. */
  readonly cachedTokens: number;
}

export type Admission =
  | {
      readonly kind: 'admitted';
      readonly headers: HeaderList;
      /** To be called once, when the answer ended, with what it really took of the deployment. */
      readonly settle: (need: Need) => void;
    }
  | { readonly kind: 'refused'; readonly headers: HeaderList; readonly throttled: Refusal };

export type Refusal = Pick<Throttled, 'limit' | 'retryAfterMs' | 'minuteEndsInMs'>;

interface Reduction {
  readonly tpm: number;
  readonly until: number;
}

const EVERY_DEPLOYMENT = '*';

export class Limits {
  private readonly now: () => number;
  private readonly quotas = new Map<string, QuotaState>();
  private readonly buckets = new Map<string, ProvisionedState>();
  private readonly reductions = new Map<string, Reduction>();

  constructor(now: () => number) {
    this.now = now;
  }

  admit(name: string, spec: DeploymentSpec, need: Need): Admission {
    return spec.provisioned === undefined
      ? this.admitByQuota(name, spec, need)
      : this.admitProvisioned(name, spec.provisioned, need);
  }

  /** The headers of an answer that nothing was counted for. */
  headersOf(name: string, spec: DeploymentSpec, remaining: { tokens?: number; requests?: number }): HeaderList {
    return spec.provisioned === undefined ? quotaHeaders(this.inForce(name, spec), remaining) : [];
  }

  /** Until then no more than so many tokens a minute, of one deployment or of all. */
  reduce(tpm: number, until: number, deployment: string = EVERY_DEPLOYMENT): void {
    this.reductions.set(deployment, { tpm, until });
  }

  /** The reductions that are in force. */
  reduced(): Readonly<Record<string, { readonly tpm: number; readonly forMs: number }>> {
    const now = this.now();
    const current = [...this.reductions].filter(([, { until }]) => until > now);
    return Object.fromEntries(current.map(([name, { tpm, until }]) => [name, { tpm, forMs: until - now }]));
  }

  clear(): void {
    this.quotas.clear();
    this.buckets.clear();
    this.reductions.clear();
  }

  private admitByQuota(name: string, spec: DeploymentSpec, { tokens }: Need): Admission {
    const limits = this.inForce(name, spec);
    if (limits.tpm === undefined && limits.rpm === undefined) {
      return { kind: 'admitted', headers: quotaHeaders(limits, {}), settle: nothing };
    }
    const { state, verdict } = decideQuota(this.quotas.get(name) ?? freshQuota, { tokens }, limits, this.now());
    this.quotas.set(name, state);
    const headers = quotaHeaders(limits, verdict.remaining);
    return verdict.kind === 'admitted'
      ? { kind: 'admitted', headers, settle: nothing }
      : { kind: 'refused', headers, throttled: verdict };
  }

  private admitProvisioned(name: string, limits: ProvisionedLimits, need: Need): Admission {
    const counted = need.tokens - need.cachedTokens;
    const bucket = this.buckets.get(name) ?? emptyBucket;
    const { state, verdict } = decideProvisioned(bucket, { tokens: counted }, limits, this.now());
    this.buckets.set(name, state);
    const headers = utilizationHeader(verdict.utilizationPercent);
    if (verdict.kind === 'refused') {
      return { kind: 'refused', headers, throttled: { limit: 'tokens', retryAfterMs: verdict.retryAfterMs } };
    }
    const settle = ({ tokens, cachedTokens }: Need): void => {
      const now = this.now();
      const current = this.buckets.get(name) ?? emptyBucket;
      this.buckets.set(name, correctProvisioned(current, tokens - cachedTokens - counted, limits, now));
    };
    return { kind: 'admitted', headers, settle };
  }

  private inForce(name: string, spec: DeploymentSpec): DeploymentSpec {
    if (this.reductions.size === 0) {
      return spec;
    }
    const now = this.now();
    const caps = [this.reductions.get(name), this.reductions.get(EVERY_DEPLOYMENT)]
      .filter((reduction) => reduction !== undefined && reduction.until > now)
      .map((reduction) => reduction?.tpm ?? 0);
    return caps.length === 0 ? spec : { ...spec, tpm: Math.min(spec.tpm ?? Number.POSITIVE_INFINITY, ...caps) };
  }
}

function nothing(): void {
  // A quota by the token is not corrected afterwards.
}
