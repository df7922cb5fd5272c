/**
 * `npm run soak`: mixed traffic, random faults and vanishing callers for twenty minutes, then an overload. Exit code 1 when a bar was
 * missed; the seed and the number of a request that went wrong find it again.
 */
import { writeFileSync } from 'node:fs';
import { allowedCores, cleanUpAtExit, pinSelf } from '../children.ts';
import { writeTables } from '../document-tables.ts';
import { describeMachine } from '../machine.ts';
import { barsOf } from './bars.ts';
import { OptionsError, readOptions, usage } from './options.ts';
import type { Options } from './options.ts';
import { soakTables, toMarkdown } from './report.ts';
import type { Measured } from './report.ts';
import { runSoak } from './run.ts';

cleanUpAtExit();
try {
  await main(readOptions(process.argv.slice(2)));
} catch (error) {
  if (!(error instanceof OptionsError)) throw error;
  process.stderr.write(`${error.message}\n\n${usage}\n`);
  process.exitCode = 1;
}

async function main({ seed, plan, isQuick, jsonFile, readmeFile }: Options): Promise<void> {
  if (readmeFile !== undefined) return writeTables(soakTables, readmeFile);
  const machine = describeMachine({});
  // The balancer has a core for itself; callers and resources share another, or have one each where there are three.
  const [balancer = 0, own = balancer, resources = own] = allowedCores();
  pinSelf(own);
  const startedMs = performance.now();
  const soaked = await runSoak(seed, plan, { balancer, resources }, (text) => {
    process.stderr.write(`${((performance.now() - startedMs) / 1000).toFixed(0)} s: ${text}\n`);
  });
  const measured: Measured = { ...soaked, machine, isQuick };
  process.stdout.write(toMarkdown(measured));
  if (jsonFile !== undefined) writeFileSync(jsonFile, `${JSON.stringify(measured)}\n`);
  if (barsOf(measured).some(({ isMet }) => !isMet)) process.exitCode = 1;
}
