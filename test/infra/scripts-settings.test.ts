import assert from 'node:assert/strict';
import { underEachShell, type Values } from './scripts/stage.ts';

const ID = '11111111-2222-3333-4444-55555555abcd';

/** What is refused, and what the message must say. */
const WRONG: Readonly<Record<string, readonly [values: Values, told: RegExp]>> = {
  'a front that is not known': [{ LOAD_BALANCER: 'nginx' }, /LOAD_BALANCER is 'nginx'.*azd env set LOAD_BALANCER aca/],
  'a front in another case': [{ LOAD_BALANCER: 'ACA' }, /LOAD_BALANCER is 'ACA'/],
  'two fronts in one setting': [{ LOAD_BALANCER: 'aca apim' }, /LOAD_BALANCER is 'aca apim'/],
  'a capacity with a unit': [{ OPENAI_CAPACITY: '50k' }, /OPENAI_CAPACITY is '50k'.*azd env set OPENAI_CAPACITY 50$/m],
  'a capacity of nothing': [{ OPENAI_CAPACITY: '0' }, /OPENAI_CAPACITY is '0'/],
  'a capacity with leading zeros': [{ OPENAI_CAPACITY: '007' }, /OPENAI_CAPACITY is '007'/],
  'a capacity with an exponent': [{ OPENAI_CAPACITY: '1e3' }, /OPENAI_CAPACITY is '1e3'/],
  'a capacity with a sign': [{ OPENAI_CAPACITY: '+5' }, /OPENAI_CAPACITY is '\+5'/],
  'a capacity with a blank': [{ OPENAI_CAPACITY: '50 ' }, /OPENAI_CAPACITY is '50 '/],
  'a fraction': [{ OPENAI_CAPACITY: '1.5' }, /OPENAI_CAPACITY is '1\.5'/],
  'a capacity of ten digits': [{ OPENAI_CAPACITY: '1000000000' }, /OPENAI_CAPACITY is '1000000000'/],
  'an embedding capacity with a unit': [{ EMBEDDING_CAPACITY: '50K' }, /azd env set EMBEDDING_CAPACITY 50$/m],
  'no replicas': [{ MIN_REPLICAS: '0' }, /MIN_REPLICAS is '0'.*from 1 to 1000/],
  'too many replicas': [{ MAX_REPLICAS: '1001' }, /MAX_REPLICAS is '1001'/],
  'more replicas at least than at most': [{ MIN_REPLICAS: '5', MAX_REPLICAS: '4' }, /azd env set MAX_REPLICAS 5$/m],
  'more replicas at least than the default at most': [{ MIN_REPLICAS: '11' }, /azd env set MAX_REPLICAS 11$/m],
  'an address that is none': [
    { APIM_PUBLISHER_EMAIL: 'me' },
    /APIM_PUBLISHER_EMAIL is 'me', but must be a mail address/,
  ],
  'an address with a quote': [{ APIM_PUBLISHER_EMAIL: 'a"b@c' }, /APIM_PUBLISHER_EMAIL is 'a"b@c'/],
  'two addresses': [{ APIM_PUBLISHER_EMAIL: 'a@b@c' }, /APIM_PUBLISHER_EMAIL/],
  'a size of API Management that has no circuit breaker': [{ APIM_SKU: 'Consumption' }, /APIM_SKU is 'Consumption'/],
  'a model with a quote': [{ CHAT_MODEL_NAME: "gpt'" }, /CHAT_MODEL_NAME is 'gpt''/],
  'a SKU in another case': [{ EMBEDDING_MODEL_SKU: 'globalstandard' }, /EMBEDDING_MODEL_SKU is 'globalstandard'/],
  'an empty region': [{ OPENAI_LOCATIONS: 'eastus2,,westus3' }, /OPENAI_LOCATIONS: item 2 is not a region/],
  'a comma at the end': [{ OPENAI_LOCATIONS: 'eastus2,' }, /OPENAI_LOCATIONS: item 2 is not a region/],
  'a region of blanks': [{ OPENAI_LOCATIONS: 'eastus2,  ' }, /OPENAI_LOCATIONS: item 2 is not a region/],
  'semicolons between regions': [{ OPENAI_LOCATIONS: 'eastus2;westus3' }, /OPENAI_LOCATIONS: item 1 is not a region/],
  'a region that is a pattern': [{ OPENAI_LOCATIONS: '*' }, /OPENAI_LOCATIONS: item 1 is not a region/],
  'more than 20 regions': [{ OPENAI_LOCATIONS: Array(21).fill('eastus2').join(',') }, /has 21 regions/],
  'a tenant by name': [{ ENTRA_TENANT_ID: 'contoso.onmicrosoft.com' }, /ENTRA_TENANT_ID: item 1 is not a tenant id/],
  'an empty tenant': [{ ENTRA_TENANT_ID: `${ID},` }, /ENTRA_TENANT_ID: item 2/],
  'a client that is no id': [{ ENTRA_ALLOWED_CLIENTS: `${ID},chat=me` }, /ENTRA_ALLOWED_CLIENTS: item 2 is not an app/],
  'a client with a strange name': [{ ENTRA_ALLOWED_CLIENTS: `my app=${ID}` }, /ENTRA_ALLOWED_CLIENTS: item 1/],
  'a client twice': [{ ENTRA_ALLOWED_CLIENTS: `${ID},x=${ID.toUpperCase()}` }, /id of item 2 is there twice/],
  'an id with a digit too many': [{ ENTRA_ALLOWED_OPERATORS: `${ID}0` }, /ENTRA_ALLOWED_OPERATORS: item 1/],
  'a limit that cannot be read': [{ CLIENT_LIMITS: 'a=5tpm,b=0rpm' }, /CLIENT_LIMITS: item 2/],
  'a limit in a unit that is not known': [{ CLIENT_LIMITS: 'a=5tpd' }, /CLIENT_LIMITS: item 1/],
  'a number of replicas in words': [{ MIN_REPLICAS: 'many' }, /MIN_REPLICAS is 'many'/],
  'a limit twice': [{ CLIENT_LIMITS: 'a=5tpm:6tpm' }, /CLIENT_LIMITS: item 1/],
  'two limits of one client': [{ CLIENT_LIMITS: 'a=5tpm,a=6rpm' }, /CLIENT_LIMITS: item 2/],
  'a setting with a typing error, which would let everybody of the tenant in': [
    { ENTRA_ALLOWED_CLIENT: `chat=${ID}` },
    /ENTRA_ALLOWED_CLIENT is not a setting of this template.*azd env set ENTRA_ALLOWED_CLIENT=/,
  ],
  'a capacity with a typing error in its name': [{ OPENAI_CAPACTY: '50' }, /OPENAI_CAPACTY is not a setting/],
  'a region where a list of regions belongs': [{ OPENAI_LOCATION: 'eastus2' }, /OPENAI_LOCATION is not a setting/],
  'a name in small letters': [{ client_api_keys: 'a=canary-key-1' }, /client_api_keys is not a setting/],
  'a setting of the balancer that is not one of the template': [
    { BACKEND_1_URL: 'https://x' },
    /BACKEND_1_URL is not a setting/,
  ],
  'a limit without a name': [{ CLIENT_LIMITS: '5tpm' }, /CLIENT_LIMITS: item 1/],
};

const RIGHT: Readonly<Record<string, Values>> = {
  nothing: {},
  'empty settings': {
    OPENAI_CAPACITY: '',
    LOAD_BALANCER: '',
    OPENAI_LOCATIONS: '',
    OPENAI_BACKENDS: '',
    CLIENT_API_KEYS: '',
  },
  'what other programs are told': { OPENAI_API_KEY: 'x', OPENAI_HOST: 'azure_custom', APIM_GATEWAY_URL: 'https://x' },
  'a misspelt setting that is empty': { ENTRA_ALLOWED_CLIENT: '' },
  'one replica': { MAX_REPLICAS: '1' },
  'a name of 64': { CLIENT_API_KEYS: `${'a'.repeat(64)}=key` },
  'the largest capacity': { OPENAI_CAPACITY: '999999999', EMBEDDING_CAPACITY: '1' },
  'as many replicas at least as at most': { MIN_REPLICAS: '1000', MAX_REPLICAS: '1000' },
  'regions with blanks and capitals': { OPENAI_LOCATIONS: 'East US 2, swedencentral ,EASTUS2' },
  'twenty regions': { OPENAI_LOCATIONS: Array(20).fill('eastus2').join(',') },
  'every kind of list': {
    CLIENT_API_KEYS: 'team-a=k=1!,team-a=~$x`&<}*',
    OPERATOR_KEYS: 'alice=k2',
    CLIENT_LIMITS: 'team-a=50000tpm:300rpm:20concurrent,*=100rpm',
    ENTRA_TENANT_ID: `${ID},${ID.toUpperCase()}`,
    ENTRA_ALLOWED_CLIENTS: `chat-app=${ID},22222222-2222-3333-4444-55555555abcd`,
    ENTRA_ALLOWED_OPERATORS: ID,
  },
  'backends of both kinds': {
    OPENAI_BACKENDS:
      ' [ {"url":"https://ptu.openai.azure.com/","priority":1,"deployments":"chat=gpt-eu,embedding=emb"},\n' +
      '{"location":"East US 2","priority":100,"weight":100,"capacity":5,"sku":"DataZoneStandard"},{"url":"https://a:8443"}]\n',
  },
};

const BACKENDS: Readonly<Record<string, readonly [text: string, told: RegExp]>> = {
  'no JSON': ['eastus2', /is not a JSON list of flat objects/],
  'one object without a list': ['{"location":"eastus2"}', /is not a JSON list/],
  'a nested object': ['[{"location":{"name":"eastus2"}}]', /is not a JSON list/],
  'a comma at the end': ['[{"location":"eastus2"},]', /is not a JSON list/],
  'single quotes': ["[{'location':'eastus2'}]", /has lost its quotes/],
  'a comment': ['[{"location":"eastus2"}] // mine', /is not a JSON list/],
  'a raw tab in a text': ['[{"location":"east\tus2"}]', /is not a JSON list/],
  'a number with leading zeros': ['[{"location":"eastus2","priority":01}]', /is not a JSON list/],
  'quotes that the shell took': ['[{location:eastus2}]', /has lost its quotes.*azd env set OPENAI_LOCATIONS "eastus2/],
  'an empty list': ['[]', /has 0 items, but must have 1 to 20/],
  'more than 20': [`[${Array(21).fill(`{"location":"eastus2"}`).join(',')}]`, /has 21 items/],
  'an item with nothing': ['[{"location":"eastus2"},{}]', /item 2 has neither location nor url/],
  'both kinds in one item': ['[{"location":"eastus2","url":"https://a.b"}]', /item 1 has both location and url/],
  'an unknown key': ['[{"location":"eastus2","name":"a"}]', /item 1: 'name' is not one of location, url/],
  'a key in another case': ['[{"Location":"eastus2"}]', /item 1: 'Location' is not one of/],
  'a key twice': ['[{"location":"eastus2","location":"westus3"}]', /item 1 has location twice/],
  'a region that is none': ['[{"location":"east-us"}]', /item 1: location must be a region/],
  'a region that is a number': ['[{"location":5}]', /item 1: location must be a text/],
  'an http url': ['[{"url":"http://a.openai.azure.com"}]', /item 1: url must be https/],
  'a url with a path': ['[{"url":"https://a.openai.azure.com/openai/v1"}]', /item 1: url must be https/],
  'a url with a query': ['[{"url":"https://a.openai.azure.com?x"}]', /item 1: url must be https/],
  'a url with a password': ['[{"url":"https://me:secret@a.openai.azure.com"}]', /item 1: url must be https/],
  'a priority of 0': ['[{"location":"eastus2","priority":0}]', /item 1: priority must be a whole number from 1/],
  'a priority of 101': ['[{"location":"eastus2","priority":101}]', /item 1: priority must be/],
  'a priority in quotes': ['[{"location":"eastus2","priority":"1"}]', /item 1: priority must be.*without quotes/],
  'half a weight': ['[{"location":"eastus2","weight":0.5}]', /item 1: weight must be/],
  'no capacity': ['[{"location":"eastus2","capacity":null}]', /item 1: capacity must be/],
  'an exponent': ['[{"location":"eastus2","capacity":1e3}]', /item 1: capacity must be/],
  'capacity beside url': ['[{"url":"https://a.b","capacity":5}]', /item 1: capacity and sku belong beside location/],
  'sku beside url': ['[{"url":"https://a.b","sku":"Standard"}]', /item 1: capacity and sku belong beside location/],
  'an unknown sku': ['[{"location":"eastus2","sku":"standard"}]', /item 1: sku must be one of GlobalStandard/],
  'deployments beside location': [
    '[{"location":"eastus2","deployments":"chat=a"}]',
    /item 1: deployments belong beside url/,
  ],
  'deployments that are no list': ['[{"url":"https://a.b","deployments":"chat"}]', /item 1: deployments must be like/],
  'deployments without a name': ['[{"url":"https://a.b","deployments":"=b"}]', /item 1: deployments must be like/],
  'deployments with a blank': ['[{"url":"https://a.b","deployments":"a=b, c=d"}]', /item 1: deployments must be like/],
  'deployments with a name twice': [
    '[{"url":"https://a.b","deployments":"a=b,a=c"}]',
    /item 1: deployments must be like/,
  ],
};

underEachShell('the settings', (stage) => {
  for (const [title, [values, told]] of Object.entries(WRONG)) {
    it(`are refused with ${title}`, () => {
      const place = stage();
      place.set(values);
      const { code, out, err, calls } = place.run('preup');
      assert.equal(code, 1);
      assert.match(err, told);
      assert.match(err, /^The settings .*\n- .*\nSet them .*\n$/);
      assert.equal(out, '');
      assert.deepEqual(calls, []);
    });
  }

  for (const [title, [text, told]] of Object.entries(BACKENDS)) {
    it(`are refused with backends of ${title}`, () => {
      const place = stage();
      const { code, err, calls } = place.runFile(`${process.cwd()}/scripts/preup.sh`, [], { OPENAI_BACKENDS: text });
      assert.equal(code, 1);
      assert.match(err, told);
      assert.match(err, /azd env set OPENAI_BACKENDS '\[\{"location":"eastus2"\}/);
      assert.ok(!err.includes('secret'));
      assert.deepEqual(calls, []);
    });
  }

  for (const [title, values] of Object.entries(RIGHT)) {
    it(`are accepted with ${title}`, () => {
      const { code, out, err, calls } = stage().runFile(`${process.cwd()}/scripts/preup.sh`, [], values);
      assert.deepEqual({ code, out, err, calls }, { code: 0, out: '', err: '', calls: [] });
    });
  }

  it('are told with every mistake at once', () => {
    const place = stage();
    place.set({
      LOAD_BALANCER: 'x',
      OPENAI_CAPACITY: '50k',
      MIN_REPLICAS: '0',
      ENTRA_TENANT_ID: 'x',
      OPENAI_BACKENDS: '[{}]',
    });
    const { err } = place.run('preup');
    for (const name of ['LOAD_BALANCER', 'OPENAI_CAPACITY', 'MIN_REPLICAS', 'ENTRA_TENANT_ID', 'OPENAI_BACKENDS']) {
      assert.match(err, new RegExp(`^- ${name}`, 'm'));
    }
  });

  it('have no backends beside regions', () => {
    const place = stage();
    place.set({ OPENAI_BACKENDS: '[{"location":"eastus2"}]', OPENAI_LOCATIONS: 'eastus2' });
    const { code, err } = place.run('preup');
    assert.equal(code, 1);
    assert.match(err, /are both set.*azd env set OPENAI_LOCATIONS=/);
  });

  it('have no names of deployments for API Management', () => {
    for (const front of ['apim', 'both']) {
      const place = stage();
      place.set({ OPENAI_BACKENDS: '[{"url":"https://a.b","deployments":"chat=x"}]', LOAD_BALANCER: front });
      assert.match(
        place.run('preup').err,
        new RegExp(`item 1: deployments are for the container app only, not for LOAD_BALANCER ${front}:`),
      );
    }
  });

  const keys: Readonly<Record<string, readonly [values: Values, told: RegExp]>> = {
    'without a name': [{ CLIENT_API_KEYS: 'canary-key-1' }, /CLIENT_API_KEYS: item 1 is not name=key/],
    'with a blank': [{ CLIENT_API_KEYS: 'a=canary-key 1' }, /CLIENT_API_KEYS: item 1/],
    // azd puts them into JSON as they are: it would fail, or another key be deployed.
    'with a quote': [{ CLIENT_API_KEYS: 'b=x,a=canary-key"1' }, /CLIENT_API_KEYS: item 2/],
    'with a backslash': [{ OPERATOR_KEYS: 'a=canary-key\\n1' }, /OPERATOR_KEYS: item 1/],
    'that are not ASCII': [{ CLIENT_API_KEYS: 'a=canary-kéy' }, /CLIENT_API_KEYS: item 1/],
    'that are empty': [{ CLIENT_API_KEYS: 'a=' }, /CLIENT_API_KEYS: item 1/],
    'with a strange name': [{ OPERATOR_KEYS: 'a b=canary-key-1' }, /OPERATOR_KEYS: item 1/],
    'with a name of 65': [{ OPERATOR_KEYS: `${'a'.repeat(65)}=canary-key-1` }, /OPERATOR_KEYS: item 1/],
    twice: [{ CLIENT_API_KEYS: 'a=canary-key-1,b=canary-key-1' }, /the key of item 2 is there already/],
    'in both lists': [
      { CLIENT_API_KEYS: 'a=canary-key-1', OPERATOR_KEYS: 'b=x,c=canary-key-1' },
      /OPERATOR_KEYS: the key of item 2 is/,
    ],
  };
  for (const [title, [values, told]] of Object.entries(keys)) {
    it(`have no keys ${title}, and never show one`, () => {
      const place = stage();
      place.set(values);
      const { code, out, err, calls } = place.run('preup');
      assert.equal(code, 1);
      assert.match(err, told);
      assert.ok(!`${out}${err}${calls.join('')}`.includes('canary'));
    });
  }

  it('decide whether there is a container app to deploy to, once', () => {
    const place = stage();
    place.set({ LOAD_BALANCER: 'apim' });
    assert.deepEqual(place.run('preup').calls, ['azd env set DEPLOY_CONTAINER_APP false --no-prompt']);
    assert.deepEqual(place.run('preup').calls, []);
    place.set({ LOAD_BALANCER: 'both' });
    assert.deepEqual(place.run('preup').calls, ['azd env set DEPLOY_CONTAINER_APP true --no-prompt']);
    assert.deepEqual(place.run('preup').calls, []);
  });
});
