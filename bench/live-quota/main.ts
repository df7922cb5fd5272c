/**
 * `node bench/live-quota/main.ts`: the balancer, the ancestor's rule and the LiteLLM proxy before resources with quotas, in
 * real time. Exit code 1 when a caller got neither an answer nor a 429; no figure is judged.
 */
import { writeFileSync } from 'node:fs';
import { allowedCores, cleanUpAtExit, pinSelf } from '../children.ts';
import { litellmVersion } from '../contenders/litellm.ts';
import { writeTables } from '../document-tables.ts';
import { describeMachine } from '../machine.ts';
import { measureLoad } from './cell.ts';
import type { Row } from './cell.ts';
import { OptionsError, readOptions, usage } from './options.ts';
import type { Options } from './options.ts';
import { liveQuotaTables, toMarkdown } from './report.ts';
import type { Measured } from './report.ts';

cleanUpAtExit();
try {
  const options = readOptions(process.argv.slice(2));
  if (options.readmeFile !== undefined) writeTables(liveQuotaTables, options.readmeFile);
  else await report(options);
} catch (error) {
  if (!(error instanceof OptionsError)) throw error;
  process.stderr.write(`${error.message}\n${usage}\n`);
  process.exitCode = 1;
}

async function report(options: Options): Promise<void> {
  const measured = await measure(options);
  process.stdout.write(toMarkdown(measured));
  if (options.jsonFile !== undefined) writeFileSync(options.jsonFile, `${JSON.stringify(measured, undefined, 2)}\n`);
  if (measured.rows.some(({ others }) => Object.keys(others).length > 0)) process.exitCode = 1;
}

async function measure(options: Options): Promise<Measured> {
  const litellm = options.contenders.includes('litellm') ? litellmVersion() : undefined;
  const machine = describeMachine(litellm === undefined ? {} : { litellm });
  const contenders = options.contenders.filter((name) => name !== 'litellm' || litellm !== undefined);
  const [contenderCore = 0, ownCore = contenderCore] = allowedCores();
  pinSelf(ownCore);
  const rows: Row[] = [];
  for (const load of options.loads) {
    process.stderr.write(`${load} of the quota\n`);
    const { leadMs, windowMs } = options;
    rows.push(...(await measureLoad({ load, leadMs, windowMs, contenders, core: contenderCore })));
  }
  const isLeftOut = contenders.length < options.contenders.length;
  const notes = isLeftOut ? ['LiteLLM is not installed (npm run bench:peers) and was left out.'] : [];
  return { machine, plan: options, rows, notes };
}
