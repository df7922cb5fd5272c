/**
 * `npm run demo`: the story in a few seconds, with the real openai SDK. Exit code 0 when every step showed what it says:
 * an answer alone is not enough, it must have come the way that is told.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI from 'openai';
import { startFleet } from '../simulator/fleet.ts';
import type { SimulatedResource } from '../simulator/server.ts';
import { backendSettings, startBalancerProcess } from './balancer-process.ts';

const DEPLOYMENT = 'gpt-5.4-mini';
const CLIENT_KEY = 'demo-key';
const OPERATOR_KEY = 'look-inside';
/** A log line may come a moment after the answer that it tells of. */
const LOG_PATIENCE_MS = 3000;

const fleet = await startFleet(
  [1, 2, 3].map((n) => ({
    name: `openai${n}`,
    apiKey: `simulated-key-${n}`,
    chunkDelayMs: 40,
    deployments: {
      [DEPLOYMENT]: { model: DEPLOYMENT, ...(n === 1 ? { provisioned: { tokensPerMinute: 60_000 } } : {}) },
    },
  })),
);
const [openai1, openai2, openai3] = fleet.resources;
const log: string[] = [];
const balancer = startBalancerProcess(
  {
    ...process.env,
    ...backendSettings(fleet.resources.map(({ url }, index) => ({ url, apiKey: `simulated-key-${index + 1}` }))),
    BACKEND_1_PRIORITY: '1',
    BACKEND_2_PRIORITY: '2',
    BACKEND_3_PRIORITY: '3',
    CLIENT_API_KEYS: `demo=${CLIENT_KEY}`,
    OPERATOR_KEYS: `demo=${OPERATOR_KEY}`,
    PORT: '0',
  },
  (line) => log.push(line),
);

let requests = 0;
let failed = 0;
try {
  await tell(await balancer.listening);
} finally {
  balancer.process.kill('SIGINT');
  await balancer.ended;
  await fleet.close();
}
say(failed === 0 ? 'Every request was answered, in the way that is told.' : `${failed} things were not as told.`);
process.exitCode = failed === 0 ? 0 : 1;

async function tell(url: string): Promise<void> {
  // No retries: what is answered is answered by the balancer, not by the SDK's patience.
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: CLIENT_KEY, maxRetries: 0 });
  // The chat app is given the bare URL.
  const chatApp = new OpenAI({ baseURL: url, apiKey: CLIENT_KEY, maxRetries: 0 });

  say(`The balancer listens on ${url} in front of openai1, openai2, openai3, asked in this order.`);
  say(`To see it happen, open ${url}/status (any name, password ${OPERATOR_KEY}).`);
  say('openai1 is a provisioned deployment (PTU): it is paid for whether it is used or not, so it is asked first.');
  await chat(client, 'Good morning', /^openai1=200$/);

  say('\nopenai1 is full for 43 ms. That is soon: the request waits here, and nobody else is asked or paid.');
  openai1?.script({ kind: 'throttle', retryAfterMs: 43 });
  await chat(client, 'Is it worth the wait?', /^openai1=429\(43ms\) held=\d+ms openai1=200$/);

  say('\nNow it is full for 400 ms. That is too long (PRIORITY_WAIT_MS): the request spills to openai2 at once.');
  openai1?.script({ kind: 'throttle', retryAfterMs: 400 });
  await chat(client, 'And now?', /^openai1=429\(400ms\) openai2=200$/);
  await expectLogged(/^POST .* backend=openai2 .* spilled_from=openai1 /);

  await sleep(500);
  say('\nopenai1 is back. It answers 200, begins a stream, and says only then, inside it, that the quota is gone.');
  openai1?.script({ kind: 'throttle-in-stream', shape: 'error-event', retryAfterMs: 1000 });
  await stream(chatApp, "The chat app's own call", /^openai1=429\(1000ms\) openai2=200$/);
  expect(faultsOf(openai1).at(-1) === 'throttle-in-stream', 'openai1 was not asked, or did not throttle in its stream');

  await sleep(1100);
  say('\nNow openai1 is throttled for long: it answers 429 and asks for 15 seconds.');
  openai1?.throttle(15_000);
  await chat(client, 'Does anybody notice?', /^openai1=429\(\d+ms\) openai2=200$/);
  await chat(client, 'And again: openai1 is not even asked', /^openai2=200$/);

  say('\nNow openai2 is gone: its connections break, and it takes no new ones.');
  await openai2?.stopListening();
  await stream(chatApp, 'Stream me an answer through the failover', /^openai2=connect openai3=200$/);

  say('\nNow openai3, the last one, is throttled for half a second: the request waits here instead of failing.');
  openai3?.throttle(500);
  await chat(client, 'Somebody will be back in a moment', /^openai3=429\(\d+ms\) .*held=\d+ms (?:.* )?openai3=200$/);
  await chat(client, 'And a moment later', /(?:^| )openai3=200$/);

  say('\nWhat the log stream shows:');
  await expectLogged(/^POST /, requests);
  for (const line of log.filter((text) => /^(Proxying|(WARNING )?Backend)/.test(text)))
    say(`  ${line.split(' request_id=')[0] ?? ''}`);
  say(
    `openai1 was asked ${callsOf(openai1)} times, openai2 ${callsOf(openai2)} times, openai3 ${callsOf(openai3)} times.`,
  );
}

async function chat(client: OpenAI, content: string, course: RegExp): Promise<void> {
  await answered(content, course, async () => {
    const request = client.chat.completions.create({ model: DEPLOYMENT, messages: [{ role: 'user', content }] });
    const { data, response } = await request.withResponse();
    return { text: data.choices[0]?.message.content ?? '', trace: response.headers.get('x-balancer-trace') };
  });
}

/** As the chat app asks. One clean answer: it begins once, is completed once, and tells of no failure. */
async function stream(client: OpenAI, input: string, course: RegExp): Promise<void> {
  await answered(input, course, async () => {
    const request = client.responses.create({ model: DEPLOYMENT, input, stream: true, store: false });
    const { data, response } = await request.withResponse();
    let text = '';
    const marks: string[] = [];
    for await (const event of data) {
      if (event.type === 'response.output_text.delta') text += event.delta;
      else if (/^(?:error|response\.(?:created|completed|failed|incomplete))$/.test(event.type)) marks.push(event.type);
    }
    if (marks.join() !== 'response.created,response.completed')
      throw new Error(`not one clean answer: ${marks.join()}`);
    return { text, trace: response.headers.get('x-balancer-trace') };
  });
}

interface Answered {
  readonly text: string;
  readonly trace: string | null;
}

/** @param course what the trace must look like */
async function answered(question: string, course: RegExp, ask: () => Promise<Answered>): Promise<void> {
  requests += 1;
  try {
    const { text, trace } = await ask();
    if (text === '') throw new Error('the answer is empty');
    say(`  ? ${question}\n  ! ${text}\n    (${trace ?? 'no trace'})`);
    expect(course.test(trace ?? ''), `it was to be ${course.source}`);
  } catch (error) {
    failed += 1;
    say(`  ? ${question}\n  ! NOT ANSWERED: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function expect(isSo: boolean, otherwise: string): void {
  if (isSo) return;
  failed += 1;
  say(`    NOT AS TOLD: ${otherwise}`);
}

async function expectLogged(pattern: RegExp, times = 1): Promise<void> {
  const giveUpAt = performance.now() + LOG_PATIENCE_MS;
  while (log.filter((line) => pattern.test(line)).length < times && performance.now() < giveUpAt) await sleep(20);
  const found = log.filter((line) => pattern.test(line));
  expect(found.length >= times, `the log has ${found.length} of ${times} lines like ${pattern.source}`);
}

function faultsOf(resource: SimulatedResource | undefined): readonly (string | undefined)[] {
  return resource?.calls.map(({ fault }) => fault) ?? [];
}

function callsOf(resource: SimulatedResource | undefined): number {
  return resource?.calls.length ?? 0;
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
