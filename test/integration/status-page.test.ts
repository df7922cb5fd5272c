import assert from 'node:assert/strict';
import http from 'node:http';
import { startBalancer, type BalancerSetup, type RunningBalancer } from '../support/balancer.ts';
import { chat, errorOf, send, type Received } from '../support/http.ts';

const KEY = { 'api-key': 'operator-key' };
const BROWSER = { accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8' };

type Told = Readonly<Record<string, unknown>>;

/** Somebody who looks at the page live. */
interface Viewer {
  readonly headers: http.IncomingHttpHeaders;
  /** The next event, now or later; undefined when the stream has ended. */
  next(): Promise<Told | undefined>;
  leave(): void;
}

describe('the status page', () => {
  let running: RunningBalancer;
  afterEach(() => running.close());

  async function start(setup: BalancerSetup = {}): Promise<void> {
    running = await startBalancer({
      backends: 2,
      ...setup,
      settings: { OPERATOR_KEYS: 'alice=operator-key', ...setup.settings },
    });
  }

  function get(path: string, headers: Readonly<Record<string, string>> = {}, method = 'GET'): Promise<Received> {
    return send(running.url + path, { method, headers: { ...KEY, ...headers } });
  }

  function view(): Promise<Viewer> {
    return new Promise((resolve, reject) => {
      const req = http.get(`${running.url}/status/events`, { headers: KEY, agent: false }, (res) => {
        const told: Told[] = [];
        let begun = '';
        const stream = { isOver: false };
        let wake = (): void => undefined;
        res.setEncoding('utf8').on('data', (text: string) => {
          const parts = (begun + text).split('\n\n');
          begun = parts.pop() ?? '';
          for (const part of parts) told.push(JSON.parse(/^data: (.*)$/m.exec(part)?.[1] ?? ''));
          wake();
        });
        res.on('error', () => undefined);
        res.on('close', () => {
          stream.isOver = true;
          wake();
        });
        resolve({
          headers: res.headers,
          async next() {
            while (told.length === 0 && !stream.isOver) {
              await new Promise<void>((woken) => {
                wake = woken;
              });
            }
            return told.shift();
          },
          leave: () => req.destroy(),
        });
      });
      req.on('error', reject);
    });
  }

  async function nextWith(viewer: Viewer, name: string): Promise<unknown> {
    for (;;) {
      const told = await viewer.next();
      assert.ok(told !== undefined, `the stream ended before ${name} was told`);
      if (name in told) return told[name];
    }
  }

  describe('at /status', () => {
    it('is HTML for a browser, and JSON for whoever asks for it or does not say', async () => {
      await start();
      const cases = [
        [BROWSER, 'text/html; charset=utf-8'],
        [{ accept: 'text/html' }, 'text/html; charset=utf-8'],
        [{}, 'application/json'],
        [{ accept: '*/*' }, 'application/json'],
        [{ accept: 'application/json' }, 'application/json'],
        [{ accept: 'application/json, text/html;q=0.5' }, 'application/json'],
        [{ accept: 'image/png' }, 'application/json'],
      ] as const;
      for (const [headers, type] of cases) {
        const received = await get('/status', headers);
        assert.equal(received.status, 200);
        assert.equal(received.headers['content-type'], type, JSON.stringify(headers));
        assert.equal(received.headers['vary'], 'accept');
      }
    });

    it('lets the page load what is its own alone, and nobody frame or keep it', async () => {
      await start();
      const { headers } = await get('/status', BROWSER);
      const policy = String(headers['content-security-policy']);
      assert.match(policy, /^default-src 'none'; script-src 'self'; style-src 'self'; /);
      assert.doesNotMatch(policy, /unsafe|\*|https?:/);
      assert.match(policy, /frame-ancestors 'none'/);
      assert.equal(headers['x-frame-options'], 'DENY');
      assert.equal(headers['cache-control'], 'no-store');
      assert.equal(headers['x-content-type-options'], 'nosniff');
      assert.equal(headers['referrer-policy'], 'no-referrer');
    });

    it('answers HEAD with the same headers and no body', async () => {
      await start();
      const [whole, head] = [await get('/status', BROWSER), await get('/status', BROWSER, 'HEAD')];
      assert.equal(head.status, 200);
      assert.equal(head.body.length, 0);
      assert.equal(head.headers['content-type'], whole.headers['content-type']);
    });

    it('has every file that the page names, of its own type', async () => {
      await start();
      const html = (await get('/status', BROWSER)).body.toString();
      const wanted = [...html.matchAll(/(?:src|href)="(\/status[^"]*)"/g)].map(([, path = '']) => path);
      const seen = new Set<string>();
      while (wanted.length > 0) {
        const path = wanted.pop() ?? '';
        if (seen.has(path)) continue;
        seen.add(path);
        const { status, headers, body } = await get(path);
        assert.equal(status, 200, path);
        assert.equal(headers['content-type'], `text/${path.endsWith('.css') ? 'css' : 'javascript'}; charset=utf-8`);
        assert.equal(headers['cache-control'], 'no-store');
        for (const [, name = ''] of body.toString().matchAll(/ from '\.\/([\w-]+\.js)'/g))
          wanted.push(`/status/page/${name}`);
      }
      assert.equal(seen.size, 8);
      for (const path of [
        '/status/page/tsconfig.json',
        '/status/page/..%2f..%2fconfig.ts',
        '/status/page/nothing.js',
      ]) {
        assert.ok([400, 404].includes((await get(path)).status), path);
      }
    });

    it('opens to operators alone: the page, its files and its events', async () => {
      await start();
      for (const path of ['/status', '/status/page/client.js', '/status/page/page.css', '/status/events']) {
        for (const key of ['', 'client-key', 'key-1']) {
          const received = await get(path, { ...BROWSER, 'api-key': key });
          assert.equal(received.status, 401, path);
          assert.match(received.headers['www-authenticate'] ?? '', /^Basic /);
          assert.equal(errorOf(received).code, 'operator_credential_needed');
        }
        assert.notEqual((await send(running.url + path, { body: '{}', headers: KEY })).status, 200, `POST ${path}`);
      }
    });

    it('tells, as JSON, of traffic what it showed: who answered, how, and for whom', async () => {
      await start();
      running.resources[0]?.script({ kind: 'throttle', retryAfterMs: 60_000 });
      await send(`${running.url}/v1/chat/completions`, {
        body: chat({ stream: true, stream_options: { include_usage: true } }),
      });
      const status = JSON.parse((await get('/status')).body.toString());
      assert.equal(status.headline.level, 'degraded');
      assert.match(status.headline.text, /^openai1 is cooling down for 60 s; 1 of 2 serves\.$/);
      assert.deepEqual([status.counters.requests, status.counters.failedOver, status.counters.refused], [1, 1, 0]);
      const [request] = status.requests;
      assert.deepEqual(
        [request.client, request.backend, request.attempts, request.trace],
        ['tester', 'openai2', 2, 'openai1=429(60000ms) openai2=200'],
      );
      assert.ok(request.firstTokenMs >= 0);
      const [first, second] = status.backends;
      assert.equal(first.deployments[0].recent.lastError.text, '429, asked for 60 s');
      assert.equal(second.sharePercent, 100);
      assert.equal(second.deployments[0].recent.firstToken.count, 1);
      assert.equal(status.clients[0].name, 'tester');
      assert.ok(status.clients[0].tokens > 0);
      assert.deepEqual(Object.values(status.chart.slots[0].answered), [1]);
      assert.doesNotMatch(JSON.stringify(status), /operator-key|client-key|key-1|key-2/);
    });

    it('says the same in HTML, without script', async () => {
      await start();
      running.resources[0]?.script({ kind: 'throttle', retryAfterMs: 60_000 });
      await send(`${running.url}/v1/chat/completions`, { body: chat() });
      const html = (await get('/status', BROWSER)).body.toString();
      for (const text of [
        'openai1 is cooling down for 60 s',
        'cooling down 60 s',
        '1 of 2 serves',
        '>tester<',
        'gpt-5.4-mini',
      ]) {
        assert.ok(html.includes(text), text);
      }
      assert.match(html, /<noscript><meta http-equiv="refresh"/);
      assert.doesNotMatch(html, /operator-key|client-key|key-1|key-2/);
    });
  });

  describe('at /status/events', () => {
    it('tells all of it first, then what has changed, within a second of a throttle', async () => {
      await start();
      const viewer = await view();
      assert.equal(viewer.headers['content-type'], 'text/event-stream');
      assert.equal(viewer.headers['cache-control'], 'no-store');
      const all = await viewer.next();
      const status = JSON.parse((await get('/status')).body.toString());
      assert.deepEqual(new Set(Object.keys(all ?? {})), new Set(['page', ...Object.keys(status)]));
      running.resources[0]?.throttle(60_000);
      await send(`${running.url}/v1/chat/completions`, { body: chat() });
      const headline = await nextWith(viewer, 'headline');
      assert.match(JSON.stringify(headline), /openai1 is cooling down/);
      viewer.leave();
    });

    it('is open to fifty, and says so to the next; a place that is left is free again', async () => {
      await start();
      const viewers: Viewer[] = [];
      for (let n = 0; n < 50; n += 1) viewers.push(await view());
      const refused = await get('/status/events');
      assert.equal(refused.status, 503);
      assert.equal(errorOf(refused).code, 'too_many_viewers');
      assert.equal(refused.headers['retry-after'], '10');
      assert.equal((await get('/status', BROWSER)).status, 200);
      viewers[0]?.leave();
      let again: Received | Viewer = refused;
      // The balancer hears of it a moment later.
      while ('status' in again) {
        const head = await get('/status/events', {}, 'HEAD');
        assert.equal(head.status, 200);
        again = await view();
        if (again.headers['content-type'] !== 'text/event-stream') again = refused;
      }
      for (const viewer of [...viewers, again]) viewer.leave();
    });

    it('ends with the drain, which does not wait for those who look', async () => {
      await start();
      const viewer = await view();
      await viewer.next();
      const ended = running.balancer.drain.begin(running.balancer, { graceMs: 0, totalMs: 60_000 });
      await ended;
      while ((await viewer.next()) !== undefined);
    });

    it('does not count as a request, in flight or finished', async () => {
      await start();
      const viewer = await view();
      await viewer.next();
      running.assertIdle();
      viewer.leave();
      assert.deepEqual(running.events, []);
    });
  });
});
