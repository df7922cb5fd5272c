import assert from 'node:assert/strict';
import { endProcesses, runScript, type RunningProcess } from '../support/process.ts';
import { errorOf, send } from '../support/http.ts';
import { textOf } from '../support/sources.ts';
import { until } from '../support/until.ts';

/** What `npm start` prints: the command, its key, and the key of an operator. */
interface Printed {
  readonly curl: string;
  readonly key: string;
  readonly operatorKey: string;
}

describe('npm start', function () {
  this.timeout(20_000);
  afterEach(endProcesses);

  async function start(env: Readonly<Record<string, string>> = {}): Promise<RunningProcess & { printed: Printed }> {
    const started = runScript('scripts/start.ts', { PORT: '0', ...env });
    await started.line(/\/status$/);
    const text = started.lines.join('\n');
    const curl = /^ +(curl -i .*\n.*)$/m.exec(text)?.[1] ?? '';
    const [, key = ''] = /api-key: ([^']+)/.exec(curl) ?? [];
    const [, operatorKey = ''] = /api-key: ([^']+)' \S+\/status/.exec(text) ?? [];
    return Object.assign(started, { printed: { curl, key, operatorKey } });
  }

  async function end(started: RunningProcess): Promise<void> {
    started.signal('SIGINT');
    await started.exited;
  }

  it('prints a command that works as it stands, and the same as README.md but for the port', async () => {
    const started = await start();
    const { curl, key, operatorKey } = started.printed;
    assert.deepEqual([key, operatorKey], ['try-me', 'look-inside']);
    const inReadme = /^curl -i (?:.*\\\n)+.*$/m.exec(textOf('README.md'))?.[0] ?? '';
    const plain = (text: string): string => text.replaceAll(/\s+/g, ' ').replace(/127\.0\.0\.1:\d+/, 'HERE');
    assert.equal(plain(curl), plain(inReadme));
    const [, body = ''] = /-d '([^']+)'/.exec(curl) ?? [];
    const url = `${started.url}/v1/chat/completions`;
    assert.equal((await send(url, { headers: { 'api-key': key }, body })).status, 200);
    assert.equal((await send(`${started.url}/status`, { headers: { 'api-key': operatorKey } })).status, 200);
    await end(started);
  });

  it('tells the newcomer who forgets the key, or takes another, what to do', async () => {
    const started = await start();
    const url = `${started.url}/v1/chat/completions`;
    const forgotten = await send(url, { headers: { 'api-key': '' }, body: '{}' });
    assert.deepEqual([forgotten.status, errorOf(forgotten).code], [401, 'missing_credential']);
    assert.match(
      errorOf(forgotten).message,
      /^No credential was sent\. Send a client key .* in the header api-key or as Authorization: Bearer/,
    );
    const wrong = await send(url, { headers: { 'api-key': 'my-azure-key' }, body: '{}' });
    assert.deepEqual([wrong.status, errorOf(wrong).code], [401, 'unknown_credential']);
    const looking = await send(`${started.url}/status`, { headers: { 'api-key': 'try-me' } });
    assert.deepEqual([looking.status, errorOf(looking).code], [401, 'operator_credential_needed']);
    await until(() => started.lines.some((line) => line.includes('missing_credential')));
    await end(started);
  });

  it('leaves locks to whoever sets their own', async () => {
    const started = await start({ CLIENT_API_KEYS: 'me=my-own-key', OPERATOR_KEYS: '' });
    assert.deepEqual([started.printed.key, started.printed.operatorKey], ['…', '…']);
    const ask = (key: string) => send(`${started.url}/v1/models`, { headers: { 'api-key': key } });
    assert.equal((await ask('my-own-key')).status, 200);
    assert.equal((await ask('try-me')).status, 401);
    assert.doesNotMatch(started.lines.join('\n'), /my-own-key/);
    await end(started);
  });
});
