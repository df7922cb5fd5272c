// Callers that misbehave, and what the others notice of it.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { CLIENT_KEY } from '../../support/balancer.ts';
import { chat, send } from '../../support/http.ts';
import { open } from '../../support/reading.ts';
import { connectTo, exchange, head } from '../../support/raw.ts';
import { read, told } from '../reading.ts';
import { Missed, type Play } from '../row.ts';
import { askMany, askOnce, eventually, want, wantAll } from './crowd.ts';

const group = 'callers';
const MEBIBYTE = 2 ** 20;
const OPERATOR_KEY = 'operator-key';
const VANISHING = 10_000;
const VANISHING_AT_ONCE = 250;
/** Without a leak it stays at 310, ten thousand or thirty. */
const MOST_MIB = 400;

const HEAD = [
  'POST /v1/chat/completions HTTP/1.1',
  'Host: x',
  `api-key: ${CLIENT_KEY}`,
  'Content-Type: application/json',
];

function residentMiB(pid: number): number {
  return Math.round(Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024);
}

export const callerPlays: readonly Play[] = [
  {
    kind: 'play',
    name: 'twenty readers of 50 MB each stop reading',
    group,
    isHeavy: true,
    async act(house) {
      const fleet = await house.fleet(3);
      const started = await house.process({ ...fleet.env, CLIENT_API_KEYS: `tester=${CLIENT_KEY}` });
      const door = { url: started.url };
      wantAll(await askMany(door, 20));
      const before = residentMiB(started.pid);
      for (const resource of fleet.resources) resource.always({ kind: 'large', bytes: 50_000_000 });
      const url = `${started.url}/v1/chat/completions`;
      const readers = await Promise.all(
        Array.from({ length: 20 }, () => open(url, { body: chat({ stream: true }), paused: true, keep: false })),
      );
      for (const resource of fleet.resources) resource.always(undefined);
      // Every buffer on the way fills up while others are served.
      const others = wantAll((await Promise.all([1, 2, 3, 4].map(() => askMany(door, 25)))).flat());
      const grown = residentMiB(started.pid) - before;
      want(grown < 150, `${others}, with ${grown} MiB more`, 'that memory stays');
      const [first, ...rest] = readers;
      for (const reader of rest) reader.leave();
      first?.resume();
      const received = await first?.done;
      const isWhole = received?.isComplete === true && first !== undefined && first.bytes > 50_000_000;
      want(isWhole, `${others}; the one that read on had ${first?.bytes} bytes`, 'all of the answer for who reads on');
      return `others: ${others}; less than 150 MiB of 1000 held; who reads on gets all of it`;
    },
  },
  {
    kind: 'play',
    name: 'ten thousand callers vanish',
    group,
    isHeavy: true,
    async act(house) {
      const fleet = await house.fleet(3, { chunkDelayMs: 5 });
      const started = await house.process({
        ...fleet.env,
        CLIENT_API_KEYS: `tester=${CLIENT_KEY}`,
        OPERATOR_KEYS: `operator=${OPERATOR_KEY}`,
      });
      const door = { url: started.url };
      wantAll(await askMany(door, 50));
      await vanish(started.port, VANISHING);
      await eventually(
        () => fleet.resources.every(({ openRequests }) => openRequests === 0),
        'that no backend works on',
      );
      await eventually(async () => (await status(started.url)).requestsInFlight === 0, 'that none is in flight');
      const { backends, bytesBuffered } = await status(started.url);
      const blamed = backends.filter(({ state }) => state !== 'closed').length;
      const saw = wantAll(await askMany(door, 50));
      const resident = residentMiB(started.pid);
      want(blamed === 0, `${saw}, but ${blamed} backends are blamed`, 'that no backend is blamed');
      want(bytesBuffered === 0, `${saw}, with ${bytesBuffered} bytes held`, 'that nothing is held');
      want(resident < MOST_MIB, `${saw}, and ${resident} MiB are taken`, 'that memory stays');
      return `those who came after: ${saw}; nothing in flight, nobody blamed, less than ${MOST_MIB} MiB taken`;
    },
  },
  {
    kind: 'play',
    name: 'two hundred callers never finish their headers',
    group,
    async act(house) {
      const serverLimits = { keepAliveMs: 250_000, headersMs: 1000, requestMs: 300_000 };
      const running = await house.balancer({ serverLimits });
      const slow = await Promise.all(Array.from({ length: 200 }, () => connectTo(running.port)));
      for (const connection of slow) connection.write('POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nX-Slow: ');
      const saw = wantAll(await askMany(running, 20));
      await Promise.all(slow.map((connection) => connection.rest()));
      return `others: ${saw}; the slow ones were closed`;
    },
  },
  {
    kind: 'play',
    name: 'a caller stops in the middle of its body',
    group,
    async act(house) {
      const running = await house.balancer({ handlerLimits: { bodyIdleMs: 300 } });
      const answer = await exchange(running.port, head(...HEAD, 'Content-Length: 500') + chat());
      want(answer.status === 408, String(answer.status), 'a 408');
      running.assertIdle();
      return '408 request_timeout, and nobody was asked';
    },
  },
  {
    kind: 'play',
    name: 'a caller sends more than it may',
    group,
    async act(house) {
      const running = await house.balancer({ settings: { MAX_BODY_BYTES: String(MEBIBYTE) } });
      const body = chat({ padding: 'x'.repeat(4 * MEBIBYTE) });
      const pieces = Array.from({ length: 64 }, (_, index) => body.slice(index * 65_536, (index + 1) * 65_536));
      const received = await send(`${running.url}/v1/chat/completions`, { pieces }).catch(() => undefined);
      want(received === undefined || received.status === 413, String(received?.status), 'a 413');
      const asked = running.resources.reduce((sum, { calls }) => sum + calls.length, 0);
      want(asked === 0, `a backend was asked ${asked} times`, 'that nobody is asked');
      return `${received === undefined ? 'a closed connection' : '413'}, and nobody was asked; then ${wantAll([await askOnce(running)])}`;
    },
  },
  {
    kind: 'play',
    name: 'a caller does not speak HTTP',
    group,
    async act(house) {
      const running = await house.balancer();
      const answer = await exchange(running.port, 'HELO balancer\r\n\r\n');
      want(answer.status === 400, String(answer.status), 'a 400');
      return `400; others: ${wantAll(await askMany(running, 5))}`;
    },
  },
  {
    kind: 'play',
    name: 'forty requests where five have room',
    group,
    async act(house) {
      const running = await house.balancer({ settings: { MAX_CONCURRENT_REQUESTS: '5' } });
      for (const resource of running.resources) resource.always({ kind: 'slow-first-byte', ms: 800 });
      const heard = await askMany(running, 40);
      const served = heard.filter((each) => read(each).status === 200);
      const others = heard.filter((each) => read(each).status !== 200);
      wantAll(served);
      const refused = wantAll(others, { kind: 'refusal', statuses: [503], saysWhen: true });
      want(served.length === 5, `${served.length} were served`, 'that as many are served as have room');
      for (const resource of running.resources) resource.always(undefined);
      return `5 of 40 answered; ${refused}; then ${wantAll(await askMany(running, 5))}`;
    },
  },
  {
    kind: 'play',
    name: 'a caller cuts its own request in half',
    group,
    async act(house) {
      const running = await house.balancer();
      const connection = await connectTo(running.port);
      connection.write(head(...HEAD, 'Content-Length: 500') + chat());
      connection.socket.destroy();
      const heard = await askOnce(running);
      const saw = wantAll([heard]);
      await eventually(() => running.balancer.admission.inFlight === 0, 'that nothing is in flight');
      const asked = running.resources.reduce((sum, { calls }) => sum + calls.length, 0);
      want(asked === 1, `${told(heard, read(heard))}, and ${asked} calls`, 'that half a request is asked of nobody');
      return `others: ${saw}; half a request was asked of nobody`;
    },
  },
];

interface Status {
  readonly requestsInFlight: number;
  readonly bytesBuffered: number;
  readonly backends: readonly { readonly state: string }[];
}

async function status(url: string): Promise<Status> {
  const headers = { 'api-key': OPERATOR_KEY, accept: 'application/json' };
  const received = await send(`${url}/status`, { headers });
  if (received.status !== 200) throw new Missed(`${received.status} at /status`, 'a 200');
  const document: Status = JSON.parse(received.body.toString());
  return document;
}

/** They leave in all the ways there are: before their request is whole, before the answer, in its middle; with FIN or RST. */
async function vanish(port: number, count: number): Promise<void> {
  let left = count;
  const one = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      await vanishOnce(port, left);
    }
  };
  await Promise.all(Array.from({ length: VANISHING_AT_ONCE }, one));
}

async function vanishOnce(port: number, index: number): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined); // It is about to vanish.
  const closed = once(socket, 'close');
  await Promise.race([once(socket, 'connect'), closed]);
  const body = chat({ stream: index % 8 < 4 });
  const bytes = head(...HEAD, `Content-Length: ${body.length}`) + body;
  const leave = (): void => {
    if (index % 3 === 0) socket.resetAndDestroy();
    else socket.destroy();
  };
  switch (index % 4) {
    case 0:
      socket.write(bytes);
      socket.once('data', leave);
      break;
    case 1:
      socket.write(bytes, leave);
      break;
    default:
      socket.write(bytes.slice(0, -10), leave);
  }
  await closed;
}
