/** The route table, in order. Express decides who answers; how is decided in ops/ and proxy/. */
import express, { type ErrorRequestHandler, type Express } from 'express';
import type { createOpsRoutes } from './ops/routes.ts';
import type { ProxyHandler } from './proxy/handler.ts';
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
  app.get('/status', ops.status);
  app.get('/ledger', ops.ledger);
  app.use(proxy);
  app.use(lastResort(observe));
  return app;
}

/** A bug reached the top: the caller gets an honest error, or a broken connection when an answer had begun. */
function lastResort(observe: Observe): ErrorRequestHandler {
  return (error: unknown, _req, res, _next) => {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    observe({ kind: 'notice', level: 'error', text: `A request failed on a bug: ${text}` });
    if (res.headersSent) res.destroy();
    else sendError(res, INTERNAL);
  };
}
