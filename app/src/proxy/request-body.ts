/**
 * Reads a request's body once, whole, as raw bytes: it is replayed byte for byte at every attempt.
 * Bounded three ways: by its own size, by all bodies held together, and by how long a sender may pause.
 */
import type { IncomingMessage } from 'node:http';
import { Deadline } from './deadline.ts';

export type BodyRead =
  | { readonly kind: 'body'; readonly body: HeldBody }
  | { readonly kind: 'too-large' | 'no-room' | 'too-slow' | 'gone' };

/** A request's body while it may still be replayed. Others keep this, never the bytes, so that freeing frees. */
export interface HeldBody {
  /** Empty once freed. */
  readonly bytes: Buffer;
  /** Gives the bytes, and their share of the budget, back; any further call changes nothing. */
  free(): void;
}

const NOTHING = Buffer.alloc(0);
/**
 * So many chunks are joined to one. A chunk costs 200 bytes beside its own: a body sent byte by byte would otherwise
 * take that many times what the budget counts, and end the process.
 */
const LOOSE_CHUNKS = 512;

function hold(bytes: Buffer, budget: ByteBudget): HeldBody {
  const held = {
    bytes,
    free() {
      budget.give(held.bytes.length);
      held.bytes = NOTHING;
    },
  };
  return held;
}

/** Counts the bytes of all held bodies. */
export interface ByteBudget {
  /** False, and nothing is taken, when there is no room. */
  take(bytes: number): boolean;
  give(bytes: number): void;
  readonly taken: number;
}

export function createByteBudget(mostBytes: number): ByteBudget {
  let taken = 0;
  return {
    take(bytes) {
      if (taken + bytes > mostBytes) return false;
      taken += bytes;
      return true;
    },
    give(bytes) {
      taken -= bytes;
    },
    get taken() {
      return taken;
    },
  };
}

export interface BodyLimits {
  readonly mostBytes: number;
  /** A sender may be silent this long between two pieces. */
  readonly idleMs: number;
}

/** True when the body would arrive at a backend as something else than it is. */
export function isEncoded({ headers }: IncomingMessage): boolean {
  return !/^(?:identity)?$/i.test(headers['content-encoding'] ?? '');
}

/**
 * On `body` the caller of this owes a `free()`; on all else nothing stays taken, and what is still to come of the body
 * has not been read.
 * @param onWanted called before any of it is read, and not at all for a body that is refused unread
 */
export function readBody(
  req: IncomingMessage,
  budget: ByteBudget,
  limits: BodyLimits,
  onWanted?: () => void,
): Promise<BodyRead> {
  const declared = req.headers['content-length'];
  if (declared === undefined && req.headers['transfer-encoding'] === undefined) {
    return Promise.resolve({ kind: 'body', body: hold(NOTHING, budget) });
  }
  if (declared !== undefined && Number(declared) > limits.mostBytes) return Promise.resolve({ kind: 'too-large' });
  onWanted?.();
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let joined = 0;
    let size = 0;
    let isFinished = false;
    let timer: Deadline | undefined;
    // Most bodies come in one piece with the headers, and are all there when the parser is done with it.
    process.nextTick(() => {
      if (!req.complete && !isFinished) timer = new Deadline(limits.idleMs, () => finish({ kind: 'too-slow' }));
    });

    function onData(chunk: Buffer): void {
      timer?.renew();
      if (size + chunk.length > limits.mostBytes) return finish({ kind: 'too-large' });
      if (!budget.take(chunk.length)) return finish({ kind: 'no-room' });
      size += chunk.length;
      chunks.push(chunk);
      if (chunks.length - joined < LOOSE_CHUNKS) return;
      chunks.push(Buffer.concat(chunks.splice(joined)));
      joined += 1;
    }

    function onEnd(): void {
      const [only] = chunks;
      const bytes = chunks.length === 1 && only !== undefined ? only : Buffer.concat(chunks, size);
      finish({ kind: 'body', body: hold(bytes, budget) });
    }

    function onGone(): void {
      finish({ kind: 'gone' });
    }

    function finish(read: BodyRead): void {
      isFinished = true;
      timer?.cancel();
      req.off('data', onData).off('end', onEnd).off('error', onGone).off('close', onGone);
      if (read.kind !== 'body') {
        budget.give(size);
        req.pause();
        // A caller that vanishes makes the request fail once more; nobody else listens.
        req.on('error', ignore);
      }
      resolve(read);
    }

    req.on('data', onData).on('end', onEnd).on('error', onGone).on('close', onGone);
  });
}

function ignore(): void {
  // The request is over; see above.
}
