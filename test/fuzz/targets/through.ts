import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import { once as onceTold } from 'node:events';
import type { Fault } from '../../../simulator/scenario.ts';
import { CLIENT_KEY, startBalancer } from '../../support/balancer.ts';
import { piecesOf, type Chance } from '../mutate.ts';
import { ask, openStage, type Asked, type Got, type Stage } from '../stage.ts';
import { bytesOf, once, type Target, wordsOf } from '../target.ts';
import { eventSamples, eventWords } from './events.ts';

const CHAT = 'gpt-5.4-mini';
const BOUNDARY = 'x-9-boundary';
const VERSION = 'api-version=2024-10-21';

/** What a resource does that its caller is to get as it is, whoever stands between. */
const FAULTS: readonly [Fault, ...Fault[]] = [
  { kind: 'gzip' },
  { kind: 'keepalive' },
  { kind: 'large', bytes: 200_000 },
  { kind: 'large', bytes: 3_000_000 },
  { kind: 'content-filter', variant: 'prompt' },
  { kind: 'content-filter', variant: 'answer' },
  { kind: 'context-too-long' },
  { kind: 'status', status: 400, body: 'plain größe' },
  { kind: 'status', status: 409, body: { error: { code: 'Conflict', message: '😀' } } },
  { kind: 'status', status: 422 },
  { kind: 'status', status: 204 },
  { kind: 'status', status: 302, headers: { location: 'https://elsewhere.example/' } },
  { kind: 'stall', afterChunks: 2, ms: 3 },
  { kind: 'slow-first-byte', ms: 2 },
  { kind: 'slow-first-chunk', ms: 2 },
  { kind: 'error-mid-stream', afterChunks: 3 },
];

let stage: Stage | undefined;
/** Of what was kept, to ask for it again: both have it under one id. */
let lastKept = 'resp_none';

/** JSON with blanks wherever it may have some. */
function spaced(value: unknown, chance: Chance): Buffer {
  const blank = (): string => (chance.oneIn(3) ? (chance.pick([' ', '\n', '\t', '\r\n', '    ']) ?? '') : '');
  const write = (part: unknown): string => {
    if (Array.isArray(part)) return `[${blank()}${part.map(write).join(`${blank()},${blank()}`)}${blank()}]`;
    if (typeof part !== 'object' || part === null) return JSON.stringify(part);
    const members = Object.entries(part).map(
      ([name, each]) => `${JSON.stringify(name)}${blank()}:${blank()}${write(each)}`,
    );
    return `{${blank()}${members.join(`${blank()},${blank()}`)}${blank()}}`;
  };
  const text = chance.oneIn(2) ? JSON.stringify(value) : `${blank()}${write(value)}${blank()}`;
  // As many clients write it, and as few do.
  return Buffer.from(
    chance.oneIn(4)
      ? text.replaceAll(/[^\0-\x7f]/g, (each) => `\\u${each.charCodeAt(0).toString(16).padStart(4, '0')}`)
      : text,
  );
}

function json(path: string, value: unknown, chance: Chance): Asked {
  const body = spaced(value, chance);
  const cut = chance.oneIn(20) ? chance.below(body.length) : body.length;
  return { method: 'POST', path, contentType: 'application/json', body: body.subarray(0, cut) };
}

function form(path: string, fields: Readonly<Record<string, string>>, file: Buffer): Asked {
  const parts = Object.entries(fields).map(([name, value]) =>
    Buffer.from(`--${BOUNDARY}\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`),
  );
  const head = `--${BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\nContent-Type: application/octet-stream\r\n\r\n`;
  const body = Buffer.concat([...parts, Buffer.from(head), file, Buffer.from(`\r\n--${BOUNDARY}--\r\n`)]);
  return { method: 'POST', path, contentType: `multipart/form-data; boundary=${BOUNDARY}`, body };
}

const get = (path: string): Asked => ({ method: 'GET', path });

type Making = (text: string, bytes: Buffer, chance: Chance) => Asked;

const MAKINGS: readonly [Making, ...Making[]] = [
  (text, _, chance) =>
    json(
      chance.oneIn(2) ? '/openai/v1/chat/completions' : `/openai/deployments/${CHAT}/chat/completions?${VERSION}`,
      { messages: [{ role: 'user', content: text }], model: CHAT, stream: chance.oneIn(2), n: 1 + chance.below(2) },
      chance,
    ),
  (text, _, chance) =>
    json(
      '/openai/v1/chat/completions',
      {
        model: CHAT,
        stream: true,
        stream_options: { include_usage: true },
        messages: [{ role: 'system', content: text }],
      },
      chance,
    ),
  (text, _, chance) => json('/openai/v1/responses', { model: CHAT, input: text, stream: chance.oneIn(2) }, chance),
  (text, _, chance) =>
    json(`/openai/deployments/${CHAT}/completions?${VERSION}`, { prompt: text, stream: chance.oneIn(2) }, chance),
  (text, _, chance) =>
    json(
      '/openai/v1/embeddings',
      { input: [text, 'b'], model: 'text-embedding-3-large', encoding_format: 'base64' },
      chance,
    ),
  (text, _, chance) => json('/openai/v1/audio/speech', { model: 'tts', input: text, voice: 'alloy' }, chance),
  (text, _, chance) => json('/openai/v1/images/generations', { model: 'image', prompt: text }, chance),
  (text, bytes) => form('/openai/v1/audio/transcriptions', { model: 'gpt-4o-transcribe', prompt: plain(text) }, bytes),
  (_, bytes) => form('/openai/v1/files', { purpose: 'batch' }, bytes),
  () => get('/openai/v1/models'),
  () => get(`/openai/models?${VERSION}`),
  () => get('/openai/v1/files'),
  () => get(`/openai/v1/files/${lastKept}/content`),
  () => get(`/openai/v1/responses/${lastKept}`),
  () => get(`/openai/v1/responses/${lastKept}/input_items`),
  () => ({ method: 'DELETE', path: `/openai/v1/responses/${lastKept}` }),
];

/** What may stand in a field of a form. */
function plain(text: string): string {
  return text.replaceAll(/[\r\n]/g, ' ');
}

export const throughTheBalancer: Target = {
  name: 'requests through the balancer',
  property:
    'whatever is asked, however it is cut and however slowly the answer is read: a resource gets the same bytes through the balancer, and its caller the same status, headers and bytes, as without it',
  samples: bytesOf(
    'Say hello.',
    'größe 😀 模型 \u2028 "quoted" \\ {}',
    'x'.repeat(5000),
    'RIFF\0\x01\r\n--x\r\n\u{1F469}\u200D\u{1F680}',
  ),
  words: wordsOf('😀¦ü¦\n¦\r\n¦"¦\\¦{}¦data: ¦[DONE]¦"model":"x"¦\0¦usage¦ '),
  longest: 200_000,
  share: 0.02,
  regressions: [once('Say hello.', 1), once('größe 😀', 2)],
  async open() {
    stage = await openStage();
    return () => stage?.close() ?? Promise.resolve();
  },
  async check(bytes, chance) {
    assert.ok(stage !== undefined);
    // What is no text goes as replacement characters; a form's file goes as it is.
    const asked = chance.pick(MAKINGS)(bytes.toString('utf8'), bytes, chance);
    const fault = chance.oneIn(4) ? chance.pick(FAULTS) : undefined;
    if (fault !== undefined) stage.script(fault);
    const { straight, through } = await stage.askBoth(asked, chance);
    assertSame(through, straight);
    const calls = stage.lastCalls();
    assert.equal(calls.through.method, calls.straight.method);
    assert.equal(calls.through.path, calls.straight.path);
    assert.ok(calls.through.body.equals(calls.straight.body));
    assert.ok(calls.straight.body.equals(asked.body ?? Buffer.alloc(0)));
    lastKept = /"id": ?"((?:resp_|file-)[\w-]+)"/.exec(straight.body.toString('latin1'))?.[1] ?? lastKept;
    return `${asked.method} ${asked.path.replaceAll(/(?:resp_|file-)[\w-]+/g, 'id')} ${straight.status} ${fault?.kind ?? ''}`;
  },
};

function assertSame(through: Got, straight: Got): void {
  assert.equal(through.status, straight.status, through.body.toString('utf8', 0, 300));
  assert.deepEqual(through.headers, straight.headers);
  assert.ok(through.body.equals(straight.body), `${through.body.length} bytes for ${straight.body.length}`);
  assert.equal(through.isComplete, straight.isComplete);
}

const KINDS = [
  'text/event-stream; charset=utf-8',
  'application/json',
  'application/octet-stream',
  'audio/mpeg',
  'text/plain',
] as const;
const CONTENT = 'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n';

/** What the backend answers next; both are asked one after the other. */
let next:
  | { readonly kind: string; readonly pieces: readonly Buffer[]; readonly hasLength: boolean; readonly pauses: number }
  | undefined;
let server: Server | undefined;
let urls: { readonly straight: string; readonly through: string } | undefined;

export const answersThroughTheBalancer: Target = {
  name: 'answers through the balancer',
  property:
    'whatever bytes a backend answers with, and in whatever pieces, its caller gets them through the balancer as without it',
  samples: [...eventSamples, ...bytesOf('{"choices":[],"usage":{"prompt_tokens":1}}', `data: ${'x'.repeat(9000)}\n\n`)],
  words: eventWords,
  longest: 400_000,
  share: 0.02,
  async open() {
    server = createServer((req, res) => {
      req.resume();
      req.on('end', () => {
        const { kind, pieces, hasLength, pauses } = next ?? { kind: '', pieces: [], hasLength: false, pauses: 1 };
        const length = Buffer.concat(pieces).length;
        res.writeHead(200, [
          'content-type',
          kind,
          'x-kept',
          'a',
          ...(hasLength ? ['content-length', String(length)] : []),
        ]);
        void (async () => {
          for (const [index, piece] of pieces.entries()) {
            if (!res.write(piece)) await Promise.race([onceTold(res, 'drain'), onceTold(res, 'close')]);
            if (index % pauses === 0) await new Promise((resolve) => setImmediate(resolve));
          }
          res.end();
        })();
      });
    });
    server.listen(0, '127.0.0.1');
    await onceTold(server, 'listening');
    const address = server.address();
    assert.ok(typeof address === 'object' && address !== null);
    const straight = `http://127.0.0.1:${address.port}`;
    const balancer = await startBalancer({ backends: 1, settings: { BACKEND_1_URL: straight } });
    urls = { straight, through: balancer.url };
    return async () => {
      await balancer.close();
      server?.close();
      server?.closeAllConnections();
    };
  },
  async check(bytes, chance) {
    assert.ok(urls !== undefined);
    const kind = chance.pick(KINDS);
    // A stream whose first event is an error is another backend's chance.
    const body = kind === KINDS[0] ? Buffer.concat([Buffer.from(CONTENT), bytes]) : bytes;
    const pieces = piecesOf(body, chance).slice(0, 5000);
    next = { kind, pieces, hasLength: chance.oneIn(3), pauses: 1 + chance.below(8) };
    const asked = {
      method: 'POST',
      path: '/openai/v1/responses',
      contentType: 'application/json',
      body: Buffer.from('{"model":"m"}'),
    };
    const straight = await ask(urls.straight, asked, {}, chance);
    const through = await ask(urls.through, asked, { 'api-key': CLIENT_KEY }, chance);
    assert.ok(straight.body.equals(Buffer.concat(pieces)));
    assertSame(through, straight);
    return `${kind} ${body.length > 65_536 ? 'long' : 'short'} ${pieces.length > 1}`;
  },
};
