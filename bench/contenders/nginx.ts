// nginx with one worker, set up to do what the balancer does as far as it can: the same three upstreams kept alive, the
// next one asked on an error or a 429, bodies up to 32 MiB, streams passed on at once, a line logged for every request.
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { accepts, freePort, scratchDirectory, startChild } from '../children.ts';
import { labelOf } from './contender.ts';
import type { Contender, Surroundings } from './contender.ts';

/** For example "1.22.1"; undefined when nginx is not installed. */
export function nginxVersion(): string | undefined {
  const env = { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin` };
  return /nginx\/(\S+)/.exec(spawnSync('nginx', ['-v'], { encoding: 'utf8', env }).stderr ?? '')?.[1];
}

export function nginxContender(surroundings: Surroundings): Contender {
  const { core, transport, backendKey } = surroundings;
  const label = labelOf('nginx', transport);
  return {
    label,
    start: async () => {
      const port = await freePort();
      const prefix = join(scratchDirectory(), `nginx-${port}`);
      mkdirSync(prefix);
      writeFileSync(join(prefix, 'nginx.conf'), configuration(port, surroundings));
      const args = ['-p', prefix, '-c', 'nginx.conf', '-e', 'error.log'];
      const child = startChild({ name: 'nginx', core, command: 'nginx', args });
      await child.ready(() => accepts(port));
      return { label, target: { port, apiKey: backendKey }, pid: child.pid, stop: child.stop };
    },
  };
}

/** The name is the certificate's; the backends are asked by address. */
function verifying({ transport, authorityFile }: Surroundings): string {
  if (transport === 'plain') return '';
  return `
      proxy_ssl_verify on;
      proxy_ssl_trusted_certificate ${authorityFile};
      proxy_ssl_name localhost;
      proxy_ssl_server_name on;
      proxy_ssl_session_reuse on;`;
}

function configuration(port: number, surroundings: Surroundings): string {
  const { transport, upstreamPorts, backendKey } = surroundings;
  const servers = upstreamPorts.map((upstream) => `    server 127.0.0.1:${upstream};`).join('\n');
  // Without `user` the workers of a root-owned nginx could not write to the scratch directory.
  return `${process.getuid?.() === 0 ? 'user root;' : ''}
daemon off;
worker_processes 1;
worker_rlimit_nofile 65536;
pid nginx.pid;
error_log error.log warn;
events { worker_connections 16384; }
http {
  log_format attempt '$remote_addr $time_iso8601 "$request" $status $upstream_addr $upstream_status $request_time';
  access_log access.log attempt;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  client_max_body_size 32m;
  keepalive_requests 100000000;
  upstream backends {
    least_conn;
${servers}
    keepalive 1024;
    keepalive_requests 100000000;
  }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / {
      proxy_pass ${transport === 'tls' ? 'https' : 'http'}://backends;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header api-key ${backendKey};
      proxy_buffering off;
      proxy_read_timeout 230s;${verifying(surroundings)}
      proxy_next_upstream error timeout http_429 http_503 non_idempotent;
    }
  }
}
`;
}
