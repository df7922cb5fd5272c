// Backends that go and come back, and what a request meets meanwhile.
import { CLIENT_KEY } from '../../support/balancer.ts';
import { chat } from '../../support/http.ts';
import { statesOf } from '../../support/observed.ts';
import { startMuteServer } from '../../support/mute-server.ts';
import { bringUp, takeDown } from '../../support/outage.ts';
import { open } from '../../support/reading.ts';
import { createAuthority } from '../../../simulator/tls.ts';
import { startResource } from '../../../simulator/server.ts';
import { read, told } from '../reading.ts';
import type { Play } from '../row.ts';
import { MODEL } from '../stage.ts';
import { askInTurn, askMany, askOnce, eventually, want, wantAll } from './crowd.ts';

const group = 'time';
const LONG_MS = 50_000;

export const timePlays: readonly Play[] = [
  {
    kind: 'play',
    name: 'all three are throttled for 1.5 s',
    group,
    async act(house) {
      const running = await house.balancer({ settings: { MAX_HOLD_SECONDS: '3' } });
      for (const resource of running.resources) resource.throttle(1500);
      return `${wantAll(await askMany(running, 10))}, after a wait`;
    },
  },
  {
    kind: 'play',
    name: 'a backend is throttled for 50 s, and asked meanwhile',
    group,
    async act(house) {
      const running = await house.balancer();
      const [first] = running.resources;
      first?.throttle(LONG_MS);
      const saw = wantAll(await askInTurn(running, 20));
      const asked = first?.calls.length;
      want(asked === 1, `${saw}; the throttled one was asked ${asked} times`, 'that it is left alone');
      return `${saw}; the throttled one was asked once`;
    },
  },
  {
    kind: 'play',
    name: 'a backend is throttled in the middle of a herd of 100',
    group,
    async act(house) {
      const running = await house.balancer();
      const [first] = running.resources;
      const herd = askMany(running, 100);
      await first?.onceCalled();
      first?.throttle(LONG_MS);
      return wantAll(await herd);
    },
  },
  {
    kind: 'play',
    name: 'the only backend closes its kept connections',
    group,
    async act(house) {
      const running = await house.balancer({ backends: 1 });
      wantAll(await askInTurn(running, 2));
      running.resources[0]?.always({ kind: 'stale' });
      return wantAll(await askInTurn(running, 5));
    },
  },
  {
    kind: 'play',
    name: 'a request at which every backend breaks, and then others',
    group,
    async act(house) {
      const running = await house.balancer();
      for (const resource of running.resources) resource.always({ kind: 'status', status: 500 });
      wantAll(await askInTurn(running, 3), { kind: 'refusal', statuses: [500] });
      for (const resource of running.resources) resource.clearFaults();
      const blamed = statesOf(running).filter((state) => state !== 'closed/closed').length;
      const saw = wantAll(await askMany(running, 30));
      want(blamed === 0, `${saw}, but ${blamed} backends are blamed`, 'that no backend is blamed for a request');
      return `three times 500; then ${saw}, and nobody is blamed`;
    },
  },
  {
    kind: 'play',
    name: 'a backend thinks for 50 s before its first word',
    group,
    async act(house) {
      const running = await house.balancer({ settings: { FIRST_TOKEN_TIMEOUT_SECONDS: '0.3' } });
      running.resources[0]?.always({ kind: 'slow-first-chunk', ms: LONG_MS });
      return wantAll([await askOnce(running, 'stream')]);
    },
  },
  {
    kind: 'play',
    name: 'a stream is silent for 1.5 s, and the way to the caller closes what is idle',
    group,
    async act(house) {
      const running = await house.balancer({ settings: { SSE_KEEPALIVE_SECONDS: '0.3' } });
      running.resources[0]?.always({ kind: 'stall', afterChunks: 4, ms: 1500 });
      const heard = await askOnce(running, 'stream');
      const saw = wantAll([heard]);
      const signs = heard.received?.body.toString().match(/^: keep-alive$/gm)?.length ?? 0;
      want(signs > 0, `${saw}, and nothing in the silence`, 'signs of life in the silence');
      return `${saw}, with signs of life in the silence`;
    },
  },
  {
    kind: 'play',
    name: 'a backend dies with 30 streams under way',
    group,
    async act(house) {
      const running = await house.balancer({ resource: () => ({ chunkDelayMs: 60, answerTokens: 26 }) });
      const url = `${running.url}/v1/chat/completions`;
      const headers = { 'api-key': CLIENT_KEY };
      const streams = await Promise.all(
        Array.from({ length: 30 }, () => open(url, { headers, body: chat({ stream: true }) })),
      );
      await Promise.all(streams.map((stream) => stream.came((text) => text.includes('"content":"'))));
      await takeDown(running.resources[0]);
      const after = await askOnce(running);
      let whole = 0;
      let broken = 0;
      for (const stream of streams) {
        const received = await stream.done;
        const heard = { received, ending: received.isComplete ? ('whole' as const) : ('cut' as const) };
        const reading = read(heard);
        if (reading.error !== undefined || heard.ending === 'cut') broken += 1;
        else want(reading.isFinished, told(heard, reading), 'an end that does not look like one');
        if (reading.isFinished && reading.error === undefined) whole += 1;
      }
      const saw = `${whole} whole streams, ${broken} that say that they broke`;
      want(whole + broken === 30 && broken > 0 && whole > 0, saw, 'only those of the dead one to break');
      const status = read(after).status;
      want(status === 200, `${saw}, and then ${status}`, 'an answer to the next request');
      return saw;
    },
  },
  {
    kind: 'play',
    name: 'all three are down, and back at once',
    group,
    async act(house) {
      const running = await house.balancer();
      for (const resource of running.resources) await takeDown(resource);
      const down = wantAll(await askInTurn(running, 5), { kind: 'refusal', statuses: [502, 503] });
      for (const resource of running.resources) await bringUp(resource);
      return `${down}; then ${wantAll(await askInTurn(running, 5))}`;
    },
  },
  {
    kind: 'play',
    name: 'TLS to a backend never stands',
    group,
    async act(house) {
      const mute = await startMuteServer();
      house.after(() => mute.close());
      const settings = { BACKEND_1_URL: mute.url, CONNECT_TIMEOUT_SECONDS: '0.3' };
      const running = await house.balancer({ settings });
      return wantAll(await askMany(running, 5));
    },
  },
  {
    kind: 'play',
    name: 'a backend shows a certificate that nobody vouches for',
    group,
    async act(house) {
      const authority = await createAuthority();
      const tls = await authority.issue();
      const impostor = await startResource({ name: 'impostor', deployments: { [MODEL]: { model: MODEL } }, tls });
      house.after(() => impostor.close());
      const running = await house.balancer({ settings: { BACKEND_1_URL: impostor.url } });
      const saw = wantAll(await askMany(running, 5));
      want(impostor.calls.length === 0, `${saw}; the impostor was sent the key`, 'that it is sent nothing');
      return `${saw}; the impostor was sent nothing`;
    },
  },
  {
    kind: 'play',
    name: 'the name of a backend does not resolve',
    group,
    async act(house) {
      const running = await house.balancer({ settings: { BACKEND_1_URL: 'https://nobody.invalid' } });
      return wantAll(await askMany(running, 5));
    },
  },
  {
    kind: 'play',
    name: 'a caller leaves before the answer',
    group,
    async act(house) {
      const running = await house.balancer();
      const [first] = running.resources;
      first?.script({ kind: 'hang' });
      const called = first?.onceCalled();
      const leaving = askOnce(running, 'whole', 300);
      await called;
      await leaving;
      await eventually(() => first?.openRequests === 0, 'that the backend is told to stop', 3000);
      first?.clearCalls();
      const saw = wantAll(await askInTurn(running, 3));
      want(first?.calls.length !== 0, `${saw}, but none by the first backend`, 'that the backend is not blamed');
      return `the backend was told to stop, and not blamed: ${saw}`;
    },
  },
];
