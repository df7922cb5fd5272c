import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createAuthority } from '../../simulator/tls.ts';
import { startTestFleet, type TestFleet } from '../support/fleet.ts';
import { chat, errorOf, send } from '../support/http.ts';
import { answerOf, course } from '../support/observed.ts';
import { endProcesses, startProcess } from '../support/process.ts';

describe('the certificates that the process believes', function () {
  this.timeout(20_000);
  let fleet: TestFleet;
  let folder: string;
  let authorityFile: string;
  beforeEach(async () => {
    const authority = await createAuthority();
    fleet = await startTestFleet(1, { tls: await authority.issue() });
    folder = await mkdtemp(join(tmpdir(), 'balancer-trust-'));
    authorityFile = join(folder, 'authority.pem');
    await writeFile(authorityFile, authority.cert);
  });
  afterEach(async () => {
    await endProcesses();
    await fleet.close();
    await rm(folder, { recursive: true });
  });

  it('are those of an authority of the operator’s too, named by NODE_EXTRA_CA_CERTS', async () => {
    const started = await startProcess({ ...fleet.env, NODE_EXTRA_CA_CERTS: authorityFile });
    for (const body of [chat(), chat({ stream: true })]) {
      const received = await send(`${started.url}/v1/chat/completions`, { body });
      assert.equal(answerOf(received), 'openai1 answers: Say hello.');
      assert.deepEqual(course(received), { backend: 'openai1', attempts: '1', trace: 'openai1=200' });
    }
    assert.equal(fleet.resources[0]?.openSockets, 1);
    await started.line(/^POST \/v1\/chat\/completions 200 /);
    assert.equal(started.errors, '');
  });

  it('are no others: the caller gets an honest 502, and the log says what is wrong', async () => {
    const started = await startProcess(fleet.env);
    const received = await send(`${started.url}/v1/chat/completions`, { body: chat() });
    assert.deepEqual([received.status, errorOf(received).code], [502, 'backends_unreachable']);
    assert.match(
      await started.line(/^WARNING Backend openai1 .* authority that is not known here/),
      / state=open reason=(?:UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER_CERT_LOCALLY)$/,
    );
    assert.match(await started.line(/^WARNING POST /), / trace=openai1=connect reasons=openai1=UNABLE_TO_/);
    assert.equal(fleet.resources[0]?.calls.length, 0);
    assert.equal(started.errors, '');
  });
});
