/**
 * The ingestion endpoint of Application Insights, on this machine: keeps every envelope of POST /v2.1/track, unpacked.
 */
import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { buffer } from 'node:stream/consumers';
import { gunzipSync } from 'node:zlib';

export interface Envelope {
  readonly name: string;
  readonly time: string;
  readonly sampleRate: number;
  readonly iKey: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly data: {
    readonly baseType: string;
    readonly baseData: Readonly<Record<string, unknown>> & {
      readonly properties?: Readonly<Record<string, string>>;
    };
  };
}

export interface Ingestion {
  readonly connectionString: string;
  readonly envelopes: readonly Envelope[];
  /** Requests that came, of any kind: `POST /v2.1/track`. */
  readonly calls: readonly string[];
  /** What each of them had in `authorization`. */
  readonly credentials: readonly (string | undefined)[];
  /** With this status from now on. */
  answer(status: number): void;
  of(baseType: string): readonly Envelope[];
  /** Waits for this to be true; looked at whenever something arrives. */
  until(claim: () => boolean): Promise<void>;
  close(): Promise<void>;
}

export const INSTRUMENTATION_KEY = '11111111-2222-3333-4444-555555555555';

/** @param tls over https: a name of this machine's own */
export async function startIngestion(tls?: { readonly key: string; readonly cert: string }): Promise<Ingestion> {
  const envelopes: Envelope[] = [];
  const calls: string[] = [];
  const credentials: (string | undefined)[] = [];
  const arrivals = new EventEmitter();
  let status = 200;
  const listener: RequestListener = (req, res) => {
    void buffer(req).then((body) => {
      calls.push(`${req.method} ${req.url}`);
      credentials.push(req.headers.authorization);
      const text = req.headers['content-encoding'] === 'gzip' ? gunzipSync(body).toString() : body.toString();
      const got: Envelope[] = JSON.parse(text);
      if (status === 200) envelopes.push(...got);
      const [itemsReceived, itemsAccepted] = [got.length, status === 200 ? got.length : 0];
      res.writeHead(status, { 'content-type': 'application/json' });
      res.end(JSON.stringify({ itemsReceived, itemsAccepted, errors: [] }));
      arrivals.emit('arrival');
    });
  };
  const server = tls === undefined ? createServer(listener) : createSecureServer(tls, listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  return {
    connectionString: connectionStringTo(`http${tls === undefined ? '' : 's'}://127.0.0.1:${address.port}/`),
    envelopes,
    calls,
    credentials,
    answer(next) {
      status = next;
    },
    of: (baseType) => envelopes.filter(({ data }) => data.baseType === baseType),
    async until(claim) {
      while (!claim()) await once(arrivals, 'arrival');
    },
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

export function connectionStringTo(endpoint: string): string {
  return `InstrumentationKey=${INSTRUMENTATION_KEY};IngestionEndpoint=${endpoint}`;
}
