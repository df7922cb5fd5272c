// Callers for the simulator's tests: plain node:http for whole answers, a bare socket where the way a connection ends
// is what matters.

import assert from 'node:assert/strict';
import { request } from 'node:http';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { startResource } from '../../simulator/server.ts';
import type { ResourceOptions, SimulatedResource } from '../../simulator/server.ts';

export const CHAT = '/openai/v1/chat/completions';

export const chatBody = { model: 'gpt-5.4-mini', messages: [{ role: 'user', content: 'What is new?' }] };

export const deployments = {
  'gpt-5.4-mini': { model: 'gpt-5.4-mini' },
  'text-embedding-3-large': { model: 'text-embedding-3-large' },
  'gpt-4o-transcribe': { model: 'gpt-4o-transcribe' },
  chat: { model: 'gpt-5.4-mini' },
};

/** Runs a test against a resource of its own and closes that afterwards, whatever happened. */
export async function withResource(
  options: Partial<ResourceOptions>,
  test: (resource: SimulatedResource) => Promise<void>,
): Promise<void> {
  const resource = await startResource({ name: 'openai1', deployments, ...options });
  try {
    await test(resource);
  } finally {
    await resource.close();
  }
}

export interface Question {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: object | string;
}

export interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** What the connection's end did to the body. */
  readonly error: NodeJS.ErrnoException | undefined;
}

/** Asks once on a connection of its own; rejects when no response headers came. */
export async function ask(resource: SimulatedResource, question: Question = {}): Promise<Reply> {
  const res = await open(resource, question);
  const chunks: Buffer[] = [];
  let error: NodeJS.ErrnoException | undefined;
  res.on('data', (chunk: Buffer) => chunks.push(chunk));
  res.on('error', (reason: NodeJS.ErrnoException) => {
    error = reason;
  });
  await new Promise((resolve) => res.once('close', resolve));
  return { status: res.statusCode ?? 0, headers: res.headers, body: Buffer.concat(chunks), error };
}

/** The response as soon as its headers came. */
export function open(resource: SimulatedResource, question: Question = {}): Promise<IncomingMessage> {
  const { method = 'POST', path = CHAT, headers = {}, body = chatBody } = question;
  const req = request(resource.url + path, {
    method,
    headers: { 'content-type': 'application/json', ...headers },
    agent: false,
  });
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  req.end(method === 'GET' || method === 'DELETE' ? undefined : text);
  return new Promise((resolve, reject) => {
    req.once('response', resolve);
    req.once('error', reject);
  });
}

export interface RawReply {
  readonly text: string;
  readonly ending: 'end' | 'reset';
}

/** Asks over a bare socket and tells how the other side ended the connection: FIN or RST. */
export function askRaw(resource: SimulatedResource, body: object = chatBody, path = CHAT): Promise<RawReply> {
  return new Promise((resolve) => {
    const socket = connect(Number(new URL(resource.url).port), '127.0.0.1');
    const json = JSON.stringify(body);
    socket.write(
      `POST ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(json)}\r\n\r\n${json}`,
    );
    let text = '';
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => {
      text += chunk;
    });
    socket.on('end', () => resolve({ text, ending: 'end' }));
    socket.on('error', () => resolve({ text, ending: 'reset' }));
  });
}

/** The `data:` of each event that arrived whole. */
export function eventsIn(text: string): readonly string[] {
  return [...text.matchAll(/^data: (.*)\n\n/gm)].map((match) => match[1] ?? '');
}

/** Turns the event loop until the claim holds. */
export async function eventually(claim: () => boolean): Promise<void> {
  const deadline = performance.now() + 5000;
  while (!claim()) {
    assert.ok(performance.now() < deadline, `never came true: ${String(claim)}`);
    await setImmediate();
  }
}

export function jsonOf(reply: Reply): unknown {
  return JSON.parse(reply.body.toString());
}

export type Json = Readonly<Record<string, unknown>>;

/** Asks and reads the answer as a JSON object; rejects when it is none. */
export async function askJson(
  resource: SimulatedResource,
  question: Question = {},
): Promise<{ readonly status: number; readonly body: Json }> {
  const reply = await ask(resource, question);
  const body: Json = JSON.parse(reply.body.toString());
  return { status: reply.status, body };
}

/** What lies at the end of the path, such as `valueAt(body, 'choices', 0, 'message')`. */
export function valueAt(value: unknown, ...path: readonly (string | number)[]): unknown {
  let found: unknown = value;
  for (const key of path) {
    found = typeof found === 'object' && found !== null ? Reflect.get(found, key) : undefined;
  }
  return found;
}

/** The text that lies there, empty when none does. */
export function textAt(value: unknown, ...path: readonly (string | number)[]): string {
  const found = valueAt(value, ...path);
  return typeof found === 'string' ? found : '';
}

/** The parsed events of a stream, without `[DONE]`. */
export async function askEvents(resource: SimulatedResource, question: Question): Promise<readonly Json[]> {
  const { body } = await ask(resource, question);
  return eventsIn(body.toString())
    .filter((data) => data !== '[DONE]')
    .map((data): Json => JSON.parse(data));
}

/** The `code` of an error answer. */
export function codeOf(reply: Reply): unknown {
  const parsed: { error?: { code?: unknown } } = JSON.parse(reply.body.toString());
  return parsed.error?.code;
}

export function messageOf(reply: Reply): string {
  const parsed: { error?: { message?: string } } = JSON.parse(reply.body.toString());
  return parsed.error?.message ?? '';
}
