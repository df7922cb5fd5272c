// The benchmark: the balancer, a bare Node pass-through and nginx, measured in one run on one machine. README.md has the
// method. Exits with 1 when any request failed or was answered wrongly; times are printed, never asserted.
import { writeFileSync } from 'node:fs';
import { allowedCores, cleanUpAtExit, pinSelf, startChild } from './children.ts';
import { balancerContender, balancerProgram } from './contenders/balancer.ts';
import { bareContender } from './contenders/bare.ts';
import type { Contender, ContenderName, Surroundings } from './contenders/contender.ts';
import { directContender } from './contenders/direct.ts';
import { nginxContender, nginxVersion } from './contenders/nginx.ts';
import { describeMachine } from './machine.ts';
import { OptionsError, readOptions, usage } from './options.ts';
import type { Options } from './options.ts';
import { fullPlan, quickPlan } from './plan.ts';
import type { Plan } from './plan.ts';
import { toJson, toMarkdown } from './report.ts';
import { measureAddedLatency } from './scenarios/added-latency.ts';
import { measureCpuPerRequest } from './scenarios/cpu-per-request.ts';
import type { Cores, ScenarioResult, Surveyed } from './scenarios/scenario.ts';
import { measureStreamCpu } from './scenarios/stream-cpu.ts';
import { measureStreamMemory } from './scenarios/stream-memory.ts';
import { Tally } from './tally.ts';

async function main(options: Options): Promise<void> {
  cleanUpAtExit();
  const notes: string[] = [];
  const nginx = nginxVersion();
  const machine = describeMachine(nginx);
  const names = options.contenders.filter((name) => name !== 'nginx' || nginx !== undefined);
  if (names.length < options.contenders.length) {
    notes.push('nginx is not installed, its rows are left out; on Debian: apt-get install nginx-light');
  }
  const program = names.includes('balancer')
    ? balancerProgram(options.balancerForm, options.balancerCommand)
    : undefined;

  const [contenderCore = 0, loadCore = contenderCore] = allowedCores();
  if (loadCore === contenderCore) notes.push('only one core: contenders and load take time from each other');
  const cores: Cores = { contender: contenderCore, load: loadCore };
  pinSelf(cores.load);

  const surroundings: Surroundings = {
    core: cores.contender,
    upstreamPorts: await startUpstream(cores.load),
    clientKey: 'bench-client-key-0123456789abcdef',
    backendKey: 'bench-backend-key-0123456789abcdef',
  };
  const contenderOf = (name: ContenderName): Contender[] => {
    switch (name) {
      case 'direct':
        return [directContender(surroundings)];
      case 'nginx':
        return [nginxContender(surroundings)];
      case 'bare':
        return [bareContender(surroundings)];
      case 'balancer':
        return program === undefined ? [] : [balancerContender(surroundings, program)];
      default:
        return name satisfies never;
    }
  };
  const tallies = new Map(names.map((name) => [name, new Tally()]));
  const surveyed: Surveyed = { cores, tallyOf: (name) => tallies.get(name) ?? new Tally() };

  const scenarios = await runScenarios(options.quick ? quickPlan : fullPlan, names.flatMap(contenderOf), surveyed);
  const measured = {
    machine,
    quick: options.quick,
    ...(program === undefined ? {} : { balancer: program.form }),
    notes,
    scenarios,
    failures: Object.fromEntries([...tallies].map(([name, tally]) => [name, tally.snapshot()])),
  };
  process.stdout.write(toMarkdown(measured));
  if (options.jsonFile !== undefined) writeFileSync(options.jsonFile, toJson(measured));
  process.exitCode = [...tallies.values()].every((tally) => tally.total === 0) ? 0 : 1;
}

async function runScenarios(
  plan: Plan,
  contenders: readonly Contender[],
  surveyed: Surveyed,
): Promise<readonly ScenarioResult[]> {
  const results: ScenarioResult[] = [];
  const running = await Promise.all(contenders.map((contender) => contender.start()));
  progress('CPU a request');
  results.push(await measureCpuPerRequest(plan.cpuPerRequest, running, surveyed));
  progress('added latency');
  results.push(await measureAddedLatency(plan.addedLatency, running, surveyed));
  progress('CPU a chunk');
  results.push(await measureStreamCpu(plan.streamCpu, running, surveyed));
  await Promise.all(running.map((contender) => contender.stop()));
  progress('memory a stream');
  const proxies = contenders.filter(({ name }) => name !== 'direct');
  results.push(await measureStreamMemory(plan.streamMemory, proxies, surveyed));
  return results;
}

async function startUpstream(core: number): Promise<readonly number[]> {
  const program = new URL('upstream.ts', import.meta.url).pathname;
  const child = startChild({ name: 'upstream', core, command: process.execPath, args: [program] });
  await child.ready(() => child.output().endsWith('\n'));
  return child.output().split(',').map(Number);
}

function progress(scenario: string): void {
  process.stderr.write(`measuring: ${scenario}\n`);
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
