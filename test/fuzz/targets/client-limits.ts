import assert from 'node:assert/strict';
import { ConfigError, readConfig } from '../../../app/src/config.ts';
import { bytesOf, type Target } from '../target.ts';

const UNITS = { tpm: 'tokensPerMinute', rpm: 'requestsPerMinute', concurrent: 'concurrent' } as const;
const LEAST = { BACKEND_1_URL: 'https://one.openai.azure.com', CLIENT_API_KEYS: 'team-a=key-1,team-b=key-2' };

export const clientLimits: Target = {
  name: 'limits of clients',
  property: 'a list of limits is read as what it says, each client and each kind once, or refused; nobody is left out',
  samples: bytesOf(
    'team-a=50000tpm:300rpm:20concurrent',
    '*=1rpm,team-a=2concurrent , team-b = 999999999999tpm',
    'team-b=5rpm',
    'team-a=1rpm:2rpm',
  ),
  words: bytesOf(
    'team-a',
    'team-b',
    '*',
    '=',
    ',',
    ':',
    'tpm',
    'rpm',
    'concurrent',
    '0',
    '1',
    '01',
    '-1',
    '1e3',
    '5rpm',
    ' ',
    '=5rpm',
  ),
  share: 0.3,
  check(bytes) {
    const text = bytes.toString('latin1');
    let limits: ReadonlyMap<string, object>;
    try {
      limits = readConfig({ ...LEAST, CLIENT_LIMITS: text }).clientLimits;
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      assert.ok(error.mistakes.every((mistake) => mistake.startsWith('CLIENT_LIMITS: ')));
      return 'refused';
    }
    const expected = new Map<string, object>();
    for (const entry of text.trim() === '' ? [] : text.split(',')) {
      const [name = '', ...said] = entry.split('=');
      assert.ok(!expected.has(name.trim()));
      const read = said
        .join('=')
        .split(':')
        .map((part) => /^([1-9]\d*)(tpm|rpm|concurrent)$/.exec(part.trim()));
      expected.set(
        name.trim(),
        Object.fromEntries(read.map((match) => [UNITS[unitOf(match?.[2])], Number(match?.[1])])),
      );
      assert.equal(new Set(read.map((match) => match?.[2])).size, read.length);
    }
    assert.deepEqual(limits, expected);
    return `${limits.size} clients`;
  },
};

function unitOf(text: string | undefined): keyof typeof UNITS {
  assert.ok(text === 'tpm' || text === 'rpm' || text === 'concurrent');
  return text;
}
