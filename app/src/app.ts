/** The route table, in order. Express decides who answers; how is decided in ops/ and proxy/. */
import express, { type ErrorRequestHandler, type Express } from 'express';
import type { createOpsRoutes } from './ops/routes.ts';
import type { ProxyHandler } from './proxy/handler.ts';
import { requestIdHeader } from './proxy/headers.ts';
import { RequestBug } from './proxy/proxy-error.ts';
import { INTERNAL } from './proxy/refusals.ts';
import { sendError } from './proxy/reply.ts';
import type { Observe } from './telemetry/events.ts';

export interface AppDeps {
  readonly ops: ReturnType<typeof createOpsRoutes>;
  readonly proxy: ProxyHandler;
  readonly observe: Observe;
}

export function createApp({ ops, proxy, observe }: AppDeps): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('query parser', false);

  app.get('/healthz', ops.healthz);
  app.get('/readyz', ops.readyz);
  app.get('/metrics', ops.metrics);
  // A browser asks for HTML; programs get JSON, also those that do not say what they want.
  app.get('/status', (req, res) => (req.accepts(['json', 'html']) === 'html' ? ops.page : ops.status)(req, res));
  app.get('/status/page/:file', ops.pageFile);
  app.get('/status/events', ops.events);
  app.get('/ledger', ops.ledger);
  app.use(proxy);
  app.use(lastResort(observe));
  return app;
}

/** A bug reached the top: the caller gets an honest error, or a broken connection when an answer had begun. */
function lastResort(observe: Observe): ErrorRequestHandler {
  return (error: unknown, _req, res, _next) => {
    const { bug, id } =
      error instanceof RequestBug ? { bug: error.cause, id: error.requestId } : { bug: error, id: undefined };
    const text = bug instanceof Error ? (bug.stack ?? bug.message) : String(bug);
    const which = id === undefined ? 'A request' : `The request ${id}`;
    observe({ kind: 'notice', level: 'error', text: `${which} failed on a bug: ${text}` });
    if (res.headersSent) res.destroy();
    else sendError(res, INTERNAL, id === undefined ? [] : requestIdHeader(id));
  };
}
