import assert from 'node:assert/strict';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { textOf } from '../support/sources.ts';
import { filesUnder } from './docker/replay.ts';
import { listOf, recordOf, textIn, type Values } from './docker/values.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const WORKFLOWS = readdirSync(join(ROOT, '.github/workflows')).map((name) => `.github/workflows/${name}`);
const AZURE_DEV = '.github/workflows/azure-dev.yml';

/** What `azd pipeline config` always sets, beside what azure.yaml lists. */
const AZD_VARIABLES = [
  'AZURE_CLIENT_ID',
  'AZURE_TENANT_ID',
  'AZURE_SUBSCRIPTION_ID',
  'AZURE_ENV_NAME',
  'AZURE_LOCATION',
];
const AZD_SECRETS = ['AZD_INITIAL_ENVIRONMENT_CONFIG'];

/** Who may write what. */
const WRITES: Readonly<Record<string, readonly string[]>> = {
  [AZURE_DEV]: ['id-token'],
  '.github/workflows/bicep-audit.yml': ['security-events'],
};

interface Job {
  readonly name: string;
  readonly job: Values;
  readonly steps: readonly Values[];
}

function yamlOf(path: string): Values {
  return recordOf(parse(textOf(path), { uniqueKeys: true, strict: true }), path);
}

function jobsOf(path: string): readonly Job[] {
  const jobs = Object.entries(recordOf(yamlOf(path)['jobs'], `jobs of ${path}`));
  assert.ok(jobs.length > 0);
  return jobs.map(([name, value]) => {
    const job = recordOf(value, name);
    const steps = listOf(job['steps'], `steps of ${name}`).map((step) => recordOf(step, `a step of ${name}`));
    return { name, job, steps };
  });
}

const stepsOf = (path: string): readonly Values[] => jobsOf(path).flatMap(({ steps }) => steps);
const runsOf = (path: string): readonly string[] =>
  stepsOf(path).flatMap(({ run }) => (run === undefined ? [] : [textIn(run)]));

function scriptsOfPackage(): readonly string[] {
  return Object.keys(recordOf(recordOf(JSON.parse(textOf('package.json')))['scripts']));
}

function unknownScripts(text: string): readonly string[] {
  const known = new Set([...scriptsOfPackage(), 'ci', 'audit', 'install']);
  const named = [...text.matchAll(/\bnpm (?:run )?([a-z][a-z:]*)/g)].map(([, name = '']) => name);
  return named.filter((name) => !known.has(name));
}

for (const path of WORKFLOWS) {
  describe(path, () => {
    it('has a name, triggers, one run at a time, and jobs', () => {
      const workflow = yamlOf(path);
      assert.deepEqual(
        Object.keys(workflow).filter(
          (key) => !['name', 'on', 'concurrency', 'permissions', 'defaults', 'jobs'].includes(key),
        ),
        [],
      );
      textIn(workflow['name']);
      textIn(recordOf(workflow['concurrency'])['group']);
      assert.ok(Object.keys(recordOf(workflow['on'])).length > 0);
    });

    it('starts with no strangers’ code and secrets together', () => {
      const triggers = Object.keys(recordOf(yamlOf(path)['on']));
      const known = new Set(['push', 'pull_request', 'workflow_dispatch', 'schedule']);
      assert.deepEqual(
        triggers.filter((trigger) => !known.has(trigger)),
        [],
      );
      if (triggers.includes('pull_request')) assert.doesNotMatch(textOf(path), /\bsecrets\./);
    });

    it('permits nothing at the top, and each job no more than it needs', () => {
      assert.deepEqual(yamlOf(path)['permissions'], {});
      for (const { name, job } of jobsOf(path)) {
        const { contents, ...more } = recordOf(job['permissions'], `permissions of ${name}`);
        assert.equal(contents, 'read', name);
        assert.deepEqual(more, Object.fromEntries((WRITES[path] ?? []).map((scope) => [scope, 'write'])), name);
      }
    });

    it('says where each job runs and when it is given up', () => {
      for (const { name, job } of jobsOf(path)) {
        assert.match(textIn(job['runs-on'], name), /^(?:ubuntu|windows)-latest$/);
        assert.ok(typeof job['timeout-minutes'] === 'number', `${name} has no timeout-minutes`);
      }
    });

    it('has steps that either use an action or run a command', () => {
      for (const step of stepsOf(path)) {
        const {
          name,
          uses,
          run,
          shell,
          with: inputs,
          env,
          if: condition,
          'continue-on-error': goesOn,
          ...unknown
        } = step;
        assert.deepEqual(unknown, {}, JSON.stringify(step));
        assert.notEqual(uses === undefined, run === undefined, JSON.stringify(step));
        if (inputs !== undefined) assert.notEqual(uses, undefined, JSON.stringify(step));
        if (shell !== undefined) assert.notEqual(run, undefined, JSON.stringify(step));
        if (name !== undefined) textIn(name);
        if (env !== undefined) recordOf(env);
        if (condition !== undefined) textIn(condition);
        if (goesOn !== undefined) assert.equal(goesOn, true);
      }
    });

    it('pins each action by commit, and says its version beside it', () => {
      const lines = textOf(path).match(/^.*\buses:.*$/gm) ?? [];
      assert.equal(lines.length, stepsOf(path).filter(({ uses }) => uses !== undefined).length);
      for (const line of lines) assert.match(line, /uses: [\w-]+(?:\/[\w.-]+)+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/);
    });

    it('leaves no credential of GitHub in what it checked out', () => {
      const checkouts = stepsOf(path).filter(({ uses }) => String(uses).startsWith('actions/checkout@'));
      assert.equal(checkouts.length, jobsOf(path).length);
      for (const { with: inputs } of checkouts) assert.deepEqual(recordOf(inputs), { 'persist-credentials': false });
    });

    it('puts no expression into a command, where a title or a branch could be a command itself', () => {
      assert.deepEqual(
        runsOf(path).filter((run) => run.includes('${{')),
        [],
      );
    });

    it('runs npm scripts and reads files that there are', () => {
      for (const run of runsOf(path)) {
        assert.deepEqual(unknownScripts(run), [], run);
        const files = [...run.matchAll(/(?<![\w/$-])(?:infra|app|scripts)\/[\w./-]+\w/g)].map(([file]) => file);
        assert.deepEqual(
          files.filter((file) => !existsSync(join(ROOT, file))),
          [],
          run,
        );
      }
    });
  });
}

describe('the workflows', () => {
  it('use one version of each action', () => {
    const pins = new Map<string, Set<string>>();
    for (const { uses } of WORKFLOWS.flatMap(stepsOf)) {
      const [action = '', pin = ''] = uses === undefined ? [] : textIn(uses).split('@');
      if (action !== '') pins.set(action, (pins.get(action) ?? new Set()).add(pin));
    }
    assert.deepEqual(
      [...pins].filter(([, versions]) => versions.size > 1).map(([action]) => action),
      [],
    );
  });

  it("run the README's test command with the oldest Node.js that it names, and with the one that runs", () => {
    const { job, steps } = jobsOf('.github/workflows/ci.yml').find(({ name }) => name === 'test') ?? assert.fail();
    const { node } = recordOf(recordOf(job['strategy'])['matrix']);
    const [, oldest] =
      /Node\.js (\d+) or newer/.exec(textOf('README.md')) ?? assert.fail('README.md names no oldest Node.js');
    assert.deepEqual(node, [Number(oldest), Number(process.versions.node.split('.')[0])]);
    assert.ok(steps.some(({ run }) => run === 'npm ci && npm test'));
  });

  it('take the Bicep compiler from one release, everywhere', () => {
    const { job } = jobsOf('.github/workflows/ci.yml').find(({ name }) => name === 'infra') ?? assert.fail();
    const { BICEP_VERSION, BICEP_SHA256 } = recordOf(job['env']);
    assert.match(textIn(BICEP_SHA256), /^[0-9a-f]{64}$/);
    assert.match(textOf('.devcontainer/devcontainer.json'), new RegExp(`"bicepVersion": "v${textIn(BICEP_VERSION)}"`));
  });
});

describe(AZURE_DEV, () => {
  const pipeline = recordOf(yamlOf('azure.yaml')['pipeline']);
  const variables = listOf(pipeline['variables']).map((name) => textIn(name));
  const secrets = listOf(pipeline['secrets']).map((name) => textIn(name));
  const [deploy = assert.fail()] = jobsOf(AZURE_DEV);
  const step = (command: string): Values =>
    deploy.steps.find(({ run }) => String(run).startsWith(command)) ?? assert.fail(command);

  it('hands over every variable that azure.yaml lists, and those of azd', () => {
    const expected = [...AZD_VARIABLES, ...variables].map((name) => [name, `\${{ vars.${name} }}`]);
    assert.deepEqual(deploy.job['env'], Object.fromEntries(expected));
  });

  it('hands the secrets that azure.yaml lists to the one step that needs them', () => {
    const expected = [...AZD_SECRETS, ...secrets].map((name) => [name, `\${{ secrets.${name} }}`]);
    assert.deepEqual(step('azd provision')['env'], Object.fromEntries(expected));
    assert.equal(textOf(AZURE_DEV).match(/\bsecrets\./g)?.length, expected.length);
  });

  it('logs in without a password, provisions and deploys without asking', () => {
    const commands = deploy.steps.flatMap(({ run }) => (run === undefined ? [] : [textIn(run)]));
    assert.deepEqual(
      commands.map((command) => command.split(/\s*\\?\n\s*|\s+--client-id/)[0]),
      ['azd auth login', 'azd provision --no-prompt', 'azd deploy --no-prompt'],
    );
    assert.match(commands[0] ?? '', /--federated-credential-provider github/);
  });

  it('never cuts a deployment off', () => {
    assert.equal(recordOf(yamlOf(AZURE_DEV)['concurrency'])['cancel-in-progress'], false);
  });
});

describe('.devcontainer/devcontainer.json', () => {
  const container = recordOf(JSON.parse(textOf('.devcontainer/devcontainer.json')));
  const features = recordOf(container['features']);

  it("is based on Microsoft's image with the Node.js that runs", () => {
    const major = process.versions.node.split('.')[0];
    assert.match(
      textIn(container['image']),
      new RegExp(`^mcr\\.microsoft\\.com/devcontainers/typescript-node:\\d+-${major}-[a-z]+$`),
    );
  });

  it('has azd, the Azure CLI with Bicep, Docker, GitHub’s CLI and PowerShell, each of one major version', () => {
    const names = Object.keys(features).map((feature) => /\/([\w-]+):\d+$/.exec(feature)?.[1] ?? feature);
    assert.deepEqual(names.toSorted(), ['azd', 'azure-cli', 'docker-in-docker', 'github-cli', 'powershell']);
    assert.equal(recordOf(features['ghcr.io/devcontainers/features/azure-cli:1'])['installBicep'], true);
  });

  it('installs what the tests need, and forwards the port that npm start listens on', () => {
    assert.equal(container['postCreateCommand'], 'npm ci');
    assert.deepEqual(container['forwardPorts'], [8080]);
    textIn(recordOf(recordOf(container['portsAttributes'])['8080'])['label']);
  });

  it('names its extensions as publisher and name', () => {
    const { vscode } = recordOf(container['customizations']);
    for (const extension of listOf(recordOf(vscode)['extensions'])) assert.match(textIn(extension), /^[\w-]+\.[\w-]+$/);
  });
});

describe('.github/dependabot.yml', () => {
  const updates = listOf(yamlOf('.github/dependabot.yml')['updates']).map((update) => recordOf(update));

  it('looks after everything that is pinned', () => {
    assert.equal(yamlOf('.github/dependabot.yml')['version'], 2);
    assert.deepEqual(updates.map((update) => textIn(update['package-ecosystem'])).toSorted(), [
      'devcontainers',
      'docker',
      'github-actions',
      'npm',
    ]);
  });

  it('looks where it is', () => {
    const files: Readonly<Record<string, string>> = {
      devcontainers: '.devcontainer/devcontainer.json',
      docker: 'Dockerfile',
      'github-actions': '.github/workflows',
      npm: 'package.json',
    };
    for (const { 'package-ecosystem': ecosystem, directory, schedule } of updates) {
      const file = posix.join('.', textIn(directory), files[textIn(ecosystem)] ?? assert.fail());
      assert.ok(existsSync(join(ROOT, file)), file);
      assert.match(textIn(recordOf(schedule)['interval']), /^(?:weekly|monthly)$/);
    }
  });
});

describe('.github/ISSUE_TEMPLATE/bug.yml', () => {
  const form = yamlOf('.github/ISSUE_TEMPLATE/bug.yml');
  const body = listOf(form['body']).map((item) => recordOf(item));

  it('is a form that GitHub understands', () => {
    textIn(form['name']);
    textIn(form['description']);
    const ids = body.flatMap(({ id, type, attributes, validations, ...unknown }) => {
      assert.deepEqual(unknown, {});
      assert.ok(['markdown', 'textarea', 'input', 'dropdown', 'checkboxes'].includes(textIn(type)));
      textIn(recordOf(attributes)[type === 'markdown' ? 'value' : 'label']);
      if (type === 'dropdown') assert.ok(listOf(recordOf(attributes)['options']).length > 1);
      if (validations !== undefined) assert.deepEqual(validations, { required: true });
      return type === 'markdown' ? [] : [textIn(id)];
    });
    assert.equal(new Set(ids).size, ids.length);
  });

  it('asks for log lines, settings and versions, and for no secret', () => {
    const text = textOf('.github/ISSUE_TEMPLATE/bug.yml');
    for (const asked of [/azd version/, /WARNING or ERROR/, /without secrets/, /Leave out every key/])
      assert.match(text, asked);
  });
});

describe('the repository', () => {
  // https://github.com/Azure-Samples/azd-template-artifacts, definition of done, and what its validation looks for.
  for (const path of [
    'README.md',
    'LICENSE',
    'SECURITY.md',
    'CODE_OF_CONDUCT.md',
    'CONTRIBUTING.md',
    'azure.yaml',
    'infra',
    '.devcontainer/devcontainer.json',
    '.github/ISSUE_TEMPLATE',
    '.github/PULL_REQUEST_TEMPLATE.md',
    AZURE_DEV,
  ]) {
    it(`has what the azd gallery asks for: ${path}`, () => assert.ok(existsSync(join(ROOT, path))));
  }

  const documents = ['CONTRIBUTING.md', 'CODE_OF_CONDUCT.md', '.github/PULL_REQUEST_TEMPLATE.md'];
  for (const path of documents) {
    it(`has links and npm scripts that lead somewhere: ${path}`, () => {
      const text = textOf(path);
      const targets = [...text.matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)/g)].map(([, target = '']) => target);
      const missing = targets.filter((target) => !existsSync(join(ROOT, posix.dirname(path), target)));
      assert.deepEqual([...missing, ...unknownScripts(text)], []);
      const named = [...text.matchAll(/\b(?:test|app|infra)\/[\w./-]+\.\w+/g)].map(([file]) => file);
      assert.deepEqual(
        named.filter((file) => !existsSync(join(ROOT, file))),
        [],
      );
    });
  }

  it('has no line that waits to be filled in', () => {
    const waiting = [...documents, ...filesUnder(ROOT, '.github')].filter((path) =>
      /\bTODO\b|\bTBD\b|\bFIXME\b|<(?:owner|org|repo|your)[\s->]/i.test(textOf(path)),
    );
    assert.deepEqual(waiting, []);
  });

  it('ends lines as Linux does wherever sh, docker or GitHub reads them, and every file with a line', () => {
    const paths = ['azure.yaml', '.dockerignore', ...documents, 'app/Dockerfile'].concat(
      ['.github', '.devcontainer', 'infra', 'scripts'].flatMap((folder) => filesUnder(ROOT, folder)),
    );
    const wrong = paths.filter(
      (path) => !path.endsWith('.ps1') && (textOf(path).includes('\r') || !textOf(path).endsWith('\n')),
    );
    assert.deepEqual(wrong, []);
    assert.match(textOf('.gitattributes'), /^\* text=auto eol=lf$/m);
  });

  it('has shell scripts that a clone can run', function () {
    if (process.platform === 'win32') this.skip();
    const wrong = filesUnder(ROOT, 'scripts')
      .filter((path) => path.endsWith('.sh') && textOf(path).startsWith('#!'))
      .filter((path) => (statSync(join(ROOT, path)).mode & 0o111) === 0);
    assert.deepEqual(wrong, []);
  });
});
