/** Who uses how much. */

/** @import { StatusDocument } from '../status.ts' */
/** @import { Element } from './tree.js' */
import { h } from './tree.js';
import { bar, count, percent } from './words.js';

const MOST_CLIENTS = 8;

/**
 * @param {StatusDocument} status
 * @returns {Element}
 */
export function clientsSection({ clients }) {
  const all = clients.reduce((sum, { tokens }) => sum + tokens, 0);
  return h(
    'section',
    { 'aria-labelledby': 'clients-title' },
    h('h2', { id: 'clients-title' }, 'Who uses how much'),
    clients.length === 0
      ? h('p', { class: 'nothing' }, 'Nobody has called yet.')
      : h(
          'table',
          { class: 'clients' },
          h('caption', { class: 'unseen' }, 'Clients by the tokens they used in the last 15 minutes'),
          h(
            'thead',
            {},
            h(
              'tr',
              {},
              ['Client', 'Tokens', 'Requests'].map((name) => h('th', { scope: 'col' }, name)),
            ),
          ),
          h(
            'tbody',
            {},
            clients.slice(0, MOST_CLIENTS).map((client) => row(client, all)),
          ),
        ),
    h(
      'p',
      { class: 'aside' },
      clients.length > MOST_CLIENTS && `And ${count(clients.length - MOST_CLIENTS)} more: see the JSON. `,
      'Last 15 minutes. Tokens as the backends counted them, estimated where they did not say. Since the start and by deployment: ',
      h('a', { href: '/ledger' }, 'the ledger'),
      ', as CSV.',
    ),
  );
}

/**
 * @param {StatusDocument['clients'][number]} client
 * @param {number} all tokens of all clients
 */
function row({ name, tokens, requests, refused, total }, all) {
  const share = all === 0 ? 0 : (100 * tokens) / all;
  return h(
    'tr',
    { key: name },
    h('th', { scope: 'row' }, h('bdi', {}, name)),
    h(
      'td',
      { class: 'number', 'data-label': 'Tokens' },
      `${count(tokens)} `,
      h('span', { class: 'of' }, percent(share)),
      bar(share, 'plain'),
      h('span', { class: 'aside' }, `${count(total.tokens)} since start`),
    ),
    h(
      'td',
      { class: 'number', 'data-label': 'Requests' },
      count(requests),
      h('span', { class: 'aside' }, refused === 0 ? 'none refused' : `${count(refused)} refused`),
    ),
  );
}
