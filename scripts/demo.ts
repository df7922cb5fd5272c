/**
 * `npm run demo`: the story in one minute, with the real openai SDK. Exit code 0 when every request was answered.
 */
import OpenAI from 'openai';
import { startFleet } from '../simulator/fleet.ts';
import type { SimulatedResource } from '../simulator/server.ts';
import { backendSettings, startBalancerProcess } from './balancer-process.ts';

const DEPLOYMENT = 'gpt-5.4-mini';
const CLIENT_KEY = 'demo-key';

const fleet = await startFleet(
  [1, 2, 3].map((n) => ({
    name: `openai${n}`,
    apiKey: `simulated-key-${n}`,
    chunkDelayMs: 40,
    deployments: { [DEPLOYMENT]: { model: DEPLOYMENT } },
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
    PORT: '0',
  },
  (line) => log.push(line),
);

let unanswered = 0;
try {
  await tell(await balancer.listening);
} finally {
  balancer.process.kill('SIGINT');
  await balancer.ended;
  await fleet.close();
}
say(unanswered === 0 ? 'Every request was answered.' : `${unanswered} requests were not answered.`);
process.exitCode = unanswered === 0 ? 0 : 1;

async function tell(url: string): Promise<void> {
  // No retries: what is answered is answered by the balancer, not by the SDK's patience.
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: CLIENT_KEY, maxRetries: 0 });

  say(`The balancer listens on ${url} in front of openai1, openai2, openai3, asked in this order.`);
  await chat(client, 'Good morning');

  say('Now openai1 is throttled: it answers 429 and asks for 5 seconds.');
  openai1?.throttle(5000);
  await chat(client, 'Does anybody notice?');
  await chat(client, 'And again: openai1 is not even asked');

  say('Now openai2 is gone: its connections break, and it takes no new ones.');
  await openai2?.stopListening();
  await stream(client, 'Stream me an answer through the failover');

  say('Now openai3, the last one, is throttled for half a second: the request waits here instead of failing.');
  openai3?.throttle(500);
  await chat(client, 'Somebody will be back in a moment');
  await chat(client, 'And a moment later');

  say('What the log stream shows:');
  for (const line of log.filter((text) => /^(Proxying|(WARNING )?Backend)/.test(text)))
    say(`  ${line.split(' request=')[0] ?? ''}`);
  say(
    `openai3 was asked ${callsOf(openai3)} times, openai1 ${callsOf(openai1)} times, openai2 ${callsOf(openai2)} times.`,
  );
}

async function chat(client: OpenAI, content: string): Promise<void> {
  await answered(content, async () => {
    const request = client.chat.completions.create({ model: DEPLOYMENT, messages: [{ role: 'user', content }] });
    const { data, response } = await request.withResponse();
    return { text: data.choices[0]?.message.content ?? '', trace: response.headers.get('x-balancer-trace') };
  });
}

/** The chat app's own call. */
async function stream(client: OpenAI, input: string): Promise<void> {
  await answered(input, async () => {
    const request = client.responses.create({ model: DEPLOYMENT, input, stream: true, store: false });
    const { data, response } = await request.withResponse();
    let text = '';
    for await (const event of data) if (event.type === 'response.output_text.delta') text += event.delta;
    return { text, trace: response.headers.get('x-balancer-trace') };
  });
}

interface Answered {
  readonly text: string;
  readonly trace: string | null;
}

async function answered(question: string, ask: () => Promise<Answered>): Promise<void> {
  try {
    const { text, trace } = await ask();
    if (text === '') throw new Error('the answer is empty');
    say(`  ? ${question}\n  ! ${text}\n    (${trace ?? 'no trace'})`);
  } catch (error) {
    unanswered += 1;
    say(`  ? ${question}\n  ! NOT ANSWERED: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function callsOf(resource: SimulatedResource | undefined): number {
  return resource?.calls.length ?? 0;
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
