/**
 * Recognisable secrets, and the search for them wherever they may have leaked: as they are, reversed, or in an encoding
 * that something may have put them in, and of each also any piece of a dozen characters.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { exportJWK, generateKeyPair, SignJWT, type JWTPayload } from 'jose';

export interface Canaries {
  /** A new secret, to be sent as this; `middle` stands in its midst, for what encodings change. */
  plant(label: string, middle?: string): string;
  /** A secret that was made elsewhere. */
  know(label: string, text: string): string;
  readonly labels: readonly string[];
  /** What of them is in this text, as `client key (base64): piece`; none of those that may be there. */
  leaksIn(text: string, may?: readonly string[]): readonly string[];
}

const PIECE = 12;

export function createCanaries(): Canaries {
  /** Piece, in small letters → whose it is, and in which form. */
  const pieces = new Map<string, { readonly label: string; readonly form: string }>();
  const labels: string[] = [];

  function know(label: string, text: string): string {
    labels.push(label);
    for (const [form, written] of formsOf(text)) {
      const small = written.toLowerCase();
      assert.ok(small.length >= PIECE, `${label} is too short to be told from chance`);
      for (let at = 0; at + PIECE <= small.length; at += 1) {
        const piece = small.slice(at, at + PIECE);
        if (!pieces.has(piece)) pieces.set(piece, { label, form });
      }
    }
    return text;
  }

  return {
    plant: (label, middle = '~') => know(label, `${randomText()}${middle}${randomText()}`),
    know,
    labels,
    leaksIn(text, may = []) {
      const leaks = new Set<string>();
      const small = text.toLowerCase();
      for (let at = 0; at + PIECE <= small.length; at += 1) {
        const found = pieces.get(small.slice(at, at + PIECE));
        if (found !== undefined && !may.includes(found.label)) leaks.add(`${found.label} (${found.form})`);
      }
      return [...leaks];
    },
  };
}

/** Twenty letters and digits: no encoding of texts changes them, and chance does not make them. */
function randomText(): string {
  return BigInt(`0x${randomBytes(20).toString('hex')}`)
    .toString(36)
    .padStart(20, '0')
    .slice(-20);
}

function formsOf(text: string): readonly (readonly [form: string, written: string])[] {
  const bytes = Buffer.from(text);
  // In the midst of other bytes base64 looks different, by where its groups of three begin.
  const shifted = [0, 1, 2].map((before) => {
    const encoded = Buffer.concat([Buffer.alloc(before), bytes]).toString('base64url');
    return encoded.slice(before === 0 ? 0 : before + 1, Math.floor((before + bytes.length) / 3) * 4);
  });
  return [
    ['as it is', text],
    ['as latin1', bytes.toString('latin1')],
    ['reversed', Array.from(text).toReversed().join('')],
    ['URL-encoded', encodeURIComponent(text)],
    ['JSON-escaped', JSON.stringify(text).slice(1, -1)],
    ['hex', bytes.toString('hex')],
    ...shifted.flatMap((encoded): [string, string][] => [
      ['base64url', encoded],
      ['base64', encoded.replaceAll('-', '+').replaceAll('_', '/')],
    ]),
  ];
}

export interface TokenIssuer {
  /** The settings that make the balancer accept its tokens. */
  readonly env: Readonly<Record<string, string>>;
  /** The heads of all requests for its keys. */
  readonly requests: readonly string[];
  /** From now on it answers this text instead of its keys. */
  answerWith(text: string): void;
  /** A token for the balancer's default audience. */
  token(claims: JWTPayload): Promise<string>;
  close(): Promise<void>;
}

/** A tenant of Microsoft Entra: it signs tokens and publishes its keys, on loopback. */
export async function startTokenIssuer(): Promise<TokenIssuer> {
  const tenant = '11111111-2222-3333-4444-555555555555';
  const { privateKey, publicKey } = await generateKeyPair('RS256');
  const kid = 'canaries';
  let answer = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid, use: 'sig' }] });
  const requests: string[] = [];
  const server = createServer((req, res) => {
    requests.push([`${req.method} ${req.url}`, ...req.rawHeaders].join('\n'));
    res.setHeader('content-type', 'application/json').end(answer);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  return {
    env: { ENTRA_TENANT_ID: tenant, ENTRA_JWKS_URL: `http://127.0.0.1:${address.port}/{tenant}/keys` },
    requests,
    answerWith(text) {
      answer = text;
    },
    token: (claims) =>
      new SignJWT({
        iss: `https://sts.windows.net/${tenant}/`,
        aud: 'https://cognitiveservices.azure.com',
        tid: tenant,
        appid: '99999999-8888-7777-6666-555555555555',
        exp: Math.floor(Date.now() / 1000) + 3600,
        ...claims,
      })
        .setProtectedHeader({ alg: 'RS256', typ: 'JWT', kid })
        .sign(privateKey),
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}
