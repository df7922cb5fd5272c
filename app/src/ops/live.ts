/**
 * The status document as server-sent events, for those who look at the page. It is made once a tick for all of them,
 * and only while somebody looks; each gets what has changed since they last got something, by the document's own
 * names. Whoever reads slowly misses ticks: nothing is kept for them.
 */
import { asciiJson } from '../ascii-json.ts';

/** As much of a ServerResponse as is needed. */
export interface Viewer {
  /** Bytes that it has taken and not got rid of. */
  readonly writableLength: number;
  writeHead(status: number, headers: string[]): unknown;
  write(chunk: string | Buffer): unknown;
  end(): unknown;
  destroy(): unknown;
  once(event: 'close', listener: () => void): unknown;
}

export interface Live {
  readonly viewers: number;
  /** Answers with the stream. False: there is no room. */
  add(viewer: Viewer, headers: readonly string[]): boolean;
  /** Ends all streams, and takes no more. */
  end(): void;
}

export interface LiveParts {
  readonly document: () => object;
  readonly everyMs: number;
  readonly mostViewers: number;
  /** A stream ends after so many. A browser comes again at once; if its credential is not good any more, it is told so. */
  readonly mostTicks: number;
}

interface Section {
  readonly json: string;
  /** The tick in which it became so. */
  readonly since: number;
}

interface Known {
  /** The tick up to which it knows all. */
  tick: number;
  /** So often it could have been told something. */
  turns: number;
  /** So often in a row it had not taken the last yet. */
  missed: number;
}

/** Whoever has taken nothing for a minute is gone, and does not know it. */
const MOST_MISSED = 120;

export function createLive({ document, everyMs, mostViewers, mostTicks }: LiveParts): Live {
  const viewers = new Map<Viewer, Known>();
  let sections = new Map<string, Section>();
  let tick = 0;
  let timer: NodeJS.Timeout | undefined;
  let isOver = false;

  function look(): void {
    tick += 1;
    const next = new Map<string, Section>();
    for (const [name, value] of Object.entries(document())) {
      const json = asciiJson(value);
      const before = sections.get(name);
      next.set(name, before?.json === json ? before : { json, since: tick });
    }
    sections = next;
  }

  function tell(): void {
    look();
    /** Most know the same. */
    const messages = new Map<number, Buffer>();
    for (const [viewer, known] of viewers) {
      known.turns += 1;
      if (known.turns > mostTicks) viewer.end();
      else if (viewer.writableLength === 0) {
        const message = messages.get(known.tick) ?? Buffer.from(messageSince(known.tick));
        messages.set(known.tick, message);
        known.tick = tick;
        known.missed = 0;
        viewer.write(message);
      } else {
        known.missed += 1;
        if (known.missed > MOST_MISSED) viewer.destroy();
      }
    }
  }

  function messageSince(known: number): string {
    const changed = [...sections].flatMap(([name, { json, since }]) => (since > known ? [`"${name}":${json}`] : []));
    return `data: {${changed.join(',')}}\n\n`;
  }

  function leave(viewer: Viewer): void {
    viewers.delete(viewer);
    if (viewers.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  }

  return {
    get viewers() {
      return viewers.size;
    },
    add(viewer, headers) {
      if (isOver || viewers.size >= mostViewers) return false;
      viewer.writeHead(200, [...headers]);
      look();
      viewers.set(viewer, { tick, turns: 0, missed: 0 });
      viewer.once('close', () => leave(viewer));
      timer ??= setInterval(tell, everyMs).unref();
      viewer.write(`retry: 1000\n${messageSince(0)}`);
      return true;
    },
    end() {
      isOver = true;
      for (const viewer of viewers.keys()) viewer.end();
    },
  };
}
