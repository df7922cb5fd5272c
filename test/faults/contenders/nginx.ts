// nginx with the rules of the balancer as far as its language has them: the next upstream on errors, timeouts, 403, 429 and 5xx,
// also for POST; kept connections, nothing buffered, bodies up to 32 MiB. A location and an upstream of its own for each row.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { accepts, allowedCores, freePort, scratchDirectory, startChild } from '../../../bench/children.ts';
import { isChat } from '../reading.ts';
import { BACKEND_KEY, MODEL, type Stage } from '../stage.ts';
import type { Contender } from './contender.ts';

const DEFAULT_SILENCE_MS = 230_000;

export function nginxContender(version: string): Contender {
  return {
    name: 'nginx',
    version,
    atOnce: 16,
    open: async (stages) => {
      const port = await freePort();
      const prefix = join(scratchDirectory(), 'nginx-faults');
      mkdirSync(prefix);
      writeFileSync(join(prefix, 'nginx.conf'), configuration(port, stages));
      const child = startChild({
        name: 'nginx',
        core: allowedCores()[0] ?? 0,
        command: 'nginx',
        args: ['-p', prefix, '-c', 'nginx.conf', '-e', 'error.log'],
      });
      await child.ready(() => accepts(port));
      return {
        doorTo: ({ id }) =>
          Promise.resolve({
            url: (form) =>
              `http://127.0.0.1:${port}/${id}/openai/v1/${isChat(form) ? 'chat/completions' : 'responses'}`,
            headers: {},
            model: MODEL,
            close: () => Promise.resolve(),
          }),
        close: child.stop,
      };
    },
  };
}

function configuration(port: number, stages: readonly Stage[]): string {
  // Without `user` the workers of a root-owned nginx could not write to the scratch directory.
  return `${process.getuid?.() === 0 ? 'user root;' : ''}
daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
pid nginx.pid;
error_log error.log crit;
events { worker_connections 8192; }
http {
  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  client_max_body_size 32m;
  client_body_buffer_size 1m;
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  proxy_set_header api-key ${BACKEND_KEY};
  proxy_buffering off;
  proxy_connect_timeout 5s;
  proxy_next_upstream error timeout http_403 http_429 http_500 http_502 http_503 http_504 non_idempotent;
  proxy_next_upstream_tries 3;
${stages.map(upstreamOf).join('\n')}
  server {
    listen 127.0.0.1:${port} backlog=4096;
${stages.map(locationOf).join('\n')}
  }
}
`;
}

function upstreamOf({ id, fleet }: Stage): string {
  const servers = fleet.resources.map(({ url }) => `server ${new URL(url).host} max_fails=1 fail_timeout=10s;`);
  return `  upstream ${id} { ${servers.join(' ')} keepalive 32; }`;
}

function locationOf({ id, row }: Stage): string {
  const silence = `${row.silenceMs ?? DEFAULT_SILENCE_MS}ms`;
  return `    location /${id}/ { proxy_pass http://${id}/; proxy_read_timeout ${silence}; }`;
}
