/**
 * The status page for people: its files, read once at the start, and its HTML. The server writes the same tree that the
 * browser then keeps up to date, so that the page works without script, too.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { escapeHtml, toHtml } from './page/tree.js';
import { page, type Looking } from './page/view.js';
import { UTC } from './page/words.js';
import type { StatusDocument } from './status.ts';

export interface PageFile {
  readonly contentType: string;
  readonly text: string;
}

const SCRIPTS = ['client.js', 'tree.js', 'view.js', 'view-chart.js', 'view-clients.js', 'view-requests.js', 'words.js'];

/** Path → what is there. */
export const PAGE_FILES: ReadonlyMap<string, PageFile> = new Map([
  ['/status/page/page.css', { contentType: 'text/css; charset=utf-8', text: textOf('page.css') }],
  ...SCRIPTS.map((name): [string, PageFile] => [
    `/status/page/${name}`,
    { contentType: 'text/javascript; charset=utf-8', text: textOf(name) },
  ]),
]);

/** Changes when one of the files does: a page that is open loads itself anew then. */
export const PAGE_VERSION = createHash('sha256')
  .update([...PAGE_FILES.values()].map(({ text }) => text).join('\n'))
  .digest('base64url')
  .slice(0, 12);

/** Files and events of our own, and nothing from elsewhere; no script and no style in the markup. */
export const PAGE_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; " +
  "form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/** Without script the page asks for itself anew. */
const REFRESH_SECONDS = 5;
const ICON =
  "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cg fill='none' stroke='%234a8fe0' stroke-width='2' stroke-linecap='round'%3E%3Cpath d='M2 8h4M6 8l7-5M6 8h7M6 8l7 5'/%3E%3C/g%3E%3C/svg%3E";

/** @param query of the URL, with what the viewer chose where there is no script */
export function pageHtml(status: StatusDocument, query: string): string {
  const wanted = new URLSearchParams(query);
  const looking: Looking = {
    clock: UTC,
    text: (wanted.get('text') ?? '').slice(0, 100),
    show: (wanted.get('show') ?? '').slice(0, 20),
    isLive: false,
  };
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>Balancer: ${escapeHtml(status.headline.gist)}</title>
<link rel="icon" href="${ICON}">
<link rel="stylesheet" href="/status/page/page.css">
<noscript><meta http-equiv="refresh" content="${REFRESH_SECONDS}"></noscript>
<script type="module" src="/status/page/client.js"></script>
</head>
<body>
<a class="skip" href="#main">To the content</a>
<header>
<h1>Azure OpenAI balancer</h1>
<p id="connection"><span class="lamp" aria-hidden="true"></span><span id="connection-words"><noscript>Without script: made anew every ${REFRESH_SECONDS} s</noscript></span></p>
<button id="pause" type="button" hidden>Pause</button>
</header>
<p id="announced" class="unseen" aria-live="polite"></p>
${toHtml(page(status, looking))}
</body>
</html>
`;
}

function textOf(name: string): string {
  return readFileSync(new URL(`page/${name}`, import.meta.url), 'utf8');
}
