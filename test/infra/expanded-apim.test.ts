// API Management as `azd provision` would deploy it, by the settings. What its policy does is in policy-run.test.ts.

import assert from 'node:assert/strict';
import { provision, type Settings } from './bicep/azd.ts';
import { all, GROUP, IDENTITY, IDENTITY_CLIENT_ID, idOf, only, TAGS, TOKEN, whole } from './bicep/deployed.ts';
import { TENANT_ID, type ExpandedResource } from './bicep/expand.ts';
import { BicepError } from './bicep/syntax.ts';
import { asText, at, uniqueString, type Value } from './bicep/values.ts';

const TYPE = 'Microsoft.ApiManagement/service';
const SERVICE = idOf(TYPE, `apim-${TOKEN}`);
const OTHER_TENANT = 'dddddddd-2222-4333-8444-555555555555';
const CLIENT_ID = 'ffffffff-2222-4333-8444-555555555555';

function deployed(settings: Settings, end = ''): readonly ExpandedResource[] {
  return all(provision({ LOAD_BALANCER: 'apim', ...settings }), TYPE + end);
}

function one(settings: Settings, end = ''): ExpandedResource {
  return only(provision({ LOAD_BALANCER: 'apim', ...settings }), TYPE + end);
}

function fragment(name: string, settings: Settings): string {
  const found = deployed(settings, '/policyFragments').filter((each) => each.name === name);
  assert.equal(found.length, 1);
  return asText(at(found[0]?.body ?? null, 'properties', 'value'));
}

function policy(settings: Settings): string {
  return asText(at(one(settings, '/apis/policies').body, 'properties', 'value'));
}

describe('API Management', () => {
  it('is one small service with the identity that calls the resources', () => {
    assert.deepEqual(whole(one({})), {
      name: `apim-${TOKEN}`,
      scope: GROUP,
      location: 'northeurope',
      tags: TAGS,
      sku: { name: 'BasicV2', capacity: 1 },
      identity: { type: 'UserAssigned', userAssignedIdentities: { [IDENTITY]: {} } },
      properties: { publisherEmail: 'noreply@example.com', publisherName: 'Azure OpenAI balancer' },
    });
  });

  it('has the tier and the publisher of the settings', () => {
    const { body } = one({ APIM_SKU: 'StandardV2', APIM_PUBLISHER_EMAIL: 'team@example.com' });
    assert.equal(at(body, 'sku', 'name'), 'StandardV2');
    assert.equal(at(body, 'properties', 'publisherEmail'), 'team@example.com');
  });

  it('has a backend for each resource, each with a breaker, and a pool of them with priorities and weights', () => {
    const backends = JSON.stringify([
      { url: 'https://provisioned.openai.azure.com/', priority: 1 },
      { location: 'eastus2', priority: 2, weight: 3 },
      { location: 'westus3', priority: 4, weight: 5 },
    ]);
    const urls = [
      'https://provisioned.openai.azure.com',
      `https://openai2-${TOKEN}-eastus2.openai.azure.com`,
      `https://openai3-${TOKEN}-westus3.openai.azure.com`,
    ];
    const rule = {
      name: 'throttled-or-failing',
      tripDuration: 'PT10S',
      acceptRetryAfter: true,
      failureCondition: {
        count: 1,
        interval: 'PT10S',
        statusCodeRanges: [
          { min: 429, max: 429 },
          { min: 502, max: 504 },
        ],
        errorReasons: ['BackendConnectionFailure'],
      },
    };
    const members = [
      [1, 1],
      [2, 3],
      [4, 5],
    ].map(([priority = 0, weight = 0], i) => ({ id: `${SERVICE}/backends/openai${i + 1}`, priority, weight }));
    assert.deepEqual(deployed({ OPENAI_BACKENDS: backends }, '/backends').map(whole), [
      ...urls.map((url, i) => ({
        name: `openai${i + 1}`,
        scope: SERVICE,
        properties: { url, protocol: 'http', circuitBreaker: { rules: [rule] } },
      })),
      { name: 'openai-pool', scope: SERVICE, properties: { type: 'Pool', pool: { services: members } } },
    ]);
  });

  it('serves one API at its root, over TLS, to callers with the header api-key or without any', () => {
    assert.deepEqual(whole(one({}, '/apis')), {
      name: 'openai',
      scope: SERVICE,
      properties: {
        displayName: 'Azure OpenAI',
        path: '',
        protocols: ['https'],
        subscriptionRequired: false,
        subscriptionKeyParameterNames: { header: 'api-key', query: 'api-key' },
      },
    });
  });

  it('serves every path by each of five methods', () => {
    assert.deepEqual(
      deployed({}, '/apis/operations').map(whole),
      ['DELETE', 'GET', 'PATCH', 'POST', 'PUT'].map((method) => ({
        name: method.toLowerCase(),
        scope: `${SERVICE}/apis/openai`,
        properties: { displayName: `${method} anything`, method, urlTemplate: '/*' },
      })),
    );
  });

  it('has its policy on the API, as XML, and fragments for it', () => {
    const { name, scope, body } = one({}, '/apis/policies');
    assert.deepEqual([name, scope], ['policy', `${SERVICE}/apis/openai`]);
    assert.deepEqual(body, { properties: { format: 'xml', value: policy({}) } });
    const fragments = deployed({}, '/policyFragments').map((each) => ({
      ...each,
      form: at(each.body, 'properties', 'format'),
    }));
    assert.deepEqual(
      fragments.map((each) => [each.name, each.scope, each.form]),
      ['openai-callers', 'openai-paths', 'openai-exhausted'].map((each) => [each, SERVICE, 'xml']),
    );
    const included = new Set(policy({}).match(/(?<=fragment-id=")[^"]+/g));
    assert.deepEqual([...included].toSorted(), fragments.map((each) => each.name).toSorted());
  });

  it('asks the resources with the token of the identity', () => {
    assert.ok(policy({}).includes(`client-id="${IDENTITY_CLIENT_ID}"`));
  });

  for (const [locations, count] of [
    ['eastus2', 1],
    ['eastus2,westus3', 1],
    ['eastus2,westus3,uksouth,eastus2', 3],
  ] as const) {
    it(`retries ${count} times with resources in ${locations}`, () => {
      assert.match(policy({ OPENAI_LOCATIONS: locations }), new RegExp(`<retry count="${count}"`));
    });
  }

  it('knows the old names of the deployments', () => {
    const paths = fragment('openai-paths', { CHAT_MODEL_NAME: 'gpt-6', EMBEDDING_MODEL_NAME: 'embedding-4' });
    assert.match(
      paths,
      /s\[2\] == &quot;chat&quot; \? &quot;gpt-6&quot; : s\[2\] == &quot;embedding&quot; \? &quot;embedding-4&quot;/,
    );
  });

  it('accepts the tokens of the tenant of the deployment, or of each of ENTRA_TENANT_ID', () => {
    for (const [settings, tenants] of [
      [{}, [TENANT_ID]],
      [{ ENTRA_TENANT_ID: ` ${TENANT_ID.toUpperCase()}, ${OTHER_TENANT}` }, [TENANT_ID, OTHER_TENANT]],
    ] as const) {
      const callers = fragment('openai-callers', settings);
      assert.deepEqual(callers.match(/(?<=<validate-azure-ad-token tenant-id=")[^"]*/g), tenants);
      assert.deepEqual(callers.match(/(?<=&quot;tid&quot;, &quot;&quot;\) == &quot;)[\w-]*/g), tenants);
      assert.ok(callers.includes(`&quot;,${tenants.join(',')},&quot;.Contains`));
    }
  });

  it('lets everybody of the tenant call, or those of ENTRA_ALLOWED_CLIENTS', () => {
    assert.ok(fragment('openai-callers', {}).includes('&quot;&quot; != &quot;&quot; &amp;&amp;'));
    const callers = fragment('openai-callers', {
      ENTRA_ALLOWED_CLIENTS: `chat-app=${CLIENT_ID},${OTHER_TENANT.toUpperCase()}`,
    });
    assert.ok(callers.includes(`&quot;,${CLIENT_ID},${OTHER_TENANT},&quot; != &quot;&quot;`));
  });

  it('has an active subscription to the API for each client key, and lists them in the policy', () => {
    const settings = { CLIENT_API_KEYS: 'team-a=one,team-a=two=2=, team-b = three ' };
    const id = (key: string): string => `client-key-${uniqueString(GROUP, key)}`;
    const subscription = (displayName: string, primaryKey: string): Value => ({
      name: id(primaryKey),
      scope: SERVICE,
      properties: { displayName, scope: `${SERVICE}/apis/openai`, state: 'active', primaryKey },
    });
    assert.deepEqual(deployed(settings, '/subscriptions').map(whole), [
      subscription('team-a', 'one'),
      subscription('team-a', 'two=2='),
      subscription('team-b', 'three'),
    ]);
    const list = ['one', 'two=2=', 'three'].map((key) => `${id(key)},`).join('');
    assert.ok(fragment('openai-callers', settings).includes(`!&quot;,${list}&quot;.Contains`));
    assert.ok(fragment('openai-callers', {}).includes('!&quot;&quot;.Contains'));
  });

  it('is refused with one key for two clients: it would be one subscription', () => {
    assert.throws(() => provision({ LOAD_BALANCER: 'apim', CLIENT_API_KEYS: 'a=one,b=one' }), BicepError);
  });

  it('keeps the subscriptions of other keys when one leaves the list', () => {
    const ids = (keys: string): readonly string[] =>
      deployed({ CLIENT_API_KEYS: keys }, '/subscriptions').map(({ id }) => id);
    assert.deepEqual(ids('a=one,b=two,c=three').slice(1), ids('b=two,c=three'));
  });

  it('tells Application Insights of requests, and neither bodies nor headers nor queries', () => {
    assert.deepEqual(whole(one({}, '/loggers')), {
      name: 'application-insights',
      scope: SERVICE,
      properties: {
        loggerType: 'applicationInsights',
        resourceId: idOf('Microsoft.Insights/components', `appi-${TOKEN}`),
        credentials: {
          connectionString: `{{appi-${TOKEN}.properties.ConnectionString}}`,
          identityClientId: IDENTITY_CLIENT_ID,
        },
      },
    });
    const nothing = {
      headers: [],
      body: { bytes: 0 },
      dataMasking: { queryParams: [{ value: '*', mode: 'Hide' }] },
    };
    assert.deepEqual(whole(one({}, '/diagnostics')), {
      name: 'applicationinsights',
      scope: SERVICE,
      properties: {
        loggerId: `${SERVICE}/loggers/application-insights`,
        alwaysLog: 'allErrors',
        metrics: true,
        sampling: { samplingType: 'fixed', percentage: 100 },
        frontend: { request: nothing, response: nothing },
        backend: { request: nothing, response: nothing },
      },
    });
  });
});
