// No proxy: the load goes to the upstream itself, always over plain HTTP. The floor of every latency, and the most the
// load generator can do.
import type { Contender, Surroundings } from './contender.ts';

export function directContender({ upstreamPorts, backendKey }: Surroundings): Contender {
  const [port = 0] = upstreamPorts;
  return {
    label: 'direct',
    start: () =>
      Promise.resolve({ label: 'direct', target: { port, apiKey: backendKey }, stop: () => Promise.resolve() }),
  };
}
