import assert from 'node:assert/strict';
import { OptionsError, readOptions } from './options.ts';
import { resultOf } from './results.ts';
import { bytesOf } from './target.ts';

const KNOWN = ['a', 'b c'];

describe('the command line of the fuzzer', () => {
  it('takes a number of cases, a seed and targets', () => {
    assert.deepEqual(readOptions([], KNOWN), { cases: 100_000, seed: 1, names: KNOWN });
    const options = readOptions(['--cases', '5', '--seed', '7', '--only', 'b c', '--json', 'x.json'], KNOWN);
    assert.deepEqual(options, { cases: 5, seed: 7, names: ['b c'], jsonFile: 'x.json' });
  });

  it('takes an input as a failure tells it', () => {
    const { input } = readOptions(['--only', 'a', '--input', `${Buffer.from('\0ü').toString('base64')}:12`], KNOWN);
    assert.deepEqual(input, { bytes: Buffer.from('\0ü'), seed: 12 });
    assert.deepEqual(readOptions(['--only', 'a', '--input', ':0'], KNOWN).input, { bytes: Buffer.alloc(0), seed: 0 });
  });

  it('tells every mistake at once', () => {
    const told = (args: readonly string[]): string => {
      try {
        readOptions(args, KNOWN);
        return '';
      } catch (error) {
        assert.ok(error instanceof OptionsError);
        return error.message;
      }
    };
    assert.match(
      told(['--cases', '-', '--seed', 'x', '--only', 'c']),
      /--cases [^]*--seed [^]*--only c: there is none/,
    );
    assert.match(told(['--input', 'AA==:1']), /one name in --only/);
    assert.match(told(['--only', 'a', '--input', 'AA==']), /BASE64:SEED/);
    assert.match(told(['--casse', '5']), /casse/);
  });
});

describe('what a run of the fuzzer came to', () => {
  it('says how many failed', () => {
    const target = { name: 'a', property: 'it holds', samples: [], words: bytesOf('x'), check: () => '' };
    const fuzzed = { target, seed: 1, cases: 50, ms: 25, outcomes: new Map([['x', 50]]), slowestMs: 0.25 };
    const input = { bytes: Buffer.alloc(0), seed: 0 };
    assert.deepEqual(
      [resultOf(fuzzed).failures, resultOf(fuzzed).casesPerSecond, resultOf(fuzzed).outcomes],
      [0, 2000, 1],
    );
    assert.equal(resultOf({ ...fuzzed, failure: { number: 49, input, shrunk: input, error: 'x' } }).failures, 1);
  });
});
