import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { send } from '../support/http.ts';
import { endProcesses, runProcess, startProcess } from '../support/process.ts';

const BACKEND = { BACKEND_1_URL: 'http://127.0.0.1:9' };

describe('the process at its start', function () {
  this.timeout(20_000);
  afterEach(endProcesses);

  it('ends with code 1 and one message that lists every mistake, and no value', async () => {
    const started = runProcess({
      PORT: 'secret-port',
      HOST: '0.0.0.0',
      LOG_FORMAT: 'secret-format',
      DRAIN_SECONDS: 'secret-drain',
      MAX_BODY_BYTES: '-1',
      CLIENT_API_KEYS: 'secret client keys',
      OPERATOR_KEYS: 'alice=secret-key,bob=secret-key',
      BACKEND_1_URL: 'https://someone:secret-password@my.openai.azure.com/openai',
      BACKEND_1_APIKEY: 'secret key',
      BACKEND_2_URL: 'https://two.openai.azure.com?api-key=secret',
      BACKEND_0_URL: 'https://secret.openai.azure.com',
      BACKEND_2_COLOUR: 'secret',
      AFFINITY: 'secret',
    });
    assert.deepEqual(await started.exited, { code: 1, signal: null });
    assert.deepEqual(started.lines, []);
    const [first = '', ...mistakes] = started.errors.trimEnd().split('\n');
    assert.match(first, /^The settings have \d+ mistakes:$/);
    const named = mistakes.map((line) => /^- ([A-Z0-9_]+): \S/.exec(line)?.[1] ?? line);
    assert.deepEqual([...new Set(named)].toSorted(), [
      'AFFINITY',
      'BACKEND_0_URL',
      'BACKEND_1_APIKEY',
      'BACKEND_1_URL',
      'BACKEND_2_COLOUR',
      'BACKEND_2_URL',
      'CLIENT_API_KEYS',
      'DRAIN_SECONDS',
      'LOG_FORMAT',
      'MAX_BODY_BYTES',
      'OPERATOR_KEYS',
      'PORT',
    ]);
    assert.equal(first, `The settings have ${named.length} mistakes:`);
    assert.doesNotMatch(started.errors, /secret/);
    assert.doesNotMatch(started.errors, /\n +at /);
  });

  it('ends with code 1 when there is no backend, and says which setting is needed', async () => {
    const started = runProcess({});
    assert.deepEqual(await started.exited, { code: 1, signal: null });
    assert.match(started.errors, /^The settings have a mistake:\n- BACKEND_1_URL: is needed: .*https:\/\/\S+\n$/);
  });

  it('ends with code 1 when it would be open to the network without keys', async () => {
    const started = runProcess({ ...BACKEND, HOST: '0.0.0.0' });
    assert.deepEqual(await started.exited, { code: 1, signal: null });
    assert.match(started.errors, /\n- CLIENT_API_KEYS: .*ALLOW_ANONYMOUS=true/);
  });

  it('warns when it is open to the network because ALLOW_ANONYMOUS says so', async () => {
    const started = await startProcess({ ...BACKEND, HOST: '0.0.0.0', ALLOW_ANONYMOUS: 'true' });
    assert.match(await started.line(/ALLOW_ANONYMOUS/), /^WARNING ALLOW_ANONYMOUS is true: anybody /);
  });

  it('ends with code 1 and a clear message when the port is in use', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    try {
      const address = other.address();
      assert.ok(typeof address === 'object' && address !== null);
      const started = runProcess({ ...BACKEND, PORT: String(address.port) });
      assert.deepEqual(await started.exited, { code: 1, signal: null });
      assert.equal(
        started.errors,
        `Cannot listen on 127.0.0.1:${address.port} (EADDRINUSE). Something else listens there: end it, or set PORT to another.\n`,
      );
    } finally {
      other.close();
    }
  });

  it('ends with code 1 and a clear message when the address is not of this machine', async () => {
    const started = runProcess({ ...BACKEND, HOST: '192.0.2.1', ALLOW_ANONYMOUS: 'true', PORT: '0' });
    assert.deepEqual(await started.exited, { code: 1, signal: null });
    assert.match(started.errors, /^Cannot listen on 192\.0\.2\.1:0 \(EADDRNOTAVAIL\)\. /);
    assert.doesNotMatch(started.errors, /Is something else there/);
  });

  it('says where it listens and in front of which backends, and answers there', async () => {
    const started = await startProcess({ ...BACKEND, BACKEND_2_URL: 'http://127.0.0.1:9', BACKEND_2_NAME: 'paris' });
    assert.match(started.lines[0] ?? '', /^Listening on http:\/\/127\.0\.0\.1:\d+ in front of openai1, paris$/);
    assert.equal((await send(`${started.url}/healthz`)).status, 200);
    assert.equal((await send(`${started.url}/readyz`)).status, 200);
    assert.equal(started.errors, '');
  });

  it('listens on IPv6 too, and says so as a URL that works', async function () {
    const started = runProcess({ ...BACKEND, HOST: '::1', PORT: '0' });
    const line = await started.line(/Listening on /).catch(() => undefined);
    if (line === undefined && /EADDRNOTAVAIL|EAFNOSUPPORT/.test(started.errors)) {
      this.skip(); // No IPv6 here.
    }
    assert.match(line ?? '', /^Listening on http:\/\/\[::1\]:\d+ in front of openai1$/);
    assert.equal((await send(`${started.url}/healthz`)).status, 200);
  });
});
