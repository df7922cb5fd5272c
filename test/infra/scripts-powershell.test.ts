/** PowerShell is not at hand where the tests run, so the twins for Windows are compared with the scripts that were run, line by line. */
import assert from 'node:assert/strict';
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { SCRIPTS } from './scripts/stage.ts';

const NAMES = ['postdeploy', 'postprovision', 'preprovision', 'preup', 'purge', 'settings'];

/** HttpClient is a part of Windows; elsewhere curl may be missing. */
const WITHOUT_CURL = /^see whether there is curl$|^curl is not installed/;

/** git gives ps1 files the line ends of Windows. */
function textOf(name: string): string {
  return readFileSync(join(SCRIPTS, name), 'utf8').replaceAll('\r\n', '\n');
}

function stepsOf(name: string): readonly string[] {
  return [...textOf(name).matchAll(/^\s*# Step: (.*)$/gm)]
    .map(([, step]) => step ?? '')
    .filter((step) => !WITHOUT_CURL.test(step));
}

/** Everything that is said, in the order of the alphabet, with variables written one way. */
function messagesOf(name: string): readonly string[] {
  const spoken = name.endsWith('.sh')
    ? /\b(?:say|complain|mistake|not_checked|wait_more) "((?:[^"\\]|\\.)*)"/g
    : /\b(?:say|complain|mistake|not_checked|wait_more) "((?:[^"`]|`.)*)"/g;
  const texts = [...textOf(name).matchAll(spoken)].map(([, text]) =>
    (text ?? '')
      .replaceAll(/[\\`]"/g, '"')
      .replaceAll(/\$\{?([A-Za-z_]+)\}?/g, (_, variable: string) => `<${variable.toLowerCase()}>`),
  );
  return [...new Set(texts)].toSorted().filter((text) => !/^(?:- )?<\w+>$/.test(text) && !WITHOUT_CURL.test(text));
}

/** The code alone: without comments and what is in quotes. */
function codeOf(name: string): string {
  return textOf(name).replaceAll(/"(?:[^"`]|`.)*"|'[^']*'|#.*$/gm, (found) => (found.startsWith('#') ? '' : "''"));
}

describe('the scripts for Windows', () => {
  it('are twins of the others, one for one', () => {
    const files = readdirSync(SCRIPTS);
    assert.deepEqual(
      files.filter((name) => name.endsWith('.sh')).toSorted(),
      NAMES.map((name) => `${name}.sh`),
    );
    assert.deepEqual(
      files.filter((name) => name.endsWith('.ps1')).toSorted(),
      NAMES.map((name) => `${name}.ps1`),
    );
  });

  for (const name of NAMES) {
    it(`take the same steps in the same order: ${name}`, () => {
      assert.deepEqual(stepsOf(`${name}.ps1`), stepsOf(`${name}.sh`));
      if (name !== 'preup') assert.ok(stepsOf(`${name}.sh`).length > 1);
    });

    it(`say the same: ${name}`, () => {
      assert.deepEqual(messagesOf(`${name}.ps1`), messagesOf(`${name}.sh`));
      if (name !== 'preup') assert.ok(messagesOf(`${name}.sh`).length > 3);
    });

    it(`are of ASCII, so that Windows PowerShell 5.1 reads them right: ${name}`, () => {
      assert.match(textOf(`${name}.ps1`), /^[\n\x20-\x7e]*$/);
    });

    it(`use nothing that came after Windows PowerShell 5.1: ${name}`, () => {
      const code = codeOf(`${name}.ps1`);
      assert.doesNotMatch(code, /[?]|&&|\|\|/, 'null-coalescing, ternary or chains');
      assert.doesNotMatch(
        code,
        /-Parallel\b|-AsHashtable\b|-SkipHttpErrorCheck\b|Join-String|Get-Error\b|\$Is(?:Windows|Linux|MacOS)\b/,
      );
      // These throw away what a refusal says, or prompt, or show what should not be shown.
      assert.doesNotMatch(code, /Invoke-WebRequest|Invoke-RestMethod|Invoke-Expression|Read-Host|Write-Host/);
      assert.match(code, /^\$ErrorActionPreference = ''$/m);
    });

    it(`use only variables and functions that there are: ${name}`, () => {
      const code = codeOf(`${name}.ps1`);
      const all = [code, name === 'settings' ? '' : codeOf('settings.ps1')].join('\n');
      const own = new Set([
        'true',
        'false',
        'null',
        '_',
        'args',
        'Matches',
        'PSScriptRoot',
        'LASTEXITCODE',
        'ErrorActionPreference',
      ]);
      const settings = new Set(
        [
          ...all.matchAll(
            /\$(\w+)(?=(?:, \$\w+)* (?:=|in\b)|\+\+)|(?<=^function [\w-]+\(.*|\(\[string\[\]\] )\$(\w+)/gm,
          ),
        ].map(([, assigned, parameter]) => assigned ?? parameter ?? ''),
      );
      // In texts too, where a colon after a name would make it a drive's.
      const text = textOf(`${name}.ps1`).replaceAll(/"(?:[^"`]|`.)*"|'[^']*'|#.*$/gm, (found) =>
        found.startsWith('"') ? found : '',
      );
      assert.doesNotMatch(text, /"[^"\n]*\$(?!env\b)\w+:/);
      const used = [...text.matchAll(/\$\{?([A-Za-z_]\w*)(?!\w|:)/g)].map(([, variable]) => variable ?? '');
      assert.deepEqual(
        [...new Set(used)].filter((variable) => !own.has(variable) && !settings.has(variable)),
        [],
      );
      const functions = new Set([...all.matchAll(/^function ([\w-]+)/gm)].map(([, found]) => found ?? ''));
      const cmdlets = new Set([
        'Add-Type',
        'ForEach-Object',
        'Get-Command',
        'Get-Date',
        'New-Object',
        'Start-Sleep',
        'Where-Object',
      ]);
      const called = [...code.matchAll(/(?<![\w$.-])[A-Z][a-z]+-[A-Z]\w+/g)].map(([found]) => found);
      assert.deepEqual(
        [...new Set(called)].filter((found) => !functions.has(found) && !cmdlets.has(found)),
        [],
      );
    });

    it(`compare as exactly as sh does: ${name}`, () => {
      assert.doesNotMatch(
        codeOf(`${name}.ps1`),
        /(?<!\$null )-(?:eq|ne|match|notmatch|like|contains|notcontains|replace) (?!0\b|\$before)/,
      );
    });

    it(`run programs only where the exit code is looked at: ${name}`, () => {
      const code = codeOf(`${name}.ps1`);
      assert.doesNotMatch(code, /^\s*(?:\w.*\| *)?(?:&\s*)?(?:az|azd|curl)\b/m);
      const runs = code.match(/& \$program\b.*\n.*\$LASTEXITCODE/g) ?? [];
      assert.equal(code.match(/(?:^|[^&])& /gm)?.length ?? 0, runs.length);
      assert.equal(runs.length, name === 'settings' ? 1 : 0);
    });
  }

  it('ask az and azd for the very same things', () => {
    const queries = readFileSync(join(SCRIPTS, '../test/infra/scripts/queries.txt'), 'utf8').split('\n');
    for (const query of queries.filter((line) => line.startsWith('['))) {
      for (const kind of ['sh', 'ps1']) {
        assert.ok(
          NAMES.some((name) => textOf(`${name}.${kind}`).includes(`"${query}"`)),
          `no ${kind} asks ${query}`,
        );
      }
    }
    const wordsOf = (name: string) =>
      [...new Set(textOf(name).match(/\b(?:cognitiveservices|apim)(?:'?,? '?[a-z][a-z-]*\b)+/g))].map((words) =>
        words.replaceAll(/[',]+/g, ''),
      );
    for (const name of ['preprovision', 'purge']) {
      assert.deepEqual(wordsOf(`${name}.ps1`).toSorted(), wordsOf(`${name}.sh`).toSorted());
    }
  });

  it('open what they need by their own place, wherever they are called from', () => {
    for (const name of NAMES.filter((other) => other !== 'settings')) {
      assert.match(textOf(`${name}.ps1`), /^\. "\$PSScriptRoot\/settings\.ps1"$/m);
      assert.match(
        textOf(`${name}.sh`),
        /^set -eu\n# shellcheck source=scripts\/settings\.sh\n\. "\$\(dirname "\$0"\)\/settings\.sh"$/m,
      );
    }
  });

  it('stand beside scripts that azd may start: executable, for sh, with line ends of Unix', () => {
    for (const name of NAMES) {
      assert.equal(statSync(join(SCRIPTS, `${name}.sh`)).mode & 0o111, 0o111, `chmod 755 scripts/${name}.sh`);
      assert.ok(!readFileSync(join(SCRIPTS, `${name}.sh`), 'utf8').includes('\r'));
      if (name !== 'settings') assert.match(textOf(`${name}.sh`), /^#!\/bin\/sh\n/);
    }
  });
});
