import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseCommand } from '../../simulator/command.ts';
import { startResource } from '../../simulator/server.ts';
import { ask, deployments } from './support.ts';

const names = ['openai1', 'openai2', 'openai3'];
const main = fileURLToPath(new URL('../../simulator/main.ts', import.meta.url));

function start(...args: string[]) {
  const child = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const said = { out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said.out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said.err += text;
  });
  return { child, said };
}

async function run(...args: string[]): Promise<{ readonly code: unknown; readonly out: string; readonly err: string }> {
  const { child, said } = start(...args);
  const [code]: unknown[] = await once(child, 'close');
  return { code, ...said };
}

describe('the simulator command line', () => {
  it('starts on port 8101 or another', () => {
    assert.deepEqual(parseCommand([], names), { kind: 'start', port: 8101, limits: {} });
    assert.deepEqual(parseCommand(['--port', '9000'], names), { kind: 'start', port: 9000, limits: {} });
    assert.deepEqual(parseCommand(['--port=0'], names), { kind: 'start', port: 0, limits: {} });
  });

  it('starts with other limits, other windows and TLS', () => {
    const line = '--tpm 30000 --rpm 180 --window leaky --slices 1s,10s --phase 17s --tls ca.pem';
    assert.deepEqual(parseCommand(line.split(' '), names), {
      kind: 'start',
      port: 8101,
      limits: { tpm: 30_000, rpm: 180, window: 'leaky', requestSlicesMs: [1000, 10_000], phaseMs: 17_000 },
      tlsFile: 'ca.pem',
    });
    assert.deepEqual(parseCommand(['--slices', 'none'], names), {
      kind: 'start',
      port: 8101,
      limits: { requestSlicesMs: [] },
    });
  });

  it('talks to the resource it names, on its port', () => {
    const url = (...args: string[]): unknown => {
      const command = parseCommand(args, names);
      return command.kind === 'control' ? `${command.method} ${command.url}` : command;
    };
    const base = 'http://127.0.0.1';
    assert.equal(url('throttle', 'openai1', '30s'), `POST ${base}:8101/simulator/throttle?ms=30000`);
    assert.equal(url('throttle', 'openai1', '250ms'), `POST ${base}:8101/simulator/throttle?ms=250`);
    assert.equal(url('throttle', 'openai3', '2m', '--port', '9000'), `POST ${base}:9002/simulator/throttle?ms=120000`);
    assert.equal(url('fault', 'openai2', 'status:503'), `POST ${base}:8102/simulator/fault?name=status%3A503&times=1`);
    assert.equal(url('fault', 'openai2', 'hang', '3'), `POST ${base}:8102/simulator/fault?name=hang&times=3`);
    assert.equal(url('fault', 'openai2', 'hang', 'always'), `POST ${base}:8102/simulator/fault?name=hang&times=always`);
    assert.equal(url('no-role', 'openai1', '30s'), `POST ${base}:8101/simulator/no-role?ms=30000`);
    assert.equal(url('limit', 'openai2', '2000tpm', '1m'), `POST ${base}:8102/simulator/limit?tpm=2000&ms=60000`);
    assert.equal(url('clear', 'openai1', '--tls', 'ca.pem'), 'POST https://127.0.0.1:8101/simulator/clear');
    assert.equal(url('clear', 'openai1'), `POST ${base}:8101/simulator/clear`);
    assert.equal(url('state', 'openai1'), `GET ${base}:8101/simulator/state`);
  });

  const wrong = [
    'nonsense',
    '--nonsense',
    '--port',
    '--port http',
    '--port 65534',
    '--port 70000',
    'throttle',
    'throttle openai4 30s',
    'throttle openai1',
    'throttle openai1 30',
    'throttle openai1 soon',
    'throttle openai1 30s now',
    'throttle openai1 30s --port 0',
    'throttle openai1 30s --tpm 100',
    '--tpm none',
    '--tpm 0',
    '--rpm -1',
    '--window round',
    '--slices 2s',
    '--phase 60s',
    'limit openai1',
    'limit openai1 2000tpm',
    'limit openai1 2000 60s',
    'limit openai1 0tpm 60s',
    'limit openai1 2000tpm 60s now',
    'no-role openai1',
    'fault openai1',
    'fault openai1 nonsense',
    'fault openai1 hang 0',
    'fault openai1 hang 1001',
    'fault openai1 hang 1 2',
    'clear openai1 now',
    'state',
  ];
  for (const line of wrong) {
    it(`says what is wrong with: ${line}`, () => {
      const command = parseCommand(line.split(' '), names);
      assert.ok(command.kind === 'wrong' && command.message.endsWith('.'), JSON.stringify(command));
    });
  }
});

describe('the simulator command', () => {
  it('ends with exit code 2 and says on stderr what is wrong and where help is for wrong arguments', async () => {
    const { code, out, err } = await run('nonsense');
    assert.equal(code, 2);
    assert.equal(out, '');
    assert.equal(err, 'Unknown command nonsense.\nAll commands, options and faults: npm run simulator -- --help\n');
  });

  it('shows the usage when asked', async () => {
    const { code, out, err } = await run('--help');
    assert.equal(code, 0);
    assert.match(out, /^Usage:/);
    assert.equal(err, '');
  });

  it('ends with exit code 1 and names the port when it is in use', async () => {
    const taken = await startResource({ name: 'taken', deployments });
    try {
      const { port } = new URL(taken.url);
      const { code, err } = await run('--port', port);
      assert.equal(code, 1);
      assert.match(err, new RegExp(`^The simulator cannot start: port ${port} is in use\\.`));
    } finally {
      await taken.close();
    }
  });

  it('ends with exit code 1 when no simulator answers', async () => {
    const gone = await startResource({ name: 'gone', deployments });
    await gone.close();
    const { code, err } = await run('clear', 'openai1', '--port', new URL(gone.url).port);
    assert.equal(code, 1);
    assert.match(err, /^No simulator answers at http:.* --port\.\n$/);
  });

  it('scripts a running resource', async () => {
    const resource = await startResource({ name: 'openai1', deployments });
    try {
      const { code, out } = await run('fault', 'openai1', 'status:503', '--port', new URL(resource.url).port);
      assert.equal(code, 0);
      assert.equal(out, '{"fault":"status:503","times":1}\n');
      assert.equal((await ask(resource)).status, 503);
    } finally {
      await resource.close();
    }
  });

  it('starts with TLS, writes what to trust, and is told what to do over TLS', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'simulator-'));
    const tlsFile = join(folder, 'ca.pem');
    const { child } = start('--port', '0', '--tls', tlsFile);
    try {
      const [text]: unknown[] = await once(child.stdout, 'data');
      const [url = ''] = /https:\/\/127\.0\.0\.1:\d+/.exec(String(text)) ?? [];
      const { code, out } = await run('state', 'openai1', '--port', new URL(url).port, '--tls', tlsFile);
      assert.equal(code, 0);
      assert.match(out, new RegExp(`^{"name":"openai1","url":"${url}"`));
      assert.match(await readFile(tlsFile, 'utf8'), /^-----BEGIN CERTIFICATE-----/);
    } finally {
      child.kill();
      await once(child, 'close');
      await rm(folder, { recursive: true });
    }
  });

  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    it(`runs three resources until ${signal} ends it with exit code 0`, async () => {
      const { child, said } = start('--port', '0');
      const [text]: unknown[] = await once(child.stdout, 'data');
      assert.equal(
        String(text).match(
          /openai\d {2}http:\/\/127\.0\.0\.1:\d+ {2}api-key: simulated-key-\d {2}token: simulated-token-\d/g,
        )?.length,
        3,
      );
      child.kill(signal);
      const [code]: unknown[] = await once(child, 'close');
      assert.equal(code, 0);
      assert.equal(said.err, '');
    });
  }
});
