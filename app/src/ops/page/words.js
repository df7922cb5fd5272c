/** Numbers, times and states as people read them. */

/** @import { BackendStatus, DeploymentStatus } from '../status.ts' */
/** @import { Element } from './tree.js' */
import { h } from './tree.js';

/**
 * `640 ms`, `1.2 s`, `48 s`, `3 min`, `5 h`
 * @param {number} ms
 */
export function duration(ms) {
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 9950) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 119_500) return `${Math.round(ms / 1000)} s`;
  return ms < 7_200_000 ? `${Math.round(ms / 60_000)} min` : `${Math.round(ms / 3_600_000)} h`;
}

/**
 * What is left of a rest: always in seconds, so that it does not jump.
 * @param {number} ms
 */
export function left(ms) {
  return ms < 9950 ? `${(ms / 1000).toFixed(1)} s` : duration(ms);
}

/**
 * `12`, `1,234`, `56.7k`, `60k`, `1.2M`
 * @param {number} value
 */
export function count(value) {
  if (value < 10_000) return Math.round(value).toLocaleString('en-US');
  return value < 999_950 ? `${oneDigit(value / 1000)}k` : `${oneDigit(value / 1_000_000)}M`;
}

/** @param {number} value */
function oneDigit(value) {
  return value.toFixed(1).replace(/\.0$/, '');
}

/**
 * `0`, `<0.1`, `0.4`, `12`
 * @param {number} value
 */
export function rate(value) {
  if (value === 0) return '0';
  if (value < 0.1) return '<0.1';
  return value < 9.95 ? value.toFixed(1) : count(value);
}

/**
 * A wait as a backend named it: `1200 ms`, `48 s`
 * @param {number} ms
 */
export function wait(ms) {
  return ms < 10_000 ? `${Math.round(ms)} ms` : duration(ms);
}

/** @param {number} value */
export function percent(value) {
  return value > 0 && value < 1 ? '<1 %' : `${Math.round(value)} %`;
}

/**
 * `1 request`, `2 requests`
 * @param {number} number
 * @param {string} noun
 */
export function plural(number, noun) {
  return `${count(number)} ${noun}${number === 1 ? '' : 's'}`;
}

/**
 * How times of day are told: in UTC by the server, in the viewer's own way by the script.
 * @typedef {{ readonly time: (at: Date) => string, readonly minute: (at: Date) => string, readonly zone: string }} Clock
 */

/** @type {Clock} */
export const UTC = {
  time: (at) => at.toISOString().slice(11, 19),
  minute: (at) => at.toISOString().slice(11, 16),
  zone: 'UTC',
};

/**
 * @param {string} iso
 * @param {(at: Date) => string} tell
 * @returns {Element}
 */
export function time(iso, tell) {
  return h('time', { datetime: iso }, tell(new Date(iso)));
}

/**
 * @typedef {'fine' | 'returning' | 'cooling' | 'failing' | 'locked' | 'missing' | 'idle'} Look
 * @typedef {{ readonly look: Look, readonly words: (string | Element)[], readonly more?: string }} Told
 */

/**
 * A state in words, and what it looks like.
 * @param {BackendStatus | DeploymentStatus} part
 * @param {Clock} clock
 * @returns {Told}
 */
export function stateOf(part, clock) {
  const { state, standing, leftMs = 0, since, reason } = part;
  const isOver = standing === 'available';
  switch (state) {
    case 'closed':
      return { look: 'fine', words: ['serving'] };
    case 'cooldown':
      return isOver
        ? { look: 'returning', words: ['rested'], more: 'the next request tries it' }
        : { look: 'cooling', words: [`cooling down ${left(leftMs)}`], more: 'it answered 429' };
    case 'returning':
      return { look: 'returning', words: ['coming back'], more: 'a throttle is over' };
    case 'probing':
      return { look: 'returning', words: ['probing'], more: 'one request is out to see' };
    case 'recovering':
      return { look: 'returning', words: ['recovering'], more: 'it gets a growing share' };
    case 'open':
      return isOver
        ? { look: 'returning', words: ['rested'], more: 'the next request tries it' }
        : { look: 'failing', words: ['failing'], more: `${reason ?? 'it broke off'}; asked again in ${left(leftMs)}` };
    case 'missing':
      return { look: 'missing', words: ['missing'], more: 'it has no such deployment' };
    case 'quarantined': {
      const what = `quarantined: ${reason ?? 'refused'}`;
      const words = since === undefined ? [what] : [`${what} since `, time(since, clock.minute)];
      return { look: 'locked', words, more: 'check its key, or our role there' };
    }
    default:
      return { look: 'idle', words: [String(state)] };
  }
}

/** Each state has a shape of its own: colour says nothing that the shape and the word do not. @type {Readonly<Record<Look, string>>} */
const SHAPES = {
  fine: 'M2.5 8.5l3.5 3.5 7.5-8',
  returning: 'M13 5A6 6 0 1 0 14 9M13.5 1.5V5.5H9.5',
  cooling: 'M4 2h8M4 14h8M5 2c0 4 6 8 6 12M11 2c0 4-6 8-6 12',
  failing: 'M3 3l10 10M13 3L3 13',
  locked: 'M3.5 7.5h9v6h-9zM5.5 7V5a2.5 2.5 0 0 1 5 0v2',
  missing: 'M8 2.5a5.5 5.5 0 1 0 .01 0M4.2 11.8l7.6-7.6',
  idle: 'M3.5 8h9',
};

/**
 * @param {Look} look
 * @returns {Element}
 */
export function icon(look) {
  return h(
    'svg',
    { class: 'icon', viewBox: '0 0 16 16', 'aria-hidden': 'true', focusable: 'false' },
    h('path', { d: SHAPES[look] }),
  );
}

/**
 * The class that has a backend's colour; they come again after eight.
 * @param {number} index
 */
export function hue(index) {
  return `hue${index % 8}`;
}

/**
 * A bar of so many percent.
 * @param {number} value
 * @param {string} kind
 * @returns {Element}
 */
export function bar(value, kind) {
  const width = `${Math.max(0, Math.min(100, value)).toFixed(1)}%`;
  return h(
    'svg',
    { class: `bar ${kind}`, 'aria-hidden': 'true', focusable: 'false' },
    h('rect', { class: 'track', width: '100%', height: '100%' }),
    h('rect', { class: 'fill', width, height: '100%' }),
  );
}
