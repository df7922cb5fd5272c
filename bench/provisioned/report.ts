// What was measured, as Markdown for people, with the method beside the numbers.
import type { DocumentTables } from '../document-tables.ts';
import type { Machine } from '../machine.ts';
import { table } from '../table.ts';
import type { Cell } from './cell.ts';
import type { Asked } from './asked.ts';
import type { Options } from './options.ts';
import { ANSWER_TOKENS, FIRST_PIECE_MS, LEAST_MAX_TOKENS, MOST_MAX_TOKENS, shapes } from './shapes.ts';

export interface Measured {
  readonly machine: Machine;
  readonly plan: Options;
  readonly cells: readonly Cell[];
  /** Computed, not measured. */
  readonly asked: readonly Asked[];
  readonly notes: readonly string[];
}

const HEAD = [
  'load, contender',
  'PTU used %',
  'of attainable %',
  'needless spill, tokens %',
  'spilled %',
  'spilled with room %',
  '429s',
  'refusals an answer',
  'added p50 ms',
  'added p99 ms',
  'requests',
  'unanswered',
];

export function toMarkdown(measured: Measured): string {
  const { machine, plan, notes } = measured;
  const lines = [
    `# A provisioned deployment first${plan.quick ? ' (quick: the figures mean little)' : ''}`,
    '',
    `${machine.date}. ${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, Linux ${machine.kernel}; ` +
      `node ${machine.versions['node'] ?? ''}; load average at the start ${machine.loadAverage}. Balancer: sources.`,
    ...notes.flatMap((note) => ['', `Note: ${note}`]),
    ...plan.shapes.flatMap((shape) =>
      plan.bucketsMs.flatMap((burstMs) => [
        '',
        `## ${title({ shape, burstMs })}`,
        '',
        ...tableOf(measured, { shape, burstMs }),
      ]),
    ),
    '',
    '## Method',
    '',
    ...method(plan),
    '',
    '## Failures',
    '',
    ...failures(measured.cells),
  ];
  return `${lines.join('\n')}\n`;
}

function title({ shape, burstMs }: Pick<Cell, 'shape' | 'burstMs'>): string {
  const { tokensPerMinute, leastTokens, mostTokens } = shapes[shape];
  const drainMs = [leastTokens, mostTokens].map((tokens) => ((tokens * 60_000) / tokensPerMinute).toFixed(0));
  return `A ${shape} one: a request leaks out in ${drainMs.join(' to ')} ms; the bucket holds ${burstMs / 1000} s`;
}

function tableOf({ cells, asked }: Measured, wanted: Pick<Cell, 'shape' | 'burstMs'>): string[] {
  const isHere = (one: Pick<Cell, 'shape' | 'burstMs'>): boolean =>
    one.shape === wanted.shape && one.burstMs === wanted.burstMs;
  const rows = [
    ...asked.filter(isHere).map((one) => ({ load: one.load, row: askedRow(one) })),
    ...cells.filter(isHere).map((cell) => ({ load: cell.load, row: rowOf(cell) })),
  ];
  // Sorting is stable: within a load they stay as they were measured.
  return table(
    HEAD,
    rows.sort((a, b) => a.load - b.load).map(({ row }) => row),
  );
}

/** Of bench/README.md. */
export const provisionedTables: DocumentTables = {
  name: 'provisioned deployments',
  command: 'npm run bench:provisioned -- --readme',
  ending: '-provisioned.json',
  documents: { 'bench/README.md': (results) => shown(JSON.parse(results)) },
};

const SHOWN_HEAD = [
  'PTU, load, contender',
  'PTU used %',
  'spilled with room %',
  'refusals an answer',
  'added p50 ms',
  'added p99 ms',
];

/** Loads under which something may be refused. */
const LEAST_SHOWN_LOAD = 0.9;

function shown({ machine, plan, cells }: Measured): string[] {
  const { date, cpu, cores, versions, loadAverage } = machine;
  return [
    `${date.slice(0, 10)}: ${cpu}, ${cores} cores; node ${versions['node'] ?? ''}; load average at the start ${loadAverage}; the balancer from its sources.`,
    ...plan.bucketsMs.flatMap((burstMs) => [
      '',
      `A bucket that holds ${burstMs / 1000} s of the rate:`,
      '',
      ...table(
        SHOWN_HEAD,
        cells
          .filter((cell) => cell.burstMs === burstMs && cell.load >= LEAST_SHOWN_LOAD)
          .sort((a, b) => plan.shapes.indexOf(a.shape) - plan.shapes.indexOf(b.shape) || a.load - b.load)
          .map((cell) => [
            `${cell.shape}, ${cell.load}, ${cell.contender.replace(/PRIORITY_WAIT_MS=0/, '`$&`')}`,
            cell.usedPercent.toFixed(1),
            cell.spilledWithRoomPercent.toFixed(1),
            cell.refusedPerAnswer.toFixed(3),
            cell.addedP50Ms.toFixed(1),
            cell.addedP99Ms.toFixed(1),
          ]),
      ),
    ]),
  ];
}

function rowOf(cell: Cell): string[] {
  return [
    `${cell.load}: ${cell.contender}`,
    cell.usedPercent.toFixed(1),
    cell.ofAttainablePercent.toFixed(1),
    cell.needlessPercent.toFixed(1),
    cell.spilledPercent.toFixed(1),
    cell.spilledWithRoomPercent.toFixed(1),
    String(cell.throttled),
    cell.refusedPerAnswer.toFixed(3),
    cell.addedP50Ms.toFixed(1),
    cell.addedP99Ms.toFixed(1),
    String(cell.requests),
    String(cell.unanswered),
  ];
}

function askedRow({
  load,
  usedPercent,
  ofAttainablePercent,
  needlessPercent,
  spilledPercent,
  refusedPerAnswer,
  requests,
}: Asked): string[] {
  return [
    `${load}: every request asks (computed)`,
    usedPercent.toFixed(1),
    ofAttainablePercent.toFixed(1),
    needlessPercent.toFixed(1),
    spilledPercent.toFixed(1),
    '0.0',
    '0',
    refusedPerAnswer.toFixed(3),
    '–',
    '–',
    String(requests),
    '–',
  ];
}

function method({ windowMs, leadMs, warmRequests }: Options): string[] {
  return [
    'One simulated provisioned deployment (PTU) at priority 1 and two pay-as-you-go ones without a limit at priority 2, on ' +
      'loopback; a fleet, a contender process and callers of its own for every row. The loads and shapes of one contender ' +
      'run at the same time, one bucket (a deployment of its own) after the other, the contenders in turns: they on the first core, the fleets and the callers on the ' +
      'second. `ancestor` is the rule of openai-aca-lb over node:http: any healthy backend of the best priority; a 429 parks ' +
      'it for its Retry-After in whole seconds and the request goes to another at once.',
    '',
    `Load is a share of what leaks out of the PTU's bucket. Requests are sent when they are due (Poisson arrivals from a ` +
      `seed, the same for all; their tokens are exactly the load), half of them streamed, after ${warmRequests} that warm each process ` +
      `up. Answers take ${FIRST_PIECE_MS} ms to their first piece and have ${ANSWER_TOKENS} tokens; requests ` +
      `allow ${LEAST_MAX_TOKENS} to ${MOST_MAX_TOKENS}. Loads from 1 on begin with the bucket filled to the brim, the others with an empty one; after ` +
      `${leadMs / 1000} s of load come the ${windowMs / 1000} s that are measured. How much a real bucket holds is not documented; 10 s is the simulator's assumption.`,
    '',
    'PTU used: tokens of the requests it took in the window, of what leaks out meanwhile; above 100 when it took what its ' +
      'bucket still had room for. Of attainable: the same, of what was offered or leaks out, whichever is less. Needless ' +
      'spill: tokens that pay-as-you-go got although the PTU did not get what it could have in the window, of all offered. ' +
      'Spilled: requests that pay-as-you-go answered; with room: while the bucket, recomputed from what the PTU took and ' +
      'refused and when, was below full by more than 5 ms. Refusals an answer: attempts that the PTU answered with 429. Added: from sending to the first ' +
      'content, less the median of what requests wait that go straight to a resource meanwhile; the processes of ten rows share ' +
      'a core, so tens of ms of a p99 mean nothing. `every request asks` is no contender: it is what the ' +
      "simulator's bucket takes of the same arrivals when each asks it once, at once and for nothing.",
  ];
}

function failures(cells: readonly Cell[]): string[] {
  const lines = cells.flatMap(({ contender, shape, burstMs, load, problems }) =>
    Object.entries(problems).map(
      ([problem, count]) => `- ${contender}, ${shape}, ${burstMs / 1000} s, load ${load}: ${problem} (${count})`,
    ),
  );
  return lines.length === 0 ? ['None: every request had a whole answer.'] : lines;
}
