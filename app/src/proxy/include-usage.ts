/**
 * A stream of a chat says what it used only when `stream_options.include_usage` asks for it. Where the caller does not, we
 * do (STREAM_USAGE), by one edit that leaves every other byte of the body as it is; what comes of it is kept from the
 * caller (usage-chunk.ts). Azure refuses the option where it does not know it: such a request is asked again without.
 */
import { findMembers, type Edit, type MemberRange } from './json-members.ts';

/** What it takes to ask. */
export interface UsageAsking {
  readonly edit: Edit;
  /** Of the API: a deployment that refuses the option in one may take it in another. */
  readonly version: string;
}

/** Members of the body that decide whether and how it is asked. */
export const USAGE_MEMBERS: readonly string[] = ['stream_options', 'data_sources'];

const ASKING = '"include_usage":true';
const INCLUDE: ReadonlySet<string> = new Set(['include_usage']);
/** The first api-version that knows the option, 2024-09-01-preview, by its date. */
const SINCE = '2024-09-01';
const DATED = /^\d{4}-\d{2}-\d{2}(?:-preview)?$/i;
const VERSION_ONE = '/openai/v1/';
const OPEN_BRACE = 0x7b;

/**
 * @param members of the body of a chat that is to be streamed: `stream` and USAGE_MEMBERS
 * @param path upstream, with the query
 * @returns undefined where it is asked already, cannot be asked, or nobody could say what comes of it
 */
export function usageAskingFor(
  members: ReadonlyMap<string, readonly MemberRange[]>,
  body: Buffer,
  path: string,
): UsageAsking | undefined {
  // Where Azure answers with data of one's own, another service checks the body, and it does not know the option.
  if (members.has('data_sources')) return undefined;
  const version = versionIn(path);
  if (version === undefined) return undefined;
  const edit = editFor(members, body);
  return edit === undefined ? undefined : { edit, version };
}

function editFor(members: ReadonlyMap<string, readonly MemberRange[]>, body: Buffer): Edit | undefined {
  const [options, ...more] = members.get('stream_options') ?? [];
  if (options === undefined) {
    const stream = members.get('stream')?.at(-1);
    return stream === undefined ? undefined : insert(stream.end, `,"stream_options":{${ASKING}}`);
  }
  // Of members that come twice nobody knows which is believed.
  if (more.length > 0) return undefined;
  if (isNull(body, options)) return { ...options, text: `{${ASKING}}` };
  if (body[options.start] !== OPEN_BRACE) return undefined;
  const inside = body.subarray(options.start, options.end);
  const [include, ...others] = findMembers(inside, INCLUDE)?.get('include_usage') ?? [];
  if (others.length > 0) return undefined;
  if (include !== undefined) {
    const range = { start: options.start + include.start, end: options.start + include.end };
    const said = body.toString('latin1', range.start, range.end);
    return said === 'false' || said === 'null' ? { ...range, text: 'true' } : undefined;
  }
  const isEmpty = /^\{\s*\}$/.test(inside.toString('latin1'));
  return insert(options.start + 1, isEmpty ? ASKING : `${ASKING},`);
}

function insert(at: number, text: string): Edit {
  return { start: at, end: at, text };
}

function isNull(body: Buffer, { start, end }: MemberRange): boolean {
  return end - start === 4 && body.toString('latin1', start, end) === 'null';
}

/** Undefined for one that does not know the option, and for what is no version. */
function versionIn(path: string): string | undefined {
  if (path.startsWith(VERSION_ONE)) return 'v1';
  const [version, ...more] = [...path.matchAll(/[?&]api-version=([^&]*)/gi)].map(([, value = '']) =>
    value.toLowerCase(),
  );
  if (version === undefined || more.length > 0 || !DATED.test(version)) return undefined;
  return version >= SINCE ? version : undefined;
}

/** True for the 400 of a backend that does not know the option; others pass 422 on from the service behind them. */
export function isUsageRefused(status: number, text: string): boolean {
  return (status === 400 || status === 422) && text.includes('stream_options');
}

const MOST_REMEMBERED = 1000;
/** Deployments change: after that it is tried again. */
const REMEMBERED_MS = 3_600_000;

/** Which deployments refused the option and answered without it, so that the next request does not pay for it again. */
export class UsageRefusals {
  private readonly until = new Map<string, number>();

  /** @param now clock ms */
  add(backend: string, deployment: string, version: string, now: number): void {
    const key = keyOf(backend, deployment, version);
    this.until.delete(key);
    this.until.set(key, now + REMEMBERED_MS);
    const [oldest] = this.until.keys();
    if (this.until.size > MOST_REMEMBERED && oldest !== undefined) this.until.delete(oldest);
  }

  has(backend: string, deployment: string, version: string, now: number): boolean {
    return now < (this.until.get(keyOf(backend, deployment, version)) ?? Number.NEGATIVE_INFINITY);
  }
}

function keyOf(backend: string, deployment: string, version: string): string {
  return `${backend}\n${version}\n${deployment}`;
}
