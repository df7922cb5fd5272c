/**
 * What a request's prompt may share with others: resources keep the beginnings of prompts that they have read of late, and
 * read them again faster and for less. Requests with the same key prefer one backend (AFFINITY).
 */
import { hash } from 'node:crypto';
import { textOf, type MemberRange } from './json-members.ts';

export type Affinity = 'off' | 'prefix' | 'user';

/** What the caller itself says belongs together, in the order in which it is believed. */
const NAMED = ['prompt_cache_key', 'user'] as const;
/** What a prompt consists of, in the order in which a model reads it. */
const PROMPT = ['instructions', 'messages', 'input', 'prompt'] as const;
export const AFFINITY_MEMBERS: readonly string[] = [...NAMED, ...PROMPT];

/** About 1,024 tokens: shorter prompts are not kept, and what follows may differ. */
const PREFIX_BYTES = 4096;

/**
 * @param members of a JSON body
 * @returns undefined for a request that shares nothing with others
 */
export function affinityKeyOf(
  affinity: Affinity,
  members: ReadonlyMap<string, readonly MemberRange[]>,
  body: Buffer,
): string | undefined {
  if (affinity === 'off') return undefined;
  for (const name of affinity === 'user' ? NAMED : NAMED.slice(0, 1)) {
    const range = members.get(name)?.at(-1);
    const text = range === undefined ? undefined : textOf(body, range);
    // As a digest: it may be somebody's name, and as long as a caller likes.
    if (text !== undefined && text !== '') return digest(name, Buffer.from(text));
  }
  return affinity === 'prefix' ? prefixKey(members, body) : undefined;
}

function prefixKey(members: ReadonlyMap<string, readonly MemberRange[]>, body: Buffer): string | undefined {
  const pieces: Buffer[] = [];
  let missing = PREFIX_BYTES;
  for (const name of PROMPT) {
    const range = members.get(name)?.at(-1);
    if (range === undefined) continue;
    const piece = body.subarray(range.start, Math.min(range.end, range.start + missing));
    pieces.push(piece);
    missing -= piece.length;
  }
  return missing > 0 ? undefined : digest('prefix', Buffer.concat(pieces));
}

function digest(what: string, bytes: Buffer): string {
  return `${what} ${hash('sha1', bytes, 'base64')}`;
}
