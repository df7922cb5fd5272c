// The paths under which a resource shows what it keeps: stored responses, chat completions, conversations, files and
// batches.

import type { Generation } from '../answering/routes.ts';

export interface ObjectRoute {
  readonly kind: 'object';
  readonly generation: Generation;
  readonly action: ObjectAction;
  /** Empty for a whole collection. */
  readonly id: string;
  /** Of an item within. */
  readonly itemId: string;
  readonly query: URLSearchParams;
  /** Whether a JSON body is to be read. */
  readonly hasBody: boolean;
}

export type ObjectAction = (typeof actions)[keyof typeof actions];

const actions = {
  'GET responses/*': 'retrieve-response',
  'DELETE responses/*': 'delete-response',
  'POST responses/*/cancel': 'cancel-response',
  'GET responses/*/input_items': 'list-input-items',
  'GET files': 'list-files',
  'POST files': 'upload-file',
  'GET files/*': 'retrieve-file',
  'DELETE files/*': 'delete-file',
  'GET files/*/content': 'read-file',
  'GET batches': 'list-batches',
  'POST batches': 'create-batch',
  'GET batches/*': 'retrieve-batch',
  'POST batches/*/cancel': 'cancel-batch',
  'GET chat/completions': 'list-chats',
  'GET chat/completions/*': 'retrieve-chat',
  'POST chat/completions/*': 'update-chat',
  'DELETE chat/completions/*': 'delete-chat',
  'GET chat/completions/*/messages': 'list-chat-messages',
  'POST conversations': 'create-conversation',
  'GET conversations/*': 'retrieve-conversation',
  'POST conversations/*': 'update-conversation',
  'DELETE conversations/*': 'delete-conversation',
  'GET conversations/*/items': 'list-conversation-items',
  'POST conversations/*/items': 'add-conversation-items',
  'GET conversations/*/items/*': 'retrieve-conversation-item',
  'DELETE conversations/*/items/*': 'delete-conversation-item',
} as const;

const legacyCollections: ReadonlySet<string> = new Set(['responses', 'files', 'batches']);
const withBody: ReadonlySet<ObjectAction> = new Set<ObjectAction>([
  'create-batch',
  'update-chat',
  'create-conversation',
  'update-conversation',
  'add-conversation-items',
]);

/** `path` is what comes after `/openai/` or `/openai/v1/`; undefined when nothing is kept there. */
export function findObjectRoute(
  method: string,
  generation: Generation,
  path: string,
  query: URLSearchParams,
): ObjectRoute | undefined {
  const segments = path.split('/');
  const [first = '', second] = segments;
  if (segments.includes('') || (generation === 'legacy' && !legacyCollections.has(first))) {
    return undefined;
  }
  const collection = first === 'chat' ? `${first}/${second ?? ''}` : first;
  const [id, part, itemId, ...more] = segments.slice(first === 'chat' ? 2 : 1);
  const shape = [collection, ...(id === undefined ? [] : ['*']), ...(part === undefined ? [] : [part])];
  const key = `${method} ${[...shape, ...(itemId === undefined ? [] : ['*'])].join('/')}`;
  if (more.length > 0 || !isKnown(key)) {
    return undefined;
  }
  const action = actions[key];
  return {
    kind: 'object',
    generation,
    action,
    id: id ?? '',
    itemId: itemId ?? '',
    query,
    hasBody: withBody.has(action),
  };
}

function isKnown(key: string): key is keyof typeof actions {
  return Object.hasOwn(actions, key);
}
