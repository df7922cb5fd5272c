import assert from 'node:assert/strict';
import { TOKEN, underEachShell, type Stage, type Values } from './scripts/stage.ts';

const SUBSCRIPTION = '00000000-aaaa-bbbb-cccc-000000000000';
const CONTAINER = 'https://balancer.example.azurecontainerapps.io';
const GATEWAY = 'https://apim-x.azure-api.net';

const PROVISIONED: Values = {
  AZURE_ENV_NAME: 'dev',
  AZURE_SUBSCRIPTION_ID: SUBSCRIPTION,
  AZURE_TENANT_ID: 'tenant-1',
  AZURE_RESOURCE_GROUP: 'rg-dev',
  AZURE_CONTAINER_APP_NAME: 'ca-x',
  AZURE_LOG_ANALYTICS_WORKSPACE_NAME: 'log-x',
  AZURE_IDENTITY_PRINCIPAL_ID: 'principal-1',
  AZURE_OPENAI_CHAT_DEPLOYMENT: 'gpt-5.4-mini',
  CONTAINER_APP_URL: CONTAINER,
  APIM_GATEWAY_URL: '',
};

const CHAT = 'OpenAI.GlobalStandard.gpt-5.4-mini';
const EMBEDDING = 'OpenAI.GlobalStandard.text-embedding-3-large';
const REGIONS = ['eastus2', 'swedencentral', 'westus3'];

/** az answers as in a subscription where each quota has a limit of 100 and so much of it in use. */
function withAz(
  stage: Stage,
  used: Readonly<Record<string, number>> = {},
  regions: readonly string[] = REGIONS,
): Stage {
  stage.az('account-show', ['id']);
  for (const region of regions) {
    stage.az(
      `cognitiveservices-model-list.${region}`,
      ['gpt-5.4-mini', '2026-03-17', `DataZoneStandard=OpenAI.DataZoneStandard.gpt-5.4-mini GlobalStandard=${CHAT}`],
      ['gpt-5.4-mini', '2026-03-17', `GlobalStandard=${CHAT}`],
      ['text-embedding-3-large', '1', `GlobalStandard=${EMBEDDING}`],
      ['o9', '1', ''],
    );
    stage.az(
      `cognitiveservices-usage-list.${region}`,
      ['OpenAI.S0.AccountCount', '1.0', '30.0'],
      [CHAT, `${used[region] ?? 0}.0`, '100.0'],
      [EMBEDDING, '0.0', '100.0'],
    );
  }
  stage.set({ AZURE_SUBSCRIPTION_ID: SUBSCRIPTION });
  return stage;
}

/** az answers that the environment holds these chat capacities, by region. */
function holding(stage: Stage, held: readonly (readonly [region: string, capacity: number])[]): void {
  stage.set({ AZURE_RESOURCE_GROUP: 'rg-dev' });
  const accounts = held.map(([region], at) => [`acct${at + 1}`, `openai${at + 1}-tok-${region}`]);
  stage.az('cognitiveservices-account-list', ['other', 'None'], ...accounts);
  for (const [at, [, capacity]] of held.entries()) {
    stage.az(
      `cognitiveservices-account-deployment-list.acct${at + 1}`,
      ['gpt-5.4-mini', 'GlobalStandard', capacity],
      ['text-embedding-3-large', 'GlobalStandard', 30],
    );
  }
}

underEachShell('preprovision', (stage) => {
  it('checks the settings before anything else', () => {
    const place = withAz(stage());
    place.set({ OPENAI_CAPACITY: '50k' });
    const { code, err, calls } = place.run('preprovision');
    assert.equal(code, 1);
    assert.match(err, /azd env set OPENAI_CAPACITY 50/);
    assert.deepEqual(calls, []);
  });

  it('asks for each region once, always for the subscription, and finds that the quota is enough', () => {
    const place = withAz(stage());
    const { code, out, err, calls } = place.run('preprovision');
    assert.deepEqual(
      [code, out, err],
      [0, 'Looking at the quota in eastus2 swedencentral westus3 \nNo lack of quota was found.\n', ''],
    );
    assert.equal(calls.length, 7);
    for (const call of calls) assert.match(call, new RegExp(` --subscription ${SUBSCRIPTION} --output tsv$`));
  });

  it('changes nothing, however often it runs', () => {
    const place = withAz(stage());
    const before = place.values();
    assert.deepEqual(place.run('preprovision'), place.run('preprovision'));
    assert.deepEqual(place.values(), before);
  });

  it('sets for `azd provision` alone what preup sets for `azd up`', () => {
    const place = stage(['azd']);
    place.set({ LOAD_BALANCER: 'apim' });
    assert.deepEqual(place.run('preprovision').calls, ['azd env set DEPLOY_CONTAINER_APP false --no-prompt']);
    assert.deepEqual(place.run('preprovision').calls, []);
  });

  it('goes on without az', () => {
    const place = stage(['azd']);
    place.set({ AZURE_SUBSCRIPTION_ID: SUBSCRIPTION });
    const { code, out, err } = place.run('preprovision');
    assert.deepEqual([code, err], [0, '']);
    assert.match(out, /^Quota was not checked: the Azure CLI \(az\) is not installed.*\n$/);
  });

  it('goes on when az is not logged in, or of another subscription', () => {
    const place = stage();
    place.set({ AZURE_SUBSCRIPTION_ID: SUBSCRIPTION });
    const { code, out, err, calls } = place.run('preprovision');
    assert.deepEqual([code, err], [0, '']);
    assert.match(out, /^Quota was not checked: the Azure CLI is not logged in, or not for subscription .*\n$/);
    assert.equal(calls.length, 1);
  });

  it('goes on when no subscription is chosen yet', () => {
    const { code, out, calls } = stage().run('preprovision');
    assert.equal(code, 0);
    assert.match(out, /^Quota was not checked: AZURE_SUBSCRIPTION_ID is not set yet\n$/);
    assert.deepEqual(calls, []);
  });

  for (const missing of ['model-list.swedencentral', 'usage-list.swedencentral']) {
    it(`goes on when az may not say ${missing}`, () => {
      const place = withAz(stage());
      place.remove(`az/cognitiveservices-${missing}`);
      const { code, out, err } = place.run('preprovision');
      assert.deepEqual([code, err], [0, '']);
      assert.match(
        out,
        /^Quota was not checked: the Azure CLI could not list the (models|quota) of swedencentral.*\n$/m,
      );
    });
  }

  it('accepts quota that is exactly enough', () => {
    const place = withAz(stage(), { eastus2: 70, swedencentral: 70, westus3: 70 });
    assert.equal(place.run('preprovision').code, 0);
  });

  it('refuses when one is lacking, and names the region, what is free and each way out', () => {
    const place = withAz(stage(), { swedencentral: 71, westus3: 75 });
    const { code, err } = place.run('preprovision');
    assert.equal(code, 1);
    assert.match(err, new RegExp(`^- swedencentral: 30 of ${CHAT} are needed \\(chat\\), 29 are free$`, 'm'));
    assert.match(err, /^- westus3: .* 25 are free$/m);
    assert.match(err, /azd env set OPENAI_CAPACITY 25$/m);
    assert.match(err, /azd env set OPENAI_LOCATIONS "eastus2"$/m);
    assert.doesNotMatch(err, /EMBEDDING_CAPACITY/);
  });

  it('accepts the capacity that it told', () => {
    const place = withAz(stage(), { swedencentral: 71, westus3: 75 });
    place.set({ OPENAI_CAPACITY: '25' });
    assert.equal(place.run('preprovision').code, 0);
  });

  it('accepts the regions that it told', () => {
    const place = withAz(stage(), { swedencentral: 71, westus3: 75 });
    place.set({ OPENAI_LOCATIONS: 'eastus2' });
    assert.equal(place.run('preprovision').code, 0);
  });

  it('tells no smaller capacity and no other region where there is none', () => {
    const place = withAz(stage(), { eastus2: 100 }, ['eastus2']);
    place.set({ OPENAI_LOCATIONS: 'eastus2' });
    const { code, err } = place.run('preprovision');
    assert.equal(code, 1);
    assert.doesNotMatch(err, /OPENAI_CAPACITY/);
    assert.match(err, /azd env set OPENAI_LOCATIONS "REGION,REGION"$/m);
  });

  it('adds up what resources of one region need', () => {
    const place = withAz(stage(), { eastus2: 50 });
    place.set({ OPENAI_LOCATIONS: 'East US 2,westus3,eastus2' });
    const { code, err } = place.run('preprovision');
    assert.equal(code, 1);
    assert.match(err, /^- eastus2: 60 of .* 50 are free$/m);
    assert.match(err, /azd env set OPENAI_CAPACITY 25$/m);
    assert.match(err, /azd env set OPENAI_LOCATIONS "westus3"$/m);
  });

  it('checks the embedding deployments by their own capacity', () => {
    const place = withAz(stage());
    place.set({ EMBEDDING_CAPACITY: '120' });
    const { code, err } = place.run('preprovision');
    assert.equal(code, 1);
    assert.match(err, new RegExp(`^- eastus2: 120 of ${EMBEDDING} are needed \\(embedding\\), 100 are free$`, 'm'));
    assert.match(err, /azd env set EMBEDDING_CAPACITY 100$/m);
    assert.doesNotMatch(err, /OPENAI_CAPACITY/);
  });

  it('tells the capacity that fits everywhere', () => {
    const place = withAz(stage());
    for (const [region, used] of Object.entries({ eastus2: 60, swedencentral: 70, westus3: 50 })) {
      place.az(`cognitiveservices-usage-list.${region}`, [CHAT, '0.0', '100.0'], [EMBEDDING, used, '100.0']);
    }
    place.set({ EMBEDDING_CAPACITY: '60' });
    assert.match(place.run('preprovision').err, /azd env set EMBEDDING_CAPACITY 30$/m);
  });

  it('says nothing of a quota that Azure does not list', () => {
    const place = withAz(stage());
    place.az('cognitiveservices-usage-list.eastus2', ['OpenAI.S0.AccountCount', '1.0', '30.0']);
    assert.equal(place.run('preprovision').code, 0);
  });

  it('uses the SKU and the capacity of an item, and asks nothing for resources that are brought along', () => {
    const place = withAz(stage(), { eastus2: 95 }, ['eastus2']);
    const bring = '{"url":"https://a.openai.azure.com"}';
    place.set({ OPENAI_BACKENDS: `[${bring},{"location":"eastus2","capacity":5}]` });
    assert.equal(place.run('preprovision').code, 0);
    place.set({ OPENAI_BACKENDS: `[${bring},{"location":"eastus2","capacity":6}]` });
    const { code, err, calls } = place.run('preprovision');
    assert.equal(code, 1);
    assert.match(err, /^- eastus2: 6 of .* 5 are free$/m);
    assert.match(err, /azd env set OPENAI_BACKENDS$/m);
    assert.doesNotMatch(err, /OPENAI_CAPACITY/);
    assert.ok(calls.length > 0);
    place.set({ OPENAI_BACKENDS: `[${bring}]` });
    assert.deepEqual(place.run('preprovision').calls, []);
  });

  it('tells what a region does not offer', () => {
    const place = withAz(stage());
    place.set({ CHAT_MODEL_SKU: 'Standard' });
    const { code, err } = place.run('preprovision');
    assert.equal(code, 1);
    assert.match(err, /^- westus3 does not offer gpt-5.4-mini 2026-03-17 as Standard \(chat\)/m);
    place.set({ CHAT_MODEL_SKU: '', CHAT_MODEL_VERSION: '2020-01-01' });
    assert.match(place.run('preprovision').err, /^- westus3 does not offer gpt-5.4-mini 2020-01-01 as GlobalStandard/m);
  });

  it('counts what the environment holds already, each resource for itself', () => {
    const place = withAz(stage(), { eastus2: 100, swedencentral: 100, westus3: 100 });
    holding(place, [
      ['eastus2', 30],
      ['swedencentral', 30],
      ['westus3', 30],
    ]);
    assert.equal(place.run('preprovision').code, 0);
    place.set({ OPENAI_CAPACITY: '31' });
    const { code, err } = place.run('preprovision');
    assert.equal(code, 1);
    assert.match(err, /^- eastus2: 31 of .* 30 are free$/m);
    assert.match(err, /azd env set OPENAI_CAPACITY 30$/m);
  });

  it('does not count what a resource holds that is no longer asked for', () => {
    const place = withAz(stage(), { eastus2: 100 });
    holding(place, [
      ['swedencentral', 30],
      ['eastus2', 30],
    ]);
    place.set({ OPENAI_LOCATIONS: 'eastus2' });
    assert.equal(place.run('preprovision').code, 1);
  });

  it('goes on when what the environment holds cannot be listed', () => {
    const place = withAz(stage(), { eastus2: 100 });
    place.set({ AZURE_RESOURCE_GROUP: 'rg-dev' });
    const { code, out } = place.run('preprovision');
    assert.equal(code, 0);
    assert.match(out, /^Quota was not checked: the Azure CLI could not list the resources of rg-dev$/m);
  });
});

underEachShell('postprovision', (stage) => {
  const provisioned = (values: Values = {}) => {
    const place = stage(['azd']);
    place.set({ ...PROVISIONED, ...values });
    return place;
  };

  it('prints the lines for the chat app, where the log is, and how a chat app of another tenant calls', () => {
    const { code, out, err, calls } = provisioned().run('postprovision');
    assert.deepEqual([code, err], [0, '']);
    assert.match(
      out,
      new RegExp(
        `^ {2}azd env set OPENAI_HOST azure_custom\n {2}azd env set AZURE_OPENAI_CUSTOM_URL ${CONTAINER}$`,
        'm',
      ),
    );
    assert.ok(
      out.includes(
        `https://portal.azure.com/#@tenant-1/resource/subscriptions/${SUBSCRIPTION}/resourceGroups/rg-dev/providers/Microsoft.App/containerApps/ca-x/logstream`,
      ),
    );
    assert.match(out, /az containerapp logs show --name ca-x --resource-group rg-dev .*--follow/);
    assert.match(out, /CLIENT_API_KEYS.*AZURE_OPENAI_API_KEY_OVERRIDE/);
    assert.doesNotMatch(out, /role assignment/);
    assert.deepEqual(calls, ['azd env get-value CONTAINER_APP_URL --no-prompt']);
  });

  it('sets what the environment does not say, once', () => {
    const place = provisioned();
    place.write('dotenv', '');
    const script = `${process.cwd()}/scripts/postprovision.sh`;
    const set = `azd env set CONTAINER_APP_URL ${CONTAINER} --no-prompt`;
    assert.ok(place.runFile(script, [], PROVISIONED).calls.includes(set));
    assert.ok(!place.runFile(script, [], PROVISIONED).calls.includes(set));
    place.set({ CONTAINER_APP_URL: 'https://old' });
    assert.ok(place.runFile(script, [], PROVISIONED).calls.includes(set));
    // What azd says is taken when the variable is not there.
    assert.match(place.runFile(script, [], {}).out, new RegExp(CONTAINER));
  });

  it('fails with an explanation when no URL is known', () => {
    const { code, err } = provisioned({ CONTAINER_APP_URL: '' }).run('postprovision');
    assert.equal(code, 1);
    assert.match(err, /The deployment gave no CONTAINER_APP_URL, although LOAD_BALANCER is aca/);
    assert.equal(provisioned({ LOAD_BALANCER: 'both' }).run('postprovision').code, 1);
  });

  it('speaks of API Management alone with apim', () => {
    const { code, out } = provisioned({ LOAD_BALANCER: 'apim', CONTAINER_APP_URL: '', APIM_GATEWAY_URL: GATEWAY }).run(
      'postprovision',
    );
    assert.equal(code, 0);
    assert.match(out, new RegExp(`AZURE_OPENAI_CUSTOM_URL ${GATEWAY}$`, 'm'));
    assert.match(out, /workspace log-x/);
    assert.doesNotMatch(out, /containerapp|CLIENT_API_KEYS/);
    assert.match(out, /ENTRA_TENANT_ID "THIS-TENANT,THAT-TENANT"/);
  });

  it('speaks of both fronts with both', () => {
    const { out } = provisioned({ LOAD_BALANCER: 'both', APIM_GATEWAY_URL: GATEWAY }).run('postprovision');
    for (const url of [CONTAINER, GATEWAY]) assert.match(out, new RegExp(`AZURE_OPENAI_CUSTOM_URL ${url}$`, 'm'));
  });

  it('prints how to assign the role on each resource that was brought along', () => {
    const { code, out } = provisioned({
      OPENAI_BACKENDS:
        '[{"location":"eastus2"},{"url":"https://my-ptu.openai.azure.com/"},{"url":"https://b.openai.azure.com"}]',
    }).run('postprovision');
    assert.equal(code, 0);
    assert.equal(out.match(/az role assignment create/g)?.length, 2);
    assert.match(
      out,
      /az role assignment create --assignee-object-id principal-1 --assignee-principal-type ServicePrincipal --role 'Cognitive Services OpenAI User' --scope ID$/m,
    );
    assert.match(
      out,
      /az cognitiveservices account list --query "\[\?properties\.customSubDomainName=='my-ptu'\]\.id" --output tsv/,
    );
  });
});

underEachShell('postdeploy', (stage) => {
  const deployed = (values: Values = {}, programs: readonly string[] = ['azd', 'curl']) => {
    const place = stage(programs);
    place.set({ ...PROVISIONED, ...values });
    return place;
  };

  it('waits for nothing when all is well, and says which resource answered', () => {
    const place = deployed();
    const { code, out, err, slept, calls } = place.run('postdeploy');
    assert.deepEqual([code, err, slept], [0, '', 0]);
    assert.match(
      out,
      /answered a completion of gpt-5.4-mini\. It came from openai2 \(attempts: openai1=429\(900ms\) openai2=200\)\n/,
    );
    assert.equal(calls.length, 3);
    const asked = calls.find((call) => call.includes('/v1/chat/completions')) ?? '';
    assert.match(asked, /"model":"gpt-5.4-mini".*"max_completion_tokens":\d+/);
    assert.doesNotMatch(asked, /temperature|"max_tokens"/);
    assert.deepEqual(place.run('postdeploy').calls, calls);
  });

  it('has the token only in what curl reads', () => {
    for (const completion of ['0|200|\n', '0|401|token_expired\n']) {
      const place = deployed();
      place.write('completion', completion);
      place.write('pace', '60');
      const { out, err, calls, inputs } = place.run('postdeploy');
      assert.ok(inputs.includes(`header = "Authorization: Bearer ${TOKEN}"`));
      assert.ok(!`${out}${err}${calls.join('')}`.includes(TOKEN));
    }
  });

  it('waits for a container app that starts late', () => {
    const place = deployed();
    place.write('healthz', '0|000\n60|404\n120|503\n200|200\n');
    const { code, out, slept } = place.run('postdeploy');
    assert.deepEqual([code, slept], [0, 200]);
    assert.match(out, /Waiting for .*\/healthz \(404, 60 s\)/);
  });

  it('gives up on a container app that does not start', () => {
    const place = deployed();
    place.write('healthz', '0|503\n');
    const { code, err, slept } = place.run('postdeploy');
    assert.deepEqual([code, slept], [1, 300]);
    assert.match(err, /healthz does not answer 200 after 300 s, but 503\. Look at the log stream/);
  });

  it('waits while the roles do not act yet', () => {
    const place = deployed();
    place.write(
      'completion',
      '0|404|\n10|502|backend_auth_failed\n20|503|backend_auth_pending\n30|401|token_not_yet_valid\n40|000|\n50|429|x\n60|200|\n',
    );
    const { code, out, slept } = place.run('postdeploy');
    assert.deepEqual([code, slept], [0, 60]);
    assert.equal(out.match(/^Waiting/gm)?.length, 1);
  });

  const forever: Readonly<Record<string, RegExp>> = {
    '401|token_wrong_tenant': /The token of azd was refused[\s\S]*The answer said token_wrong_tenant: why it was so/,
    '403|Forbidden': /The call was forbidden/,
    '404|DeploymentNotFound': /There is no deployment gpt-5.4-mini, or the placeholder image still answers/,
    '429|all_backends_throttled': /throttled all the time.*azd env set OPENAI_CAPACITY/,
    '502|backend_auth_failed': /its role does not act yet.*azd deploy.*Cognitive Services OpenAI User/,
    '503|backend_auth_pending': /its role does not act yet.*azd deploy.*Cognitive Services OpenAI User/,
    '503|identity_unavailable': /Look at the log stream/,
    '000|': /There was no connection/,
  };
  for (const [answer, told] of Object.entries(forever)) {
    it(`gives up after ten minutes of ${answer.replace('|', ' ')} and explains it`, () => {
      const place = deployed();
      place.write('completion', `0|${answer}\n`);
      place.write('pace', '6');
      const { code, out, err, slept } = place.run('postdeploy');
      assert.deepEqual([code, slept], [1, 600]);
      assert.match(err, told);
      assert.equal(out.match(/^Waiting/gm)?.length, 10);
    });
  }

  it('tries again every ten seconds', () => {
    const place = deployed();
    place.write('completion', '0|401|token_not_yet_valid\n');
    const { code, slept, calls } = place.run('postdeploy');
    assert.deepEqual([code, slept], [1, 600]);
    assert.equal(calls.filter((call) => call.includes('/v1/chat/completions')).length, 61);
  });

  it('does not try again what trying again does not help', () => {
    const place = deployed();
    place.write('completion', '0|400|invalid_request\n');
    const { code, err, slept } = place.run('postdeploy');
    assert.deepEqual([code, slept], [1, 0]);
    assert.match(err, /last status was 400[\s\S]*invalid_request: why it was so/);
  });

  it('takes it for no failure when the one who deploys may not call', () => {
    const place = deployed({ ENTRA_ALLOWED_CLIENTS: 'app=1', AZURE_PRINCIPAL_ID: 'me-1' });
    place.write('completion', '0|403|client_not_allowed\n');
    const { code, out, err, slept } = place.run('postdeploy');
    assert.deepEqual([code, err, slept], [0, '', 0]);
    assert.match(
      out,
      /you are not in ENTRA_ALLOWED_CLIENTS: the completion was not tried.*azd env set ENTRA_ALLOWED_CLIENTS/,
    );
  });

  it('takes it for no failure when there is no token', () => {
    const place = deployed();
    place.remove('token');
    const { code, out, err } = place.run('postdeploy');
    assert.deepEqual([code, err], [0, '']);
    assert.match(out, /azd gave no token .*the completion was not tried/);
  });

  it('takes it for no failure when there is no curl', () => {
    const { code, out } = deployed({}, ['azd']).run('postdeploy');
    assert.deepEqual([code, out], [0, 'curl is not installed: the completion was not tried.\n']);
  });

  it('asks API Management for no health', () => {
    const { code, out, calls } = deployed({
      LOAD_BALANCER: 'apim',
      CONTAINER_APP_URL: '',
      APIM_GATEWAY_URL: GATEWAY,
    }).run('postdeploy');
    assert.equal(code, 0);
    assert.match(out, new RegExp(`^${GATEWAY} answered`));
    assert.ok(!calls.some((call) => call.includes('/healthz')));
  });

  it('asks no front that is not deployed any more', () => {
    for (const [front, url] of [
      ['aca', CONTAINER],
      ['apim', GATEWAY],
    ] as const) {
      const { code, calls } = deployed({ LOAD_BALANCER: front, APIM_GATEWAY_URL: GATEWAY }).run('postdeploy');
      assert.equal(code, 0);
      for (const call of calls.filter((line) => line.startsWith('curl'))) assert.ok(call.includes(` ${url}/`), call);
    }
  });

  it('asks the container app first with both, and then API Management', () => {
    const place = deployed({ LOAD_BALANCER: 'both', APIM_GATEWAY_URL: GATEWAY });
    place.write('gateway', '0|401|\n30|200|\n');
    const { code, calls, slept } = place.run('postdeploy');
    assert.deepEqual([code, slept], [0, 30]);
    const urls = calls.filter((call) => call.startsWith('curl')).map((call) => call.slice(call.lastIndexOf(' ') + 1));
    assert.deepEqual(
      [...new Set(urls)],
      [`${CONTAINER}/healthz`, `${CONTAINER}/v1/chat/completions`, `${GATEWAY}/v1/chat/completions`],
    );
  });
});

underEachShell('purge', (stage) => {
  const deleted = (group: string, name: string) =>
    `/subscriptions/${SUBSCRIPTION}/providers/Microsoft.CognitiveServices/locations/eastus2/resourceGroups/${group}/deletedAccounts/${name}`;
  const service = (group: string, name: string) =>
    `/subscriptions/${SUBSCRIPTION}/resourceGroups/${group}/providers/Microsoft.ApiManagement/service/${name}`;

  function withDeleted(values: Values): Stage {
    const place = stage();
    place.set({ AZURE_SUBSCRIPTION_ID: SUBSCRIPTION, ...values });
    place.az('account-show', ['id']);
    place.az(
      'cognitiveservices-account-list-deleted',
      ['a1', 'eastus2', deleted('RG-dev', 'a1')],
      ['a2', 'westus3', deleted('rg-dev', 'a2')],
      ['b', 'eastus2', deleted('rg-dev2', 'b')],
      ['rg-dev', 'eastus2', deleted('rg-other', 'rg-dev')],
    );
    place.az(
      'apim-deletedservice-list',
      ['apim-x', 'East US 2', service('rg-dev', 'apim-x')],
      ['apim-y', 'East US 2', service('rg-dev-2', 'apim-y')],
    );
    for (const name of ['a1', 'a2']) {
      for (const region of ['eastus2', 'westus3']) place.az(`cognitiveservices-account-purge.${region}.${name}`);
    }
    place.az('apim-deletedservice-purge.eastus2');
    return place;
  }

  const purges = [
    `az cognitiveservices account purge --subscription ${SUBSCRIPTION} --resource-group rg-dev --location eastus2 --name a1`,
    `az cognitiveservices account purge --subscription ${SUBSCRIPTION} --resource-group rg-dev --location westus3 --name a2`,
    `az apim deletedservice purge --subscription ${SUBSCRIPTION} --location eastus2 --service-name apim-x`,
  ];

  it('purges what is of this resource group, and nothing of another', () => {
    for (const [values, args] of [
      [{ AZURE_RESOURCE_GROUP: 'rg-dev' }, []],
      [{ AZURE_ENV_NAME: 'dev' }, []],
      [{ AZURE_ENV_NAME: 'other' }, ['dev']],
      [{}, ['rg-dev']],
    ] satisfies [Values, string[]][]) {
      const { code, out, calls } = withDeleted(values).run('purge', args);
      assert.equal(code, 0);
      assert.deepEqual(
        calls.filter((call) => call.includes(' purge ')),
        purges,
      );
      assert.match(out, /^3 of rg-dev purged\.$/m);
    }
  });

  it('only lists with --dry-run', () => {
    const { code, out, calls } = withDeleted({ AZURE_ENV_NAME: 'dev' }).run('purge', ['--dry-run']);
    assert.equal(code, 0);
    assert.ok(!calls.some((call) => call.includes(' purge ')));
    assert.match(
      out,
      /Azure OpenAI resource a2 in westus3[\s\S]*API Management service apim-x in eastus2[\s\S]*3 of rg-dev could be purged/,
    );
  });

  it('has nothing to do the second time', () => {
    const place = withDeleted({ AZURE_ENV_NAME: 'dev' });
    place.az('cognitiveservices-account-list-deleted');
    place.az('apim-deletedservice-list');
    const { code, out } = place.run('purge');
    assert.deepEqual([code, out], [0, '0 of rg-dev purged.\n']);
  });

  it('asks azd when no environment is named, outside of a hook', () => {
    const place = withDeleted({ AZURE_ENV_NAME: 'dev' });
    const { code, out } = place.runFile(`${process.cwd()}/scripts/purge.sh`, ['--dry-run'], {});
    assert.equal(code, 0);
    assert.match(out, /3 of rg-dev could be purged/);
  });

  it('takes the subscription of the environment that is named', () => {
    const place = withDeleted({ AZURE_ENV_NAME: 'other' });
    const { calls } = place.runFile(`${process.cwd()}/scripts/purge.sh`, ['--dry-run', 'dev'], {});
    assert.equal(calls[0], 'azd env get-value AZURE_SUBSCRIPTION_ID --environment dev --no-prompt');
  });

  it('says what it needs', () => {
    const refused = (place: Stage, told: RegExp, ...args: readonly string[]) => {
      const { code, err } = place.run('purge', args);
      assert.notEqual(code, 0);
      assert.match(err, told);
    };
    const none = stage(['azd']);
    refused(none, /There is no azd environment here/);
    none.set({ AZURE_ENV_NAME: 'dev' });
    refused(none, /The subscription is not known/);
    none.set({ AZURE_SUBSCRIPTION_ID: SUBSCRIPTION });
    refused(none, /az\) is needed for purging, and is not installed/);
    const stranger = stage();
    stranger.set({ AZURE_ENV_NAME: 'dev', AZURE_SUBSCRIPTION_ID: SUBSCRIPTION });
    refused(stranger, /not logged in, or not for subscription/);
    refused(stranger, /Usage/, '--force');
  });

  it('fails when az may not purge', () => {
    const place = withDeleted({ AZURE_ENV_NAME: 'dev' });
    place.remove('az/cognitiveservices-account-purge.westus3.a2');
    const { code, err } = place.run('purge');
    assert.equal(code, 1);
    assert.match(err, /could not list or purge.*Contributor on the whole subscription/);
  });
});
