/** Every kind of request and of trouble, each with all its secrets, and all that its caller was told. */
import assert from 'node:assert/strict';
import type { Fault } from '../../simulator/scenario.ts';
import { BACKENDS, WORDS, type CanaryStage } from './canary-stage.ts';
import { connectTo, head, type RawConnection } from './raw.ts';
import { until } from './until.ts';

/** What somebody was told, and what of the secrets may be in it. */
export interface Told {
  readonly how: string;
  readonly text: string;
  readonly may: readonly string[];
}

/** One request, as bytes, and what comes of it. */
interface Step {
  readonly how: string;
  readonly bytes: Buffer;
  readonly status: number;
  /** In the log. */
  readonly logged: RegExp;
  readonly may?: readonly string[];
  /** What a backend does with it, if it is not what it always does. */
  readonly fault?: Scripted;
}

type Scripted = readonly [backend: (typeof BACKENDS)[number], fault: Fault];

/** Sends it all, and waits until the log tells of each. */
export async function sendEverything(stage: CanaryStage): Promise<readonly Told[]> {
  const { started } = stage;
  setFaults(stage);
  const steps = stepsOf(stage);
  const told: Told[] = [];
  for (const { how, bytes, status, may = [], fault } of steps) {
    if (fault !== undefined) resourceOf(stage, fault[0]).script(fault[1]);
    const text = await talk(started.port, bytes);
    assert.equal(statusOf(text), status, `${how}: ${text}`);
    told.push({ how, text, may });
  }
  told.push(...(await sendTroublesome(stage)));
  await untilLogged(stage, ...steps.map(({ logged }) => logged));
  return told;
}

/** Waits for lines of the log; what is turned away in numbers is told within a second. */
async function untilLogged({ started }: CanaryStage, ...patterns: readonly RegExp[]): Promise<void> {
  const missing = (): readonly RegExp[] =>
    patterns.filter((pattern) => !started.lines.some((line) => pattern.test(line)));
  try {
    await until(() => missing().length === 0);
  } catch {
    assert.deepEqual(missing(), [], started.lines.join('\n'));
  }
}

/** Those that need a second hand, or time. */
async function sendTroublesome(stage: CanaryStage): Promise<readonly Told[]> {
  const { started } = stage;
  const post = posting(stage);
  const full = await whileFull(stage, () => talk(started.port, post('served')));
  assert.match(full, /too_many_requests_in_flight/);
  resourceOf(stage, 'broken').script({ kind: 'stall', afterChunks: 2 });
  const leaving = await connectTo(started.port);
  const begun = new Promise((resolve) => {
    leaving.socket.once('data', resolve);
  });
  leaving.write(post('broken', { stream: true }));
  await begun;
  leaving.socket.destroy();
  await untilLogged(stage, /abandoned\b.*broken=200/);
  resourceOf(stage, 'broken').script({ kind: 'stall', afterChunks: 2 }, { kind: 'hang' });
  const idle = talk(started.port, post('broken', { stream: true }));
  const late = talk(started.port, post('broken'));
  const told = [
    { how: 'no room', text: full, may: [] },
    { how: 'a stream that falls silent', text: await idle, may: WORDS },
    { how: 'a backend that says nothing', text: await late, may: [] },
  ];
  assert.match(told.map(({ text }) => text).join(''), /"stream_idle"[^]*"backends_timed_out"/);
  await untilLogged(stage, / 200 broken\b/, /backends_timed_out/, /too_many_requests_in_flight/);
  return told;
}

/** Ends the process by SIGTERM while a stream is open; what its reader was told. */
export async function drain(stage: CanaryStage): Promise<Told> {
  const { started } = stage;
  resourceOf(stage, 'broken').script({ kind: 'stall', afterChunks: 2 });
  const open = await connectTo(started.port);
  const begun = new Promise((resolve) => {
    open.socket.once('data', resolve);
  });
  open.write(posting(stage)('broken', { stream: true }));
  await begun;
  started.signal('SIGTERM');
  const text = await open.rest();
  assert.match(text, /"stream_drained"/);
  assert.deepEqual(await started.exited, { code: 0, signal: null });
  return { how: 'a stream that outlasts the drain', text, may: WORDS };
}

function setFaults(stage: CanaryStage): void {
  const { words, backendCookie } = stage.secrets;
  const headers = { 'set-cookie': `session=${backendCookie}` };
  const failing = (status: number, code: string): Fault => ({
    kind: 'status',
    status,
    headers,
    body: { error: { code, message: words } },
  });
  resourceOf(stage, 'denied').always(failing(401, 'invalid_api_key'));
  resourceOf(stage, 'throttled').always({ kind: 'throttle', retryAfterMs: 60_000, headers });
  resourceOf(stage, 'failing').always(failing(500, 'InternalServerError'));
  resourceOf(stage, 'overloaded').always(failing(503, 'ServiceUnavailable'));
  resourceOf(stage, 'refused').always(failing(400, 'content_filter'));
  resourceOf(stage, 'forbidden').always(failing(403, 'PermissionDenied'));
  resourceOf(stage, 'missing').always(failing(404, 'DeploymentNotFound'));
}

function resourceOf(
  { fleet }: CanaryStage,
  name: (typeof BACKENDS)[number],
): CanaryStage['fleet']['resources'][number] {
  const resource = fleet.resources[BACKENDS.indexOf(name)];
  assert.ok(resource !== undefined);
  return resource;
}

function statusOf(text: string): number {
  return Number(/^HTTP\/1\.1 (\d{3}) /.exec(text)?.[1]);
}

/** All that is answered to these bytes, until the connection ends. */
async function talk(port: number, bytes: Buffer): Promise<string> {
  const connection = await connectTo(port);
  connection.write(bytes);
  return connection.rest();
}

/** While four requests are let in whose bodies do not come. */
async function whileFull<T>(stage: CanaryStage, work: () => Promise<T>): Promise<T> {
  const { started, secrets } = stage;
  const holders: RawConnection[] = [];
  for (const _ of [1, 2, 3, 4]) {
    const holder = await connectTo(started.port);
    const lines = ['Host: x', `api-key: ${secrets.clientKey}`, 'Expect: 100-continue', 'Content-Length: 10'];
    holder.write(head('POST /v1/responses HTTP/1.1', ...lines));
    assert.equal((await holder.answer()).status, 100);
    holders.push(holder);
  }
  const done = await work();
  for (const { socket } of holders) socket.destroy();
  await untilLogged(stage, /\babandoned\b/);
  return done;
}

/** All credentials that no request needs. */
function junkOf({ secrets }: CanaryStage): readonly string[] {
  return [
    `Authorization: Negotiate ${secrets.authorization}`,
    `Proxy-Authorization: Basic ${basic('proxy', secrets.proxyAuthorization)}`,
    `Cookie: session=${secrets.cookie}; api-key=${secrets.cookie}`,
    `Ocp-Apim-Subscription-Key: ${secrets.subscriptionKey}`,
    `x-api-key: ${secrets.subscriptionKey}`,
  ];
}

function basic(name: string, password: string): string {
  return Buffer.from(`${name}:${password}`).toString('base64');
}

function request(line: string, lines: readonly string[], body: string | Buffer = ''): Buffer {
  const bytes = Buffer.from(body);
  const length = bytes.length === 0 ? [] : [`Content-Length: ${bytes.length}`];
  const text = head(`${line} HTTP/1.1`, 'Host: balancer.example', ...lines, ...length, 'Connection: close');
  return Buffer.concat([Buffer.from(text), bytes]);
}

/** A chat with a deployment, by client key and with all the junk. */
function posting(stage: CanaryStage): (deployment: string, more?: Readonly<Record<string, unknown>>) => Buffer {
  const { secrets } = stage;
  const lines = [`api-key: ${secrets.clientKey}`, ...junkOf(stage), 'Content-Type: application/json'];
  return (model, more = {}) =>
    request(
      `POST /v1/chat/completions?after=${secrets.queryValue}&api-key=${secrets.queryKey}`,
      lines,
      JSON.stringify({ model, messages: [{ role: 'user', content: secrets.prompt }], ...more }),
    );
}

function stepsOf(stage: CanaryStage): readonly Step[] {
  return [...servedSteps(stage), ...failingSteps(stage), ...refusedSteps(stage), ...operatorSteps(stage)];
}

function servedSteps(stage: CanaryStage): readonly Step[] {
  const { secrets } = stage;
  const post = posting(stage);
  const junk = junkOf(stage);
  const isJson = 'Content-Type: application/json';
  const asked = JSON.stringify({ model: 'served', input: secrets.prompt, instructions: secrets.prompt });
  const part = (name: string, more: string, value: string): string =>
    `--b\r\nContent-Disposition: form-data; name="${name}"${more}\r\n\r\n${value}\r\n`;
  const oneLine = secrets.prompt.replaceAll(/["\n]/g, ' ');
  const form =
    `${part('model', '', 'heard')}${part('prompt', '', secrets.prompt)}` +
    `${part('file', `; filename="${oneLine}.wav"`, secrets.prompt)}--b--\r\n`;
  const completion = { choices: [{ index: 0, message: { role: 'assistant', content: secrets.completion } }] };
  const event = `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content: secrets.completion } }] })}\n\n`;
  const ok = { status: 200, may: WORDS };
  const chatLine = /POST \/v1\/chat\/completions 200\b.*backend\W+served/;
  const answering = (body: string | object, type: string): Scripted => [
    'served',
    { kind: 'status', status: 200, body, headers: { 'content-type': type, 'set-cookie': secrets.backendCookie } },
  ];
  return [
    { how: 'a chat', bytes: post('served'), logged: chatLine, fault: answering(completion, 'application/json'), ...ok },
    {
      how: 'a streamed chat',
      bytes: post('served', { stream: true }),
      logged: chatLine,
      fault: answering(`${event}data: [DONE]\n\n`, 'text/event-stream'),
      ...ok,
    },
    { how: 'a streamed chat that tells the prompt', bytes: post('served', { stream: true }), logged: chatLine, ...ok },
    {
      how: 'an input, by a key in rotation',
      bytes: request('POST /v1/responses', [`Authorization: Bearer ${secrets.otherKey}`, isJson], asked),
      logged: /POST \/v1\/responses 200\b/,
      ...ok,
    },
    {
      how: 'a legacy chat, by a token',
      bytes: request(
        'POST /openai/deployments/served/chat/completions?api-version=2024-10-21',
        [`api-key: ${secrets.token}`, ...junk, isJson],
        JSON.stringify({ messages: [{ role: 'user', content: secrets.prompt }] }),
      ),
      logged: /99999999-8888-7777-6666-555555555555/,
      ...ok,
    },
    {
      how: 'an upload, by a token as bearer',
      bytes: request(
        'POST /v1/audio/transcriptions',
        [`Authorization: Bearer ${secrets.token}`, 'Content-Type: multipart/form-data; boundary=b'],
        form,
      ),
      logged: /POST \/v1\/audio\/transcriptions 200\b/,
      ...ok,
    },
    {
      how: 'a client’s last request of this minute',
      bytes: request('POST /v1/responses', [`api-key: ${secrets.limitedKey}`, isJson], asked),
      logged: /client\W+team-b/,
      ...ok,
    },
    {
      how: 'a client’s first request too many',
      bytes: request('POST /v1/responses', [`api-key: ${secrets.limitedKey}`, isJson], asked),
      status: 429,
      logged: /client_limit_exceeded/,
    },
    {
      how: 'an absolute URL with a password',
      bytes: request(
        `POST http://someone:${secrets.urlPassword}@balancer.example/v1/chat/completions`,
        [`api-key: ${secrets.clientKey}`, isJson],
        JSON.stringify({ model: 'served', messages: [{ role: 'user', content: secrets.prompt }] }),
      ),
      logged: chatLine,
      ...ok,
    },
  ];
}

function failingSteps(stage: CanaryStage): readonly Step[] {
  const post = posting(stage);
  const stream = { stream: true };
  // The role of an identity may come yet; a key is wrong or right.
  const denied =
    stage.identity === undefined
      ? { status: 502, logged: /code\W+backend_auth_failed/ }
      : { status: 503, logged: /code\W+backend_auth_pending/ };
  const forbidden =
    stage.identity === undefined ? { status: 403, may: WORDS, logged: / 403\b.*forbidden=403/ } : denied;
  return [
    {
      how: 'a chat that five refuse before one answers',
      bytes: post('any'),
      status: 200,
      may: WORDS,
      logged: /attempts\W+6\b/,
    },
    { how: 'no credential that counts', bytes: post('denied'), ...denied },
    { how: 'no quota', bytes: post('throttled'), status: 429, logged: /code\W+all_backends_throttled/ },
    { how: '500', bytes: post('failing'), status: 500, may: WORDS, logged: / 500\b.*failing=500/ },
    { how: '503', bytes: post('overloaded'), status: 503, may: WORDS, logged: / 503\b.*overloaded=503/ },
    { how: 'nobody there', bytes: post('gone'), status: 502, logged: /gone=ECONNREFUSED/ },
    { how: '400', bytes: post('refused'), status: 400, may: WORDS, logged: / 400\b.*refused=400/ },
    { how: '403', bytes: post('forbidden'), ...forbidden },
    { how: '404', bytes: post('missing'), status: 404, logged: /code\W+DeploymentNotFound/ },
    { how: 'a deployment that nobody has', bytes: post('nowhere'), status: 404, logged: /deployment\W+nowhere/ },
    {
      how: 'a stream that breaks',
      bytes: post('broken', stream),
      fault: ['broken', { kind: 'reset-mid-stream', afterChunks: 2, midEvent: true }],
      status: 200,
      may: WORDS,
      logged: / 200 broken\b/,
    },
    {
      how: 'a stream that ends too early',
      bytes: post('broken', stream),
      fault: ['broken', { kind: 'truncated', afterChunks: 2 }],
      status: 200,
      may: WORDS,
      logged: / 200 broken\b/,
    },
    {
      how: 'a stream whose model fails',
      bytes: post('broken', stream),
      fault: ['broken', { kind: 'error-mid-stream', afterChunks: 2 }],
      status: 200,
      may: WORDS,
      logged: / 200\b.*broken=200/,
    },
    {
      how: 'an answer that is cut',
      bytes: post('broken'),
      fault: ['broken', { kind: 'status', status: 400, truncateBody: true, body: { error: { message: 'x' } } }],
      status: 502,
      logged: /code\W+backends_unreachable/,
    },
    {
      how: 'a reset before an answer',
      bytes: post('broken'),
      fault: ['broken', { kind: 'reset-before-headers' }],
      status: 502,
      logged: /broken=ECONNRESET/,
    },
  ];
}

function refusedSteps(stage: CanaryStage): readonly Step[] {
  const { secrets } = stage;
  const key = `api-key: ${secrets.clientKey}`;
  const junk = junkOf(stage);
  const all = [key, ...junk];
  const get = (target: string, ...lines: readonly string[]): Buffer =>
    request(`GET ${target}?api-key=${secrets.queryKey}`, lines);
  const chat = posting(stage);
  const broken = `x-broken: ${secrets.brokenHeader}`;
  const raw = (...lines: readonly string[]): Buffer => Buffer.from(head(...lines));
  const malformed = { status: 400, logged: /malformed_request/ };
  const [tokenHead = '', tokenBody = ''] = secrets.token.split('.');
  return [
    { how: 'a path that climbs', bytes: get('/v1/../models', ...all), status: 400, logged: /invalid_path/ },
    { how: 'an unknown path', bytes: get('/nowhere', ...all), status: 404, logged: /unknown_path/ },
    {
      how: 'an unknown URL with a password',
      bytes: request(`GET http://someone:${secrets.urlPassword}@balancer.example/nowhere`, all),
      status: 404,
      logged: /GET \/nowhere 404|unknown_path [2-9]/,
    },
    {
      how: 'another scheme with a password',
      bytes: request(`GET ftp://someone:${secrets.urlPassword}@balancer.example`, all),
      status: 404,
      logged: /unknown_path/,
    },
    { how: 'an unusual method', bytes: request('TRACE /v1/models', all), status: 405, logged: /method_not_allowed/ },
    {
      how: 'a tunnel',
      bytes: raw(`CONNECT someone:${secrets.urlPassword}@backend.example:443 HTTP/1.1`, 'Host: x', ...all),
      status: 405,
      logged: /method_not_allowed/,
    },
    {
      how: 'a WebSocket',
      bytes: raw(
        `GET /v1/realtime?model=served&api-key=${secrets.queryKey} HTTP/1.1`,
        'Host: x',
        'Connection: Upgrade, close',
        'Upgrade: websocket',
        `Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.${secrets.protocol}`,
        ...all,
      ),
      status: 501,
      logged: /websocket_not_supported/,
    },
    {
      how: 'a body that is compressed',
      bytes: request('POST /v1/responses', [...all, 'Content-Encoding: gzip'], secrets.prompt),
      status: 415,
      logged: /invalid_content_encoding/,
    },
    {
      how: 'a body that is too large',
      bytes: chat('served', { user: 'x'.repeat(4000) }),
      status: 413,
      logged: /body_too_large/,
    },
    {
      how: 'a body for which there is no room',
      bytes: chat('served', { user: 'x'.repeat(3000) }),
      status: 503,
      logged: /too_many_bytes_buffered/,
    },
    {
      how: 'a deployment name that is too long',
      bytes: chat('x'.repeat(300)),
      status: 400,
      logged: /invalid_deployment_name/,
    },
    {
      how: 'another expectation',
      bytes: request('POST /v1/responses', [...all, `Expect: ${secrets.brokenHeader}`], secrets.prompt),
      status: 417,
      logged: /expectation_failed/,
    },
    { how: 'no credential', bytes: get('/v1/models', ...junk), status: 401, logged: /missing_credential/ },
    {
      how: 'an unknown key',
      bytes: get('/v1/models', `api-key: ${secrets.unknownKey}`, ...junk),
      status: 401,
      logged: /unknown_credential/,
    },
    {
      how: 'the key of a backend',
      bytes: get('/v1/models', `api-key: ${secrets.backendKeys[0]}`),
      status: 401,
      logged: /unknown_credential/,
    },
    {
      how: 'a password',
      bytes: get('/v1/models', `Authorization: Basic ${basic(secrets.clientKey, secrets.password)}`),
      status: 401,
      logged: /missing_credential/,
    },
    {
      how: 'an expired token',
      bytes: get('/v1/models', `api-key: ${secrets.expiredToken}`),
      status: 401,
      logged: /token_expired/,
    },
    {
      how: 'a token that was cut',
      bytes: get('/v1/models', `Authorization: Bearer ${tokenHead}.${tokenBody}.`),
      status: 401,
      logged: /token_signature_invalid/,
    },
    {
      how: 'a token that was changed',
      bytes: get('/v1/models', `Authorization: Bearer eyJ.${tokenBody}.${tokenHead}`),
      status: 401,
      logged: /token_malformed/,
    },
    { how: 'a header without a colon', bytes: raw('GET /v1/models HTTP/1.1', secrets.brokenHeader, key), ...malformed },
    {
      how: 'a header with a control character',
      bytes: raw('GET /v1/models HTTP/1.1', 'Host: x', `${broken}\u0001`, key),
      ...malformed,
    },
    {
      how: 'no HTTP at all',
      bytes: Buffer.from(`\u0016\u0003\u0001${secrets.brokenHeader}\r\n\r\n`, 'latin1'),
      ...malformed,
    },
    {
      how: 'a version that there is not',
      bytes: raw(`GET /v1/models?api-key=${secrets.queryKey} HTTP/9.9`, ...all),
      ...malformed,
    },
    {
      how: 'two hosts',
      bytes: raw('GET /v1/models HTTP/1.1', 'Host: x', `Host: ${secrets.brokenHeader}`, key),
      ...malformed,
    },
    {
      how: 'a coding that nobody knows',
      bytes: Buffer.concat([
        raw('POST /v1/responses HTTP/1.1', 'Host: x', `Transfer-Encoding: ${secrets.brokenHeader}, chunked`, key),
        Buffer.from('0\r\n\r\n'),
      ]),
      ...malformed,
    },
    {
      how: 'a chunk that is none',
      bytes: Buffer.concat([
        raw('POST /v1/responses HTTP/1.1', 'Host: x', key, 'Transfer-Encoding: chunked'),
        Buffer.from(`${secrets.brokenHeader}\r\n`),
      ]),
      ...malformed,
    },
    {
      how: 'too many headers',
      bytes: raw('GET /v1/models HTTP/1.1', 'Host: x', key, `${broken}${'x'.repeat(40_000)}`),
      status: 431,
      logged: /headers_too_large/,
    },
  ];
}

/** Pages of the balancer itself; those who read them are not logged. */
function operatorSteps(stage: CanaryStage): readonly Step[] {
  const { secrets } = stage;
  const logged = /Listening on /;
  const junk = junkOf(stage).slice(1);
  const get = (path: string, ...lines: readonly string[]): Buffer =>
    request(`GET ${path}?api-key=${secrets.queryKey}`, [...lines, ...junk]);
  const byKey = `api-key: ${secrets.operatorKey}`;
  const byPassword = `Authorization: Basic ${basic('alice', secrets.operatorKey)}`;
  const byWrongPassword = `Authorization: Basic ${basic('alice', secrets.password)}`;
  return [
    { how: '/healthz', bytes: get('/healthz', byKey), status: 200, logged },
    { how: '/readyz', bytes: get('/readyz', byKey), status: 200, logged },
    { how: '/status, as a page', bytes: get('/status', byKey, 'accept: text/html'), status: 200, logged },
    { how: '/ledger, as JSON', bytes: get('/ledger', byKey, 'accept: application/json'), status: 200, logged },
    ...['/status', '/metrics', '/ledger'].flatMap((path): Step[] => [
      { how: path, bytes: get(path, byKey), status: 200, logged },
      { how: `${path}, by a password`, bytes: get(path, byPassword), status: 200, logged },
      { how: `${path}, by a wrong password`, bytes: get(path, byWrongPassword), status: 401, logged },
      { how: `${path}, by a client key`, bytes: get(path, `api-key: ${secrets.clientKey}`), status: 401, logged },
      { how: `${path}, by a token`, bytes: get(path, `api-key: ${secrets.token}`), status: 401, logged },
    ]),
  ];
}
