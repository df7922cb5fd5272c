/**
 * Keeps the page up to date: hears the events, makes the tree anew and patches the document to be like it. Texts come
 * into the document as texts alone. A connection that broke is made again, whatever broke it.
 */

/** @import { StatusDocument } from '../status.ts' */
/** @import { Element as Tree } from './tree.js' */
/** @import { Looking } from './view.js' */
import { page } from './view.js';

/** Refused once more, it waits twice as long. */
const AGAIN_AFTER_MS = 1000;
const AGAIN_AT_LAST_MS = 30_000;
/** Events come twice a second; after so long without one the connection is dead, and nobody said so. */
const SILENT_MS = 10_000;
const SVG = 'http://www.w3.org/2000/svg';

const wanted = new URLSearchParams(location.search);
/** @type {Looking} */
let looking = { clock: localClock(), text: wanted.get('text') ?? '', show: wanted.get('show') ?? '', isLive: true };
/** @type {Partial<StatusDocument>} */
let status = {};
let isPaused = false;
let heardAt = Date.now();
let againAfterMs = AGAIN_AFTER_MS;
/** @type {EventSource | undefined} */
let events;
/** @type {string | undefined} the files of the page that the balancer has */
let version;

const connection = must('connection');
const pause = must('pause');
const announced = must('announced');
pause.hidden = false;
connect();
setInterval(watch, 1000);

/** @param {string} id */
function must(id) {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`the page has no ${id}`);
  return element;
}

function localClock() {
  const time = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' });
  const minute = new Intl.DateTimeFormat(undefined, { timeStyle: 'short' });
  return {
    time: (/** @type {Date} */ at) => time.format(at),
    minute: (/** @type {Date} */ at) => minute.format(at),
    zone: `in your time zone (${time.resolvedOptions().timeZone})`,
  };
}

function connect() {
  events?.close();
  heardAt = Date.now();
  events = new EventSource('/status/events');
  events.onmessage = ({ data }) => hear(data);
  events.onerror = () => {
    tell('lost', 'Connection lost: trying again');
    // Refused, or answered otherwise: the browser has given up. While it has not, it tries by itself.
    if (events?.readyState !== EventSource.CLOSED) return;
    setTimeout(connect, againAfterMs);
    againAfterMs = Math.min(2 * againAfterMs, AGAIN_AT_LAST_MS);
  };
}

function watch() {
  if (events?.readyState === EventSource.OPEN && Date.now() - heardAt > SILENT_MS) connect();
}

/** @param {string} data */
function hear(data) {
  heardAt = Date.now();
  againAfterMs = AGAIN_AFTER_MS;
  const { page: files, ...changed } = JSON.parse(data);
  // A new balancer may have a new page.
  if (typeof files === 'string') {
    if (version !== undefined && version !== files) return location.reload();
    version = files;
  }
  status = { ...status, ...changed };
  if (isPaused) return;
  tell('live', 'Live');
  show();
}

function show() {
  if (!isWhole(status)) return;
  patch(must('page'), page(status, looking));
  const { gist, level } = status.headline;
  if (announced.textContent !== gist) announced.textContent = gist;
  const title = `${level === 'fine' ? '' : level === 'down' ? '✕ ' : '! '}Balancer: ${gist}`;
  if (document.title !== title) document.title = title;
}

/**
 * @param {Partial<StatusDocument>} known
 * @returns {known is StatusDocument}
 */
function isWhole(known) {
  return known.headline !== undefined;
}

/**
 * @param {'live' | 'lost' | 'paused'} how
 * @param {string} words
 */
function tell(how, words) {
  if (connection.dataset['how'] === how) return;
  connection.dataset['how'] = how;
  must('connection-words').textContent = words;
}

pause.addEventListener('click', () => {
  isPaused = !isPaused;
  pause.textContent = isPaused ? 'Go on' : 'Pause';
  if (isPaused) return tell('paused', 'Paused');
  tell('live', 'Live');
  show();
});

document.addEventListener('input', ({ target }) => {
  if (target instanceof HTMLInputElement && target.id === 'text') look({ text: target.value });
});

document.addEventListener('submit', (event) => {
  if (!(event instanceof SubmitEvent) || !(event.target instanceof HTMLFormElement) || event.target.id !== 'filters')
    return;
  event.preventDefault();
  if (event.submitter instanceof HTMLButtonElement) look({ show: event.submitter.value });
});

document.addEventListener('keydown', (event) => {
  const plot = document.getElementById('plot');
  if (plot === null || event.target !== plot) return;
  const most = Number(plot.getAttribute('aria-valuemax'));
  const slot = looking.slot ?? most;
  /** @type {Readonly<Record<string, number | undefined>>} */
  const moves = {
    ArrowLeft: slot - 1,
    ArrowDown: slot - 1,
    ArrowRight: slot + 1,
    ArrowUp: slot + 1,
    PageDown: slot - 6,
    PageUp: slot + 6,
    Home: 0,
    End: most,
  };
  const next = moves[event.key];
  if (event.key === 'Escape') look({ slot: undefined });
  if (next === undefined) return;
  event.preventDefault();
  look({ slot: Math.max(0, Math.min(most, next)) });
});

document.addEventListener('pointermove', (event) => {
  const svg = event.target instanceof Element ? event.target.closest('#plot svg') : null;
  const plot = document.getElementById('plot');
  if (plot === null || svg === null) {
    if (looking.slot !== undefined && document.activeElement !== plot) look({ slot: undefined });
    return;
  }
  const { left, width } = svg.getBoundingClientRect();
  const slots = Number(plot.getAttribute('aria-valuemax')) + 1;
  const slot = Math.max(0, Math.min(slots - 1, Math.floor(((event.clientX - left) / width) * slots)));
  if (slot !== looking.slot) look({ slot });
});

document.addEventListener('focusout', ({ target }) => {
  if (target instanceof Element && target.id === 'plot') look({ slot: undefined });
});

/**
 * `slot`: undefined takes the pointer off the chart.
 * @param {{ readonly text?: string, readonly show?: string, readonly slot?: number | undefined }} change
 */
function look(change) {
  const { slot: before, ...rest } = looking;
  const { slot = 'slot' in change ? undefined : before, ...others } = change;
  looking = slot === undefined ? { ...rest, ...others } : { ...rest, ...others, slot };
  show();
}

/**
 * Makes an element like the tree. What the viewer did to it (a field's text, what is unfolded, where the focus is)
 * stays: the tree does not speak of it.
 * @param {Element} element
 * @param {Tree} tree
 */
function patch(element, tree) {
  for (const name of element.getAttributeNames()) {
    if (!(name in tree.attrs) && !isViewers(element, name)) element.removeAttribute(name);
  }
  for (const [name, value] of Object.entries(tree.attrs)) {
    if (element.getAttribute(name) !== value) element.setAttribute(name, value);
  }
  const keyed = new Map(
    [...element.children].flatMap((child) =>
      keys.has(child) ? [/** @type {const} */ ([keys.get(child), child])] : [],
    ),
  );
  /** @type {ChildNode | null} */
  let next = element.firstChild;
  for (const child of tree.children) {
    if (typeof child === 'string') {
      if (next instanceof Text) {
        if (next.data !== child) next.data = child;
        next = next.nextSibling;
      } else element.insertBefore(document.createTextNode(child), next);
      continue;
    }
    const known = child.key === undefined ? undefined : keyed.get(child.key);
    if (known !== undefined) {
      if (known === next) next = next.nextSibling;
      else element.insertBefore(known, next);
      patch(known, child);
    } else if (
      next instanceof Element &&
      next.localName === child.tag &&
      !(child.key !== undefined && keys.has(next))
    ) {
      const same = next;
      next = next.nextSibling;
      patch(same, child);
      if (child.key === undefined) keys.delete(same);
      else keys.set(same, child.key);
    } else element.insertBefore(made(child), next);
  }
  while (next !== null) {
    const gone = next;
    next = next.nextSibling;
    gone.remove();
  }
}

/** Element → the key of its tree. @type {WeakMap<Element, string>} */
const keys = new WeakMap();

/**
 * @param {Element} element
 * @param {string} name
 */
function isViewers({ localName }, name) {
  return (localName === 'details' && name === 'open') || (localName === 'input' && name === 'value');
}

/** @param {Tree} tree */
function made(tree) {
  const isSvg = tree.tag === 'svg' || SVG_TAGS.has(tree.tag);
  const element = isSvg ? document.createElementNS(SVG, tree.tag) : document.createElement(tree.tag);
  if (tree.key !== undefined) keys.set(element, tree.key);
  patch(element, tree);
  return element;
}

/** `title` is only ever used within one of these. */
const SVG_TAGS = new Set(['path', 'rect', 'line', 'title']);
