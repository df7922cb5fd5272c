// npm run bench:peers: installs the other gateways into bench/.peers. It needs python3 with venv, npm and a network; takes
// some minutes and about 800 MB. One that cannot be installed is said and left out; the exit code is 1 then.
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import {
  installedLitellm,
  installedPortkey,
  LITELLM,
  litellmFolder,
  litellmPython,
  PORTKEY,
  portkeyFolder,
} from './peers.ts';

function run(command: string, args: readonly string[]): boolean {
  process.stderr.write(`> ${command} ${args.join(' ')}\n`);
  return spawnSync(command, args, { stdio: 'inherit' }).status === 0;
}

function tell(name: string, version: string | undefined): void {
  process.stdout.write(version === undefined ? `${name}: not installed\n` : `${name} ${version} is installed\n`);
  if (version === undefined) process.exitCode = 1;
}

if (process.argv.length > 2) {
  process.stderr.write(
    'usage: npm run bench:peers\n  installs LiteLLM and Portkey into bench/.peers, about 800 MB; it takes no options\n',
  );
  process.exit(2);
}
mkdirSync(portkeyFolder, { recursive: true });
// Without scripts: the gateway's own one patches nothing that is in the package.
run('npm', ['install', '--prefix', portkeyFolder, '--no-save', '--no-audit', '--no-fund', '--ignore-scripts', PORTKEY]);
if (run('python3', ['-m', 'venv', litellmFolder])) {
  run(litellmPython, ['-m', 'pip', 'install', '--no-input', '--disable-pip-version-check', '--quiet', LITELLM]);
}
tell('Portkey gateway', installedPortkey());
tell('LiteLLM', installedLitellm());
