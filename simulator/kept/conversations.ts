// The conversations of a resource: lists of items that responses read and continue.

import { BoundedStore, page } from './bounded-store.ts';
import { errorAnswer, jsonAnswer } from '../answering/deliver.ts';
import type { Answer } from '../answering/deliver.ts';
import { isJsonObject } from '../answering/json.ts';
import type { JsonObject } from '../answering/json.ts';
import * as errors from './object-errors.ts';
import { inputItem, listed } from './stored-responses.ts';
import type { Conversations } from './stored-responses.ts';
import type { HeaderList } from '../answering/wire.ts';

interface Conversation {
  readonly createdAt: number;
  metadata: unknown;
  items: readonly JsonObject[];
  /** Of items ever added, for the ids of those that bring none. */
  added: number;
}

/** Of one conversation; the oldest are forgotten. */
const MAX_ITEMS = 1000;
const BYTES_A_CONVERSATION = 16 * 1024;

export class StoredConversations implements Conversations {
  private readonly stored = new BoundedStore<Conversation>();

  itemsOf(id: string): readonly JsonObject[] | undefined {
    return this.stored.get(id)?.items;
  }

  append(id: string, items: readonly JsonObject[]): void {
    const conversation = this.stored.get(id);
    if (conversation !== undefined) {
      conversation.items = [...conversation.items, ...items].slice(-MAX_ITEMS);
    }
  }

  create(json: JsonObject, id: string, createdAt: number, headers: HeaderList): Answer {
    const conversation: Conversation = { createdAt, metadata: json['metadata'] ?? {}, items: [], added: 0 };
    this.stored.add(id, conversation, BYTES_A_CONVERSATION);
    this.append(id, newItems(json, id, conversation));
    return this.retrieve(id, headers);
  }

  retrieve(id: string, headers: HeaderList): Answer {
    const conversation = this.stored.get(id);
    if (conversation === undefined) {
      return errorAnswer(errors.conversationNotFound(id), headers);
    }
    const { createdAt, metadata } = conversation;
    return jsonAnswer(JSON.stringify({ id, object: 'conversation', created_at: createdAt, metadata }), headers);
  }

  update(id: string, json: JsonObject, headers: HeaderList): Answer {
    const conversation = this.stored.get(id);
    if (conversation !== undefined) {
      conversation.metadata = json['metadata'] ?? {};
    }
    return this.retrieve(id, headers);
  }

  remove(id: string, headers: HeaderList): Answer {
    return this.stored.delete(id)
      ? jsonAnswer(JSON.stringify({ id, object: 'conversation.deleted', deleted: true }), headers)
      : errorAnswer(errors.conversationNotFound(id), headers);
  }

  listItems(id: string, query: URLSearchParams, headers: HeaderList): Answer {
    const items = this.itemsOf(id);
    return items === undefined
      ? errorAnswer(errors.conversationNotFound(id), headers)
      : jsonAnswer(page(listed(items), query), headers);
  }

  addItems(id: string, json: JsonObject, headers: HeaderList): Answer {
    const conversation = this.stored.get(id);
    if (conversation === undefined) {
      return errorAnswer(errors.conversationNotFound(id), headers);
    }
    const items = newItems(json, id, conversation);
    this.append(id, items);
    return jsonAnswer(page(listed(items), new URLSearchParams({ order: 'asc', limit: '100' })), headers);
  }

  retrieveItem(id: string, itemId: string, headers: HeaderList): Answer {
    const item = this.itemsOf(id)?.find((each) => each['id'] === itemId);
    return item === undefined
      ? errorAnswer({ ...errors.itemNotFound(itemId, true), status: 404 }, headers)
      : jsonAnswer(JSON.stringify(item), headers);
  }

  removeItem(id: string, itemId: string, headers: HeaderList): Answer {
    const conversation = this.stored.get(id);
    if (conversation !== undefined) {
      conversation.items = conversation.items.filter((item) => item['id'] !== itemId);
    }
    return this.retrieve(id, headers);
  }
}

function newItems({ items }: JsonObject, id: string, conversation: Conversation): readonly JsonObject[] {
  const given: readonly unknown[] = Array.isArray(items) ? items : [];
  return given.filter(isJsonObject).map((item) => {
    conversation.added += 1;
    return inputItem(item, `msg_${id}_${conversation.added}`);
  });
}
