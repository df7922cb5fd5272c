/**
 * Which backend a key belongs to, without any memory: each backend draws a number for the key, and the highest has it
 * (rendezvous hashing). When one is away its keys go to the others, each to its second, and no other key moves.
 */
import type { Backend } from './backend.ts';

/** How much this backend has of the key: the highest is its home. A greater weight has so many more keys. */
export function affinityOf(key: string, { name, weight }: Backend): number {
  // Of numbers drawn so, the one of weight w is the highest in w of all weights' cases.
  return -weight / Math.log(drawn(`${name} ${key}`));
}

/** A number in (0, 1), always the same for the text: FNV-1a, and mixed so that similar texts differ. */
function drawn(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i += 1) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (((hash ^ (hash >>> 16)) >>> 0) + 0.5) / 2 ** 32;
}
