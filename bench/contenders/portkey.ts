// The Portkey gateway (npm `@portkey-ai/gateway`): each request brings its configuration, here three targets of which the
// next is asked on a 429 or 503. Its web page is off. Version 1.15.2 as npm installs it answers every stream with a 500
// ("TypeError: immutable", its own headers on the response of Node's fetch), so it takes no part in the streams.
import { accepts, freePort, startChild } from '../children.ts';
import { installedPortkey, portkeyProgram } from '../peers.ts';
import { labelOf, originsOf } from './contender.ts';
import type { Contender, Surroundings } from './contender.ts';

export function portkeyContender(surroundings: Surroundings): Contender {
  const { core, transport, backendKey } = surroundings;
  const label = labelOf('portkey', transport);
  const configuration = {
    strategy: { mode: 'fallback', on_status_codes: [429, 503] },
    targets: originsOf(surroundings).map((origin) => ({
      provider: 'openai',
      custom_host: `${origin}/openai/v1`,
      api_key: backendKey,
    })),
  };
  return {
    label,
    start: async () => {
      const port = await freePort();
      const child = startChild({
        name: 'portkey',
        core,
        command: process.execPath,
        args: [portkeyProgram, `--port=${port}`, '--headless'],
      });
      await child.ready(() => accepts(port));
      const headers = { 'x-portkey-config': JSON.stringify(configuration) };
      const path = '/v1/chat/completions';
      const target = { port, apiKey: backendKey, path, headers, isRewritten: true, hasStreams: false };
      return { label, target, pid: child.pid, stop: child.stop };
    },
  };
}

export function portkeyVersion(): string | undefined {
  return installedPortkey();
}
