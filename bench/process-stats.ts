// CPU time and resident memory of a process and all its descendants, and how busy a core is, read from /proc.
import { readdirSync, readFileSync } from 'node:fs';

// /proc counts CPU time in units of 1/USER_HZ; the kernel fixes it to 100 for user space on every platform Node runs on.
const msPerTick = 10;

export interface CpuSample {
  readonly pids: readonly number[];
  readonly cpuMs: number;
  /** By thread, in steps of nanoseconds; empty where the kernel does not tell. */
  readonly threadsMs: ReadonlyMap<string, number>;
}

export interface CoreSample {
  readonly busyMs: number;
  readonly stolenMs: number;
}

/** Of a contender that has no process. */
export const noCpu: CpuSample = { pids: [], cpuMs: 0, threadsMs: new Map() };

/** User and system time of the tree, of all threads. */
export function sampleCpu(root: number): CpuSample {
  const tree = processTree(root);
  return {
    pids: tree.map(({ pid }) => pid),
    cpuMs: tree.reduce((sum, { cpuMs }) => sum + cpuMs, 0),
    threadsMs: new Map(tree.flatMap(({ pid }) => threadTimes(pid))),
  };
}

/** CPU time between two samples; a process that came or went in between would make the figure wrong. */
export function cpuMsBetween(before: CpuSample, after: CpuSample): number {
  if (before.pids.join() !== after.pids.join())
    throw new Error('a process of the contender started or ended meanwhile');
  const threads = [...before.threadsMs.keys()];
  // The time of a thread that ended is lost with it; the sum for the process, in coarse steps, still has it.
  if (threads.length === 0 || threads.some((thread) => !after.threadsMs.has(thread))) return after.cpuMs - before.cpuMs;
  let ms = 0;
  for (const [thread, at] of after.threadsMs) ms += at - (before.threadsMs.get(thread) ?? 0);
  return ms;
}

export function residentKiB(root: number): number {
  return processTree(root).reduce((sum, { pid }) => {
    const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1');
    return sum + Number(/^Rss: +(\d+)/m.exec(rollup)?.[1]);
  }, 0);
}

/** How long the process's first thread, where Node's event loop runs, was ready and had to wait for a core. */
export function waitedMs(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/schedstat`, 'latin1').split(' ')[1]) / 1e6;
}

export function sampleCore(core: number): CoreSample {
  const line = readFileSync('/proc/stat', 'latin1')
    .split('\n')
    .find((text) => text.startsWith(`cpu${core} `));
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = (line ?? '')
    .split(' ')
    .slice(1)
    .map(Number);
  return { busyMs: (user + nice + system + irq + softirq) * msPerTick, stolenMs: steal * msPerTick };
}

interface ProcessStat {
  readonly pid: number;
  readonly parent: number;
  readonly cpuMs: number;
}

function processTree(root: number): ProcessStat[] {
  const all = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => readStat(Number(name)))
    .filter((stat) => stat !== undefined);
  const tree = all.filter(({ pid }) => pid === root);
  if (tree.length === 0) throw new Error(`process ${root} is gone`);
  // The tree grows while it is walked: children of children are found too.
  for (const { pid } of tree) tree.push(...all.filter(({ parent }) => parent === pid));
  return tree;
}

function threadTimes(pid: number): [string, number][] {
  try {
    const folder = `/proc/${pid}/task`;
    // The first number of schedstat is the time on a CPU in nanoseconds.
    return readdirSync(folder).map((thread) => [
      `${pid}/${thread}`,
      Number(readFileSync(`${folder}/${thread}/schedstat`, 'latin1').split(' ')[0]) / 1e6,
    ]);
  } catch {
    return []; // a thread ended while we were looking, or the kernel does not tell
  }
}

function readStat(pid: number): ProcessStat | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name, field 2, may hold spaces and parentheses; field 3 follows its last parenthesis.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const [parent, utime, stime] = [fields[1], fields[11], fields[12]].map(Number);
    return { pid, parent: parent ?? 0, cpuMs: ((utime ?? 0) + (stime ?? 0)) * msPerTick };
  } catch {
    return undefined; // it ended while we were looking
  }
}
