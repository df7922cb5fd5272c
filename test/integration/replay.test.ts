// What is sent again is byte for byte what was sent first, however large it is, however it arrived, and at whatever
// point the attempt before it broke off.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type { Fault } from '../../simulator/scenario.ts';
import { startBalancer, type RunningBalancer } from '../support/balancer.ts';
import { chat, send } from '../support/http.ts';
import { answerOf, callCounts, course, hasNoOpenRequests } from '../support/observed.ts';
import { takeDown } from '../support/outage.ts';
import { open } from '../support/reading.ts';
import { until } from '../support/until.ts';

const PATH = '/openai/v1/chat/completions';
const MEGABYTES = 5 * 2 ** 20;

/** 5 MB in which every byte counts: base64 of random bytes, escapes, UTF-8 of every length, odd white space. */
const large = Buffer.from(
  `{\r\n\t"model" : "gpt-5.4-mini",\n "messages":[{"role":"user","content":"Say hello."}], "x":"\\u00e9 \\" é 漢 😀 ${randomBytes(
    (MEGABYTES / 4) * 3,
  ).toString('base64')}" }`,
);

/** Cut so that pieces end inside characters and are of every size. */
function piecesOf(body: Buffer): readonly Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0, size = 1; at < body.length; at += size, size = Math.min(size * 2 + 1, 300_000)) {
    pieces.push(body.subarray(at, at + size));
  }
  return pieces;
}

const kinds: readonly { readonly name: string; readonly fault: Fault | 'not listening'; readonly step: string }[] = [
  { name: 'a refused connection', fault: 'not listening', step: 'connect' },
  { name: 'a connection that ends in the middle of the upload', fault: { kind: 'refuse' }, step: 'reset' },
  { name: 'a reset after the upload', fault: { kind: 'reset-before-headers' }, step: 'reset' },
  { name: 'silence', fault: { kind: 'hang' }, step: 'header-timeout' },
  { name: 'a 500', fault: { kind: 'status', status: 500 }, step: '500' },
  { name: 'a 503', fault: { kind: 'status', status: 503 }, step: '503' },
  { name: 'a 503 that is cut', fault: { kind: 'status', status: 503, truncateBody: true }, step: '503' },
  { name: 'a 503 before the upload was read', fault: { kind: 'early-answer', status: 503 }, step: '503' },
  { name: 'a 429', fault: { kind: 'throttle', retryAfterMs: 1200 }, step: '429(1200ms)' },
  { name: 'a 429 before the upload was read', fault: { kind: 'early-answer', status: 429 }, step: '429' },
  { name: 'a missing deployment', fault: { kind: 'missing-deployment' }, step: '400' },
  { name: 'a 401', fault: { kind: 'unauthorized' }, step: '401' },
  { name: 'a 200 that is cut', fault: { kind: 'truncated', afterChunks: 3 }, step: 'reset' },
];

describe('replay', () => {
  let running: RunningBalancer;

  async function start(settings: Readonly<Record<string, string>> = {}): Promise<void> {
    running = await startBalancer({ settings });
  }

  afterEach(() => running.close());

  for (const { name, fault, step } of kinds) {
    for (const how of ['with its length', 'chunked'] as const) {
      const isSilence = step === 'header-timeout';
      // Real time passes; one way of sending is enough.
      if (isSilence && how === 'chunked') continue;
      it(`sends 5 MB, received ${how}, again and again after ${name}`, async () => {
        await start(isSilence ? { HTTP_TIMEOUT_SECONDS: '1' } : {});
        for (const resource of running.resources.slice(0, 2)) {
          if (fault === 'not listening') await takeDown(resource);
          else resource.always(fault);
        }
        const sent = how === 'chunked' ? { pieces: piecesOf(large) } : { body: large };
        const received = await send(running.url + PATH, { method: 'POST', ...sent });
        assert.equal(received.status, 200);
        assert.equal(answerOf(received), 'openai3 answers: Say hello.');
        assert.equal(course(received).trace, `openai1=${step} openai2=${step} openai3=200`);
        assert.deepEqual(callCounts(running), fault === 'not listening' ? [0, 0, 1] : [1, 1, 1]);
        for (const { calls } of running.resources) {
          const [call] = calls;
          if (call === undefined) continue;
          assert.equal(call.headers['content-length'], String(large.length));
          assert.equal(call.headers['transfer-encoding'], undefined);
          const wasRead = call.fault !== 'refuse' && call.fault !== 'early-answer';
          assert.ok(call.body.equals(wasRead ? large : Buffer.alloc(0)), 'the body was changed on the way');
        }
        await until(() => hasNoOpenRequests(running));
        running.assertIdle();
      });
    }
  }

  it('passes a 413 that came before 5 MB were read on verbatim', async () => {
    await start();
    running.resources[0]?.always({ kind: 'early-answer', status: 413 });
    const received = await send(running.url + PATH, { body: large });
    assert.equal(received.status, 413);
    assert.equal(received.body.toString(), '{"error":{"code":"413","message":"Simulated status 413."}}');
    assert.deepEqual(course(received), { backend: 'openai1', attempts: '1', trace: 'openai1=413' });
    assert.deepEqual(callCounts(running), [1, 0, 0]);
    await until(() => hasNoOpenRequests(running));
    running.assertIdle();
  });

  it('sends the deployment name that each backend knows in otherwise equal bytes', async () => {
    running = await startBalancer({
      resource: (index) => ({ deployments: { [`mini-${index + 1}`]: { model: 'gpt-5.4-mini' } } }),
      settings: Object.fromEntries([1, 2, 3].map((n) => [`BACKEND_${n}_DEPLOYMENTS`, `gpt-5.4-mini=mini-${n}`])),
    });
    running.resources[0]?.always({ kind: 'throttle', retryAfterMs: 1200 });
    running.resources[1]?.always({ kind: 'reset-before-headers' });
    const received = await send(running.url + PATH, { method: 'POST', pieces: piecesOf(large) });
    assert.equal(answerOf(received), 'openai3 answers: Say hello.');
    for (const [index, { calls }] of running.resources.entries()) {
      const expected = Buffer.from(large.toString('latin1').replace('"gpt-5.4-mini"', `"mini-${index + 1}"`), 'latin1');
      assert.ok(calls[0]?.body.equals(expected), `the body was changed on the way to openai${index + 1}`);
      assert.equal(calls[0]?.headers['content-length'], String(expected.length));
    }
    running.assertIdle();
  });

  it('holds no byte of a body any more once an answer was committed', async () => {
    await start();
    running.resources[0]?.script({ kind: 'throttle', retryAfterMs: 1200 });
    running.resources[1]?.script({ kind: 'stall', afterChunks: 3 });
    const body = Buffer.concat([large.subarray(0, -1), Buffer.from(',"stream":true}')]);
    const finished = running.event('request-finished');
    const reading = await open(running.url + PATH, { body });
    assert.equal(reading.headers['x-balancer-backend'], 'openai2');
    assert.equal(running.balancer.admission.inFlight, 1);
    assert.equal(running.balancer.admission.bodies.taken, 0);
    reading.leave();
    assert.equal((await finished).ending, 'abandoned');
    await until(() => hasNoOpenRequests(running));
    running.assertIdle();
  });

  it('sends an empty body as one, and none as none', async () => {
    await start();
    running.resources[0]?.always({ kind: 'throttle', retryAfterMs: 1200 });
    await send(running.url + PATH, { body: '' });
    await send(`${running.url}/v1/models`);
    const lengths = running.resources.map(({ calls }) => calls.map(({ headers }) => headers['content-length']));
    assert.deepEqual(lengths, [['0'], ['0', undefined], []]);
    const codings = running.resources.map(({ calls }) => calls.map(({ headers }) => headers['transfer-encoding']));
    assert.deepEqual(codings, [[undefined], [undefined, undefined], []]);
    running.assertIdle();
  });
});

describe('calls that create', () => {
  const creations = [
    { name: 'a file', path: '/v1/files', upstream: '/openai/v1/files', body: '{"purpose":"batch"}' },
    { name: 'a batch', path: '/batches', upstream: '/openai/v1/batches', body: '{"input_file_id":"file-1"}' },
    {
      name: 'a fine-tuning job',
      path: '/openai/v1/fine_tuning/jobs',
      upstream: '/openai/v1/fine_tuning/jobs',
      body: '{"model":"gpt-5.4-mini","training_file":"file-1"}',
    },
    {
      name: 'a response in the background',
      path: '/responses',
      upstream: '/openai/v1/responses',
      body: '{"model":"gpt-5.4-mini","input":"x","background":true}',
    },
  ];
  const made: Fault = { kind: 'status', status: 200, body: { id: 'made-1' } };
  const cases: readonly {
    readonly trouble: string;
    readonly fault: Fault | 'not listening';
    readonly step: string;
    /** Absent: another backend makes it. */
    readonly told?: { readonly status: number; readonly text: RegExp };
  }[] = [
    { trouble: 'throttled', fault: { kind: 'throttle', retryAfterMs: 900 }, step: '429(900ms)' },
    { trouble: 'refused for our credential', fault: { kind: 'unauthorized' }, step: '401' },
    { trouble: 'refused for one permission', fault: { kind: 'permission-denied' }, step: '401' },
    { trouble: 'not deployed', fault: { kind: 'missing-deployment' }, step: '400' },
    { trouble: 'never connected', fault: 'not listening', step: 'connect' },
    {
      trouble: 'reset',
      fault: { kind: 'reset-before-headers' },
      step: 'reset',
      told: { status: 502, text: /"backends_unreachable"/ },
    },
    {
      trouble: 'closed on',
      fault: { kind: 'refuse' },
      step: 'reset',
      told: { status: 502, text: /"backends_unreachable"/ },
    },
    {
      trouble: 'met with silence',
      fault: { kind: 'hang' },
      step: 'header-timeout',
      told: { status: 504, text: /"backends_timed_out"/ },
    },
    {
      trouble: 'answered with half a 200',
      fault: { kind: 'status', status: 200, body: { id: 'made-1' }, truncateBody: true },
      step: 'reset',
      told: { status: 502, text: /"backends_unreachable"/ },
    },
    ...[408, 500, 502, 503, 504].map((status) => ({
      trouble: `answered with ${status}`,
      fault: { kind: 'status', status } as const,
      step: String(status),
      told: { status, text: status === 408 ? /The operation was timeout/ : /The server had an error/ },
    })),
  ];

  let running: RunningBalancer;
  beforeEach(async () => {
    await start();
  });
  afterEach(() => running.close());

  async function start(settings: Readonly<Record<string, string>> = {}): Promise<void> {
    running = await startBalancer({ settings });
    for (const resource of running.resources) resource.always(made);
  }

  for (const { name, path, upstream, body } of creations) {
    for (const { trouble, fault, step, told } of cases) {
      it(`make ${name} ${told === undefined ? 'elsewhere' : 'nowhere else'} when ${trouble}`, async () => {
        if (step === 'header-timeout') {
          await running.close();
          await start({ HTTP_TIMEOUT_SECONDS: '0.1' });
        }
        const [first, second] = running.resources;
        if (fault === 'not listening') await takeDown(first);
        else first?.always(fault);
        const received = await send(running.url + path, { body });
        if (told === undefined) {
          assert.equal(received.status, 200);
          assert.equal(received.body.toString(), '{"id":"made-1"}');
          assert.equal(course(received).trace, `openai1=${step} openai2=200`);
          assert.deepEqual(callCounts(running), [fault === 'not listening' ? 0 : 1, 1, 0]);
          assert.deepEqual([second?.calls[0]?.path, second?.calls[0]?.body.toString()], [upstream, body]);
        } else {
          assert.equal(received.status, told.status);
          assert.match(received.body.toString(), told.text);
          assert.equal(course(received).trace, `openai1=${step}`);
          assert.deepEqual(callCounts(running), [1, 0, 0]);
          // The client must not make it a second time by itself.
          assert.equal(received.headers['x-should-retry'], 'false');
          assert.equal(received.headers['retry-after'], undefined);
        }
        await until(() => hasNoOpenRequests(running));
        running.assertIdle();
      });
    }
  }

  it('are never sent on a kept connection, whose end could be a loss', async () => {
    const [first] = running.resources;
    assert.ok(first !== undefined);
    await send(running.url + PATH, { body: chat() });
    assert.equal(first.openSockets, 1);
    const received = await send(`${running.url}/v1/files`, { body: '{}' });
    assert.deepEqual(course(received), { backend: 'openai1', attempts: '1', trace: 'openai1=200' });
    assert.equal(first.calls[1]?.headers.connection, 'close');
    running.assertIdle();
  });

  it('leave responses without background to the ordinary failover', async () => {
    running.resources[0]?.always({ kind: 'reset-before-headers' });
    const received = await send(`${running.url}/responses`, {
      body: '{"model":"gpt-5.4-mini","input":"\\"background\\":true","background":false}',
    });
    assert.equal(course(received).trace, 'openai1=reset openai2=200');
    running.assertIdle();
  });
});
