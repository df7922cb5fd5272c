// Objects a resource keeps under ids, bounded in number and bytes: the oldest make room for new ones. And the pages in
// which they are listed.

export const MAX_OBJECTS = 1000;
export const MAX_BYTES = 64 * 1024 * 1024;

export class BoundedStore<T> {
  private readonly kept = new Map<string, { readonly value: T; readonly bytes: number }>();
  private bytes = 0;

  get(id: string): T | undefined {
    return this.kept.get(id)?.value;
  }

  /** Oldest first. */
  *entries(): Generator<readonly [id: string, value: T]> {
    for (const [id, { value }] of this.kept) {
      yield [id, value];
    }
  }

  /** The bytes are what the object is counted as; the newest object stays whatever its size. */
  add(id: string, value: T, bytes: number): void {
    this.kept.set(id, { value, bytes });
    this.bytes += bytes;
    if (this.kept.size <= MAX_OBJECTS && this.bytes <= MAX_BYTES) {
      return;
    }
    for (const oldest of this.kept.keys()) {
      if (oldest === id || (this.kept.size <= MAX_OBJECTS && this.bytes <= MAX_BYTES)) {
        return;
      }
      this.delete(oldest);
    }
  }

  delete(id: string): boolean {
    this.bytes -= this.kept.get(id)?.bytes ?? 0;
    return this.kept.delete(id);
  }
}

export interface Listed {
  readonly id: string;
  /** As JSON. */
  readonly text: string;
}

const DEFAULT_LIMIT = 20;
const MAX_LIMIT = 100;

/**
 * One page of a list, oldest first given, as `limit`, `order` and `after` of the query ask; `usual` is the order when
 * none is asked for. After an id that is not there comes nothing, so that no caller turns its pages for ever.
 */
export function page(all: readonly Listed[], query: URLSearchParams, usual: 'asc' | 'desc' = 'desc'): string {
  const ordered = (query.get('order') ?? usual) === 'asc' ? all : all.toReversed();
  const after = query.get('after');
  const afterAt = after === null ? -1 : ordered.findIndex((item) => item.id === after);
  const rest = after !== null && afterAt === -1 ? [] : ordered.slice(afterAt + 1);
  const asked = Number(query.get('limit') ?? DEFAULT_LIMIT);
  const limit = asked >= 1 ? Math.min(MAX_LIMIT, Math.floor(asked)) : DEFAULT_LIMIT;
  const shown = rest.slice(0, limit);
  const data = shown.map((item) => item.text).join(',');
  const [first, last] = [shown.at(0)?.id ?? null, shown.at(-1)?.id ?? null];
  return `{"object":"list","data":[${data}],"first_id":${JSON.stringify(first)},"last_id":${JSON.stringify(last)},"has_more":${rest.length > limit}}`;
}
