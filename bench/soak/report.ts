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
    ...phases(measured),
    '',
    ...barTable(barsOf(measured)),
  ];
}

function phases({ closed, capacity, soak, baseline, overload, after }: Soaked): string[] {
  const rows: readonly (readonly [string, Phase])[] = [
    ['closed loop, no faults', closed],
    ['capacity, with faults', capacity],
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
  documents: { 'bench/README.md': (results) => summary(JSON.parse(results)) },
};
