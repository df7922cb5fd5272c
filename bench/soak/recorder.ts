// What became of the requests of one phase. Whose doing it was can be said only when the resources have told what they did,
// so what is not simply right waits until then.
import { percentile } from '../statistics.ts';
import { checkAnswer, shown } from './answers.ts';
import type { Done } from './load.ts';
import type { Sent } from './recovery.ts';
import { idOf } from './traffic.ts';
import { judge } from './verdicts.ts';
import type { Asked, Happened, Verdict } from './verdicts.ts';

/** Enough to find them again. */
const MOST_SHOWN = 10;

export interface Tallied {
  readonly sent: number;
  readonly vanished: number;
  readonly verdicts: Readonly<Record<Verdict, number>>;
  /** Of those who were patient and got the right answer, long streams left out. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Right answers by what was asked. */
  readonly rightByKind: Readonly<Record<string, number>>;
  /** The first of them, described. */
  readonly lost: readonly string[];
}

interface Waiting {
  readonly asked: Asked;
  readonly told: string;
}

export class Recorder {
  private readonly startedAt = Date.now();
  private readonly waiting: Waiting[] = [];
  private readonly byKind = new Map<string, number>();
  private readonly latenciesMs: number[] = [];
  private right = 0;
  private vanished = 0;
  private shed = 0;
  /** Of all that stayed and were patient, for a look at how they fared over time. */
  readonly timed: Sent[] = [];

  readonly record = ({ planned, experience, sentAt }: Done): void => {
    if (experience.kind === 'vanished') {
      this.vanished += 1;
      return;
    }
    const { received, ms } = experience;
    const finding = checkAnswer(planned.expected, received);
    const isRight = finding.kind === 'right';
    // Long streams last for seconds by themselves.
    if (planned.manner.kind === 'patient' && !planned.what.startsWith('long ')) {
      this.timed.push({ atMs: sentAt - this.startedAt, isRight, ms });
      if (isRight) this.latenciesMs.push(ms);
    }
    if (isRight) {
      this.right += 1;
      this.byKind.set(planned.what, (this.byKind.get(planned.what) ?? 0) + 1);
      return;
    }
    if (finding.kind === 'shed') {
      this.shed += 1;
      return;
    }
    const backend = received.headers.get('x-balancer-backend') ?? '';
    const isBad = planned.expected.kind === 'refusal';
    const asked = { id: idOf(planned.number), finding, isBad, backend, sentAt, endedAt: Date.now() };
    const { number, what, manner } = planned;
    const told = `request ${number} (${what}, ${JSON.stringify(manner)}) after ${Math.round(ms)} ms: ${JSON.stringify(finding)} ${shown(received)}`;
    this.waiting.push({ asked, told });
  };

  /** Judges all of them; to be called once, when all that happened has been told. */
  tally(happened: Happened): Tallied {
    const verdicts = { right: this.right, told: 0, broken: 0, shed: this.shed, lost: 0 };
    const lost: string[] = [];
    for (const { asked, told } of this.waiting) {
      const verdict = judge(asked, happened);
      verdicts[verdict] += 1;
      const faults = happened.befallen.get(asked.id)?.map(({ resource, fault }) => `${resource} ${fault}`) ?? [];
      if (verdict === 'lost' && lost.length < MOST_SHOWN)
        lost.push(`${told}; befallen: ${faults.join(', ') || 'nothing'}`);
    }
    const judged = Object.values(verdicts).reduce((sum, count) => sum + count, 0);
    return {
      sent: judged + this.vanished,
      vanished: this.vanished,
      verdicts,
      p50Ms: percentile(this.latenciesMs, 0.5),
      p99Ms: percentile(this.latenciesMs, 0.99),
      rightByKind: Object.fromEntries([...this.byKind].sort(([one], [other]) => one.localeCompare(other))),
      lost,
    };
  }
}
