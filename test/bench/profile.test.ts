import assert from 'node:assert/strict';
import type { Profile } from '../../bench/profile/inspector.ts';
import { profileLines } from '../../bench/profile/owners.ts';

function frame(functionName: string, url: string) {
  return { functionName, url, lineNumber: 0 };
}

/** A request: Express calls the handler, which has the middleware send; and a while of nothing. */
const PROFILE: Profile = {
  nodes: [
    { id: 1, callFrame: frame('(root)', ''), children: [2, 3, 4] },
    { id: 2, callFrame: frame('(idle)', '') },
    { id: 3, callFrame: frame('(garbage collector)', '') },
    { id: 4, callFrame: frame('emit', 'node:events'), children: [5] },
    { id: 5, callFrame: frame('handle', 'file:///x/node_modules/express/lib/application.js'), children: [6] },
    { id: 6, callFrame: frame('admitted', 'file:///x/dist/proxy/handler.js'), children: [7, 8] },
    { id: 7, callFrame: frame('toLowerCase', '') },
    { id: 8, callFrame: frame('web', 'file:///x/node_modules/httpxy/dist/index.mjs'), children: [9] },
    { id: 9, callFrame: frame('_send', 'node:_http_outgoing'), children: [10] },
    { id: 10, callFrame: frame('writev', '') },
  ],
  samples: [2, 3, 4, 5, 6, 7, 8, 9, 10],
  timeDeltas: [90_000, 1000, 1000, 1000, 1000, 1000, 2000, 1000, 2000],
};

describe('a profile of the balancer', () => {
  const lines = profileLines(PROFILE);

  it('leaves idle time out', () => {
    assert.equal(lines[0], 'Busy for 0.01 s. Self time by owner:');
  });

  it('says whose code the time was spent in, native functions being their caller’s but for sockets', () => {
    const shares = lines.slice(4, lines.indexOf('', 4));
    assert.deepEqual(shares.toSorted(), [
      '| Express and its router | 10.0 % |',
      "| Node's HTTP server, client and agent | 10.0 % |",
      "| Node's streams and events | 10.0 % |",
      '| app/src/proxy | 20.0 % |',
      '| garbage collection | 10.0 % |',
      '| http-proxy-middleware and httpxy | 20.0 % |',
      '| socket reads and writes | 20.0 % |',
    ]);
  });

  it('names the functions with the most self time first', () => {
    const first = lines.findIndex((line) => line.startsWith('| function')) + 2;
    assert.deepEqual(lines.slice(first, first + 2).toSorted(), [
      '| web (http-proxy-middleware and httpxy) | 20.0 % |',
      '| writev (socket reads and writes) | 20.0 % |',
    ]);
  });
});
