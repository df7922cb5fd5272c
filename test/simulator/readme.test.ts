import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { faultForms } from '../../simulator/scenario.ts';

describe('simulator/README.md', () => {
  it('lists every fault as it is written on the command line, and no other', () => {
    const readme = readFileSync(new URL('../../simulator/README.md', import.meta.url), 'utf8');
    const [, faults = ''] = /## Faults\n([^]*?)\n## /.exec(readme) ?? [];
    const listed: string[] = [...faults.matchAll(/^\| `(.*?)` \|/gm)].map((match) =>
      (match[1] ?? '').replaceAll('\\|', '|'),
    );
    assert.deepEqual(listed.sort(), Object.values(faultForms).sort());
  });
});
