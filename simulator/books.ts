// The books of a simulated resource: what it counted for each answer of a model that it began to give, the last 10,000 of
// them. Others that reckon along can be held to them.

import type { Operation } from './answering/routes.ts';

/** Tokens of one answer, and whether its caller is told of them when it gets all of it. */
export interface Counted {
  readonly promptTokens: number;
  readonly completionTokens: number;
  /** Of the prompt's. */
  readonly cachedTokens: number;
  /** Of the completion's. */
  readonly reasoningTokens: number;
  readonly isTold: boolean;
}

export interface Entry extends Counted {
  readonly deployment: string;
  readonly operation: Operation;
  /** open: it is being given; whole: it was given to its end; broken: it, or its caller, ended before. */
  readonly end: 'open' | 'whole' | 'broken';
}

export type Booked = Omit<Entry, 'end'>;

const KEPT_ENTRIES = 10_000;

export class Books {
  readonly entries: Entry[] = [];

  /** An answer begins. Gives back what is to be called when it ended. */
  begin(booked: Booked): (isWhole: boolean) => void {
    const entry: { -readonly [Key in keyof Entry]: Entry[Key] } = { ...booked, end: 'open' };
    this.entries.push(entry);
    if (this.entries.length > KEPT_ENTRIES) {
      this.entries.shift();
    }
    return (isWhole) => {
      entry.end = isWhole ? 'whole' : 'broken';
    };
  }
}
