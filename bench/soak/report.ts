// What was measured, as Markdown: for who ran it, and the table of bench/README.md, which the run writes itself.
import type { DocumentTables } from '../document-tables.ts';
import type { Machine } from '../machine.ts';
import { table } from '../table.ts';
import { barsOf, stayed } from './bars.ts';
import type { Bar } from './bars.ts';
import type { Phase, Soaked } from './run.ts';

export interface Measured extends Soaked {
  readonly machine: Machine;
  readonly isQuick: boolean;
}

export function toMarkdown(measured: Measured): string {
  const lost = [...measured.soak.lost, ...measured.overload.lost, ...measured.after.lost];
  const lines = [
    `# Soak${measured.isQuick ? ' (quick: the figures mean nothing)' : ''}`,
    '',
    ...summary(measured),
    ...(lost.length === 0 ? [] : ['', `Lost, with seed ${measured.seed}:`, '', ...lost.map((one) => `- ${one}`)]),
    '',
    `Faults: ${listed(measured.happened.faults)}. Episodes: ${listed(measured.happened.episodes)}.`,
    `Right answers: ${listed(measured.soak.rightByKind)}.`,
  ];
  return `${lines.join('\n')}\n`;
}

function summary(measured: Measured): string[] {
  const { machine, seed, soak, happened, capacityPerSecond, metricsLoopP99Ms, plan } = measured;
  const versions = Object.entries(machine.versions).map(([name, version]) => `${name} ${version}`);
  return [
    `${machine.date.slice(0, 10)}: ${machine.cpu}, ${machine.cores} cores; ${versions.join(', ')}; load average at the start ${machine.loadAverage}; the balancer from its sources; ` +
      `seed ${seed}. Capacity ${Math.round(capacityPerSecond)} requests/s. In ${(plan.soakMs / 60_000).toFixed(1)} minutes ${soak.sent} requests, of whose callers ${soak.vanished} vanished; ` +
      `${total(happened.faults)} attempts met a fault of ${Object.keys(happened.faults).length} kinds, and ${total(happened.episodes)} times one befell a whole resource. ` +
      `\`/metrics\` said ${metricsLoopP99Ms.toFixed(0)} ms for the event loop's p99 at the end, 10 ms of its interval included.`,
    '',
    ...climbed(measured),
    '',
    ...phases(measured),
    '',
    ...barTable(barsOf(measured)),
  ];
}

/** How the capacity was found. */
function climbed({ steps }: Soaked): string[] {
  const head = [
    'requests/s, with faults',
    'p50 ms',
    'turned away',
    'event loop p99 ms, counted once',
    'CPU %',
    'borne',
  ];
  return table(
    head,
    steps.map(({ perSecond, p50Ms, turnedAway, loopP99Ms, cpuPercent, isBorne }) => [
      perSecond.toFixed(0),
      p50Ms.toFixed(0),
      String(turnedAway),
      loopP99Ms.toFixed(1),
      cpuPercent.toFixed(0),
      isBorne ? 'yes' : 'no',
    ]),
  );
}

/** For newcomers: what became of the requests, and whether the bars were met. */
function inShort(measured: Measured): string[] {
  const { machine, seed, soak, overload, recovery, plan } = measured;
  const bars = barsOf(measured);
  const missed = bars.filter(({ isMet }) => !isMet).map(({ name, told }) => `${name} (${told})`);
  const row = (name: string, figure: (phase: Phase) => string): string[] => [name, figure(soak), figure(overload)];
  return [
    ...table(
      [
        '',
        `70 % of the capacity, ${(plan.soakMs / 60_000).toFixed(0)} minutes, with faults`,
        `3 times the capacity, ${(plan.overloadMs / 1000).toFixed(0)} s`,
      ],
      [
        row('requests whose callers stayed', (phase) => String(stayed(phase))),
        row('the right answer', ({ verdicts }) => String(verdicts.right)),
        row('a refusal of the request itself, passed on', ({ verdicts }) => String(verdicts.told)),
        row('a stream broken by a fault after its first content, and told so', ({ verdicts }) =>
          String(verdicts.broken),
        ),
        row('503 with `Retry-After`', ({ verdicts }) => String(verdicts.shed)),
        row('lost', ({ verdicts }) => String(verdicts.lost)),
        row("the event loop's delay, p99", ({ loopTicks }) => `${loopTicks.p99Ms.toFixed(0)} ms`),
        row('the health probe answered within', ({ probeMaxMs }) => `${(probeMaxMs / 1000).toFixed(1)} s`),
        [
          'only right answers again after',
          '–',
          recovery.rightAfterMs === undefined ? 'never' : `${(recovery.rightAfterMs / 1000).toFixed(1)} s`,
        ],
      ],
    ),
    '',
    `Seen on ${machine.date.slice(0, 10)} on one core, seed ${seed}. Of ${bars.length} bars, memory, sockets and listeners among them, ${missed.length === 0 ? 'all were met' : `missed: ${missed.join('; ')}`}.`,
  ];
}

function phases({ closed, soak, baseline, overload, after }: Soaked): string[] {
  const rows: readonly (readonly [string, Phase])[] = [
    ['closed loop, no faults', closed],
    ['70 %, with faults', soak],
    ['70 %', baseline],
    ['3 times the capacity', overload],
    ['70 % again', after],
  ];
  const head = [
    'phase',
    'requests/s',
    'right',
    'refused by a resource',
    'broken by a fault',
    '503',
    'lost',
    'p50 ms',
    'p99 ms',
    'event loop p99 ms',
    'counted once',
    'max ms',
    'health probe max ms',
    'CPU %',
    'waited for a core %',
    "callers' CPU %",
    "resources' CPU %",
  ];
  return table(
    head,
    rows.map(([name, phase]) => [
      name,
      phase.perSecond.toFixed(0),
      `${((100 * phase.verdicts.right) / stayed(phase)).toFixed(1)} %`,
      String(phase.verdicts.told),
      String(phase.verdicts.broken),
      String(phase.verdicts.shed),
      String(phase.verdicts.lost),
      phase.p50Ms.toFixed(0),
      phase.p99Ms.toFixed(0),
      phase.loop.p99Ms.toFixed(1),
      phase.loopTicks.p99Ms.toFixed(1),
      phase.loop.maxMs.toFixed(0),
      phase.probeMaxMs.toFixed(0),
      phase.cpuPercent.toFixed(0),
      phase.waitedPercent.toFixed(0),
      phase.callersCpuPercent.toFixed(0),
      phase.resourcesCpuPercent.toFixed(0),
    ]),
  );
}

function barTable(bars: readonly Bar[]): string[] {
  return [
    '| bar | | measured |',
    '| --- | --- | --- |',
    ...bars.map(({ name, isMet, told }) => `| ${name} | ${isMet ? 'met' : '**missed**'} | ${told} |`),
  ];
}

function total(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}

function listed(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .map(([name, count]) => `${name} ${count}`)
    .join(', ');
}

export const soakTables: DocumentTables = {
  name: 'soak',
  command: 'npm run soak -- --readme',
  ending: '-soak.json',
  documents: {
    'bench/README.md': (results) => summary(JSON.parse(results)),
    'README.md': (results) => inShort(JSON.parse(results)),
  },
};
