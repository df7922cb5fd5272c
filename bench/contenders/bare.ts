// Starts bare-server.ts or bare-undici-server.ts, the least a Node proxy can be.
import { readFileSync } from 'node:fs';
import { accepts, freePort, startChild } from '../children.ts';
import { labelOf, originsOf, trusting } from './contender.ts';
import type { Contender, Surroundings } from './contender.ts';

export function bareContender(surroundings: Surroundings, name: 'bare' | 'bare-undici'): Contender {
  const { core, transport, backendKey } = surroundings;
  const program = new URL(`${name}-server.ts`, import.meta.url).pathname;
  const label = labelOf(name, transport);
  return {
    label,
    start: async () => {
      const port = await freePort();
      const child = startChild({
        name,
        core,
        command: process.execPath,
        args: [program],
        env: { PORT: String(port), UPSTREAMS: originsOf(surroundings).join(), ...trusting(surroundings) },
      });
      await child.ready(() => accepts(port));
      return { label, target: { port, apiKey: backendKey }, pid: child.pid, stop: child.stop };
    },
  };
}

export function undiciVersion(): string | undefined {
  const manifest = new URL('../../node_modules/undici/package.json', import.meta.url);
  return /"version": "([^"]+)"/.exec(readFileSync(manifest, 'utf8'))?.[1];
}
