// Starts bare-server.ts, the least a Node proxy can be.
import { accepts, freePort, startChild } from '../children.ts';
import type { Contender, Surroundings } from './contender.ts';

const program = new URL('bare-server.ts', import.meta.url).pathname;

export function bareContender({ core, upstreamPorts, backendKey }: Surroundings): Contender {
  return {
    name: 'bare',
    start: async () => {
      const port = await freePort();
      const child = startChild({
        name: 'bare',
        core,
        command: process.execPath,
        args: [program],
        env: { PORT: String(port), UPSTREAM_PORTS: upstreamPorts.join() },
      });
      await child.ready(() => accepts(port));
      return { name: 'bare', target: { port, apiKey: backendKey }, pid: child.pid, stop: child.stop };
    },
  };
}
