import assert from 'node:assert/strict';
import { ERROR_CODES } from '../../app/src/proxy/proxy-error.ts';
import { smallFleet } from '../../simulator/fleet.ts';
import { DEFAULT_PORT, parseCommand } from '../../simulator/command.ts';
import { startBalancer, type RunningBalancer } from '../support/balancer.ts';
import { send, type Received, type Sent } from '../support/http.ts';
import { textOf } from '../support/sources.ts';

const GUIDE = textOf('docs/operations.md');
/** As `npm start` has it. */
const HERE = 'http://127.0.0.1:8080';
const NAMES = smallFleet().map(({ name }) => name);

interface Request extends Sent {
  readonly url: string;
}

/** The words of a shell's line, and what stands behind its `#`. */
function read(line: string): { readonly words: readonly string[]; readonly expected: string } {
  const [, command = '', expected = ''] = /^(.*?)(?:\s+# (.*))?$/.exec(line) ?? [];
  const words = [...command.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '');
  return { words, expected };
}

/** What curl would send, of the few options that the guide uses. */
function asked(words: readonly string[]): Request {
  const headers: Record<string, string> = {};
  const request: { url: string; method?: string; body?: string } = { url: '' };
  for (let n = 0; n < words.length; n += 1) {
    const word = words[n] ?? '';
    if (word === '-si') continue;
    if (!word.startsWith('-')) {
      request.url = word;
      continue;
    }
    n += 1;
    const value = words[n] ?? '';
    const colon = value.indexOf(': ');
    if (word === '-X') request.method = value;
    else if (word === '-d') request.body = value;
    else if (word === '-H') headers[value.slice(0, colon)] = value.slice(colon + 2);
    else assert.fail(`teach ${word} to this test`);
  }
  return { ...request, headers };
}

/** The words of a shell function of the guide. */
function functionOf(name: string): readonly string[] {
  const [, body = ''] = new RegExp(`^${name}\\(\\) \\{ curl ((?:.*\\\\\\n)*.*); \\}$`, 'm').exec(GUIDE) ?? [];
  assert.notEqual(body, '', `the guide has no function ${name}`);
  return read(body.replaceAll('\\\n', ' ').replace('"$@"', '')).words;
}

const boxes = [...GUIDE.matchAll(/^```sh\n((?:.*\n)*?)```$/gm)]
  .map(([, text = '']) => text.trimEnd().split('\n'))
  .filter((lines) => lines.some((line) => / # /.test(line)));

describe('docs/operations.md', () => {
  let running: RunningBalancer;

  function start(settings: Readonly<Record<string, string>>): Promise<RunningBalancer> {
    return startBalancer({
      // What the small fleet would answer, at once.
      resource: () => ({ chunkDelayMs: 0 }),
      settings: {
        CLIENT_API_KEYS: 'newcomer=try-me',
        OPERATOR_KEYS: 'newcomer=look-inside',
        MAX_HOLD_SECONDS: undefined,
        ...settings,
      },
    });
  }

  /** Keys are as the line has them, or none. */
  async function curl(words: readonly string[]): Promise<Received> {
    const { url, headers, ...sent } = asked(words);
    assert.ok(url.startsWith(HERE), url);
    return send(running.url + url.slice(HERE.length), { ...sent, headers: { 'api-key': '', ...headers } });
  }

  async function simulate(words: readonly string[]): Promise<void> {
    const command = parseCommand(words, NAMES);
    assert.ok(command.kind === 'control', words.join(' '));
    const { port, pathname, search } = new URL(command.url);
    const resource = running.resources[Number(port) - DEFAULT_PORT];
    assert.equal((await send(`${resource?.url}${pathname}${search}`, { method: command.method })).status, 200);
  }

  function assertAnswer(received: Received, expected: string): void {
    const [status, code = ''] = expected.split(' ');
    const text = received.body.toString();
    assert.equal(String(received.status), status, text);
    if (code === '') assert.doesNotMatch(text, /"error"/);
    else assert.match(text, new RegExp(`"error":\\{[^}]*"code":"${code}"`));
  }

  async function look(expected: string): Promise<void> {
    const received = await curl(functionOf('look').filter((word) => word !== '-s'));
    const { backends }: { backends: { name: string; state: string; deployments: { state: string }[] }[] } = JSON.parse(
      received.body.toString(),
    );
    const seen = backends.flatMap(({ name, state, deployments }) =>
      [state, ...deployments.map((deployment) => deployment.state)].map((each) => `${name} ${each}`),
    );
    assert.ok(seen.includes(expected), `${expected}: ${seen.join(', ')}`);
  }

  /** One line of a box. */
  async function run(line: string): Promise<void> {
    const { words, expected } = read(line);
    const [first = '', ...rest] = words;
    if (first === 'npm') return simulate(rest.slice(rest.indexOf('--') + 1));
    if (first === 'look') return look(expected);
    assert.ok(first === 'ask' || first === 'curl', line);
    assert.notEqual(expected, '', line);
    assertAnswer(await curl(first === 'ask' ? [...functionOf('ask'), ...rest] : rest), expected);
  }

  it('lets most of the states and of the codes be seen', () => {
    const seen = new Set(boxes.flat().map((line) => read(line).expected));
    const states = ['cooldown', 'open', 'missing', 'quarantined'];
    assert.deepEqual(
      states.filter((state) => !seen.has(`openai1 ${state}`)),
      [],
    );
    const codes = Object.entries(ERROR_CODES).filter(
      ([code, { status }]) => seen.has(`${status} ${code}`) || seen.has(`200 ${code}`),
    );
    assert.ok(codes.length >= 22, `${codes.length} of the codes`);
  });

  for (const [n, lines] of boxes.entries()) {
    const [first = ''] = lines;
    it(`does what it says, box ${n + 1}: ${lines.at(-1)?.replaceAll(/\s+/g, ' ').slice(0, 100)}`, async () => {
      const settings = /^((?:[A-Z_]+=\S+ )+)npm start$/.exec(first)?.[1]?.trim().split(' ') ?? [];
      running = await start(Object.fromEntries(settings.map((each) => each.split(/=(.*)/, 2))));
      try {
        for (const line of settings.length === 0 ? lines : lines.slice(1)) await run(line);
      } finally {
        await running.close();
      }
    });
  }
});
