// The azd template by what can be read of it. The real compiler runs here too where `bicep` is on PATH (dev container, GitHub).

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parse } from 'yaml';
import { readConfig } from '../../app/src/config.ts';
import { BACKEND_SETTINGS, SETTINGS } from '../../app/src/settings.ts';
import { bicepFiles, codeOf, declarationsOf, MAIN, mappedParameters, ROOT } from '../support/bicep.ts';
import { textOf } from '../support/sources.ts';
import { assertSame, inBackticks, namesIn, NONE, rowsOf } from '../support/tables.ts';

const PAGE = 'docs/deployment.md';
const PAGES = ['README.md', PAGE, 'docs/security.md', 'docs/callers.md'];
const FILES = bicepFiles();
const ALL = FILES.map((path) => codeOf(path)).join('\n');

/** What azd and its hooks set, and people do not. */
const OF_AZD = ['AZURE_ENV_NAME', 'AZURE_LOCATION', 'AZURE_PRINCIPAL_ID', 'SERVICE_APP_RESOURCE_EXISTS'];

/** Read by @azure/identity, not by config.ts. */
const OF_LIBRARIES = ['AZURE_TOKEN_CREDENTIALS'];

const ROLES: Readonly<Record<string, string>> = {
  // Cognitive Services OpenAI User, AcrPull, Monitoring Metrics Publisher
  'infra/modules/openai.bicep': '5e0bd9bd-7b93-4f28-af87-19fc36ad61bd',
  'infra/modules/registry.bicep': '7f951dda-4ed3-4680-a7ca-43fe172d538d',
  'infra/modules/monitoring.bicep': '3913510d-42f4-4e42-8a64-420c390055eb',
};

interface Hook {
  readonly shell: string;
  readonly run: string;
  readonly interactive: boolean;
}

interface AzureYaml {
  readonly requiredVersions: { readonly azd: string };
  readonly services: { readonly app: Readonly<Record<string, unknown>> };
  readonly hooks: Readonly<Record<string, { readonly posix: Hook; readonly windows: Hook }>>;
  readonly pipeline: { readonly variables: readonly string[]; readonly secrets: readonly string[] };
}

const azureYaml: AzureYaml = parse(textOf('azure.yaml'));

/** `services.app.docker.path` and so on, down to lists and single values. */
function keysOf(value: unknown, prefix = ''): readonly string[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [prefix];
  return Object.entries(value).flatMap(([key, inner]) => keysOf(inner, prefix === '' ? key : `${prefix}.${key}`));
}

function isInstalled(command: string): boolean {
  return spawnSync(command, ['--version']).status === 0;
}

/** The variables of the app's container, `n` for a number. */
function variablesOfContainer(): readonly string[] {
  return [...codeOf('infra/modules/app.bicep').matchAll(/\{ name: '([A-Z][A-Z0-9_]*(?:\$\{i \+ 1\}\w+)?)'/g)].map(
    ([, name = '']) => name.replace('${i + 1}', '1'),
  );
}

describe('azure.yaml', () => {
  it('has the keys that we mean and no others: the schema lets misspelt ones pass', () => {
    const hooks = ['preup', 'preprovision', 'postprovision', 'postdeploy'];
    const ofHooks = hooks.flatMap((hook) =>
      ['posix', 'windows'].flatMap((os) => ['shell', 'run', 'interactive'].map((key) => `hooks.${hook}.${os}.${key}`)),
    );
    const expected = [
      'name',
      'metadata.template',
      'requiredVersions.azd',
      'pipeline.variables',
      'pipeline.secrets',
    ].concat(
      ['project', 'language', 'host', 'condition', 'docker.path', 'docker.context', 'docker.remoteBuild'].map(
        (key) => `services.app.${key}`,
      ),
      ofHooks,
    );
    assertSame(keysOf(azureYaml), expected, 'azure.yaml');
  });

  it('builds the image in the registry, from the root of the repository', () => {
    assert.deepEqual(azureYaml.services.app, {
      project: '.',
      language: 'ts',
      host: 'containerapp',
      condition: '${DEPLOY_CONTAINER_APP=true}',
      docker: { path: './app/Dockerfile', context: '.', remoteBuild: true },
    });
    assert.ok(existsSync(join(ROOT, 'app/Dockerfile')));
  });

  it('has a hook for each kind of shell, with a script that exists', () => {
    for (const [name, { posix, windows }] of Object.entries(azureYaml.hooks)) {
      assert.deepEqual([posix.shell, windows.shell], ['sh', 'pwsh']);
      // By a command: azd does not quote the path of a file, and the repository's may have blanks.
      assert.equal(posix.run, `sh ./scripts/${name}.sh`);
      assert.equal(windows.run, `./scripts/${name}.ps1`);
      for (const end of ['sh', 'ps1']) assert.ok(existsSync(join(ROOT, `scripts/${name}.${end}`)), `${name}.${end}`);
    }
  });

  it('hands every setting of people to a pipeline, the secret ones as secrets', () => {
    const secure = new Set(declarationsOf(MAIN, 'param').flatMap(({ name, isSecure }) => (isSecure ? [name] : [])));
    const mapped = mappedParameters().filter(({ variable }) => !OF_AZD.includes(variable));
    const variables = mapped.flatMap(({ parameter, variable }) => (secure.has(parameter) ? [] : [variable]));
    const secrets = mapped.flatMap(({ parameter, variable }) => (secure.has(parameter) ? [variable] : []));
    assertSame(azureYaml.pipeline.variables, variables, 'pipeline.variables');
    assertSame(azureYaml.pipeline.secrets, secrets, 'pipeline.secrets');
  });
});

describe('the settings of the template', () => {
  it('map to parameters that exist, and every parameter is mapped', () => {
    const parameters = declarationsOf(MAIN, 'param').map(({ name }) => name);
    const mapped = mappedParameters();
    assertSame(
      mapped.map(({ parameter }) => parameter),
      parameters,
      'infra/main.parameters.json',
    );
    for (const { parameter, variable } of mapped) assert.match(variable, /^[A-Z][A-Z0-9_]+$/, parameter);
  });

  it('are all documented, and every documented one is used', () => {
    const settings = mappedParameters().map(({ variable }) => variable);
    assertSame(
      namesIn(PAGE, 'variable'),
      settings.filter((name) => !OF_AZD.includes(name)),
      PAGE,
    );
    for (const name of OF_AZD) {
      assert.ok(settings.includes(name), name);
      assert.ok(textOf(PAGE).includes(`\`${name}\``), `${PAGE} does not name ${name}`);
    }
  });

  it('have one default: in the docs, in main.parameters.json and in Bicep', () => {
    const parameters = new Map(declarationsOf(MAIN, 'param').map((declared) => [declared.name, declared]));
    const documented = new Map(
      rowsOf(PAGE, 'variable').map(([name = '', fallback = '']) => [inBackticks(name)[0], fallback]),
    );
    for (const { parameter, variable, fallback = '' } of mappedParameters()) {
      if (OF_AZD.includes(variable)) continue;
      const written = fallback === '' || fallback === '[]' ? NONE : fallback;
      assert.equal(documented.get(variable), written, `${variable} in ${PAGE}`);
      const inBicep = parameters.get(parameter)?.fallback?.replace(/^'(.*)'$/, '$1');
      // Another parameter's value, where main.parameters.json gives none.
      if (inBicep === 'openAiCapacity') assert.equal(fallback, '');
      else assert.equal(inBicep, fallback, parameter);
    }
  });

  it('are those whose names the hooks know, in both kinds of shell', () => {
    const settings = mappedParameters().flatMap(({ variable }) => (OF_AZD.includes(variable) ? [] : [variable]));
    for (const path of ['scripts/settings.sh', 'scripts/settings.ps1']) {
      const [, known = ''] = /^\$?settings ?= ?'([^']+)'$/m.exec(textOf(path)) ?? [];
      assertSame(known.split(' '), settings, path);
    }
  });

  it('have no name that an output has too: it would come back as a setting at the next deployment', () => {
    const settings = new Set(mappedParameters().map(({ variable }) => variable));
    const both = declarationsOf(MAIN, 'output').filter(({ name }) => settings.has(name));
    assert.deepEqual(
      both.map(({ name }) => name),
      // The very same value.
      ['AZURE_LOCATION'],
    );
    assert.match(ALL, /^output AZURE_LOCATION string = location$/m);
  });

  it('never default to a secret', () => {
    for (const path of FILES) {
      for (const { name, isSecure, fallback = "''" } of declarationsOf(path, 'param')) {
        if (isSecure) assert.equal(fallback, "''", `${path}: ${name}`);
      }
    }
  });
});

describe('the outputs of the template', () => {
  it('are all documented, and every documented one exists', () => {
    const outputs = declarationsOf(MAIN, 'output').map(({ name }) => name);
    assertSame(namesIn(PAGE, 'output'), outputs, PAGE);
    for (const name of outputs) assert.match(name, /^[A-Z][A-Z0-9_]+$/);
  });

  it('are what the pages call them', () => {
    const known = new Set([
      ...declarationsOf(MAIN, 'output').map(({ name }) => name),
      ...mappedParameters().map(({ variable }) => variable),
    ]);
    for (const path of PAGES) {
      const named = textOf(path).match(/\b(?:CONTAINER_APP|APIM_GATEWAY)_\w+\b/g) ?? [];
      for (const name of named) assert.ok(known.has(name), `${path} names ${name}`);
    }
  });

  it('hold no secret', () => {
    const secure = declarationsOf(MAIN, 'param').flatMap(({ name, isSecure }) => (isSecure ? [name] : []));
    assert.deepEqual(secure.toSorted(), ['clientApiKeys', 'operatorKeys']);
    for (const line of ALL.match(/^output .*$/gm) ?? []) {
      for (const name of secure) assert.ok(!line.includes(name), line);
    }
    assert.doesNotMatch(ALL, /\blist(?:Keys|Secrets|Credentials)?\(/i);
  });
});

describe('the Bicep files', () => {
  it('name modules and texts that exist', () => {
    for (const path of FILES) {
      const named = [...codeOf(path).matchAll(/(?:^module \w+ |\bfrom |loadTextContent\()'([^']+)'/gm)];
      for (const [, to = ''] of named) {
        assert.ok(existsSync(join(ROOT, dirname(path), to)), `${path} names ${to}`);
        assert.doesNotMatch(to, /^br[:/]|^ts[:/]/, 'modules of a registry need the network');
      }
    }
  });

  it('use no escape hatch of the type checker', () => {
    assert.doesNotMatch(ALL, /\bany\(|#disable/);
  });

  it('describe every parameter and every output', () => {
    for (const path of FILES) {
      for (const kind of ['param', 'output'] as const) {
        for (const { name, isDescribed } of declarationsOf(path, kind)) assert.ok(isDescribed, `${path}: ${name}`);
      }
    }
  });

  it('compose in main.bicep: its only resource is the group', () => {
    assert.deepEqual(codeOf(MAIN).match(/^resource .*$/gm), [
      "resource group 'Microsoft.Resources/resourceGroups@2024-03-01' = {",
    ]);
  });

  it('tag everything with the environment, and one thing for azd to deploy to', () => {
    assert.match(codeOf(MAIN), /^var tags = \{ 'azd-env-name': environmentName \}$/m);
    assert.equal(ALL.match(/'azd-service-name'/g)?.length, 1);
    assert.match(codeOf(MAIN), /^module app [\s\S]*?'azd-service-name': 'app'[\s\S]*?^\}/m);
    for (const path of FILES.filter((name) => name.startsWith('infra/modules/'))) {
      const located = codeOf(path).match(/^\s+location: location$/gm)?.length ?? 0;
      const tags = codeOf(path).match(/^\s+tags: tags$/gm)?.length ?? 0;
      assert.equal(tags, located, `${path}: what has a location has tags`);
    }
  });

  it('give each role on one resource only, to the identity, as a service principal', () => {
    for (const [path, role] of Object.entries(ROLES)) {
      const code = codeOf(path);
      assert.deepEqual(code.match(/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g), [role], path);
      assert.match(
        code,
        /Microsoft\.Authorization\/roleAssignments@[\d-]+' = \{\n {2}name: guid\([^\n]+\n {2}scope: \w+\n/,
      );
      assert.match(code, /principalType: 'ServicePrincipal'/);
    }
    assert.equal(ALL.match(/Microsoft\.Authorization\/roleAssignments@/g)?.length, Object.keys(ROLES).length);
  });

  it('leave no key to steal: local keys, admin users and anonymous pulls are off', () => {
    const off: Readonly<Record<string, RegExp>> = {
      'infra/modules/openai.bicep': /disableLocalAuth: true/,
      'infra/modules/registry.bicep': /adminUserEnabled: false\n\s+anonymousPullEnabled: false/,
      'infra/modules/monitoring.bicep': /disableLocalAuth: true[\s\S]+DisableLocalAuth: true/,
      'infra/modules/app.bicep': /allowInsecure: false/,
      'infra/modules/environment.bicep': /destination: 'azure-monitor'/,
    };
    for (const [path, setting] of Object.entries(off)) assert.match(codeOf(path), setting, path);
  });

  it('make one deployment at a time on a resource', () => {
    assert.match(codeOf('infra/modules/openai.bicep'), /^@batchSize\(1\)\nresource deployment /m);
  });

  it('put the number of a resource first in its host name, where the log line shows it', () => {
    assert.match(codeOf(MAIN), /var names = map\(regions, \(region, i\) => 'openai\$\{i \+ 1\}-/);
  });

  it('wait for the roles before the fronts start', () => {
    for (const front of ['app', 'apim']) {
      assert.match(codeOf(MAIN), new RegExp(`^module ${front} [\\s\\S]*?^  dependsOn: \\[openAi\\]\\n\\}`, 'm'));
    }
  });
});

describe('the container app', () => {
  const app = codeOf('infra/modules/app.bicep');

  it('gets variables that the balancer knows', () => {
    const known = new Set([...SETTINGS, ...BACKEND_SETTINGS.map((ending) => `BACKEND_1_${ending}`), ...OF_LIBRARIES]);
    const variables = variablesOfContainer();
    assert.ok(variables.length >= 15, String(variables));
    for (const name of variables) assert.ok(known.has(name), `${name} is no setting of the balancer`);
  });

  it('starts with them: the balancer accepts such settings', () => {
    const id = '11111111-2222-3333-4444-555555555555';
    const values: Readonly<Record<string, string>> = {
      HOST: '0.0.0.0',
      PORT: '8080',
      DRAIN_SECONDS: '570',
      AZURE_CLIENT_ID: id,
      AZURE_TOKEN_CREDENTIALS: 'ManagedIdentityCredential',
      DEPLOYMENT_ALIASES: 'chat=gpt-5.4-mini,embedding=text-embedding-3-large',
      ENTRA_TENANT_ID: id,
      BACKEND_1_URL: 'https://openai1-abcdefghijklm-eastus2.openai.azure.com',
      BACKEND_1_NAME: 'openai1',
      BACKEND_1_PRIORITY: '1',
      BACKEND_1_WEIGHT: '1',
    };
    const optional: Readonly<Record<string, string>> = {
      BACKEND_1_DEPLOYMENTS: 'gpt-5.4-mini=ptu',
      CLIENT_API_KEYS: 'team-a=a-key-of-some-length-1',
      OPERATOR_KEYS: 'alice=a-key-of-some-length-2',
      CLIENT_LIMITS: 'team-a=50000tpm',
      ENTRA_ALLOWED_CLIENTS: `chat-app=${id}`,
      ENTRA_ALLOWED_OPERATORS: `deployer=${id}`,
    };
    assertSame(Object.keys({ ...values, ...optional }), variablesOfContainer(), 'this test');
    assert.equal(readConfig(values).host, '0.0.0.0');
    const config = readConfig({ ...values, ...optional });
    assert.equal(config.drainMs, 570_000);
    assert.deepEqual([...(config.entra?.allowedOperators.values() ?? [])], ['deployer']);
  });

  it('has keys in secrets only', () => {
    for (const name of ['CLIENT_API_KEYS', 'OPERATOR_KEYS']) {
      assert.match(app, new RegExp(`\\{ name: '${name}', secretRef: '[a-z-]+' \\}`));
      assert.doesNotMatch(app, new RegExp(`name: '${name}', value:`));
    }
  });

  it('drains for less time than its platform gives it', () => {
    assert.match(app, /^var graceSeconds = 600$/m);
    assert.match(app, /^var drainSeconds = graceSeconds - 30$/m);
    assert.match(app, /terminationGracePeriodSeconds: graceSeconds/);
  });

  it('is probed at a path that asks no backend, the same before and after the first image', () => {
    assert.deepEqual(app.match(/path: '[^']+'/g), Array(3).fill("path: '/healthz'"));
    // `exists` decides which image, and nothing else.
    assert.deepEqual(app.match(/.*\bexists\b.*/g), ['param exists bool', '  params: { name: name, exists: exists }']);
    assert.equal(app.match(/\bcurrent\b/g)?.length, 3);
  });

  it('keeps at least one replica, and adds one for each hundred requests at a time', () => {
    assert.match(app, /concurrentRequests: '100'/);
    assert.match(codeOf(MAIN), /@minValue\(1\)\nparam minReplicas int = 1/);
  });

  it('never lets everybody in', () => {
    assert.doesNotMatch(ALL, /ALLOW_ANONYMOUS/);
    assert.match(codeOf(MAIN), /^var tenants = empty\(entraTenantIds\) \? tenant\(\)\.tenantId : entraTenantIds$/m);
    assert.match(app, /\{ name: 'ENTRA_TENANT_ID', value: entraTenantIds \}/);
  });
});

if (isInstalled('bicep')) {
  describe('the Bicep compiler', function () {
    this.timeout(120_000);
    for (const path of FILES) {
      it(`builds ${path}`, () => {
        execFileSync('bicep', ['build', '--stdout', path], { cwd: ROOT, stdio: ['ignore', 'ignore', 'inherit'] });
      });
      it(`has nothing to say of ${path}`, () => {
        const { stderr, stdout, status } = spawnSync('bicep', ['lint', path], { cwd: ROOT, encoding: 'utf8' });
        assert.deepEqual({ status, said: `${stdout}${stderr}`.trim() }, { status: 0, said: '' });
      });
    }
  });
}
