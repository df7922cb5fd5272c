import assert from 'node:assert/strict';
import { createSigningKeys, KeysUnavailableError, type SigningKeys } from '../../../app/src/auth/signing-keys.ts';
import { manualClock, type ManualClock } from '../../support/manual-clock.ts';

const SECOND_MS = 1000;
const HOUR_MS = 3_600_000;

/** What is published, parsed: an object of its own for every parse. */
interface Keys {
  readonly text: string;
}

/** An endpoint whose answers the test gives, and the clock. */
interface Endpoint {
  readonly keys: SigningKeys<Keys>;
  readonly clock: ManualClock;
  /** How often it was asked. */
  asked: number;
  parsed: number;
  /** What was told of it, in order: `failed` or `back`. */
  readonly told: string[];
  /** How it answers from now on. */
  answer: () => Promise<string>;
}

function startEndpoint(): Endpoint {
  const clock = manualClock(5_000_000);
  const endpoint: Endpoint = {
    clock,
    asked: 0,
    parsed: 0,
    told: [],
    answer: () => Promise.resolve('first'),
    keys: createSigningKeys({
      fetchDocument() {
        endpoint.asked += 1;
        return endpoint.answer();
      },
      parse(text) {
        endpoint.parsed += 1;
        if (text === 'junk') throw new Error('its answer is no key document');
        return { text };
      },
      clock: clock.now,
      onChange: (change) => endpoint.told.push(change.kind),
    }),
  };
  return endpoint;
}

const publishes = (text: string) => () => Promise.resolve(text);
const isOut = (): Promise<string> => Promise.reject(new Error('out'));

/** From now on it answers when it is told to. */
function hold(endpoint: Endpoint): { arrive: (text: string) => void; fail: (reason: Error) => void } {
  const held = {
    arrive: (_text: string): void => assert.fail('nobody asked'),
    fail: (_reason: Error): void => assert.fail('nobody asked'),
  };
  endpoint.answer = () =>
    new Promise((resolve, reject) => {
      held.arrive = resolve;
      held.fail = reject;
    });
  return held;
}

/** Lets everything that is ready to run in the background do so. */
async function settled(): Promise<void> {
  for (let i = 0; i < 20; i += 1) await Promise.resolve();
}

describe('signing keys: the first fetch', () => {
  it('happens when the keys are needed, not before', async () => {
    const endpoint = startEndpoint();
    await settled();
    assert.equal(endpoint.asked, 0);
    assert.deepEqual(await endpoint.keys.get(), { text: 'first' });
    assert.equal(endpoint.asked, 1);
  });

  it('is one, however many wait for it', async () => {
    const endpoint = startEndpoint();
    const held = hold(endpoint);
    const waiting = Array.from({ length: 50 }, async () => endpoint.keys.get());
    await settled();
    assert.equal(endpoint.asked, 1);
    held.arrive('first');
    const all = await Promise.all(waiting);
    assert.equal(new Set(all).size, 1);
    assert.equal(endpoint.asked, 1);
    assert.equal(endpoint.parsed, 1);
  });

  it('is all there is for an hour: from then on the same object is given at once', async () => {
    const endpoint = startEndpoint();
    const keys = await endpoint.keys.get();
    endpoint.clock.advance(HOUR_MS - 1);
    assert.equal(endpoint.keys.get(), keys);
    await settled();
    assert.equal(endpoint.asked, 1);
    assert.deepEqual(endpoint.told, []);
  });
});

describe('signing keys: renewal', () => {
  it('happens after an hour, once, in the background, while the old ones serve', async () => {
    const endpoint = startEndpoint();
    const old = await endpoint.keys.get();
    endpoint.clock.advance(HOUR_MS);
    const held = hold(endpoint);
    for (let i = 0; i < 5; i += 1) {
      assert.equal(endpoint.keys.get(), old);
      await settled();
    }
    assert.equal(endpoint.asked, 2);
    held.arrive('second');
    await settled();
    assert.deepEqual(endpoint.keys.get(), { text: 'second' });
    assert.equal(endpoint.asked, 2);
  });

  it('happens every hour', async () => {
    const endpoint = startEndpoint();
    await endpoint.keys.get();
    for (let hours = 1; hours <= 24; hours += 1) {
      endpoint.clock.advance(HOUR_MS);
      void endpoint.keys.get();
      await settled();
      assert.equal(endpoint.asked, 1 + hours);
    }
  });

  it('that brings the same document leaves the same object, and parses nothing', async () => {
    const endpoint = startEndpoint();
    const old = await endpoint.keys.get();
    endpoint.clock.advance(HOUR_MS);
    void endpoint.keys.get();
    await settled();
    assert.equal(endpoint.asked, 2);
    assert.equal(endpoint.keys.get(), old);
    assert.equal(endpoint.parsed, 1);
  });

  for (const [what, answer] of [
    ['cannot be had', isOut],
    ['brings no key document', publishes('junk')],
  ] as const) {
    it(`that ${what} harms nobody, and is tried again after its pause`, async () => {
      const endpoint = startEndpoint();
      const old = await endpoint.keys.get();
      endpoint.clock.advance(HOUR_MS);
      endpoint.answer = answer;
      for (let i = 0; i < 3; i += 1) {
        assert.equal(endpoint.keys.get(), old);
        await settled();
      }
      assert.equal(endpoint.asked, 2);
      endpoint.clock.advance(SECOND_MS);
      endpoint.answer = publishes('second');
      assert.equal(endpoint.keys.get(), old);
      await settled();
      assert.deepEqual(endpoint.keys.get(), { text: 'second' });
      assert.equal(endpoint.asked, 3);
      assert.deepEqual(endpoint.told, ['failed', 'back']);
    });
  }

  it('that never comes leaves the old ones in service for days, and asks every 30 s at most', async () => {
    const endpoint = startEndpoint();
    const old = await endpoint.keys.get();
    endpoint.answer = isOut;
    const days = 3;
    for (let seconds = 0; seconds < days * 86_400; seconds += 10) {
      endpoint.clock.advance(10 * SECOND_MS);
      assert.equal(endpoint.keys.get(), old);
      await Promise.resolve();
      await Promise.resolve();
      await Promise.resolve();
    }
    const most = (days * 86_400 - 3600) / 30 + 6;
    assert.ok(endpoint.asked > most / 2 && endpoint.asked <= most, `asked ${endpoint.asked} times`);
    assert.deepEqual(endpoint.told, ['failed']);
  });
});

describe('signing keys: a key that is not found', () => {
  it('is not looked for within 30 s of the last fetch', async () => {
    const endpoint = startEndpoint();
    await endpoint.keys.get();
    endpoint.answer = publishes('second');
    assert.equal(await endpoint.keys.renewed(), undefined);
    endpoint.clock.advance(30 * SECOND_MS - 1);
    assert.equal(await endpoint.keys.renewed(), undefined);
    assert.equal(endpoint.asked, 1);
    endpoint.clock.advance(1);
    assert.deepEqual(await endpoint.keys.renewed(), { text: 'second' });
    assert.equal(endpoint.asked, 2);
    assert.deepEqual(endpoint.keys.get(), { text: 'second' });
  });

  it('is looked for once, however many ask for it', async () => {
    const endpoint = startEndpoint();
    await endpoint.keys.get();
    endpoint.clock.advance(HOUR_MS / 2);
    const held = hold(endpoint);
    const waiting = Array.from({ length: 50 }, () => endpoint.keys.renewed());
    await settled();
    assert.equal(endpoint.asked, 2);
    held.arrive('second');
    assert.deepEqual(new Set(await Promise.all(waiting)).size, 1);
    assert.equal(endpoint.asked, 2);
  });

  it('shares the fetch that is under way', async () => {
    const endpoint = startEndpoint();
    await endpoint.keys.get();
    endpoint.clock.advance(HOUR_MS);
    const held = hold(endpoint);
    void endpoint.keys.get();
    const renewed = endpoint.keys.renewed();
    await settled();
    assert.equal(endpoint.asked, 2);
    held.arrive('second');
    assert.deepEqual(await renewed, { text: 'second' });
  });

  it('makes it ask every 30 s at most, however many strangers come', async () => {
    const endpoint = startEndpoint();
    await endpoint.keys.get();
    for (let ms = 0; ms < 600 * SECOND_MS; ms += 100) {
      endpoint.clock.advance(100);
      await Promise.all([endpoint.keys.renewed(), endpoint.keys.renewed()]);
    }
    assert.equal(endpoint.asked, 1 + 20);
  });

  it('is a question that nobody can answer while the endpoint is out: known keys are not in its way', async () => {
    const endpoint = startEndpoint();
    const old = await endpoint.keys.get();
    endpoint.clock.advance(30 * SECOND_MS);
    endpoint.answer = isOut;
    await assert.rejects(endpoint.keys.renewed(), KeysUnavailableError);
    assert.equal(endpoint.asked, 2);
    for (let i = 0; i < 100; i += 1) await assert.rejects(endpoint.keys.renewed(), KeysUnavailableError);
    assert.equal(endpoint.asked, 2, 'asked again within its pause');
    assert.equal(endpoint.keys.get(), old);
    endpoint.clock.advance(SECOND_MS);
    endpoint.answer = publishes('second');
    assert.deepEqual(await endpoint.keys.renewed(), { text: 'second' });
    assert.equal(await endpoint.keys.renewed(), undefined);
    assert.equal(endpoint.asked, 3);
  });
});

describe('signing keys: an endpoint that is out', () => {
  it('pauses 1 s, 2 s, 4 s, … and half a minute at most, and nobody waits meanwhile', async () => {
    const endpoint = startEndpoint();
    endpoint.answer = isOut;
    let expected = 0;
    for (const seconds of [1, 2, 4, 8, 16, 30, 30, 30]) {
      await assert.rejects(async () => endpoint.keys.get(), KeysUnavailableError);
      expected += 1;
      assert.equal(endpoint.asked, expected);
      endpoint.clock.advance(seconds * SECOND_MS - 1);
      await assert.rejects(async () => endpoint.keys.get(), /a moment ago/);
      await assert.rejects(endpoint.keys.renewed(), /a moment ago/);
      assert.equal(endpoint.asked, expected, `asked again before ${seconds} s`);
      endpoint.clock.advance(1);
    }
  });

  it('starts at a second again once it was back', async () => {
    const endpoint = startEndpoint();
    endpoint.answer = isOut;
    for (const seconds of [1, 2, 4]) {
      await assert.rejects(async () => endpoint.keys.get(), KeysUnavailableError);
      endpoint.clock.advance(seconds * SECOND_MS);
    }
    endpoint.answer = publishes('first');
    await endpoint.keys.get();
    endpoint.clock.advance(HOUR_MS);
    endpoint.answer = isOut;
    void endpoint.keys.get();
    await settled();
    assert.equal(endpoint.asked, 5);
    endpoint.clock.advance(SECOND_MS - 1);
    void endpoint.keys.get();
    await settled();
    assert.equal(endpoint.asked, 5);
    endpoint.clock.advance(1);
    void endpoint.keys.get();
    await settled();
    assert.equal(endpoint.asked, 6);
  });

  it('is told to all who wait, with its code and its cause', async () => {
    const endpoint = startEndpoint();
    const held = hold(endpoint);
    const waiting = Promise.allSettled([1, 2].map(async () => endpoint.keys.get()));
    const cause = new Error('out');
    await settled();
    held.fail(cause);
    for (const result of await waiting) {
      assert.ok(result.status === 'rejected' && result.reason instanceof KeysUnavailableError);
      assert.equal(result.reason.code, 'token_keys_unavailable');
      assert.equal(result.reason.cause, cause);
    }
    assert.equal(endpoint.asked, 1);
  });

  it('is told once when it begins and once when it ends, and again the next time', async () => {
    const endpoint = startEndpoint();
    const { clock, keys, told } = endpoint;
    for (let outages = 1; outages <= 2; outages += 1) {
      endpoint.answer = isOut;
      for (let i = 0; i < 5; i += 1) {
        await Promise.resolve(keys.get()).catch(() => undefined);
        await settled();
        clock.advance(30 * SECOND_MS);
      }
      endpoint.answer = publishes(`after ${outages}`);
      await keys.get();
      await settled();
      assert.equal(told.length, 2 * outages);
      clock.advance(HOUR_MS);
    }
    assert.deepEqual(told, ['failed', 'back', 'failed', 'back']);
  });

  it('never ends the process: no rejection is left without a listener', async () => {
    const unhandled: unknown[] = [];
    const listen = (reason: unknown): void => void unhandled.push(reason);
    process.on('unhandledRejection', listen);
    try {
      const endpoint = startEndpoint();
      await endpoint.keys.get();
      endpoint.clock.advance(HOUR_MS);
      endpoint.answer = isOut;
      void endpoint.keys.get();
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
      assert.equal(endpoint.asked, 2);
      assert.deepEqual(unhandled, []);
    } finally {
      process.off('unhandledRejection', listen);
    }
  });
});
