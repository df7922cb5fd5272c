/** env → config → balancer → listen → signals. Nobody imports this. */
import { compose } from './compose.ts';
import { ConfigError, readConfig, type Config } from './config.ts';
import { openEntrance } from './entrance.ts';
import { damp } from './telemetry/damper.ts';
import type { Observe } from './telemetry/events.ts';
import { bounded, createLog, gather, wantsColour } from './telemetry/log.ts';
import { standardOutput } from './telemetry/output.ts';
import { steady } from './telemetry/throttles.ts';
import { warningsOf, whoMayCall } from './start-words.ts';

/** The ingress needs this long to notice that readiness is off. */
const DRAIN_GRACE_MS = 5000;

/** Characters: some minutes of a busy log. */
const MOST_UNREAD_LOG = 8 * 2 ** 20;

/** So long the last lines may take. */
const LAST_LINES_MS = 1000;

/** A closed or broken pipe must not end the balancer; there is nobody left to tell. */
process.stderr.on('error', () => undefined);

const config = readSettings();
const output = standardOutput();
const lines = gather(bounded(output, MOST_UNREAD_LOG, tellOfLeftOut), 20);
const inColour = wantsColour(output.isTerminal, process.env);
const log = createLog({ format: config.logFormat, inColour }, lines.write, () => new Date());
const throttles = steady(log);
const door = damp(throttles.observe, () => performance.now());
process.on('exit', () => {
  output.finish();
  door.flush();
  throttles.flush();
  lines.flush();
});
await run(config, door.observe);

function readSettings(): Config {
  try {
    return readConfig(process.env);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return process.exit(1);
  }
}

async function run(settings: Config, tell: Observe): Promise<void> {
  const { host, port, drainMs, backends } = settings;
  const balancer = compose(settings, { observe: tell, withProcessMetrics: true });
  const entrance = await openEntrance(balancer.server, port, host).catch((error: unknown) => {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    process.stderr.write(`Cannot listen on ${at(host, port)} (${code}). ${adviceFor(code)}\n`);
    return process.exit(1);
  });
  balancer.setReady();
  const listensAt = at(host, entrance.port);
  notice(tell, 'info', `Listening on http://${listensAt} in front of ${backends.map(({ name }) => name).join(', ')}`);
  notice(tell, 'info', whoMayCall(settings));
  for (const text of warningsOf(settings)) notice(tell, 'warning', text);

  const leave = (signal: NodeJS.Signals): void => {
    // A platform may send SIGTERM twice; a person who presses Ctrl-C again means it.
    if (balancer.drain.isDraining()) return signal === 'SIGINT' ? void end(130) : undefined;
    // Ctrl-C is a person waiting; SIGTERM is a platform that still sends requests for a while.
    const graceMs = signal === 'SIGTERM' ? DRAIN_GRACE_MS : 0;
    notice(tell, 'info', `Draining after ${signal}: ${balancer.admission.inFlight} requests in flight`);
    void balancer.drain
      .begin({ server: entrance, connections: balancer.connections }, { graceMs, totalMs: drainMs })
      .then(async () => {
        await balancer.endTelemetry();
        notice(tell, 'info', 'Drained');
        balancer.close();
        return end(0);
      });
  };
  process.on('SIGTERM', leave);
  process.on('SIGINT', leave);
}

/** Node waits at its end for a write that is under way: to a terminal that somebody has paused, for ever. */
async function end(code: number): Promise<never> {
  lines.flush();
  if (!(await output.settled(LAST_LINES_MS))) process.kill(process.pid, 'SIGKILL');
  return process.exit(code);
}

/** Host and port as they stand in a URL. */
function at(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

function adviceFor(code: string): string {
  if (code === 'EADDRINUSE') return 'Something else listens there: end it, or set PORT to another.';
  if (code === 'EACCES') return 'Low ports need privileges: set PORT to one above 1023.';
  return 'Set HOST to an address of this machine, such as 127.0.0.1 or 0.0.0.0.';
}

function tellOfLeftOut(count: number): void {
  notice(log, 'warning', `${count} lines of the log were left out: whoever reads it is too slow, or was gone`);
}

function notice(tell: Observe, level: 'info' | 'warning', text: string): void {
  tell({ kind: 'notice', level, text });
}
