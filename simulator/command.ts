// Reads the simulator's command line. Pure: arguments in, a command or what is wrong with them out.

import { MAX_TIMES, faultForms, parseFault } from './scenario.ts';

export type Command =
  | { readonly kind: 'start'; readonly port: number }
  | { readonly kind: 'control'; readonly method: 'GET' | 'POST'; readonly url: string }
  | { readonly kind: 'help' }
  | { readonly kind: 'wrong'; readonly message: string };

export const DEFAULT_PORT = 8101;

export const usage = `Usage:
  npm run simulator                                    start openai1, openai2, openai3 on ports 8101, 8102, 8103
  npm run simulator -- throttle openai1 30s            openai1 answers 429 for 30 seconds (or 500ms, 2m)
  npm run simulator -- fault openai1 status:503 3      the next 3 requests get this fault (or: always)
  npm run simulator -- clear openai1                   forget its faults and throttles, start its quotas afresh
  npm run simulator -- state openai1                   what it was told and how often it was called
Options:
  --port 9101    another first port, for starting (0 takes free ones) and for talking to a running fleet
Faults:
  ${Object.values(faultForms).join('\n  ')}
`;

export function parseCommand(args: readonly string[], names: readonly string[]): Command {
  const words: string[] = [];
  let port = DEFAULT_PORT;
  for (let at = 0; at < args.length; at += 1) {
    const arg = args[at] ?? '';
    if (arg === '--help' || arg === '-h') {
      return { kind: 'help' };
    }
    if (arg === '--port' || arg.startsWith('--port=')) {
      const isApart = arg === '--port';
      const read = parsePort(isApart ? args[at + 1] : arg.slice('--port='.length), names.length);
      if (read === undefined) {
        return wrong('--port takes the first port, a whole number from 0 to 65533.');
      }
      port = read;
      at += isApart ? 1 : 0;
    } else if (arg.startsWith('-')) {
      return wrong(`Unknown option ${arg}.`);
    } else {
      words.push(arg);
    }
  }
  const [verb, name, ...rest] = words;
  return verb === undefined ? { kind: 'start', port } : parseControl({ verb, name, rest, port, names });
}

interface Words {
  readonly verb: string;
  readonly name: string | undefined;
  readonly rest: readonly string[];
  readonly port: number;
  readonly names: readonly string[];
}

function parseControl({ verb, name, rest, port, names }: Words): Command {
  if (!['throttle', 'fault', 'clear', 'state'].includes(verb)) {
    return wrong(`Unknown command ${verb}.`);
  }
  const index = name === undefined ? -1 : names.indexOf(name);
  if (index === -1) {
    return wrong(`${verb} needs the name of a resource: ${names.join(', ')}.`);
  }
  if (port === 0) {
    return wrong('--port 0 is for starting; name the first port of the running fleet.');
  }
  const base = `http://127.0.0.1:${port + index}/simulator`;
  const [first, second, third] = rest;
  if (verb === 'throttle') {
    const ms = parseDuration(first);
    return ms === undefined || second !== undefined
      ? wrong('throttle takes how long: 500ms, 30s or 2m.')
      : { kind: 'control', method: 'POST', url: `${base}/throttle?ms=${ms}` };
  }
  if (verb === 'fault') {
    return third === undefined ? parseScript(base, first, second) : wrong('fault takes a fault and how many times.');
  }
  if (first !== undefined) {
    return wrong(`${verb} takes nothing but the name of a resource.`);
  }
  return verb === 'clear'
    ? { kind: 'control', method: 'POST', url: `${base}/clear` }
    : { kind: 'control', method: 'GET', url: `${base}/state` };
}

function parseScript(base: string, fault: string | undefined, times = '1'): Command {
  if (fault === undefined || parseFault(fault) === undefined) {
    return wrong(fault === undefined ? 'fault needs the name of a fault.' : `No such fault: ${fault}.`);
  }
  const isCount = /^\d{1,4}$/.test(times) && Number(times) >= 1 && Number(times) <= MAX_TIMES;
  if (!isCount && times !== 'always') {
    return wrong(`How many times must be from 1 to ${MAX_TIMES}, or always.`);
  }
  return { kind: 'control', method: 'POST', url: `${base}/fault?name=${encodeURIComponent(fault)}&times=${times}` };
}

/** Milliseconds of `500ms`, `30s`, `2m`. */
function parseDuration(text: string | undefined): number | undefined {
  const [, digits, unit] = /^(\d{1,6})(ms|s|m)$/.exec(text ?? '') ?? [];
  if (digits === undefined) {
    return undefined;
  }
  const unitMs = unit === 'ms' ? 1 : unit === 's' ? 1000 : 60_000;
  return Number(digits) * unitMs;
}

function parsePort(text: string | undefined, count: number): number | undefined {
  if (text === undefined || !/^\d{1,5}$/.test(text)) {
    return undefined;
  }
  const port = Number(text);
  return port + count - 1 <= 65_535 ? port : undefined;
}

function wrong(message: string): Command {
  return { kind: 'wrong', message };
}
