// Whose doing is an answer that is not simply right? What the resources did to the request says so. Pure.
import type { Finding } from './answers.ts';
import { canBreak, isVerbatim } from './faults.ts';
import type { Befallen, Gone } from './fleet.ts';

/** A request whose caller stayed. */
export interface Asked {
  readonly id: string;
  readonly finding: Finding;
  /** Nobody can answer it: it is to be refused. */
  readonly isBad: boolean;
  /** Who answered, as its header says; empty where the head went out before anybody had. */
  readonly backend: string;
  /** Epoch ms. */
  readonly sentAt: number;
  readonly endedAt: number;
}

export interface Happened {
  /** By request. */
  readonly befallen: ReadonlyMap<string, readonly Befallen[]>;
  readonly gone: readonly Gone[];
}

/**
 * right; told: a resource's refusal of the request itself, which is passed on, or of what nobody can answer; broken: a stream that a
 * fault broke after its first content, and that says so; shed: honestly refused for want of room; lost: all else.
 */
export type Verdict = 'right' | 'told' | 'broken' | 'shed' | 'lost';

export function judge(asked: Asked, happened: Happened): Verdict {
  const { finding, id, backend } = asked;
  const faults = happened.befallen.get(id) ?? [];
  switch (finding.kind) {
    case 'right':
      return 'right';
    case 'padded':
      return faults.some(({ fault }) => fault === 'large') ? 'right' : 'lost';
    case 'filtered':
      return faults.some(({ fault }) => fault === 'content-filter') ? 'told' : 'lost';
    case 'refused':
      // Whom a fault befalls refuses it in other words than those that are due, and nobody can do better.
      if (asked.isBad && faults.length > 0) return 'told';
      return finding.status < 500 && finding.status !== 429 && faults.some(({ fault }) => isVerbatim(fault))
        ? 'told'
        : 'lost';
    case 'shed':
      return 'shed';
    case 'broken':
      if (!finding.isTold) return 'lost';
      // The head of the stream had gone out before the resource refused the request, or answered compressed, unasked.
      if (!finding.hasContent)
        return faults.some(({ fault }) => isVerbatim(fault) || fault === 'gzip') ? 'told' : 'lost';
      return faults.some(({ fault, resource }) => canBreak(fault) && isFrom(resource, backend)) ||
        wasGone(asked, happened.gone)
        ? 'broken'
        : 'lost';
    case 'wrong':
      return 'lost';
    default:
      return finding satisfies never;
  }
}

function wasGone({ backend, sentAt, endedAt }: Asked, gone: readonly Gone[]): boolean {
  return gone.some(({ resource, at }) => isFrom(resource, backend) && at >= sentAt && at <= endedAt);
}

function isFrom(resource: string, backend: string): boolean {
  return backend === '' || resource === backend;
}
