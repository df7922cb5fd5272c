// The container app as `azd provision` would deploy it, by the settings, and what the balancer makes of it.

import assert from 'node:assert/strict';
import { readConfig, type Config } from '../../app/src/config.ts';
import { NEW_ENVIRONMENT, provision, type Settings } from './bicep/azd.ts';
import { GROUP, IDENTITY, IDENTITY_CLIENT_ID, idOf, only, TAGS, TOKEN, whole } from './bicep/deployed.ts';
import { TENANT_ID, type Expansion } from './bicep/expand.ts';
import { asList, asText, at, type Value } from './bicep/values.ts';

const PLACEHOLDER = 'mcr.microsoft.com/dotnet/samples:aspnetapp';
const CLIENT_ID = 'ffffffff-2222-4333-8444-555555555555';
/** Azure knows it. */
const INSIGHTS = `{{appi-${TOKEN}.properties.ConnectionString}}`;
const CONNECTION_STRING = `InstrumentationKey=${CLIENT_ID};IngestionEndpoint=https://northeurope-2.in.applicationinsights.azure.com/`;
const PERSON = 'eeeeeeee-2222-4333-8444-555555555555';
const OTHER_TENANT = 'dddddddd-2222-4333-8444-555555555555';
const URLS = ['eastus2', 'swedencentral', 'westus3'].map(
  (region, i) => `https://openai${i + 1}-${TOKEN}-${region}.openai.azure.com`,
);

function appOf(settings: Settings = {}): Value {
  return only(provision(settings), 'Microsoft.App/containerApps').body;
}

function containerOf(app: Value): Value {
  const containers = asList(at(app, 'properties', 'template', 'containers'));
  assert.equal(containers.length, 1);
  return containers[0] ?? null;
}

/** Name → value, or `secret: NAME`. */
function variablesOf(app: Value): Readonly<Record<string, string>> {
  const pairs = asList(at(containerOf(app), 'env')).map((entry) => {
    const secret = at(entry, 'secretRef');
    const value = secret === null ? asText(at(entry, 'value')) : `secret: ${asText(secret)}`;
    assert.notEqual(value, '', 'Container Apps refuses empty values');
    return [asText(at(entry, 'name')), value] as const;
  });
  assert.equal(new Set(pairs.map(([name]) => name)).size, pairs.length);
  return Object.fromEntries(pairs);
}

function secretsOf(app: Value): Readonly<Record<string, string>> {
  const secrets = asList(at(app, 'properties', 'configuration', 'secrets'));
  return Object.fromEntries(secrets.map((secret) => [asText(at(secret, 'name')), asText(at(secret, 'value'))]));
}

/** What the balancer reads in the container. */
function configOf(settings: Settings): Config {
  const app = appOf(settings);
  const secrets = secretsOf(app);
  const used = new Set<string>();
  const env = Object.entries(variablesOf(app)).map(([name, value]) => {
    const secret = value.startsWith('secret: ') ? value.slice('secret: '.length) : undefined;
    if (secret !== undefined) used.add(secret);
    const given = secret === undefined ? value.replace(IDENTITY_CLIENT_ID, CLIENT_ID) : secrets[secret];
    const known = given === INSIGHTS ? CONNECTION_STRING : given;
    assert.ok(known !== undefined && !known.includes('{{'), `${name} is ${known}`);
    return [name, known] as const;
  });
  assert.deepEqual([...used].toSorted(), Object.keys(secrets).toSorted());
  return readConfig(Object.fromEntries(env));
}

describe('the container app', () => {
  it('is one app in its environment, with the identity that may pull its image', () => {
    const { name, scope, body } = only(provision(), 'Microsoft.App/containerApps');
    const { properties, ...rest } = body;
    assert.deepEqual(
      { name, scope, ...rest },
      {
        name: `ca-${TOKEN}`,
        scope: GROUP,
        location: 'northeurope',
        tags: { ...TAGS, 'azd-service-name': 'app' },
        identity: { type: 'UserAssigned', userAssignedIdentities: { [IDENTITY]: {} } },
      },
    );
    const { environmentId, workloadProfileName, configuration, template, ...others } = Object(properties);
    assert.deepEqual(others, {});
    assert.equal(environmentId, idOf('Microsoft.App/managedEnvironments', `cae-${TOKEN}`));
    assert.equal(workloadProfileName, 'Consumption');
    assert.deepEqual(configuration, {
      activeRevisionsMode: 'Single',
      ingress: { external: true, targetPort: 8080, transport: 'auto', allowInsecure: false },
      registries: [{ server: `{{cr${TOKEN}.properties.loginServer}}`, identity: IDENTITY }],
      secrets: [{ name: 'insights-connection-string', value: INSIGHTS }],
    });
    assert.deepEqual(Object.keys(template).toSorted(), ['containers', 'scale', 'terminationGracePeriodSeconds']);
    assert.equal(template.terminationGracePeriodSeconds, 600);
  });

  it('has one container of half a processor, started with the image that answers as the balancer does', () => {
    const { env, probes, ...container } = Object(containerOf(appOf()));
    assert.deepEqual(container, { name: 'app', image: PLACEHOLDER, resources: { cpu: 0.5, memory: '1Gi' } });
    assert.ok(env.length > 0 && probes.length > 0);
  });

  it('keeps the image that runs when it is there already', () => {
    const image = (exists: string): Value => at(containerOf(appOf({ SERVICE_APP_RESOURCE_EXISTS: exists })), 'image');
    assert.equal(image('true'), `{{ca-${TOKEN}.properties.template.containers[0].image}}`);
    assert.equal(image('false'), PLACEHOLDER);
    assert.equal(image(''), PLACEHOLDER);
  });

  it('is probed at /healthz on its port, and has fifty seconds to start', () => {
    const httpGet = { path: '/healthz', port: 8080 };
    assert.deepEqual(at(containerOf(appOf()), 'probes'), [
      { type: 'Startup', httpGet, initialDelaySeconds: 1, periodSeconds: 5, timeoutSeconds: 2, failureThreshold: 10 },
      { type: 'Liveness', httpGet, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 3 },
      { type: 'Readiness', httpGet, periodSeconds: 5, timeoutSeconds: 3, failureThreshold: 3 },
    ]);
  });

  for (const [what, settings, minReplicas, maxReplicas] of [
    ['one to ten replicas', {}, 1, 10],
    ['as few and as many as the settings say', { MIN_REPLICAS: '2', MAX_REPLICAS: '20' }, 2, 20],
    ['the default for what is no number, as azd passes it', { MIN_REPLICAS: 'two' }, 1, 10],
  ] as const) {
    it(`has ${what}, and one more for each hundred requests at a time`, () => {
      assert.deepEqual(at(appOf(settings), 'properties', 'template', 'scale'), {
        minReplicas,
        maxReplicas,
        rules: [{ name: 'requests', http: { metadata: { concurrentRequests: '100' } } }],
      });
    });
  }

  it('has these variables by default, and no more', () => {
    const backends = URLS.flatMap((url, i) => [
      [`BACKEND_${i + 1}_URL`, url],
      [`BACKEND_${i + 1}_NAME`, `openai${i + 1}`],
      [`BACKEND_${i + 1}_PRIORITY`, '1'],
      [`BACKEND_${i + 1}_WEIGHT`, '1'],
    ]);
    assert.deepEqual(variablesOf(appOf()), {
      APPLICATIONINSIGHTS_CONNECTION_STRING: 'secret: insights-connection-string',
      APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'Authorization=AAD',
      HOST: '0.0.0.0',
      PORT: '8080',
      DRAIN_SECONDS: '570',
      AZURE_CLIENT_ID: IDENTITY_CLIENT_ID,
      AZURE_TOKEN_CREDENTIALS: 'ManagedIdentityCredential',
      DEPLOYMENT_ALIASES: 'chat=gpt-5.4-mini,embedding=text-embedding-3-large',
      ENTRA_TENANT_ID: TENANT_ID,
      ENTRA_ALLOWED_OPERATORS: `deployer=${NEW_ENVIRONMENT['AZURE_PRINCIPAL_ID']}`,
      ...Object.fromEntries(backends),
    });
  });

  it('has what the settings say besides, keys in secrets', () => {
    const plain = variablesOf(appOf());
    const app = appOf({
      CLIENT_API_KEYS: 'team-a=client-key-of-some-length',
      OPERATOR_KEYS: 'alice=operator-key-of-some-length',
      CLIENT_LIMITS: 'team-a=50000tpm:300rpm',
      ENTRA_TENANT_ID: `${OTHER_TENANT},${TENANT_ID}`,
      ENTRA_ALLOWED_CLIENTS: `chat-app=${CLIENT_ID}`,
      ENTRA_ALLOWED_OPERATORS: `bob=${PERSON}`,
    });
    assert.deepEqual(variablesOf(app), {
      ...plain,
      ENTRA_TENANT_ID: `${OTHER_TENANT},${TENANT_ID}`,
      CLIENT_LIMITS: 'team-a=50000tpm:300rpm',
      ENTRA_ALLOWED_CLIENTS: `chat-app=${CLIENT_ID}`,
      ENTRA_ALLOWED_OPERATORS: `bob=${PERSON}`,
      CLIENT_API_KEYS: 'secret: client-api-keys',
      OPERATOR_KEYS: 'secret: operator-keys',
    });
    assert.deepEqual(secretsOf(app), {
      'client-api-keys': 'team-a=client-key-of-some-length',
      'operator-keys': 'alice=operator-key-of-some-length',
      'insights-connection-string': INSIGHTS,
    });
  });

  it('has the further settings of the balancer after all others, split at their first equals sign', () => {
    const before = Object.entries(variablesOf(appOf()));
    const app = appOf({ BALANCER_SETTINGS: ' AFFINITY=prefix  MAX_HOLD_SECONDS=5 OF_LATER=a=b,c= ' });
    assert.deepEqual(Object.entries(variablesOf(app)), [
      ...before,
      ['AFFINITY', 'prefix'],
      ['MAX_HOLD_SECONDS', '5'],
      ['OF_LATER', 'a=b,c='],
    ]);
    assert.deepEqual(variablesOf(appOf({ BALANCER_SETTINGS: ' ' })), Object.fromEntries(before));
  });

  const taken = ['HOST', 'PORT', 'DRAIN_SECONDS', 'AZURE_CLIENT_ID', 'AZURE_TOKEN_CREDENTIALS', 'DEPLOYMENT_ALIASES']
    .concat(['ENTRA_TENANT_ID', 'ENTRA_ALLOWED_CLIENTS', 'ENTRA_ALLOWED_OPERATORS', 'CLIENT_LIMITS'])
    .concat(['CLIENT_API_KEYS', 'OPERATOR_KEYS', 'BACKEND_1_URL', 'BACKEND_3_WEIGHT']);
  for (const item of [...taken.map((name) => `${name}=1`), 'AFFINITY', 'AFFINITY=', '=prefix', '=']) {
    it(`is not deployed with the further setting ${item}`, () => {
      assert.throws(() => appOf({ BALANCER_SETTINGS: `LOG_FORMAT=json ${item}` }), {
        message: 'BALANCER_SETTINGS: item 2 must be NAME=value, and no setting that the template makes itself',
      });
    });
  }

  it('has neither a secret nor its variable for keys that are not set', () => {
    for (const [name, secret] of [
      ['CLIENT_API_KEYS', 'client-api-keys'],
      ['OPERATOR_KEYS', 'operator-keys'],
    ] as const) {
      const app = appOf({ [name]: 'somebody=key-of-some-length' });
      assert.deepEqual(Object.keys(secretsOf(app)), [secret, 'insights-connection-string']);
      const keys = Object.entries(variablesOf(app)).filter(([, value]) => value.startsWith('secret: '));
      assert.deepEqual(Object.fromEntries(keys), {
        APPLICATIONINSIGHTS_CONNECTION_STRING: 'secret: insights-connection-string',
        [name]: `secret: ${secret}`,
      });
    }
  });

  it('lets nobody read its status by token when azd does not know who deploys', () => {
    assert.equal(variablesOf(appOf({ AZURE_PRINCIPAL_ID: '' }))['ENTRA_ALLOWED_OPERATORS'], undefined);
  });

  it('has its environment log to the workspace without a key: what the app and the platform say', () => {
    const expansion: Expansion = provision();
    const environment = only(expansion, 'Microsoft.App/managedEnvironments');
    assert.deepEqual(
      [environment.name, environment.body],
      [
        `cae-${TOKEN}`,
        {
          location: 'northeurope',
          tags: TAGS,
          properties: {
            appLogsConfiguration: { destination: 'azure-monitor' },
            workloadProfiles: [{ name: 'Consumption', workloadProfileType: 'Consumption' }],
          },
        },
      ],
    );
    const logs = only(expansion, 'Microsoft.Insights/diagnosticSettings');
    assert.deepEqual(whole(logs), {
      name: 'logs',
      scope: environment.id,
      properties: {
        workspaceId: idOf('Microsoft.OperationalInsights/workspaces', `log-${TOKEN}`),
        logs: [
          { category: 'ContainerAppConsoleLogs', enabled: true },
          { category: 'ContainerAppSystemLogs', enabled: true },
        ],
      },
    });
  });
});

describe('the balancer in the container', () => {
  it('starts with the default settings: three resources, the tokens of the tenant, the identity', () => {
    const config = configOf({});
    assert.deepEqual(
      config.backends,
      URLS.map((origin, i) => ({ name: `openai${i + 1}`, origin, priority: 1, weight: 1, byIdentity: true })),
    );
    assert.equal(config.backendKeys.size, 0);
    assert.equal(config.azureClientId, CLIENT_ID);
    assert.deepEqual([config.host, config.port, config.drainMs], ['0.0.0.0', 8080, 570_000]);
    assert.deepEqual(
      [...config.aliases],
      [
        ['chat', 'gpt-5.4-mini'],
        ['embedding', 'text-embedding-3-large'],
      ],
    );
    assert.equal(config.allowAnonymous, false);
    assert.deepEqual([config.clientKeys, config.operatorKeys], [[], []]);
    assert.deepEqual([...new Set(config.entra?.trust.issuers.map(({ tenantId }) => tenantId))], [TENANT_ID]);
    assert.equal(config.entra?.allowedClients, undefined);
    assert.deepEqual(
      [...(config.entra?.allowedOperators ?? [])],
      [[NEW_ENVIRONMENT['AZURE_PRINCIPAL_ID'], 'deployer']],
    );
  });

  it('starts with the other models under their old names', () => {
    const { aliases } = configOf({ CHAT_MODEL_NAME: 'gpt-6', EMBEDDING_MODEL_NAME: 'embedding-4' });
    assert.deepEqual(
      [...aliases],
      [
        ['chat', 'gpt-6'],
        ['embedding', 'embedding-4'],
      ],
    );
  });

  it('asks a provisioned resource that was brought along first, by its own names of deployments', () => {
    const { backends } = configOf({
      OPENAI_BACKENDS: JSON.stringify([
        { url: 'https://provisioned.openai.azure.com/', priority: 1, deployments: 'gpt-5.4-mini=ptu' },
        { location: 'East US 2', priority: 2, weight: 3, capacity: 100, sku: 'ProvisionedManaged' },
        { location: 'swedencentral', priority: 3 },
      ]),
    });
    assert.deepEqual(backends, [
      {
        name: 'openai1',
        origin: 'https://provisioned.openai.azure.com',
        priority: 1,
        weight: 1,
        byIdentity: true,
        deployments: new Map([['gpt-5.4-mini', 'ptu']]),
      },
      {
        name: 'openai2',
        origin: `https://openai2-${TOKEN}-eastus2.openai.azure.com`,
        priority: 2,
        weight: 3,
        byIdentity: true,
      },
      {
        name: 'openai3',
        origin: `https://openai3-${TOKEN}-swedencentral.openai.azure.com`,
        priority: 3,
        weight: 1,
        byIdentity: true,
      },
    ]);
  });

  it('knows clients and operators by their keys, one name with two keys and a key with an equals sign too', () => {
    const { clientKeys, operatorKeys, clientLimits } = configOf({
      CLIENT_API_KEYS: 'team-a=first-key-of-team-a,team-a=second-key-of=team-a=,team-b=key-of-team-b-too',
      OPERATOR_KEYS: 'alice=operator-key-of-alice',
      CLIENT_LIMITS: 'team-a=50000tpm',
    });
    assert.deepEqual(clientKeys, [
      { name: 'team-a', key: 'first-key-of-team-a' },
      { name: 'team-a', key: 'second-key-of=team-a=' },
      { name: 'team-b', key: 'key-of-team-b-too' },
    ]);
    assert.deepEqual(operatorKeys, [{ name: 'alice', key: 'operator-key-of-alice' }]);
    assert.deepEqual([...clientLimits.keys()], ['team-a']);
  });

  it('reads its further settings', () => {
    const plain = configOf({});
    const config = configOf({
      BALANCER_SETTINGS:
        'AFFINITY=prefix PRIORITY_WAIT_MS=0 MAX_HOLD_SECONDS=2.5 LOG_FORMAT=json BACKEND_2_CAPACITY=300',
    });
    assert.deepEqual(config, {
      ...plain,
      affinity: 'prefix',
      priorityWaitMs: 0,
      maxHoldMs: 2500,
      logFormat: 'json',
      backends: plain.backends.map((backend, i) => (i === 1 ? { ...backend, capacity: 300_000 } : backend)),
    });
  });

  it('accepts the tokens of each tenant, of whom the lists allow', () => {
    const { entra } = configOf({
      ENTRA_TENANT_ID: `${TENANT_ID},${OTHER_TENANT}`,
      ENTRA_ALLOWED_CLIENTS: `chat-app=${CLIENT_ID}`,
      ENTRA_ALLOWED_OPERATORS: `bob=${PERSON}`,
    });
    assert.deepEqual([...new Set(entra?.trust.issuers.map(({ tenantId }) => tenantId))], [TENANT_ID, OTHER_TENANT]);
    assert.deepEqual([...(entra?.allowedClients ?? [])], [[CLIENT_ID, 'chat-app']]);
    assert.deepEqual([...(entra?.allowedOperators ?? [])], [[PERSON, 'bob']]);
  });
});
