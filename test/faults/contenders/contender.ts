// What stands in front of the backends of a row. A peer is started once for all rows: each has backends of its own, and a
// door of its own to them, so that nothing that is remembered of one row's backends touches another.
import type { ContenderName, Form } from '../row.ts';
import type { Stage } from '../stage.ts';

export interface Door {
  url(form: Form): string;
  readonly headers: Readonly<Record<string, string>>;
  /** What callers name as the model. */
  readonly model: string;
  /** What is left of the requests though they are over, in words; what is wrong with an error of its own. */
  inspect?(received: { readonly status: number; readonly text: string }): Promise<string | undefined>;
  close(): Promise<void>;
}

export interface Opened {
  doorTo(stage: Stage): Promise<Door>;
  close(): Promise<void>;
}

export interface Contender {
  readonly name: ContenderName;
  readonly version: string;
  /** How many rows at once leave it the time to answer them. */
  readonly atOnce: number;
  open(stages: readonly Stage[]): Promise<Opened>;
}
