// The azd template by what can be read of it; what it would deploy is in expanded*.test.ts. The real compiler runs here too where `bicep` is on PATH (dev container, GitHub).

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parse } from 'yaml';
import { BACKEND_SETTINGS, SETTINGS } from '../../app/src/settings.ts';
import { textOf } from '../support/sources.ts';
import { assertSame, inBackticks, namesIn, NONE, rowsOf } from '../support/tables.ts';
import {
  bicepFiles,
  declarationsOf,
  expressionsOf,
  MAIN,
  mappedParameters,
  ROOT,
  withInner,
} from './bicep/declared.ts';
import { bicepFile } from './bicep/expand.ts';
import type { Expression } from './bicep/syntax.ts';

const PAGE = 'docs/deployment.md';
const PAGES = ['README.md', PAGE, 'docs/security.md', 'docs/callers.md'];
const FILES = bicepFiles();

/** What azd and its hooks set, and people do not. */
const OF_AZD = ['AZURE_ENV_NAME', 'AZURE_LOCATION', 'AZURE_PRINCIPAL_ID', 'SERVICE_APP_RESOURCE_EXISTS'];

/** Read by @azure/identity, not by config.ts. */
const OF_LIBRARIES = ['AZURE_TOKEN_CREDENTIALS'];

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

/** Names of the functions that a file calls, with their first arguments where those are written out. */
function callsOf(path: string): readonly (readonly [name: string, argument: unknown])[] {
  return expressionsOf(path).flatMap((each) => {
    if (each.kind !== 'call') return [];
    const [first] = each.args;
    return [[each.name, first?.kind === 'literal' ? first.value : undefined] as const];
  });
}

/** A default as the docs have it. */
function writtenOf(value: Expression | undefined): string | undefined {
  if (value?.kind === 'literal') return String(value.value);
  if (value?.kind === 'array' && value.items.length === 0) return '[]';
  return value?.kind === 'name' ? `the value of ${value.name}` : undefined;
}

/** The variables of the app's container, the number of a backend as 1. */
function variablesOfContainer(): readonly string[] {
  const names = expressionsOf('infra/modules/app.bicep').flatMap((each) => {
    const properties = each.kind === 'object' ? each.properties : [];
    return properties.flatMap(({ key, value }) => (writtenOf(key) === 'name' ? [value] : []));
  });
  return names
    .map((name) =>
      name.kind === 'text'
        ? name.parts.map((part) => (typeof part === 'string' ? part : '1')).join('')
        : (writtenOf(name) ?? ''),
    )
    .filter((name) => /^[A-Z][A-Z0-9_]*$/.test(name));
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
      const inBicep = writtenOf(parameters.get(parameter)?.value);
      // Another parameter's value, where main.parameters.json gives none.
      if (inBicep === 'the value of openAiCapacity') assert.equal(fallback, '');
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
    assert.deepEqual(both[0]?.value, { kind: 'name', name: 'location' });
  });

  it('never default to a secret', () => {
    for (const path of FILES) {
      for (const { name, isSecure, value } of declarationsOf(path, 'param')) {
        if (isSecure && value !== undefined) assert.equal(writtenOf(value), '', `${path}: ${name}`);
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
    for (const path of FILES) {
      for (const { name, value } of declarationsOf(path, 'output')) {
        const used = value === undefined ? '' : JSON.stringify(withInner(value));
        for (const secret of secure) assert.ok(!used.includes(secret), `${path}: ${name}`);
      }
      for (const [name] of callsOf(path)) assert.doesNotMatch(name, /^list/i, path);
    }
  });
});

describe('the Bicep files', () => {
  it('name modules and texts that exist', () => {
    for (const path of FILES) {
      const modules = bicepFile(path).declarations.flatMap((each) => ('from' in each ? [each.from] : []));
      const texts = callsOf(path).flatMap(([name, to]) => (name === 'loadTextContent' ? [String(to)] : []));
      for (const to of [...modules, ...texts]) {
        assert.ok(existsSync(join(ROOT, dirname(path), to)), `${path} names ${to}`);
        assert.doesNotMatch(to, /^br[:/]|^ts[:/]/, 'modules of a registry need the network');
      }
    }
  });

  it('use no escape hatch of the type checker', () => {
    for (const path of FILES) {
      assert.ok(!callsOf(path).some(([name]) => name === 'any'), path);
      assert.doesNotMatch(textOf(path), /#disable/, path);
    }
  });

  it('describe every parameter and every output', () => {
    for (const path of FILES) {
      for (const kind of ['param', 'output'] as const) {
        for (const { name, isDescribed } of declarationsOf(path, kind)) assert.ok(isDescribed, `${path}: ${name}`);
      }
    }
  });

  it('compose in main.bicep: its only resource is the group', () => {
    assert.deepEqual(
      bicepFile(MAIN).declarations.flatMap((each) => (each.kind === 'resource' ? [[each.name, each.of]] : [])),
      [['group', 'Microsoft.Resources/resourceGroups@2024-03-01']],
    );
  });
});

describe('the container app', () => {
  it('gets variables that the balancer knows', () => {
    const known = new Set([...SETTINGS, ...BACKEND_SETTINGS.map((ending) => `BACKEND_1_${ending}`), ...OF_LIBRARIES]);
    const variables = variablesOfContainer();
    assert.ok(variables.length >= 15, String(variables));
    for (const name of variables) assert.ok(known.has(name), `${name} is no setting of the balancer`);
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
