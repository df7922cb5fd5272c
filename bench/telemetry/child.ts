// The balancer as a process of its own, its log to a file: `watched`, as it is, or `unwatched`, with nobody but the log to
// hear of events. Its settings come from the environment.
import { once } from 'node:events';
import { compose } from '../../app/src/compose.ts';
import { readConfig } from '../../app/src/config.ts';
import { createLog, gather } from '../../app/src/telemetry/log.ts';

const isUnwatched = process.argv[2] === 'unwatched';
const config = readConfig(process.env);
const lines = gather((text) => void process.stdout.write(text), 20);
const balancer = compose(config, {
  observe: createLog({ format: config.logFormat }, lines.write, () => new Date()),
  isUnwatched,
  withProcessMetrics: !isUnwatched,
});
balancer.server.listen(config.port, config.host);
await once(balancer.server, 'listening');
balancer.setReady();
