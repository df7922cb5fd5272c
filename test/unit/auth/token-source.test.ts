import assert from 'node:assert/strict';
import type { AccessToken, GetTokenOptions } from '@azure/identity';
import {
  azureCredential,
  BACKEND_SCOPE,
  createTokenSource,
  TokenError,
  type TokenSource,
} from '../../../app/src/auth/token-source.ts';
import { manualClock, type ManualClock } from '../../support/manual-clock.ts';
import { useManualTimers } from '../../support/manual-timers.ts';

type AbortSignalLike = GetTokenOptions['abortSignal'];

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

/** An identity whose answers the test gives, and the clock. */
interface Identity {
  readonly source: TokenSource;
  readonly clock: ManualClock;
  /** Scopes asked for, in order. */
  readonly asked: (string | string[])[];
  /** What it gives from now on. */
  answer: () => Promise<AccessToken | null>;
}

function startIdentity(): Identity {
  const clock = manualClock(1_700_000_000_000);
  const asked: (string | string[])[] = [];
  const identity: Identity = {
    clock,
    asked,
    answer: () => Promise.resolve({ token: `token-${asked.length}`, expiresOnTimestamp: clock.now() + HOUR_MS }),
    source: createTokenSource({
      credential: () =>
        Promise.resolve({
          getToken(scope) {
            asked.push(scope);
            return identity.answer();
          },
        }),
      wallClockMs: clock.now,
    }),
  };
  return identity;
}

/** Lets everything that is ready to run in the background do so. */
async function settled(): Promise<void> {
  for (let i = 0; i < 20; i += 1) await Promise.resolve();
}

describe('token source: one token', () => {
  it('asks for the scope of Azure OpenAI', async () => {
    const { source, asked } = startIdentity();
    assert.equal(await source.token(), 'token-1');
    assert.deepEqual(asked, [BACKEND_SCOPE]);
    assert.equal(BACKEND_SCOPE, 'https://cognitiveservices.azure.com/.default');
  });

  it('asks nobody before a token is needed', () => {
    assert.deepEqual(startIdentity().asked, []);
  });

  it('is fetched once, however many wait for it', async () => {
    const { source, asked } = startIdentity();
    const tokens = await Promise.all(Array.from({ length: 50 }, () => source.token()));
    assert.deepEqual(new Set(tokens), new Set(['token-1']));
    assert.equal(asked.length, 1);
  });

  it('is kept until five minutes before its end', async () => {
    const { source, asked, clock } = startIdentity();
    await source.token();
    clock.advance(HOUR_MS - 5 * MINUTE_MS);
    assert.equal(await source.token(), 'token-1');
    await settled();
    assert.equal(asked.length, 1);
  });
});

describe('token source: renewal', () => {
  it('happens ahead, once, while the old token still serves', async () => {
    const identity = startIdentity();
    const { source, asked, clock } = identity;
    await source.token();
    clock.advance(HOUR_MS - 5 * MINUTE_MS + 1);
    let arrive: (token: AccessToken) => void = () => assert.fail('nobody asked');
    identity.answer = () =>
      new Promise((resolve) => {
        arrive = resolve;
      });
    assert.deepEqual(await Promise.all([source.token(), source.token(), source.token()]), [
      'token-1',
      'token-1',
      'token-1',
    ]);
    await settled();
    assert.equal(asked.length, 2);
    arrive({ token: 'token-new', expiresOnTimestamp: clock.now() + HOUR_MS });
    await settled();
    assert.equal(await source.token(), 'token-new');
    assert.equal(asked.length, 2);
  });

  it('happens when the identity says so, if that is earlier', async () => {
    const identity = startIdentity();
    const { source, asked, clock } = identity;
    identity.answer = () =>
      Promise.resolve({
        token: `token-${asked.length}`,
        expiresOnTimestamp: clock.now() + 24 * HOUR_MS,
        refreshAfterTimestamp: clock.now() + 12 * HOUR_MS,
      });
    await source.token();
    clock.advance(12 * HOUR_MS - 1);
    await source.token();
    await settled();
    assert.equal(asked.length, 1);
    clock.advance(1);
    assert.equal(await source.token(), 'token-1');
    await settled();
    assert.equal(await source.token(), 'token-2');
  });

  it('is waited for when less than half a minute is left', async () => {
    const { source, clock } = startIdentity();
    await source.token();
    clock.advance(HOUR_MS - 30_000 + 1);
    assert.equal(await source.token(), 'token-2');
  });

  it('that fails harms nobody while the old token serves, and is tried again after its pause', async () => {
    const identity = startIdentity();
    const { source, asked, clock } = identity;
    await source.token();
    clock.advance(HOUR_MS - 4 * MINUTE_MS);
    const good = identity.answer;
    identity.answer = () => Promise.reject(new Error('the identity endpoint is away'));
    for (let i = 0; i < 3; i += 1) {
      assert.equal(await source.token(), 'token-1');
      await settled();
    }
    assert.equal(asked.length, 2);
    clock.advance(1000);
    identity.answer = good;
    assert.equal(await source.token(), 'token-1');
    await settled();
    assert.equal(await source.token(), 'token-3');
  });
});

describe('token source: failure', () => {
  it('pauses 1 s, 2 s, 4 s, … and half a minute at most, and asks nobody meanwhile', async () => {
    const identity = startIdentity();
    const { source, asked, clock } = identity;
    identity.answer = () => Promise.reject(new Error('away'));
    let expected = 0;
    for (const seconds of [1, 2, 4, 8, 16, 30, 30, 30]) {
      await assert.rejects(source.token(), TokenError);
      expected += 1;
      assert.equal(asked.length, expected);
      clock.advance(seconds * 1000 - 1);
      await assert.rejects(source.token(), TokenError);
      assert.equal(asked.length, expected, `asked again before ${seconds} s`);
      clock.advance(1);
    }
  });

  it('starts at a second again after a success', async () => {
    const identity = startIdentity();
    const { source, asked, clock } = identity;
    const good = identity.answer;
    identity.answer = () => Promise.reject(new Error('away'));
    for (const seconds of [1, 2, 4]) {
      await assert.rejects(source.token(), TokenError);
      clock.advance(seconds * 1000);
    }
    identity.answer = good;
    assert.equal(await source.token(), 'token-4');
    identity.answer = () => Promise.reject(new Error('away'));
    clock.advance(HOUR_MS);
    await assert.rejects(source.token(), TokenError);
    clock.advance(999);
    await assert.rejects(source.token(), TokenError);
    assert.equal(asked.length, 5);
    clock.advance(1);
    identity.answer = good;
    assert.equal(await source.token(), 'token-6');
  });

  it('is told to all who wait, with its code, its cause and what to do', async () => {
    const identity = startIdentity();
    const cause = new Error('away');
    identity.answer = () => Promise.reject(cause);
    const results = await Promise.allSettled([identity.source.token(), identity.source.token()]);
    for (const result of results) {
      assert.ok(result.status === 'rejected' && result.reason instanceof TokenError);
      assert.equal(result.reason.code, 'identity_unavailable');
      assert.equal(result.reason.cause, cause);
      assert.match(result.reason.message, /az login, or set BACKEND_n_APIKEY; .* AZURE_CLIENT_ID/);
    }
    assert.equal(identity.asked.length, 1);
  });

  it('is an identity without a token for the scope, and one that throws', async () => {
    const identity = startIdentity();
    identity.answer = () => Promise.resolve(null);
    await assert.rejects(identity.source.token(), TokenError);
    identity.clock.advance(1000);
    identity.answer = () => {
      throw new Error('at once');
    };
    await assert.rejects(identity.source.token(), TokenError);
  });

  it('is an identity that cannot even be made', async () => {
    const clock = manualClock(5000);
    let made = 0;
    const source = createTokenSource({
      credential() {
        made += 1;
        return Promise.reject(new Error('no such package'));
      },
      wallClockMs: clock.now,
    });
    await assert.rejects(source.token(), TokenError);
    await assert.rejects(source.token(), TokenError);
    assert.equal(made, 1);
  });

  it('is an identity that says nothing in time: nobody waits for it for ever, and it is told to stop', async () => {
    const timers = useManualTimers();
    try {
      const clock = manualClock(5000);
      const signals: AbortSignalLike[] = [];
      const source = createTokenSource({
        credential: () =>
          Promise.resolve({
            getToken(_scope, options) {
              signals.push(options?.abortSignal);
              return new Promise<never>(() => undefined);
            },
          }),
        wallClockMs: clock.now,
      });
      const waiting = Promise.all([
        assert.rejects(source.token(), TokenError),
        assert.rejects(source.token(), TokenError),
      ]);
      await settled();
      assert.equal(timers.pending, 1);
      timers.advance(60_000);
      await waiting;
      assert.deepEqual(
        signals.map((signal) => signal?.aborted),
        [true],
      );
      await assert.rejects(source.token(), /a moment ago/);
      clock.advance(1000);
      const again = assert.rejects(source.token(), TokenError);
      await settled();
      assert.equal(signals.length, 2);
      timers.advance(60_000);
      await again;
    } finally {
      timers.restore();
    }
  });

  it('leaves no timer behind when the identity answers', async () => {
    const timers = useManualTimers();
    try {
      await startIdentity().source.token();
      assert.equal(timers.pending, 0);
    } finally {
      timers.restore();
    }
  });

  it('never ends the process: no rejection is left without a listener', async () => {
    const unhandled: unknown[] = [];
    const listen = (reason: unknown): void => void unhandled.push(reason);
    process.on('unhandledRejection', listen);
    try {
      const identity = startIdentity();
      await identity.source.token();
      identity.clock.advance(HOUR_MS - 4 * MINUTE_MS);
      identity.answer = () => Promise.reject(new Error('away'));
      await identity.source.token();
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
      assert.deepEqual(unhandled, []);
    } finally {
      process.off('unhandledRejection', listen);
    }
  });
});

describe('token source: the identity of the machine', () => {
  it('is made once, when it is first needed', async () => {
    for (const clientId of [undefined, '00000000-0000-0000-0000-000000000000']) {
      const credential = azureCredential(clientId);
      assert.equal(await credential(), await credential());
      assert.equal(typeof (await credential()).getToken, 'function');
    }
  });
});
