/** A backend pool of API Management: members by priority and weight, each with a circuit breaker. One gateway instance. */
import type { BreakerRule } from './policy-files.ts';

export interface MemberSpec {
  readonly url: string;
  /** Lower first. */
  readonly priority: number;
  readonly weight: number;
}

export class BackendPool {
  private readonly members: readonly { readonly spec: MemberSpec; openUntil: number }[];
  private readonly rule: BreakerRule;
  private readonly now: () => number;
  private turn = 0;

  constructor(specs: readonly MemberSpec[], rule: BreakerRule, now: () => number) {
    if (rule.count !== 1) throw new Error('the emulator counts to one only');
    this.members = specs.map((spec) => ({ spec, openUntil: 0 }));
    this.rule = rule;
    this.now = now;
  }

  /** The next in turn of the lowest priority that is not resting; undefined when all are. */
  next(): MemberSpec | undefined {
    const closed = this.members.filter(({ openUntil }) => openUntil <= this.now()).map(({ spec }) => spec);
    const lowest = Math.min(...closed.map(({ priority }) => priority));
    const wheel = this.members.flatMap(({ spec }) => Array.from({ length: spec.weight }, () => spec));
    for (const _ of wheel) {
      const chosen = wheel[this.turn % wheel.length];
      this.turn += 1;
      if (chosen?.priority === lowest && closed.includes(chosen)) return chosen;
    }
    return undefined;
  }

  /** `retryAfter`: the header's text. */
  answered(spec: MemberSpec, status: number, retryAfter: string | undefined): void {
    if (!this.rule.ranges.some(({ min, max }) => status >= min && status <= max)) return;
    const seconds = this.rule.isRetryAfterAccepted && /^\d+$/.test(retryAfter ?? '') ? Number(retryAfter) : undefined;
    this.trip(spec, seconds === undefined ? this.rule.tripMs : seconds * 1000);
  }

  failed(spec: MemberSpec, reason: string): void {
    if (this.rule.errorReasons.includes(reason)) this.trip(spec, this.rule.tripMs);
  }

  private trip(spec: MemberSpec, ms: number): void {
    for (const member of this.members) {
      if (member.spec === spec) member.openUntil = this.now() + ms;
    }
  }
}
