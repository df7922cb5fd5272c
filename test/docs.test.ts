import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { readConfig } from '../app/src/config.ts';
import { ERROR_CODES } from '../app/src/proxy/proxy-error.ts';
import { BACKEND_SETTINGS, SETTINGS } from '../app/src/settings.ts';
import { textOf } from './support/sources.ts';
import { assertSame, inBackticks, namesIn, NONE, rowsOf } from './support/tables.ts';

const CONFIGURATION = 'docs/configuration.md';
const OPERATIONS = 'docs/operations.md';

const LEAST = { BACKEND_1_URL: 'https://one.openai.azure.com' };
const TENANT = '11111111-2222-3333-4444-555555555555';
const INSIGHTS = `InstrumentationKey=${TENANT};IngestionEndpoint=https://example.com/`;

/** Every setting's default as docs write it. */
function defaults(): ReadonlyMap<string, string> {
  const config = readConfig(LEAST);
  const [backend] = config.backends;
  const values: Readonly<Record<string, string | number | boolean | undefined>> = {
    HOST: config.host,
    PORT: config.port,
    DEPLOYMENT_ALIASES: undefined,
    CONNECT_TIMEOUT_SECONDS: config.connectTimeoutMs / 1000,
    HTTP_TIMEOUT_SECONDS: config.httpTimeoutMs / 1000,
    STREAM_IDLE_TIMEOUT_SECONDS: config.streamIdleTimeoutMs / 1000,
    SSE_KEEPALIVE_SECONDS: config.sseKeepAliveMs / 1000,
    MAX_HOLD_SECONDS: config.maxHoldMs / 1000,
    PRIORITY_WAIT_MS: config.priorityWaitMs,
    AFFINITY: config.affinity,
    STREAM_USAGE: config.streamUsage,
    FIRST_TOKEN_TIMEOUT_SECONDS: config.firstTokenMs,
    SPILL_LONG_PROMPTS: config.spillsLongPrompts,
    MAX_BODY_BYTES: config.maxBodyBytes,
    MAX_BUFFERED_BYTES: config.maxBufferedBytes,
    MAX_CONCURRENT_REQUESTS: config.maxConcurrentRequests,
    DRAIN_SECONDS: config.drainMs / 1000,
    CLIENT_API_KEYS: undefined,
    ENTRA_TENANT_ID: undefined,
    ENTRA_AUDIENCES: readConfig({ ...LEAST, ENTRA_TENANT_ID: TENANT }).entra?.trust.audiences.join(', '),
    ENTRA_ISSUERS: undefined,
    ENTRA_JWKS_URL: undefined,
    ENTRA_ALLOWED_CLIENTS: undefined,
    ENTRA_ALLOWED_OPERATORS: undefined,
    OPERATOR_KEYS: undefined,
    CLIENT_LIMITS: undefined,
    ALLOW_ANONYMOUS: config.allowAnonymous,
    LOG_FORMAT: config.logFormat,
    APPLICATIONINSIGHTS_CONNECTION_STRING: config.insights?.connectionString,
    APPLICATIONINSIGHTS_AUTHENTICATION_STRING: undefined,
    TRACE_SAMPLE_PERCENT: readConfig({ ...LEAST, APPLICATIONINSIGHTS_CONNECTION_STRING: INSIGHTS }).insights
      ?.samplePercent,
    OTEL_SERVICE_NAME: undefined,
    AZURE_CLIENT_ID: config.azureClientId,
    BACKEND_n_URL: undefined,
    BACKEND_n_NAME: backend?.name.replace('1', 'n'),
    BACKEND_n_PRIORITY: backend?.priority,
    BACKEND_n_WEIGHT: backend?.weight,
    BACKEND_n_CAPACITY: backend?.capacity,
    BACKEND_n_APIKEY: config.backendKeys.get('openai1'),
    BACKEND_n_DEPLOYMENT_NAME: backend?.deploymentName,
    BACKEND_n_DEPLOYMENTS: undefined,
  };
  assert.deepEqual(
    [config.aliases.size, config.clientKeys.length, config.operatorKeys.length, config.clientLimits.size],
    [0, 0, 0, 0],
  );
  assert.equal(config.entra, undefined);
  return new Map(Object.entries(values).map(([name, value]) => [name, value === undefined ? NONE : String(value)]));
}

describe(CONFIGURATION, () => {
  const settings = [...SETTINGS, ...BACKEND_SETTINGS.map((ending) => `BACKEND_n_${ending}`)];

  it('has every setting that is read, and no other', () => {
    assertSame(namesIn(CONFIGURATION, 'variable'), settings, `${CONFIGURATION}, tables of settings`);
  });

  it('says the defaults that are read', () => {
    const known = defaults();
    for (const [first = '', second = ''] of rowsOf(CONFIGURATION, 'variable')) {
      for (const name of inBackticks(first)) {
        const expected = known.get(name);
        assert.ok(expected !== undefined, `teach the default of ${name} to test/docs.test.ts`);
        const documented = second.replaceAll('`', '').replace(/ \(.*\)$/, '');
        assert.equal(documented, expected, `default of ${name} in ${CONFIGURATION}`);
      }
    }
  });
});

describe(OPERATIONS, () => {
  it('has every error code that a caller can get from here, and no other, with its status', () => {
    const inCode = new Map<string, number>();
    for (const [code, { status }] of Object.entries(ERROR_CODES)) {
      assert.ok(inCode.get(code) === undefined || inCode.get(code) === status, `${code} has two statuses in the code`);
      inCode.set(code, status);
    }
    assertSame(namesIn(OPERATIONS, 'code'), [...inCode.keys()], `${OPERATIONS}, table of codes`);
    for (const [first = '', second = ''] of rowsOf(OPERATIONS, 'code')) {
      const [code = ''] = inBackticks(first);
      assert.equal(Number(second), inCode.get(code), `status of ${code} in ${OPERATIONS}`);
    }
  });

  it('says what each state of a backend means', () => {
    const kinds = [...textOf('app/src/balancer/circuit-breaker.ts').matchAll(/readonly kind: '(\w+)'/g)];
    assertSame(namesIn(OPERATIONS, 'state'), [...new Set(kinds.map(([, kind = '']) => kind))], OPERATIONS);
  });
});

describe('README.md', () => {
  for (const command of ['npm ci && npm start', 'npm ci && npm test']) {
    it(`names the command \`${command}\``, () => {
      const lines = textOf('README.md').split('\n');
      assert.ok(
        lines.some((line) => line.trim() === command),
        `no line of its own says ${command}`,
      );
    });
  }

  it('names only npm scripts that there are', () => {
    const manifest: unknown = JSON.parse(textOf('package.json'));
    assert.ok(typeof manifest === 'object' && manifest !== null && 'scripts' in manifest);
    const scripts = Object.keys(manifest.scripts ?? {});
    const named = [...textOf('README.md').matchAll(/\bnpm (?:run )?([a-z]+)/g)].map(([, name = '']) => name);
    assert.deepEqual(
      named.filter((name) => !scripts.includes(name) && name !== 'ci' && name !== 'run'),
      [],
    );
  });

  it('names one repository, wherever it says how to open or copy it', () => {
    const homes: readonly string[] =
      textOf('README.md').match(
        /(?:codespaces\.new\/|url=https:\/\/github\.com\/|git clone https:\/\/github\.com\/)[\w-]+\/[\w-]+/g,
      ) ?? [];
    assert.equal(homes.length, 3);
    assert.deepEqual(new Set(homes.map((home) => home.split('/').slice(-2).join('/'))).size, 1);
  });

  it('has the headings that the gallery of azd templates asks for', () => {
    for (const heading of ['## Features', '## Getting Started', '## Guidance', '## Resources']) {
      assert.ok(textOf('README.md').split('\n').includes(heading), heading);
    }
  });

  it('says how to clean up completely, and never otherwise', () => {
    for (const path of ['README.md', 'docs/deployment.md']) {
      const downs: readonly string[] = textOf(path).match(/\bazd down[^`\n]*(?=`|\n)/g) ?? [];
      assert.ok(downs.length > 0, path);
      for (const down of downs) assert.match(down, /^azd down(?: --purge --force)?$/, path);
      assert.ok(downs.includes('azd down --purge --force'), path);
    }
  });

  it('has no text that waits to be replaced', () => {
    assert.deepEqual(textOf('README.md').match(/^[A-Z]+_[A-Z_]+$|\bTODO\b|\bTBD\b/gm) ?? [], []);
  });
});

describe('a link in a document', () => {
  const documents = [
    'README.md',
    'SECURITY.md',
    'CONTRIBUTING.md',
    'CODE_OF_CONDUCT.md',
    ...readdirSync(fileURLToPath(new URL('../docs', import.meta.url)), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.md'))
      .map((name) => `docs/${name}`),
  ];
  for (const path of documents) {
    it(`leads to a file that exists: ${path}`, () => {
      const base = new URL(`../${path}`, import.meta.url);
      const targets = [...textOf(path).matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)/g)].map(
        ([, target = '']) => target,
      );
      assert.deepEqual(
        targets.filter((target) => !existsSync(new URL(target, base))),
        [],
      );
    });
  }
});
