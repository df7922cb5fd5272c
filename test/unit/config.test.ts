import assert from 'node:assert/strict';
import { ConfigError, readConfig, type Config } from '../../app/src/config.ts';
import { isLoopback } from '../../app/src/loopback.ts';
import { BACKEND_SETTINGS, SETTINGS } from '../../app/src/settings.ts';

type Env = Readonly<Record<string, string | undefined>>;

const OPEN: Env = { ALLOW_ANONYMOUS: 'true' };
const LEAST: Env = { BACKEND_1_URL: 'https://one.openai.azure.com' };

function mistakesOf(env: Env): readonly string[] {
  try {
    readConfig(env);
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    for (const mistake of error.mistakes) assert.ok(error.message.includes(`\n- ${mistake}`));
    return error.mistakes;
  }
  return [];
}

/** The variables that mistakes are about, in the order told. */
function blamed(env: Env): readonly string[] {
  return mistakesOf(env).map((mistake) => mistake.slice(0, mistake.indexOf(':')));
}

/** One setting beside the least that is needed. */
function read(name: string, value: string): Config {
  return readConfig({ ...LEAST, [name]: value });
}

describe('config: defaults', () => {
  it('needs one URL only and has the documented defaults', () => {
    const config = readConfig(LEAST);
    assert.deepEqual(config, {
      host: '127.0.0.1',
      port: 8080,
      backends: [{ name: 'openai1', origin: 'https://one.openai.azure.com', priority: 1, weight: 1, byIdentity: true }],
      backendKeys: new Map(),
      aliases: new Map(),
      connectTimeoutMs: 5000,
      httpTimeoutMs: 230_000,
      streamIdleTimeoutMs: 600_000,
      sseKeepAliveMs: 20_000,
      maxBodyBytes: 33_554_432,
      maxBufferedBytes: 268_435_456,
      maxConcurrentRequests: 1000,
      maxHoldMs: 2000,
      priorityWaitMs: 150,
      spillsLongPrompts: false,
      affinity: 'off',
      streamUsage: 'add',
      drainMs: 25_000,
      clientKeys: [],
      operatorKeys: [],
      clientLimits: new Map(),
      allowAnonymous: false,
      logFormat: 'text',
    });
    assert.ok(Object.isFrozen(config));
  });

  it('takes empty and blank variables as unset', () => {
    const names = [...SETTINGS, ...BACKEND_SETTINGS.map((ending) => `BACKEND_2_${ending}`)];
    for (const nothing of ['', ' ', ' \t ', undefined]) {
      const empty = Object.fromEntries(names.map((name) => [name, nothing]));
      assert.deepEqual(readConfig({ ...LEAST, ...empty }), readConfig(LEAST));
    }
  });

  it('takes blanks around a value away', () => {
    assert.equal(read('PORT', ' 9000 ').port, 9000);
  });

  it('ignores the variables of others', () => {
    assert.deepEqual(readConfig({ ...LEAST, PATH: '/bin', port: '1', BACKENDS: 'x' }), readConfig(LEAST));
  });
});

describe('config: single settings', () => {
  const accepted: readonly (readonly [string, string, keyof Config, unknown])[] = [
    ['HOST', '0.0.0.0', 'host', '0.0.0.0'],
    ['HOST', '::1', 'host', '::1'],
    ['HOST', 'localhost', 'host', 'localhost'],
    ['PORT', '0', 'port', 0],
    ['PORT', '65535', 'port', 65_535],
    ['CONNECT_TIMEOUT_SECONDS', '0.5', 'connectTimeoutMs', 500],
    ['HTTP_TIMEOUT_SECONDS', '86400', 'httpTimeoutMs', 86_400_000],
    ['STREAM_IDLE_TIMEOUT_SECONDS', '0.001', 'streamIdleTimeoutMs', 1],
    ['SSE_KEEPALIVE_SECONDS', '7', 'sseKeepAliveMs', 7000],
    ['DRAIN_SECONDS', '0', 'drainMs', 0],
    ['MAX_HOLD_SECONDS', '0', 'maxHoldMs', 0],
    ['MAX_HOLD_SECONDS', '230', 'maxHoldMs', 230_000],
    ['PRIORITY_WAIT_MS', '0', 'priorityWaitMs', 0],
    ['PRIORITY_WAIT_MS', '10000', 'priorityWaitMs', 10_000],
    ['FIRST_TOKEN_TIMEOUT_SECONDS', '0.5', 'firstTokenMs', 500],
    ['SPILL_LONG_PROMPTS', 'true', 'spillsLongPrompts', true],
    ['AFFINITY', 'prefix', 'affinity', 'prefix'],
    ['AFFINITY', 'user', 'affinity', 'user'],
    ['STREAM_USAGE', 'off', 'streamUsage', 'off'],
    ['MAX_BODY_BYTES', '1', 'maxBodyBytes', 1],
    ['MAX_BODY_BYTES', '1073741824', 'maxBodyBytes', 2 ** 30],
    ['MAX_BUFFERED_BYTES', '1099511627776', 'maxBufferedBytes', 2 ** 40],
    ['MAX_CONCURRENT_REQUESTS', '1000000', 'maxConcurrentRequests', 1_000_000],
    ['ALLOW_ANONYMOUS', 'true', 'allowAnonymous', true],
    ['ALLOW_ANONYMOUS', 'false', 'allowAnonymous', false],
    ['LOG_FORMAT', 'json', 'logFormat', 'json'],
    ['LOG_FORMAT', 'text', 'logFormat', 'text'],
    [
      'AZURE_CLIENT_ID',
      '1b4E28ba-2fa1-11d2-883f-0016d3cca427',
      'azureClientId',
      '1b4E28ba-2fa1-11d2-883f-0016d3cca427',
    ],
    ['DEPLOYMENT_ALIASES', 'chat=gpt-5.4-mini', 'aliases', new Map([['chat', 'gpt-5.4-mini']])],
    [
      'DEPLOYMENT_ALIASES',
      ' chat = gpt , a=b=c ',
      'aliases',
      new Map([
        ['chat', 'gpt'],
        ['a', 'b=c'],
      ]),
    ],
    [
      'CLIENT_API_KEYS',
      'team-a=key1,team-b=key2,team-a=key3==',
      'clientKeys',
      [
        { name: 'team-a', key: 'key1' },
        { name: 'team-b', key: 'key2' },
        { name: 'team-a', key: 'key3==' },
      ],
    ],
    ['OPERATOR_KEYS', 'alice=key1', 'operatorKeys', [{ name: 'alice', key: 'key1' }]],
  ];
  for (const [name, value, field, expected] of accepted) {
    it(`takes ${name}=${value}`, () => {
      const lock = name === 'ALLOW_ANONYMOUS' ? {} : { CLIENT_API_KEYS: 'somebody=somekey' };
      const config = readConfig({ ...LEAST, ...lock, [name]: value });
      assert.deepEqual(config[field], expected);
    });
  }

  const seconds = ['-1', '1e3', '.5', '5s', '1.2345', '86400.001', '1234567', 'five', '0x5', '+5'];
  const refused: Readonly<Record<string, readonly string[]>> = {
    HOST: ['a b', 'http://localhost', '[::1]', 'x'.repeat(254), '0.0.0.0/0'],
    PORT: ['-1', '65536', '80.5', 'http', '0x50', '1e3'],
    CONNECT_TIMEOUT_SECONDS: ['0', '0.0', ...seconds],
    HTTP_TIMEOUT_SECONDS: ['0', ...seconds],
    STREAM_IDLE_TIMEOUT_SECONDS: ['0', ...seconds],
    SSE_KEEPALIVE_SECONDS: ['0', ...seconds],
    DRAIN_SECONDS: seconds,
    MAX_HOLD_SECONDS: ['230.001', ...seconds],
    PRIORITY_WAIT_MS: ['-1', '10001', '1.5', '150ms'],
    FIRST_TOKEN_TIMEOUT_SECONDS: ['0', ...seconds],
    SPILL_LONG_PROMPTS: ['yes', '1', 'TRUE'],
    AFFINITY: ['on', 'Prefix', 'prefix,user'],
    STREAM_USAGE: ['true', 'on', 'Add'],
    BACKEND_1_CAPACITY: ['0', '-1', '1.5', '30k', '10000001'],
    MAX_BODY_BYTES: ['0', '-1', '1.5', '32MiB', '1073741825'],
    MAX_BUFFERED_BYTES: ['0', '-1', '1099511627777'],
    MAX_CONCURRENT_REQUESTS: ['0', '-5', '1000001', 'many'],
    ALLOW_ANONYMOUS: ['yes', '1', 'TRUE', 'on'],
    LOG_FORMAT: ['xml', 'JSON', 'pretty'],
    AZURE_CLIENT_ID: ['my-identity', '1b4e28ba', 'x'.repeat(36)],
    DEPLOYMENT_ALIASES: ['chat', '=gpt', 'chat=', 'chat=gpt,', ',', 'chat=a,chat=b'],
    CLIENT_API_KEYS: [
      'key1',
      'a=',
      '=key1',
      'a=key1,',
      'a=key1,b=key1',
      'a b=key1',
      'ok=key1,a b=key2',
      'a=key 1',
      'ok=key1,a=key 2',
      'a=schlüssel',
      '-=key',
    ],
    OPERATOR_KEYS: ['key1', 'a=', '=key1', 'a=key1,b=key1', 'ä=key1', `${'n'.repeat(65)}=key1`],
    BACKEND_1_URL: [
      'one.openai.azure.com',
      'ftp://one.openai.azure.com',
      'https://one.openai.azure.com/openai',
      'https://one.openai.azure.com/openai/v1/',
      'https://one.openai.azure.com?x=1',
      'https://one.openai.azure.com/#x',
      'https://user:password@one.openai.azure.com',
      'https://user@one.openai.azure.com',
      'https://',
      '//one.openai.azure.com',
    ],
    BACKEND_1_NAME: ['a b', '-a', 'a/b', 'ä', 'x'.repeat(65), 'a\nb'],
    BACKEND_1_PRIORITY: ['-1', '1.5', 'high', '1000001'],
    BACKEND_1_WEIGHT: ['0', '0.0', '-1', 'heavy', '1.1234567', '1234567'],
    BACKEND_1_APIKEY: ['two words', 'schlüssel', 'a\nb'],
    BACKEND_1_DEPLOYMENTS: ['chat', 'chat=', '=x', 'chat=a,chat=b', 'chat=a,'],
  };
  for (const [name, values] of Object.entries(refused)) {
    it(`refuses ${name} in other forms, with one mistake each that names the form`, () => {
      for (const value of values) {
        const mistakes = mistakesOf({ ...LEAST, ...(name === 'HOST' ? OPEN : {}), [name]: value });
        assert.equal(mistakes.length, 1, `${JSON.stringify(value)}: ${JSON.stringify(mistakes)}`);
        assert.match(mistakes[0] ?? '', new RegExp(`^${name}: .{10}`));
      }
    });
  }
});

describe('config: backends', () => {
  it('reads every setting of a backend', () => {
    const config = readConfig({
      BACKEND_1_URL: 'https://One.openai.azure.com/',
      BACKEND_1_NAME: 'ptu-1.east_us',
      BACKEND_1_PRIORITY: '0',
      BACKEND_1_WEIGHT: '2.5',
      BACKEND_1_APIKEY: 'key-1',
      BACKEND_1_CAPACITY: '50',
      BACKEND_1_DEPLOYMENT_NAME: 'gpt',
      BACKEND_2_URL: 'http://localhost:8090',
      BACKEND_2_DEPLOYMENTS: 'chat=gpt-eu,embedding=emb-eu',
    });
    assert.deepEqual(config.backends, [
      {
        name: 'ptu-1.east_us',
        origin: 'https://one.openai.azure.com',
        priority: 0,
        weight: 2.5,
        byIdentity: false,
        capacity: 50_000,
        deploymentName: 'gpt',
      },
      {
        name: 'openai2',
        origin: 'http://localhost:8090',
        priority: 1,
        weight: 1,
        byIdentity: true,
        deployments: new Map([
          ['chat', 'gpt-eu'],
          ['embedding', 'emb-eu'],
        ]),
      },
    ]);
    assert.deepEqual(config.backendKeys, new Map([['ptu-1.east_us', 'key-1']]));
  });

  it('orders backends by their number, not by their name, and allows gaps', () => {
    const config = readConfig({
      BACKEND_10_URL: 'https://ten.example.com',
      BACKEND_2_URL: 'https://two.example.com',
      BACKEND_9999_URL: 'https://last.example.com',
    });
    assert.deepEqual(
      config.backends.map((backend) => backend.name),
      ['openai2', 'openai10', 'openai9999'],
    );
  });

  it('allows several backends at one resource', () => {
    const url = 'https://one.openai.azure.com';
    const config = readConfig({ BACKEND_1_URL: url, BACKEND_2_URL: url, BACKEND_2_DEPLOYMENT_NAME: 'spill' });
    assert.equal(config.backends.length, 2);
  });

  it('needs a backend', () => {
    assert.deepEqual(blamed({}), ['BACKEND_1_URL']);
  });

  it('needs the URL of a backend that has any other setting', () => {
    assert.deepEqual(blamed({ ...LEAST, BACKEND_2_APIKEY: 'key' }), ['BACKEND_2_URL']);
    assert.match(mistakesOf({ ...LEAST, BACKEND_2_APIKEY: 'key' })[0] ?? '', /^BACKEND_2_URL: is needed: /);
  });

  for (const name of [
    'BACKEND_1_FOO',
    'BACKEND_0_URL',
    'BACKEND_01_URL',
    'BACKEND_10000_URL',
    'BACKEND__URL',
    'BACKEND_-1_URL',
    'BACKEND_URL',
    'BACKEND_1',
    'BACKEND_1_',
    'BACKEND_1_url',
    'BACKEND_1_URL_2',
    'BACKEND_1_CAPACITIES',
    'BACKEND_1___proto__',
  ]) {
    it(`refuses ${name}, which is no setting, and says what is`, () => {
      const mistakes = mistakesOf({ ...LEAST, [name]: 'https://x.example.com' });
      assert.equal(mistakes.length, 1);
      assert.ok(mistakes[0]?.startsWith(`${name}: is not a setting`), mistakes[0]);
      assert.match(mistakes[0] ?? '', /BACKEND_n_URL/);
    });
  }

  it('refuses a name that another backend has, given or by default', () => {
    const two = { ...LEAST, BACKEND_2_URL: 'https://two.openai.azure.com' };
    assert.deepEqual(blamed({ ...two, BACKEND_1_NAME: 'x', BACKEND_2_NAME: 'x' }), ['BACKEND_2_NAME']);
    assert.deepEqual(blamed({ ...two, BACKEND_2_NAME: 'openai1' }), ['BACKEND_2_NAME']);
    assert.deepEqual(blamed({ ...two, BACKEND_1_NAME: 'openai2' }), ['BACKEND_2_NAME']);
    assert.deepEqual(blamed({ ...two, BACKEND_1_NAME: 'openai2', BACKEND_2_NAME: 'openai1' }), []);
  });

  it('refuses a deployment name beside a mapping', () => {
    const both = { ...LEAST, BACKEND_1_DEPLOYMENT_NAME: 'gpt', BACKEND_1_DEPLOYMENTS: 'chat=gpt' };
    assert.deepEqual(blamed(both), ['BACKEND_1_DEPLOYMENTS']);
  });
});

describe('config: Application Insights', () => {
  const KEY = '11111111-2222-3333-4444-555555555555';
  const NAME = 'APPLICATIONINSIGHTS_CONNECTION_STRING';
  const RIGHT = `InstrumentationKey=${KEY};IngestionEndpoint=https://westeurope-5.in.applicationinsights.azure.com/;LiveEndpoint=https://westeurope.livediagnostics.monitor.azure.com/;ApplicationId=${KEY}`;

  it('reads where telemetry goes, and how much of it', () => {
    const { insights } = readConfig({ ...LEAST, [NAME]: RIGHT });
    assert.equal(insights?.connectionString, RIGHT);
    assert.equal(insights.endpoint, 'https://westeurope-5.in.applicationinsights.azure.com');
    assert.equal(insights.samplePercent, undefined);
    assert.equal(readConfig(LEAST).insights, undefined);
    assert.equal(readConfig({ ...LEAST, [NAME]: RIGHT, TRACE_SAMPLE_PERCENT: '0.5' }).insights?.samplePercent, 0.5);
  });

  it('takes a stand-in on this machine in the clear, and nobody else', () => {
    const to = (endpoint: string): string => `InstrumentationKey=${KEY};IngestionEndpoint=${endpoint}`;
    assert.equal(
      readConfig({ ...LEAST, [NAME]: to('http://127.0.0.1:8081/') }).insights?.endpoint,
      'http://127.0.0.1:8081',
    );
    for (const text of [
      to('http://example.com/'),
      to('https://example.com/v2/track'),
      to('https://user:pass@example.com/'),
      to('ftp://example.com/'),
      to(''),
      `InstrumentationKey=${KEY}`,
      'IngestionEndpoint=https://example.com/',
      'InstrumentationKey=x;IngestionEndpoint=https://example.com/',
      `${to('https://example.com/')};ApplicationId`,
      `${to('https://example.com/')};IngestionEndpoint=https://example.org/`,
      KEY,
    ]) {
      assert.deepEqual(blamed({ ...LEAST, [NAME]: text }), [NAME], text);
    }
    const AUTHENTICATION = 'APPLICATIONINSIGHTS_AUTHENTICATION_STRING';
    assert.equal(
      readConfig({ ...LEAST, [NAME]: RIGHT, [AUTHENTICATION]: 'Authorization=AAD' }).insights?.byIdentity,
      true,
    );
    assert.equal(readConfig({ ...LEAST, [NAME]: RIGHT }).insights?.byIdentity, false);
    assert.deepEqual(blamed({ ...LEAST, [NAME]: RIGHT, [AUTHENTICATION]: 'x' }), [AUTHENTICATION]);
    for (const env of [{}, { [NAME]: to('http://127.0.0.1:8081/') }]) {
      assert.deepEqual(blamed({ ...LEAST, ...env, [AUTHENTICATION]: 'Authorization=AAD' }), [AUTHENTICATION]);
    }
    for (const percent of ['101', '-1', '1e1', 'all', '0.0001']) {
      assert.deepEqual(blamed({ ...LEAST, TRACE_SAMPLE_PERCENT: percent }), ['TRACE_SAMPLE_PERCENT']);
    }
  });

  it('is known by the name that was given, else by what Container Apps calls the app and the replica', () => {
    const app = { CONTAINER_APP_NAME: 'ca-1', CONTAINER_APP_REPLICA_NAME: 'ca-1--0-5', HOSTNAME: 'host' };
    const roleOf = (env: Env): readonly unknown[] => {
      const { insights } = readConfig({ ...LEAST, [NAME]: RIGHT, ...env });
      return [insights?.roleName, insights?.roleInstance];
    };
    assert.deepEqual(roleOf(app), ['ca-1', 'ca-1--0-5']);
    assert.deepEqual(roleOf({ ...app, OTEL_SERVICE_NAME: 'balancer' }), ['balancer', 'ca-1--0-5']);
    assert.deepEqual(roleOf({ HOSTNAME: 'host' }), ['azure-openai-balancer', 'host']);
  });
});

describe('config: who may call', () => {
  it('refuses to listen to strangers without client keys', () => {
    for (const host of ['0.0.0.0', '::', '10.0.0.4', 'example.com', '127.0.0.1.example.com', '1270.0.0.1']) {
      assert.deepEqual(blamed({ ...LEAST, HOST: host }), ['CLIENT_API_KEYS'], host);
    }
  });

  it('listens to strangers with client keys, or when it is told that anybody may call', () => {
    assert.equal(readConfig({ ...LEAST, HOST: '0.0.0.0', CLIENT_API_KEYS: 'a=key' }).host, '0.0.0.0');
    assert.equal(readConfig({ ...LEAST, HOST: '0.0.0.0', ALLOW_ANONYMOUS: 'true' }).host, '0.0.0.0');
    assert.deepEqual(blamed({ ...LEAST, HOST: '0.0.0.0', ALLOW_ANONYMOUS: 'false' }), ['CLIENT_API_KEYS']);
  });

  it("does not take operators' keys for clients' keys", () => {
    assert.deepEqual(blamed({ ...LEAST, HOST: '0.0.0.0', OPERATOR_KEYS: 'a=key' }), ['CLIENT_API_KEYS']);
  });

  it('needs no keys on a loopback address', () => {
    for (const host of ['127.0.0.1', '127.1.2.3', 'localhost', '::1']) {
      assert.deepEqual(blamed({ ...LEAST, HOST: host }), [], host);
    }
  });

  it('knows which names can only mean this machine', () => {
    for (const host of ['localhost', '127.0.0.1', '127.255.255.254', '::1', '[::1]']) assert.ok(isLoopback(host), host);
    for (const host of ['', '0.0.0.0', '::', 'localhost.example.com', '127.0.0.1.nip.io', '128.0.0.1', 'x127.0.0.1']) {
      assert.ok(!isLoopback(host), host);
    }
  });
});

const TENANT = '11111111-2222-3333-4444-555555555555';
const OTHER_TENANT = '22222222-3333-4444-5555-666666666666';
const APP = '66666666-7777-8888-9999-aaaaaaaaaaaa';
const PERSON = '77777777-8888-9999-aaaa-bbbbbbbbbbbb';
const ENTRA: Env = { ...LEAST, ENTRA_TENANT_ID: TENANT };

describe('config: Entra tokens', () => {
  it('trusts the v1 and v2 issuer of a tenant, with the keys that the tenant publishes', () => {
    const keysUrl = `https://login.microsoftonline.com/${TENANT}/discovery/v2.0/keys`;
    assert.deepEqual(readConfig(ENTRA).entra, {
      trust: {
        issuers: [
          { issuer: `https://sts.windows.net/${TENANT}/`, tenantId: TENANT, keysUrl },
          { issuer: `https://login.microsoftonline.com/${TENANT}/v2.0`, tenantId: TENANT, keysUrl },
        ],
        audiences: ['https://cognitiveservices.azure.com', 'https://ai.azure.com'],
      },
      allowedOperators: new Map(),
    });
  });

  it('takes several tenants, each with its own keys, in any letters and each once', () => {
    const list = ` ${TENANT.toUpperCase()} , ${OTHER_TENANT},${TENANT},`;
    const issuers = readConfig({ ...LEAST, ENTRA_TENANT_ID: list }).entra?.trust.issuers ?? [];
    assert.deepEqual(
      issuers.map(({ tenantId }) => tenantId),
      [TENANT, TENANT, OTHER_TENANT, OTHER_TENANT],
    );
    for (const { tenantId, issuer, keysUrl } of issuers) {
      assert.ok(issuer.includes(tenantId));
      assert.ok(keysUrl.includes(tenantId));
    }
  });

  it('takes the issuers and keys of another cloud, and each issuer for the tenant that it names', () => {
    const issuer = `https://login.microsoftonline.us/${TENANT}/v2.0`;
    const env = {
      ...ENTRA,
      ENTRA_ISSUERS: issuer,
      ENTRA_JWKS_URL: 'https://login.microsoftonline.us/{tenant}/discovery/v2.0/keys',
      ENTRA_AUDIENCES: 'https://cognitiveservices.azure.us/,api://mine',
    };
    assert.deepEqual(readConfig(env).entra?.trust, {
      issuers: [
        { issuer, tenantId: TENANT, keysUrl: `https://login.microsoftonline.us/${TENANT}/discovery/v2.0/keys` },
      ],
      audiences: ['https://cognitiveservices.azure.us', 'api://mine'],
    });
    assert.deepEqual(blamed({ ...ENTRA, ENTRA_ISSUERS: issuer }), ['ENTRA_JWKS_URL']);
    assert.deepEqual(blamed({ ...env, ENTRA_TENANT_ID: `${TENANT},${OTHER_TENANT}` }), ['ENTRA_ISSUERS']);
    const foreign = `https://login.microsoftonline.us/${OTHER_TENANT}/v2.0`;
    assert.deepEqual(blamed({ ...env, ENTRA_ISSUERS: `${issuer},${foreign}` }), ['ENTRA_ISSUERS']);
  });

  it('takes keys over https, and over http from this machine alone', () => {
    for (const url of ['https://keys.example/{tenant}', 'http://127.0.0.1:9/keys', 'http://localhost/keys']) {
      assert.deepEqual(blamed({ ...ENTRA, ENTRA_JWKS_URL: url }), [], url);
    }
    for (const url of [
      'http://keys.example/',
      'http://127.0.0.1.nip.io/',
      'ftp://keys.example/',
      'file:///keys',
      'data:application/json,{}',
      'https://user:password@keys.example/',
      'keys.example',
    ]) {
      assert.deepEqual(blamed({ ...ENTRA, ENTRA_JWKS_URL: url }), ['ENTRA_JWKS_URL'], url);
    }
  });

  it('knows allowed clients and operators by their ids, with a name or without', () => {
    const { entra } = readConfig({
      ...ENTRA,
      ENTRA_ALLOWED_CLIENTS: `chat-app=${APP.toUpperCase()}, ${PERSON}`,
      ENTRA_ALLOWED_OPERATORS: `alice=${PERSON}`,
    });
    assert.deepEqual(
      [...(entra?.allowedClients ?? [])],
      [
        [APP, 'chat-app'],
        [PERSON, PERSON],
      ],
    );
    assert.deepEqual([...(entra?.allowedOperators ?? [])], [[PERSON, 'alice']]);
  });

  it('refuses lists that are none', () => {
    for (const [name, ...values] of [
      ['ENTRA_TENANT_ID', 'common', 'organizations', TENANT.slice(1), `${TENANT} ${TENANT}`, ','],
      ['ENTRA_AUDIENCES', ',', 'https://a b'],
      ['ENTRA_ALLOWED_CLIENTS', 'chat-app', 'chat-app=x', `=${APP}`, `${APP},${APP}`, `a b=${APP}`, `${APP},`],
      ['ENTRA_ALLOWED_OPERATORS', 'alice', `alice=${PERSON},bob=${PERSON}`],
      ['ENTRA_ISSUERS', `http://login.microsoftonline.com/${TENANT}/`, TENANT],
    ] as const) {
      for (const value of values) {
        const extra = name === 'ENTRA_ISSUERS' ? { ENTRA_JWKS_URL: 'https://keys.example' } : {};
        assert.deepEqual(blamed({ ...ENTRA, ...extra, [name]: value }), [name], `${name}=${value}`);
      }
    }
  });

  it('refuses what belongs to tokens where no tenant is named', () => {
    for (const [name, value] of [
      ['ENTRA_AUDIENCES', 'api://mine'],
      ['ENTRA_ALLOWED_CLIENTS', APP],
      ['ENTRA_ALLOWED_OPERATORS', APP],
      ['ENTRA_JWKS_URL', 'https://keys.example'],
    ] as const) {
      assert.deepEqual(blamed({ ...LEAST, [name]: value }), [name]);
    }
  });

  it('refuses names that are none: with a typing error in the list of who may call, everybody would', () => {
    for (const name of ['ENTRA_ALLOWED_CLIENT', 'ENTRA_AUDIENCE', 'CLIENT_LIMIT', 'CLIENT_API_KEY', 'OPERATOR_KEY']) {
      const [mistake = '', ...more] = mistakesOf({ ...ENTRA, [name]: 'x' });
      assert.match(mistake, new RegExp(`^${name}: is not a setting; there are .*ENTRA_ALLOWED_CLIENTS`));
      assert.deepEqual(more, []);
    }
  });

  it('refuses names with a typing error: what they were meant to set would not be set', () => {
    for (const [name, meant] of [
      ['CLIENT_LIMTS', 'CLIENT_LIMITS'],
      ['MAX_CONCURENT_REQUESTS', 'MAX_CONCURRENT_REQUESTS'],
      ['client_api_keys', 'CLIENT_API_KEYS'],
    ] as const) {
      assert.deepEqual(mistakesOf({ ...LEAST, [name]: 'x' }), [`${name}: is not a setting; ${meant} is`]);
    }
    assert.equal(readConfig({ ...LEAST, LOG_LEVEL: 'debug', PORTS: 'x', CLIENT_LIMTS: '' }).port, 8080);
  });

  it('refuses to let certificates go unchecked', () => {
    assert.deepEqual(blamed({ ...LEAST, NODE_TLS_REJECT_UNAUTHORIZED: '0' }), ['NODE_TLS_REJECT_UNAUTHORIZED']);
    assert.equal(readConfig({ ...LEAST, NODE_TLS_REJECT_UNAUTHORIZED: '1' }).port, 8080);
  });

  it('is a lock: strangers may be listened to, and nobody is anonymous beside it', () => {
    assert.equal(readConfig({ ...ENTRA, HOST: '0.0.0.0' }).host, '0.0.0.0');
    assert.deepEqual(blamed({ ...ENTRA, ALLOW_ANONYMOUS: 'true' }), ['ALLOW_ANONYMOUS']);
    assert.deepEqual(blamed({ ...LEAST, CLIENT_API_KEYS: 'a=key', ALLOW_ANONYMOUS: 'true' }), ['ALLOW_ANONYMOUS']);
  });
});

describe('config: one key opens one kind of door', () => {
  it('refuses a key that is both', () => {
    const env = { ...LEAST, BACKEND_1_APIKEY: 'backend-key', CLIENT_API_KEYS: 'a=client-key' };
    assert.deepEqual(blamed({ ...env, OPERATOR_KEYS: 'o=client-key' }), ['OPERATOR_KEYS']);
    assert.deepEqual(blamed({ ...env, OPERATOR_KEYS: 'o=backend-key' }), ['OPERATOR_KEYS']);
    assert.deepEqual(blamed({ ...env, CLIENT_API_KEYS: 'a=backend-key' }), ['CLIENT_API_KEYS']);
    assert.deepEqual(blamed({ ...env, CLIENT_API_KEYS: 'a=one,b=one' }), ['CLIENT_API_KEYS']);
    assert.deepEqual(blamed({ ...env, OPERATOR_KEYS: 'o=operator-key' }), []);
  });
});

describe('config: limits of clients', () => {
  const KEYS: Env = { ...LEAST, CLIENT_API_KEYS: 'team-a=key1,team-b=key2' };

  it('reads tokens, requests and concurrency, in any order and each for itself', () => {
    const { clientLimits } = readConfig({
      ...KEYS,
      CLIENT_LIMITS: 'team-a=50000tpm:300rpm:20concurrent, team-b = 5concurrent : 7tpm ,*=100rpm',
    });
    assert.deepEqual(
      [...clientLimits],
      [
        ['team-a', { tokensPerMinute: 50_000, requestsPerMinute: 300, concurrent: 20 }],
        ['team-b', { tokensPerMinute: 7, concurrent: 5 }],
        ['*', { requestsPerMinute: 100 }],
      ],
    );
  });

  it('refuses what is no limit', () => {
    for (const limit of [
      '',
      '50000',
      'tpm',
      '0tpm',
      '-1tpm',
      '1.5rpm',
      '1e3rpm',
      '50k tpm',
      '1tpm:1tpm',
      '1tpm;2rpm',
      '1tpm:',
      '1TPM',
      '1234567890123tpm',
    ]) {
      assert.deepEqual(blamed({ ...KEYS, CLIENT_LIMITS: `team-a=${limit}` }), ['CLIENT_LIMITS'], limit);
    }
    for (const list of ['team-a', 'team-a=1rpm,team-a=2rpm', 'a b=1rpm', '=1rpm', '**=1rpm']) {
      assert.deepEqual(blamed({ ...KEYS, CLIENT_LIMITS: list }), ['CLIENT_LIMITS'], list);
    }
  });

  it('refuses a limit for nobody: a name with a typing error would limit nobody, silently', () => {
    const [mistake = ''] = mistakesOf({ ...KEYS, CLIENT_LIMITS: 'team-a=1rpm,taem-b=1rpm' });
    assert.match(mistake, /^CLIENT_LIMITS: .*nobody has the name at place 2$/);
    assert.deepEqual(blamed({ ...LEAST, CLIENT_LIMITS: 'team-a=1rpm' }), ['CLIENT_LIMITS']);
    assert.deepEqual(blamed({ ...LEAST, CLIENT_LIMITS: 'anonymous=1rpm,*=1rpm' }), []);
    assert.deepEqual(blamed({ ...KEYS, CLIENT_LIMITS: 'anonymous=1rpm' }), ['CLIENT_LIMITS']);
  });

  it('knows clients with tokens by their names on the list, or, without a list, by any id', () => {
    assert.deepEqual(blamed({ ...ENTRA, CLIENT_LIMITS: `${APP}=1rpm` }), []);
    assert.deepEqual(blamed({ ...ENTRA, CLIENT_LIMITS: `${APP.toUpperCase()}=1rpm` }), ['CLIENT_LIMITS']);
    const listed = { ...ENTRA, ENTRA_ALLOWED_CLIENTS: `chat-app=${APP},${PERSON}` };
    assert.deepEqual(blamed({ ...listed, CLIENT_LIMITS: `chat-app=1rpm,${PERSON}=1rpm` }), []);
    assert.deepEqual(blamed({ ...listed, CLIENT_LIMITS: `${APP}=1rpm` }), ['CLIENT_LIMITS']);
  });
});

describe('config: one error for everything', () => {
  it('lists every mistake at once', () => {
    const env = {
      PORT: 'http',
      LOG_FORMAT: 'xml',
      DRAIN_SECONDS: 'long',
      BACKEND_1_URL: 'nowhere',
      BACKEND_1_WEIGHT: '0',
      BACKEND_2_URL: 'https://two.openai.azure.com',
      BACKEND_3_PRIORITY: '1',
      BACKEND_4_FOO: 'x',
      AFFINITY: 'on',
      ENTRA_TENANT_ID: 'x',
    };
    assert.deepEqual(blamed(env).toSorted(), [
      'AFFINITY',
      'BACKEND_1_URL',
      'BACKEND_1_WEIGHT',
      'BACKEND_3_URL',
      'BACKEND_4_FOO',
      'DRAIN_SECONDS',
      'ENTRA_TENANT_ID',
      'LOG_FORMAT',
      'PORT',
    ]);
  });

  it('counts the mistakes', () => {
    assert.throws(() => readConfig({ ...LEAST, PORT: 'x' }), /^ConfigError: The settings have a mistake:\n- PORT: /);
    assert.throws(
      () => readConfig({ ...LEAST, PORT: 'x', LOG_FORMAT: 'y' }),
      /^ConfigError: The settings have 2 mistakes:\n- PORT: .*\n- LOG_FORMAT: /,
    );
  });

  it('lists missing client keys beside other mistakes', () => {
    assert.deepEqual(blamed({ ...LEAST, HOST: '0.0.0.0', PORT: 'http' }).toSorted(), ['CLIENT_API_KEYS', 'PORT']);
  });

  it('lists the missing backend beside other mistakes', () => {
    assert.deepEqual(blamed({ PORT: 'http' }).toSorted(), ['BACKEND_1_URL', 'PORT']);
    assert.deepEqual(blamed({ AFFINITY: 'on' }).toSorted(), ['AFFINITY', 'BACKEND_1_URL']);
  });

  it('lists what two settings of a backend do to each other beside other mistakes of that backend', () => {
    const env = {
      ...LEAST,
      BACKEND_1_NAME: 'x',
      BACKEND_1_WEIGHT: '0',
      BACKEND_1_DEPLOYMENT_NAME: 'gpt',
      BACKEND_1_DEPLOYMENTS: 'chat=gpt',
      BACKEND_2_URL: 'https://two.openai.azure.com',
      BACKEND_2_NAME: 'x',
    };
    assert.deepEqual(blamed(env).toSorted(), ['BACKEND_1_DEPLOYMENTS', 'BACKEND_1_WEIGHT', 'BACKEND_2_NAME']);
  });

  it('never shows a value: it may be a secret', () => {
    const canary = 'canary-4711';
    const wrong: Env = {
      ...Object.fromEntries(SETTINGS.map((name) => [name, `${canary} ü`])),
      CLIENT_API_KEYS: `a=${canary},b=${canary}`,
      OPERATOR_KEYS: `${canary} x=${canary}`,
      BACKEND_1_URL: `https://user:${canary}@one.openai.azure.com`,
      BACKEND_1_APIKEY: `${canary} with a blank`,
      BACKEND_1_WEIGHT: canary,
      BACKEND_1_NAME: `${canary}/`,
      BACKEND_1_DEPLOYMENTS: canary,
      BACKEND_2_FOO: canary,
      BACKEND_3_URL: canary,
    };
    const mistakes = mistakesOf(wrong);
    assert.ok(mistakes.length >= SETTINGS.length);
    assert.ok(!mistakes.join('\n').includes('canary'));
  });
});
