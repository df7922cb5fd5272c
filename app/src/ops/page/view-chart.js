/** The strip chart: who answered in the last fifteen minutes, and what went otherwise. */

/** @import { StatusDocument, ChartSlot } from '../status.ts' */
/** @import { Looking } from './view.js' */
/** @import { Element } from './tree.js' */
import { h } from './tree.js';
import { count, hue, plural, time } from './words.js';

const LANES = /** @type {const} */ ([
  { name: 'failedOver', label: 'Failed over', words: 'failed over' },
  { name: 'held', label: 'Held', words: 'held' },
  { name: 'refused', label: 'Refused', words: 'refused' },
  { name: 'broken', label: 'Broken off', words: 'broken off' },
]);

const HEIGHT = 120;
const PITCH = 10;
const BAR = 8;

/**
 * @param {StatusDocument} status
 * @param {Looking} looking
 * @returns {Element}
 */
export function chartSection(status, looking) {
  const { chart, backends } = status;
  const names = backends.map(({ name }) => name);
  const from = Date.parse(chart.from);
  const slotMs = chart.slotSeconds * 1000;
  const slots = Math.round((Date.parse(chart.to) - from) / slotMs);
  const placed = chart.slots.map((slot) => ({ slot, at: Math.round((Date.parse(slot.at) - from) / slotMs) }));
  const most = roundedUp(Math.max(1, ...chart.slots.map(answeredIn)));
  const chosen = looking.slot === undefined ? undefined : Math.max(0, Math.min(slots - 1, looking.slot));
  const summary = summaryOf(chart.slots, names);
  return h(
    'section',
    { 'aria-labelledby': 'chart-title', class: 'chart' },
    h('h2', { id: 'chart-title' }, 'Last 15 minutes'),
    h(
      'p',
      { class: 'readout', id: 'chart-readout' },
      chosen === undefined
        ? summary
        : [
            time(new Date(from + chosen * slotMs).toISOString(), looking.clock.time),
            `: ${wordsOf(placed.find(({ at }) => at === chosen)?.slot, names)}`,
          ],
    ),
    h(
      'ul',
      { class: 'legend' },
      names.map((name, index) => h('li', { key: name }, h('span', { class: `dot ${hue(index)}` }), h('bdi', {}, name))),
    ),
    h(
      'div',
      {
        class: 'plot',
        id: 'plot',
        ...(looking.isLive
          ? {
              role: 'slider',
              tabindex: '0',
              'aria-label': 'Ten seconds of the last 15 minutes: arrow keys move',
              'aria-valuemin': 0,
              'aria-valuemax': slots - 1,
              'aria-valuenow': chosen ?? slots - 1,
              'aria-valuetext':
                chosen === undefined ? summary : wordsOf(placed.find(({ at }) => at === chosen)?.slot, names),
            }
          : { role: 'img', 'aria-label': summary }),
      },
      h('span', { class: 'most', 'aria-hidden': 'true' }, `${count(most)} in 10 s`),
      h(
        'svg',
        {
          class: 'answered',
          viewBox: `0 0 ${slots * PITCH} ${HEIGHT}`,
          preserveAspectRatio: 'none',
          'aria-hidden': 'true',
          focusable: 'false',
        },
        chosen !== undefined &&
          h('rect', { class: 'chosen', x: chosen * PITCH - 1, y: 0, width: PITCH, height: HEIGHT }),
        h('line', { class: 'grid', x1: 0, x2: slots * PITCH, y1: 0.5, y2: 0.5 }),
        h('line', { class: 'grid', x1: 0, x2: slots * PITCH, y1: HEIGHT / 2, y2: HEIGHT / 2 }),
        placed.flatMap(({ slot, at }) => stackOf(slot, at, names, most)),
      ),
      LANES.map(({ name, label }) =>
        h(
          'div',
          { class: `lane ${name}`, 'aria-hidden': 'true' },
          h('span', { class: 'label' }, label),
          h(
            'svg',
            { viewBox: `0 0 ${slots * PITCH} 10`, preserveAspectRatio: 'none', focusable: 'false' },
            chosen !== undefined &&
              h('rect', { class: 'chosen', x: chosen * PITCH - 1, y: 0, width: PITCH, height: 10 }),
            placed.flatMap(({ slot, at }) =>
              (slot[name] ?? 0) > 0 ? [h('rect', { class: 'mark', x: at * PITCH, y: 1, width: BAR, height: 8 })] : [],
            ),
          ),
        ),
      ),
    ),
    h(
      'div',
      { class: 'axis', 'aria-hidden': 'true' },
      [15, 10, 5, 0].map((minutes) => h('span', {}, minutes === 0 ? 'now' : `${minutes} min ago`)),
    ),
    h(
      'details',
      { class: 'as-table' },
      h('summary', {}, 'The chart as a table, by the minute'),
      tableOf(placed, slots, from, slotMs, names, looking),
    ),
  );
}

/**
 * A backend may be called `constructor`.
 * @param {Pick<ChartSlot, 'answered'>} slot
 * @param {string} name
 */
function timesOf({ answered }, name) {
  return Object.hasOwn(answered, name) ? (answered[name] ?? 0) : 0;
}

/** @param {ChartSlot} slot */
function answeredIn({ answered }) {
  return Object.values(answered).reduce((sum, times) => sum + times, 0);
}

/**
 * @param {ChartSlot} slot
 * @param {number} at
 * @param {readonly string[]} names
 * @param {number} most
 */
function stackOf({ answered }, at, names, most) {
  let below = 0;
  return names.flatMap((name, index) => {
    const times = timesOf({ answered }, name);
    if (times === 0) return [];
    const height = (HEIGHT * times) / most;
    below += height;
    return [
      h('rect', {
        class: `fill ${hue(index)}`,
        x: at * PITCH,
        y: (HEIGHT - below).toFixed(1),
        width: BAR,
        height: height.toFixed(1),
      }),
    ];
  });
}

/**
 * 1, 2, 5, 10, 20, 50, …: an axis that does not jump with every request.
 * @param {number} value
 */
function roundedUp(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= value) ?? 10;
  return step * power;
}

/**
 * `openai1 answered 3, openai2 1; 1 failed over`
 * @param {ChartSlot | undefined} slot
 * @param {readonly string[]} names
 */
function wordsOf(slot, names) {
  if (slot === undefined) return 'nothing was asked';
  const by = names.flatMap((name) => (timesOf(slot, name) > 0 ? [`${name} ${count(timesOf(slot, name))}`] : []));
  const lanes = LANES.flatMap(({ name, words }) =>
    (slot[name] ?? 0) > 0 ? [`${count(slot[name] ?? 0)} ${words}`] : [],
  );
  return [by.length === 0 ? 'nobody answered' : `answered by ${by.join(', ')}`, ...lanes].join('; ');
}

/**
 * @param {readonly ChartSlot[]} slots
 * @param {readonly string[]} names
 */
function summaryOf(slots, names) {
  if (slots.length === 0) return 'Nothing was asked.';
  const by = names.map((name) => ({
    name,
    times: slots.reduce((sum, { answered }) => sum + timesOf({ answered }, name), 0),
  }));
  const all = by.reduce((sum, { times }) => sum + times, 0);
  const lanes = LANES.map(
    ({ name, words }) => `${count(slots.reduce((sum, slot) => sum + (slot[name] ?? 0), 0))} ${words}`,
  );
  return `${plural(all, 'answer')}: ${by.map(({ name, times }) => `${name} ${count(times)}`).join(', ')}. ${lanes.join(', ')}.`;
}

/**
 * @param {readonly { readonly slot: ChartSlot, readonly at: number }[]} placed
 * @param {number} slots
 * @param {number} from
 * @param {number} slotMs
 * @param {readonly string[]} names
 * @param {Looking} looking
 */
function tableOf(placed, slots, from, slotMs, names, { clock }) {
  const perMinute = 60_000 / slotMs;
  const rows = Array.from({ length: Math.ceil(slots / perMinute) }, (_, minute) => {
    const mine = placed.filter(({ at }) => Math.floor(at / perMinute) === minute).map(({ slot }) => slot);
    return { at: new Date(from + minute * 60_000).toISOString(), mine };
  }).toReversed();
  const sum = (/** @type {readonly ChartSlot[]} */ mine, /** @type {(slot: ChartSlot) => number} */ read) =>
    count(mine.reduce((total, slot) => total + read(slot), 0));
  return h(
    'div',
    { class: 'wide', role: 'group', 'aria-label': 'The last 15 minutes as a table', tabindex: '0' },
    h(
      'table',
      {},
      h(
        'thead',
        {},
        h(
          'tr',
          {},
          h('th', { scope: 'col' }, 'From'),
          names.map((name) => h('th', { scope: 'col' }, h('bdi', {}, name))),
          LANES.map(({ label }) => h('th', { scope: 'col' }, label)),
        ),
      ),
      h(
        'tbody',
        {},
        rows.map(({ at, mine }) =>
          h(
            'tr',
            { key: at },
            h('th', { scope: 'row' }, time(at, clock.time)),
            names.map((name) =>
              h(
                'td',
                { class: 'number' },
                sum(mine, ({ answered }) => timesOf({ answered }, name)),
              ),
            ),
            LANES.map(({ name }) =>
              h(
                'td',
                { class: 'number' },
                sum(mine, (slot) => slot[name] ?? 0),
              ),
            ),
          ),
        ),
      ),
    ),
  );
}
