// Who gets what, by path and credential, from each of the two fronts: the container app as it is, and API Management's policy run by an
// emulator. docs/callers.md has the same tables for people to read; it is compared with this one.

import assert from 'node:assert/strict';
import { CLIENT_KEY, startBalancer, type RunningBalancer } from '../support/balancer.ts';
import { chat } from '../support/http.ts';
import { startKeyServer, type KeyServer } from '../support/key-server.ts';
import { manualClock } from '../support/manual-clock.ts';
import { codeOf, exchange, head } from '../support/raw.ts';
import { textOf } from '../support/sources.ts';
import { inBackticks, rowsOf } from '../support/tables.ts';
import { MADE_AT_MS, TENANT, tokenBy, v1Claims } from '../support/tokens.ts';
import { POLICY_FILES, policyText } from './policy/policy-files.ts';
import { startStage, TENANT_KEY, type Stage } from './policy/stage.ts';

const DOCUMENT = 'docs/callers.md';
const TOKEN = tokenBy(TENANT_KEY, v1Claims());
const VERSION = '?api-version=2024-10-21';

/** In the order of the columns. */
const CREDENTIALS = {
  'no credential': [],
  'wrong key in `api-key`': ['api-key: key-of-a-resource'],
  'key in `api-key`': [`api-key: ${CLIENT_KEY}`],
  'key as Bearer': [`Authorization: Bearer ${CLIENT_KEY}`],
  'Entra token as Bearer': [`Authorization: Bearer ${TOKEN}`],
  'Entra token in `api-key`': [`api-key: ${TOKEN}`],
} as const satisfies Readonly<Record<string, readonly string[]>>;

const BESIDE = ['api-key: placeholder', `Authorization: Bearer ${TOKEN}`, 'Connection: close'];

type Answer = '200' | `${number} \`${string}\``;
type Answers = readonly [Answer, Answer, Answer, Answer, Answer, Answer];

interface Row {
  /** As the tables write it. */
  readonly asked: string;
  readonly method: 'GET' | 'POST';
  readonly target: string;
  readonly model?: string;
  /** What a resource is asked, and with which model in the body. */
  readonly upstream?: string;
  readonly container: Answers;
  readonly apim: Answers;
}

const MISSING = '401 `missing_credential`';
const UNKNOWN_KEY = '401 `unknown_credential`';
const MALFORMED = '401 `token_malformed`';

const CONTAINER: Answers = [MISSING, UNKNOWN_KEY, '200', '200', '200', '200'];
const APIM: Answers = [MISSING, UNKNOWN_KEY, '200', MALFORMED, '200', UNKNOWN_KEY];

/** The container front looks at the path first. */
function everybody(answer: Answer): Answers {
  return [answer, answer, answer, answer, answer, answer];
}

/** API Management looks at the credential first. */
function knownOnly(answer: Answer): Answers {
  return [MISSING, UNKNOWN_KEY, answer, MALFORMED, answer, UNKNOWN_KEY];
}

function served(asked: string, upstream: string, model = 'gpt-5.4-mini'): Row {
  const target = asked
    .replace('?api-version=…', VERSION)
    .replaceAll('`', '')
    .replace(/^\w+ | \(.*/g, '');
  return { asked, method: 'POST', target, model, upstream, container: CONTAINER, apim: APIM };
}

const LEGACY = `/openai/deployments/gpt-5.4-mini/chat/completions${VERSION}`;

const TABLE: readonly Row[] = [
  served('`POST /responses`', '/openai/v1/responses'),
  served('`POST /chat/completions`', '/openai/v1/chat/completions'),
  served('`POST /v1/responses`', '/openai/v1/responses'),
  served('`POST /v1/chat/completions`', '/openai/v1/chat/completions'),
  served('`POST /openai/v1/responses`', '/openai/v1/responses'),
  served('`POST /openai/v1/chat/completions`', '/openai/v1/chat/completions'),
  served('`POST /openai/responses?api-version=…`', `/openai/responses${VERSION}`),
  served('`POST /openai/deployments/gpt-5.4-mini/chat/completions?api-version=…`', LEGACY),
  served('`POST /openai/deployments/chat/chat/completions?api-version=…`', LEGACY),
  served('`POST /chat/completions` (model `chat`)', '/openai/v1/chat/completions', 'chat'),
  {
    asked: '`GET /admin`',
    method: 'GET',
    target: '/admin',
    container: everybody('404 `unknown_path`'),
    apim: knownOnly('404 `unknown_path`'),
  },
  {
    asked: '`GET /v1/../admin`',
    method: 'GET',
    target: '/v1/../admin',
    container: everybody('400 `invalid_path`'),
    apim: knownOnly('400 `invalid_path`'),
  },
  {
    asked: '`POST /v1/realtime/client_secrets`',
    method: 'POST',
    target: '/v1/realtime/client_secrets',
    container: everybody('501 `realtime_not_supported`'),
    apim: knownOnly('501 `realtime_not_supported`'),
  },
];

interface Front {
  readonly port: number;
  readonly resources: RunningBalancer['resources'];
}

async function askAll({ port, resources }: Front, row: Row, expected: Answers): Promise<void> {
  for (const [n, [what, lines]] of Object.entries(CREDENTIALS).entries()) {
    const body = chat({ model: row.model ?? 'gpt-5.4-mini', input: 'Say hello.' });
    const content = row.method === 'POST' ? ['Content-Type: application/json', `Content-Length: ${body.length}`] : [];
    const request = head(`${row.method} ${row.target} HTTP/1.1`, 'Host: x', ...lines, ...content, 'Connection: close');
    for (const resource of resources) resource.clearCalls();
    const answer = await exchange(port, row.method === 'POST' ? request + body : request);
    const told = answer.status >= 400 ? `${answer.status} \`${codeOf(answer)}\`` : String(answer.status);
    assert.equal(told, expected[n], what);
    const calls = resources.flatMap((resource) => resource.calls);
    if (answer.status !== 200) {
      assert.deepEqual(calls, [], `${what}: a resource was asked`);
      continue;
    }
    const asked = calls.map((call) => ({ path: call.path, model: modelIn(call.body) }));
    assert.deepEqual(asked, [{ path: row.upstream, model: 'gpt-5.4-mini' }], what);
  }
}

function modelIn(body: Buffer): unknown {
  const read: { readonly model?: unknown } = JSON.parse(body.toString());
  return read.model;
}

describe('callers of the container app', () => {
  let running: RunningBalancer;
  let keys: KeyServer;

  before(async () => {
    keys = await startKeyServer(TENANT_KEY);
    running = await startBalancer({
      clock: manualClock(1000).now,
      wallClockMs: manualClock(MADE_AT_MS).now,
      settings: {
        ENTRA_TENANT_ID: TENANT,
        ENTRA_JWKS_URL: keys.url,
        DEPLOYMENT_ALIASES: 'chat=gpt-5.4-mini,embedding=text-embedding-3-large',
      },
    });
  });
  after(async () => {
    await running.close();
    await keys.close();
  });

  for (const row of TABLE) {
    it(`get what the table says for ${row.asked}`, async () => {
      await askAll(running, row, row.container);
      running.assertIdle();
    });
  }

  it('with a wrong key beside a right token are served', async () => {
    const answer = await exchange(running.port, head('GET /models HTTP/1.1', 'Host: x', ...BESIDE));
    assert.equal(answer.status, 200);
  });
});

describe('callers of API Management', () => {
  let stage: Stage;

  before(async () => {
    stage = await startStage({ settings: { clientApiKeys: `tester=${CLIENT_KEY}` } });
  });
  after(() => stage.close());

  for (const row of TABLE) {
    it(`get what the table says for ${row.asked}`, async () => {
      await askAll({ port: stage.gateway.port, resources: stage.resources }, row, row.apim);
      stage.assertNoAccident();
    });
  }

  it('with a wrong key beside a right token are refused', async () => {
    const answer = await exchange(stage.gateway.port, head('GET /models HTTP/1.1', 'Host: x', ...BESIDE));
    assert.deepEqual([answer.status, codeOf(answer)], [401, 'unknown_credential']);
  });
});

describe(DOCUMENT, () => {
  const unescaped = (text: string): string =>
    text.replaceAll('&quot;', '"').replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&');

  for (const [heading, front] of [
    ['container app', 'container'],
    ['api management', 'apim'],
  ] as const) {
    it(`has the table of ${heading} that is run here`, () => {
      assert.deepEqual(
        rowsOf(DOCUMENT, heading),
        TABLE.map((row) => [row.asked, ...row[front]]),
      );
    });
  }

  it('has the columns that are run here', () => {
    const columns = Object.keys(CREDENTIALS).join(' | ');
    for (const first of ['container app', 'API Management'])
      assert.ok(textOf(DOCUMENT).includes(`| ${first} | ${columns} |`));
  });

  it('gives a reason for each answer of API Management, with what decides it as the file has it', () => {
    const reasons = rowsOf(DOCUMENT, 'answer');
    const answers = new Set(TABLE.flatMap(({ apim }) => apim));
    const explained = new Set(reasons.map(([answer = '']) => answer));
    assert.deepEqual(
      [...answers].filter((answer) => !explained.has(answer)),
      [],
    );
    for (const [answer = '', where = '', what = '', why = ''] of reasons) {
      const [path = ''] = inBackticks(where);
      const isPolicy = POLICY_FILES.some((name) => `${name}.xml` === path);
      assert.ok(isPolicy || path === 'apim.bicep', `${answer}: ${path}`);
      const text = isPolicy ? textOf(`infra/policies/${path}`) : textOf(`infra/modules/${path}`);
      const snippets = inBackticks(what.replaceAll('\\|', '|'));
      assert.ok(snippets.length > 0, answer);
      for (const snippet of snippets) assert.ok(unescaped(text).includes(snippet), `${path} has no ${snippet}`);
      assert.ok(why.length > 20, answer);
    }
  });

  it('explains every code that the policy can answer', () => {
    const text = POLICY_FILES.map((file) => unescaped(policyText(file))).join('\n');
    const codes = new Set(
      [...text.matchAll(/"((?:token|all|backends|missing|unknown|client|invalid|realtime)_\w+)"/g)].map(
        ([, code = '']) => code,
      ),
    );
    codes.delete('invalid_request_error');
    assert.ok(codes.size > 8);
    const explained = new Set(rowsOf(DOCUMENT, 'answer').flatMap(([answer = '']) => inBackticks(answer)));
    assert.deepEqual(
      [...codes].filter((code) => !explained.has(code)),
      [],
    );
  });
});
