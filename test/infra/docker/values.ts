/** What was read from JSON or YAML, looked at one step at a time: a step that is not there is an error that says which. */
import assert from 'node:assert/strict';

export type Values = Readonly<Record<string, unknown>>;

export function recordOf(value: unknown, what = 'this'): Values {
  assert.ok(typeof value === 'object' && value !== null && !Array.isArray(value), `${what} is not a mapping`);
  return Object.fromEntries(Object.entries(value));
}

export function listOf(value: unknown, what = 'this'): readonly unknown[] {
  assert.ok(Array.isArray(value), `${what} is not a list`);
  return value.map((item: unknown) => item);
}

export function textIn(value: unknown, what = 'this'): string {
  assert.ok(typeof value === 'string' && value !== '', `${what} is not a text`);
  return value;
}
