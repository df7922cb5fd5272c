import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CLIENT_KEY } from '../support/balancer.ts';
import { startTestFleet, type TestFleet } from '../support/fleet.ts';
import { chat, send } from '../support/http.ts';
import { endProcesses, runInto, startProcess } from '../support/process.ts';
import { until } from '../support/until.ts';

describe('the output of the process', function () {
  this.timeout(20_000);
  let fleet: TestFleet;
  beforeEach(async () => {
    fleet = await startTestFleet(2);
  });
  afterEach(async () => {
    await endProcesses();
    await fleet.close();
  });

  it('is one line an attempt and one a request, in which no credential is', async () => {
    const settings = { CLIENT_API_KEYS: `tester=${CLIENT_KEY}`, MAX_HOLD_SECONDS: '0' };
    const started = await startProcess({ ...fleet.env, ...settings });
    fleet.resources[0]?.always({ kind: 'throttle', retryAfterMs: 1200 });
    fleet.resources[1]?.always({ kind: 'status', status: 503 });
    const received = await send(`${started.url}/v1/chat/completions?api-version=secret-query`, {
      body: chat({ user: 'secret-body' }),
    });
    assert.ok([429, 503].includes(received.status));
    await started.line(/^(WARNING )?POST \/v1\/chat\/completions \d{3} /);
    const lines = started.lines.slice(2);
    const attempts = lines.filter((line) => line.startsWith('Proxying to http://127.0.0.1:'));
    assert.equal(attempts.length, 2);
    assert.equal(lines.filter((line) => line.includes('POST /v1/chat/completions ')).length, 1);
    assert.equal(lines.filter((line) => /^(WARNING )?Backend openai/.test(line)).length, 2);
    assert.equal(lines.length, 5, lines.join('\n'));
    for (const secret of [CLIENT_KEY, 'key-1', 'key-2', 'secret-body', 'secret-query', 'Say hello']) {
      assert.ok(!started.lines.join('\n').includes(secret), `${secret} is in the log`);
    }
    assert.equal(started.errors, '');
  });

  it('is lines of JSON with LOG_FORMAT=json, every one of them', async () => {
    const started = await startProcess({ ...fleet.env, LOG_FORMAT: 'json', MAX_HOLD_SECONDS: '0' });
    fleet.resources[0]?.script({ kind: 'throttle', retryAfterMs: 1200 });
    fleet.resources[1]?.script({ kind: 'throttle', retryAfterMs: 1200 });
    assert.equal((await send(`${started.url}/v1/chat/completions`, { body: chat({ model: 'gpt\n"5' }) })).status, 429);
    await started.line(/"request-finished"/);
    started.signal('SIGINT');
    await started.exited;
    const kinds = [];
    for (const line of started.lines) {
      const entry: unknown = JSON.parse(line);
      assert.ok(typeof entry === 'object' && entry !== null);
      const { time, level, kind, text } = { time: '', level: '', kind: '', text: '', ...entry };
      assert.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
      assert.ok(['info', 'warning', 'error'].includes(level));
      assert.ok(text !== '');
      kinds.push(kind);
    }
    assert.deepEqual(kinds, [
      'notice',
      'notice',
      'attempt-started',
      'state-changed',
      'attempt-started',
      'state-changed',
      'request-finished',
      'notice',
      'notice',
    ]);
    assert.equal(started.errors, '');
  });

  it('may be closed early: the process goes on serving', async () => {
    const started = await startProcess(fleet.env);
    started.stdout.destroy();
    for (const _ of [1, 2, 3, 4, 5]) {
      assert.equal((await send(`${started.url}/v1/chat/completions`, { body: chat() })).status, 200);
    }
    started.signal('SIGINT');
    assert.deepEqual(await started.exited, { code: 0, signal: null });
    assert.equal(started.errors, '');
  });

  it('may be left unread: requests are served as ever, and what did not fit is told when somebody reads', async () => {
    const started = await startProcess(fleet.env);
    started.stdout.pause();
    // What the system keeps between two processes is full after some hundred kilobytes.
    const path = `/openai/deployments/${'d'.repeat(250)}/chat/completions?api-version=1`;
    for (let n = 0; n < 400; n += 1) {
      assert.equal((await send(started.url + path, { body: chat() })).status, 404);
    }
    assert.equal((await send(`${started.url}/v1/chat/completions`, { body: chat() })).status, 200);
    const unread = started.lines.length;
    started.stdout.resume();
    await started.line(/^POST \/v1\/chat\/completions 200 /);
    assert.ok(started.lines.length - unread > 400, `${unread} lines were read before`);
  });

  it('may be left unread to the end: the process ends all the same', async () => {
    const started = await startProcess(fleet.env);
    started.stdout.pause();
    const path = `/openai/deployments/${'d'.repeat(250)}/chat/completions?api-version=1`;
    for (let n = 0; n < 400; n += 1) await send(started.url + path, { body: chat() });
    started.signal('SIGINT');
    assert.deepEqual(await started.ended, { code: 0, signal: null });
  });

  it('may be a file, which has every line in order when the process has ended', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'balancer-'));
    const path = join(folder, 'log');
    const file = await open(path, 'w');
    try {
      const started = runInto(file.fd, { PORT: '0', ...fleet.env });
      await until(() => /Listening on \S+ /.test(readFileSync(path, 'utf8')));
      const [, url] = /Listening on (\S+)/.exec(readFileSync(path, 'utf8')) ?? [];
      for (let n = 0; n < 20; n += 1) {
        assert.equal((await send(`${url}/v1/chat/completions`, { body: chat() })).status, 200);
      }
      started.signal('SIGINT');
      assert.deepEqual(await started.exited, { code: 0, signal: null });
      const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
      assert.equal(lines.filter((line) => line.startsWith('POST ')).length, 20);
      assert.equal(lines.at(-1), 'Drained');
      assert.ok(!lines.join('').includes('\u001b'), 'no colours in a file');
    } finally {
      await file.close();
      await rm(folder, { recursive: true });
    }
  });

  it('tells how a backend stands in the end, though it is told once a second', async () => {
    const started = await startProcess({ ...fleet.env, MAX_HOLD_SECONDS: '2' });
    for (const resource of fleet.resources) resource.script({ kind: 'throttle', retryAfterMs: 10 });
    assert.equal((await send(`${started.url}/v1/chat/completions`, { body: chat() })).status, 200);
    started.signal('SIGINT');
    assert.deepEqual(await started.exited, { code: 0, signal: null });
    const changes = started.lines.filter((line) => /^(?:WARNING )?Backend openai/.test(line));
    assert.match(changes.at(-1) ?? '', /^Backend openai\d\/gpt-5\.4-mini returning: /);
  });

  it('holds the last lines when the process ends at once', async () => {
    const started = await startProcess(fleet.env);
    assert.equal((await send(`${started.url}/v1/chat/completions`, { body: chat() })).status, 200);
    started.signal('SIGINT');
    assert.deepEqual(await started.exited, { code: 0, signal: null });
    assert.match(
      started.lines.join('\n'),
      /\nPOST \/v1\/chat\/completions 200 .*\nDraining after SIGINT: \d+ requests in flight\nDrained$/,
    );
  });
});
