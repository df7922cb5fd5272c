/**
 * A simulated resource that is asked straight, and one that is asked through the balancer. Both begin alike and are asked
 * alike, so that they answer alike, ids and times among it.
 */
import assert from 'node:assert/strict';
import http from 'node:http';
import { startFleet } from '../../simulator/fleet.ts';
import type { Fault } from '../../simulator/scenario.ts';
import type { Call, ResourceOptions } from '../../simulator/server.ts';
import { CLIENT_KEY, startBalancer } from '../support/balancer.ts';
import type { Chance } from './mutate.ts';

const DEPLOYMENTS: ResourceOptions['deployments'] = {
  'gpt-5.4-mini': { model: 'gpt-5.4-mini' },
  'text-embedding-3-large': { model: 'text-embedding-3-large' },
  'gpt-4o-transcribe': { model: 'gpt-4o-transcribe' },
  tts: { model: 'gpt-4o-mini-tts' },
  image: { model: 'gpt-image-1' },
};
const RESOURCE = { name: 'openai1', apiKey: 'key-1', deployments: DEPLOYMENTS, answerTokens: 12, now: () => NOW };
const NOW = Date.UTC(2026, 10, 27, 12);

/** Each has its own for every answer, or for every connection; and what the balancer says of itself. */
export const NOT_COMPARED: ReadonlySet<string> = new Set([
  'date',
  'x-request-id',
  'apim-request-id',
  // How the bytes are framed, which the balancer decides for its own connection.
  'connection',
  'keep-alive',
  'transfer-encoding',
  'content-length',
  // Of a site that is not the balancer's.
  'strict-transport-security',
  // The resource gives back the one that it was sent, and the balancer sends its own where the caller has none.
  'x-ms-client-request-id',
  'x-balancer-attempts',
  'x-balancer-backend',
  'x-balancer-request-id',
  'x-balancer-trace',
]);

export interface Asked {
  readonly method: string;
  /** As the resource knows it. */
  readonly path: string;
  readonly contentType?: string;
  readonly body?: Buffer;
}

export interface Got {
  readonly status: number;
  /** Name, value, …, those that are compared. */
  readonly headers: readonly string[];
  readonly body: Buffer;
  readonly isComplete: boolean;
}

export interface Stage {
  /** The same to both. `seed`: how bodies are cut, and how slowly the answers are read. */
  askBoth(asked: Asked, chance: Chance): Promise<{ readonly straight: Got; readonly through: Got }>;
  /** For the next request to both. */
  script(fault: Fault): void;
  /** What both were asked last. */
  lastCalls(): { readonly straight: Call; readonly through: Call };
  close(): Promise<void>;
}

export async function openStage(): Promise<Stage> {
  const fleet = await startFleet([RESOURCE]);
  const [straight] = fleet.resources;
  const balancer = await startBalancer({
    backends: 1,
    resource: () => RESOURCE,
    // What it would ask for more is not what the caller sent.
    settings: { STREAM_USAGE: 'off' },
  });
  const [behind] = balancer.resources;
  assert.ok(straight !== undefined && behind !== undefined);
  return {
    async askBoth(asked, chance) {
      straight.clearCalls();
      behind.clearCalls();
      const before = { 'api-key': 'key-1' };
      const got = { straight: await ask(straight.url, asked, before, chance) };
      return { ...got, through: await ask(balancer.url, asked, { 'api-key': CLIENT_KEY }, chance) };
    },
    script(fault) {
      straight.script(fault);
      behind.script(fault);
    },
    lastCalls() {
      const [calls, others] = [straight.calls.at(-1), behind.calls.at(-1)];
      assert.ok(calls !== undefined && others !== undefined, 'a resource was not asked');
      return { straight: calls, through: others };
    },
    async close() {
      await balancer.close();
      await fleet.close();
    },
  };
}

const LONGEST_MS = 15_000;
const agent = new http.Agent({ keepAlive: true });

/** Sends the body whole or in pieces, and reads the answer at once or slowly. */
export function ask(
  url: string,
  asked: Asked,
  credential: Readonly<Record<string, string>>,
  chance: Chance,
): Promise<Got> {
  const { method, path, contentType, body } = asked;
  const isSlow = chance.oneIn(3);
  return new Promise((resolve, reject) => {
    const req = http.request(`${url}${path}`, {
      method,
      agent,
      // An answer that never ends is a difference too.
      signal: AbortSignal.timeout(LONGEST_MS),
      headers: { ...credential, ...(contentType === undefined ? {} : { 'content-type': contentType }) },
    });
    req.on('error', reject);
    req.on('response', (res) => {
      const pieces: Buffer[] = [];
      res.on('data', (piece: Buffer) => {
        pieces.push(piece);
        if (!isSlow) return;
        res.pause();
        setImmediate(() => setImmediate(() => res.resume()));
      });
      res.on('error', () => undefined); // `close` tells.
      res.on('close', () => {
        const { statusCode: status = 0, complete: isComplete } = res;
        resolve({ status, headers: compared(res.rawHeaders), body: Buffer.concat(pieces), isComplete });
      });
    });
    void write(req, body, chance);
  });
}

async function write(req: http.ClientRequest, body: Buffer | undefined, chance: Chance): Promise<void> {
  const most = chance.oneIn(2) ? 0 : 1 + chance.below(3000);
  if (body === undefined || most === 0) {
    req.end(body);
    return;
  }
  for (let at = 0; at < body.length;) {
    const size = 1 + chance.below(most);
    req.write(body.subarray(at, at + size));
    at += size;
    if (chance.oneIn(4)) await new Promise((resolve) => setImmediate(resolve));
  }
  req.end();
}

function compared(rawHeaders: readonly string[]): readonly string[] {
  const headers: string[] = [];
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = (rawHeaders[at] ?? '').toLowerCase();
    if (!NOT_COMPARED.has(name)) headers.push(name, rawHeaders[at + 1] ?? '');
  }
  return headers;
}
