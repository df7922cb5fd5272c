import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { gzipSync } from 'node:zlib';
import { checkAnswer } from '../../bench/soak/answers.ts';
import type { Received } from '../../bench/soak/answers.ts';
import { barsOf } from '../../bench/soak/bars.ts';
import { capacityOf, climb } from '../../bench/soak/capacity.ts';
import type { Step } from '../../bench/soak/capacity.ts';
import { Callers } from '../../bench/soak/caller.ts';
import type { Experience } from '../../bench/soak/caller.ts';
import { delaysOf } from '../../bench/soak/delays.ts';
import { drawEpisode, drawFaults, drawRare } from '../../bench/soak/faults.ts';
import { flatnessOf } from '../../bench/soak/flatness.ts';
import { looksIn, undisturbed, type Look } from '../../bench/soak/looks.ts';
import { OptionsError, readOptions } from '../../bench/soak/options.ts';
import { Recorder } from '../../bench/soak/recorder.ts';
import { recoveryOf } from '../../bench/soak/recovery.ts';
import type { Sent } from '../../bench/soak/recovery.ts';
import { toMarkdown } from '../../bench/soak/report.ts';
import type { Measured } from '../../bench/soak/report.ts';
import type { Phase, Sample } from '../../bench/soak/run.ts';
import { DEPLOYMENTS, drawRequest, idOf } from '../../bench/soak/traffic.ts';
import type { Planned } from '../../bench/soak/traffic.ts';
import { judge } from '../../bench/soak/verdicts.ts';
import type { Asked, Happened } from '../../bench/soak/verdicts.ts';
import { randomOf } from '../../bench/random.ts';
import { startFleet } from '../../simulator/fleet.ts';
import type { Fleet } from '../../simulator/fleet.ts';
import { faultForms } from '../../simulator/scenario.ts';
import type { Fault } from '../../simulator/scenario.ts';

const SEED = 7;
const MANY = 6000;
const requests = Array.from({ length: MANY }, (_, number) => drawRequest(SEED, number));

/** The first request of that kind, by a caller who stays. */
function requestOf(what: string): Planned {
  const found = requests.find((planned) => planned.what === what && planned.manner.kind === 'patient');
  return found ?? assert.fail(what);
}

/** Sent to a resource itself: its own path in place of the balancer's shorter ones. */
function direct(planned: Planned): Planned {
  const [line = '', ...rest] = planned.head;
  const path = line.replace(/^(\w+) (?!\/openai\/)(?:\/v1)?\//, '$1 /openai/v1/');
  const body = Buffer.from(planned.body.toString('latin1').replace('"model":"chat"', '"model":"chat-1"'), 'latin1');
  const head = [path, ...rest.map((one) => one.replace(/^content-length: .*/, `content-length: ${body.length}`))];
  return { ...planned, head, body, isFresh: true, awaitsContinue: false };
}

describe('the climb to the capacity of the soak', () => {
  /** Turns somebody away beyond so many a second, takes 3 ms and one more for each 2 requests a second, and at those tries turns one away. */
  async function climbing(
    most: number,
    { failures = [], mostSteps = 15 }: { readonly failures?: readonly number[]; readonly mostSteps?: number } = {},
  ): Promise<readonly Step[]> {
    let tries = 0;
    return climb({
      restPerSecond: 20,
      fromPerSecond: 100,
      stepPerSecond: 10,
      mostSteps,
      tryRate: (perSecond) =>
        Promise.resolve({
          turnedAway: failures.includes((tries += 1)) || perSecond > most ? 1 : 0,
          p50Ms: 3 + perSecond / 2,
          loopP99Ms: 4,
          cpuPercent: 50,
        }),
    });
  }

  const told = (steps: readonly Step[]): readonly string[] =>
    steps.map(({ perSecond, isBorne }) => `${perSecond} ${isBorne}`);

  it('begins at rest, and raises the rate until somebody is turned away twice', async () => {
    const steps = await climbing(115);
    assert.deepEqual(told(steps), ['20 true', '100 true', '110 true', '120 false', '120 false']);
    assert.equal(capacityOf(steps), 110);
    const [first] = steps;
    assert.deepEqual(first, { perSecond: 20, turnedAway: 0, p50Ms: 13, loopP99Ms: 4, cpuPercent: 50, isBorne: true });
  });

  it('goes on when a rate is borne in two of three tries', async () => {
    const steps = await climbing(125, { failures: [3] });
    assert.deepEqual(told(steps).slice(1), [
      '100 true',
      '110 false',
      '110 true',
      '110 true',
      '120 true',
      '130 false',
      '130 false',
    ]);
    assert.equal(capacityOf(steps), 120);
  });

  it('takes the rate before one that was borne in one of three tries', async () => {
    const steps = await climbing(125, { failures: [3, 5] });
    assert.deepEqual(told(steps).slice(2), ['110 false', '110 true', '110 false']);
    assert.equal(capacityOf(steps), 100);
  });

  it('ends where answers take noticeably longer than at rest', async () => {
    assert.equal(capacityOf(await climbing(1000)), 220);
  });

  it('ends at the last step, and at rest when the first is not borne', async () => {
    assert.deepEqual(told(await climbing(1000, { mostSteps: 2 })), ['20 true', '100 true', '110 true']);
    assert.equal(capacityOf(await climbing(50)), 20);
  });
});

describe('the traffic of the soak', () => {
  it('is the same for the same seed and number, and another for another', () => {
    assert.deepEqual(drawRequest(SEED, 5), requests[5]);
    assert.notDeepEqual(drawRequest(SEED + 1, 5), requests[5]);
  });

  it('has every kind of request and every manner of caller', () => {
    const kinds = new Set(requests.map(({ what }) => what.replace(/^bad: .*/, 'bad')));
    assert.deepEqual([...kinds].toSorted(), [
      'bad',
      'big chat',
      'big chat stream',
      'chat',
      'chat stream',
      'embeddings',
      'long chat stream',
      'models',
      'response',
      'response stream',
      'transcription',
    ]);
    const manners = requests.map(({ manner }) => (manner.kind === 'vanishing' ? manner.at.kind : manner.kind));
    const all = ['in-answer', 'in-body', 'patient', 'slow', 'trickling', 'waiting'];
    assert.deepEqual([...new Set(manners)].toSorted(), all);
    assert.ok(requests.some(({ isFresh }) => isFresh) && requests.some(({ isFresh }) => !isFresh));
    assert.ok(requests.some(({ awaitsContinue }) => awaitsContinue));
  });

  it('says how long its bodies are, and who asks', () => {
    for (const { head, body, number, expected } of requests.slice(0, 500)) {
      assert.ok(head.includes(`x-ms-client-request-id: ${idOf(number)}`));
      const said = head.find((line) => line.startsWith('content-length: '));
      if (said !== undefined && expected.kind !== 'refusal') assert.equal(said, `content-length: ${body.length}`);
    }
  });
});

describe('the faults of the soak', () => {
  it('are all that the simulator knows, and the same for the same seed', () => {
    const draw = (): Fault[] => {
      const random = randomOf(SEED);
      return Array.from({ length: 3000 }, () => [...drawFaults(random), drawRare(random)]).flat();
    };
    const faults = draw();
    assert.deepEqual([...new Set(faults.map(({ kind }) => kind))].toSorted(), Object.keys(faultForms).toSorted());
    assert.deepEqual(draw().slice(0, 50), faults.slice(0, 50));
  });

  it('never take a resource away for longer than the callers wait', () => {
    const random = randomOf(SEED);
    for (let n = 0; n < 1000; n += 1) {
      const episode = drawEpisode(random);
      if ('ms' in episode) assert.ok(episode.ms > 0 && episode.ms <= 8000);
    }
  });
});

describe('an answer in the soak', function () {
  let fleet: Fleet;
  let callers: Callers;
  const deployments = Object.fromEntries(Object.entries(DEPLOYMENTS).map(([name, model]) => [name, { model }]));
  before(async () => {
    fleet = await startFleet([{ name: 'openai1', deployments }]);
    callers = new Callers(Number(new URL(fleet.resources[0]?.url ?? '').port));
  });
  after(async () => {
    callers.close();
    await fleet.close();
  });
  afterEach(() => fleet.resources[0]?.clearFaults());

  async function ask(planned: Planned, fault?: Fault): Promise<Received> {
    if (fault !== undefined) fleet.resources[0]?.script(fault);
    const experience: Experience = await callers.ask(direct(planned));
    assert.ok(experience.kind === 'stayed');
    // The balancer says so.
    const headers = new Map([...experience.received.headers, ['x-balancer-backend', 'openai1']]);
    return { ...experience.received, headers };
  }

  for (const what of [
    'chat',
    'chat stream',
    'long chat stream',
    'big chat',
    'response',
    'response stream',
    'embeddings',
    'transcription',
    'models',
  ]) {
    it(`is right when the simulator gives it as it should: ${what}`, async () => {
      const planned = requestOf(what);
      assert.deepEqual(checkAnswer(planned.expected, await ask(planned)), { kind: 'right' });
    });

    it(`is wrong when a byte of it is another: ${what}`, async () => {
      const planned = requestOf(what);
      const received = await ask(planned);
      const text = received.body.toString();
      const changed = text.replace(
        /(?<="content":"|"delta":"|answers: |heard |"id":"gpt-5|"embedding":.{3})[\w.]/,
        '~',
      );
      assert.notEqual(changed, text);
      assert.equal(checkAnswer(planned.expected, { ...received, body: Buffer.from(changed) }).kind, 'wrong');
    });

    it(`is not right when it is cut: ${what}`, async () => {
      const planned = requestOf(what);
      const received = await ask(planned);
      const cut = { ...received, end: 'cut' as const };
      assert.match(checkAnswer(planned.expected, cut).kind, /^(?:wrong|broken)$/);
      const half = { ...received, body: received.body.subarray(0, received.body.length >> 1) };
      assert.match(checkAnswer(planned.expected, half).kind, /^(?:wrong|broken)$/);
    });
  }

  it('of another resource than the header says is wrong', async () => {
    const planned = requestOf('chat');
    const received = await ask(planned);
    const headers = new Map([...received.headers, ['x-balancer-backend', 'openai2']]);
    assert.equal(checkAnswer(planned.expected, { ...received, headers }).kind, 'wrong');
  });

  it('to another request is wrong', async () => {
    const [one, other] = requests.filter(({ what, manner }) => what === 'chat' && manner.kind === 'patient');
    assert.ok(one !== undefined && other !== undefined);
    assert.equal(checkAnswer(other.expected, await ask(one)).kind, 'wrong');
  });

  it('may begin before anybody has answered: then its words say who did', async () => {
    const planned = requestOf('chat stream');
    const received = await ask(planned);
    const headers = new Map([...received.headers].filter(([name]) => name !== 'x-balancer-backend'));
    const body = Buffer.concat([Buffer.from(': keep-alive\n'), received.body]);
    assert.deepEqual(checkAnswer(planned.expected, { ...received, headers, body }), { kind: 'right' });
  });

  it('is recognised when a fault changed it: compressed, padded, filtered', async () => {
    const [whole, stream] = [requestOf('chat'), requestOf('response stream')];
    for (const planned of [whole, stream]) {
      const check = async (fault: Fault): Promise<string> =>
        checkAnswer(planned.expected, await ask(planned, fault)).kind;
      assert.equal(await check({ kind: 'gzip' }), 'right');
      assert.equal(await check({ kind: 'large', bytes: 100_000 }), 'padded');
      assert.equal(await check({ kind: 'content-filter', variant: 'answer' }), 'filtered');
      assert.equal(await check({ kind: 'content-filter', variant: 'prompt' }), 'refused');
    }
  });

  it('that broke says whether anything was said before, and whether the caller was told', async () => {
    const planned = requestOf('response stream');
    const told = await ask(planned, { kind: 'error-mid-stream', afterChunks: 6 });
    const silent = await ask(planned, { kind: 'reset-mid-stream', afterChunks: 6 });
    const early = await ask(planned, { kind: 'truncated', afterChunks: 2 });
    const seen = [told, silent, early].map((received) => {
      const finding = checkAnswer(planned.expected, received);
      return finding.kind === 'broken' ? [finding.hasContent, finding.isTold] : finding;
    });
    assert.deepEqual(seen, [
      [true, true],
      [true, false],
      [false, false],
    ]);
  });

  it('of 503 is an honest one only when it says when to come again, and in so many words', () => {
    const { expected } = requestOf('chat');
    const body = Buffer.from('{"error":{"code":"too_many_requests_in_flight"}}');
    const received = { status: 503, body, end: 'whole' as const, headers: new Map([['retry-after', '1']]) };
    assert.equal(checkAnswer(expected, received).kind, 'shed');
    assert.equal(checkAnswer(expected, { ...received, headers: new Map() }).kind, 'refused');
    const other = Buffer.from('{"error":{"code":"backend_auth_pending"}}');
    assert.equal(checkAnswer(expected, { ...received, body: other }).kind, 'refused');
  });

  it('to a bad request is its refusal, by status and code', () => {
    const { expected } = requests.find(({ what }) => what === 'bad: unknown key') ?? assert.fail();
    const refusal = (status: number, code: string): string => {
      const body = gzipSync(''); // any: it is no JSON
      const json = Buffer.from(JSON.stringify({ error: { code } }));
      return checkAnswer(expected, { status, body: code === '' ? body : json, end: 'whole', headers: new Map() }).kind;
    };
    assert.equal(refusal(401, 'unknown_credential'), 'right');
    assert.equal(refusal(401, 'missing_credential'), 'wrong');
    assert.equal(refusal(200, ''), 'refused');
  });
});

describe('a caller of the soak', () => {
  const ANSWER = 'HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\n{}';

  async function connectionsFor(first: Partial<Planned>): Promise<number> {
    let connections = 0;
    const server = createServer((socket) => {
      connections += 1;
      socket.on('data', (bytes) => {
        if (bytes.includes(' HTTP/1.1')) socket.write(ANSWER); // at the head, whatever follows
      });
      socket.on('error', () => undefined);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    const callers = new Callers(typeof address === 'object' && address !== null ? address.port : 0);
    const planned = { ...requestOf('chat'), isFresh: false, awaitsContinue: false };
    for (const each of [{ ...planned, ...first }, planned]) assert.equal((await callers.ask(each)).kind, 'stayed');
    callers.close();
    server.close();
    return connections;
  }

  it('asks again on the connection that it kept', async () => {
    assert.equal(await connectionsFor({}), 1);
  });

  it('asks on another when it was refused before it had sent all, or its next words would be taken for the rest', async () => {
    assert.equal(await connectionsFor({ manner: { kind: 'trickling', pieces: 3, gapMs: 60_000 } }), 2);
    assert.equal(await connectionsFor({ awaitsContinue: true }), 2);
  });
});

describe('a verdict of the soak', () => {
  const asked: Asked = {
    id: 'soak-1',
    finding: { kind: 'right' },
    isBad: false,
    backend: 'openai1',
    sentAt: 1000,
    endedAt: 2000,
  };
  const nothing: Happened = { befallen: new Map(), gone: [] };
  const broken = { kind: 'broken', hasContent: true, isTold: true, detail: '' } as const;

  function befallen(fault: string, resource = 'openai1', id = 'soak-1'): Happened {
    return { befallen: new Map([[id, [{ id, fault, resource }]]]), gone: [] };
  }

  it('lets a fault say why, of what nobody can answer, and nobody else say it otherwise', () => {
    const refused = { ...asked, finding: { kind: 'refused', status: 500, code: '' } } as const;
    assert.equal(judge({ ...refused, isBad: true }, befallen('status')), 'told');
    assert.equal(judge({ ...refused, isBad: true }, befallen('status', 'openai1', 'soak-2')), 'lost');
    assert.equal(judge({ ...refused, isBad: true }, nothing), 'lost');
    assert.equal(judge(refused, befallen('status')), 'lost');
  });

  it('excuses a stream that was told to break only by a fault of that request, where it was answered', () => {
    const stream = { ...asked, finding: broken };
    assert.equal(judge(stream, befallen('reset-mid-stream')), 'broken');
    assert.equal(judge(stream, nothing), 'lost');
    assert.equal(judge(stream, befallen('throttle')), 'lost');
    assert.equal(judge(stream, befallen('reset-mid-stream', 'openai2')), 'lost');
    assert.equal(judge(stream, befallen('reset-mid-stream', 'openai1', 'soak-2')), 'lost');
    assert.equal(judge({ ...stream, backend: '' }, befallen('stall', 'openai2')), 'broken');
  });

  it('excuses a stream whose resource went away meanwhile', () => {
    const stream = { ...asked, finding: broken };
    const gone = (at: number, resource = 'openai1'): Happened => ({ ...nothing, gone: [{ resource, at, open: 1 }] });
    assert.equal(judge(stream, gone(1500)), 'broken');
    assert.equal(judge(stream, gone(2500)), 'lost');
    assert.equal(judge(stream, gone(1500, 'openai2')), 'lost');
  });

  it('excuses no stream that ends without a word, or broke before anything was said', () => {
    const early = { ...asked, finding: { ...broken, hasContent: false } };
    assert.equal(judge(early, befallen('throttle-in-stream')), 'lost');
    // Its head had gone out: a refusal, or a compressed answer, can only be told of.
    assert.equal(judge(early, befallen('content-filter')), 'told');
    assert.equal(judge(early, befallen('gzip')), 'told');
    assert.equal(judge({ ...asked, finding: { ...broken, isTold: false } }, befallen('reset-mid-stream')), 'lost');
    assert.equal(judge({ ...asked, finding: { ...broken, hasContent: false } }, befallen('reset-mid-stream')), 'lost');
  });

  it('takes a refusal for the resource’s own only where one was scripted', () => {
    const refused = { ...asked, finding: { kind: 'refused', status: 400, code: 'content_filter' } as const };
    assert.equal(judge(refused, befallen('content-filter')), 'told');
    assert.equal(judge(refused, nothing), 'lost');
    const throttled = { ...asked, finding: { kind: 'refused', status: 429, code: 'x' } as const };
    assert.equal(judge(throttled, befallen('content-filter')), 'lost');
  });

  it('is lost for whatever is wrong, and for filler and filtered words that nobody scripted', () => {
    assert.equal(judge({ ...asked, finding: { kind: 'wrong', detail: '' } }, befallen('reset-mid-stream')), 'lost');
    assert.equal(judge({ ...asked, finding: { kind: 'padded' } }, nothing), 'lost');
    assert.equal(judge({ ...asked, finding: { kind: 'padded' } }, befallen('large')), 'right');
    assert.equal(judge({ ...asked, finding: { kind: 'filtered' } }, nothing), 'lost');
    assert.equal(judge({ ...asked, finding: { kind: 'filtered' } }, befallen('content-filter')), 'told');
  });

  it('knows a request that nobody can answer', () => {
    const planned = requestOf('bad: unknown deployment');
    const recorder = new Recorder();
    const received = { status: 500, headers: new Map(), body: Buffer.from('{}'), end: 'whole' as const };
    recorder.record({ planned, experience: { kind: 'stayed', received, ms: 12 }, sentAt: 0 });
    assert.equal(recorder.tally(befallen('status', 'openai2', idOf(planned.number))).verdicts.told, 1);
  });

  it('describes the lost so that they can be found again', () => {
    const planned = requestOf('chat');
    const recorder = new Recorder();
    const received = { status: 500, headers: new Map(), body: Buffer.from('{}'), end: 'whole' as const };
    recorder.record({ planned, experience: { kind: 'stayed', received, ms: 12 }, sentAt: 0 });
    recorder.record({ planned, experience: { kind: 'vanished' }, sentAt: 0 });
    const { sent, vanished, verdicts, lost } = recorder.tally(befallen('status', 'openai2', idOf(planned.number)));
    assert.deepEqual([sent, vanished, verdicts.lost], [2, 1, 1]);
    assert.match(lost[0] ?? '', new RegExp(`^request ${planned.number} \\(chat, .*"status":500.*openai2 status$`));
  });
});

describe('flatness in the soak', () => {
  const tolerance = { share: 0.1, amount: 5 };
  const rising = (by: number): number[] => Array.from({ length: 40 }, (_, at) => 100 + by * at + (at % 5) * 20);

  it('is of floors: what comes and goes is no growth', () => {
    assert.equal(flatnessOf(rising(0), tolerance).isFlat, true);
    assert.equal(flatnessOf([...rising(0).slice(0, 39), 1000], tolerance).isFlat, true);
  });

  it('is gone when the last quarter lies higher than is allowed', () => {
    const { first, last, allowed, isFlat } = flatnessOf(rising(1), tolerance);
    assert.deepEqual([isFlat, Math.round(allowed * 10)], [false, Math.round(first * 11)]);
    assert.ok(last > allowed);
  });

  it('is gone when it creeps up all the time, if only half as far', () => {
    const { isFlat, isCreeping, last, allowed } = flatnessOf(rising(0.25), tolerance);
    assert.ok(last <= allowed);
    assert.deepEqual([isFlat, isCreeping], [false, true]);
  });

  it('is not judged where nothing was measured', () => {
    assert.equal(flatnessOf([], tolerance).isFlat, false);
  });
});

describe('the looks of the soak', () => {
  it('are undisturbed but for the one with a collection and the two after it', () => {
    const looks = [false, true, false, false, false, true].map((isCollected, at): Look => ({
      at,
      isCollected,
      rss: 0,
      heapUsed: 0,
      external: 0,
      arrayBuffers: 0,
      resources: {},
      delays: [],
      ticks: [],
      warnings: [],
      crashes: [],
    }));
    assert.deepEqual(
      undisturbed(looks).map(({ at }) => at),
      [0, 4],
    );
  });
});

describe('the event loop in the soak', () => {
  it('has the percentiles of all delays together, as if they had been counted at once', () => {
    const { p50Ms, p99Ms, maxMs } = delaysOf([
      [
        [0, 90],
        [4, 5],
      ],
      [
        [4, 3],
        [40, 2],
      ],
    ]);
    assert.deepEqual([p50Ms, p99Ms, maxMs], [0, 10, 10]);
    assert.ok(Number.isNaN(delaysOf([]).p99Ms));
  });

  it('is read from whole lines', () => {
    assert.deepEqual(
      looksIn('{"at":1}\n{"at":2}\n{"a').map(({ at }) => at),
      [1, 2],
    );
  });
});

describe('recovery in the soak', () => {
  const sent = (ms: (atMs: number) => number, isRight: (atMs: number) => boolean): Sent[] =>
    Array.from({ length: 500 }, (_, n) => ({ atMs: n * 10, isRight: isRight(n * 10), ms: ms(n * 10) }));

  it('is when the last slice with a wrong answer is over', () => {
    const { rightAfterMs } = recoveryOf(
      sent(
        () => 5,
        (atMs) => atMs !== 700,
      ),
      5000,
      20,
    );
    assert.equal(rightAfterMs, 750);
  });

  it('is when a second of slices is as fast as before', () => {
    const slow = sent(
      (atMs) => (atMs < 1100 ? 90 : 5),
      () => true,
    );
    assert.deepEqual(recoveryOf(slow, 5000, 20), { rightAfterMs: 0, fastAfterMs: 1250 });
  });

  it('is never when it does not come', () => {
    const never = sent(
      () => 90,
      () => false,
    );
    assert.deepEqual(recoveryOf(never, 5000, 20), { rightAfterMs: undefined, fastAfterMs: undefined });
  });
});

const quiet: Sample = {
  atMs: 0,
  heapBytes: 30 * 2 ** 20,
  rssBytes: 0,
  externalBytes: 2 ** 20,
  openFiles: 100,
  openSockets: 80,
  callersSockets: 1,
  closedSockets: 2,
  mostListeners: 11,
  processListeners: 9,
  activeResources: 90,
  inFlight: 0,
  held: 0,
  bytesBuffered: 0,
};

function phaseOf(verdicts: Partial<Phase['verdicts']>): Phase {
  return {
    sent: 1000,
    vanished: 50,
    verdicts: { right: 950, told: 0, broken: 0, shed: 0, lost: 0, ...verdicts },
    p50Ms: 5,
    p99Ms: 50,
    rightByKind: { chat: 950 },
    lost: [],
    perSecond: 100,
    lengthMs: 10_000,
    cpuPercent: 70,
    waitedPercent: 1,
    callersCpuPercent: 50,
    resourcesCpuPercent: 40,
    loop: { p50Ms: 0.25, p99Ms: 9, maxMs: 30 },
    loopTicks: { p50Ms: 0.25, p99Ms: 4, maxMs: 30 },
    probeMaxMs: 8,
  };
}

function measured(changes: Partial<Measured> = {}): Measured {
  const good = phaseOf({});
  return {
    machine: {
      date: '2026-11-27T00:00:00Z',
      cpu: 'a processor',
      cores: 2,
      memoryGiB: 8,
      kernel: '6',
      versions: {},
      loadAverage: 0,
    },
    isQuick: false,
    seed: 1,
    plan: readOptions([]).plan,
    capacityPerSecond: 143,
    closed: good,
    steps: [{ perSecond: 143, turnedAway: 0, p50Ms: 7, loopP99Ms: 3, cpuPercent: 60, isBorne: true }],
    soak: phaseOf({ broken: 3 }),
    happened: { faults: { throttle: 20, stall: 2 }, episodes: { gone: 1 }, openWhenGone: 1, attempts: 1100 },
    samples: Array.from({ length: 40 }, () => quiet),
    calmBefore: quiet,
    calmAfter: quiet,
    baseline: good,
    overload: phaseOf({ shed: 400 }),
    after: good,
    recovery: { rightAfterMs: 250, fastAfterMs: 500 },
    slowMs: 60,
    warnings: [],
    crashes: [],
    errorOutput: '',
    internalErrors: 0,
    metricsLoopP99Ms: 14,
    ...changes,
  };
}

describe('the bars of the soak', () => {
  const missed = (changes: Partial<Measured>): string[] =>
    barsOf(measured(changes)).flatMap(({ name, isMet }) => (isMet ? [] : [name]));

  it('are all met by a good run', () => {
    assert.deepEqual(missed({}), []);
  });

  it('are missed one by one', () => {
    const growing = Array.from({ length: 40 }, (_, at) => ({ ...quiet, heapBytes: (30 + at) * 2 ** 20 }));
    assert.deepEqual(missed({ soak: phaseOf({ lost: 1 }) }), ['no answer is lost']);
    assert.deepEqual(missed({ soak: phaseOf({ shed: 1 }) }), ['nobody is turned away']);
    assert.deepEqual(missed({ soak: phaseOf({ broken: 4 }) }), ['no stream breaks but by a fault']);
    assert.deepEqual(missed({ samples: growing }), ['flat: heap after collection']);
    assert.deepEqual(missed({ calmAfter: { ...quiet, bytesBuffered: 1 } }), ['all is given back']);
    assert.deepEqual(missed({ calmAfter: { ...quiet, callersSockets: 3 } }), ['all is given back']);
    assert.deepEqual(missed({ warnings: ['MaxListenersExceededWarning'] }), ['no rejection, warning or bug']);
    assert.deepEqual(missed({ internalErrors: 1 }), ['no rejection, warning or bug']);
    assert.deepEqual(missed({ soak: { ...phaseOf({}), loopTicks: { p50Ms: 1, p99Ms: 20, maxMs: 20 } } }), [
      'event loop',
    ]);
    assert.deepEqual(missed({ overload: phaseOf({}) }), ['overload is shed']);
    assert.deepEqual(missed({ overload: phaseOf({ shed: 400, lost: 1 }) }), ['overload is shed']);
    assert.deepEqual(missed({ recovery: { rightAfterMs: 2250, fastAfterMs: 0 } }), ['recovery: right answers']);
    assert.deepEqual(missed({ recovery: { rightAfterMs: 0, fastAfterMs: undefined } }), ['recovery: latency']);
  });

  it('stand in the report with what was measured, and the lost with the seed', () => {
    const lost = { ...phaseOf({ lost: 1 }), lost: ['request 5 (chat)'] };
    const report = toMarkdown(measured({ soak: lost }));
    assert.match(report, /^\| no answer is lost \| \*\*missed\*\* \| 1 of 950 \|$/m);
    assert.match(
      report,
      /^\| event loop \| met \| delay p99 4\.0 ms < 20 ms \(9\.0 ms for whoever comes at any moment\) \|$/m,
    );
    assert.match(report, /Lost, with seed 1:\n\n- request 5 \(chat\)/);
  });
});

describe('the command line of the soak', () => {
  it('takes twenty minutes and the first seed unless told otherwise', () => {
    const { seed, plan, isQuick } = readOptions([]);
    assert.deepEqual([seed, plan.soakMs, isQuick], [1, 1_200_000, false]);
    assert.deepEqual(readOptions(['--minutes', '2.5', '--seed', '9']).plan.soakMs, 150_000);
  });

  it('says everything that is wrong in one error', () => {
    assert.throws(
      () => readOptions(['--minutes', '0', '--seed', 'x']),
      (error: Error) => error instanceof OptionsError && /--minutes 0.*\n.*--seed x/.test(error.message),
    );
    assert.throws(() => readOptions(['--quick', '--minutes', '3']), /exclude each other/);
    assert.throws(() => readOptions(['--fast']), OptionsError);
  });
});
