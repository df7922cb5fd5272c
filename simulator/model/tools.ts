// Which function the simulated model calls, and with what. It calls one only when it must: `tool_choice` is `required`,
// or names a function. Reads the tools of chat completions and of responses.

import { exampleOf } from './example-value.ts';
import { isJsonObject, textIn } from '../answering/json.ts';
import type { JsonObject } from '../answering/json.ts';

export interface ToolCall {
  readonly name: string;
  /** As JSON text, as the model writes it. */
  readonly arguments: string;
}

/** `text` fills the arguments that are texts. */
export function calledTool(body: JsonObject, text: string): ToolCall | undefined {
  const { tools, tool_choice: choice } = body;
  if (!Array.isArray(tools) || choice === undefined) {
    return undefined;
  }
  const name = chosenName(choice);
  if (name === undefined && !isRequired(choice)) {
    return undefined;
  }
  const functions: readonly (JsonObject | undefined)[] = tools.map(functionIn);
  const called = functions.find((each) => each !== undefined && (name === undefined || textIn(each, 'name') === name));
  const calledName = called === undefined ? undefined : textIn(called, 'name');
  return calledName === undefined
    ? undefined
    : { name: calledName, arguments: JSON.stringify(exampleOf(called?.['parameters'] ?? { type: 'object' }, text)) };
}

/** Chat completions put a function into `function`, responses beside its type. */
function functionIn(tool: unknown): JsonObject | undefined {
  if (!isJsonObject(tool) || tool['type'] !== 'function') {
    return undefined;
  }
  const inner = tool['function'];
  return isJsonObject(inner) ? inner : tool;
}

function chosenName(choice: unknown): string | undefined {
  const named = functionIn(choice);
  return named === undefined ? undefined : textIn(named, 'name');
}

function isRequired(choice: unknown): boolean {
  if (!isJsonObject(choice)) {
    return choice === 'required';
  }
  const inner = choice['allowed_tools'];
  const allowed = isJsonObject(inner) ? inner : choice;
  return choice['type'] === 'allowed_tools' && allowed['mode'] === 'required';
}
