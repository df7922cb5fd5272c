// All that a resource keeps under ids, and the answers to requests for it.

import type { Saying } from '../model/answers.ts';
import { StoredBatches } from './batches.ts';
import type { RunLine } from './batches.ts';
import { StoredConversations } from './conversations.ts';
import { errorAnswer } from '../answering/deliver.ts';
import type { Answer } from '../answering/deliver.ts';
import { StoredFiles } from './files.ts';
import { parseJson } from '../answering/json.ts';
import type { JsonObject } from '../answering/json.ts';
import type { TextContent } from '../model/model.ts';
import { readForm } from '../model/multipart.ts';
import type { ObjectRoute } from './object-routes.ts';
import { StoredChats } from './stored-chats.ts';
import { StoredResponses } from './stored-responses.ts';
import type { Referred } from './stored-responses.ts';
import * as wire from '../answering/wire.ts';
import type { HeaderList } from '../answering/wire.ts';

export interface ObjectsHost {
  readonly resourceName: string;
  /** See ResourceOptions.jobStepMs. */
  readonly stepMs: number;
  readonly now: () => number;
  readonly nextId: () => string;
  readonly run: RunLine;
  readonly hasDeployment: (name: string) => boolean;
}

export class StoredObjects {
  private readonly host: ObjectsHost;
  private readonly conversations = new StoredConversations();
  private readonly responses: StoredResponses;
  private readonly chats = new StoredChats();
  private readonly files = new StoredFiles();
  private readonly batches: StoredBatches;

  constructor(host: ObjectsHost) {
    this.host = host;
    this.responses = new StoredResponses(host.resourceName, host.stepMs, this.conversations);
    this.batches = new StoredBatches({ ...host, files: this.files });
  }

  /** What the body of a request for a response refers to. */
  referred(json: JsonObject): Referred {
    return this.responses.referred(json);
  }

  /** Keeps what was said, as the request asks for; bytes is the size of that request. */
  keep({ operation, prompt }: TextContent, saying: Saying, now: number, bytes: number): void {
    if (operation === 'responses') {
      this.responses.keep(saying, prompt.before, now, bytes);
    } else if (operation === 'chat-completions' && saying.generation === 'v1') {
      this.chats.keep(saying, bytes);
    }
  }

  /** The first thing told of a background response. */
  begun(saying: Saying, headers: HeaderList): Answer {
    return this.responses.retrieve(`resp_${saying.id}`, new URLSearchParams(), this.host.now(), headers);
  }

  answer(
    route: ObjectRoute,
    request: { readonly headers: Parameters<typeof readForm>[0]; readonly body: Buffer },
    base: HeaderList,
  ): Answer | Promise<Answer> {
    this.batches.settle(this.host.now());
    if (route.action === 'upload-file') {
      return this.upload(request, base);
    }
    if (!route.hasBody) {
      return this.found(route, {}, base);
    }
    const json = parseJson(request.body);
    return json === undefined ? errorAnswer(wire.malformedJson, base) : this.found(route, json, base);
  }

  private async upload(request: Parameters<StoredObjects['answer']>[1], base: HeaderList): Promise<Answer> {
    const form = await readForm(request.headers, request.body, true);
    return form === undefined
      ? errorAnswer(wire.malformedForm, base)
      : this.files.upload(form, this.host.nextId(), Math.floor(this.host.now() / 1000), base);
  }

  private found(route: ObjectRoute, json: JsonObject, base: HeaderList): Answer {
    const { responses, chats, conversations, files, batches } = this;
    const { id, itemId, query } = route;
    const now = this.host.now();
    switch (route.action) {
      case 'retrieve-response':
        return responses.retrieve(id, query, now, base);
      case 'delete-response':
        return responses.remove(id, base);
      case 'cancel-response':
        return responses.cancel(id, now, base);
      case 'list-input-items':
        return responses.inputItems(id, query, base);
      case 'list-chats':
        return chats.list(query, base);
      case 'retrieve-chat':
        return chats.retrieve(id, base);
      case 'update-chat':
        return chats.update(id, json, base);
      case 'delete-chat':
        return chats.remove(id, base);
      case 'list-chat-messages':
        return chats.messages(id, query, base);
      case 'create-conversation':
        return conversations.create(json, `conv_${this.host.nextId()}`, Math.floor(now / 1000), base);
      case 'retrieve-conversation':
        return conversations.retrieve(id, base);
      case 'update-conversation':
        return conversations.update(id, json, base);
      case 'delete-conversation':
        return conversations.remove(id, base);
      case 'list-conversation-items':
        return conversations.listItems(id, query, base);
      case 'add-conversation-items':
        return conversations.addItems(id, json, base);
      case 'retrieve-conversation-item':
        return conversations.retrieveItem(id, itemId, base);
      case 'delete-conversation-item':
        return conversations.removeItem(id, itemId, base);
      case 'upload-file':
        return errorAnswer(wire.malformedForm, base); // upload reads the form before it comes here
      case 'list-files':
        return files.list(query, base);
      case 'retrieve-file':
        return files.retrieve(id, base);
      case 'delete-file':
        return files.remove(id, base);
      case 'read-file':
        return files.content(id, base);
      case 'create-batch':
        return batches.create(json, route.generation, now, base);
      case 'list-batches':
        return batches.list(query, now, base);
      case 'retrieve-batch':
        return batches.retrieve(id, now, base);
      case 'cancel-batch':
        return batches.cancel(id, now, base);
      default:
        return route.action satisfies never;
    }
  }
}
