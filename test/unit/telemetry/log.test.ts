import assert from 'node:assert/strict';
import { stripVTControlCharacters } from 'node:util';
import * as fc from 'fast-check';
import type { BreakerState } from '../../../app/src/balancer/circuit-breaker.ts';
import { observeAll, type ProxyEvent } from '../../../app/src/telemetry/events.ts';
import { bounded, createLog, gather, wantsColour, type LogForm } from '../../../app/src/telemetry/log.ts';
import { useManualTimers, type ManualTimers } from '../../support/manual-timers.ts';
import { ABANDONED, backend, UNAVAILABLE } from '../../support/pool.ts';
import { ended } from '../../support/told-events.ts';

const AT = new Date('2026-11-22T10:00:00.000Z');
const URL_TEXT = 'https://openai3-abc.openai.azure.com/openai/v1/chat/completions';

type Started = Extract<ProxyEvent, { kind: 'attempt-started' }>;
type Finished = Extract<ProxyEvent, { kind: 'request-finished' }>;

const STARTED: Started = {
  kind: 'attempt-started',
  requestId: 'abc-1',
  backend: 'openai3',
  url: URL_TEXT,
  deployment: 'gpt-5.4-mini',
  attempt: 2,
  probe: false,
};

const FINISHED: Finished = {
  kind: 'request-finished',
  requestId: 'abc-1',
  client: 'team-a',
  method: 'POST',
  path: '/v1/chat/completions',
  operation: 'chat/completions',
  deployment: 'gpt-5.4-mini',
  stream: false,
  status: 200,
  ending: 'delivered',
  backend: 'openai3',
  attempts: 2,
  trace: 'openai1=429(1200ms) openai3=200',
  durationMs: 1234.5678,
};

const ENDED: ProxyEvent = {
  kind: 'attempt-ended',
  requestId: 'abc-1',
  backend: 'openai3',
  deployment: 'gpt-5.4-mini',
  operation: 'chat/completions',
  outcome: UNAVAILABLE,
  durationMs: 1,
};

function changed(to: BreakerState, deployment?: string): ProxyEvent {
  const from: BreakerState = { kind: 'closed', softFailures: 0 };
  const change = { backend: backend('openai1'), from, to, ...(deployment === undefined ? {} : { deployment }) };
  return { kind: 'state-changed', change, now: 5000 };
}

function written(format: LogForm['format'], ...events: readonly ProxyEvent[]): string {
  let text = '';
  const log = createLog(
    { format },
    (more) => {
      text += more;
    },
    () => AT,
  );
  for (const event of events) log(event);
  return text;
}

function jsonOf(event: ProxyEvent): Record<string, unknown> {
  return JSON.parse(written('json', event));
}

describe('log: text', () => {
  it('begins the line of an attempt with Proxying to and the URL', () => {
    assert.equal(
      written('text', STARTED),
      `Proxying to ${URL_TEXT}     backend=openai3 deployment=gpt-5.4-mini attempt=2 request_id=abc-1\n`,
    );
  });

  it('says when an attempt is a probe', () => {
    assert.match(written('text', { ...STARTED, probe: true }), / probe=true request_id=abc-1\n$/);
  });

  it('tells a finished request in one line with its trace', () => {
    assert.equal(
      written('text', FINISHED),
      'POST /v1/chat/completions 200   ms=1234.6  trace="openai1=429(1200ms) openai3=200" client=team-a ' +
        'backend=openai3 attempts=2 deployment=gpt-5.4-mini operation=chat/completions request_id=abc-1\n',
    );
  });

  it('says how a request ended that was not delivered', () => {
    const refused = { ...FINISHED, status: 429, ending: 'refused', code: 'all_backends_throttled' } as const;
    assert.match(written('text', refused), /^POST \/v1\/chat\/completions 429 refused   code=all_backends_throttled /);
    assert.match(written('text', { ...FINISHED, status: 499, ending: 'abandoned' }), /^POST \S+ 499 abandoned /);
  });

  it('warns of broken answers and of errors of the 5xx kind', () => {
    assert.match(written('text', { ...FINISHED, ending: 'broken' }), /^WARNING POST \S+ 200 broken /);
    assert.match(written('text', { ...FINISHED, status: 500 }), /^WARNING POST \S+ 500 /);
    assert.match(written('text', { ...FINISHED, status: 502, ending: 'refused' }), /^WARNING POST \S+ 502 refused /);
    assert.match(written('text', { ...FINISHED, status: 499, ending: 'abandoned' }), /^POST /);
  });

  it('leaves out what is not known', () => {
    const { backend: _backend, ...bare } = FINISHED;
    const line = written('text', { ...bare, client: '', deployment: '', operation: '', trace: '' });
    assert.equal(line, 'POST /v1/chat/completions 200   ms=1234.6  attempts=2 request_id=abc-1\n');
  });

  it('tells a change of state in words, a quarantine as an error, a throttle as news', () => {
    assert.equal(
      written('text', changed({ kind: 'cooldown', until: 6200, recoversAt: 6200, times: 1, heardAfterMs: 9 }, 'gpt')),
      'Backend openai1/gpt cooling down for 1200 ms: it answered 429   backend=openai1 deployment=gpt state=cooldown\n',
    );
    assert.match(
      written('text', changed({ kind: 'quarantined', since: 5000, until: 65_000, isNew: false })),
      /^ERROR Backend openai1 quarantined: .* in 60000 ms\. .* backend=openai1 state=quarantined\n$/,
    );
    assert.match(
      written('text', changed({ kind: 'quarantined', since: 5000, until: 10_000, isNew: true })),
      /^WARNING Backend openai1 quarantined: .* yet .* in 5000 ms\. .* backend=openai1 state=quarantined\n$/,
    );
  });

  it('tells how many changes it did not tell before one', () => {
    const serving: ProxyEvent = changed({ kind: 'closed', softFailures: 0 }, 'gpt');
    assert.match(
      written('text', serving.kind === 'state-changed' ? { ...serving, skipped: 24 } : serving),
      / state=closed skipped=24\n$/,
    );
    assert.match(written('text', serving), / state=closed\n$/);
  });

  it('warns of a limit that the platform has reduced, and tells when it has all again', () => {
    const change = { backend: backend('openai1'), deployment: 'gpt 5' };
    const reduction = { limit: 12_000, usual: 30_000 };
    assert.equal(
      written('text', { kind: 'limit-changed', change: { ...change, reduction } }),
      'WARNING Backend openai1/"gpt 5" has 12000 tokens a minute for a while, 30000 as a rule: the platform has reduced them   backend=openai1 deployment="gpt 5"\n',
    );
    assert.equal(
      written('text', { kind: 'limit-changed', change: { ...change, reduction: undefined } }),
      'Backend openai1/"gpt 5" has all of its tokens a minute again    backend=openai1 deployment="gpt 5"\n',
    );
  });

  it('tells whom a request was spilled from, and what Azure spilled itself', () => {
    const spilled = written('text', { ...FINISHED, spilledFrom: 'ptu', spillover: 'ptu-chat to chat: 429' });
    assert.match(spilled, / spilled_from=ptu spillover="ptu-chat to chat: 429" /);
  });

  it('warns that a backend is failing, says why and what to look at, and what the network said of an attempt', () => {
    const open: BreakerState = { kind: 'open', until: 6000, since: 5000, times: 1 };
    const event = changed(open);
    assert.ok(event.kind === 'state-changed');
    assert.equal(
      written('text', { ...event, change: { ...event.change, reason: 'CERT_HAS_EXPIRED' } }),
      'WARNING Backend openai1 failing: not asked for 1000 ms while others answer. Its certificate has expired: renew it' +
        '       backend=openai1 state=open reason=CERT_HAS_EXPIRED\n',
    );
    assert.equal(
      written('text', { ...event, change: { ...event.change, reason: '503' } }),
      'WARNING Backend openai1 failing: not asked for 1000 ms while others answer      backend=openai1 state=open reason=503\n',
    );
    assert.match(
      written('text', { ...FINISHED, reasons: 'openai1=ENOTFOUND openai2=EPROTO' }),
      / reasons="openai1=ENOTFOUND openai2=EPROTO" /,
    );
  });

  it('tells notices with their level', () => {
    assert.equal(written('text', { kind: 'notice', level: 'info', text: 'Listening.' }), 'Listening.\n');
    assert.equal(written('text', { kind: 'notice', level: 'warning', text: 'Hm.' }), 'WARNING Hm.\n');
    assert.equal(written('text', { kind: 'notice', level: 'error', text: 'No.' }), 'ERROR No.\n');
  });

  it("leaves the end of an attempt to the request's own line", () => {
    assert.equal(written('text', ENDED, ended(ABANDONED)), '');
    assert.equal(written('json', ENDED), '');
  });

  it('quotes values with blanks and quotes', () => {
    assert.match(written('text', { ...STARTED, deployment: 'a b' }), / deployment="a b" /);
    assert.match(written('text', { ...STARTED, deployment: 'a"b' }), / deployment="a\\"b" /);
    assert.match(written('text', { ...STARTED, deployment: 'x client=admin' }), / deployment="x client=admin" /);
  });
});

describe('log: text', () => {
  it('stands in columns: the fields of like lines begin below each other', () => {
    const other = { ...STARTED, url: URL_TEXT.replace('openai3', 'openai12') };
    const requests = [FINISHED, { ...FINISHED, durationMs: 5, status: 404 }, { ...FINISHED, durationMs: 12_345.6 }];
    for (const lines of [
      [STARTED, other].map((event) => written('text', event).indexOf('backend=')),
      requests.map((event) => written('text', event).indexOf('ms=')),
      requests.map((event) => written('text', event).indexOf('trace=')),
    ]) {
      assert.equal(new Set(lines).size, 1, lines.join());
      assert.ok((lines[0] ?? 0) > 0);
    }
  });

  it('tells of waiting, of the first content and of tokens, and ends with the ids', () => {
    const usage = {
      promptTokens: 12,
      completionTokens: 34,
      cachedTokens: 0,
      reasoningTokens: 5,
      isEstimated: true,
    } as const;
    const event = { ...FINISHED, heldMs: 250.04, firstContentMs: 700.06, usage, clientRequestId: 'mine' };
    assert.match(
      written('text', event),
      / held_ms=250 first_content_ms=700\.1 prompt_tokens=12 completion_tokens=34 cached_tokens=0 reasoning_tokens=5 tokens_estimated=true client_request_id=mine request_id=abc-1\n$/,
    );
  });
});

describe('log: colours', () => {
  function coloured(event: ProxyEvent): string {
    let text = '';
    createLog(
      { format: 'text', inColour: true },
      (more) => (text += more),
      () => AT,
    )(event);
    return text;
  }

  const open: BreakerState = { kind: 'open', until: 6000, since: 5000, times: 1 };
  const quarantined: BreakerState = { kind: 'quarantined', since: 5000, until: 65_000, isNew: false };
  for (const [what, event, code] of [
    ['an attempt', STARTED, 36],
    ['an answer', FINISHED, 32],
    ["a caller's mistake", { ...FINISHED, status: 404 }, 33],
    ['who left', { ...FINISHED, status: 499, ending: 'abandoned' }, 33],
    ['a broken answer', { ...FINISHED, ending: 'broken' }, 33],
    ['a throttle', changed({ kind: 'cooldown', until: 6200, recoversAt: 6200, times: 1, heardAfterMs: 9 }, 'gpt'), 33],
    ['a backend that is back', changed({ kind: 'closed', softFailures: 0 }), 32],
    ['a backend that fails', changed(open), 33],
    ['a refused credential', changed(quarantined), 31],
  ] as const) {
    it(`show ${what} at a glance, and change nothing but colours`, () => {
      const text = coloured(event);
      assert.ok(text.startsWith(`\u001b[${code}m`), JSON.stringify(text));
      const bare = stripVTControlCharacters(text);
      assert.equal(bare, written('text', event));
      assert.equal(text.split('\n').length, 2);
    });
  }

  it('let a notice be as it is, so that programs find what it says', () => {
    const notice: ProxyEvent = { kind: 'notice', level: 'info', text: 'Listening on http://127.0.0.1:8080' };
    assert.equal(coloured(notice), 'Listening on http://127.0.0.1:8080\n');
  });

  it('cannot be sent by strangers', () => {
    const text = coloured({ ...FINISHED, path: '/\u001b[31mred' });
    assert.equal(text.split('\u001b[31m').length, 1);
  });

  for (const [env, isTerminal, expected] of [
    [{}, true, true],
    [{}, false, false],
    [{ TERM: 'dumb' }, true, false],
    [{ NO_COLOR: '1' }, true, false],
    [{ NO_COLOR: '' }, true, true],
    [{ FORCE_COLOR: '1' }, false, true],
    [{ FORCE_COLOR: '0' }, true, false],
    [{ FORCE_COLOR: '1', NO_COLOR: '1' }, true, false],
  ] as const) {
    it(`are ${expected ? '' : 'not '}for ${isTerminal ? 'a terminal' : 'a pipe'} with ${JSON.stringify(env)}`, () => {
      assert.equal(wantsColour(isTerminal, env), expected);
    });
  }
});

describe('log: JSON', () => {
  it('has the same fields, the level, the kind and the time', () => {
    assert.deepEqual(jsonOf(STARTED), {
      time: '2026-11-22T10:00:00.000Z',
      level: 'info',
      kind: 'attempt-started',
      text: `Proxying to ${URL_TEXT}`,
      url: URL_TEXT,
      backend: 'openai3',
      deployment: 'gpt-5.4-mini',
      attempt: 2,
      request_id: 'abc-1',
    });
    assert.deepEqual(jsonOf({ ...FINISHED, status: 503, code: 'x' }), {
      time: '2026-11-22T10:00:00.000Z',
      level: 'warning',
      kind: 'request-finished',
      text: 'POST /v1/chat/completions 503',
      method: 'POST',
      path: '/v1/chat/completions',
      status: 503,
      ending: 'delivered',
      stream: false,
      code: 'x',
      backend: 'openai3',
      attempts: 2,
      trace: 'openai1=429(1200ms) openai3=200',
      deployment: 'gpt-5.4-mini',
      operation: 'chat/completions',
      client: 'team-a',
      ms: 1234.6,
      request_id: 'abc-1',
    });
    assert.equal(jsonOf(changed({ kind: 'closed', softFailures: 0 }))['state'], 'closed');
    assert.equal(jsonOf({ kind: 'notice', level: 'error', text: 'No.' })['level'], 'error');
  });
});

describe('log: whatever strangers chose', () => {
  const evil = fc.string({
    unit: fc.constantFrom('\n', '\r', '\u001b', '\0', '\u007f', '\u0085', '\u2028', '"', '\\', ' ', '=', 'a', 'ü'),
  });

  function withEvil(text: string): readonly ProxyEvent[] {
    return [
      { ...STARTED, url: URL_TEXT + text, deployment: text },
      {
        ...FINISHED,
        path: `/${text}`,
        method: `GET${text}`,
        deployment: text,
        client: text,
        trace: text,
        operation: text,
      },
      changed({ kind: 'closed', softFailures: 0 }, `d${text}`),
      { kind: 'notice', level: 'warning', text: `n${text}` },
    ];
  }

  it('is one line an event, of printable ASCII, as text', () => {
    fc.assert(
      fc.property(evil, (text) => {
        for (const event of withEvil(text)) assert.match(written('text', event), /^[\x20-\x7e]+\n$/);
      }),
    );
  });

  it('is one line an event that a parser gives back as it was, as JSON', () => {
    fc.assert(
      fc.property(evil, (text) => {
        for (const event of withEvil(text)) {
          const line = written('json', event);
          assert.match(line, /^[^\n\r]+\n$/);
          const parsed: { deployment?: string; text: string } = JSON.parse(line);
          if (event.kind === 'attempt-started') assert.equal(parsed.deployment ?? '', text);
          if (event.kind === 'notice') assert.equal(parsed.text, `n${text}`);
        }
      }),
    );
  });

  it('is cut where it is longer than anybody reads', () => {
    const long = 'x'.repeat(100_000);
    for (const format of ['text', 'json'] as const) {
      assert.ok(written(format, { ...FINISHED, path: `/${long}` }).length < 3000);
      assert.ok(written(format, { kind: 'notice', level: 'info', text: long }).length < 3000);
    }
  });

  it('forges no second line: the classic line break in a model name', () => {
    const name = 'gpt\nProxying to https://evil.example.com';
    assert.equal(written('text', { ...STARTED, deployment: name }).split('\n').length, 2);
    assert.equal(written('json', { ...STARTED, deployment: name }).split('\n').length, 2);
  });
});

describe('log: what it does not know', () => {
  it('is a bug that shows', () => {
    assert.throws(() => written('text', JSON.parse('{"kind":"future"}')), TypeError);
  });
});

describe('bounded', () => {
  it('leaves out lines while more than so much is unread, and tells how many when there is room', () => {
    const taken: string[] = [];
    const leftOut: number[] = [];
    const sink = { writableLength: 0, write: (text: string) => taken.push(text) };
    const write = bounded(sink, 100, (lines) => leftOut.push(lines));
    write('a\n');
    sink.writableLength = 100;
    write('b\n');
    sink.writableLength = 101;
    write('c\nd\n');
    write('e\n');
    assert.deepEqual([taken, leftOut], [['a\n', 'b\n'], []]);
    sink.writableLength = 0;
    write('f\n');
    write('g\n');
    assert.deepEqual([taken, leftOut], [['a\n', 'b\n', 'f\n', 'g\n'], [3]]);
  });
});

describe('gather', () => {
  let timers: ManualTimers;
  beforeEach(() => {
    timers = useManualTimers();
  });
  afterEach(() => timers.restore());

  function start(): { readonly texts: string[]; readonly gathered: ReturnType<typeof gather> } {
    const texts: string[] = [];
    return { texts, gathered: gather((text) => texts.push(text), 50) };
  }

  it('writes what came in time together, in order, and not before', () => {
    const { texts, gathered } = start();
    gathered.write('a\n');
    timers.advance(49);
    gathered.write('b\n');
    assert.deepEqual(texts, []);
    timers.advance(1);
    assert.deepEqual(texts, ['a\nb\n']);
  });

  it('waits from the first text on: a steady flow is written all the same', () => {
    const { texts, gathered } = start();
    for (let i = 0; i < 10; i += 1) {
      gathered.write(String(i));
      timers.advance(25);
    }
    assert.deepEqual(texts, ['01', '23', '45', '67', '89']);
  });

  it('writes at once what is left when it is flushed, and then nothing twice', () => {
    const { texts, gathered } = start();
    gathered.write('a\n');
    gathered.flush();
    assert.deepEqual(texts, ['a\n']);
    timers.advance(1000);
    gathered.flush();
    assert.deepEqual(texts, ['a\n']);
  });

  it('writes nothing when there is nothing', () => {
    const { texts, gathered } = start();
    gathered.flush();
    assert.deepEqual(texts, []);
  });

  it('begins anew after a flush', () => {
    const { texts, gathered } = start();
    gathered.write('a');
    timers.advance(40);
    gathered.flush();
    gathered.write('b');
    timers.advance(49);
    assert.deepEqual(texts, ['a']);
    timers.advance(1);
    assert.deepEqual(texts, ['a', 'b']);
  });
});

describe('observers', () => {
  it('are all told every event, in order', () => {
    const told: string[] = [];
    const observe = observeAll([(event) => told.push(`1 ${event.kind}`), (event) => told.push(`2 ${event.kind}`)]);
    observe(STARTED);
    observe(ENDED);
    assert.deepEqual(told, ['1 attempt-started', '2 attempt-started', '1 attempt-ended', '2 attempt-ended']);
  });
});
