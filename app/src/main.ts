/** env → config → balancer → listen → signals. Nobody imports this. */
import { once } from 'node:events';
import { compose } from './compose.ts';
import { ConfigError, readConfig, type Config } from './config.ts';
import type { Observe } from './telemetry/events.ts';
import { createLog, gather } from './telemetry/log.ts';

/** The ingress needs this long to notice that readiness is off. */
const DRAIN_GRACE_MS = 5000;

/** A closed or broken pipe must not end the balancer; there is nobody left to tell. */
process.stdout.on('error', () => undefined);
process.stderr.on('error', () => undefined);

const config = readSettings();
const lines = gather((text) => void process.stdout.write(text), 20);
const observe = createLog(config.logFormat, lines.write, () => new Date());
process.on('exit', lines.flush);
await run(config, observe);

function readSettings(): Config {
  try {
    return readConfig(process.env);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return process.exit(1);
  }
}

async function run(
  { host, port, drainMs, allowAnonymous, clientKeys, backends }: Config,
  tell: Observe,
): Promise<void> {
  const balancer = compose(config, { observe: tell });
  const { server } = balancer;
  server.listen(port, host);
  try {
    await once(server, 'listening');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    process.stderr.write(`Cannot listen on ${host}:${port} (${code}). Is something else there? Set PORT to another.\n`);
    process.exit(1);
  }
  balancer.setReady();
  const address = server.address();
  const at = typeof address === 'object' && address !== null ? `${host}:${address.port}` : host;
  notice(tell, 'info', `Listening on http://${at} in front of ${backends.map(({ name }) => name).join(', ')}`);
  if (clientKeys.length === 0 && allowAnonymous) {
    notice(tell, 'warning', 'ALLOW_ANONYMOUS is true: anybody who reaches this port spends the quota of your backends');
  }

  const leave = (signal: NodeJS.Signals): void => {
    if (balancer.drain.isDraining()) process.exit(signal === 'SIGINT' ? 130 : 0);
    // Ctrl-C is a person waiting; SIGTERM is a platform that still sends requests for a while.
    const graceMs = signal === 'SIGTERM' ? DRAIN_GRACE_MS : 0;
    notice(tell, 'info', `Draining after ${signal}: ${balancer.admission.inFlight} requests in flight`);
    void balancer.drain.begin(server, { graceMs, totalMs: drainMs }).then(() => {
      notice(tell, 'info', 'Drained');
      balancer.close();
      process.exit(0);
    });
  };
  process.on('SIGTERM', leave);
  process.on('SIGINT', leave);
}

function notice(tell: Observe, level: 'info' | 'warning', text: string): void {
  tell({ kind: 'notice', level, text });
}
