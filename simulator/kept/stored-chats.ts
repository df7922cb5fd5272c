// The chat completions a resource keeps because their requests said `store: true`.

import { chatCompletion } from '../model/answers.ts';
import type { Saying } from '../model/answers.ts';
import { BoundedStore, page } from './bounded-store.ts';
import { errorAnswer, jsonAnswer } from '../answering/deliver.ts';
import type { Answer } from '../answering/deliver.ts';
import { isJsonObject } from '../answering/json.ts';
import type { JsonObject } from '../answering/json.ts';
import * as errors from './object-errors.ts';
import { listed } from './stored-responses.ts';
import type { HeaderList } from '../answering/wire.ts';

interface StoredChat {
  readonly saying: Saying;
  metadata: unknown;
}

export class StoredChats {
  private readonly stored = new BoundedStore<StoredChat>();

  /** Bytes is the size of the request. */
  keep(saying: Saying, bytes: number): void {
    if (saying.body['store'] === true) {
      this.stored.add(`chatcmpl-${saying.id}`, { saying, metadata: saying.body['metadata'] ?? {} }, bytes);
    }
  }

  list(query: URLSearchParams, headers: HeaderList): Answer {
    const model = query.get('model');
    const all = [...this.stored.entries()]
      .filter(([, { saying }]) => model === null || saying.model === model)
      .map(([id, chat]) => ({ id, text: written(chat) }));
    return jsonAnswer(page(all, query, 'asc'), headers);
  }

  retrieve(id: string, headers: HeaderList): Answer {
    const chat = this.stored.get(id);
    return chat === undefined
      ? errorAnswer(errors.chatCompletionNotFound(id), headers)
      : jsonAnswer(written(chat), headers);
  }

  update(id: string, json: JsonObject, headers: HeaderList): Answer {
    const chat = this.stored.get(id);
    if (chat !== undefined) {
      chat.metadata = json['metadata'] ?? {};
    }
    return this.retrieve(id, headers);
  }

  remove(id: string, headers: HeaderList): Answer {
    return this.stored.delete(id)
      ? jsonAnswer(JSON.stringify({ object: 'chat.completion.deleted', id, deleted: true }), headers)
      : errorAnswer(errors.chatCompletionNotFound(id), headers);
  }

  /** The messages of the request; the answer is in the completion itself. */
  messages(id: string, query: URLSearchParams, headers: HeaderList): Answer {
    const chat = this.stored.get(id);
    if (chat === undefined) {
      return errorAnswer(errors.chatCompletionNotFound(id), headers);
    }
    const { messages } = chat.saying.body;
    const given: readonly unknown[] = Array.isArray(messages) ? messages : [];
    const withIds = given.filter(isJsonObject).map((message, index) => ({ id: `${id}-${index}`, ...message }));
    return jsonAnswer(page(listed(withIds), query, 'asc'), headers);
  }
}

function written({ saying, metadata }: StoredChat): string {
  const completion = chatCompletion(saying);
  return `${completion.slice(0, -1)},"metadata":${JSON.stringify(metadata)}}`;
}
