// npm run test:faults: a scorecard of faults. Each row is what a caller saw, and whether that is what a caller wants. The exit
// code is 1 when the balancer fails a row, or passes one whose mechanism was switched off.
import { cleanUpAtExit } from '../../bench/children.ts';
import { nginxVersion } from '../../bench/contenders/nginx.ts';
import { writeTables } from '../../bench/document-tables.ts';
import { installedLitellm } from '../../bench/peers.ts';
import { balancerContender } from './contenders/balancer.ts';
import type { Contender } from './contenders/contender.ts';
import { litellmContender } from './contenders/litellm.ts';
import { nginxContender } from './contenders/nginx.ts';
import { faultTables } from './documents.ts';
import { OptionsError, readOptions, usage, type Options, type Peer } from './options.ts';
import { plays } from './plays/all.ts';
import { report } from './report.ts';
import { writeResults, type Results } from './results.ts';
import { contenderNames, type Result, type Row } from './row.ts';
import { backendRows } from './rows/backends.ts';
import { runBackendRows, runPlays } from './run.ts';
import { runSwitchOffs } from './switch-offs.ts';

/** All of it; LiteLLM takes some seconds to start, and its time for every answer. */
const LONGEST_MS = 180_000;
const LONGEST_WITH_LITELLM_MS = 900_000;

cleanUpAtExit();
try {
  await main(readOptions(process.argv.slice(2)));
} catch (error) {
  if (!(error instanceof OptionsError)) throw error;
  process.stderr.write(`${error.message}\n\n${usage}\n`);
  process.exitCode = 1;
}

async function main({ only, peers, switchesOff, outFile, readmeFile }: Options): Promise<void> {
  if (readmeFile !== undefined) return writeTables(faultTables, readmeFile);
  const began = performance.now();
  const rows: readonly Row[] = [...backendRows, ...plays];
  const isWanted = ({ name }: Row): boolean => name.includes(only);
  const contenders = [balancerContender(), ...peers.flatMap(peerOf)];
  const results: Result[] = [];
  const keep = (result: Result): void => void results.push(result);
  const seenSoFar = (): Results => ({
    date: new Date().toISOString().slice(0, 10),
    versions: Object.fromEntries(contenders.map(({ name, version }) => [name, version])),
    results: inOrder(results, rows),
    switchedOff: [],
  });
  const longestMs = peers.includes('litellm') ? LONGEST_WITH_LITELLM_MS : LONGEST_MS;
  const late = setTimeout(() => {
    process.stdout.write(`${report(seenSoFar())}\nIt was not over after ${longestMs / 1000} s.\n`);
    process.exit(1);
  }, longestMs);
  for (const contender of contenders) await runBackendRows(contender, backendRows.filter(isWanted), keep);
  await runPlays(plays.filter(isWanted), keep);
  const switchedOff = switchesOff ? await runSwitchOffs(rows) : [];
  const seen: Results = { ...seenSoFar(), switchedOff };
  clearTimeout(late);
  process.stdout.write(`${report(seen)}\nIt took ${Math.round((performance.now() - began) / 1000)} s.\n`);
  if (outFile !== undefined) writeResults(outFile, seen);
  const isBad = seen.results.some(({ contender, passed }) => contender === 'balancer' && !passed);
  if (isBad || seen.switchedOff.some(({ result }) => result.passed)) process.exitCode = 1;
}

function peerOf(name: Peer): readonly Contender[] {
  const version = name === 'nginx' ? nginxVersion() : installedLitellm();
  if (version === undefined) process.stderr.write(`${name} is not installed, and left out.\n`);
  const make = name === 'nginx' ? nginxContender : litellmContender;
  return version === undefined ? [] : [make(version)];
}

/** As the rows are written down, contender by contender. */
function inOrder(results: readonly Result[], rows: readonly Row[]): readonly Result[] {
  const places = new Map(rows.map(({ name }, index) => [name, index]));
  const placeOf = ({ row, contender }: Result): number =>
    contenderNames.indexOf(contender) * rows.length + (places.get(row) ?? 0);
  return results.toSorted((a, b) => placeOf(a) - placeOf(b));
}
