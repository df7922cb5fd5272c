import assert from 'node:assert/strict';
import { pageHtml } from '../../../app/src/ops/page.ts';
import { h, toHtml } from '../../../app/src/ops/page/tree.js';
import { chosenOf, phasesOf, whySlow } from '../../../app/src/ops/page/view-requests.js';
import { count, duration, rate, stateOf, UTC } from '../../../app/src/ops/page/words.js';
import type { RequestStatus } from '../../../app/src/ops/request-status.ts';
import { statusDocument, type StatusDocument } from '../../../app/src/ops/status.ts';
import { createRecent } from '../../../app/src/telemetry/recent.ts';
import { HOSTILE } from '../../support/hostile.ts';
import { startPool, throttled } from '../../support/pool.ts';
import { attemptEnded, finished } from '../../support/told-events.ts';

const WALL_MS = Date.parse('2026-11-27T14:02:31.500Z');

function request(more: Partial<RequestStatus> = {}): RequestStatus {
  return {
    id: 'r-1',
    at: '2026-11-27T14:02:31.500Z',
    client: 'team-a',
    method: 'POST',
    path: '/v1/chat/completions',
    operation: 'chat/completions',
    deployment: 'gpt',
    stream: true,
    status: 200,
    ending: 'delivered',
    backend: 'openai2',
    attempts: 1,
    trace: 'openai2=200',
    durationMs: 100,
    ...more,
  };
}

describe('the tree of the page', () => {
  it('writes texts and attributes as such, whatever is in them', () => {
    const node = h('p', { title: `"><script>alert('1')</script>` }, '<b>&amp;', h('bdi', {}, '</p>'));
    assert.equal(
      toHtml(node),
      '<p title="&quot;&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;">&lt;b&gt;&amp;amp;<bdi>&lt;/p&gt;</bdi></p>',
    );
  });

  it('leaves out what is undefined, false or empty, and joins texts as a parser does', () => {
    const node = h('p', { hidden: true, class: undefined, id: false, key: 'k' }, 'a', 1, undefined, false, '', ['b']);
    assert.deepEqual(node, { tag: 'p', key: 'k', attrs: { hidden: '' }, children: ['a1b'] });
    assert.equal(toHtml(h('input', { name: 'x' })), '<input name="x">');
  });
});

describe('numbers, times and states in words', () => {
  it('are short, and say their unit', () => {
    assert.deepEqual([3, 640, 999.6, 1200, 48_000, 180_000, 18_000_000].map(duration), [
      '3 ms',
      '640 ms',
      '1.0 s',
      '1.2 s',
      '48 s',
      '3 min',
      '5 h',
    ]);
    assert.deepEqual([0, 1234, 56_700, 60_000, 1_200_000].map(count), ['0', '1,234', '56.7k', '60k', '1.2M']);
    assert.deepEqual([0, 0.02, 0.44, 12.3].map(rate), ['0', '<0.1', '0.4', '12']);
  });

  it('say of a rest whether it is over', () => {
    const part = {
      says: '',
      inFlight: 0,
      name: 'a',
      url: '',
      priority: 1,
      weight: 1,
      sharePercent: 0,
      deployments: [],
    };
    const told = (more: Partial<Parameters<typeof stateOf>[0]>): string => {
      const { look, words } = stateOf({ ...part, state: 'closed', standing: 'available', ...more }, UTC);
      return `${look}: ${words.map((word) => (typeof word === 'string' ? word : word.children.filter((child) => typeof child === 'string').join(''))).join('')}`;
    };
    assert.equal(told({}), 'fine: serving');
    assert.equal(told({ state: 'cooldown', standing: 'cooldown', leftMs: 1200 }), 'cooling: cooling down 1.2 s');
    assert.equal(told({ state: 'cooldown', leftMs: 0 }), 'returning: rested');
    assert.equal(told({ state: 'probing', standing: 'reserve' }), 'returning: probing');
    assert.equal(told({ state: 'missing', standing: 'missing' }), 'missing: missing');
    assert.equal(
      told({ state: 'quarantined', standing: 'quarantined', reason: '401', since: '2026-11-27T14:02:00.000Z' }),
      'locked: quarantined: 401 since 14:02',
    );
  });
});

describe('the last requests', () => {
  it('are found by what they say, all words of it, and by their kind', () => {
    const all = [
      request({ id: 'plain' }),
      request({ id: 'over', attempts: 2, trace: 'openai1=429(1200ms) openai2=200' }),
      request({ id: 'held', heldMs: 300 }),
      request({ id: 'refused', status: 429, ending: 'refused', code: 'all_backends_throttled', client: 'team-b' }),
      request({ id: 'slow', firstTokenMs: 2500, durationMs: 4000 }),
    ];
    const ids = (text: string, show: string): readonly string[] => chosenOf(all, { text, show }).map(({ id }) => id);
    assert.equal(ids('', '').length, 5);
    assert.deepEqual(ids('', 'failed-over'), ['over']);
    assert.deepEqual(ids('', 'held'), ['held']);
    assert.deepEqual(ids('', 'refused'), ['refused']);
    assert.deepEqual(ids('', 'slow'), ['slow']);
    assert.deepEqual(ids('TEAM-B 429', ''), ['refused']);
    assert.deepEqual(ids('throttled', ''), ['refused']);
    assert.deepEqual(ids('team-a', 'refused'), []);
    assert.equal(ids('', 'no-such-kind').length, 5);
  });

  it('say where their time went', () => {
    const where = phasesOf(request({ durationMs: 3000, firstTokenMs: 1000, failedMs: 50, heldMs: 800 }));
    assert.deepEqual(where, { failed: 50, held: 800, waited: 150, streamed: 2000 });
  });

  it('say why they were slow, and nothing when they were not', () => {
    assert.equal(whySlow(request({ firstTokenMs: 1900, durationMs: 60_000 })), undefined);
    assert.equal(whySlow(request({ firstTokenMs: 2500 })), 'openai2 took 2.5 s to its first token');
    assert.equal(whySlow(request({ firstTokenMs: 2500, heldMs: 2000 })), 'held here for 2.0 s: all were throttled');
    assert.equal(whySlow(request({ firstTokenMs: 9000, failedMs: 5000 })), '5.0 s went to attempts that failed');
    assert.equal(whySlow(request({ stream: false, durationMs: 4000 })), 'openai2 took 4.0 s');
  });
});

describe('the page as HTML', () => {
  function documentWith(text: string): StatusDocument {
    const driver = startPool(['openai1']);
    driver.attempt('openai1', throttled(5000), text);
    const recent = createRecent(['openai1']);
    recent.observe(
      finished({
        client: text,
        deployment: text,
        path: text,
        trace: 'openai1=429(1200ms) openai1=200',
        code: text,
        operation: text,
        reasons: text,
        attempts: 2,
      }),
      WALL_MS,
    );
    recent.observe(
      attemptEnded({ backend: 'openai1', deployment: text, outcome: { kind: 'failed', cause: 'connect', code: text } }),
      WALL_MS,
    );
    const now = driver.clock.now();
    const numbers = { uptimeMs: 0, requestsInFlight: 0, requestsHeld: 0, bytesBuffered: 0, now, wallMs: WALL_MS };
    const settings = [{ name: 'DEPLOYMENT_ALIASES', value: text }];
    return statusDocument({ isDraining: false, pool: driver.pool.snapshot(now), recent, settings, ...numbers });
  }

  const benign = tagsOf(pageHtml(documentWith('gpt'), ''));

  for (const [how, text] of Object.entries(HOSTILE)) {
    it(`has the same tags whatever strangers say: ${how}`, () => {
      const html = pageHtml(documentWith(text), '');
      assert.deepEqual(tagsOf(html), benign);
    });
  }

  it('shows what was asked for without script, and writes it as text', () => {
    const document = documentWith('gpt');
    assert.match(pageHtml(document, 'show=held'), /None of the last requests is like that/);
    assert.match(pageHtml(document, 'text=gpt'), /1 of the last 1/);
    const html = pageHtml(document, `text=${encodeURIComponent('"><script>alert(1)</script>')}&show=%22%3E`);
    assert.match(html, /value="&quot;&gt;&lt;script&gt;alert\(1\)&lt;\/script&gt;"/);
    assert.equal(html.match(/<script/g)?.length, 1);
  });

  it('has no script, style or handler in its markup', () => {
    const html = pageHtml(documentWith('gpt'), '');
    assert.doesNotMatch(html, / (?:style|on\w+)=|<style|javascript:/i);
    assert.deepEqual(html.match(/<script[^>]*>[^<]*/g), ['<script type="module" src="/status/page/client.js">']);
  });
});

function tagsOf(html: string): readonly string[] {
  return [...html.matchAll(/<[a-z/!][^>]*/gi)].map(([tag]) => tag.split(' ', 1)[0] ?? '');
}
