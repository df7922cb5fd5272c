// Callers of a play, many at once, and what they must have got.
import { setTimeout as pause } from 'node:timers/promises';
import { ask } from '../asking.ts';
import { bodyOf, missing, read, told, type Heard } from '../reading.ts';
import { Missed, type Form, type Wanted } from '../row.ts';
import { MODEL } from '../stage.ts';

const PATIENCE_MS = 25_000;

export interface Door {
  readonly url: string;
}

/** One request, with the tests' client key. */
export function askOnce({ url }: Door, form: Form = 'whole', patienceMs = PATIENCE_MS): Promise<Heard> {
  const path = form === 'whole' || form === 'stream' ? 'chat/completions' : 'responses';
  return ask({ url: `${url}/v1/${path}`, body: JSON.stringify(bodyOf(form, MODEL)) }, patienceMs);
}

export function askMany(door: Door, count: number, form: Form = 'whole'): Promise<Heard[]> {
  return Promise.all(Array.from({ length: count }, () => askOnce(door, form)));
}

/** One after another. */
export async function askInTurn(door: Door, count: number, form: Form = 'whole'): Promise<Heard[]> {
  const heard: Heard[] = [];
  for (let index = 0; index < count; index += 1) heard.push(await askOnce(door, form));
  return heard;
}

/** Every one of them got what it wants: what that was. */
export function wantAll(heard: readonly Heard[], wanted: Wanted = { kind: 'answer' }): string {
  const readings = heard.map((each) => ({ each, reading: read(each) }));
  const wrong = readings.filter(({ each, reading }) => missing(wanted, each, reading) !== undefined);
  const [first] = wrong;
  const good = `${heard.length - wrong.length} of ${heard.length}`;
  if (first !== undefined) {
    const { each, reading } = first;
    throw new Missed(
      heard.length === 1 ? told(each, reading) : `${good} had it; else: ${told(each, reading)}`,
      missing(wanted, each, reading) ?? '',
    );
  }
  const [any] = readings;
  const words = any === undefined ? 'nothing' : told(any.each, any.reading);
  return heard.length === 1 ? words : `${good}: ${words}`;
}

export function want(isTrue: boolean, saw: string, wanted: string): void {
  if (!isTrue) throw new Missed(saw, wanted);
}

/** Looks again and again; for what no event tells in a process of its own. */
export async function eventually(
  claim: () => boolean | Promise<boolean>,
  what: string,
  withinMs = 8000,
): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!(await claim())) {
    if (performance.now() > deadline) throw new Missed(`not so within ${withinMs} ms: ${what}`, what);
    await pause(20);
  }
}
