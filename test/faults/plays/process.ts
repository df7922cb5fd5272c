// The process: ended in every phase of a request, killed, out of sockets, with nobody who reads its log.
import { setTimeout as pause } from 'node:timers/promises';
import type { Fault } from '../../../simulator/scenario.ts';
import { freePort } from '../../../bench/children.ts';
import { chat } from '../../support/http.ts';
import { connectTo, head, type RawConnection } from '../../support/raw.ts';
import { open } from '../../support/reading.ts';
import type { RunningProcess } from '../../support/process.ts';
import { read, type Heard } from '../reading.ts';
import type { House } from '../house.ts';
import { Missed, type Form, type Play } from '../row.ts';
import { askInTurn, askMany, askOnce, eventually, want, wantAll } from './crowd.ts';

const group = 'process';
/** Long enough for what is under way, which takes a second. */
const DRAIN = { DRAIN_SECONDS: '3' };
const SLOW_MS = 800;

interface Phase {
  readonly name: string;
  readonly form?: Form;
  readonly fault?: Fault;
  /** What all backends do. */
  readonly always?: Fault;
  readonly throttledMs?: number;
}

const phases: readonly Phase[] = [
  { name: 'while a backend thinks', fault: { kind: 'slow-first-byte', ms: SLOW_MS } },
  { name: 'before the first word of a stream', form: 'stream', fault: { kind: 'slow-first-chunk', ms: SLOW_MS } },
  { name: 'in the middle of a stream', form: 'stream', fault: { kind: 'stall', afterChunks: 5, ms: SLOW_MS } },
  { name: 'in the middle of an answer', fault: { kind: 'stall', afterChunks: 5, ms: SLOW_MS } },
  { name: 'before a failover', fault: { kind: 'status', status: 503, stallBody: true } },
  { name: 'while all are throttled and the caller is held', throttledMs: 1200 },
];

export const processPlays: readonly Play[] = [
  ...phases.map((phase): Play => ({
    kind: 'play',
    name: `SIGTERM ${phase.name}`,
    group,
    async act(house) {
      const { started, fleet } = await start(house, DRAIN);
      for (const resource of fleet.resources) {
        if (phase.throttledMs !== undefined) resource.throttle(phase.throttledMs);
      }
      const [first, ...others] = fleet.resources;
      if (phase.fault !== undefined) {
        for (const other of others) other.throttle(1);
        for (const resource of fleet.resources) resource.script(phase.fault);
      }
      const called = Promise.race(fleet.resources.map((resource) => resource.onceCalled()));
      const asking = askOnce({ url: started.url }, phase.form);
      await called;
      for (const resource of fleet.resources)
        if (resource.calls.length === 0 && first !== undefined) resource.clearFaults();
      await pause(100);
      started.signal('SIGTERM');
      const saw = wantAll([await asking]);
      return `${saw}; ${await wantExit(started)}`;
    },
  })),
  {
    kind: 'play',
    name: 'SIGTERM in the middle of the body of a request',
    group,
    async act(house) {
      const { started } = await start(house, DRAIN);
      const connection = await connectTo(started.port);
      const body = chat();
      const lines = ['POST /v1/chat/completions HTTP/1.1', 'Host: localhost', 'Content-Type: application/json'];
      connection.write(head(...lines, `Content-Length: ${body.length}`) + body.slice(0, 20));
      await pause(100);
      started.signal('SIGTERM');
      await started.line(/^Draining after SIGTERM/);
      connection.write(body.slice(20));
      return `${await wantStatus(connection, 200)}, the whole answer; ${await wantExit(started)}`;
    },
  },
  {
    kind: 'play',
    name: 'SIGTERM before a request comes, on a connection that is kept',
    group,
    async act(house) {
      const { started } = await start(house, DRAIN);
      const connection = await connectTo(started.port);
      connection.write(head('GET /healthz HTTP/1.1', 'Host: x'));
      await wantStatus(connection, 200);
      started.signal('SIGTERM');
      await started.line(/^Draining after SIGTERM/);
      const body = chat();
      const lines = ['POST /v1/chat/completions HTTP/1.1', 'Host: localhost', 'Content-Type: application/json'];
      connection.write(head(...lines, `Content-Length: ${body.length}`) + body);
      const kept = await wantStatus(connection, 200);
      const fresh = wantAll([await askOnce({ url: started.url })]);
      return `${kept}, the whole answer; on a fresh one: ${fresh}; ${await wantExit(started)}`;
    },
  },
  {
    kind: 'play',
    name: 'SIGTERM, and a stream that outlasts the drain',
    group,
    async act(house) {
      const { started, fleet } = await start(house, { DRAIN_SECONDS: '1' });
      for (const resource of fleet.resources) resource.always({ kind: 'stall', afterChunks: 5 });
      const asking = askOnce({ url: started.url }, 'stream');
      await Promise.race(fleet.resources.map((resource) => resource.onceCalled()));
      await pause(100);
      started.signal('SIGTERM');
      const heard = await asking;
      const saw = wantAll([heard], { kind: 'no clean end' });
      want(read(heard).error !== undefined, saw, 'to be told in the stream');
      return `${saw}; ${await wantExit(started)}`;
    },
  },
  {
    kind: 'play',
    name: 'SIGTERM, and a request without an answer when the drain is over',
    group,
    async act(house) {
      const { started, fleet } = await start(house, { DRAIN_SECONDS: '1' });
      for (const resource of fleet.resources) resource.always({ kind: 'hang' });
      const asking = askOnce({ url: started.url });
      await Promise.race(fleet.resources.map((resource) => resource.onceCalled()));
      started.signal('SIGTERM');
      const saw = wantAll([await asking], { kind: 'refusal', statuses: [503] });
      return `${saw}; ${await wantExit(started)}`;
    },
  },
  {
    kind: 'play',
    name: 'SIGKILL and a restart under load, callers try again as SDKs do',
    group,
    async act(house) {
      const fleet = await house.fleet(3, { chunkDelayMs: 20 });
      const PORT = String(await freePort());
      const first = await house.process({ ...fleet.env, PORT });
      const door = { url: first.url };
      const streams = await Promise.all(
        Array.from({ length: 10 }, () => open(`${first.url}/v1/chat/completions`, { body: chat({ stream: true }) })),
      );
      const over = new AbortController();
      const persistent = Array.from({ length: 10 }, async (): Promise<Heard[]> => {
        const heard: Heard[] = [];
        while (!over.signal.aborted) heard.push(await askAgainAndAgain(door));
        return heard;
      });
      await pause(50);
      first.signal('SIGKILL');
      await first.exited;
      let clean = 0;
      for (const stream of streams) {
        const received = await stream.done;
        const heard = { received, ending: received.isComplete ? ('whole' as const) : ('cut' as const) };
        if (received.isComplete && !read(heard).isFinished) clean += 1;
      }
      want(clean === 0, `${clean} cut streams look whole`, 'that no cut stream looks whole');
      await house.process({ ...fleet.env, PORT });
      wantAll(await askInTurn(door, 5));
      over.abort();
      const heard = (await Promise.all(persistent)).flat();
      wantAll(heard);
      return 'every request answered in the end; no cut stream looked whole';
    },
  },
  {
    kind: 'play',
    name: 'out of sockets: 60 open files, and 200 callers',
    group,
    async act(house) {
      const fleet = await house.fleet(3, { chunkDelayMs: 5 });
      const started = await house.process({ ...fleet.env, MAX_HOLD_SECONDS: '0' }, 60);
      const door = { url: started.url };
      const flood = await askMany(door, 200);
      const silent = flood.filter(({ ending }) => ending === 'patience').length;
      want(silent === 0, `${silent} of 200 heard nothing at all`, 'an end for everybody');
      const served = flood.filter((each) => read(each).status === 200).length;
      const after = wantAll(await askInTurn(door, 10));
      want(started.errors === '', `on stderr: ${started.errors.slice(0, 200)}`, 'that nothing breaks');
      return `${served === 200 ? 'all' : 'some'} of the 200 answered, the others told so; then ${after}`;
    },
  },
  {
    kind: 'play',
    name: 'whoever reads the log goes away (EPIPE on stdout)',
    group,
    async act(house) {
      const { started } = await start(house, {});
      started.stdout.destroy();
      const saw = wantAll(await askInTurn({ url: started.url }, 50));
      started.signal('SIGINT');
      const { code, signal } = await started.exited;
      want(code === 0, `${saw}, and an end with ${code ?? signal}`, 'an end with 0');
      return saw;
    },
  },
  {
    kind: 'play',
    name: 'whoever reads the log stops reading',
    group,
    async act(house) {
      const { started } = await start(house, {});
      started.stdout.pause();
      const heard: Heard[] = [];
      for (let round = 0; round < 20; round += 1) heard.push(...(await askMany({ url: started.url }, 50)));
      return wantAll(heard);
    },
  },
];

async function start(house: House, env: Readonly<Record<string, string>>) {
  const fleet = await house.fleet(3);
  const started = await house.process({ ...fleet.env, ...env });
  return { started, fleet };
}

async function wantStatus(connection: RawConnection, status: number): Promise<string> {
  const answer = await connection.answer();
  want(answer.status === status, String(answer.status), `a ${status}`);
  return String(status);
}

async function wantExit(started: RunningProcess): Promise<string> {
  let isOver = false;
  void started.exited.then(() => (isOver = true)); // never rejects
  await eventually(() => isOver, 'an end of the process');
  const { code, signal } = await started.exited;
  if (code !== 0 || started.errors !== '')
    throw new Missed(`an end with ${code ?? signal}`, 'an end with 0, in silence');
  return 'an end with 0';
}

/** After a broken connection or an error again, in a while. */
async function askAgainAndAgain(door: { readonly url: string }): Promise<Heard> {
  for (let tries = 0; ; tries += 1) {
    const heard = await askOnce(door);
    if (read(heard).status === 200 || tries === 300) return heard;
    await pause(100);
  }
}
