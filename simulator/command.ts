// Reads the simulator's command line. Pure: arguments in, a command or what is wrong with them out.

import { parseArgs } from 'node:util';
import { windowKinds } from './limits/meter.ts';
import type { QuotaLimits } from './limits/quota.ts';
import { MAX_TIMES, faultForms, parseFault } from './scenario.ts';

export type Command =
  | {
      readonly kind: 'start';
      readonly port: number;
      /** Laid over the limits of the small fleet. */
      readonly limits: QuotaLimits;
      /** Speak TLS; the authority's certificate is written to this file. */
      readonly tlsFile?: string;
    }
  | { readonly kind: 'control'; readonly method: 'GET' | 'POST'; readonly url: string }
  | { readonly kind: 'help' }
  | { readonly kind: 'wrong'; readonly message: string };

export const DEFAULT_PORT = 8101;

export const usage = `Usage:
  npm run simulator                                    start openai1, openai2, openai3 on ports 8101, 8102, 8103
  npm run simulator -- throttle openai1 30s            openai1 answers 429 for 30 seconds (or 500ms, 2m)
  npm run simulator -- limit openai1 2000tpm 60s       openai1 has 2,000 tokens a minute for a minute, then its own again
  npm run simulator -- no-role openai1 30s             tokens (not keys) have no role at openai1 for 30 seconds: 401
  npm run simulator -- fault openai1 status:503 3      the next 3 requests get this fault (or: always)
  npm run simulator -- clear openai1                   forget all of that, start its quotas afresh
  npm run simulator -- state openai1                   what it was told and how often it was called
Options:
  --port 9101    another first port, for starting (0 takes free ones) and for talking to a running fleet
  --tls ca.pem   starting: speak TLS; what to trust is written to this file (NODE_EXTRA_CA_CERTS=ca.pem)
                 talking to such a fleet: the same
  --tpm 30000    starting: tokens a minute of each deployment that counts them
  --rpm 180      starting: requests a minute of each deployment
  --window sliding
                 starting: how a minute is counted: ${windowKinds.join(', ')}
  --slices 1s,10s
                 starting: in which slices of the minute requests are counted too: 1s, 10s, 1s,10s or none
  --phase 17s    starting: where in the clock's minute a window begins; without it the first request begins one
Faults:
  ${Object.values(faultForms).join('\n  ')}
`;

export function parseCommand(args: readonly string[], names: readonly string[]): Command {
  let parsed: ReturnType<typeof parseWords>;
  try {
    parsed = parseWords(args);
  } catch (error) {
    return wrong(error instanceof Error ? `${error.message.replace(/\.$/, '')}.` : String(error));
  }
  const { values, positionals } = parsed;
  if (values.help === true) {
    return { kind: 'help' };
  }
  const port = values.port === undefined ? DEFAULT_PORT : parsePort(values.port, names.length);
  if (port === undefined) {
    return wrong('--port takes the first port, a whole number from 0 to 65533.');
  }
  const [verb, name, ...rest] = positionals;
  const isTls = values.tls !== undefined;
  if (verb !== undefined) {
    const onlyForStart = ['tpm', 'rpm', 'window', 'slices', 'phase'].find((option) => Object.hasOwn(values, option));
    return onlyForStart === undefined
      ? parseControl({ verb, name, rest, port, names, isTls })
      : wrong(`--${onlyForStart} is for starting.`);
  }
  const limits = parseLimits(values);
  if (typeof limits === 'string') {
    return wrong(limits);
  }
  return { kind: 'start', port, limits, ...(values.tls === undefined ? {} : { tlsFile: values.tls }) };
}

function parseWords(args: readonly string[]) {
  return parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      help: { type: 'boolean', short: 'h' },
      port: { type: 'string' },
      tls: { type: 'string' },
      tpm: { type: 'string' },
      rpm: { type: 'string' },
      window: { type: 'string' },
      slices: { type: 'string' },
      phase: { type: 'string' },
    },
  });
}

/** The limits that options ask for, or what is wrong with them. */
function parseLimits(values: ReturnType<typeof parseWords>['values']): QuotaLimits | string {
  const tpm = values.tpm === undefined ? undefined : parseAmount(values.tpm);
  const rpm = values.rpm === undefined ? undefined : parseAmount(values.rpm);
  const window = windowKinds.find((kind) => kind === values.window);
  const requestSlicesMs = values.slices === undefined ? undefined : parseSlices(values.slices);
  const phaseMs = values.phase === undefined ? undefined : parseDuration(values.phase);
  if (values.tpm !== undefined && tpm === undefined) {
    return '--tpm takes tokens a minute, such as 30000.';
  }
  if (values.rpm !== undefined && rpm === undefined) {
    return '--rpm takes requests a minute, such as 180.';
  }
  if (values.window !== undefined && window === undefined) {
    return `--window takes one of ${windowKinds.join(', ')}.`;
  }
  if (values.slices !== undefined && requestSlicesMs === undefined) {
    return '--slices takes 1s, 10s, 1s,10s or none.';
  }
  if (values.phase !== undefined && (phaseMs === undefined || phaseMs >= 60_000)) {
    return '--phase takes a time below a minute, such as 17s.';
  }
  return {
    ...(tpm === undefined ? {} : { tpm }),
    ...(rpm === undefined ? {} : { rpm }),
    ...(window === undefined ? {} : { window }),
    ...(requestSlicesMs === undefined ? {} : { requestSlicesMs }),
    ...(phaseMs === undefined ? {} : { phaseMs }),
  };
}

function parseSlices(text: string): readonly number[] | undefined {
  if (text === 'none') {
    return [];
  }
  const slices = text.split(',').map((each) => (each === '1s' ? 1000 : each === '10s' ? 10_000 : undefined));
  const known = slices.filter((each) => each !== undefined);
  return known.length === slices.length ? known : undefined;
}

interface Words {
  readonly verb: string;
  readonly name: string | undefined;
  readonly rest: readonly string[];
  readonly port: number;
  readonly names: readonly string[];
  readonly isTls: boolean;
}

function parseControl({ verb, name, rest, port, names, isTls }: Words): Command {
  if (!['throttle', 'limit', 'no-role', 'fault', 'clear', 'state'].includes(verb)) {
    return wrong(`Unknown command ${verb}.`);
  }
  const index = name === undefined ? -1 : names.indexOf(name);
  if (index === -1) {
    return wrong(`${verb} needs the name of a resource: ${names.join(', ')}.`);
  }
  if (port === 0) {
    return wrong('--port 0 is for starting; name the first port of the running fleet.');
  }
  const base = `${isTls ? 'https' : 'http'}://127.0.0.1:${port + index}/simulator`;
  const [first, second, third] = rest;
  if (verb === 'throttle' || verb === 'no-role') {
    const ms = parseDuration(first);
    return ms === undefined || second !== undefined
      ? wrong(`${verb} takes how long: 500ms, 30s or 2m.`)
      : { kind: 'control', method: 'POST', url: `${base}/${verb}?ms=${ms}` };
  }
  if (verb === 'limit') {
    const tpm = parseAmount(first?.endsWith('tpm') === true ? first.slice(0, -'tpm'.length) : undefined);
    const ms = parseDuration(second);
    return tpm === undefined || ms === undefined || third !== undefined
      ? wrong('limit takes how many tokens a minute, and how long: 2000tpm 60s.')
      : { kind: 'control', method: 'POST', url: `${base}/limit?tpm=${tpm}&ms=${ms}` };
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

/** A whole number of tokens or requests, at least 1. */
function parseAmount(text: string | undefined): number | undefined {
  return text !== undefined && /^[1-9]\d{0,8}$/.test(text) ? Number(text) : undefined;
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
