import assert from 'node:assert/strict';
import { alternatives, peers } from '../../bench/contenders/all.ts';
import { contenderNames } from '../../bench/contenders/contender.ts';
import { readOptions } from '../../bench/options.ts';
import { expectedMs, fullPlan, quickPlan } from '../../bench/plan.ts';

/** Direct, and everybody who is measured by default with plain HTTP and with TLS. */
const proxies = contenderNames.filter((name) => name !== 'direct' && !peers.has(name) && !alternatives.has(name));
const everybody = 1 + 2 * proxies.length;

describe('the plan of the bench', () => {
  it('ends within 10 minutes with everybody installed, with some to spare for a busy machine', () => {
    const ms = expectedMs(fullPlan, { contenders: everybody, openContenders: everybody, peers: peers.size });
    assert.ok(ms < 540_000, `${ms} ms`);
  });

  it('ends within 40 s when it is quick', () => {
    const ms = expectedMs(quickPlan, {
      contenders: everybody,
      openContenders: quickPlan.openStreams.transports.includes('tls') ? everybody : 1 + proxies.length,
      peers: peers.size,
    });
    assert.ok(ms < 38_000, `${ms} ms`);
  });
});

describe('the command line of the bench', () => {
  it('measures everybody but the alternatives, over plain HTTP and TLS, unless told otherwise', () => {
    const { contenders, transports } = readOptions([]);
    assert.deepEqual(contenders, ['direct', ...proxies, ...peers]);
    assert.deepEqual(transports, ['plain', 'tls']);
  });

  it('adds the alternatives, or leaves all out but those named and direct', () => {
    const all = readOptions(['--alternatives']).contenders;
    assert.ok([...alternatives].every((name) => all.includes(name)));
    assert.deepEqual(readOptions(['--only', 'nginx,balancer-http']).contenders, ['direct', 'nginx', 'balancer-http']);
  });

  it('takes one way to the backends', () => {
    assert.deepEqual(readOptions(['--plain']).transports, ['plain']);
    assert.deepEqual(readOptions(['--tls']).transports, ['tls']);
  });

  it('says everything that is wrong', () => {
    assert.throws(
      () => readOptions(['--only', 'nginx,apache', '--built', '--sources']),
      /apache[^]*exclude each other/,
    );
  });
});
