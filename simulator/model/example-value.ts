// A value that fits a JSON schema, as simple as the schema allows: for structured outputs and the arguments of a call.

import { isJsonObject } from '../answering/json.ts';
import type { JsonObject } from '../answering/json.ts';

const MAX_DEPTH = 6;

/** `text` is the value of every free text. A schema that refers to itself ends in null. */
export function exampleOf(schema: unknown, text: string, root: unknown = schema, depth = 0): unknown {
  if (!isJsonObject(schema) || depth > MAX_DEPTH) {
    return null;
  }
  const again = (inner: unknown): unknown => exampleOf(inner, text, root, depth + 1);
  const { $ref: reference, enum: allowed, anyOf, type } = schema;
  if (typeof reference === 'string') {
    return again(atPointer(root, reference));
  }
  if ('const' in schema) {
    return schema['const'];
  }
  if (Array.isArray(allowed)) {
    return allowed[0];
  }
  if (Array.isArray(anyOf)) {
    return again(anyOf[0]);
  }
  switch (Array.isArray(type) ? type[0] : type) {
    case 'string':
      return text;
    case 'number':
    case 'integer':
      return 1;
    case 'boolean':
      return true;
    case 'array':
      return [again(schema['items'])];
    case 'object':
      return objectOf(schema, again);
    default:
      return null;
  }
}

function objectOf(schema: JsonObject, again: (inner: unknown) => unknown): JsonObject {
  const { properties } = schema;
  return isJsonObject(properties)
    ? Object.fromEntries(Object.entries(properties).map(([key, inner]) => [key, again(inner)]))
    : {};
}

/** Such as `#/$defs/step`. */
function atPointer(root: unknown, pointer: string): unknown {
  let found = root;
  for (const key of pointer.split('/').slice(1)) {
    found = isJsonObject(found) ? found[key] : undefined;
  }
  return found;
}
