// What a healthy stream pays for being looked at before it is given: the balancer holds a stream until its first content,
// because a throttle may hide before it. In one process a server on loopback sends streams of the simulator, event by
// event; they are read plainly and through app/src/proxy/peek.ts in turns. Figures are printed and never asserted; the
// exit code is 1 when a stream was not committed at its first content.
import { once } from 'node:events';
import { Agent, createServer, request } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { setImmediate } from 'node:timers/promises';
import { peek } from '../app/src/proxy/peek.ts';
import type { PeekLimits } from '../app/src/proxy/peek.ts';
import { startResource } from '../simulator/server.ts';
import { describeMachine } from './machine.ts';
import { median, percentile } from './statistics.ts';
import { table } from './table.ts';

const WARM_PAIRS = 1000;
const PAIRS = 3000;
/** CPU time is read around so many streams of one kind. */
const BATCH = 50;
const MODEL = 'gpt-5.4';

/** As the balancer sets them. */
const LIMITS: PeekLimits = { holdBytes: 65_536, errorBodyMs: 2000, idleMs: 600_000, spillsLongPrompts: false };

interface Stream {
  readonly title: string;
  readonly path: string;
  readonly body: Readonly<Record<string, unknown>>;
  /** So many events come before the first content. */
  readonly silentEvents: number;
}

const streams: readonly Stream[] = [
  {
    title: 'responses',
    path: '/openai/v1/responses',
    body: { model: MODEL, input: 'Say hello.', store: false },
    silentEvents: 2,
  },
  {
    // They are repeated in both events that come before the content.
    title: 'responses, 16 KiB of instructions',
    path: '/openai/v1/responses',
    body: { model: MODEL, input: 'Say hello.', store: false, instructions: 'Be kind. '.repeat(1820) },
    silentEvents: 2,
  },
  {
    title: 'chat, a role first',
    path: '/openai/v1/chat/completions',
    body: { model: MODEL, messages: [{ role: 'user', content: 'Say hello.' }] },
    silentEvents: 1,
  },
];

/** A stream's events, and how many bytes there are up to its first content, with it. */
interface Recorded {
  readonly events: readonly Buffer[];
  readonly contentEnds: number;
}

/** Of one stream, in µs. */
interface Timed {
  /** From the request to the first content in the hands of whoever relays it. */
  readonly toContent: number;
  /** From the arrival of the piece with the first content to that. */
  readonly handOver: number;
}

const machine = describeMachine({});
const rows: string[][] = [];
for (const stream of streams) rows.push(await measure(stream));
process.stdout.write(
  [
    `# What healthy streams pay for the peek`,
    '',
    `${machine.date}. ${machine.cpu}, ${machine.cores} cores, Linux ${machine.kernel}; node ${machine.versions['node'] ?? ''}; ` +
      `load average at the start ${machine.loadAverage}.`,
    '',
    `${PAIRS} pairs of streams of each kind after ${WARM_PAIRS} to warm up, one plain and one peeked, in turns, one at a time, on ` +
      'loopback within one process. Added: the median of the pairs’ differences. Hand-over: from the arrival of the piece with ' +
      `the first content to its hand-over. CPU: of the whole process, the server included, over turns of ${BATCH} streams to their end.`,
    '',
    ...table(
      [
        'µs a stream',
        'to content, plain p50',
        'p99',
        'peeked p50',
        'p99',
        'added p50',
        'hand-over p50',
        'p99',
        'CPU plain',
        'peeked',
        'added',
      ],
      rows,
    ),
    '',
  ].join('\n'),
);

async function measure(stream: Stream): Promise<string[]> {
  const server = await serve(await record(stream));
  try {
    await timePairs(server, WARM_PAIRS);
    const { plain, peeked } = await timePairs(server, PAIRS);
    const cpu = await cpuOf(server);
    const differences = peeked.map(({ toContent }, index) => toContent - (plain[index]?.toContent ?? Number.NaN));
    const times = [plain, peeked].map((timed) => timed.map(({ toContent }) => toContent));
    const handOver = peeked.map((timed) => timed.handOver);
    return [
      stream.title,
      ...times.flatMap((each) => [median(each), percentile(each, 0.99)]),
      median(differences),
      median(handOver),
      percentile(handOver, 0.99),
      cpu.plain,
      cpu.peeked,
      cpu.peeked - cpu.plain,
    ].map((cell) => (typeof cell === 'number' ? cell.toFixed(0) : cell));
  } finally {
    server.close();
  }
}

async function timePairs(
  server: Server,
  pairs: number,
): Promise<{ readonly plain: readonly Timed[]; readonly peeked: readonly Timed[] }> {
  const plain: Timed[] = [];
  const peeked: Timed[] = [];
  for (let pair = 0; pair < pairs; pair += 1) {
    // Which of them comes first changes too.
    if (pair % 2 === 0) plain.push(await timeOne(server, false));
    peeked.push(await timeOne(server, true));
    if (pair % 2 === 1) plain.push(await timeOne(server, false));
  }
  return { plain, peeked };
}

/** Medians of the batches. */
async function cpuOf(server: Server): Promise<{ readonly plain: number; readonly peeked: number }> {
  const spent: Record<'plain' | 'peeked', number[]> = { plain: [], peeked: [] };
  for (let batch = 0; batch < PAIRS / BATCH; batch += 1) {
    for (const kind of batch % 2 === 0 ? (['plain', 'peeked'] as const) : (['peeked', 'plain'] as const)) {
      const before = process.cpuUsage();
      for (let each = 0; each < BATCH; each += 1) await timeOne(server, kind === 'peeked');
      const { user, system } = process.cpuUsage(before);
      spent[kind].push((user + system) / BATCH);
    }
  }
  return { plain: median(spent.plain), peeked: median(spent.peeked) };
}

async function timeOne(server: Server, isPeeked: boolean): Promise<Timed> {
  const startedAt = performance.now();
  const body = await server.ask();
  const ended = once(body, 'end');
  const arrivedAt = arrivalOfContent(body, server.contentEnds);
  const handedOverAt = isPeeked ? await peekAt(body, server.contentEnds) : undefined;
  const arrived = await arrivedAt;
  const knownAt = handedOverAt ?? arrived;
  body.resume();
  await ended;
  return { toContent: (knownAt - startedAt) * 1000, handOver: (knownAt - arrived) * 1000 };
}

/** When it was handed over. */
async function peekAt(body: IncomingMessage, contentEnds: number): Promise<number> {
  const { rawHeaders } = body;
  const header = (name: string): string | undefined => {
    const value = body.headers[name];
    return Array.isArray(value) ? value.join(', ') : value;
  };
  const answer = { status: 200, rawHeaders, header, body };
  const peeked = await peek(answer, LIMITS, new AbortController().signal, Date.now);
  const handedOverAt = performance.now();
  const held = peeked.kind === 'commit' ? peeked.held.reduce((sum, { length }) => sum + length, 0) : 0;
  if (held < contentEnds) tellMistake(`${peeked.kind}, ${held} of ${contentEnds} bytes`);
  return handedOverAt;
}

function tellMistake(what: string): void {
  process.stderr.write(`not committed at its first content: ${what}\n`);
  process.exitCode = 1;
}

/** Hears of each piece before anybody else. */
function arrivalOfContent(body: IncomingMessage, contentEnds: number): Promise<number> {
  return new Promise((resolve) => {
    let size = 0;
    body.on('data', ({ length }: Buffer) => {
      const isBefore = size < contentEnds;
      size += length;
      if (isBefore && size >= contentEnds) resolve(performance.now());
    });
  });
}

interface Server {
  readonly contentEnds: number;
  /** The answer, of which nothing was read yet. */
  ask(): Promise<IncomingMessage>;
  close(): void;
}

/** Sends each event on its own, as a model does. */
async function serve({ events, contentEnds }: Recorded): Promise<Server> {
  const server = createServer((_req, res) => {
    void (async () => {
      res.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
      for (const event of events) {
        res.write(event);
        await setImmediate();
      }
      res.end();
    })();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const agent = new Agent({ keepAlive: true });
  return {
    contentEnds,
    ask: () =>
      new Promise((resolve, reject) => {
        request({ host: '127.0.0.1', port, agent }, resolve).on('error', reject).end();
      }),
    close() {
      agent.destroy();
      server.close();
    },
  };
}

/** The simulator's own answer, once. */
async function record({ title, path, body, silentEvents }: Stream): Promise<Recorded> {
  const resource = await startResource({ name: 'openai1', deployments: { [MODEL]: { model: MODEL } } });
  try {
    const answer = await fetch(resource.url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'api-key': 'any' },
      body: JSON.stringify({ ...body, stream: true }),
    });
    const text = await answer.text();
    const events = text.split(/(?<=\n\n)/).map((event) => Buffer.from(event));
    const head = events.slice(0, silentEvents + 1);
    const isAsExpected = head.every((event, index) => isSilent(event.toString()) === index < silentEvents);
    if (answer.status !== 200 || !isAsExpected) throw new Error(`${title}: not the stream that was expected: ${text}`);
    return { events, contentEnds: Buffer.concat(head).length };
  } finally {
    await resource.close();
  }
}

function isSilent(event: string): boolean {
  return /"type":"response\.(?:created|queued|in_progress)"|"delta":\{"content":""/.test(event);
}
