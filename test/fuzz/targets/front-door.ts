import assert from 'node:assert/strict';
import { operationLabel, pathOf, route } from '../../../app/src/proxy/front-door.ts';
import { bytesOf, type Target, wordsOf } from '../target.ts';
import { credentialNames } from './query.ts';

const SECRET = 'kanarie';
const NAMES = ['up', 'größe/../😀?a#b%2e:'];

export const frontDoor: Target = {
  name: 'request targets',
  property:
    'what is asked upstream lies under /openai/, has nothing to be resolved, no credential and nothing of the authority, and is read as the same again',
  samples: bytesOf(
    '/openai/deployments/gpt-5.4-mini/chat/completions?api-version=2024-10-21',
    '/openai/responses?api-version=2025-04-01-preview',
    '/openai/v1/responses/resp_1/input_items?after=a&limit=2',
    '/v1/chat/completions',
    '/responses',
    '/models/gpt%2D5.4-mini',
    '/openai/deployments/gr%C3%B6%C3%9Fe%20%F0%9F%98%80/images/edits?api-key=1&api-version=1',
    '//openai//v1///files/a%3Fb%23c/content/',
    `http://user:${SECRET}@example.com:1/v1/files?access_token=1`,
    '/videos:remix?Subscription-Key=1&x=%61pi-key',
  ),
  words: [
    ...wordsOf(
      '/¦//¦.¦..¦/../¦/./¦%2e¦%2E%2e¦%2f¦%5c¦\\¦%252e¦%00¦%0d%0a¦%¦;¦#¦?¦&¦=¦@¦:¦+¦%3a¦%C3%BC¦%ff¦%ed%a0%80',
      'ü¦\u0085¦~¦*¦http://¦HTTPS://¦openai¦v1¦deployments¦chat¦completions¦responses¦models¦realtime',
      'chatkit¦api-version=1¦api-key=¦%61pi%2Dkey=¦API-KEY¦subscription-key=¦access_token=¦%41ccess_token',
    ),
    ...bytesOf(`${SECRET}@`),
  ],
  check(bytes) {
    // Node gives the bytes of a request line as they are, one character each; it lets no blank or control character in.
    const target = bytes.toString('latin1').replaceAll(/[^!-~\u0080-\u00ff]/g, '');
    const found = route(target);
    const path = pathOf(target);
    const authority = /^https?:\/\/[^/?]*/i.exec(target)?.[0] ?? '';
    if (authority.includes(SECRET) && !target.slice(authority.length).includes(SECRET)) {
      assert.ok(!path.includes(SECRET));
    }
    if (found.kind !== 'route') return found.kind;
    for (const name of NAMES) {
      const upstream: string = found.upstreamPath(name);
      const cut = upstream.indexOf('?');
      const own = cut === -1 ? upstream : upstream.slice(0, cut);
      assert.match(own, /^\/openai\/[\x21-\x7e]+$/);
      // A parser of URLs finds nothing to resolve, to cut off or to encode.
      const url = new URL(own, 'https://backend.example');
      assert.equal(url.href, `https://backend.example${own}`);
      for (const segment of own.split('/').slice(1)) {
        const decoded = decodeURIComponent(segment);
        assert.ok(decoded !== '' && decoded !== '.' && decoded !== '..', own);
        if (segment !== encodeURIComponent(name)) assert.doesNotMatch(decoded, /[/\\]|[^ -~\u0080-\uffff]/);
      }
      assert.deepEqual(credentialNames(cut === -1 ? '' : upstream.slice(cut)), []);
      // A name of ours may have what no path may.
      if (name !== 'up') continue;
      const again = route(upstream);
      assert.ok(again.kind === 'route', again.kind);
      assert.equal(again.operation, found.operation);
      assert.equal(again.pathDeployment, found.pathDeployment === undefined ? undefined : 'up');
      assert.equal(again.upstreamPath(name), upstream);
    }
    const form = found.pathDeployment === undefined ? found.upstreamPath('').split('/')[2] === 'v1' : 'deployment';
    return `${operationLabel(found.operation)} ${form}`;
  },
};
