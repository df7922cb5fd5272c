import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { startChromium, type Browser, type BrowserContext, type Page } from '../../scripts/chromium.ts';
import { startBalancer, type BalancerSetup, type RunningBalancer } from '../support/balancer.ts';
import { startTestFleet, type TestFleet } from '../support/fleet.ts';
import { HOSTILE } from '../support/hostile.ts';
import { chat, send } from '../support/http.ts';
import { endProcesses, startProcess } from '../support/process.ts';

const CLIENT = { CLIENT_API_KEYS: 'tester=client-key' };
const OPERATOR = { OPERATOR_KEYS: 'alice=operator-key' };
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

type ContextOptions = NonNullable<Parameters<Browser['newContext']>[0]>;

describe('the status page in a real browser', function () {
  this.timeout(60_000);
  let browser: Browser;
  let running: RunningBalancer | undefined;
  let context: BrowserContext | undefined;
  /** What the browser complained about: a policy that was broken, a script that failed. */
  let complaints: string[];

  before(async () => {
    browser = await startChromium();
  });
  after(() => browser.close());
  beforeEach(() => {
    complaints = [];
  });
  afterEach(async () => {
    await context?.close();
    await running?.close();
    context = undefined;
    running = undefined;
  });

  async function start(setup: BalancerSetup = {}): Promise<RunningBalancer> {
    running = await startBalancer({ ...setup, settings: { ...OPERATOR, ...setup.settings } });
    return running;
  }

  async function open(url: string, options: ContextOptions = {}): Promise<Page> {
    context = await browser.newContext({
      httpCredentials: { username: 'anybody', password: 'operator-key' },
      locale: 'en-GB',
      timezoneId: 'Asia/Tokyo',
      ...options,
    });
    const page = await context.newPage();
    page.on('console', (message) => {
      if (message.type() === 'error') complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(error.message));
    await page.goto(`${url}/status`);
    return page;
  }

  async function openLive(url: string, options: ContextOptions = {}): Promise<Page> {
    const page = await open(url, options);
    await page.locator('#connection[data-how="live"]').waitFor();
    return page;
  }

  function ask({ url }: { readonly url: string }, more: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    return send(`${url}/v1/chat/completions`, { body: chat(more) });
  }

  it('shows what each backend is, who asked, and where a request went', async () => {
    const balancer = await start();
    balancer.resources[0]?.script({ kind: 'throttle', retryAfterMs: 60_000 });
    await ask(balancer, { stream: true, stream_options: { include_usage: true } });
    const page = await openLive(balancer.url);
    assert.match(await page.locator('.answer').innerText(), /^openai1 is cooling down for \d+ s; 2 of 3 serve\.$/);
    assert.match(await page.locator('table.backends').innerText(), /cooling down \d+ s/);
    assert.match(await page.locator('table.clients').innerText(), /tester/);
    assert.match(await page.locator('.list').innerText(), /openai1 429 \(60 s\) → openai2 200, first token \d+ ms/);
    assert.deepEqual(complaints, []);
  });

  it('is up to date within a second of a throttle', async () => {
    const balancer = await start();
    const page = await openLive(balancer.url);
    assert.equal(await page.locator('.answer').innerText(), 'All 3 backends serve.');
    balancer.resources[0]?.script({ kind: 'throttle', retryAfterMs: 60_000 });
    await ask(balancer);
    await page.locator('.answer', { hasText: 'openai1 is cooling down' }).waitFor({ timeout: 1000 });
    await page.locator('.list li').first().waitFor({ timeout: 1000 });
    assert.deepEqual(complaints, []);
  });

  it('tells times in the way and the zone of whoever looks', async () => {
    const balancer = await start();
    await ask(balancer);
    const page = await openLive(balancer.url);
    const time = page.locator('.list time').first();
    const iso = (await time.getAttribute('datetime')) ?? '';
    const expected = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium', timeZone: 'Asia/Tokyo' }).format(
      new Date(iso),
    );
    assert.equal(await time.innerText(), expected);
    assert.match(await page.locator('footer').innerText(), /Asia\/Tokyo/);
  });

  it('finds its balancer again after a restart, by itself', async () => {
    const fleet: TestFleet = await startTestFleet(2);
    try {
      const first = await startProcess({ ...fleet.env, ...CLIENT, ...OPERATOR, DRAIN_SECONDS: '0' });
      await ask(first);
      const page = await openLive(first.url);
      await page.locator('.list li').first().waitFor();
      first.signal('SIGINT');
      assert.deepEqual(await first.exited, { code: 0, signal: null });
      await page.locator('#connection[data-how="lost"]').waitFor();
      assert.match(await page.locator('#connection').innerText(), /trying again/);
      await startProcess({ ...fleet.env, ...CLIENT, ...OPERATOR, PORT: String(first.port) });
      await page.locator('#connection[data-how="live"]').waitFor();
      await page.locator('.requests .nothing').waitFor();
      assert.equal(await page.locator('.list li').count(), 0);
    } finally {
      await context?.close();
      await endProcesses();
      await fleet.close();
    }
  });

  it('shows as text whatever strangers say, and runs none of it', async () => {
    const texts = Object.values(HOSTILE).filter((text) => text.length < 250);
    const more = [
      '<img src=x onerror=alert(1)>',
      '😀👩‍👩‍👧',
      'العربية',
      '</title><script>alert(2)</script>',
      '"><svg onload=alert(3)>',
    ];
    const all = [...texts, ...more].filter((text) => text.isWellFormed());
    const balancer = await start();
    let alerts = 0;
    const page = await openLive(balancer.url);
    page.on('dialog', (dialog) => {
      alerts += 1;
      void dialog.dismiss();
    });
    for (const model of all) await ask(balancer, { model });
    await page
      .locator('.list li')
      .nth(all.length - 1)
      .waitFor();
    const shown = await page.locator('.list bdi.aside').allTextContents();
    for (const text of all) assert.ok(shown.includes(text), JSON.stringify(text));
    assert.equal(await page.locator('img, script:not([src="/status/page/client.js"]), svg[onload]').count(), 0);
    assert.equal(alerts, 0);
    assert.deepEqual(complaints, []);
    await page.reload();
    await page.locator('#connection[data-how="live"]').waitFor();
    assert.equal(alerts, 0);
    assert.deepEqual(complaints, []);
  });

  it('finds requests by what is typed, and by kind, and keeps that while it goes on', async () => {
    const balancer = await start();
    balancer.resources[0]?.script({ kind: 'throttle', retryAfterMs: 60_000 });
    await ask(balancer);
    await ask(balancer, { model: 'text-embedding-3-large' });
    const page = await openLive(balancer.url);
    const items = page.locator('.list > li');
    await items.nth(1).waitFor();
    await page.getByLabel('Contains').fill('embedding');
    await page.getByText('1 of the last 2').waitFor();
    await ask(balancer);
    await page.getByText('1 of the last 3').waitFor();
    assert.equal(await items.count(), 1);
    assert.equal(await page.getByLabel('Contains').inputValue(), 'embedding');
    await page.getByLabel('Contains').fill('');
    await page.getByRole('button', { name: 'Failed over' }).click();
    await page.getByText('1 of the last 3').waitFor();
    assert.match(await items.first().innerText(), /openai1 429/);
    assert.equal(await page.getByRole('button', { name: 'Failed over' }).getAttribute('aria-pressed'), 'true');
  });

  it('keeps what is unfolded and where the focus is while it goes on', async () => {
    const balancer = await start();
    const page = await openLive(balancer.url);
    await page.getByText('Show all').click();
    await page.getByLabel('Contains').focus();
    await ask(balancer);
    await page.locator('.list li').first().waitFor();
    assert.equal(await page.evaluate('document.activeElement.id'), 'text');
    assert.ok(await page.getByText('CLIENT_API_KEYS').isVisible());
    assert.match(await page.locator('.settings').innerText(), /set \(for tester\)/);
    assert.doesNotMatch(await page.content(), /client-key|operator-key/);
  });

  it('stands still while it is paused', async () => {
    const balancer = await start();
    const page = await openLive(balancer.url);
    const pause = page.getByRole('button', { name: 'Pause' });
    await pause.click();
    const events = page.waitForFunction(
      "new Promise((done) => { const events = new EventSource('/status/events'); let n = 0; events.onmessage = () => { n += 1; if (n === 3) { events.close(); done(true); } }; })",
    );
    await ask(balancer);
    await events;
    assert.equal(await page.locator('.list li').count(), 0);
    await page.getByRole('button', { name: 'Go on' }).click();
    await page.locator('.list li').first().waitFor();
  });

  it('is used by keyboard alone: every control is reached, and the chart is read slot by slot', async () => {
    const balancer = await start();
    await ask(balancer);
    const page = await openLive(balancer.url);
    const reached: unknown[] = [];
    for (let n = 0; n < 16; n += 1) {
      await page.keyboard.press('Tab');
      reached.push(
        await page.evaluate('document.activeElement.id || document.activeElement.textContent.trim().slice(0, 30)'),
      );
    }
    for (const wanted of ['To the content', 'pause', 'plot', 'text', 'All', 'Failed over', 'Held', 'Refused', 'Slow']) {
      assert.ok(reached.includes(wanted), `${wanted} is not among ${reached.join(', ')}`);
    }
    await page.locator('#plot').focus();
    await page.keyboard.press('End');
    assert.match(
      (await page.locator('#plot').getAttribute('aria-valuetext')) ?? '',
      /answered by openai1 1|nothing was asked/,
    );
    await page.keyboard.press('Home');
    assert.equal(await page.locator('#plot').getAttribute('aria-valuenow'), '0');
    assert.match(await page.locator('#chart-readout').innerText(), /: nothing was asked$/);
    await page.keyboard.press('Escape');
    assert.match(await page.locator('#chart-readout').innerText(), /^1 answer: openai1 1/);
    await page.getByRole('button', { name: 'Slow' }).focus();
    await page.keyboard.press('Enter');
    await page.getByText('None of the last requests is like that.').waitFor();
  });

  it('works without script: all of it is in the HTML, and filters ask the server', async () => {
    const balancer = await start();
    balancer.resources[0]?.script({ kind: 'throttle', retryAfterMs: 60_000 });
    await ask(balancer);
    await ask(balancer);
    const page = await open(balancer.url, { javaScriptEnabled: false });
    assert.match(await page.locator('.answer').innerText(), /openai1 is cooling down/);
    assert.equal(await page.locator('.list > li').count(), 2);
    assert.equal(await page.locator('#pause').isVisible(), false);
    assert.match(await page.locator('#connection').innerText(), /Without script/);
    await page.getByRole('button', { name: 'Failed over' }).click();
    await page.waitForURL(/show=failed-over/);
    assert.equal(await page.locator('.list > li').count(), 1);
    await page.getByLabel('Contains').fill('nobody');
    await page.keyboard.press('Enter');
    await page.waitForURL(/text=nobody/);
    assert.equal(await page.locator('.list > li').count(), 0);
    assert.deepEqual(complaints, []);
  });

  it('does not scroll sideways on a phone', async () => {
    const balancer = await start();
    for (let n = 0; n < 3; n += 1)
      await ask(balancer, { model: `a-deployment-with-a-name-that-is-far-too-long-for-a-phone-${n}` });
    await ask(balancer);
    const page = await openLive(balancer.url, { viewport: { width: 360, height: 740 } });
    assert.equal(await page.evaluate('document.documentElement.scrollWidth'), 360);
  });

  const LOOKS: readonly (readonly [string, ContextOptions])[] = [
    ['light', { colorScheme: 'light' }],
    ['dark', { colorScheme: 'dark' }],
    ['on a phone', { colorScheme: 'light', viewport: { width: 390, height: 800 } }],
    ['on a phone, dark', { colorScheme: 'dark', viewport: { width: 390, height: 800 } }],
  ];
  for (const [how, options] of LOOKS) {
    it(`has nothing that axe-core finds fault with: ${how}`, async () => {
      const balancer = await start();
      balancer.resources[0]?.script({ kind: 'throttle', retryAfterMs: 60_000 });
      await ask(balancer, { stream: true });
      balancer.resources[1]?.always({ kind: 'unauthorized' });
      await ask(balancer);
      await ask(balancer, { model: 'nobody-has-this' });
      await send(`${balancer.url}/v1/chat/completions`, { body: chat(), headers: { 'api-key': 'stranger' } });
      const page = await openLive(balancer.url, { ...options, bypassCSP: true });
      for (const summary of await page.locator('summary').all()) await summary.click();
      // So that no event changes the page under its eyes.
      await page.getByRole('button', { name: 'Pause' }).click();
      await page.evaluate(AXE);
      const found: unknown = await page.evaluate(
        "axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }).then(({ violations }) => violations.map(({ id, nodes }) => ({ id, nodes: nodes.map(({ html, failureSummary }) => [html.slice(0, 200), failureSummary]) })))",
      );
      assert.deepEqual(found, []);
    });
  }
});
