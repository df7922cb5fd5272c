/** The managed identity endpoint of App Service and Container Apps (protocol 2019-08-01), on loopback. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';

export interface TokenRequest {
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly secret: string | undefined;
}

/** What it answers: a token, an error with this status, or nothing at all. */
export type IdentityAnswer =
  | { readonly token: string; readonly lifetimeSeconds?: number }
  | { readonly status: number }
  | 'silence';

export interface IdentityEndpoint {
  /** The environment that leads a process to it, and to no other credential of this machine. */
  readonly env: Readonly<Record<string, string>>;
  readonly requests: readonly TokenRequest[];
  answerWith(answer: IdentityAnswer): void;
  close(): Promise<void>;
}

/** In IDENTITY_HEADER. */
export const IDENTITY_SECRET = 'identity-header-secret';

export async function startIdentityEndpoint(first: IdentityAnswer): Promise<IdentityEndpoint> {
  let answer = first;
  const requests: TokenRequest[] = [];
  const server = createServer((req, res) => {
    const url = new URL(req.url ?? '/', 'http://127.0.0.1');
    const secret = req.headers['x-identity-header'];
    requests.push({
      method: req.method ?? '',
      path: url.pathname,
      query: Object.fromEntries(url.searchParams),
      secret: typeof secret === 'string' ? secret : undefined,
    });
    if (answer === 'silence') return;
    const status = 'token' in answer ? 200 : answer.status;
    const document = 'token' in answer ? tokenDocument(answer, url) : { ...ERROR, statusCode: status };
    res.writeHead(status, { 'content-type': 'application/json' });
    res.end(JSON.stringify(document));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  return {
    env: {
      IDENTITY_ENDPOINT: `http://127.0.0.1:${address.port}/msi/token`,
      IDENTITY_HEADER: IDENTITY_SECRET,
      AZURE_TOKEN_CREDENTIALS: 'ManagedIdentityCredential',
    },
    requests,
    answerWith(next) {
      answer = next;
    },
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

const ERROR = {
  message: 'No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId.',
};

function tokenDocument(answer: { readonly token: string; readonly lifetimeSeconds?: number }, url: URL): object {
  return {
    access_token: answer.token,
    expires_on: String(Math.floor(Date.now() / 1000) + (answer.lifetimeSeconds ?? 86_400)),
    resource: url.searchParams.get('resource') ?? '',
    token_type: 'Bearer',
    client_id: url.searchParams.get('client_id') ?? 'system',
  };
}
