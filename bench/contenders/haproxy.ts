// haproxy with one process and one thread, set up to do what the balancer does as far as it can: the same three backends
// kept alive, the least busy first, another one asked when one refuses, a line logged for every request.
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { accepts, freePort, scratchDirectory, startChild } from '../children.ts';
import { labelOf } from './contender.ts';
import type { Contender, Surroundings } from './contender.ts';

const PATH = `${process.env['PATH'] ?? ''}:/usr/sbin`;

/** For example "2.6.12"; undefined when haproxy is not installed. */
export function haproxyVersion(): string | undefined {
  const { stdout } = spawnSync('haproxy', ['-v'], { encoding: 'utf8', env: { ...process.env, PATH } });
  return /version (\d[\w.]*)/i.exec(stdout ?? '')?.[1];
}

export function haproxyContender(surroundings: Surroundings): Contender {
  const { core, transport, backendKey } = surroundings;
  const label = labelOf('haproxy', transport);
  return {
    label,
    start: async () => {
      const port = await freePort();
      const file = join(scratchDirectory(), `haproxy-${port}.cfg`);
      // Debian's 2.6 does not know 429 as a reason to ask again; later versions do.
      for (const reasons of ['429 503', '503']) {
        writeFileSync(file, configuration(port, surroundings, reasons));
        if (isValid(file)) break;
      }
      const child = startChild({ name: 'haproxy', core, command: 'haproxy', args: ['-db', '-f', file] });
      await child.ready(() => accepts(port));
      return { label, target: { port, apiKey: backendKey }, pid: child.pid, stop: child.stop };
    },
  };
}

function isValid(file: string): boolean {
  return spawnSync('haproxy', ['-c', '-q', '-f', file], { env: { ...process.env, PATH } }).status === 0;
}

function configuration(port: number, surroundings: Surroundings, reasons: string): string {
  const { transport, upstreamPorts, backendKey, authorityFile } = surroundings;
  const verifying =
    transport === 'tls'
      ? ` ssl verify required ca-file ${authorityFile} sni str(localhost) verifyhost localhost alpn http/1.1`
      : '';
  const servers = upstreamPorts.map((upstream, index) => `  server s${index + 1} 127.0.0.1:${upstream}${verifying}`);
  // A request that may be sent again is held in one buffer, which must therefore take the whole of it. Without no-delay
  // an event would wait up to 200 ms for more.
  return `global
  nbthread 1
  maxconn 8192
  tune.bufsize 65536
  log stdout format raw local0
defaults
  mode http
  log global
  timeout connect 5s
  timeout client 230s
  timeout server 230s
  timeout http-request 30s
  timeout http-keep-alive 230s
listen balancer
  bind 127.0.0.1:${port} backlog 4096
  log-format "%ci [%tr] %{+Q}r %ST %b/%s %rc %Ta"
  balance leastconn
  http-reuse always
  retries 2
  option redispatch 1
  option http-buffer-request
  option http-no-delay
  retry-on conn-failure empty-response response-timeout ${reasons}
  http-request set-header api-key ${backendKey}
  default-server pool-max-conn -1 pool-purge-delay 230s
${servers.join('\n')}
`;
}
