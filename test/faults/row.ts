// What a line of the scorecard is made of. A fault of backends is data: what each backend does, what is asked, and what
// the caller must get, in words that hold for any proxy. A fault of anything else is a play of its own.
import type { Fault } from '../../simulator/scenario.ts';
import type { House } from './house.ts';

export const groups = {
  well: 'nothing is wrong',
  throttled: 'a backend is throttled',
  failing: 'a backend fails',
  cut: 'an answer is cut before its first word',
  broken: 'a stream breaks after its first words',
  credential: "a backend refuses the proxy's own credential",
  missing: 'a backend lacks the deployment or the operation',
  refused: 'the request itself is refused',
  odd: 'an answer is slow or odd',
  creation: 'a call that creates something fails',
  time: 'backends go and come back',
  callers: 'callers misbehave',
  identity: 'the identity gives no token',
  clock: 'the clock jumps, the process stalls',
  process: 'the process is ended, or short of something',
} as const;
export type Group = keyof typeof groups;

/** `down`: nobody listens there. */
export type Trouble = Fault | 'down';

/** What is sent. `background` creates something. */
export type Form = 'whole' | 'stream' | 'response' | 'response stream' | 'background';

export type Wanted =
  /** All of an answer, and nothing else. `isFiltered`: the model was cut off, and says so. */
  | { readonly kind: 'answer'; readonly isFiltered?: boolean; readonly leastBytes?: number }
  /** Nobody could answer: one of these statuses, or an error in the stream before anything else of it. */
  | { readonly kind: 'refusal'; readonly statuses: readonly number[]; readonly saysWhen?: boolean }
  /** The backend's own refusal, of which another backend would say the same. */
  | { readonly kind: 'verdict'; readonly status: number; readonly words: RegExp }
  /** The stream breaks: unless somebody mends it, its end must not look like one. */
  | { readonly kind: 'no clean end' }
  /** Nobody knows whether it was created: no second backend is asked to create it. */
  | { readonly kind: 'not again' };

export interface BackendRow {
  readonly kind: 'backend';
  readonly name: string;
  readonly group: Group;
  /** What those do that are asked first, second, third; the others are well. */
  readonly order: readonly Trouble[];
  readonly form: Form;
  readonly wanted: Wanted;
  /** How long a backend may be silent, for every contender; as long as it likes when absent. */
  readonly silenceMs?: number;
  /** Settings of the balancer that the row is about. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** Acted by the balancer alone. */
export interface Play {
  readonly kind: 'play';
  readonly name: string;
  readonly group: Group;
  /** It needs the machine for itself. */
  readonly isHeavy?: boolean;
  /** @returns what the callers saw; throws Missed when it is not what they want. */
  readonly act: (house: House) => Promise<string>;
}

export type Row = BackendRow | Play;

/** The callers did not get what they want. */
export class Missed extends Error {
  override readonly name = 'Missed';
  readonly saw: string;

  constructor(saw: string, wanted: string) {
    super(wanted);
    this.saw = saw;
  }
}

export const contenderNames = ['balancer', 'nginx', 'litellm'] as const;
export type ContenderName = (typeof contenderNames)[number];

/** One cell of the scorecard. */
export interface Result {
  readonly row: string;
  readonly group: Group;
  readonly contender: ContenderName;
  readonly passed: boolean;
  /** In a few words. */
  readonly saw: string;
  /** What was wanted instead. */
  readonly missed?: string;
  readonly ms: number;
}
