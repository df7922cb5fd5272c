// Starts the upstream with certificates of an authority made for this run.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createAuthority } from '../simulator/tls.ts';
import { scratchDirectory, startChild } from './children.ts';
import type { Surroundings, Transport } from './contenders/contender.ts';

export type Upstreams = Readonly<Record<Transport, Pick<Surroundings, 'upstreamPorts' | 'authorityFile'>>>;

export async function startUpstreams(core: number): Promise<Upstreams> {
  const authority = await createAuthority();
  const { cert, key } = await authority.issue();
  const scratch = (name: string, text: string): string => {
    const file = join(scratchDirectory(), name);
    writeFileSync(file, text);
    return file;
  };
  const authorityFile = scratch('authority.pem', authority.cert);
  const child = startChild({
    name: 'upstream',
    core,
    command: process.execPath,
    args: [new URL('upstream.ts', import.meta.url).pathname],
    env: { TLS_CERT_FILE: scratch('upstream.pem', cert), TLS_KEY_FILE: scratch('upstream.key', key) },
  });
  await child.ready(() => child.output().endsWith('\n'));
  const ports = child.output().split(',').map(Number);
  return {
    plain: { upstreamPorts: ports.slice(0, 3), authorityFile },
    tls: { upstreamPorts: ports.slice(3), authorityFile },
  };
}
