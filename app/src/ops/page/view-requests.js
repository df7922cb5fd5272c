/** The last requests: what became of each, and where its time went. */

/** @import { RequestStatus } from '../request-status.ts' */
/** @import { StatusDocument } from '../status.ts' */
/** @import { Looking } from './view.js' */
/** @import { Child, Element } from './tree.js' */
/** @import { Clock } from './words.js' */
import { h } from './tree.js';
import { count, duration, hue, icon, plural, time, wait } from './words.js';

/** Longer until the first token, or to the end of an answer that is no stream, is slow. */
const SLOW_MS = 2000;

/** @type {readonly { readonly name: string, readonly label: string, readonly is: (request: RequestStatus) => boolean }[]} */
export const KINDS = [
  { name: '', label: 'All', is: () => true },
  { name: 'failed-over', label: 'Failed over', is: ({ attempts }) => attempts > 1 },
  { name: 'held', label: 'Held', is: ({ heldMs }) => heldMs !== undefined },
  {
    name: 'refused',
    label: 'Refused',
    is: ({ ending, status }) => ending === 'refused' || ending === 'broken' || status >= 400,
  },
  { name: 'slow', label: 'Slow', is: (request) => waitedMs(request) >= SLOW_MS },
];

/** Until the caller had something to read. @param {RequestStatus} request */
function waitedMs({ firstTokenMs, durationMs }) {
  return firstTokenMs ?? durationMs;
}

/**
 * @param {readonly RequestStatus[]} requests
 * @param {Pick<Looking, 'text' | 'show'>} looking
 */
export function chosenOf(requests, { text, show }) {
  const kind = KINDS.find(({ name }) => name === show) ?? KINDS[0];
  const words = text
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== '');
  return requests.filter((request) => {
    if (kind?.is(request) === false) return false;
    const {
      client,
      deployment,
      backend = '',
      status,
      code = '',
      trace,
      operation,
      path,
      ending,
      reasons = '',
    } = request;
    const all = [client, deployment, backend, status, code, trace, operation, path, ending, reasons]
      .join(' ')
      .toLowerCase();
    return words.every((word) => all.includes(word));
  });
}

/**
 * @param {StatusDocument} status
 * @param {Looking} looking
 * @returns {Element}
 */
export function requestsSection({ requests, backends }, looking) {
  const chosen = chosenOf(requests, looking);
  const isFiltered = looking.text.trim() !== '' || looking.show !== '';
  return h(
    'section',
    { 'aria-labelledby': 'requests-title', class: 'requests' },
    h('h2', { id: 'requests-title' }, 'Last requests'),
    filters(looking),
    h(
      'p',
      { class: 'aside', id: 'shown' },
      isFiltered ? `${chosen.length} of the last ${requests.length}` : `The last ${requests.length}, the latest first`,
    ),
    h(
      'ol',
      { class: 'list', 'aria-label': 'Last requests' },
      chosen.map((request) =>
        item(
          request,
          backends.map(({ name }) => name),
          looking.clock,
        ),
      ),
    ),
    chosen.length === 0 &&
      h(
        'p',
        { class: 'nothing' },
        requests.length === 0 ? 'No request has ended yet.' : 'None of the last requests is like that.',
      ),
    h(
      'ul',
      { class: 'legend phases' },
      PHASES.map(({ name, label }) => h('li', {}, h('span', { class: `dot ${name}` }), label)),
    ),
  );
}

/** @param {Looking} looking */
function filters({ text, show, isLive }) {
  return h(
    'form',
    {
      id: 'filters',
      class: 'filters',
      method: 'get',
      action: '/status',
      role: 'search',
      'aria-label': 'Last requests',
    },
    h('label', { for: 'text' }, 'Contains'),
    h('input', {
      id: 'text',
      name: 'text',
      type: 'search',
      value: isLive ? undefined : text,
      placeholder: 'client, deployment, status, code',
      autocomplete: 'off',
      spellcheck: 'false',
      maxlength: 100,
    }),
    h(
      'fieldset',
      {},
      h('legend', { class: 'unseen' }, 'Show'),
      KINDS.map(({ name, label }) =>
        h('button', { type: 'submit', name: 'show', value: name, 'aria-pressed': String(name === show) }, label),
      ),
    ),
  );
}

const PHASES = /** @type {const} */ ([
  { name: 'failed', label: 'failed attempts' },
  { name: 'held', label: 'held here' },
  { name: 'waited', label: 'waited for the backend' },
  { name: 'streamed', label: 'streamed' },
]);

/**
 * Where the time went; what is left is the balancer's own.
 * @param {RequestStatus} request
 */
export function phasesOf({ durationMs, firstTokenMs, failedMs = 0, heldMs = 0 }) {
  const until = firstTokenMs ?? durationMs;
  return {
    failed: failedMs,
    held: heldMs,
    waited: Math.max(0, until - failedMs - heldMs),
    streamed: durationMs - until,
  };
}

/**
 * Why it took so long, in a few words; undefined when nothing stands out.
 * @param {RequestStatus} request
 */
export function whySlow(request) {
  const { backend, stream } = request;
  const { failed, held, waited } = phasesOf(request);
  const total = failed + held + waited;
  if (total < SLOW_MS) return undefined;
  const [longest] = [
    { ms: held, words: `held here for ${duration(held)}: all were throttled` },
    { ms: failed, words: `${duration(failed)} went to attempts that failed` },
    { ms: waited, words: `${backend ?? 'the backend'} took ${duration(waited)}${stream ? ' to its first token' : ''}` },
  ].toSorted((a, b) => b.ms - a.ms);
  return longest?.words;
}

/**
 * @param {RequestStatus} request
 * @param {readonly string[]} names
 * @param {Clock} clock
 */
function item(request, names, clock) {
  const { id, at, client, deployment, operation, method, path, status, ending, code, times = 1, durationMs } = request;
  const why = whySlow(request);
  const isBad = ending === 'broken' || status >= 400;
  return h(
    'li',
    { key: id, class: isBad ? 'bad' : undefined },
    h('span', { class: 'when' }, time(at, clock.time)),
    h(
      'span',
      { class: `status ${isBad ? 'failing' : 'fine'}` },
      icon(isBad ? 'failing' : 'fine'),
      String(status),
      ending !== 'delivered' && h('span', { class: 'ending' }, ` ${ending}`),
    ),
    h(
      'span',
      { class: 'who' },
      h('bdi', { class: 'client' }, client === '' ? 'stranger' : client),
      h('bdi', { class: 'aside' }, deployment === '' ? `${method} ${path}` : deployment),
    ),
    h(
      'span',
      { class: 'course' },
      h('span', { class: 'trace' }, traceOf(request, names)),
      h(
        'span',
        { class: 'aside' },
        [
          operation,
          code,
          request.spilledFrom === undefined ? undefined : `spilled from ${request.spilledFrom}`,
          request.reasons,
          times > 1 ? `${count(times)} times` : undefined,
          request.completionTokens === undefined
            ? undefined
            : plural((request.promptTokens ?? 0) + request.completionTokens, 'token'),
        ]
          .filter((text) => text !== undefined && text !== '')
          .join(' · '),
      ),
      why !== undefined && h('span', { class: 'why' }, `Slow: ${why}`),
    ),
    h(
      'span',
      { class: 'took' },
      request.attempts === 0 ? '–' : [h('span', { class: 'number' }, duration(durationMs)), phaseBar(request)],
    ),
  );
}

/** @param {RequestStatus} request */
function phaseBar(request) {
  const phases = phasesOf(request);
  const total = Math.max(1, request.durationMs);
  const said = PHASES.flatMap(({ name, label }) => (phases[name] >= 1 ? [`${label} ${duration(phases[name])}`] : []));
  let x = 0;
  return h(
    'svg',
    {
      class: 'phasebar',
      role: 'img',
      'aria-label': said.length === 0 ? 'at once' : said.join(', '),
      focusable: 'false',
    },
    h('title', {}, said.length === 0 ? 'at once' : said.join(', ')),
    PHASES.map(({ name }) => {
      const width = (100 * phases[name]) / total;
      const rect = h('rect', { class: name, x: `${x.toFixed(2)}%`, width: `${width.toFixed(2)}%`, height: '100%' });
      x += width;
      return rect;
    }),
  );
}

/**
 * `openai1 429 (1200 ms) → openai2 200, first token 640 ms`
 * @param {RequestStatus} request
 * @param {readonly string[]} names
 * @returns {Child[]}
 */
function traceOf({ trace, firstTokenMs, ending, attempts }, names) {
  /** @type {Child[]} */
  const steps = [];
  for (const step of trace.split(' ')) {
    if (step === '') continue;
    if (steps.length > 0) steps.push(h('span', { class: 'then' }, ' → '));
    steps.push(stepOf(step, names));
  }
  if (steps.length === 0)
    return [attempts === 0 && ending === 'refused' ? 'turned away here, no backend was asked' : 'no backend was asked'];
  if (firstTokenMs !== undefined) steps.push(h('span', { class: 'first' }, `, first token ${duration(firstTokenMs)}`));
  return steps;
}

/**
 * @param {string} step
 * @param {readonly string[]} names
 * @returns {Element}
 */
function stepOf(step, names) {
  const [, name = '', what = step, ms] = /^([^=]+)=(.*?)(?:\((\d+)ms\))?$/.exec(step) ?? [];
  if (name === 'held' || name === 'opened') {
    const words = name === 'held' ? 'held' : 'stream begun by the balancer after';
    return h('span', { class: 'step held' }, `${words} ${duration(Number.parseInt(what, 10))}`);
  }
  const index = names.indexOf(name);
  return h(
    'span',
    { class: 'step' },
    index !== -1 && h('span', { class: `dot ${hue(index)}` }),
    `${name} `,
    h('span', { class: what.startsWith('2') ? 'good' : 'wrong' }, what),
    ms !== undefined && ` (${wait(Number(ms))})`,
  );
}
