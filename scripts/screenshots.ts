/**
 * `npm run screenshots`: the pictures of the status page in docs/images, taken of the real page in a real browser, with
 * a lively quarter of an hour behind it. Every request is a real one to the simulated fleet; between them the clocks of
 * the balancer and of the fleet are put forward by ten seconds, so that it takes half a minute.
 */
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import OpenAI from 'openai';
import { compose } from '../app/src/compose.ts';
import { readConfig } from '../app/src/config.ts';
import { startFleet } from '../simulator/fleet.ts';
import { backendSettings } from './balancer-process.ts';
import { startChromium, type Browser } from './chromium.ts';

const FOLDER = fileURLToPath(new URL('../docs/images/', import.meta.url));
const CHAT = 'gpt-5.4-mini';
const EMBEDDING = 'text-embedding-3-large';
const CLIENTS = ['chat-app', 'support-bot', 'nightly-batch'];
const SLOT_MS = 10_000;
const SLOTS = 90;
const OPERATOR_KEY = 'look-inside';

/** Nine in the morning, so that two runs look alike. */
const BEGINS_AT = Date.parse('2026-11-27T09:00:04Z');
let jumped = 0;
const began = performance.now();
const clock = (): number => performance.now() - began + jumped;
const wallClockMs = (): number => Math.round(BEGINS_AT + clock());

const fleet = await startFleet(
  [1, 2, 3].map((n) => ({
    name: `openai${n}`,
    apiKey: `simulated-key-${n}`,
    chunkDelayMs: 34 + 9 * n,
    now: wallClockMs,
    deployments: {
      [CHAT]: { model: CHAT, ...(n === 1 ? { provisioned: { tokensPerMinute: 60_000 } } : { tpm: 30_000, rpm: 300 }) },
      [EMBEDDING]: { model: EMBEDDING, tpm: 60_000, rpm: 300 },
    },
  })),
);
const [openai1, openai2, openai3] = fleet.resources;
const config = readConfig({
  ...backendSettings(fleet.resources.map(({ url }, index) => ({ url, apiKey: `simulated-key-${index + 1}` }))),
  BACKEND_1_PRIORITY: '1',
  BACKEND_2_PRIORITY: '2',
  BACKEND_3_PRIORITY: '2',
  CLIENT_API_KEYS: CLIENTS.map((name) => `${name}=key-of-${name}`).join(','),
  OPERATOR_KEYS: `alice=${OPERATOR_KEY}`,
});
let seed = 7;
const balancer = compose(config, { observe: () => undefined, clock, wallClockMs, random: chance });
balancer.server.listen(0, '127.0.0.1');
await once(balancer.server, 'listening');
balancer.setReady();
const address = balancer.server.address();
const url = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;

mkdirSync(FOLDER, { recursive: true });
const browser = await startChromium();
try {
  for (let slot = 0; slot < SLOTS; slot += 1) {
    await live(slot);
    if (slot < SLOTS - 1) jumped += SLOT_MS - (wallClockMs() % SLOT_MS) + 200 + chance() * 1500;
  }
  openai1?.throttle(48_000, CHAT);
  await Promise.all([ask('chat-app', true), ask('support-bot', true), ask('chat-app', true)]);
  // Some are still waiting for their answers.
  openai2?.script({ kind: 'slow-first-chunk', ms: 120_000 }, { kind: 'slow-first-chunk', ms: 120_000 });
  const waiting = [ask('chat-app', true), ask('support-bot', true)];
  await picture(browser, 'light', { width: 1280, height: 1400 }, 'light');
  await picture(browser, 'dark', { width: 1280, height: 1400 }, 'dark');
  await picture(browser, 'phone', { width: 390, height: 1400 }, 'light');
  balancer.server.closeAllConnections();
  await Promise.all(waiting);
} finally {
  await browser.close();
  balancer.server.closeAllConnections();
  balancer.server.close();
  balancer.close();
  await fleet.close();
}

/** Ten seconds of traffic, with something to tell now and then. */
async function live(slot: number): Promise<void> {
  const busy = 1 + Math.round(2 + 2 * Math.sin(slot / 9) + 2 * chance());
  if (slot % 17 === 5) openai1?.throttle(24_000, CHAT);
  if (slot === 30) openai2?.script({ kind: 'status', status: 503 });
  if (slot === 47) openai2?.script({ kind: 'throttle-in-stream', shape: 'chat-error', retryAfterMs: 900 });
  if (slot === 60) openai1?.script({ kind: 'reset-before-headers' });
  if (slot === 74) for (const resource of fleet.resources) resource.throttle(700, CHAT);
  if (slot === 80) openai3?.always({ kind: 'unauthorized' });
  if (slot === 63) for (const resource of fleet.resources) resource.throttle(27_000, CHAT);
  if (slot === 86) for (const resource of [openai1, openai2]) resource?.throttle(640, CHAT);
  if (slot === 88) openai2?.script({ kind: 'slow-first-chunk', ms: 2600 });
  const asking = Array.from({ length: busy }, () => ask(chance() < 0.6 ? 'chat-app' : 'support-bot', chance() < 0.8));
  if (chance() < 0.5) asking.push(embed('chat-app'));
  if (slot > 20 && slot < 70) asking.push(ask('nightly-batch', false));
  if (slot > 24 && slot < 66 && slot % 11 > 7) asking.push(ask('nightly-batch', false), ask('nightly-batch', true));
  if (slot === 88) asking.push(ask('a-stranger', false));
  await Promise.all(asking);
}

async function ask(client: string, stream: boolean): Promise<void> {
  const openai = clientOf(client);
  const messages = [{ role: 'user' as const, content: 'What is new? '.repeat(4 + Math.round(chance() * 60)) }];
  try {
    if (!stream) await openai.chat.completions.create({ model: CHAT, messages });
    else {
      const events = await openai.chat.completions.create({
        model: CHAT,
        messages,
        stream: true,
        stream_options: { include_usage: true },
      });
      for await (const event of events) void event;
    }
  } catch {
    // Some are refused: that is part of the picture.
  }
}

async function embed(client: string): Promise<void> {
  try {
    await clientOf(client).embeddings.create({ model: EMBEDDING, input: 'Some words to find again. '.repeat(10) });
  } catch {
    // As above.
  }
}

function clientOf(name: string): OpenAI {
  return new OpenAI({ baseURL: `${url}/v1`, apiKey: `key-of-${name}`, maxRetries: 0 });
}

async function picture(
  from: Browser,
  name: string,
  viewport: { readonly width: number; readonly height: number },
  colorScheme: 'light' | 'dark',
): Promise<void> {
  const context = await from.newContext({
    viewport,
    colorScheme,
    locale: 'en-GB',
    timezoneId: 'UTC',
    httpCredentials: { username: 'anybody', password: OPERATOR_KEY },
  });
  const page = await context.newPage();
  await page.goto(`${url}/status`);
  await page.locator('#connection[data-how="live"]').waitFor();
  // Down to the latest of the requests; a phone shows less.
  const latest = await page.locator('.list > li').first().boundingBox();
  const height = name === 'phone' ? viewport.height : Math.ceil((latest?.y ?? 0) + (latest?.height ?? 0)) + 1;
  await page.screenshot({
    path: `${FOLDER}status-${name}.png`,
    fullPage: true,
    clip: { x: 0, y: 0, ...viewport, height },
  });
  await context.close();
}

function chance(): number {
  seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
  return seed / 2_147_483_648;
}
