// Reads a CPU profile: whose code the time was spent in. Idle time is left out; native functions are their caller's,
// but for reads and writes of sockets.
import { table } from '../table.ts';
import type { Profile, ProfileNode } from './inspector.ts';

const topFunctions = 15;

interface Spent {
  readonly owner: string;
  readonly name: string;
  readonly ms: number;
}

export function profileLines(profile: Profile): string[] {
  const spent = spentBy(profile);
  const totalMs = spent.reduce((sum, { ms }) => sum + ms, 0);
  const share = (ms: number): string => `${((100 * ms) / totalMs).toFixed(1)} %`;
  return [
    `Busy for ${(totalMs / 1000).toFixed(2)} s. Self time by owner:`,
    '',
    ...table(
      ['owner', 'self time'],
      summed(spent, ({ owner }) => owner).map(([owner, ms]) => [owner, share(ms)]),
    ),
    '',
    `The ${topFunctions} functions with the most self time:`,
    '',
    ...table(
      ['function', 'self time'],
      summed(spent, ({ name, owner }) => `${name} (${owner})`)
        .slice(0, topFunctions)
        .map(([name, ms]) => [name, share(ms)]),
    ),
  ];
}

function summed(spent: readonly Spent[], keyOf: (each: Spent) => string): [string, number][] {
  const sums = new Map<string, number>();
  for (const each of spent) sums.set(keyOf(each), (sums.get(keyOf(each)) ?? 0) + each.ms);
  return [...sums].toSorted(([, a], [, b]) => b - a);
}

function spentBy({ nodes, samples, timeDeltas }: Profile): Spent[] {
  const usById = new Map<number, number>();
  for (const [index, id] of samples.entries()) usById.set(id, (usById.get(id) ?? 0) + (timeDeltas[index] ?? 0));
  const owners = ownersOf(nodes);
  return nodes.flatMap(({ id, callFrame }) => {
    const owner = owners.get(id);
    const us = usById.get(id) ?? 0;
    if (owner === undefined || us === 0) return [];
    return [{ owner, name: callFrame.functionName || '(anonymous)', ms: us / 1000 }];
  });
}

/** Idle nodes have none. */
function ownersOf(nodes: readonly ProfileNode[]): ReadonlyMap<number, string> {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const owners = new Map<number, string>();
  const visit = (node: ProfileNode, callers: string): void => {
    const owner = ownerOf(node, callers);
    if (owner !== IDLE) owners.set(node.id, owner);
    for (const id of node.children ?? []) {
      const child = byId.get(id);
      if (child !== undefined) visit(child, owner);
    }
  };
  const [root] = nodes;
  if (root !== undefined) visit(root, OTHER);
  return owners;
}

const IDLE = 'idle';
const OTHER = 'V8 and libuv';
/** The methods of Node's stream handles that end in a system call. */
const SOCKET_CALL = /^(?:writev|writeBuffer|write(?:Utf8|Latin1|Ascii|Ucs2)String|readStart|readStop|shutdown)$/;

const NODE_PARTS: readonly [RegExp, string][] = [
  [/^node:(?:_http|internal\/http|https?$)/, "Node's HTTP server, client and agent"],
  [/^node:(?:net|_?tls|internal\/(?:net|tls|stream_base))/, "Node's sockets"],
  [/^node:(?:stream|internal\/streams|string_decoder|events)/, "Node's streams and events"],
  [/^node:(?:timers|internal\/(?:timers|process\/task_queues|async_hooks|abort))/, "Node's timers, ticks and aborts"],
  [/^node:(?:crypto|internal\/crypto)/, "Node's crypto"],
  [/^node:/, 'the rest of Node'],
];

const PACKAGES: readonly [RegExp, string][] = [
  [/^(?:http-proxy-middleware|httpxy)$/, 'http-proxy-middleware and httpxy'],
  [
    /^(?:express|router|finalhandler|parseurl|path-to-regexp|encodeurl|escape-html|on-finished)$/,
    'Express and its router',
  ],
];

function ownerOf({ callFrame: { functionName, url } }: ProfileNode, caller: string): string {
  if (functionName === '(idle)') return IDLE;
  if (functionName === '(garbage collector)') return 'garbage collection';
  if (url === '') return SOCKET_CALL.test(functionName) ? 'socket reads and writes' : caller;
  const part = NODE_PARTS.find(([pattern]) => pattern.test(url))?.[1];
  if (part !== undefined) return part;
  const packageName = /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1];
  if (packageName !== undefined) {
    return PACKAGES.find(([pattern]) => pattern.test(packageName))?.[1] ?? packageName;
  }
  const folder = /\/(?:dist|app\/src)\/(?:(\w+)\/)?[^/]+$/.exec(url);
  return folder === null ? url : `app/src/${folder[1] ?? ''}`.replace(/\/$/, '');
}
