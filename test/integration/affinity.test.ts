// Prompts that begin alike go to one backend, while it has room.

import assert from 'node:assert/strict';
import { startBalancer, type RunningBalancer } from '../support/balancer.ts';
import { chat, send } from '../support/http.ts';
import { callCounts } from '../support/observed.ts';

const LONG = 'You answer questions about our products. '.repeat(200);

describe('affinity', () => {
  let running: RunningBalancer;
  afterEach(() => running.close());

  const start = async (affinity?: string): Promise<void> => {
    let n = 0;
    running = await startBalancer({
      // Ties are broken in turns, so that only affinity keeps requests together.
      random: () => ((n += 1) % 3) / 3,
      settings: affinity === undefined ? {} : { AFFINITY: affinity },
    });
  };

  async function ask(prompt: string, more: Readonly<Record<string, unknown>> = {}): Promise<string> {
    const messages = [
      { role: 'system', content: prompt },
      { role: 'user', content: `Question ${Math.random()}` },
    ];
    const received = await send(`${running.url}/v1/chat/completions`, { body: chat({ messages, ...more }) });
    assert.equal(received.status, 200);
    return String(received.headers['x-balancer-backend']);
  }

  it('keeps long prompts that begin alike together, and spreads those that do not', async () => {
    await start('prefix');
    const homes = new Set<string>();
    for (let n = 0; n < 9; n += 1) homes.add(await ask(LONG));
    assert.equal(homes.size, 1);
    const others = new Set<string>();
    for (let n = 0; n < 12; n += 1) others.add(await ask(`${n} ${LONG}`));
    assert.equal(others.size, 3);
    running.assertIdle();
  });

  it('spreads them where it is off, which is the default', async () => {
    await start();
    const homes = new Set<string>();
    for (let n = 0; n < 9; n += 1) homes.add(await ask(LONG));
    assert.equal(homes.size, 3);
  });

  it('keeps the requests of a user together, or those of a key', async () => {
    await start('user');
    for (const member of ['user', 'prompt_cache_key']) {
      const homes = new Set<string>();
      for (let n = 0; n < 9; n += 1) homes.add(await ask('Short.', { [member]: 'somebody' }));
      assert.equal(homes.size, 1, member);
    }
  });

  it('goes elsewhere when the backend refuses, and comes back when it is back', async () => {
    await start('prefix');
    const home = await ask(LONG);
    const resource = running.resources.find((_, index) => `openai${index + 1}` === home);
    resource?.script({ kind: 'throttle', retryAfterMs: 60_000 });
    const second = await ask(LONG);
    assert.notEqual(second, home);
    assert.equal(await ask(LONG), second);
    assert.equal(
      callCounts(running).reduce((sum, calls) => sum + calls, 0),
      4,
    );
    running.assertIdle();
  });
});
