/** What expressions see of a request, as the gateway has it. Everything is read-only to them. */
import type { JWTPayload } from 'jose';

/** A value of an expression. An int is a number, a long a bigint, so that the two are as different as in .NET. */
export type Value = string | number | bigint | boolean | null | readonly Value[] | object;

/** As text: what ToString gives of what can be written, and something to read of the rest. */
export function shown(value: Value | undefined): string {
  if (value === null || value === undefined) return '';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  return typeof value === 'object' ? `(${value.constructor.name})` : String(value);
}

/** What .NET throws while an expression runs. */
export class NetError extends Error {
  /** `KeyNotFoundException`, … */
  readonly type: string;

  constructor(type: string, message: string) {
    super(`${type}: ${message}`);
    this.type = type;
  }
}

/** Headers, query parameters and claims: names with values. Names of headers do not differ by case. */
export class NamedValues {
  private readonly values = new Map<string, readonly string[]>();
  private readonly isCaseSensitive: boolean;

  constructor(entries: Iterable<readonly [string, string]> = [], isCaseSensitive = false) {
    this.isCaseSensitive = isCaseSensitive;
    for (const [name, value] of entries) this.append(name, value);
  }

  get(name: string): string | undefined {
    return this.values.get(this.keyOf(name))?.join(',');
  }

  has(name: string): boolean {
    return this.values.has(this.keyOf(name));
  }

  set(name: string, values: readonly string[]): void {
    this.values.set(this.keyOf(name), values);
  }

  append(name: string, value: string): void {
    this.set(name, [...(this.values.get(this.keyOf(name)) ?? []), value]);
  }

  delete(name: string): void {
    this.values.delete(this.keyOf(name));
  }

  entries(): readonly (readonly [string, readonly string[]])[] {
    return [...this.values];
  }

  private keyOf(name: string): string {
    return this.isCaseSensitive ? name : name.toLowerCase();
  }
}

/** Header lines as they came, name after name. */
export function headersFrom(rawHeaders: readonly string[]): NamedValues {
  return new NamedValues(
    Array.from({ length: rawHeaders.length / 2 }, (_, n) => [rawHeaders[2 * n] ?? '', rawHeaders[2 * n + 1] ?? '']),
  );
}

export class Url {
  host: string;
  /** As it was sent, escapes and all. */
  path: string;
  /** With its question mark; empty when there is none. */
  queryString: string;

  constructor(host: string, target: string) {
    const cut = target.indexOf('?');
    this.host = host;
    this.path = cut === -1 ? target : target.slice(0, cut);
    this.queryString = cut === -1 ? '' : target.slice(cut);
  }

  get query(): NamedValues {
    return new NamedValues(new URLSearchParams(this.queryString));
  }

  /** Takes the parameters of this name out; every other byte stays. */
  deleteParameter(name: string): void {
    const kept = this.queryString
      .slice(1)
      .split('&')
      .filter((part) => part !== '' && !new NamedValues(new URLSearchParams(part)).has(name));
    this.queryString = kept.length === 0 ? '' : `?${kept.join('&')}`;
  }
}

export class Body {
  readonly bytes: Buffer;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }
}

export class Request {
  readonly method: string;
  readonly headers: NamedValues;
  readonly originalUrl: Url;
  readonly url: Url;
  /** Null when the request has none. */
  body: Body | null;

  constructor(
    method: string,
    url: { readonly host: string; readonly target: string },
    headers: NamedValues,
    body: Buffer,
  ) {
    this.method = method;
    this.headers = headers;
    this.originalUrl = new Url(url.host, url.target);
    this.url = new Url(url.host, url.target);
    this.body = body.length === 0 ? null : new Body(body);
  }
}

export class Response {
  statusCode: number;
  statusReason: string;
  readonly headers: NamedValues;

  constructor(statusCode: number, statusReason: string, headers = new NamedValues()) {
    this.statusCode = statusCode;
    this.statusReason = statusReason;
    this.headers = headers;
  }
}

export class Subscription {
  readonly id: string;

  constructor(id: string) {
    this.id = id;
  }
}

/** Why the request goes through on-error; reasons as Microsoft's reference of errors has them. */
export class LastError {
  readonly source: string;
  readonly reason: string | null;
  readonly message: string;
  readonly section: string;

  constructor(told: { source: string; reason: string | null; message: string; section: string }) {
    this.source = told.source;
    this.reason = told.reason;
    this.message = told.message;
    this.section = told.section;
  }
}

export class Jwt {
  readonly claims: NamedValues;

  constructor(payload: JWTPayload) {
    const claims = Object.entries(payload).flatMap(([name, value]) =>
      (Array.isArray(value) ? value : [value]).map((one) => [name, String(one)] as const),
    );
    this.claims = new NamedValues(claims, true);
  }
}

/** Null when the text is no token. Nothing is verified. */
export function asJwt(text: string): Jwt | null {
  const parts = text.split('.');
  if (parts.length !== 3) return null;
  try {
    const [, payload] = parts.slice(0, 2).map((part): unknown => JSON.parse(Buffer.from(part, 'base64url').toString()));
    return typeof payload === 'object' && payload !== null && !Array.isArray(payload) ? new Jwt({ ...payload }) : null;
  } catch {
    return null;
  }
}

export class Context {
  readonly request: Request;
  readonly variables = new Map<string, Value>();
  readonly subscription: Subscription | null;
  response: Response | null = null;
  lastError: LastError | null = null;
  /** Milliseconds since 1970. */
  readonly now: () => number;

  constructor(request: Request, subscription: Subscription | null, now: () => number) {
    this.request = request;
    this.subscription = subscription;
    this.now = now;
  }
}
