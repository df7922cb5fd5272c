/**
 * What the page is made of: a tree of plain objects. The server writes it as HTML, the browser patches it into the
 * document. Text is only ever text: there is no way to put markup into a tree.
 */

/**
 * @typedef {{ readonly tag: string, readonly key?: string, readonly attrs: Readonly<Record<string, string>>,
 *   readonly children: readonly (Element | string)[] }} Element
 * @typedef {Element | string | number | undefined | false} Child
 * @typedef {Readonly<Record<string, string | number | boolean | undefined>>} Attributes
 */

/**
 * An element. Attributes that are undefined or false are left out, and so are such children. `key` names a child among
 * its siblings that may move.
 * @param {string} tag
 * @param {Attributes} attributes
 * @param {...(Child | readonly Child[])} children
 * @returns {Element}
 */
export function h(tag, attributes, ...children) {
  /** @type {Record<string, string>} */
  const attrs = {};
  let key;
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    if (name === 'key') key = String(value);
    else attrs[name] = value === true ? '' : String(value);
  }
  /** @type {(Element | string)[]} */
  const kept = [];
  for (const child of children.flat()) {
    if (child === undefined || child === false || child === '') continue;
    const next = typeof child === 'number' ? String(child) : child;
    const last = kept.at(-1);
    // Two texts side by side are one in a document that was parsed.
    if (typeof next === 'string' && typeof last === 'string') kept[kept.length - 1] = last + next;
    else kept.push(next);
  }
  return key === undefined ? { tag, attrs, children: kept } : { tag, key, attrs, children: kept };
}

const VOID = new Set(['input', 'br', 'hr', 'wbr']);

/** @type {Readonly<Record<string, string>>} */
const ESCAPES = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

/** @param {string} text */
export function escapeHtml(text) {
  return text.replaceAll(/[&<>"']/g, (character) => ESCAPES[character] ?? '');
}

/**
 * As HTML.
 * @param {Element | string} node
 * @returns {string}
 */
export function toHtml(node) {
  if (typeof node === 'string') return escapeHtml(node);
  const attributes = Object.entries(node.attrs).map(([name, value]) => ` ${name}="${escapeHtml(value)}"`);
  const open = `<${node.tag}${attributes.join('')}>`;
  return VOID.has(node.tag) ? open : `${open}${node.children.map(toHtml).join('')}</${node.tag}>`;
}
