// The files of a resource: what was uploaded to it and what its batches wrote.

import { BoundedStore, page } from './bounded-store.ts';
import { errorAnswer, jsonAnswer } from '../answering/deliver.ts';
import type { Answer } from '../answering/deliver.ts';
import type { Form } from '../model/multipart.ts';
import * as errors from './object-errors.ts';
import type { HeaderList } from '../answering/wire.ts';

export interface StoredFile {
  readonly filename: string;
  readonly purpose: string;
  readonly content: Buffer;
  /** In seconds. */
  readonly createdAt: number;
  readonly expiresAt?: number;
}

const purposes: ReadonlySet<string | undefined> = new Set([
  'assistants',
  'batch',
  'fine-tune',
  'vision',
  'user_data',
  'evals',
]);

export class StoredFiles {
  private readonly stored = new BoundedStore<StoredFile>();

  get(id: string): StoredFile | undefined {
    return this.stored.get(id);
  }

  add(id: string, file: StoredFile): void {
    this.stored.add(id, file, file.content.length);
  }

  /** The ids of files for assistants begin otherwise. */
  upload(form: Form, uniqueId: string, createdAt: number, headers: HeaderList): Answer {
    const { purpose } = form.fields;
    const [file, another] = form.files;
    if (file?.content === undefined || another !== undefined) {
      return errorAnswer(errors.fileRequired, headers);
    }
    if (purpose === undefined || !purposes.has(purpose)) {
      return errorAnswer(errors.invalidPurpose(purpose), headers);
    }
    const seconds = Number(form.fields['expires_after[seconds]'] ?? form.fields['expires_after.seconds']);
    const id = `${purpose === 'assistants' ? 'assistant' : 'file'}-${uniqueId}`;
    const expiry = seconds > 0 ? { expiresAt: createdAt + seconds } : {};
    this.add(id, { filename: file.filename ?? 'unnamed', purpose, content: file.content, createdAt, ...expiry });
    return this.retrieve(id, headers);
  }

  list(query: URLSearchParams, headers: HeaderList): Answer {
    const purpose = query.get('purpose');
    const all = [...this.stored.entries()]
      .filter(([, file]) => purpose === null || file.purpose === purpose)
      .map(([id, file]) => ({ id, text: written(id, file) }));
    return jsonAnswer(page(all, query), headers);
  }

  retrieve(id: string, headers: HeaderList): Answer {
    const file = this.stored.get(id);
    return file === undefined ? errorAnswer(errors.fileNotFound(id), headers) : jsonAnswer(written(id, file), headers);
  }

  content(id: string, headers: HeaderList): Answer {
    const file = this.stored.get(id);
    if (file === undefined) {
      return errorAnswer(errors.fileNotFound(id), headers);
    }
    const typed = [...headers, 'content-type', 'application/octet-stream'];
    return { kind: 'whole', status: 200, headers: typed, body: file.content };
  }

  remove(id: string, headers: HeaderList): Answer {
    return this.stored.delete(id)
      ? jsonAnswer(JSON.stringify({ object: 'file', id, deleted: true }), headers)
      : errorAnswer(errors.fileNotFound(id), headers);
  }
}

function written(id: string, { filename, purpose, content, createdAt, expiresAt }: StoredFile): string {
  return JSON.stringify({
    object: 'file',
    id,
    purpose,
    filename,
    bytes: content.length,
    created_at: createdAt,
    expires_at: expiresAt, // left out when there is none
    status: 'processed',
  });
}
