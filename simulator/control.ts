// The control API of a simulated resource, on its own port under /simulator/: what the command line and the demo use to
// make a running resource misbehave. Only for callers on this machine: it is bound to 127.0.0.1, and a Host header that
// is not loopback (a web page that had its name point here) is turned away.

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { BehaviourSnapshot } from './behaviour.ts';
import { MAX_TIMES, faultForms, parseFault } from './scenario.ts';
import type { SimulatedResource } from './server.ts';

export const CONTROL_PREFIX = '/simulator/';

const LOOPBACK = /^(127\.0\.0\.1|localhost|\[::1\])(:\d+)?$/i;

interface Reply {
  readonly status: number;
  readonly body: object;
}

export function handleControl(
  req: IncomingMessage,
  res: ServerResponse,
  resource: SimulatedResource,
  snapshot: () => BehaviourSnapshot,
): void {
  req.resume();
  const reply = replyTo(req, resource, snapshot);
  res.writeHead(reply.status, { 'content-type': 'application/json' });
  res.end(`${JSON.stringify(reply.body)}\n`);
}

function replyTo(req: IncomingMessage, resource: SimulatedResource, snapshot: () => BehaviourSnapshot): Reply {
  const isFromBrowser = req.headers.origin !== undefined;
  if (!LOOPBACK.test(req.headers.host ?? '') || isFromBrowser) {
    return refused(403, 'The control API answers only programs on this machine.');
  }
  const { pathname, searchParams } = new URL(req.url ?? '/', 'http://127.0.0.1');
  switch (`${req.method} ${pathname}`) {
    case 'POST /simulator/throttle':
      return throttle(resource, searchParams);
    case 'POST /simulator/fault':
      return fault(resource, searchParams);
    case 'POST /simulator/limit':
      return limit(resource, searchParams);
    case 'POST /simulator/no-role':
      return withoutRole(resource, searchParams);
    case 'POST /simulator/clear':
      resource.clearFaults();
      return { status: 200, body: { cleared: resource.name } };
    case 'GET /simulator/books':
      return { status: 200, body: { name: resource.name, books: resource.books } };
    case 'GET /simulator/state':
      return { status: 200, body: state(resource, snapshot()) };
    default:
      return refused(
        404,
        'Known: POST throttle?ms=, POST limit?tpm=&ms=, POST no-role?ms=, POST fault?name=&times=, POST clear, GET state, GET books.',
      );
  }
}

function throttle(resource: SimulatedResource, query: URLSearchParams): Reply {
  const ms = wholeNumber(query.get('ms'));
  if (ms === undefined) {
    return refused(400, 'ms must be a whole number of milliseconds, such as ms=30000.');
  }
  const deployment = query.get('deployment');
  resource.throttle(ms, deployment ?? undefined);
  return { status: 200, body: { throttled: resource.name, ms, deployment: deployment ?? '*' } };
}

function limit(resource: SimulatedResource, query: URLSearchParams): Reply {
  const tpm = wholeNumber(query.get('tpm'));
  const ms = wholeNumber(query.get('ms'));
  if (tpm === undefined || tpm < 1 || ms === undefined) {
    return refused(400, 'tpm must be tokens a minute, at least 1, and ms a whole number, such as tpm=2000&ms=60000.');
  }
  const deployment = query.get('deployment');
  resource.reduce(tpm, ms, deployment ?? undefined);
  return { status: 200, body: { limited: resource.name, tpm, ms, deployment: deployment ?? '*' } };
}

function withoutRole(resource: SimulatedResource, query: URLSearchParams): Reply {
  const ms = wholeNumber(query.get('ms'));
  if (ms === undefined) {
    return refused(400, 'ms must be a whole number of milliseconds, such as ms=30000.');
  }
  resource.withoutRole(ms);
  return { status: 200, body: { withoutRole: resource.name, ms } };
}

function fault(resource: SimulatedResource, query: URLSearchParams): Reply {
  const name = query.get('name') ?? '';
  const parsed = parseFault(name);
  if (parsed === undefined) {
    return refused(400, `No such fault: ${JSON.stringify(name)}. Known: ${Object.values(faultForms).join(', ')}.`);
  }
  const times = query.get('times') ?? '1';
  if (times === 'always') {
    resource.always(parsed);
    return { status: 200, body: { fault: name, times } };
  }
  const count = wholeNumber(times);
  if (count === undefined || count < 1 || count > MAX_TIMES) {
    return refused(400, `times must be a whole number from 1 to ${MAX_TIMES}, or always.`);
  }
  resource.script(...Array.from({ length: count }, () => parsed));
  return { status: 200, body: { fault: name, times: count } };
}

function state(resource: SimulatedResource, snapshot: BehaviourSnapshot): object {
  const { name, url, openSockets, openRequests } = resource;
  return { name, url, calls: resource.calls.length, openSockets, openRequests, ...snapshot };
}

function refused(status: number, message: string): Reply {
  return { status, body: { error: { message } } };
}

function wholeNumber(text: string | null): number | undefined {
  return text !== null && /^\d{1,10}$/.test(text) ? Number(text) : undefined;
}
