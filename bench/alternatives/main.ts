// The balancer with another way of making attempts, for comparison: `node bench/alternatives/main.ts node-http` or `undici`;
// its settings come from the environment, as the balancer's own do.
import { once } from 'node:events';
import { compose } from '../../app/src/compose.ts';
import { readConfig } from '../../app/src/config.ts';
import type { CreateForwarder } from '../../app/src/proxy/forward.ts';
import { createLog, gather } from '../../app/src/telemetry/log.ts';
import { createForwarder as createNodeHttpForwarder } from './forward-node-http.ts';
import { createForwarder as createUndiciForwarder } from './forward-undici.ts';

const forwarders: Readonly<Record<string, CreateForwarder>> = {
  'node-http': createNodeHttpForwarder,
  undici: createUndiciForwarder,
};

const [, , name = ''] = process.argv;
const createForwarder = forwarders[name];
if (createForwarder === undefined) throw new Error(`no forwarder is called ${name}`);
const config = readConfig(process.env);
const lines = gather((text) => void process.stdout.write(text), 20);
const balancer = compose(config, {
  observe: createLog({ format: config.logFormat }, lines.write, () => new Date()),
  createForwarder,
});
balancer.server.listen(config.port, config.host);
await once(balancer.server, 'listening');
balancer.setReady();
