// Runs rows, several at once: each has backends and a balancer of its own.
import { performance } from 'node:perf_hooks';
import { ask } from './asking.ts';
import type { Contender, Door } from './contenders/contender.ts';
import { inHouse, type Sabotage } from './house.ts';
import { bodyOf, missing, read, told } from './reading.ts';
import { Missed, type BackendRow, type Play, type Result } from './row.ts';
import { setStage, type Stage } from './stage.ts';

/** Longer than any honest answer takes, also on a machine that has other things to do. */
const PATIENCE_MS = 30_000;
const PLAY_MS = 90_000;
const PLAYS_AT_ONCE = 5;

export type OnResult = (result: Result) => void;

/** All of these rows in front of one contender, which is started for them. */
export async function runBackendRows(
  contender: Contender,
  rows: readonly BackendRow[],
  onResult: OnResult,
  patienceMs = PATIENCE_MS,
): Promise<void> {
  const stages: Stage[] = [];
  try {
    for (const [index, row] of rows.entries()) stages.push(await setStage(row, index));
    const opened = await contender.open(stages);
    try {
      await several(stages, contender.atOnce, async (stage) => {
        const began = performance.now();
        const door = await opened.doorTo(stage);
        const { saw, missed } = await perform(stage, door, contender, patienceMs);
        onResult(resultOf(contender.name, stage.row, saw, missed, began));
        await door.close();
      });
    } finally {
      await opened.close();
    }
  } finally {
    await Promise.all(stages.map((stage) => stage.close()));
  }
}

interface Outcome {
  readonly saw: string;
  readonly missed?: string | undefined;
}

async function perform({ row, asked }: Stage, door: Door, { name }: Contender, patienceMs: number): Promise<Outcome> {
  const request = {
    url: door.url(row.form),
    headers: door.headers,
    body: JSON.stringify(bodyOf(row.form, door.model)),
  };
  // Who is down is not always asked first: it is seen by one of several requests.
  const times = row.order.includes('down') ? 4 : 1;
  let saw = '';
  for (let time = 0; time < times; time += 1) {
    const heard = await ask(request, patienceMs);
    const reading = read(heard);
    saw = told(heard, reading);
    const text = heard.received?.body.toString() ?? '';
    const missed = missing(row.wanted, heard, reading) ?? (await door.inspect?.({ status: reading.status, text }));
    if (missed !== undefined) return { saw, missed };
  }
  const most = row.order.length;
  if (row.wanted.kind === 'not again' && asked() > most) {
    return {
      saw: `${saw}, and ${asked() - most + 1} backends were asked to create it`,
      missed: 'that one is asked to create it',
    };
  }
  // It costs what the first one cost, and says the same.
  if (row.wanted.kind === 'verdict' && name === 'balancer' && asked() > most) {
    return { saw: `${saw}, and ${asked()} backends were asked`, missed: 'that nobody else is asked' };
  }
  return { saw };
}

export async function runPlays(
  plays: readonly Play[],
  onResult: OnResult,
  sabotage: Sabotage = {},
  patienceMs = PLAY_MS,
): Promise<void> {
  const run = async (play: Play): Promise<void> => {
    const began = performance.now();
    const { saw, missed } = await act(play, sabotage, patienceMs);
    onResult(resultOf('balancer', play, saw, missed, began));
  };
  await several(
    plays.filter(({ isHeavy }) => isHeavy !== true),
    PLAYS_AT_ONCE,
    run,
  );
  await several(
    plays.filter(({ isHeavy }) => isHeavy === true),
    1,
    run,
  );
}

function act(play: Play, sabotage: Sabotage, patienceMs: number): Promise<Outcome> {
  return inHouse(sabotage, async (house): Promise<Outcome> => {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<Outcome>((resolve) => {
      timer = setTimeout(() => resolve({ saw: 'nothing more', missed: `an end within ${patienceMs} ms` }), patienceMs);
    });
    const acted = play.act(house).then(
      (saw): Outcome => ({ saw }),
      (error: unknown): Outcome => {
        if (error instanceof Missed) return { saw: error.saw, missed: error.message };
        return { saw: error instanceof Error ? error.message.slice(0, 300) : String(error), missed: 'no such thing' };
      },
    );
    try {
      return await Promise.race([acted, late]);
    } finally {
      clearTimeout(timer);
    }
  });
}

function resultOf(
  contender: Result['contender'],
  { name, group }: BackendRow | Play,
  saw: string,
  missed: string | undefined,
  began: number,
): Result {
  const ms = Math.round(performance.now() - began);
  const passed = missed === undefined;
  return { row: name, group, contender, passed, saw, ...(passed ? {} : { missed }), ms };
}

/** So many at a time, in order. */
export async function several<T>(items: readonly T[], atOnce: number, work: (item: T) => Promise<void>): Promise<void> {
  const left = items.values();
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      for (const item of left) await work(item);
    }),
  );
}
