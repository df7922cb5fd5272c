import assert from 'node:assert/strict';
import { BACKEND_SETTINGS, readBackendSettings, readSettings, SETTINGS } from '../../app/src/settings.ts';
import { textOf } from '../support/sources.ts';
import { assertSame } from '../support/tables.ts';
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
  'an address for alerts that is none': [{ ALERT_EMAIL: 'me' }, /ALERT_EMAIL is 'me', but must be a mail address/],
  'an address for alerts with a typing error in its name': [{ ALERTS_EMAIL: 'a@b' }, /ALERTS_EMAIL is not a setting/],
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
  'a misspelt list of further settings': [{ BALANCER_SETTING: 'AFFINITY=prefix' }, /BALANCER_SETTING is not a setting/],
  'a setting of the balancer beside the list of them': [
    { MAX_HOLD_SECONDS: '5' },
    /MAX_HOLD_SECONDS would change nothing here\. Put it into BALANCER_SETTINGS.*azd env set MAX_HOLD_SECONDS=$/m,
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
  'further settings of the balancer, with blanks around': {
    BALANCER_SETTINGS: '  AFFINITY=prefix   MAX_HOLD_SECONDS=0.125 BACKEND_3_CAPACITY=300 SPILL_LONG_PROMPTS=true ',
  },
  'the capacity of a resource that was brought along': {
    OPENAI_BACKENDS: '[{"location":"eastus2"},{"url":"https://a.b"}]',
    BALANCER_SETTINGS: 'BACKEND_2_CAPACITY=100',
  },
  'nothing but a blank': { BALANCER_SETTINGS: ' ' },
  'backends of both kinds': {
    OPENAI_BACKENDS:
      ' [ {"url":"https://ptu.openai.azure.com/","priority":1,"deployments":"chat=gpt-eu,embedding=emb"},\n' +
      '{"location":"East US 2","priority":100,"weight":100,"capacity":5,"sku":"DataZoneStandard"},{"url":"https://a:8443"}]\n',
  },
};

/** What of the balancer's settings cannot go through BALANCER_SETTINGS, and what makes them instead: a setting, or the template by itself. */
const NOT_FURTHER: Readonly<Record<string, string | undefined>> = {
  HOST: undefined,
  PORT: undefined,
  DEPLOYMENT_ALIASES: 'CHAT_MODEL_NAME',
  DRAIN_SECONDS: undefined,
  CLIENT_API_KEYS: 'CLIENT_API_KEYS',
  OPERATOR_KEYS: 'OPERATOR_KEYS',
  ENTRA_TENANT_ID: 'ENTRA_TENANT_ID',
  ENTRA_AUDIENCES: undefined,
  ENTRA_ISSUERS: undefined,
  ENTRA_JWKS_URL: undefined,
  ENTRA_ALLOWED_CLIENTS: 'ENTRA_ALLOWED_CLIENTS',
  ENTRA_ALLOWED_OPERATORS: 'ENTRA_ALLOWED_OPERATORS',
  CLIENT_LIMITS: 'CLIENT_LIMITS',
  ALLOW_ANONYMOUS: undefined,
  AZURE_CLIENT_ID: undefined,
  APPLICATIONINSIGHTS_CONNECTION_STRING: undefined,
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: undefined,
  OTEL_SERVICE_NAME: undefined,
  BACKEND_1_URL: 'OPENAI_BACKENDS',
  BACKEND_1_NAME: undefined,
  BACKEND_1_PRIORITY: 'OPENAI_BACKENDS',
  BACKEND_1_WEIGHT: 'OPENAI_BACKENDS',
  BACKEND_1_APIKEY: undefined,
  BACKEND_1_DEPLOYMENT_NAME: 'OPENAI_BACKENDS',
  BACKEND_1_DEPLOYMENTS: 'OPENAI_BACKENDS',
};

/** Everything that the balancer reads, or is documented to, `n` as 1. */
const OF_BALANCER = [...SETTINGS].concat(BACKEND_SETTINGS.map((ending) => `BACKEND_1_${ending}`));
const FURTHER = OF_BALANCER.filter((name) => !Object.hasOwn(NOT_FURTHER, name));

/** Values of every form that there is, and of none. */
const TRIED = ['0', '1', '30', '150', '2.5', '0.125', '5.', '.5', '-1', '+1', '1e3', '0x10', '1.2345', '12ms', '1k']
  .concat([
    '123456',
    '1234567',
    '123456789012345',
    '1234567890123456',
    'off',
    'add',
    'prefix',
    'user',
    'Off',
    'text',
    'json',
  ])
  .concat(['true', 'false', 'TRUE', 'yes', 'no=thing', '*', '$HOME', '"5"', '5;5', '5,5', '\\5', 'ä']);

/** What the balancer says to a value: a mistake in its form, in its bounds, or nothing. */
function saysBalancer(name: string, value: string): 'form' | 'bounds' | 'nothing' {
  const ending = /^BACKEND_1_(.*)$/.exec(name)?.[1];
  const read =
    ending === undefined
      ? readSettings({ [name]: value })
      : readBackendSettings({ URL: 'https://a.b', [ending]: value }, 1);
  if (!('mistakes' in read)) return 'nothing';
  return read.mistakes.some((text) => text.includes('must be between')) ? 'bounds' : 'form';
}

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

  for (const name of OF_BALANCER.concat('NODE_OPTIONS', 'AFFINITYX')) {
    if (FURTHER.includes(name)) continue;
    it(`do not set ${name} of the balancer past what makes it`, () => {
      const place = stage();
      place.set({ BALANCER_SETTINGS: `AFFINITY=prefix ${name}=canary` });
      const { code, err } = place.run('preup');
      assert.equal(code, 1);
      const own = NOT_FURTHER[name];
      const why =
        own === undefined
          ? `; it can set [A-Z_ ]*AFFINITY[A-Z_ ]* and BACKEND_n_CAPACITY: azd env set BALANCER_SETTINGS "AFFINITY=`
          : `, which comes from a setting of its own: azd env set ${own}$`;
      assert.match(err, new RegExp(`^- BALANCER_SETTINGS cannot set ${name}${why}`, 'm'));
      assert.equal(err.match(/^- /gm)?.length, 1);
      assert.ok(!err.includes('canary'));
    });
  }

  it('take for further settings of the balancer what it reads: no value that it takes is refused, and only its bounds are not looked at', () => {
    for (const value of TRIED) {
      const place = stage();
      const { err } = place.runFile(`${process.cwd()}/scripts/preup.sh`, [], {
        BALANCER_SETTINGS: FURTHER.map((name) => `${name}=${value}`).join(' '),
      });
      assertSame(
        [...err.matchAll(/^- BALANCER_SETTINGS: the value of (\w+) is not right, but must be /gm)].map(
          ([, name = '']) => name,
        ),
        FURTHER.filter((name) => saysBalancer(name, value) === 'form'),
        `the value ${value}`,
      );
    }
  });

  it('are told of every item of BALANCER_SETTINGS that is not right, by number and name and never by value', () => {
    const place = stage();
    const items = [
      '=canary',
      'AFFINITY',
      'LOG_FORMAT=',
      'MAX-HOLD=canary',
      '*',
      'affinity=off',
      'canary1==',
      'AFFINITY=user',
      'AFFINITY=canary',
    ];
    const { code, err } = place.runFile(`${process.cwd()}/scripts/preup.sh`, [], {
      BALANCER_SETTINGS: [...items, 'PRIORITY_WAIT=canary', 'BACKEND_4_CAPACITY=1', 'BACKEND_01_CAPACITY=1'].join(' '),
    });
    assert.equal(code, 1);
    assert.deepEqual(
      [...err.matchAll(/^- (.*?)(?:; it can set .*)?: azd env set BALANCER_SETTINGS "[A-Z1_=a-z 0-9]+"$/gm)].map(
        ([, told]) => told,
      ),
      [
        ...[1, 2, 3, 4, 5, 6, 7].map(
          (number) => `BALANCER_SETTINGS: item ${number} is not NAME=value, with the name in capitals`,
        ),
        'BALANCER_SETTINGS: the value of AFFINITY is not right, but must be one of off prefix user, written exactly so',
        'BALANCER_SETTINGS cannot set PRIORITY_WAIT',
        'BALANCER_SETTINGS: there is no resource for BACKEND_4_CAPACITY, but 1 to 3',
        'BALANCER_SETTINGS: there is no resource for BACKEND_01_CAPACITY, but 1 to 3',
      ],
    );
    assert.match(err, /^- BALANCER_SETTINGS has AFFINITY twice: give it once with azd env set BALANCER_SETTINGS "/m);
    assert.equal(err.match(/^- /gm)?.length, 12);
    assert.ok(!err.includes('canary'));
  });

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

describe('the settings that BALANCER_SETTINGS can set', () => {
  it('are all that the balancer reads but those that the template makes or that are about who may call, in both kinds of shell', () => {
    for (const path of ['scripts/settings.sh', 'scripts/settings.ps1']) {
      const [, known = ''] = /^\$?balancer_settings ?= ?'([^']+)'$/m.exec(textOf(path)) ?? [];
      assertSame([...known.split(' '), 'BACKEND_1_CAPACITY'], FURTHER, path);
    }
    const gone = Object.keys(NOT_FURTHER).filter((name) => !OF_BALANCER.includes(name));
    assert.deepEqual(gone, []);
  });
});
