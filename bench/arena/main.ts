// The arena: rules of balancing compared over simulated quotas, in virtual time. Figures are printed and never asserted; the
// exit code is 1 when a contender broke a rule of the arena, which is a bug.
import { writeFile } from 'node:fs/promises';
import { writeTables } from '../document-tables.ts';
import { runCell } from './cell.ts';
import type { Cell } from './cell.ts';
import { OptionsError, readOptions, usage } from './options.ts';
import type { Options } from './options.ts';
import { extentOf, method, report, reportBars } from './report.ts';
import { arenaTables } from './summary.ts';

try {
  await main(readOptions(process.argv.slice(2)));
} catch (error) {
  if (!(error instanceof OptionsError)) throw error;
  process.stderr.write(`${error.message}\n\n${usage}\n`);
  process.exitCode = 1;
}

async function main({ cells: plans, bars, jsonFile, readmeFile }: Options): Promise<void> {
  if (readmeFile !== undefined) return writeTables(arenaTables, readmeFile);
  const cells: Cell[] = [];
  for (const plan of plans) {
    cells.push(await runCell(plan));
    if (process.stderr.isTTY) process.stderr.write(`\r${cells.length} of ${plans.length} cells`);
  }
  if (process.stderr.isTTY) process.stderr.write('\r\u001b[K');
  const [first] = plans;
  process.stdout.write(`${method}\n${first === undefined ? '' : extentOf(first)}\n\n${report(cells)}\n`);
  if (bars) process.stdout.write(`\n${reportBars(cells)}\n`);
  if (jsonFile !== undefined) await writeFile(jsonFile, `${JSON.stringify(cells, undefined, 1)}\n`);
}
