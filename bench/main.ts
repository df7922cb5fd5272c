// The benchmark: the balancer beside bare Node pass-throughs, nginx, haproxy and other gateways for language models,
// measured in one run on one machine. README.md has the method. Exits with 1 when any request failed or was answered
// wrongly; times are printed, never asserted.
import { writeFileSync } from 'node:fs';
import { authTable, fullAuthPlan, measureAuth, quickAuthPlan } from './auth.ts';
import { allowedCores, cleanUpAtExit, pinSelf } from './children.ts';
import { createContender, peers, requirements } from './contenders/all.ts';
import { balancerProgram } from './contenders/balancer.ts';
import { labels } from './contenders/contender.ts';
import type { Contender, ContenderName, Surroundings, Transport } from './contenders/contender.ts';
import { writeTables } from './document-tables.ts';
import { describeMachine } from './machine.ts';
import { OptionsError, readOptions, usage } from './options.ts';
import type { Options } from './options.ts';
import { expectedMs, fullPlan, quickPlan } from './plan.ts';
import { profileBalancer } from './profile/run.ts';
import { benchTables } from './readme-tables.ts';
import { resultsOf, toJson } from './results.ts';
import { toMarkdown } from './report.ts';
import { surveyAll } from './survey.ts';
import type { Surveyed } from './scenarios/scenario.ts';
import { Tally } from './tally.ts';
import { startUpstreams } from './upstreams.ts';

/** A run that takes longer has gone wrong. */
const mostMs = 600_000;

async function main(options: Options): Promise<void> {
  if (options.readmeFile !== undefined) return writeTables(benchTables, options.readmeFile);
  setTimeout(() => {
    process.stderr.write('the benchmark took more than 10 minutes and was ended\n');
    process.exit(1);
  }, mostMs).unref();
  cleanUpAtExit();
  if (options.auth) {
    const figures = await measureAuth(options.quick ? quickAuthPlan : fullAuthPlan);
    process.stdout.write(authTable(figures));
    return;
  }
  const notes: string[] = [];
  const [contenderCore = 0, loadCore = contenderCore] = allowedCores();
  if (loadCore === contenderCore) notes.push('only one core: contenders and load take time from each other');
  pinSelf(loadCore);
  const program = balancerProgram(options.balancerForm, options.balancerCommand);
  const upstreams = await startUpstreams(loadCore);
  const surroundingsOf = (transport: Transport): Surroundings => ({
    ...upstreams[transport],
    core: contenderCore,
    transport,
    clientKey: 'bench-client-key-0123456789abcdef',
    backendKey: 'bench-backend-key-0123456789abcdef',
  });
  const tallies = new Map(labels.map((label) => [label, new Tally()]));
  const surveyed: Surveyed = {
    cores: { contender: contenderCore, load: loadCore },
    tallyOf: (label) => tallies.get(label) ?? new Tally(),
  };
  if (options.profile) {
    process.stdout.write(await profileBalancer(surroundingsOf('plain'), program, surveyed));
    process.exitCode = hasFailed(tallies.values()) ? 1 : 0;
    return;
  }

  const { names, versions } = whatIsInstalled(options.contenders, notes);
  const machine = describeMachine(versions);
  const create = (name: ContenderName, transport: Transport): Contender =>
    createContender(name, surroundingsOf(transport), program);
  // Direct is measured once, over plain HTTP: the floor for both.
  const proxies = names.filter((name) => name !== 'direct' && !peers.has(name));
  const field = {
    plain: [
      create('direct', 'plain'),
      ...options.transports.flatMap((it) => (it === 'plain' ? proxies.map((name) => create(name, it)) : [])),
    ],
    tls: options.transports.flatMap((it) => (it === 'tls' ? proxies.map((name) => create(name, it)) : [])),
    peers: names.filter((name) => peers.has(name)).map((name) => create(name, 'plain')),
    balancer: create('balancer', 'plain'),
  };
  const plan = options.quick ? quickPlan : fullPlan;
  const expected = expectedMs(plan, {
    contenders: field.plain.length + field.tls.length,
    openContenders: plan.openStreams.transports.reduce((sum, transport) => sum + field[transport].length, 0),
    peers: field.peers.length,
  });
  process.stderr.write(`expected to take ${Math.round(expected / 1000)} s\n`);
  const { scenarios, peerScenarios } = await surveyAll(plan, field, surveyed, notes);
  const results = resultsOf({
    machine,
    quick: options.quick,
    balancer: program.form,
    notes,
    scenarios,
    peerScenarios,
    failures: Object.fromEntries(
      [...tallies].filter(([, tally]) => tally.total > 0).map(([label, tally]) => [label, tally.snapshot()]),
    ),
  });
  process.stdout.write(toMarkdown(results));
  if (options.jsonFile !== undefined) writeFileSync(options.jsonFile, toJson(results));
  process.exitCode = hasFailed(tallies.values()) ? 1 : 0;
}

function whatIsInstalled(wanted: readonly ContenderName[], notes: string[]) {
  const versions: Record<string, string> = {};
  const names = wanted.filter((name) => {
    const requirement = requirements[name];
    if (requirement === undefined) return true;
    const version = requirement.version();
    if (version === undefined) notes.push(`${name} is not installed and was left out; ${requirement.install}`);
    else versions[name] = version;
    return version !== undefined;
  });
  return { names, versions };
}

function hasFailed(tallies: Iterable<Tally>): boolean {
  return [...tallies].some((tally) => tally.total > 0);
}

try {
  await main(readOptions(process.argv.slice(2)));
} catch (error) {
  const isUsage = error instanceof OptionsError;
  process.stderr.write(
    `${isUsage ? `${error.message}\n${usage}` : error instanceof Error ? error.message : String(error)}\n`,
  );
  process.exitCode = 1;
}
// The upstream still runs; leaving ends it.
process.exit();
