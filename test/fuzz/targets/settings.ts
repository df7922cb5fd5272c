import assert from 'node:assert/strict';
import { ConfigError, readConfig, type Config } from '../../../app/src/config.ts';
import { BACKEND_SETTINGS, SETTINGS } from '../../../app/src/settings.ts';
import { bytesOf, type Target, wordsOf } from '../target.ts';

const GUID = 'aaaaaaaa-1111-4111-8111-111111111111';
const SECRET = 'kanarie';
const LEAST = 'BACKEND_1_URL=https://one.openai.azure.com';

export const settings: Target = {
  name: 'settings',
  property:
    'settings are read to one frozen configuration with sound figures, or to a ConfigError whose every line names a variable; no value is told, whatever is wrong with it',
  samples: bytesOf(
    `${LEAST}\nBACKEND_1_APIKEY=${SECRET}-b\nBACKEND_2_URL=http://127.0.0.1:8081/\nBACKEND_2_PRIORITY=2\nBACKEND_2_WEIGHT=0.5\nBACKEND_2_CAPACITY=30`,
    `${LEAST}\nBACKEND_2_URL=https://two.openai.azure.com\nBACKEND_2_NAME=openai1\nBACKEND_2_APIKEY=${SECRET}-c`,
    `${LEAST}\nHOST=0.0.0.0\nPORT=8080\nCLIENT_API_KEYS=team-a=${SECRET}-1,team-b=${SECRET}-2\nOPERATOR_KEYS=alice=${SECRET}-3\nCLIENT_LIMITS=team-a=50000tpm:300rpm:20concurrent,*=1rpm`,
    `${LEAST}\nENTRA_TENANT_ID=${GUID}\nENTRA_ALLOWED_CLIENTS=chat=${GUID}\nENTRA_AUDIENCES=api://${SECRET}/\nENTRA_ISSUERS=https://login.microsoftonline.us/${GUID}/v2.0\nENTRA_JWKS_URL=https://login.microsoftonline.us/{tenant}/keys`,
    `${LEAST}\nDEPLOYMENT_ALIASES=chat=gpt,embedding=emb\nBACKEND_1_DEPLOYMENTS=gpt=gpt-eu\nHTTP_TIMEOUT_SECONDS=230.5\nMAX_HOLD_SECONDS=0\nPRIORITY_WAIT_MS=150\nAFFINITY=prefix\nLOG_FORMAT=json\nALLOW_ANONYMOUS=true`,
    `${LEAST}\nMAX_BODY_BYTES=1048576\nMAX_BUFFERED_BYTES=2097152\nMAX_CONCURRENT_REQUESTS=10\nDRAIN_SECONDS=0.001\nSPILL_LONG_PROMPTS=true\nBACKEND_1_DEPLOYMENT_NAME=gpt\nAZURE_CLIENT_ID=${GUID}`,
  ),
  words: [
    ...wordsOf(
      '\n¦=¦,¦:¦*¦-¦.¦ ¦1¦0¦true¦false¦tpm¦rpm¦concurrent¦https://¦@¦/{tenant}¦?¦#¦127.0.0.1¦[::1]¦localhost',
      '\nBACKEND_2_URL=¦\nBACKEND_0_URL=¦\nBACKEND_9999_NAME=¦\nNODE_TLS_REJECT_UNAUTHORIZED=0',
      '\nCLIENT_LIMTS=1¦\n__proto__=1¦\nconstructor=1¦team-a¦*=1rpm¦xn--',
    ),
    ...bytesOf(
      ...SETTINGS.map((name) => `\n${name}=`),
      ...BACKEND_SETTINGS.map((ending) => `\nBACKEND_1_${ending}=`),
      GUID,
      SECRET,
    ),
  ],
  share: 0.3,
  check(bytes) {
    const env: Record<string, string> = Object.create(null);
    for (const line of bytes.toString('utf8').split('\n')) {
      const at = line.indexOf('=');
      if (at > 0) env[line.slice(0, at)] = line.slice(at + 1);
    }
    let config: Config;
    try {
      config = readConfig(env);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      return checkMistakes(error, env);
    }
    checkConfig(config);
    assert.deepEqual(readConfig(Object.fromEntries(Object.entries(env).toReversed())), config);
    return `read ${config.backends.length} ${config.entra !== undefined} ${config.clientKeys.length > 0} ${config.clientLimits.size > 0}`;
  },
};

function checkMistakes({ mistakes, message }: ConfigError, env: Readonly<Record<string, string>>): string {
  assert.ok(mistakes.length > 0);
  const names = Object.keys(env);
  const words: string[] = [];
  for (const mistake of mistakes) {
    const colon = mistake.indexOf(': ');
    const name = mistake.slice(0, colon);
    const isOurs = SETTINGS.includes(name) || /^BACKEND_[1-9]\d{0,3}_[A-Z_]+$/.test(name);
    assert.ok(colon > 0 && (isOurs || names.includes(name)), mistake);
    assert.doesNotMatch(mistake.slice(colon), /\n/);
    words.push(mistake.slice(colon + 2, colon + 20));
  }
  // A name is told, so that it can be put right; that of a variable is no secret.
  if (!names.some((name) => name.includes(SECRET))) assert.ok(!message.includes(SECRET), message);
  return [...new Set(words)].toSorted().slice(0, 2).join('|');
}

/** What is counted in milliseconds, bytes and requests is finite, and not negative. */
function checkConfig(config: Config): void {
  assert.ok(Object.isFrozen(config));
  for (const [name, value] of Object.entries(config)) {
    if (typeof value === 'number') assert.ok(Number.isFinite(value) && value >= 0, `${name} is ${value}`);
  }
  assert.ok(config.backends.length > 0);
  assert.equal(new Set(config.backends.map(({ name }) => name)).size, config.backends.length);
  for (const backend of config.backends) {
    assert.ok(Object.isFrozen(backend));
    const url = new URL(backend.origin);
    assert.equal(url.origin, backend.origin);
    assert.match(backend.origin, /^https?:\/\/[^/@?#\s]+$/);
    assert.ok(Number.isSafeInteger(backend.priority) && backend.weight > 0 && Number.isFinite(backend.weight));
    assert.ok(backend.capacity === undefined || (Number.isSafeInteger(backend.capacity) && backend.capacity > 0));
    const key = config.backendKeys.get(backend.name);
    assert.equal(backend.byIdentity, key === undefined);
  }
  const keys = [...config.clientKeys, ...config.operatorKeys].map(({ key }) => key);
  assert.equal(
    new Set([...keys, ...config.backendKeys.values()]).size,
    keys.length + new Set(config.backendKeys.values()).size,
  );
  for (const limit of config.clientLimits.values()) {
    const figures = Object.values(limit);
    assert.ok(figures.length > 0 && figures.every((figure) => Number.isSafeInteger(figure) && figure > 0));
  }
  // Nobody is let in by accident.
  const isLocked = config.clientKeys.length > 0 || config.entra !== undefined;
  assert.ok(
    isLocked || config.allowAnonymous || /^(?:localhost|\[?::1\]?|127\.[\d.]+)$/i.test(config.host),
    config.host,
  );
}
