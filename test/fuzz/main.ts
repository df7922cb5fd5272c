// The fuzzer: as many inputs as one likes for everything that reads what others have written. The exit code is 1 when a
// property did not hold; the input that showed it is told, made as small as it goes.
import { writeFile } from 'node:fs/promises';
import { inspect } from 'node:util';
import { writeTables } from '../../bench/document-tables.ts';
import { describeMachine } from '../../bench/machine.ts';
import { table } from '../../bench/table.ts';
import { checkOnce, fuzz, type Failure, type Fuzzed } from './fuzz.ts';
import { OptionsError, readOptions, usage, type Options } from './options.ts';
import { fuzzTables, resultOf } from './results.ts';
import type { Target } from './target.ts';
import { targets } from './targets.ts';

const names = targets.map(({ name }) => name);

try {
  await main(readOptions(process.argv.slice(2), names));
} catch (error) {
  if (!(error instanceof OptionsError)) throw error;
  process.stderr.write(`${error.message}\n\n${usage(names)}\n`);
  process.exitCode = 1;
}

async function main({ cases, seed, names: wanted, input, jsonFile, documentFile }: Options): Promise<void> {
  if (documentFile !== undefined) return writeTables(fuzzTables, documentFile);
  const chosen = targets.filter(({ name }) => wanted.includes(name));
  if (input !== undefined) {
    for (const target of chosen) process.stdout.write(`${target.name}: ${await checkOnce(target, input)}\n`);
    return;
  }
  const machine = describeMachine({});
  const all: Fuzzed[] = [];
  for (const target of chosen) {
    const fuzzed = await fuzz(target, Math.ceil(cases * (target.share ?? 1)), seed);
    all.push(fuzzed);
    process.stderr.write(`${all.length} of ${chosen.length}: ${target.name}, ${Math.round(fuzzed.ms / 1000)} s\n`);
    if (fuzzed.failure !== undefined) process.stdout.write(`${told(target, fuzzed.failure, seed)}\n\n`);
  }
  const results = { machine, seed, targets: all.map((fuzzed) => resultOf(fuzzed)) };
  const lines = table(
    ['target', 'inputs', 'a second', 'outcomes', 'slowest, ms', 'failed'],
    results.targets.map((one) =>
      [one.name, one.cases, one.casesPerSecond, one.outcomes, one.slowestMs, one.failures].map(String),
    ),
  );
  process.stdout.write(`${lines.join('\n')}\n`);
  if (jsonFile !== undefined) await writeFile(jsonFile, `${JSON.stringify(results, undefined, 1)}\n`);
  if (all.some(({ failure }) => failure !== undefined)) process.exitCode = 1;
}

function told({ name, property }: Target, { number, shrunk, error }: Failure, seed: number): string {
  return [
    `${name}, case ${number} of seed ${seed}: it does not hold that ${property}.`,
    `With ${JSON.stringify(shrunk.bytes.toString('latin1'))} (one character a byte):`,
    inspect(error),
    `Again: npm run fuzz -- --only '${name}' --input ${shrunk.bytes.toString('base64')}:${shrunk.seed}`,
  ].join('\n');
}
