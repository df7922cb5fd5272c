/** The page: the status document in, a tree out. The same for the server, which writes it, and the browser, which keeps it up to date. */

/** @import { StatusDocument, BackendStatus, DeploymentStatus, UseStatus } from '../status.ts' */
/** @import { Child, Element } from './tree.js' */
/** @import { Clock } from './words.js' */
import { h } from './tree.js';
import { chartSection } from './view-chart.js';
import { clientsSection } from './view-clients.js';
import { requestsSection } from './view-requests.js';
import { bar, count, duration, hue, icon, percent, plural, rate, stateOf, time } from './words.js';

/**
 * What the viewer chose, and what only the browser knows.
 * @typedef {object} Looking
 * @property {Clock} clock
 * @property {string} text what requests must contain
 * @property {string} show which kind of them: '' is all
 * @property {boolean} isLive a script keeps the page up to date
 * @property {number} [slot] the slot of the chart that is pointed at, from the left
 */

/**
 * @param {StatusDocument} status
 * @param {Looking} looking
 * @returns {Element}
 */
export function page(status, looking) {
  return h(
    'div',
    { id: 'page' },
    h(
      'main',
      { id: 'main', tabindex: '-1' },
      headline(status, looking),
      figures(status),
      backendsSection(status, looking),
      h('div', { class: 'beside' }, chartSection(status, looking), clientsSection(status)),
      requestsSection(status, looking),
      settingsSection(status),
    ),
    footer(looking),
  );
}

const LOOKS = /** @type {const} */ ({ fine: 'fine', degraded: 'cooling', down: 'failing' });

/**
 * @param {StatusDocument} status
 * @param {Looking} looking
 */
function headline({ headline: { level, text }, uptimeSeconds, at }, { clock }) {
  return h(
    'section',
    { class: `headline ${level}`, 'aria-label': 'Is everything fine?' },
    h('p', { class: 'answer' }, h('span', { class: 'badge' }, icon(LOOKS[level])), text),
    h(
      'p',
      { class: 'aside' },
      h('span', {}, 'As of ', time(at, clock.time)),
      h('span', {}, `up ${duration(uptimeSeconds * 1000)}`),
    ),
  );
}

/** @param {StatusDocument} status */
function figures({ backends, counters, requestsInFlight, requestsHeld }) {
  const uses = backends.flatMap(({ deployments }) => deployments.flatMap(({ recent }) => recent ?? []));
  const tokens = uses.reduce((sum, { tokensPerMinute }) => sum + tokensPerMinute, 0);
  const requests = uses.reduce((sum, { requestsPerSecond }) => sum + requestsPerSecond, 0);
  return h(
    'section',
    { class: 'figures', 'aria-labelledby': 'figures-title' },
    h('h2', { id: 'figures-title', class: 'unseen' }, 'Figures'),
    h(
      'dl',
      {},
      figure('Attempts', `${rate(requests)}/s`, 'last minute'),
      figure('Tokens', `${count(tokens)}/min`, 'last minute'),
      figure('In flight', count(requestsInFlight), `of these held: ${count(requestsHeld)}`),
      figure('Failed over', count(counters.failedOver), `of ${plural(counters.requests, 'request')}`),
      figure('Spilled over', count(counters.spillovers), 'to a worse priority'),
      figure(
        'Held',
        count(counters.held),
        counters.held === 0 ? 'nobody waited' : `${duration(counters.heldMs / counters.held)} on average`,
      ),
      figure('Refused', count(counters.refused), `${count(counters.broken)} broken off`),
    ),
    h('p', { class: 'aside' }, 'Counters are since the start.'),
  );
}

/**
 * @param {string} name
 * @param {string} value
 * @param {string} more
 */
function figure(name, value, more) {
  return h('div', {}, h('dt', {}, name), h('dd', { class: 'value' }, value), h('dd', { class: 'aside' }, more));
}

const COLUMNS = [
  'Backend and deployment',
  'State',
  'Priority',
  'Traffic',
  'In flight',
  'Quota left',
  'Requests',
  'First token',
  'Last error',
];

/**
 * @param {StatusDocument} status
 * @param {Looking} looking
 */
function backendsSection({ backends }, { clock }) {
  return h(
    'section',
    { 'aria-labelledby': 'backends-title' },
    h('h2', { id: 'backends-title' }, 'Backends'),
    h(
      'div',
      { class: 'wide', role: 'group', 'aria-label': 'Table of backends', tabindex: '0' },
      h(
        'table',
        { class: 'backends' },
        h('caption', { class: 'unseen' }, 'Each backend and deployment with its state, traffic, quota and times'),
        h(
          'thead',
          {},
          h(
            'tr',
            {},
            COLUMNS.map((name) => h('th', { scope: 'col' }, name)),
          ),
        ),
        backends.map((backend, index) => backendRows(backend, index, clock)),
      ),
    ),
    h(
      'p',
      { class: 'aside' },
      'Traffic: share of all answers in the last 15 minutes. Rates: last minute. First token: median and 95th percentile, last 15 minutes.',
    ),
  );
}

/**
 * @param {BackendStatus} backend
 * @param {number} index
 * @param {Clock} clock
 */
function backendRows(backend, index, clock) {
  const { deployments, deploymentsLeftOut = 0 } = backend;
  const rows =
    deployments.length === 0
      ? [row(backend, undefined, index, clock)]
      : deployments.map((deployment) => row(backend, deployment, index, clock));
  return h(
    'tbody',
    { key: backend.name },
    rows,
    deploymentsLeftOut > 0 &&
      h(
        'tr',
        {},
        h(
          'td',
          { class: 'aside', colspan: COLUMNS.length },
          `and ${count(deploymentsLeftOut)} more at ${backend.name}`,
        ),
      ),
  );
}

/** It may be asked, if only when there is nobody better. */
const MAY = new Set(['available', 'reserve']);

/**
 * @param {BackendStatus} backend
 * @param {DeploymentStatus | undefined} deployment
 * @param {number} index
 * @param {Clock} clock
 */
function row(backend, deployment, index, clock) {
  // The stricter of the two counts: what the host may not, none of its deployments may.
  const isOfHost = deployment === undefined || !MAY.has(backend.standing) || deployment.state === 'closed';
  const told = stateOf(isOfHost ? backend : deployment, clock);
  const recent = deployment?.recent;
  const { name, priority, weight } = backend;
  return h(
    'tr',
    { key: deployment?.deployment ?? '' },
    h(
      'th',
      { scope: 'row' },
      h('span', { class: 'name' }, h('span', { class: `dot ${hue(index)}` }), h('bdi', {}, name)),
      h(
        'span',
        { class: 'deployment' },
        deployment === undefined ? 'not asked yet' : h('bdi', {}, deployment.deployment || 'no deployment'),
      ),
    ),
    h(
      'td',
      { class: `state ${told.look}`, 'data-label': 'State' },
      h('span', { class: 'pill' }, icon(told.look), h('span', {}, told.words)),
      told.more !== undefined && h('span', { class: 'aside' }, told.more),
    ),
    h(
      'td',
      { class: 'number', 'data-label': 'Priority' },
      priority,
      weight !== 1 && h('span', { class: 'aside' }, `weight ${weight}`),
    ),
    h(
      'td',
      { class: 'number', 'data-label': 'Traffic' },
      percent(recent?.sharePercent ?? 0),
      bar(recent?.sharePercent ?? 0, hue(index)),
    ),
    h('td', { class: 'number', 'data-label': 'In flight' }, deployment?.inFlight ?? backend.inFlight),
    h('td', { class: 'number', 'data-label': 'Quota left' }, quota(deployment)),
    h(
      'td',
      { class: 'number', 'data-label': 'Requests' },
      `${rate(recent?.requestsPerSecond ?? 0)}/s`,
      h('span', { class: 'aside' }, `${count(recent?.tokensPerMinute ?? 0)} tokens/min`),
    ),
    h('td', { class: 'number', 'data-label': 'First token' }, times(recent)),
    h(
      'td',
      { class: 'error', 'data-label': 'Last error' },
      recent?.lastError === undefined
        ? h('span', { class: 'none' }, 'none')
        : [h('bdi', {}, recent.lastError.text), h('span', { class: 'aside' }, time(recent.lastError.at, clock.time))],
    ),
  );
}

/**
 * @param {DeploymentStatus | undefined} deployment
 * @returns {Child[]}
 */
function quota(deployment) {
  const { limitTokens, remainingTokens, limitRequests, remainingRequests, utilizationPercent } =
    deployment?.quota ?? {};
  const reduced = deployment?.reduction === undefined ? [] : [h('span', { class: 'aside' }, 'reduced by the platform')];
  if (utilizationPercent !== undefined) {
    const free = Math.max(0, 100 - utilizationPercent);
    return [percent(free), bar(free, plenty(free)), h('span', { class: 'aside' }, 'provisioned'), ...reduced];
  }
  if (remainingTokens !== undefined) return [...remaining(remainingTokens, limitTokens, 'tokens'), ...reduced];
  if (remainingRequests !== undefined) return [...remaining(remainingRequests, limitRequests, 'requests'), ...reduced];
  return [h('span', { class: 'none' }, 'not said')];
}

/**
 * @param {number} value
 * @param {number | undefined} limit
 * @param {string} what
 * @returns {Child[]}
 */
function remaining(value, limit, what) {
  if (limit === undefined || limit <= 0) return [`${count(value)} ${what}`];
  const share = (100 * value) / limit;
  return [
    percent(share),
    bar(share, plenty(share)),
    h('span', { class: 'aside' }, `${count(value)} of ${count(limit)} ${what}`),
  ];
}

/** @param {number} percentLeft */
function plenty(percentLeft) {
  return percentLeft < 10 ? 'empty' : percentLeft < 30 ? 'low' : 'plenty';
}

/**
 * @param {UseStatus | undefined} recent
 * @returns {Child[]}
 */
function times(recent) {
  const { firstToken, wholeAnswer } = recent ?? {};
  const known = firstToken ?? wholeAnswer;
  if (known === undefined) return [h('span', { class: 'none' }, 'no answer yet')];
  return [
    h('span', {}, duration(known.p50Ms), h('span', { class: 'of' }, ` / ${duration(known.p95Ms)}`)),
    h('span', { class: 'aside' }, firstToken === undefined ? 'whole answers' : 'p50 / p95'),
  ];
}

/** @param {StatusDocument} status */
function settingsSection({ settings }) {
  return h(
    'section',
    { 'aria-labelledby': 'settings-title' },
    h('h2', { id: 'settings-title' }, 'Settings in force'),
    h(
      'details',
      {},
      h('summary', {}, `Show all ${settings.length}; secrets are hidden`),
      h(
        'dl',
        { class: 'settings' },
        settings.map(({ name, value }) =>
          h('div', { key: name }, h('dt', {}, h('code', {}, name)), h('dd', {}, h('bdi', {}, value))),
        ),
      ),
    ),
  );
}

/** @param {Looking} looking */
function footer({ clock }) {
  return h(
    'footer',
    {},
    h(
      'p',
      {},
      `Times are ${clock.zone}. The same as JSON: ask for /status with the header accept: application/json. Nothing on this page changes anything.`,
    ),
  );
}
