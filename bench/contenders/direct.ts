// No proxy: the load goes to the upstream itself. The floor of every latency, and the most the load generator can do.
import type { Contender, Surroundings } from './contender.ts';

export function directContender({ upstreamPorts, backendKey }: Surroundings): Contender {
  const [port = 0] = upstreamPorts;
  return {
    name: 'direct',
    start: () =>
      Promise.resolve({ name: 'direct', target: { port, apiKey: backendKey }, stop: () => Promise.resolve() }),
  };
}
