/**
 * What people and platforms ask the balancer itself. Liveness and readiness never ask a backend: a resource that is
 * down must not restart the balancer in front of it.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Identify } from '../auth/client-auth.ts';
import { sendError, sendJson } from '../proxy/reply.ts';
import type { ProxyError } from '../proxy/proxy-error.ts';
import type { StatusDocument } from './status.ts';

export interface OpsDeps {
  readonly isReady: () => boolean;
  readonly status: () => StatusDocument;
  /** Reads an operator's credential. */
  readonly identifyOperator: Identify;
  /** True when /status is open to this machine's own people: see `mayRead`. */
  readonly isOpenLocally: boolean;
  readonly isLoopback: (host: string) => boolean;
}

type Handler = (req: IncomingMessage, res: ServerResponse) => void;

const NEEDS_OPERATOR: ProxyError = {
  code: 'operator_credential_needed',
  message:
    "This page needs an operator's key (one of OPERATOR_KEYS) in the header api-key or as Authorization: Bearer.",
  headers: { 'www-authenticate': 'Bearer' },
};

const NOT_LOCAL: ProxyError = {
  code: 'operator_host_not_local',
  message: 'Without OPERATOR_KEYS this page is open only under a loopback name, such as http://localhost:8080/status.',
};

export function createOpsRoutes(deps: OpsDeps): { readonly [name in 'healthz' | 'readyz' | 'status']: Handler } {
  return {
    healthz: (_req, res) => sendJson(res, 200, { status: 'alive' }),
    readyz: (_req, res) =>
      deps.isReady() ? sendJson(res, 200, { status: 'ready' }) : sendJson(res, 503, { status: 'not ready' }),
    status: (req, res) => {
      const refused = refusalFor(req, deps);
      if (refused !== undefined) return sendError(res, refused);
      sendJson(res, 200, deps.status());
    },
  };
}

/**
 * An operator's key opens it. Without one it is open only where nothing is configured to be locked and the caller used
 * a loopback name: port forwarding and DNS rebinding arrive from loopback too, but under another name.
 */
function refusalFor(req: IncomingMessage, deps: OpsDeps): ProxyError | undefined {
  if (deps.identifyOperator(req.headers).kind === 'client') return undefined;
  if (!deps.isOpenLocally) return NEEDS_OPERATOR;
  const name = (req.headers.host ?? '').replace(/:\d+$/, '');
  return deps.isLoopback(name) ? undefined : NOT_LOCAL;
}
