/**
 * `npm start`: the balancer with the backends that are configured, or, when there are none, with three simulated
 * resources beside it and a few lines that tell what to try.
 */
import { startFleet, smallFleet, type Fleet } from '../simulator/fleet.ts';
import { backendSettings, startBalancerProcess } from './balancer-process.ts';

/** The simulator's own ports, so that `npm run simulator -- throttle openai1 30s` finds them. */
const FIRST_PORT = 8101;

/** For the simulated resources, where nobody set a lock: the door works as it will with real ones. */
const TRY_KEY = 'try-me';
const LOOK_KEY = 'look-inside';
const LOCKS = ['CLIENT_API_KEYS', 'ENTRA_TENANT_ID', 'ALLOW_ANONYMOUS'];

const isConfigured = Object.keys(process.env).some((name) => /^BACKEND_\d+_/.test(name) && isSet(name));
await (isConfigured ? run(process.env, undefined) : runSimulated());

async function runSimulated(): Promise<void> {
  const options = smallFleet();
  const fleet = await startFleet(options.map((option, index) => ({ ...option, port: FIRST_PORT + index }))).catch(
    (error: unknown) => {
      const reason = error instanceof Error ? error.message : String(error);
      process.stderr.write(
        `The simulated resources need the ports ${FIRST_PORT} to ${FIRST_PORT + options.length - 1}: ${reason}\n` +
          'Is another one running? End it, or set BACKEND_1_URL, BACKEND_2_URL, … to real resources.\n',
      );
      return undefined;
    },
  );
  if (fleet === undefined) {
    process.exitCode = 1;
    return;
  }
  const resources = fleet.resources.map(({ url }, index) => ({ url, apiKey: options[index]?.apiKey ?? '' }));
  // The names that older copies of the chat app ask for.
  const settings = {
    DEPLOYMENT_ALIASES: 'chat=gpt-5.4-mini,embedding=text-embedding-3-large',
    ...process.env,
    ...locks(),
  };
  await run({ ...settings, ...backendSettings(resources) }, fleet);
}

/** None where somebody has set their own. */
function locks(): Readonly<Record<string, string>> {
  if (LOCKS.some((name) => isSet(name))) return {};
  return {
    CLIENT_API_KEYS: `newcomer=${TRY_KEY}`,
    ...(isSet('OPERATOR_KEYS') ? {} : { OPERATOR_KEYS: `newcomer=${LOOK_KEY}` }),
  };
}

function isSet(name: string): boolean {
  return (process.env[name] ?? '').trim() !== '';
}

async function run(settings: Readonly<Record<string, string | undefined>>, fleet: Fleet | undefined): Promise<void> {
  // Its own output is a pipe to here, so it cannot know.
  const colours = process.stdout.isTTY && process.stdout.hasColors() ? { FORCE_COLOR: '1' } : {};
  const balancer = startBalancerProcess({ ...colours, ...settings }, (line) => {
    process.stdout.write(`${line}\n`);
  });
  // A terminal sends Ctrl-C to both; a supervisor only to this one.
  const passOn = (signal: NodeJS.Signals): void => void balancer.process.kill(signal);
  process.on('SIGTERM', passOn);
  process.on('SIGINT', () => {
    if (!process.stdout.isTTY) passOn('SIGINT');
  });
  balancer.listening.then(
    (url) => {
      if (fleet !== undefined) process.stdout.write(whatToTry(url, fleet));
    },
    () => undefined, // Its exit code tells.
  );
  process.exitCode = await balancer.ended;
  await fleet?.close();
  process.off('SIGTERM', passOn);
}

function whatToTry(url: string, fleet: Fleet): string {
  const resources = fleet.resources.map((resource) => `${resource.name} ${resource.url}`).join('   ');
  const isOwn = Object.keys(locks()).length === 0;
  const key = isOwn ? '…' : TRY_KEY;
  const operatorKey = isOwn || isSet('OPERATOR_KEYS') ? '…' : LOOK_KEY;
  return `
  No BACKEND_n_URL is set, so three simulated Azure OpenAI resources with small quotas run beside the balancer:
    ${resources}

  Ask it (the header x-balancer-backend tells who answered; repeat it ten times within ten seconds and see the failover):
    curl -i ${url}/v1/chat/completions -H 'content-type: application/json' -H 'api-key: ${key}' \\
      -d '{"model":"gpt-5.4-mini","messages":[{"role":"user","content":"hello"}]}'
  or with an SDK:  new OpenAI({ baseURL: '${url}/v1', apiKey: '${key}' })
  Throttle one, ask again a few times, and look: in a browser (any name, password ${operatorKey}), or the same as JSON:
    npm run simulator -- throttle openai1 30s
    curl -H 'api-key: ${operatorKey}' ${url}/status

`;
}
