// What `azd provision` would deploy, by the settings: the template expanded without Azure. Here the whole, the resources and the roles;
// the fronts are in expanded-app.test.ts and expanded-apim.test.ts.

import assert from 'node:assert/strict';
import { NEW_ENVIRONMENT, provision, type Settings } from './bicep/azd.ts';
import {
  all,
  before,
  GROUP,
  IDENTITY,
  IDENTITY_PRINCIPAL_ID,
  idOf,
  only,
  TAGS,
  TOKEN,
  whole,
} from './bicep/deployed.ts';
import { expandBicep, SUBSCRIPTION, TENANT_ID, type Expansion } from './bicep/expand.ts';
import { BicepError } from './bicep/syntax.ts';
import { asList, at, guid, isRecord, show, uniqueString, type Value, type Values } from './bicep/values.ts';

const ACCOUNT = 'Microsoft.CognitiveServices/accounts';
const DEPLOYMENT = `${ACCOUNT}/deployments`;
const ROLE_ASSIGNMENT = 'Microsoft.Authorization/roleAssignments';

const MANY_BACKENDS = JSON.stringify([
  { url: 'https://provisioned.openai.azure.com/', priority: 1, deployments: 'gpt-5.4-mini=ptu' },
  { location: 'East US 2', priority: 2, weight: 3, capacity: 100, sku: 'ProvisionedManaged' },
  { location: ' swedencentral', priority: 2 },
  { location: 'eastus2', priority: 3, weight: 5 },
  { url: 'https://brought.openai.azure.com' },
]);

function backends(...items: readonly Values[]): Settings {
  return { OPENAI_BACKENDS: JSON.stringify(items) };
}

/** The parameters that have no default. */
const LEAST: Values = { environmentName: 'dev', location: 'northeurope' };

/** The parts that each front brings, by type. */
const ALWAYS = [
  'Microsoft.Resources/resourceGroups',
  'Microsoft.ManagedIdentity/userAssignedIdentities',
  'Microsoft.OperationalInsights/workspaces',
  'Microsoft.Insights/components',
  ROLE_ASSIGNMENT,
  ACCOUNT,
  DEPLOYMENT,
];
const OF_APP = [
  'Microsoft.ContainerRegistry/registries',
  'Microsoft.App/managedEnvironments',
  'Microsoft.Insights/diagnosticSettings',
  'Microsoft.Insights/workbooks',
  'Microsoft.App/containerApps',
];
const OF_APIM = [
  'service',
  'service/backends',
  'service/policyFragments',
  'service/apis',
  'service/apis/operations',
  'service/apis/policies',
  'service/loggers',
  'service/diagnostics',
].map((end) => `Microsoft.ApiManagement/${end}`);
const SUBSCRIPTIONS = 'Microsoft.ApiManagement/service/subscriptions';

function accountNames(expansion: Expansion): readonly string[] {
  return all(expansion, ACCOUNT).map(({ name }) => name);
}

/** Resource → deployments as `name model version sku capacity`. */
function deploymentsOf(expansion: Expansion): readonly (readonly string[])[] {
  return all(expansion, ACCOUNT).map((account) =>
    all(expansion, DEPLOYMENT)
      .filter(({ scope }) => scope === account.id)
      .map(({ name, body }) => {
        const model = at(body, 'properties', 'model');
        return [name, at(model, 'name'), at(model, 'version'), at(body, 'sku', 'name'), at(body, 'sku', 'capacity')]
          .map(show)
          .join(' ');
      }),
  );
}

/** Where in it a word stands, however it is written: `app/app.properties.configuration…`. */
function placesOf(word: string, value: Value, place = ''): readonly string[] {
  const has = (text: string): boolean => text.toUpperCase().includes(word);
  if (typeof value === 'string') return has(value) ? [place] : [];
  if (Array.isArray(value)) return asList(value).flatMap((item, i) => placesOf(word, item, `${place}[${i}]`));
  if (!isRecord(value)) return [];
  return Object.entries(value).flatMap(([key, inner]) => [
    ...(has(key) ? [`${place}.${key} as a name`] : []),
    ...placesOf(word, inner, `${place}.${key}`),
  ]);
}

describe('what azd deploys', () => {
  for (const [what, settings, parts] of [
    ['the container front, by default', {}, [...ALWAYS, ...OF_APP]],
    ['the container front for LOAD_BALANCER=aca', { LOAD_BALANCER: 'aca' }, [...ALWAYS, ...OF_APP]],
    ['API Management alone for apim', { LOAD_BALANCER: 'apim' }, [...ALWAYS, ...OF_APIM]],
    ['both fronts for both', { LOAD_BALANCER: 'both' }, [...ALWAYS, ...OF_APP, ...OF_APIM]],
    [
      'subscriptions beside API Management only where there are client keys',
      { LOAD_BALANCER: 'apim', CLIENT_API_KEYS: 'a=key' },
      [...ALWAYS, ...OF_APIM, SUBSCRIPTIONS],
    ],
  ] as const) {
    it(`is ${what}`, () => {
      const types = new Set(provision(settings).resources.map(({ type }) => type));
      assert.deepEqual([...types].toSorted(), parts.toSorted());
    });
  }

  it('is in one group, that of the environment', () => {
    const expansion = provision({ LOAD_BALANCER: 'both' });
    assert.deepEqual(whole(only(expansion, 'Microsoft.Resources/resourceGroups')), {
      name: 'rg-dev',
      scope: SUBSCRIPTION,
      location: 'northeurope',
      tags: TAGS,
    });
    for (const { id, path } of expansion.resources) assert.ok(id.startsWith(GROUP), path);
  });

  it('has the region of the environment, but for the Azure OpenAI resources', () => {
    for (const { type, body, path } of provision({ LOAD_BALANCER: 'both' }).resources) {
      if (body['location'] !== undefined && type !== ACCOUNT) assert.equal(body['location'], 'northeurope', path);
    }
  });

  it('has the tag of the environment wherever it has a region; one thing is marked for azd to deploy to', () => {
    const { resources } = provision({ LOAD_BALANCER: 'both' });
    for (const { type, body, path } of resources) {
      const isApp = type === 'Microsoft.App/containerApps';
      const expected = isApp ? { ...TAGS, 'azd-service-name': 'app' } : TAGS;
      assert.deepEqual(body['tags'], body['location'] === undefined ? undefined : expected, path);
    }
  });

  it('has names by the environment, the subscription and the region', () => {
    const named = (settings: Settings): string => only(provision(settings), 'Microsoft.App/containerApps').name;
    assert.equal(named({}), `ca-${uniqueString(SUBSCRIPTION, 'dev', 'northeurope')}`);
    assert.equal(named({ AZURE_ENV_NAME: 'prod' }), `ca-${uniqueString(SUBSCRIPTION, 'prod', 'northeurope')}`);
    assert.equal(named({ AZURE_LOCATION: 'westus' }), `ca-${uniqueString(SUBSCRIPTION, 'dev', 'westus')}`);
    assert.deepEqual(new Set(accountNames(provision()).map((name) => name.split('-')[1])), new Set([TOKEN]));
  });

  for (const [settings, what] of [
    [{ LOAD_BALANCER: 'all' }, 'loadBalancer'],
    [{ OPENAI_CAPACITY: '0' }, 'openAiCapacity'],
    [{ EMBEDDING_CAPACITY: '0' }, 'embeddingCapacity'],
    [{ MIN_REPLICAS: '0' }, 'minReplicas'],
    [{ MAX_REPLICAS: '0' }, 'maxReplicas'],
    [{ MAX_REPLICAS: '1001' }, 'maxReplicas'],
    [{ APIM_SKU: 'Consumption', LOAD_BALANCER: 'apim' }, 'apimSku'],
    [{ CHAT_MODEL_SKU: 'Global' }, 'chatModelSku'],
    [{ EMBEDDING_MODEL_SKU: 'Global' }, 'embeddingModelSku'],
    [{ AZURE_ENV_NAME: '' }, 'environmentName'],
    [{ AZURE_ENV_NAME: 'x'.repeat(65) }, 'environmentName'],
    [{ AZURE_LOCATION: '' }, 'location'],
    [backends({ location: 'eastus2', regions: 'x' }), 'openAiBackends'],
    [backends({ location: 'eastus2', priority: 0 }), 'openAiBackends'],
    [backends({ location: 'eastus2', priority: 101 }), 'openAiBackends'],
    [backends({ location: 'eastus2', weight: 0 }), 'openAiBackends'],
    [backends({ location: 'eastus2', weight: 101 }), 'openAiBackends'],
    [backends({ location: 'eastus2', weight: '1' }), 'openAiBackends'],
    [backends({ location: 'eastus2', capacity: 0 }), 'openAiBackends'],
    [backends({ location: 'eastus2', sku: 'Global' }), 'openAiBackends'],
    [backends(...Array.from({ length: 21 }, () => ({ location: 'eastus2' }))), 'openAiBackends'],
  ] as const) {
    it(`is refused with ${JSON.stringify(settings).slice(0, 100)}`, () => {
      assert.throws(
        () => provision(settings),
        (error) => error instanceof BicepError && error.message.startsWith(`infra/main.bicep: ${what}`),
      );
    });
  }

  for (const name of ['chatModelName', 'chatModelVersion', 'embeddingModelName', 'embeddingModelVersion']) {
    it(`is refused with an empty ${name}, which azd does not pass`, () => {
      assert.throws(() => expandBicep('infra/main.bicep', { ...LEAST, [name]: '' }), BicepError);
    });
  }

  it('is refused with a backend that has neither a region nor a URL, by its number', () => {
    assert.throws(() => provision(backends({ location: 'eastus2' }, {})), {
      message: 'OPENAI_BACKENDS: item 2 needs a location or a url',
    });
  });

  it('may be as little as one of each, with names of one letter', () => {
    const numbers = { OPENAI_CAPACITY: '1', EMBEDDING_CAPACITY: '1', MIN_REPLICAS: '1', MAX_REPLICAS: '1' };
    const chat = { CHAT_MODEL_NAME: 'a', CHAT_MODEL_VERSION: '1' };
    const embedding = { EMBEDDING_MODEL_NAME: 'b', EMBEDDING_MODEL_VERSION: '1' };
    const backend = backends({ location: 'x', priority: 1, weight: 1, capacity: 1 });
    const { resources } = provision({
      AZURE_ENV_NAME: 'd',
      AZURE_LOCATION: 'n',
      ...numbers,
      ...chat,
      ...embedding,
      ...backend,
    });
    assert.equal(resources.filter(({ type }) => type === ACCOUNT).length, 1);
  });

  it('may be as much as the limits say', () => {
    const twenty = Array.from({ length: 20 }, () => ({ location: 'eastus2', priority: 100, weight: 100 }));
    const { resources } = provision({ AZURE_ENV_NAME: 'x'.repeat(64), MAX_REPLICAS: '1000', ...backends(...twenty) });
    assert.equal(resources.filter(({ type }) => type === ACCOUNT).length, 20);
  });

  it('may have each deployment type and each tier that the page names', () => {
    const skus = ['GlobalStandard', 'DataZoneStandard', 'Standard'].concat([
      'GlobalProvisionedManaged',
      'DataZoneProvisionedManaged',
      'ProvisionedManaged',
    ]);
    for (const sku of skus) {
      const expansion = provision({
        CHAT_MODEL_SKU: sku,
        EMBEDDING_MODEL_SKU: sku,
        ...backends({ location: 'x', sku }),
      });
      for (const { body } of all(expansion, DEPLOYMENT)) assert.equal(at(body, 'sku', 'name'), sku);
    }
    for (const tier of ['BasicV2', 'StandardV2', 'Developer', 'Basic', 'Standard', 'Premium']) {
      const service = only(provision({ LOAD_BALANCER: 'apim', APIM_SKU: tier }), 'Microsoft.ApiManagement/service');
      assert.equal(at(service.body, 'sku', 'name'), tier);
    }
  });

  it('is the same without main.parameters.json: its defaults are those of the template', () => {
    assert.deepEqual(expandBicep('infra/main.bicep', LEAST), provision({ AZURE_PRINCIPAL_ID: '' }));
    assert.deepEqual(
      expandBicep('infra/main.bicep', { ...LEAST, openAiLocations: '' }).resources,
      expandBicep('infra/main.bicep', LEAST).resources,
    );
  });

  it('is the same for settings that are empty as for those that are not set', () => {
    const names = [
      'OPENAI_CAPACITY',
      'EMBEDDING_CAPACITY',
      'OPENAI_LOCATIONS',
      'OPENAI_BACKENDS',
      'CLIENT_API_KEYS',
      'LOAD_BALANCER',
      'BALANCER_SETTINGS',
    ];
    assert.deepEqual(provision(Object.fromEntries(names.map((name) => [name, '']))), provision());
  });

  it('is what the template for the checkers asks for, too: the least and the most', () => {
    const { modules, resources } = expandBicep('infra/main.test.bicep', {});
    assert.equal(modules.filter(({ path }) => /^(?:least|most)$/.test(path)).length, 2);
    assert.equal(resources.filter(({ type }) => type === ACCOUNT).length, 6);
  });
});

describe('the Azure OpenAI resources', () => {
  it('are three by default, each in a region of its own, without keys and with a host name of its own', () => {
    const expansion = provision();
    const regions = ['eastus2', 'swedencentral', 'westus3'];
    assert.deepEqual(
      all(expansion, ACCOUNT).map(whole),
      regions.map((region, i) => ({
        name: `openai${i + 1}-${TOKEN}-${region}`,
        scope: GROUP,
        location: region,
        tags: TAGS,
        kind: 'AIServices',
        sku: { name: 'S0' },
        identity: { type: 'SystemAssigned' },
        properties: {
          customSubDomainName: `openai${i + 1}-${TOKEN}-${region}`,
          disableLocalAuth: true,
          publicNetworkAccess: 'Enabled',
        },
      })),
    );
  });

  it('have a chat and an embedding deployment each, made one after the other', () => {
    const expansion = provision();
    const deployment = (name: string, version: string): Value => ({
      name,
      sku: { name: 'GlobalStandard', capacity: 30 },
      properties: { model: { format: 'OpenAI', name, version }, versionUpgradeOption: 'OnceCurrentVersionExpired' },
    });
    assert.deepEqual(
      all(expansion, DEPLOYMENT).map(whole),
      all(expansion, ACCOUNT).flatMap(({ id }) =>
        [deployment('gpt-5.4-mini', '2026-03-17'), deployment('text-embedding-3-large', '1')].map((each) => ({
          ...(isRecord(each) ? each : {}),
          scope: id,
        })),
      ),
    );
    for (const { batchSize } of all(expansion, DEPLOYMENT)) assert.equal(batchSize, 1);
  });

  it('are where OPENAI_LOCATIONS says, however it is written, one region twice too', () => {
    const expansion = provision({ OPENAI_LOCATIONS: 'East US 2, swedencentral,WestUS3 ,eastus2' });
    assert.deepEqual(
      all(expansion, ACCOUNT).map(({ name, body }) => [name, body['location']]),
      ['eastus2', 'swedencentral', 'westus3', 'eastus2'].map((region, i) => [
        `openai${i + 1}-${TOKEN}-${region}`,
        region,
      ]),
    );
  });

  it('are what OPENAI_BACKENDS says: made where it has a region, and left alone where it has a URL', () => {
    const expansion = provision({ OPENAI_BACKENDS: MANY_BACKENDS, OPENAI_CAPACITY: '50', EMBEDDING_CAPACITY: '7' });
    assert.deepEqual(accountNames(expansion), [
      `openai2-${TOKEN}-eastus2`,
      `openai3-${TOKEN}-swedencentral`,
      `openai4-${TOKEN}-eastus2`,
    ]);
    assert.deepEqual(
      all(expansion, ACCOUNT).map(({ body }) => body['location']),
      ['eastus2', 'swedencentral', 'eastus2'],
    );
    const embedding = 'text-embedding-3-large text-embedding-3-large 1 GlobalStandard 7';
    assert.deepEqual(deploymentsOf(expansion), [
      ['gpt-5.4-mini gpt-5.4-mini 2026-03-17 ProvisionedManaged 100', embedding],
      ['gpt-5.4-mini gpt-5.4-mini 2026-03-17 GlobalStandard 50', embedding],
      ['gpt-5.4-mini gpt-5.4-mini 2026-03-17 GlobalStandard 50', embedding],
    ]);
    assert.equal(all(expansion, ROLE_ASSIGNMENT).filter(({ scope }) => scope.includes('accounts')).length, 3);
  });

  it('are never those of OPENAI_LOCATIONS beside OPENAI_BACKENDS', () => {
    const settings = { OPENAI_BACKENDS: '[{"location":"uksouth"}]', OPENAI_LOCATIONS: 'eastus2,swedencentral' };
    assert.deepEqual(accountNames(provision(settings)), [`openai1-${TOKEN}-uksouth`]);
  });

  it('have the capacity of OPENAI_CAPACITY for both models', () => {
    for (const [chat = '', embedding = ''] of deploymentsOf(provision({ OPENAI_CAPACITY: '50' }))) {
      assert.match(chat, /^gpt-5\.4-mini .* 50$/);
      assert.match(embedding, /^text-embedding-3-large .* 50$/);
    }
  });

  it('have another capacity for embeddings by EMBEDDING_CAPACITY', () => {
    for (const [chat = '', embedding = ''] of deploymentsOf(provision({ EMBEDDING_CAPACITY: '120' }))) {
      assert.match(chat, / 30$/);
      assert.match(embedding, / 120$/);
    }
  });

  it('have the models, versions and deployment types of the settings', () => {
    const expansion = provision({
      CHAT_MODEL_NAME: 'gpt-6',
      CHAT_MODEL_VERSION: '2026-09-01',
      CHAT_MODEL_SKU: 'DataZoneStandard',
      EMBEDDING_MODEL_NAME: 'embedding-4',
      EMBEDDING_MODEL_VERSION: '2',
      EMBEDDING_MODEL_SKU: 'Standard',
    });
    for (const deployments of deploymentsOf(expansion)) {
      assert.deepEqual(deployments, [
        'gpt-6 gpt-6 2026-09-01 DataZoneStandard 30',
        'embedding-4 embedding-4 2 Standard 30',
      ]);
    }
    assert.equal(expansion.outputs['AZURE_OPENAI_CHAT_DEPLOYMENT'], 'gpt-6');
    assert.equal(expansion.outputs['AZURE_OPENAI_EMBEDDING_DEPLOYMENT'], 'embedding-4');
  });

  it('may have deployments that are called otherwise than their models', () => {
    const deployments = [{ name: 'chat', model: 'gpt-6', version: '1', sku: 'Standard', capacity: 1 }];
    const parameters = { name: 'one', location: 'eastus2', tags: {}, deployments, principalId: 'somebody' };
    const expansion = expandBicep('infra/modules/openai.bicep', parameters, GROUP);
    assert.deepEqual(deploymentsOf(expansion), [['chat gpt-6 1 Standard 1']]);
  });

  it('stay what they are when another is added behind them', () => {
    const three = provision({ OPENAI_LOCATIONS: 'eastus2,swedencentral,westus3' });
    const four = provision({ OPENAI_LOCATIONS: 'eastus2,swedencentral,westus3,uksouth' });
    const ids = new Set(four.resources.map(({ id }) => id));
    assert.deepEqual(
      three.resources.filter(({ id }) => !ids.has(id)),
      [],
    );
  });
});

describe('the roles', () => {
  const roles: readonly (readonly [string, string, (expansion: Expansion) => readonly string[]])[] = [
    [
      '5e0bd9bd-7b93-4f28-af87-19fc36ad61bd',
      'Cognitive Services OpenAI User',
      (each) => all(each, ACCOUNT).map(({ id }) => id),
    ],
    [
      '7f951dda-4ed3-4680-a7ca-43fe172d538d',
      'AcrPull',
      (each) => all(each, 'Microsoft.ContainerRegistry/registries').map(({ id }) => id),
    ],
    [
      '3913510d-42f4-4e42-8a64-420c390055eb',
      'Monitoring Metrics Publisher',
      (each) => all(each, 'Microsoft.Insights/components').map(({ id }) => id),
    ],
  ];

  for (const loadBalancer of ['aca', 'apim', 'both']) {
    it(`are the identity's, one on each resource that it uses, and there are no others: ${loadBalancer}`, () => {
      const expansion = provision({ LOAD_BALANCER: loadBalancer });
      const expected = roles.flatMap(([role, , where]) => {
        const roleDefinitionId = `${SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/${role}`;
        return where(expansion).map((scope) => ({
          name: guid(scope, IDENTITY_PRINCIPAL_ID, roleDefinitionId),
          scope,
          properties: { principalId: IDENTITY_PRINCIPAL_ID, principalType: 'ServicePrincipal', roleDefinitionId },
        }));
      });
      const byScope = (assignments: readonly Value[]): readonly Value[] =>
        assignments.toSorted((a, b) => show(at(a, 'scope')).localeCompare(show(at(b, 'scope'))));
      assert.deepEqual(byScope(all(expansion, ROLE_ASSIGNMENT).map(whole)), byScope(expected));
    });
  }
});

describe('what stands beside the fronts', () => {
  const expansion = provision({ LOAD_BALANCER: 'both' });

  it('is one identity for both', () => {
    const identity = only(expansion, 'Microsoft.ManagedIdentity/userAssignedIdentities');
    assert.deepEqual(whole(identity), { name: `id-${TOKEN}`, scope: GROUP, location: 'northeurope', tags: TAGS });
    assert.equal(identity.id, IDENTITY);
  });

  it('is a place for logs that no key opens, kept for thirty days', () => {
    assert.deepEqual(whole(only(expansion, 'Microsoft.OperationalInsights/workspaces')), {
      name: `log-${TOKEN}`,
      scope: GROUP,
      location: 'northeurope',
      tags: TAGS,
      properties: { sku: { name: 'PerGB2018' }, retentionInDays: 30, features: { disableLocalAuth: true } },
    });
    assert.deepEqual(whole(only(expansion, 'Microsoft.Insights/components')), {
      name: `appi-${TOKEN}`,
      scope: GROUP,
      location: 'northeurope',
      tags: TAGS,
      kind: 'web',
      properties: {
        Application_Type: 'web',
        WorkspaceResourceId: idOf('Microsoft.OperationalInsights/workspaces', `log-${TOKEN}`),
        DisableLocalAuth: true,
      },
    });
  });

  it('is a registry of the smallest tier, with neither an admin user nor anonymous pulls', () => {
    assert.deepEqual(whole(only(expansion, 'Microsoft.ContainerRegistry/registries')), {
      name: `cr${TOKEN}`,
      scope: GROUP,
      location: 'northeurope',
      tags: TAGS,
      sku: { name: 'Basic' },
      properties: { adminUserEnabled: false, anonymousPullEnabled: false },
    });
  });
});

describe('the order', () => {
  it('has every deployment and every role before a front starts', () => {
    const expansion = provision({ LOAD_BALANCER: 'both' });
    const needed = (isNeeded: (path: string) => boolean): readonly string[] =>
      expansion.resources
        .filter(({ type, path }) => [ACCOUNT, DEPLOYMENT, ROLE_ASSIGNMENT].includes(type) && isNeeded(path))
        .map(({ path }) => path);
    for (const [front, isNeeded] of [
      ['app/app', (path: string) => !path.startsWith('monitoring/')],
      ['apim/service', (path: string) => !path.startsWith('registry/')],
    ] as const) {
      const earlier = before(expansion, front);
      const paths = needed(isNeeded);
      assert.ok(paths.length > 9);
      assert.deepEqual(
        paths.filter((path) => !earlier.has(path)),
        [],
        front,
      );
    }
  });

  it('has fragments and pool before the policy that names them, and backends before the pool', () => {
    const expansion = provision({ LOAD_BALANCER: 'apim', CLIENT_API_KEYS: 'a=key' });
    const policy = before(expansion, 'apim/apiPolicy');
    for (const path of ['apim/pool', 'apim/fragment[0]', 'apim/fragment[1]', 'apim/fragment[2]', 'apim/api']) {
      assert.ok(policy.has(path), path);
    }
    for (const n of [0, 1, 2]) assert.ok(before(expansion, 'apim/pool').has(`apim/backend[${n}]`));
    assert.ok(before(expansion, 'apim/client[0]').has('apim/api'));
    assert.ok(before(expansion, 'apim/diagnostics').has('apim/logger'));
  });

  it('never waits for itself', () => {
    const expansion = provision({
      LOAD_BALANCER: 'both',
      CLIENT_API_KEYS: 'a=key',
      SERVICE_APP_RESOURCE_EXISTS: 'true',
    });
    for (const { path } of expansion.resources) assert.ok(!before(expansion, path).has(path), path);
  });
});

describe('the outputs', () => {
  const values = (settings: Settings): Value => provision(settings).outputs;
  const always = {
    AZURE_LOCATION: 'northeurope',
    AZURE_TENANT_ID: TENANT_ID,
    AZURE_RESOURCE_GROUP: 'rg-dev',
    AZURE_IDENTITY_PRINCIPAL_ID: IDENTITY_PRINCIPAL_ID,
    AZURE_OPENAI_ENDPOINTS: ['eastus2', 'swedencentral', 'westus3'].map(
      (region, i) => `https://openai${i + 1}-${TOKEN}-${region}.openai.azure.com`,
    ),
    AZURE_OPENAI_CHAT_DEPLOYMENT: 'gpt-5.4-mini',
    AZURE_OPENAI_EMBEDDING_DEPLOYMENT: 'text-embedding-3-large',
    AZURE_LOG_ANALYTICS_WORKSPACE_NAME: `log-${TOKEN}`,
  };
  const ofApp = {
    AZURE_CONTAINER_REGISTRY_ENDPOINT: `{{cr${TOKEN}.properties.loginServer}}`,
    AZURE_CONTAINER_APP_NAME: `ca-${TOKEN}`,
    CONTAINER_APP_URL: `https://{{ca-${TOKEN}.properties.configuration.ingress.fqdn}}`,
  };
  const noApp = { AZURE_CONTAINER_REGISTRY_ENDPOINT: '', AZURE_CONTAINER_APP_NAME: '', CONTAINER_APP_URL: '' };
  const ofApim = { APIM_GATEWAY_URL: `{{apim-${TOKEN}.properties.gatewayUrl}}` };

  it('tell where things are, and are empty for what is not deployed', () => {
    assert.deepEqual(values({}), { ...always, ...ofApp, APIM_GATEWAY_URL: '' });
    assert.deepEqual(values({ LOAD_BALANCER: 'apim' }), { ...always, ...noApp, ...ofApim });
    assert.deepEqual(values({ LOAD_BALANCER: 'both' }), { ...always, ...ofApp, ...ofApim });
    assert.deepEqual(values({ ENTRA_TENANT_ID: 'another' }), values({}));
  });

  it('tell the resources that are brought along beside those that are made, without a slash at the end', () => {
    assert.deepEqual(provision({ OPENAI_BACKENDS: MANY_BACKENDS }).outputs['AZURE_OPENAI_ENDPOINTS'], [
      'https://provisioned.openai.azure.com',
      `https://openai2-${TOKEN}-eastus2.openai.azure.com`,
      `https://openai3-${TOKEN}-swedencentral.openai.azure.com`,
      `https://openai4-${TOKEN}-eastus2.openai.azure.com`,
      'https://brought.openai.azure.com',
    ]);
  });
});

describe('secret values', () => {
  const settings = {
    LOAD_BALANCER: 'both',
    CLIENT_API_KEYS: 'team-a=CANARY-1,team-b=CANARY-2',
    OPERATOR_KEYS: 'alice=CANARY-3',
  };
  const expansion = provision(settings);

  it('are in secrets of the container app and keys of subscriptions, and nowhere else', () => {
    const places = expansion.resources.flatMap(({ path, name, body }) => placesOf('CANARY', { name, ...body }, path));
    const secrets = 'app/app.properties.configuration.secrets';
    assert.deepEqual(places.toSorted(), [
      'apim/client[0].properties.primaryKey',
      'apim/client[1].properties.primaryKey',
      `${secrets}[0].value`,
      `${secrets}[1].value`,
    ]);
    for (const { path, outputs } of expansion.modules) assert.deepEqual(placesOf('CANARY', outputs), [], path);
  });

  it('go through parameters that are marked as secure only: others are in the log of deployments', () => {
    for (const { path, parameters, secure } of expansion.modules) {
      const found = Object.entries(parameters).filter(([, value]) => placesOf('CANARY', value).length > 0);
      assert.deepEqual(found.map(([name]) => name).toSorted(), secure.toSorted(), path);
    }
    assert.deepEqual(expansion.modules.at(-1)?.secure, ['clientApiKeys', 'operatorKeys']);
  });

  it('are not even in a name without their hash', () => {
    const ids = all(expansion, SUBSCRIPTIONS).map(({ name }) => name);
    assert.deepEqual(
      ids,
      ['CANARY-1', 'CANARY-2'].map((key) => `client-key-${uniqueString(GROUP, key)}`),
    );
  });
});

describe('a deployment that is run again', () => {
  it('is the same when nothing has changed but that the app is there now', () => {
    const settings = { LOAD_BALANCER: 'both', CLIENT_API_KEYS: 'a=key' };
    const first = provision(settings);
    const again = provision({ ...settings, SERVICE_APP_RESOURCE_EXISTS: 'true' });
    const image = (expansion: Expansion): Value =>
      at(only(expansion, 'Microsoft.App/containerApps').body, 'properties', 'template', 'containers', 0, 'image');
    const without = (expansion: Expansion): string =>
      JSON.stringify(expansion.resources).replace(show(image(expansion)), '');
    assert.equal(without(again), without(first));
    assert.equal(image(again), `{{ca-${TOKEN}.properties.template.containers[0].image}}`);
    assert.equal(image(first), 'mcr.microsoft.com/dotnet/samples:aspnetapp');
    assert.deepEqual(again.outputs, first.outputs);
  });

  it('keeps all names when a setting changes', () => {
    const names = (settings: Settings): readonly string[] =>
      provision({ LOAD_BALANCER: 'both', ...settings }).resources.map(({ id }) => id);
    const changed = {
      OPENAI_CAPACITY: '50',
      MAX_REPLICAS: '20',
      CHAT_MODEL_VERSION: '2',
      OPERATOR_KEYS: 'a=key',
      APIM_SKU: 'StandardV2',
    };
    assert.deepEqual(names(changed), names({}));
    assert.deepEqual(names({ AZURE_PRINCIPAL_ID: NEW_ENVIRONMENT['AZURE_ENV_NAME'] ?? '' }), names({}));
  });
});
