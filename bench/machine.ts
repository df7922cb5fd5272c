// The machine and the versions a result was measured with, without which its numbers mean little.
import { readFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';

export interface Machine {
  readonly date: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly kernel: string;
  readonly node: string;
  readonly nginx: string;
  readonly loadAverage: number;
}

export function describeMachine(nginx: string | undefined): Machine {
  const [loadAverage = 0] = loadavg();
  return {
    date: new Date().toISOString(),
    cpu: `${cpus()[0]?.model.trim() ?? 'unknown'}${readFileSync('/proc/cpuinfo', 'latin1').includes('hypervisor') ? ' (virtual machine)' : ''}`,
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    nginx: nginx ?? 'not installed',
    loadAverage: Math.round(loadAverage * 100) / 100,
  };
}
