import assert from 'node:assert/strict';
import { upstreamDeployment } from '../../../app/src/balancer/backend.ts';
import { backend } from '../../support/pool.ts';

const NO_ALIASES = new Map<string, string>();
const ALIASES = new Map([
  ['chat', 'gpt-5.4-mini'],
  ['embedding', 'text-embedding-3-large'],
]);

describe('backend: the deployment name sent upstream', () => {
  it('is the name that the caller used', () => {
    assert.equal(upstreamDeployment(backend('a'), NO_ALIASES, 'gpt-5.4-mini'), 'gpt-5.4-mini');
  });

  it('is what the alias makes of it, at every backend', () => {
    assert.equal(upstreamDeployment(backend('a'), ALIASES, 'chat'), 'gpt-5.4-mini');
    assert.equal(upstreamDeployment(backend('b'), ALIASES, 'gpt-4o'), 'gpt-4o');
  });

  it('is the one deployment of a backend that has a deployment name, whatever is asked', () => {
    const only = backend('a', { deploymentName: 'the-one' });
    for (const asked of ['chat', 'gpt-4o', 'the-one'])
      assert.equal(upstreamDeployment(only, ALIASES, asked), 'the-one');
  });

  it("is what the backend's own mapping says, and other names are not served there", () => {
    const mapped = backend('a', { deployments: new Map([['chat', 'gpt-eu']]) });
    assert.equal(upstreamDeployment(mapped, NO_ALIASES, 'chat'), 'gpt-eu');
    assert.equal(upstreamDeployment(mapped, NO_ALIASES, 'gpt-eu'), undefined);
    assert.equal(upstreamDeployment(mapped, NO_ALIASES, 'embedding'), undefined);
  });

  it("is mapped by the caller's name first, then by what the alias makes of it", () => {
    const byAsked = backend('a', {
      deployments: new Map([
        ['chat', 'by-name'],
        ['gpt-5.4-mini', 'by-alias'],
      ]),
    });
    const byAlias = backend('b', { deployments: new Map([['gpt-5.4-mini', 'by-alias']]) });
    assert.equal(upstreamDeployment(byAsked, ALIASES, 'chat'), 'by-name');
    assert.equal(upstreamDeployment(byAlias, ALIASES, 'chat'), 'by-alias');
    assert.equal(upstreamDeployment(byAlias, ALIASES, 'embedding'), undefined);
  });

  it('stays empty for a request that names no deployment, at every backend', () => {
    assert.equal(upstreamDeployment(backend('a'), ALIASES, ''), '');
    assert.equal(upstreamDeployment(backend('a', { deploymentName: 'the-one' }), ALIASES, ''), '');
    assert.equal(upstreamDeployment(backend('a', { deployments: new Map([['chat', 'x']]) }), ALIASES, ''), '');
  });

  it('follows an alias once only', () => {
    const chained = new Map([
      ['chat', 'gpt'],
      ['gpt', 'gpt-5'],
    ]);
    assert.equal(upstreamDeployment(backend('a'), chained, 'chat'), 'gpt');
  });
});
