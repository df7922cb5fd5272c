// The error bodies about stored objects: responses, chat completions, conversations, files and batches.
// simulator/README.md names the public source of each.

import { invalidRequest } from '../answering/wire.ts';
import type { ErrorReply } from '../answering/wire.ts';

export function responseNotFound(id: string): ErrorReply {
  return notFound(`Response with id '${id}' not found.`);
}

export function conversationNotFound(id: string): ErrorReply {
  return notFound(`Conversation with id '${id}' not found.`);
}

export function chatCompletionNotFound(id: string): ErrorReply {
  return notFound(`Chat completion ${id} not found.`);
}

export function fileNotFound(id: string): ErrorReply {
  return notFound(`No such File object: ${id}`, 'id');
}

export function batchNotFound(id: string): ErrorReply {
  return notFound(`No batch found with id '${id}'.`);
}

export function previousResponseNotFound(id: string): ErrorReply {
  return invalidRequest(
    `Previous response with id '${id}' not found.`,
    'previous_response_id',
    'previous_response_not_found',
  );
}

/** Azure says it with 400 where OpenAI says it with 404. */
export function itemNotFound(id: string, isStoring: boolean): ErrorReply {
  const advice = isStoring
    ? ''
    : ' Items are not persisted when `store` is set to false. Try again with `store` set to true, or remove this item from your input.';
  return invalidRequest(`Item with id '${id}' not found.${advice}`, 'input');
}

/** Shows the first and the last four characters, as Azure does. */
export function invalidEncryptedContent(content: string): ErrorReply {
  return invalidRequest(
    `The encrypted content ${content.slice(0, 4)}...${content.slice(-4)} could not be verified. Reason: Encrypted content could not be decrypted or parsed.`,
    null,
    'invalid_encrypted_content',
  );
}

export const twoConversations = invalidRequest(
  'Mutually exclusive parameters. Ensure you are only providing one of: `previous_response_id` or `conversation`.',
  null,
  'mutually_exclusive_parameters',
);

export const backgroundNotStored = invalidRequest('Background responses must be stored. Set `store` to true.', 'store');

export const synchronousResponse = invalidRequest('Cannot cancel a synchronous response.', null);

export const notStreamable = invalidRequest(
  'This response cannot be streamed because it was not created with background=true and stream=true.',
  'stream',
);

export const fileRequired = invalidRequest('You must upload exactly one file in the field `file`.', 'file');

export function invalidPurpose(purpose: string | undefined): ErrorReply {
  return invalidRequest(`'${purpose ?? ''}' is not one of the purposes a file can be uploaded for.`, 'purpose');
}

export function inputFileNotFound(id: string | undefined): ErrorReply {
  return invalidRequest(`The input file '${id ?? ''}' does not exist.`, 'input_file_id');
}

export const completionWindow = invalidRequest("'completion_window' must be '24h'.", 'completion_window');

export function unknownEndpoint(endpoint: string | undefined): ErrorReply {
  return invalidRequest(`'${endpoint ?? ''}' is not an endpoint batches can be run against.`, 'endpoint');
}

export function endedBatch(status: string): ErrorReply {
  return { ...invalidRequest(`Cannot cancel a batch with status '${status}'.`, null), status: 409 };
}

/** Before 2024-09-01-preview there were no stream options. */
export const unknownStreamOptions = invalidRequest(
  "Unknown parameter: 'stream_options'.",
  'stream_options',
  'unknown_parameter',
);

/** Where Azure answers with data of one's own, another service checks the body. */
export const streamOptionsBesideData: ErrorReply = {
  status: 400,
  body: JSON.stringify({
    error: { code: 400, message: 'Validation error at #/stream_options: Extra inputs are not permitted' },
  }),
};

function notFound(message: string, param: string | null = null): ErrorReply {
  return { ...invalidRequest(message, param), status: 404 };
}
