import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { checkOnce, fuzz } from './fuzz.ts';
import { chanceOf, mutate, piecesOf } from './mutate.ts';
import { targets } from './targets.ts';
import { bytesOf, once, type Target } from './target.ts';

/** Enough to see that a target works, and what is broken badly; npm run fuzz takes as many as one likes. */
const CASES = 3000;
const SEED = 1;

describe('whatever is sent', () => {
  for (const target of targets) {
    describe(`in ${target.name}`, () => {
      it(target.property, async () => {
        const { failure, outcomes } = await fuzz(target, Math.ceil(CASES * (target.share ?? 1)), SEED);
        if (failure !== undefined) throw failure.error;
        // What comes to the same whatever is sent is not looked into.
        assert.ok(outcomes.size > 1, [...outcomes.keys()].join());
      });

      for (const input of target.regressions ?? []) {
        it(`holds for ${JSON.stringify(input.bytes.toString('latin1').slice(0, 100))}`, async () => {
          await checkOnce(target, input);
        });
      }
    });
  }
});

describe('the fuzzer', () => {
  const broken: Target = {
    name: 'broken',
    property: 'no input has a closing brace behind an opening one',
    samples: bytesOf('abc{def', 'g}h'),
    words: bytesOf('x'),
    check(bytes, chance) {
      const open = bytes.indexOf('{');
      assert.ok(open === -1 || !bytes.includes('}', open) || chance.oneIn(2));
      return String(open === -1);
    },
  };

  it('finds what fails, and makes it as small as it goes', async () => {
    const { failure } = await fuzz(broken, 10_000, 1);
    assert.ok(failure !== undefined);
    assert.equal(failure.shrunk.bytes.toString(), '{}');
    await assert.rejects(async () => checkOnce(broken, failure.input));
    await assert.rejects(async () => checkOnce(broken, failure.shrunk));
  });

  it('gives the same inputs for the same seed, and others for another', async () => {
    const inputsOf = async (seed: number): Promise<readonly string[]> => {
      const inputs: string[] = [];
      const noteDown: Target['check'] = (bytes, chance) => {
        inputs.push(`${bytes.toString('hex')} ${chance.below(1000)}`);
        return 'seen';
      };
      await fuzz({ ...broken, check: noteDown }, 200, seed);
      return inputs;
    };
    assert.deepEqual(await inputsOf(1), await inputsOf(1));
    assert.notDeepEqual(await inputsOf(1), await inputsOf(2));
    assert.ok(new Set(await inputsOf(1)).size > 150);
  });

  it('cuts bytes into pieces that are all of them, and makes nothing longer than it may', () => {
    const sample = Buffer.from('event: a\r\ndata: b\n\n'.repeat(10));
    for (let seed = 0; seed < 300; seed += 1) {
      const bytes = mutate(sample, { samples: [sample], words: [sample], longest: 500 }, chanceOf(seed));
      assert.ok(bytes.length <= 500);
      const pieces = piecesOf(bytes, chanceOf(seed));
      assert.ok(pieces.every(({ length }) => length > 0));
      assert.ok(Buffer.concat(pieces).equals(bytes));
    }
  });

  it('has every target that there is a file for', () => {
    const folder = new URL('./targets/', import.meta.url);
    const exported = readdirSync(folder).flatMap((name) =>
      [...readFileSync(new URL(name, folder), 'utf8').matchAll(/^export const (\w+): Target\b/gm)].map(
        ([, found]) => found,
      ),
    );
    assert.equal(targets.length, exported.length);
    assert.equal(new Set(targets.map(({ name }) => name)).size, targets.length);
    assert.ok(once('a').bytes.equals(Buffer.from('a')));
  });
});
