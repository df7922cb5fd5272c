import assert from 'node:assert/strict';
import { Ajv2020 } from 'ajv/dist/2020.js';
import type { BreakerState } from '../../../app/src/balancer/circuit-breaker.ts';
import type { ProxyEvent } from '../../../app/src/telemetry/events.ts';
import { createLog } from '../../../app/src/telemetry/log.ts';
import { backend } from '../../support/pool.ts';
import { textOf } from '../../support/sources.ts';
import { assertSame, inBackticks, rowsOf } from '../../support/tables.ts';
import { changed, cooldown, ended, finished, refused, started } from '../../support/told-events.ts';

const LOGS = 'docs/logs.md';

interface Schema {
  readonly properties: Readonly<Record<string, unknown>>;
  readonly $defs: Readonly<Record<string, { readonly properties: Readonly<Record<string, unknown>> }>>;
}

const schema: Schema = JSON.parse(textOf('docs/logs.schema.json'));
const validate = new Ajv2020({ strict: true, strictRequired: false, strictTypes: false, allErrors: true }).compile(
  schema,
);

const closed: BreakerState = { kind: 'closed', softFailures: 0 };
const usage = { promptTokens: 1, completionTokens: 2, cachedTokens: 3, reasoningTokens: 4, isEstimated: true } as const;
const limit = { backend: backend('openai1'), deployment: 'gpt' };

/** Every kind, with all that it can say and with as little as it can. */
const EVENTS: readonly ProxyEvent[] = [
  started(),
  started({ probe: true, spilledFrom: 'ptu' }),
  finished(),
  finished({
    stream: true,
    code: 'stream_idle',
    ending: 'broken',
    reasons: 'openai1=ENOTFOUND',
    spilledFrom: 'ptu',
    spillover: 'a to b: 429',
    usage,
    heldMs: 1,
    firstContentMs: 2,
    clientRequestId: 'mine',
  }),
  refused('', 'missing_credential', 401),
  refused('team-a', 'body_too_large', 413),
  changed(closed),
  changed(closed, 'gpt'),
  changed(cooldown(6200), 'gpt'),
  { ...changed(cooldown(6200), 'gpt'), skipped: 3 },
  withReason(changed({ kind: 'open', until: 6000, since: 5000, times: 1 })),
  changed({ kind: 'missing', until: 6000, since: 5000 }, 'gpt'),
  changed({ kind: 'quarantined', until: 6000, since: 5000, isNew: true }),
  changed({ kind: 'probing', after: { kind: 'missing', until: 1, since: 1 }, askedAt: 1 }),
  changed({ kind: 'recovering', after: { kind: 'missing', until: 1, since: 1 }, since: 1, limit: 2 }),
  { kind: 'limit-changed', change: { ...limit, reduction: { limit: 12_000, usual: 30_000 } } },
  { kind: 'limit-changed', change: { ...limit, reduction: undefined } },
  { kind: 'connection-refused', code: 'malformed_request', message: 'No.' },
  { kind: 'notice', level: 'error', text: 'No.' },
];

function withReason(event: Extract<ProxyEvent, { kind: 'state-changed' }>): ProxyEvent {
  return { ...event, change: { ...event.change, reason: 'ENOTFOUND' } };
}

function jsonOf(event: ProxyEvent): Record<string, unknown> {
  let text = '';
  const log = createLog(
    { format: 'json' },
    (more) => (text += more),
    () => new Date(0),
  );
  log(event);
  return JSON.parse(text);
}

function lineOf(event: ProxyEvent): Record<string, unknown> {
  const line = jsonOf(event);
  assert.ok(validate(line), JSON.stringify([line, validate.errors], undefined, 1));
  return line;
}

describe('the schema of the log', () => {
  it('fits every kind of line', () => {
    const kinds = EVENTS.map((event) => lineOf(event)['kind']);
    assertSame([...new Set(kinds.map(String))], Object.keys(schema.$defs), 'docs/logs.schema.json');
  });

  it('has no field that no line has', () => {
    for (const [kind, { properties }] of Object.entries(schema.$defs)) {
      const seen = EVENTS.filter((event) => event.kind === kind).flatMap((event) => Object.keys(jsonOf(event)));
      const known = [...Object.keys(schema.properties), ...Object.keys(properties)];
      assertSame(known, [...new Set(seen)], `docs/logs.schema.json, ${kind}`);
    }
  });

  for (const [what, change] of [
    ['a field that it does not know', { more: 1 }],
    ['a field of another kind', { state: 'open' }],
    ['a number as text', { ms: '12' }],
    ['a level that there is not', { level: 'debug' }],
    ['a kind that there is not', { kind: 'attempt-ended' }],
  ] as const) {
    it(`does not fit ${what}`, () => {
      assert.equal(validate({ ...jsonOf(finished()), ...change }), false);
    });
  }

  it('says of each field in which kinds it is, and so does docs/logs.md', () => {
    const documented = rowsOf(LOGS, 'field').flatMap(([first = '', kinds = '']) =>
      inBackticks(first).map((field) => `${field}: ${kinds.replace(/^all.*/, 'all')}`),
    );
    const fields = new Map(['time', 'level', 'kind', 'text'].map((field) => [field, ['all']]));
    for (const [kind, { properties }] of Object.entries(schema.$defs)) {
      for (const field of Object.keys(properties)) {
        if (field !== 'kind') fields.set(field, [...(fields.get(field) ?? []), kind]);
      }
    }
    assertSame(
      documented,
      [...fields].map(([field, kinds]) => `${field}: ${kinds.join(', ')}`),
      LOGS,
    );
  });

  it('has in JSON every field that the text has', () => {
    for (const event of EVENTS) {
      let text = '';
      createLog(
        { format: 'text' },
        (more) => (text += more),
        () => new Date(0),
      )(event);
      const names = [...text.matchAll(/(?<= )([a-z_]+)=/g)].map(([, name = '']) => name);
      const line = jsonOf(event);
      for (const name of names) assert.ok(name in line, `${name} of ${text}`);
    }
    assert.equal(
      EVENTS.some((event) => event.kind === ended({ kind: 'missing' }).kind),
      false,
    );
  });
});
