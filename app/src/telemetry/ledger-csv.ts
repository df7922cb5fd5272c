/** The ledger as a table for spreadsheets: RFC 4180, a row a line; and no name in it is run as a formula. */
import type { LedgerDocument, LedgerRow } from './ledger.ts';

const COLUMNS: readonly (readonly [name: string, member: keyof LedgerRow])[] = [
  ['client', 'client'],
  ['deployment', 'deployment'],
  ['backend', 'backend'],
  ['requests', 'requests'],
  ['delivered', 'delivered'],
  ['refused', 'refused'],
  ['failed', 'failed'],
  ['broken', 'broken'],
  ['abandoned', 'abandoned'],
  ['prompt_tokens', 'promptTokens'],
  ['cached_tokens', 'cachedTokens'],
  ['completion_tokens', 'completionTokens'],
  ['reasoning_tokens', 'reasoningTokens'],
  ['estimated_requests', 'estimatedRequests'],
  ['estimated_prompt_tokens', 'estimatedPromptTokens'],
  ['estimated_completion_tokens', 'estimatedCompletionTokens'],
];

export const LEDGER_COLUMNS: readonly string[] = [...COLUMNS.map(([name]) => name), 'since', 'until'];

export function ledgerCsv({ since, until, rows }: LedgerDocument): string {
  const lines = rows.map((row) => [...COLUMNS.map(([, member]) => fieldOf(row[member])), since, until]);
  return [LEDGER_COLUMNS, ...lines].map((fields) => `${fields.join(',')}\r\n`).join('');
}

/** A spreadsheet takes what begins so for a formula, in quotes or not; with an apostrophe before it, for text. */
const FORMULA = /^\s*[=+\-@]/;

function fieldOf(value: string | number): string {
  if (typeof value === 'number') return String(value);
  const text = FORMULA.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
