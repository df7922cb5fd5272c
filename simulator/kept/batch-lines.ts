// The lines of a batch's input file: which requests they are, or what is wrong with them.

import { isJsonObject, textIn } from '../answering/json.ts';
import type { JsonObject } from '../answering/json.ts';
import type { Operation } from '../answering/routes.ts';

export type BatchOperation = Extract<Operation, 'chat-completions' | 'completions' | 'embeddings' | 'responses'>;

export interface BatchRequest {
  readonly customId: string;
  readonly body: JsonObject;
}

export interface BatchError {
  readonly code: string;
  readonly message: string;
  /** Counted from 1; null when it is about the whole file. */
  readonly line: number | null;
  readonly param: string | null;
}

export interface BatchLines {
  readonly requests: readonly BatchRequest[];
  readonly errors: readonly BatchError[];
}

const operations: ReadonlyMap<string, BatchOperation> = new Map([
  ['/chat/completions', 'chat-completions'],
  ['/completions', 'completions'],
  ['/embeddings', 'embeddings'],
  ['/responses', 'responses'],
]);

/** With or without `/v1` before it. */
export function batchOperation(endpoint: string): BatchOperation | undefined {
  return operations.get(endpoint.replace(/^\/v1(?=\/)/, ''));
}

/** One wrong line fails the batch, so the requests are of use only when there is no error. */
export function readLines(
  content: string,
  operation: BatchOperation,
  hasDeployment: (name: string) => boolean,
): BatchLines {
  const requests: BatchRequest[] = [];
  const errors: BatchError[] = [];
  const customIds = new Set<string>();
  let model: string | undefined;
  for (const [index, text] of content.split('\n').entries()) {
    if (text.trim() === '') {
      continue;
    }
    const read = readLine(text);
    if ('code' in read) {
      errors.push({ ...read, line: index + 1 });
      continue;
    }
    const { request, url } = read;
    const named = textIn(request.body, 'model');
    model ??= named;
    const wrong =
      batchOperation(url) !== operation
        ? problem('url_mismatch', 'The URL of this request does not match the endpoint of the batch.', 'url')
        : customIds.has(request.customId)
          ? problem(
              'duplicate_custom_id',
              'The custom ID for this request is a duplicate of the custom ID in another request.',
              'custom_id',
            )
          : wrongModel(named, model, hasDeployment);
    if (wrong !== undefined) {
      errors.push({ ...wrong, line: index + 1 });
    }
    customIds.add(request.customId);
    requests.push(request);
  }
  if (requests.length === 0 && errors.length === 0) {
    const message = 'The input file is empty. Please ensure that the batch contains at least one request.';
    errors.push({ ...problem('empty_file', message), line: null });
  }
  return { requests, errors };
}

type Problem = Omit<BatchError, 'line'>;

function readLine(text: string): Problem | { readonly request: BatchRequest; readonly url: string } {
  let line: unknown;
  try {
    line = JSON.parse(text);
  } catch {
    return problem('invalid_json_line', 'This line is not parseable as valid JSON.');
  }
  if (!isJsonObject(line)) {
    return problem('invalid_json_line', 'This line is not parseable as valid JSON.');
  }
  const { custom_id: customId, method, url, body } = line;
  if (typeof customId !== 'string' || method !== 'POST' || typeof url !== 'string' || !isJsonObject(body)) {
    return problem('invalid_request', 'The schema of the input line is invalid.');
  }
  return { request: { customId, body }, url };
}

function wrongModel(
  named: string | undefined,
  first: string | undefined,
  hasDeployment: (name: string) => boolean,
): Problem | undefined {
  if (named === undefined || !hasDeployment(named)) {
    return problem('model_not_found', 'The deployment named in the model property was not found.', 'model');
  }
  return named === first
    ? undefined
    : problem('model_mismatch', 'The model of this request does not match the rest of the file.', 'model');
}

function problem(code: string, message: string, param: string | null = null): Problem {
  return { code, message, param };
}
