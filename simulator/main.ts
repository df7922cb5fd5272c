// The simulator's command: starts the small fleet on fixed ports, or tells a running one how to misbehave.
// Exit codes: 0 done or ended by a signal, 1 it did not work, 2 the arguments are wrong.

import { writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { request as secureRequest } from 'node:https';
import { text } from 'node:stream/consumers';
import { DEFAULT_PORT, parseCommand, usage } from './command.ts';
import type { Command } from './command.ts';
import { smallFleet, startFleet } from './fleet.ts';
import type { Fleet } from './fleet.ts';
import type { ResourceOptions } from './options.ts';
import type { QuotaLimits } from './limits/quota.ts';
import { createAuthority } from './tls.ts';
import type { ServerCertificate } from './tls.ts';

const options = smallFleet();
await run(
  parseCommand(
    process.argv.slice(2),
    options.map((option) => option.name),
  ),
);

async function run(command: Command): Promise<void> {
  switch (command.kind) {
    case 'help':
      process.stdout.write(usage);
      return;
    case 'wrong':
      process.stderr.write(`${command.message}\nAll commands, options and faults: npm run simulator -- --help\n`);
      process.exitCode = 2;
      return;
    case 'start':
      return start(command);
    case 'control':
      return control(command.method, command.url);
    default:
      command satisfies never;
  }
}

async function start({ port, limits, tlsFile }: Extract<Command, { kind: 'start' }>): Promise<void> {
  let fleet: Fleet;
  const limited = options.map((option, index) => ({
    ...option,
    deployments: limitedDeployments(option.deployments, limits),
    port: port === 0 ? 0 : port + index,
  }));
  try {
    const tls = tlsFile === undefined ? undefined : await certificateFor(tlsFile);
    fleet = await startFleet(limited.map((option) => (tls === undefined ? option : { ...option, tls })));
  } catch (error) {
    process.stderr.write(`The simulator cannot start: ${reasonOf(error)}\n`);
    process.exitCode = 1;
    return;
  }
  const end = (): void => {
    process.off('SIGINT', end);
    process.off('SIGTERM', end);
    void fleet.close(); // nothing is left to do then, so the process ends with exit code 0
  };
  process.on('SIGINT', end);
  process.on('SIGTERM', end);
  process.stdout.write(greeting(fleet, limited, port, tlsFile));
}

/** The deployments with other limits, but only where they have such a limit at all. */
function limitedDeployments(
  deployments: ResourceOptions['deployments'],
  { tpm, rpm, ...counting }: QuotaLimits,
): ResourceOptions['deployments'] {
  const limited = Object.entries(deployments).map(([name, spec]) => [
    name,
    {
      ...spec,
      ...counting,
      ...(spec.tpm === undefined || tpm === undefined ? {} : { tpm }),
      ...(spec.rpm === undefined || rpm === undefined ? {} : { rpm }),
    },
  ]);
  return Object.fromEntries(limited);
}

async function certificateFor(tlsFile: string): Promise<ServerCertificate> {
  const authority = await createAuthority();
  await writeFile(tlsFile, authority.cert);
  return authority.issue();
}

async function control(method: 'GET' | 'POST', url: string): Promise<void> {
  try {
    const { status, body } = await tell(method, url);
    (status === 200 ? process.stdout : process.stderr).write(body);
    process.exitCode = status === 200 ? 0 : 1;
  } catch {
    process.stderr.write(
      `No simulator answers at ${new URL(url).origin}. Start it with: npm run simulator; or name its first port with --port.\n`,
    );
    process.exitCode = 1;
  }
}

function tell(method: string, url: string): Promise<{ readonly status: number; readonly body: string }> {
  return new Promise((resolve, reject) => {
    // It is our own fleet on this machine, whatever certificate it shows.
    const ask = url.startsWith('https:') ? secureRequest : request;
    const req = ask(url, { method, agent: false, rejectUnauthorized: false }, (res) => {
      void text(res).then((body) => resolve({ status: res.statusCode ?? 0, body }), reject);
    });
    req.on('error', reject);
    req.end();
  });
}

function reasonOf(error: unknown): string {
  if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE' && 'port' in error) {
    return `port ${String(error.port)} is in use. End what listens there, or choose others with --port.`;
  }
  return error instanceof Error ? error.message : String(error);
}

function greeting(
  fleet: Fleet,
  started: readonly ResourceOptions[],
  port: number,
  tlsFile: string | undefined,
): string {
  const resources = fleet.resources.map((resource, index) => {
    const { apiKey = '', bearerToken = '', region = '' } = started[index] ?? {};
    return `  ${resource.name}  ${resource.url}  api-key: ${apiKey}  token: ${bearerToken}  (${region})`;
  });
  const deployments = Object.entries(started[0]?.deployments ?? {}).map(([name, { tpm, rpm }]) => {
    const limits = [tpm === undefined ? [] : `${tpm} tokens`, rpm === undefined ? [] : `${rpm} requests`].flat();
    return `  ${name}  ${limits.join(' and ') || 'unlimited'} a minute`;
  });
  const [first] = fleet.resources;
  const ca = tlsFile === undefined ? '' : ` --cacert ${tlsFile}`;
  const at = `${port === DEFAULT_PORT ? '' : ` --port ${port}`}${tlsFile === undefined ? '' : ` --tls ${tlsFile}`}`;
  const byCommand = `  npm run simulator -- throttle openai1 30s${at}
  npm run simulator -- fault openai1 status:503 3${at}
  npm run simulator -- clear openai1${at}`;
  // Free ports do not follow each other, so the command cannot find them.
  const byHttp = `  curl${ca} -X POST '${first?.url ?? ''}/simulator/throttle?ms=30000'
  curl${ca} -X POST '${first?.url ?? ''}/simulator/fault?name=status:503&times=3'
  curl${ca} -X POST '${first?.url ?? ''}/simulator/clear'`;
  return `Simulated Azure OpenAI resources (Ctrl+C ends them):
${resources.join('\n')}

Each has these deployments; requests are also counted in slices of the minute (ten seconds unless said otherwise):
${deployments.join('\n')}

Ask one:
  curl -s${ca} ${first?.url ?? ''}/openai/v1/chat/completions -H 'api-key: ${started[0]?.apiKey ?? ''}' \\
    -H 'content-type: application/json' -d '{"model":"gpt-5.4-mini","messages":[{"role":"user","content":"hello"}]}'

Make one misbehave, from another terminal:
${port === 0 ? byHttp : byCommand}
`;
}
