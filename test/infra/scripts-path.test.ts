import assert from 'node:assert/strict';
import { join } from 'node:path';
import { parse } from 'yaml';
import { readFileSync } from 'node:fs';
import { SCRIPTS, underEachShell, type Stage } from './scripts/stage.ts';

const CONTAINER = 'https://balancer.example.azurecontainerapps.io';
const CHAT = 'OpenAI.GlobalStandard.gpt-5.4-mini';
const EMBEDDING = 'OpenAI.GlobalStandard.text-embedding-3-large';
const REGIONS = ['eastus2', 'swedencentral', 'westus3'];

/** The script that `azd up` runs for an event, as azure.yaml says: `sh ./scripts/preup.sh`. */
function hookOf(event: string): string {
  const project: unknown = parse(readFileSync(join(SCRIPTS, '../azure.yaml'), 'utf8'));
  const found: unknown = [`hooks`, event, 'posix', 'run'].reduce<unknown>(
    (value, key) =>
      typeof value === 'object' && value !== null
        ? Object.entries(value).find(([name]) => name === key)?.[1]
        : undefined,
    project,
  );
  const [, path] = /^sh (\.\/scripts\/\w+\.sh)$/.exec(String(found)) ?? [];
  assert.ok(path !== undefined, `azure.yaml runs no script for ${event}`);
  return join(SCRIPTS, '..', path);
}

/** `azd up` in its own order: each hook has the environment's values as they are then, and a hook that fails ends it. */
function writeUp(place: Stage): void {
  const hook = (event: string) => `(
  while IFS= read -r line; do export "\${line?}"; done <"$stage/dotenv"
  exec '${place.shell}' '${hookOf(event)}' </dev/null
) || exit 1`;
  const outputs = {
    AZURE_RESOURCE_GROUP: 'rg-dev',
    CONTAINER_APP_URL: CONTAINER,
    APIM_GATEWAY_URL: '',
    AZURE_OPENAI_CHAT_DEPLOYMENT: 'gpt-5.4-mini',
  };
  const lines = Object.entries(outputs).map(([name, value]) => `azd env set ${name} '${value}'`);
  place.write(
    'up',
    [hook('preup'), hook('preprovision'), ...lines, hook('postprovision'), hook('postdeploy')].join('\n'),
  );
  place.write('down', `sed -i -e '/^AZURE_RESOURCE_GROUP=/d' -e '/_URL=/d' "$stage/dotenv"\n`);
}

function writeAz(place: Stage, used: number): void {
  place.az('account-show', ['id']);
  for (const region of REGIONS) {
    place.az(
      `cognitiveservices-model-list.${region}`,
      ['gpt-5.4-mini', '2026-03-17', `GlobalStandard=${CHAT}`],
      ['text-embedding-3-large', '1', `GlobalStandard=${EMBEDDING}`],
    );
    place.az(`cognitiveservices-usage-list.${region}`, [CHAT, `${used}.0`, '50.0'], [EMBEDDING, `${used}.0`, '50.0']);
  }
}

underEachShell('the path of the article', (stage) => {
  const user = (place: Stage, ...lines: readonly string[]) => {
    place.write('user.sh', `set -eu\nexec </dev/null\n${lines.join('\n')}\n`);
    return place.runFile(join(place.folder, 'user.sh'), [], {});
  };

  it('leads from login to a URL that the chat app uses, to more capacity, and to nothing left', () => {
    const place = stage();
    writeUp(place);
    writeAz(place, 0);
    place.set({ AZURE_ENV_NAME: 'dev', AZURE_LOCATION: 'eastus2', AZURE_SUBSCRIPTION_ID: 'sub' });

    const up = user(place, 'azd auth login', 'azd up');
    assert.equal(up.code, 0, up.err);
    assert.match(
      up.out,
      /No lack of quota was found.*\n[\s\S]*OPENAI_HOST azure_custom[\s\S]*healthz answers\.\n.*answered a completion/,
    );

    const values = user(place, 'azd env get-values');
    assert.match(values.out, new RegExp(`^CONTAINER_APP_URL="${CONTAINER}"$`, 'm'));

    // The chat app is another azd project, with an environment of its own.
    const chatApp = stage(['azd']);
    const lines = [...up.out.matchAll(/^ {2}(azd env set .*)$/gm)].map(([, line]) => line ?? '');
    assert.equal(user(chatApp, ...lines).code, 0);
    assert.deepEqual(chatApp.values(), { OPENAI_HOST: 'azure_custom', AZURE_OPENAI_CUSTOM_URL: CONTAINER });

    // All of the quota is in use by then: 30 of 50 by this environment, 20 by others.
    writeAz(place, 50);
    place.az(
      'cognitiveservices-account-list',
      ...REGIONS.map((region, at) => [`acct${at + 1}`, `openai${at + 1}-tok-${region}`]),
    );
    for (const at of [1, 2, 3]) {
      const deployments = [
        ['gpt-5.4-mini', 'GlobalStandard', 50],
        ['text-embedding-3-large', 'GlobalStandard', 50],
      ] as const;
      place.az(`cognitiveservices-account-deployment-list.acct${at}`, ...deployments);
    }
    const more = user(place, 'azd env set OPENAI_CAPACITY 50', 'azd up');
    assert.equal(more.code, 0, more.err);

    const down = user(place, 'azd down --purge --force');
    assert.equal(down.code, 0);
    assert.deepEqual(
      Object.keys(place.values()).filter((name) => name.endsWith('_URL')),
      [],
    );
  });

  it('ends before anything is created when the capacity is mistyped', () => {
    const place = stage();
    writeUp(place);
    place.set({ AZURE_ENV_NAME: 'dev', AZURE_SUBSCRIPTION_ID: 'sub' });
    const { code, err, calls } = user(place, 'azd env set OPENAI_CAPACITY 50k', 'azd up');
    assert.equal(code, 1);
    assert.match(err, /azd env set OPENAI_CAPACITY 50$/m);
    assert.deepEqual(calls, ['azd env set OPENAI_CAPACITY 50k', 'azd up']);
  });

  it('needs neither az nor anything typed', () => {
    const place = stage(['azd', 'curl']);
    writeUp(place);
    place.set({ AZURE_ENV_NAME: 'dev', AZURE_SUBSCRIPTION_ID: 'sub' });
    const { code, out } = user(place, 'azd up --no-prompt');
    assert.equal(code, 0);
    assert.match(out, /Quota was not checked[\s\S]*answered a completion/);
  });
});
