// The machine and the versions a result was measured with, without which its numbers mean little.
import { readFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';

export interface Machine {
  readonly date: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly kernel: string;
  /** By name: Node, and each contender that has one. */
  readonly versions: Readonly<Record<string, string>>;
  readonly loadAverage: number;
}

export function describeMachine(versions: Readonly<Record<string, string>>): Machine {
  const [loadAverage = 0] = loadavg();
  return {
    date: new Date().toISOString(),
    cpu: `${cpus()[0]?.model.trim() ?? 'unknown'}${readFileSync('/proc/cpuinfo', 'latin1').includes('hypervisor') ? ' (virtual machine)' : ''}`,
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    versions: { node: process.version, ...versions },
    loadAverage: Math.round(loadAverage * 100) / 100,
  };
}
