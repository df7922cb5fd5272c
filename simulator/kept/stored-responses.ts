// The responses a resource keeps, with what was said before each, and the conversations they can be part of. An id of
// one resource means nothing to another.

import type { Saying } from '../model/answers.ts';
import { BoundedStore, page } from './bounded-store.ts';
import type { Listed } from './bounded-store.ts';
import { errorAnswer, jsonAnswer, streamAnswer } from '../answering/deliver.ts';
import type { Answer } from '../answering/deliver.ts';
import { isJsonObject, textIn } from '../answering/json.ts';
import type { JsonObject } from '../answering/json.ts';
import * as errors from './object-errors.ts';
import { conversationIdIn, finalStatus, outputItems, responseObject } from '../model/response-object.ts';
import type { ResponseStatus } from '../model/response-object.ts';
import { isEncryptedBy } from '../model/saying.ts';
import { deltasOf, responseEvents } from '../model/streams.ts';
import type { ErrorReply, HeaderList } from '../answering/wire.ts';

/** Only references are kept; what is shown of a response is written when it is asked for. */
interface StoredResponse {
  readonly saying: Saying;
  readonly before: readonly JsonObject[];
  /** Clock ms. */
  readonly startedAt: number;
  cancelledAt?: number;
}

/** What a request refers to, found: its body with the items in place of their references, and what was said before. */
export type Referred =
  | { readonly kind: 'found'; readonly json: JsonObject; readonly before: readonly JsonObject[] }
  | { readonly kind: 'refused'; readonly reply: ErrorReply };

/** What stored responses need of the conversations beside them. */
export interface Conversations {
  itemsOf(id: string): readonly JsonObject[] | undefined;
  append(id: string, items: readonly JsonObject[]): void;
}

const NOTHING: readonly JsonObject[] = [];
const BYTES_A_REFERENCE = 64;

export class StoredResponses {
  private readonly stored = new BoundedStore<StoredResponse>();
  private readonly resourceName: string;
  private readonly stepMs: number;
  private readonly conversations: Conversations;

  constructor(resourceName: string, stepMs: number, conversations: Conversations) {
    this.resourceName = resourceName;
    this.stepMs = stepMs;
    this.conversations = conversations;
  }

  /** Finds what the body of a request for a response refers to. */
  referred(json: JsonObject): Referred {
    const before = this.before(json);
    if ('status' in before) {
      return { kind: 'refused', reply: before };
    }
    const { input } = json;
    if (json['background'] === true && json['store'] === false) {
      return { kind: 'refused', reply: errors.backgroundNotStored };
    }
    if (!Array.isArray(input) || !input.some(isReference)) {
      return { kind: 'found', json, before };
    }
    const found: unknown[] = [];
    for (const item of input) {
      const resolved = isReference(item) ? this.resolve(item, json['store'] !== false) : { item };
      if ('refused' in resolved) {
        return { kind: 'refused', reply: resolved.refused };
      }
      found.push(resolved.item);
    }
    return { kind: 'found', json: { ...json, input: found }, before };
  }

  /** Keeps what was said unless the request said not to; bytes is the size of that request. */
  keep(saying: Saying, before: readonly JsonObject[], startedAt: number, bytes: number): void {
    const { body } = saying;
    const conversation = conversationIdIn(body);
    if (conversation !== undefined) {
      this.conversations.append(conversation, [...inputItems(saying), ...outputOf(saying)]);
    }
    if (body['store'] === false) {
      return;
    }
    this.stored.add(`resp_${saying.id}`, { saying, before, startedAt }, bytes + before.length * BYTES_A_REFERENCE);
  }

  retrieve(id: string, query: URLSearchParams, now: number, headers: HeaderList): Answer {
    const stored = this.stored.get(id);
    if (stored === undefined) {
      return errorAnswer(errors.responseNotFound(id), headers);
    }
    const { saying } = stored;
    if (query.get('stream') !== 'true') {
      return jsonAnswer(responseObject(saying, { status: this.statusOf(stored, now) }), headers);
    }
    if (saying.body['background'] !== true || saying.body['stream'] !== true) {
      return errorAnswer(errors.notStreamable, headers);
    }
    const startingAfter = Number(query.get('starting_after') ?? -1);
    const deltas = deltasOf(saying.call?.arguments ?? saying.text, saying.answerTokens);
    return streamAnswer(skipped(responseEvents(saying, deltas), startingAfter + 1), headers);
  }

  remove(id: string, headers: HeaderList): Answer {
    return this.stored.delete(id)
      ? jsonAnswer(JSON.stringify({ id, object: 'response', deleted: true }), headers)
      : errorAnswer(errors.responseNotFound(id), headers);
  }

  /** Cancelling twice, or too late, is no error: the response is shown as it is. */
  cancel(id: string, now: number, headers: HeaderList): Answer {
    const stored = this.stored.get(id);
    if (stored === undefined) {
      return errorAnswer(errors.responseNotFound(id), headers);
    }
    if (stored.saying.body['background'] !== true) {
      return errorAnswer(errors.synchronousResponse, headers);
    }
    const status = this.statusOf(stored, now);
    if (status === 'queued' || status === 'in_progress') {
      stored.cancelledAt = now;
    }
    return jsonAnswer(responseObject(stored.saying, { status: this.statusOf(stored, now) }), headers);
  }

  inputItems(id: string, query: URLSearchParams, headers: HeaderList): Answer {
    const stored = this.stored.get(id);
    return stored === undefined
      ? errorAnswer(errors.responseNotFound(id), headers)
      : jsonAnswer(page(listed(inputItems(stored.saying)), query), headers);
  }

  /** A response that is streamed is as far as its stream, which waits for no clock. */
  private statusOf({ saying, startedAt, cancelledAt }: StoredResponse, now: number): ResponseStatus {
    const { background, stream } = saying.body;
    if (cancelledAt !== undefined) {
      return 'cancelled';
    }
    if (background !== true || stream === true || now >= startedAt + 2 * this.stepMs) {
      return finalStatus(saying);
    }
    return now >= startedAt + this.stepMs ? 'in_progress' : 'queued';
  }

  private before(json: JsonObject): readonly JsonObject[] | ErrorReply {
    const previous = json['previous_response_id'];
    const conversation = conversationIdIn(json);
    if (typeof previous === 'string') {
      if (conversation !== undefined) {
        return errors.twoConversations;
      }
      const stored = this.stored.get(previous);
      return stored === undefined
        ? errors.previousResponseNotFound(previous)
        : [...stored.before, ...inputItems(stored.saying), ...outputOf(stored.saying)];
    }
    return conversation === undefined
      ? NOTHING
      : (this.conversations.itemsOf(conversation) ?? errors.conversationNotFound(conversation));
  }

  private resolve(
    reference: JsonObject,
    isStoring: boolean,
  ): { readonly item: JsonObject } | { readonly refused: ErrorReply } {
    const sealed = reference['encrypted_content'];
    if (typeof sealed === 'string') {
      return isEncryptedBy(this.resourceName, sealed)
        ? { item: reference }
        : { refused: errors.invalidEncryptedContent(sealed) };
    }
    const id = textIn(reference, 'id') ?? '';
    const item = this.itemOf(id);
    return item === undefined ? { refused: errors.itemNotFound(id, isStoring) } : { item };
  }

  /** The id of an item ends in that of its response, so the item needs no index. */
  private itemOf(id: string): JsonObject | undefined {
    const [, responseId] = /^(?:msg|fc|rs)_(.*?)(?:_in\d+)?$/.exec(id) ?? [];
    const stored = this.stored.get(`resp_${responseId ?? ''}`);
    return stored === undefined
      ? undefined
      : [...inputItems(stored.saying), ...outputOf(stored.saying)].find((item) => item['id'] === id);
  }
}

/** Items that mean something only to the resource that made them. */
function isReference(item: unknown): item is JsonObject {
  return (
    isJsonObject(item) &&
    (item['type'] === 'item_reference' ||
      (item['type'] === 'reasoning' &&
        (typeof item['encrypted_content'] === 'string' || typeof item['id'] === 'string')) ||
      // A reference may leave its type out.
      (item['type'] === undefined && item['role'] === undefined && typeof item['id'] === 'string'))
  );
}

/** The input of a response as items with ids. */
function inputItems({ id, body }: Saying): readonly JsonObject[] {
  const { input } = body;
  const given: readonly unknown[] = Array.isArray(input) ? input : [{ role: 'user', content: input ?? '' }];
  return given.filter(isJsonObject).map((item, index) => inputItem(item, `msg_${id}_in${index}`));
}

/** An item as it is listed: with an id, a status and, in place of a bare text, parts. */
export function inputItem(item: JsonObject, id: string): JsonObject {
  const { type = 'message', content, role } = item;
  if (type !== 'message') {
    return { id, ...item };
  }
  const partType = role === 'assistant' ? 'output_text' : 'input_text';
  const parts = typeof content === 'string' ? [{ type: partType, text: content }] : content;
  return { id, status: 'completed', ...item, type, content: parts };
}

function outputOf(saying: Saying): readonly JsonObject[] {
  const items: unknown = JSON.parse(`[${outputItems(saying).join(',')}]`);
  return Array.isArray(items) ? items.filter(isJsonObject) : [];
}

export function listed(items: readonly JsonObject[]): readonly Listed[] {
  return items.map((item) => ({ id: textIn(item, 'id') ?? '', text: JSON.stringify(item) }));
}

function* skipped(events: Iterable<string>, count: number): Generator<string> {
  let at = 0;
  for (const event of events) {
    if (at >= count) {
      yield event;
    }
    at += 1;
  }
}
