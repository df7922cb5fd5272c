import assert from 'node:assert/strict';
import { randomFrom } from '../../bench/random.ts';
import type { Entry } from '../../simulator/books.ts';
import type { Fault } from '../../simulator/scenario.ts';
import type { LedgerDocument, LedgerRow } from '../../app/src/telemetry/ledger.ts';
import { startBalancer, type RunningBalancer } from '../support/balancer.ts';
import { send } from '../support/http.ts';
import { hasNoOpenRequests } from '../support/observed.ts';
import { open } from '../support/reading.ts';
import { until } from '../support/until.ts';

const SEED = 20_261_122;
const AT_ONCE = 20;
const BATCHES = 42;
const BREAK = 40;
const LEAVE_IN_STREAM = 90;
const LEAVE_BEFORE = 30;
const CLIENTS = ['team-a', 'team-b', 'team-c'] as const;
const CHAT = 'gpt-5.4-mini';
const EMBEDDING = 'text-embedding-3-large';
const HEARS = 'gpt-4o-transcribe';
const THINKS = 'reasoner';
/** What callers call it; the backends know it by its own name only. */
const ALIAS = 'chat';
const DEPLOYMENTS = {
  [CHAT]: { model: CHAT },
  [EMBEDDING]: { model: EMBEDDING },
  [HEARS]: { model: HEARS },
  [THINKS]: { model: 'o5', reasoning: true },
};

interface Asked {
  readonly path: string;
  readonly body: string | Buffer;
  readonly type?: string;
}

type Random = () => number;

function pick<T>(from: readonly T[], random: Random): T {
  const found = from[Math.floor(random() * from.length)];
  assert.ok(found !== undefined);
  return found;
}

const LONG = 'The same words at the beginning of every prompt are kept for a while. '.repeat(80);

function chatBody(random: Random, more: object): string {
  const model = pick([CHAT, ALIAS, THINKS], random);
  const content = `${random() < 0.3 ? LONG : ''}Question ${Math.floor(random() * 1000)}?`;
  return JSON.stringify({ model, messages: [{ role: 'user', content }], ...more });
}

function form(fields: Readonly<Record<string, string>>, file: Buffer): Asked['body'] {
  const parts = Object.entries(fields).map(
    ([name, value]) => `--edge\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`,
  );
  const head =
    '--edge\r\ncontent-disposition: form-data; name="file"; filename="f.wav"\r\ncontent-type: audio/wav\r\n\r\n';
  return Buffer.concat([Buffer.from(parts.join('') + head), file, Buffer.from('\r\n--edge--\r\n')]);
}

function heard(more: Readonly<Record<string, string>>, random: Random): Asked {
  const body = form({ model: HEARS, ...more }, Buffer.alloc(1 + Math.floor(random() * 100_000)));
  return { path: '/v1/audio/transcriptions', body, type: 'multipart/form-data; boundary=edge' };
}

const v1Chat = (body: string): Asked => ({ path: '/v1/chat/completions', body });
const response = (model: string, more: object): Asked => ({
  path: '/responses',
  body: JSON.stringify({ model, input: `${LONG}Say hello.`, store: false, ...more }),
});
const json = (path: string, body: object): Asked => ({ path, body: JSON.stringify(body) });
const WITH_USAGE = { stream: true, stream_options: { include_usage: true } };

/** Every kind of request that costs tokens, and some that fail by themselves. */
const KINDS: readonly ((random: Random) => Asked)[] = [
  (random) => v1Chat(chatBody(random, {})),
  (random) => v1Chat(chatBody(random, { n: 3, max_tokens: 5 })),
  (random) => v1Chat(chatBody(random, { stream: true })),
  (random) => v1Chat(chatBody(random, { stream: true, n: 2, reasoning_effort: 'low' })),
  (random) => v1Chat(chatBody(random, { stream: true, stream_options: { include_usage: false } })),
  (random) => v1Chat(chatBody(random, WITH_USAGE)),
  (random) => ({
    path: `/openai/deployments/${CHAT}/chat/completions?api-version=2024-10-21`,
    body: chatBody(random, { stream: true }),
  }),
  (random) => ({
    path: `/openai/deployments/${CHAT}/chat/completions?api-version=2024-02-01`,
    body: chatBody(random, { stream: true }),
  }),
  (random) => response(pick([CHAT, THINKS], random), {}),
  (random) => response(pick([CHAT, THINKS], random), { stream: true }),
  (random) => json('/v1/completions', { model: CHAT, prompt: 'Once upon', stream: random() < 0.5 }),
  (random) => json('/v1/completions', { model: CHAT, prompt: 'Once upon', best_of: 1 + Math.floor(random() * 3) }),
  (random) =>
    json('/v1/embeddings', { model: EMBEDDING, input: Array.from({ length: 1 + random() * 4 }, () => 'word') }),
  () => json('/v1/images/generations', { model: CHAT, prompt: 'a cat' }),
  () => json('/v1/images/generations', { model: CHAT, prompt: 'a cat', stream: true, partial_images: 3 }),
  (random) => heard({}, random),
  (random) => heard({ stream: 'true' }, random),
  (random) => heard({ response_format: 'text' }, random),
  () => json('/v1/audio/speech', { model: CHAT, input: 'Say this.', voice: 'alloy' }),
  () => json('/v1/audio/speech', { model: CHAT, input: 'Say this.', voice: 'alloy', stream_format: 'sse' }),
  () => json('/v1/embeddings', { model: 'nowhere', input: 'x' }),
  () => ({ path: '/v1/chat/completions', body: `{"model":"${CHAT}","messages":` }),
];

const FAULTS: readonly ((random: Random) => Fault)[] = [
  () => ({ kind: 'throttle', retryAfterMs: 5 }),
  () => ({ kind: 'status', status: 500 }),
  () => ({ kind: 'status', status: 503 }),
  () => ({ kind: 'reset-before-headers' }),
  () => ({ kind: 'content-filter' }),
  () => ({ kind: 'throttle-in-stream', shape: 'chat-error', retryAfterMs: 5 }),
  (random) => ({ kind: 'error-mid-stream', afterChunks: 4 + Math.floor(random() * 4) }),
  // Early: after the last byte of a short body an end of the connection breaks nothing.
  (random) => ({ kind: 'reset-mid-stream', afterChunks: Math.floor(random() * 3), midEvent: random() < 0.5 }),
  (random) => ({ kind: 'truncated', afterChunks: Math.floor(random() * 3) }),
];

const SUMS = ['prompt', 'completion', 'cached', 'reasoning', 'delivered', 'estimated'] as const;

type Sums = Record<(typeof SUMS)[number], number>;

/** Per deployment, as the backends call it, and backend. */
class Account {
  private readonly sums = new Map<string, Sums>();

  add(deployment: string, backend: string, more: Partial<Sums>): void {
    const key = `${deployment === ALIAS ? CHAT : deployment} ${backend}`;
    const sums = this.sums.get(key) ?? {
      prompt: 0,
      completion: 0,
      cached: 0,
      reasoning: 0,
      delivered: 0,
      estimated: 0,
    };
    for (const name of SUMS) sums[name] += more[name] ?? 0;
    this.sums.set(key, sums);
  }

  read(): Readonly<Record<string, Sums>> {
    return Object.fromEntries([...this.sums].filter(([, sums]) => Object.values(sums).some((sum) => sum > 0)));
  }
}

describe('the ledger', () => {
  let running: RunningBalancer;
  afterEach(() => running.close());

  async function ask(asked: Asked, client: string): Promise<void> {
    const headers = {
      'api-key': `key-of-${client}`,
      ...(asked.type === undefined ? {} : { 'content-type': asked.type }),
    };
    await send(running.url + asked.path, { body: asked.body, headers });
  }

  async function atRest(requests: number): Promise<void> {
    await until(() => finishedCount() === requests && hasNoOpenRequests(running));
  }

  function finishedCount(): number {
    return running.events.filter(({ kind }) => kind === 'request-finished').length;
  }

  async function rows(): Promise<readonly LedgerRow[]> {
    const headers = { 'api-key': 'operator-key', accept: 'application/json' };
    const { body } = await send(`${running.url}/ledger`, { headers });
    const document: LedgerDocument = JSON.parse(body.toString());
    return document.rows;
  }

  it('says to the token what the backends counted, over 1,000 mixed requests with faults', async function () {
    this.timeout(120_000);
    const random = randomFrom(SEED);
    running = await startBalancer({
      random,
      resource: () => ({ deployments: DEPLOYMENTS }),
      settings: {
        CLIENT_API_KEYS: CLIENTS.map((name) => `${name}=key-of-${name}`).join(','),
        OPERATOR_KEYS: 'alice=operator-key',
        DEPLOYMENT_ALIASES: `${ALIAS}=${CHAT}`,
        MAX_HOLD_SECONDS: '5',
      },
    });
    const { resources } = running;
    const sentBy = new Map<string, number>();
    let sent = 0;

    function nextClient(): string {
      const client = pick(CLIENTS, random);
      sentBy.set(client, (sentBy.get(client) ?? 0) + 1);
      sent += 1;
      return client;
    }

    for (let batch = 0; batch < BATCHES; batch += 1) {
      for (const resource of resources) {
        for (let fault = 0; fault < 2; fault += 1) if (random() < 0.7) resource.script(pick(FAULTS, random)(random));
      }
      await Promise.all(Array.from({ length: AT_ONCE }, () => ask(pick(KINDS, random)(random), nextClient())));
      await atRest(sent);
    }
    for (let broken = 0; broken < BREAK; broken += 1) {
      for (const resource of resources) {
        const afterChunks = 2 + Math.floor(random() * 6);
        resource.clearFaults();
        resource.script(
          random() < 0.5 ? { kind: 'reset-mid-stream', afterChunks } : { kind: 'truncated', afterChunks },
        );
      }
      await ask(
        pick([v1Chat(chatBody(random, { stream: true })), response(CHAT, { stream: true })], random),
        nextClient(),
      );
      await atRest(sent);
    }
    // Who leaves does so where the answer stands still, so that nobody can have had all of it.
    for (let left = 0; left < LEAVE_IN_STREAM; left += 1) {
      for (const resource of resources) {
        resource.clearFaults();
        resource.script({ kind: 'stall', afterChunks: 3 + Math.floor(random() * 3) });
      }
      const asked = pick(
        [
          v1Chat(chatBody(random, { stream: true })),
          v1Chat(chatBody(random, WITH_USAGE)),
          response(THINKS, { stream: true }),
        ],
        random,
      );
      const reading = await open(running.url + asked.path, {
        body: asked.body,
        headers: { 'api-key': `key-of-${nextClient()}` },
      });
      await reading.came((text) => text.includes('\n\n'));
      reading.leave();
      await atRest(sent);
    }
    for (let left = 0; left < LEAVE_BEFORE; left += 1) {
      for (const resource of resources) {
        resource.clearFaults();
        resource.script({ kind: 'hang' });
      }
      const leaving = new AbortController();
      const headers = { 'api-key': `key-of-${nextClient()}` };
      const body = chatBody(random, { stream: true });
      const asked = send(`${running.url}/v1/chat/completions`, { body, headers, signal: leaving.signal });
      await Promise.race(resources.map((resource) => resource.onceCalled()));
      leaving.abort();
      await assert.rejects(asked);
      await atRest(sent);
    }
    assert.equal(sent, 1000);

    const books = resources.flatMap(({ name, books: entries }) => entries.map((entry) => ({ backend: name, entry })));
    const ledger = await rows();
    const inBooks = new Account();
    for (const { backend, entry } of books) inBooks.add(entry.deployment, backend, expectedOf(entry));
    const inLedger = new Account();
    for (const row of ledger) {
      inLedger.add(row.deployment, row.backend, {
        prompt: row.promptTokens,
        completion: row.completionTokens,
        cached: row.cachedTokens,
        reasoning: row.reasoningTokens,
        delivered: row.delivered,
        // Those that ended early are compared below: of an answer that was given up for another's the ledger says nothing.
        estimated: row.estimatedRequests - row.broken - row.abandoned,
      });
    }
    assert.deepEqual(inLedger.read(), inBooks.read());

    const total = (column: keyof Omit<LedgerRow, 'client' | 'deployment' | 'backend'>): number =>
      ledger.reduce((sum, row) => sum + row[column], 0);
    for (const client of CLIENTS) {
      const own = ledger.filter((row) => row.client === client);
      assert.equal(
        own.reduce((sum, { requests }) => sum + requests, 0),
        sentBy.get(client),
        client,
      );
    }
    // Of the chats only those say nothing that could not be asked, or failed in their middle.
    const untold = books.filter(
      ({ entry }) => entry.operation === 'chat-completions' && entry.end === 'whole' && !entry.isTold,
    );
    const excused = resources.flatMap(({ calls }) =>
      calls.filter(({ path, fault }) => path.includes('2024-02-01') || fault === 'error-mid-stream'),
    );
    assert.ok(untold.length > 0 && untold.length <= excused.length, `${untold.length} of ${excused.length}`);
    assert.equal(total('abandoned'), LEAVE_IN_STREAM + LEAVE_BEFORE);
    const broken = books.filter(({ entry }) => entry.end === 'broken');
    assert.ok(total('broken') > 0 && total('broken') + LEAVE_IN_STREAM <= broken.length);
    // It is a guess, and not a wild one: of what those streams would have come to at most, and no less than a tenth.
    const counted = broken.reduce((sum, { entry }) => sum + entry.promptTokens + entry.completionTokens, 0);
    const guessed = total('estimatedPromptTokens') + total('estimatedCompletionTokens');
    assert.ok(guessed > counted / 10, `${guessed} guessed, ${counted} counted`);
    for (const column of [
      'delivered',
      'refused',
      'failed',
      'broken',
      'abandoned',
      'cachedTokens',
      'reasoningTokens',
    ] as const) {
      assert.ok(total(column) > 0, column);
    }
    assert.equal(
      total('requests'),
      total('delivered') + total('refused') + total('failed') + total('broken') + total('abandoned'),
    );
    running.assertIdle();
  });
});

/** What the ledger must have of an answer that was given to its end. */
function expectedOf({ end, isTold, operation, ...entry }: Entry): Partial<Sums> {
  assert.notEqual(end, 'open');
  if (end === 'broken') return {};
  if (!isTold) return { delivered: 1, estimated: operation === 'speech' || operation === 'transcriptions' ? 0 : 1 };
  return {
    delivered: 1,
    prompt: entry.promptTokens,
    completion: entry.completionTokens,
    cached: entry.cachedTokens,
    reasoning: entry.reasoningTokens,
  };
}
