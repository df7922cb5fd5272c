/**
 * What people and platforms ask the balancer itself. Liveness and readiness never ask a backend: a resource that is
 * down must not restart the balancer in front of it. All else needs an operator; nothing here changes any state.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Identify } from '../auth/client-auth.ts';
import { isLocal } from '../auth/local-door.ts';
import { credentialError, NOT_LOCAL } from '../proxy/credential-errors.ts';
import { SAFE_HEADERS, sendError, sendJson, sendText } from '../proxy/reply.ts';
import type { ProxyError } from '../proxy/proxy-error.ts';
import { ledgerCsv } from '../telemetry/ledger-csv.ts';
import type { LedgerDocument } from '../telemetry/ledger.ts';
import type { Live } from './live.ts';
import { PAGE_FILES, PAGE_POLICY, pageHtml } from './page.ts';
import type { StatusDocument } from './status.ts';

export interface OpsDeps {
  readonly isReady: () => boolean;
  readonly status: () => StatusDocument;
  /** The same, again and again, for those who look at the page. */
  readonly live: Live;
  /** What programs watch, and its content type. */
  readonly metrics: () => Promise<{ readonly contentType: string; readonly text: string }>;
  readonly ledger: () => LedgerDocument;
  /** Reads an operator's credential. */
  readonly identifyOperator: Identify;
  /** Told of whoever was refused; names the request, by headers as name, value, name, value, … */
  readonly onRefused: (req: IncomingMessage, error: ProxyError) => readonly string[];
  /** Nothing is configured to be locked, and only this machine is listened to. */
  readonly isOpenLocally: boolean;
}

type Handler = (req: IncomingMessage, res: ServerResponse) => void | Promise<void>;

/** A browser asks for a name and a password then; the key is the password, the name does not matter. */
const NEEDS_OPERATOR: ProxyError = {
  code: 'operator_credential_needed',
  message:
    "This page needs an operator's key (one of OPERATOR_KEYS) in the header api-key, as Authorization: Bearer, or as " +
    'the password where a browser asks for one; or the token of one of ENTRA_ALLOWED_OPERATORS.',
  headers: { 'www-authenticate': 'Basic realm="operators of the balancer", charset="UTF-8"' },
};

const TOO_MANY_VIEWERS: ProxyError = {
  code: 'too_many_viewers',
  message: 'As many as may are looking at this page live, or the balancer is shutting down. Try again later.',
  headers: { 'retry-after': '10' },
};

/** What is at /status depends on who asks. */
const VARY = ['vary', 'accept'];
const PAGE_HEADERS = Object.entries({
  ...SAFE_HEADERS,
  'content-security-policy': PAGE_POLICY,
  'x-frame-options': 'DENY',
}).flat();
/** No proxy on the way should keep events back. */
const EVENT_HEADERS = [
  ...Object.entries(SAFE_HEADERS).flat(),
  'content-type',
  'text/event-stream',
  'x-accel-buffering',
  'no',
];

export function createOpsRoutes(deps: OpsDeps): {
  readonly [name in 'healthz' | 'readyz' | 'metrics' | 'status' | 'page' | 'pageFile' | 'events' | 'ledger']: Handler;
} {
  /** An operator may; where nothing is locked, so may this machine's own programs. */
  function guarded(answer: Handler): Handler {
    return async (req, res) => {
      const refused = await refusalFor(req, deps);
      if (refused === undefined) return answer(req, res);
      sendError(res, refused, deps.onRefused(req, refused));
    };
  }

  return {
    healthz: (_req, res) => sendJson(res, 200, { status: 'alive' }),
    readyz: (_req, res) =>
      deps.isReady() ? sendJson(res, 200, { status: 'ready' }) : sendJson(res, 503, { status: 'not ready' }),
    metrics: guarded(async (_req, res) => {
      const { contentType, text } = await deps.metrics();
      sendText(res, 200, contentType, text);
    }),
    status: guarded((_req, res) => sendJson(res, 200, deps.status(), VARY)),
    page: guarded(({ url = '' }, res) => {
      const [, query = ''] = url.split('?', 2);
      sendPage(res, 'text/html; charset=utf-8', pageHtml(deps.status(), query));
    }),
    pageFile: guarded(({ url = '' }, res) => {
      const file = PAGE_FILES.get(url.split('?', 1)[0]?.toLowerCase() ?? '');
      if (file !== undefined) sendPage(res, file.contentType, file.text);
      else sendError(res, { code: 'unknown_path', message: 'The page has no such file.' });
    }),
    events: guarded((req, res) => {
      if (req.method === 'HEAD') res.writeHead(200, [...EVENT_HEADERS]).end();
      else if (!deps.live.add(res, EVENT_HEADERS)) sendError(res, TOO_MANY_VIEWERS);
    }),
    ledger: guarded((req, res) => {
      const isForPrograms = /\bapplication\/json\b/i.test(req.headers.accept ?? '');
      if (isForPrograms) sendJson(res, 200, deps.ledger());
      else sendText(res, 200, 'text/csv; charset=utf-8; header=present', ledgerCsv(deps.ledger()));
    }),
  };
}

function sendPage(res: ServerResponse, contentType: string, text: string): void {
  const body = Buffer.from(text);
  res.writeHead(200, [...PAGE_HEADERS, ...VARY, 'content-type', contentType, 'content-length', String(body.length)]);
  res.end(body);
}

async function refusalFor({ headers }: IncomingMessage, deps: OpsDeps): Promise<ProxyError | undefined> {
  const identified = await deps.identifyOperator(headers);
  if (identified.kind === 'client') return undefined;
  if (deps.isOpenLocally) return isLocal(headers) ? undefined : NOT_LOCAL;
  return identified.kind === 'token' ? credentialError(identified) : NEEDS_OPERATOR;
}
