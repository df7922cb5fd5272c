import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createAuthority } from '../../simulator/tls.ts';
import { startTestFleet, type TestFleet } from '../support/fleet.ts';
import { chat, send } from '../support/http.ts';
import { startIdentityEndpoint, type IdentityEndpoint } from '../support/identity-endpoint.ts';
import { INSTRUMENTATION_KEY, startIngestion, type Ingestion } from '../support/ingestion.ts';
import { endProcesses, startProcess } from '../support/process.ts';

describe('the process with Application Insights', function () {
  this.timeout(60_000);
  let fleet: TestFleet;
  let ingestion: Ingestion;
  let identity: IdentityEndpoint | undefined;
  let folder: string | undefined;
  beforeEach(async () => {
    fleet = await startTestFleet(1);
  });
  afterEach(async () => {
    await endProcesses();
    await fleet.close();
    await ingestion.close();
    await identity?.close();
    if (folder !== undefined) await rm(folder, { recursive: true });
    identity = undefined;
    folder = undefined;
  });

  it('sends what it has before it ends on SIGTERM, and joins its log with the traces', async () => {
    ingestion = await startIngestion();
    const started = await startProcess({
      ...fleet.env,
      APPLICATIONINSIGHTS_CONNECTION_STRING: ingestion.connectionString,
      LOG_FORMAT: 'json',
      DRAIN_SECONDS: '1',
    });
    assert.equal((await send(`${started.url}/v1/chat/completions`, { body: chat() })).status, 200);
    await ingestion.until(() => ingestion.of('RequestData').length === 1);
    assert.equal((await send(`${started.url}/v1/chat/completions`, { body: chat() })).status, 200);
    started.signal('SIGTERM');
    assert.deepEqual(await started.exited, { code: 0, signal: null });
    const ids = ingestion.of('RequestData').map(({ tags, data }) => [tags['ai.operation.id'], data.baseData['id']]);
    assert.equal(ids.length, 2);
    const lines = started.lines
      .map((line): Readonly<Record<string, unknown>> => JSON.parse(line))
      .filter(({ kind }) => kind === 'request-finished');
    assert.deepEqual(
      lines.map((line) => [line['trace_id'], line['span_id']]),
      ids,
    );
    assert.ok(ingestion.of('MetricData').length > 0);
    assert.equal(started.errors, '');
    assert.ok(!started.lines.join('\n').includes(INSTRUMENTATION_KEY));
  });

  it('sends it with a token of its identity where it is told to', async () => {
    const authority = await createAuthority();
    ingestion = await startIngestion(await authority.issue());
    identity = await startIdentityEndpoint({ token: 'token-of-the-identity' });
    folder = await mkdtemp(join(tmpdir(), 'balancer-insights-'));
    const authorityFile = join(folder, 'authority.pem');
    await writeFile(authorityFile, authority.cert);
    const started = await startProcess({
      ...fleet.env,
      ...identity.env,
      NODE_EXTRA_CA_CERTS: authorityFile,
      APPLICATIONINSIGHTS_CONNECTION_STRING: ingestion.connectionString,
      APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'Authorization=AAD',
    });
    assert.equal((await send(`${started.url}/v1/chat/completions`, { body: chat() })).status, 200);
    await ingestion.until(() => ingestion.of('RequestData').length === 1);
    assert.deepEqual(new Set(ingestion.credentials), new Set(['Bearer token-of-the-identity']));
    assert.deepEqual(
      identity.requests.map(({ query }) => query['resource']),
      ['https://monitor.azure.com'],
    );
    assert.equal(started.errors, '');
  });
});
