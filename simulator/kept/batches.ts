// The batches of a resource. Nothing runs by itself: a batch is as far as the clock says when it is looked at, one step
// in each of validating, in_progress and finalizing, and its lines are answered once they had the time to be.

import { batchOperation, readLines } from './batch-lines.ts';
import type { BatchLines, BatchOperation } from './batch-lines.ts';
import { BoundedStore, page } from './bounded-store.ts';
import { errorAnswer, jsonAnswer } from '../answering/deliver.ts';
import type { Answer } from '../answering/deliver.ts';
import type { StoredFiles } from './files.ts';
import { isJsonObject, numberIn, textIn } from '../answering/json.ts';
import type { JsonObject } from '../answering/json.ts';
import * as errors from './object-errors.ts';
import type { Generation } from '../answering/routes.ts';
import type { ErrorReply, HeaderList } from '../answering/wire.ts';

/** Answers one line; without counting it against a quota, which batches have of their own. */
export type RunLine = (operation: BatchOperation, json: JsonObject, generation: Generation) => ErrorReply;

type BatchStatus = 'validating' | 'failed' | 'in_progress' | 'finalizing' | 'completed' | 'cancelling' | 'cancelled';

interface Batch {
  readonly id: string;
  readonly json: JsonObject;
  readonly operation: BatchOperation;
  readonly generation: Generation;
  /** Clock ms. */
  readonly createdAt: number;
  readonly total: number;
  readonly errors: BatchLines['errors'];
  /** Emptied once they were run. */
  requests: BatchLines['requests'];
  cancelledAt?: number;
  results?: BatchResults;
}

interface BatchResults {
  readonly outputFileId: string;
  readonly errorFileId: string;
  readonly completed: number;
  readonly failed: number;
}

export interface BatchHost {
  readonly stepMs: number;
  readonly files: StoredFiles;
  readonly run: RunLine;
  readonly nextId: () => string;
  readonly hasDeployment: (name: string) => boolean;
}

const DAY_S = 86_400;

export class StoredBatches {
  private readonly stored = new BoundedStore<Batch>();
  /** Those whose lines are still to be run. */
  private readonly waiting = new Set<Batch>();
  private readonly host: BatchHost;

  constructor(host: BatchHost) {
    this.host = host;
  }

  /** Runs what had the time to be run; to be called before files or batches are looked at. */
  settle(now: number): void {
    for (const batch of this.waiting) {
      if (this.stored.get(batch.id) !== batch || batch.cancelledAt !== undefined || batch.errors.length > 0) {
        this.waiting.delete(batch);
      } else if (now >= batch.createdAt + 2 * this.host.stepMs) {
        this.waiting.delete(batch);
        batch.results = this.run(batch);
        batch.requests = [];
      }
    }
  }

  create(json: JsonObject, generation: Generation, now: number, headers: HeaderList): Answer {
    const inputFileId = textIn(json, 'input_file_id');
    const endpoint = textIn(json, 'endpoint');
    const operation = endpoint === undefined ? undefined : batchOperation(endpoint);
    const file = inputFileId === undefined ? undefined : this.host.files.get(inputFileId);
    if (file === undefined) {
      return errorAnswer(errors.inputFileNotFound(inputFileId), headers);
    }
    if (operation === undefined) {
      return errorAnswer(errors.unknownEndpoint(endpoint), headers);
    }
    if (json['completion_window'] !== '24h') {
      return errorAnswer(errors.completionWindow, headers);
    }
    const lines = readLines(file.content.toString(), operation, this.host.hasDeployment);
    const id = `batch_${this.host.nextId()}`;
    const batch = { id, json, operation, generation, createdAt: now, total: lines.requests.length, ...lines };
    this.stored.add(id, batch, file.content.length);
    this.waiting.add(batch);
    return jsonAnswer(this.written(batch, now), headers);
  }

  list(query: URLSearchParams, now: number, headers: HeaderList): Answer {
    const all = [...this.stored.entries()].map(([id, batch]) => ({ id, text: this.written(batch, now) }));
    return jsonAnswer(page(all, query), headers);
  }

  retrieve(id: string, now: number, headers: HeaderList): Answer {
    const batch = this.stored.get(id);
    return batch === undefined
      ? errorAnswer(errors.batchNotFound(id), headers)
      : jsonAnswer(this.written(batch, now), headers);
  }

  cancel(id: string, now: number, headers: HeaderList): Answer {
    const batch = this.stored.get(id);
    if (batch === undefined) {
      return errorAnswer(errors.batchNotFound(id), headers);
    }
    const status = this.statusOf(batch, now);
    if (status === 'completed' || status === 'failed' || status === 'cancelled') {
      return errorAnswer(errors.endedBatch(status), headers);
    }
    batch.cancelledAt ??= now;
    return jsonAnswer(this.written(batch, now), headers);
  }

  private statusOf(batch: Batch, now: number): BatchStatus {
    const steps = Math.floor((now - batch.createdAt) / this.host.stepMs);
    if (batch.cancelledAt !== undefined) {
      return now >= batch.cancelledAt + this.host.stepMs ? 'cancelled' : 'cancelling';
    }
    if (steps < 1) {
      return 'validating';
    }
    if (batch.errors.length > 0) {
      return 'failed';
    }
    return steps < 2 ? 'in_progress' : steps < 3 ? 'finalizing' : 'completed';
  }

  private run({ requests, operation, generation, createdAt, json }: Batch): BatchResults {
    const { nextId, files, run, stepMs } = this.host;
    const done: string[] = [];
    const failed: string[] = [];
    for (const { customId, body } of requests) {
      const { status, body: answer } = run(operation, { ...body, stream: false }, generation);
      const requestId = nextId();
      const line = `{"id":"batch_req_${requestId}","custom_id":${JSON.stringify(customId)},"response":{"status_code":${status},"request_id":"${requestId}","body":${answer}},"error":null}\n`;
      (status === 200 ? done : failed).push(line);
    }
    const finishedAt = seconds(createdAt + 3 * stepMs);
    const expiry = json['output_expires_after'];
    const expiresAfter = isJsonObject(expiry) ? numberIn(expiry, 'seconds') : undefined;
    const write = (lines: readonly string[], filename: string): string => {
      const id = `file-${nextId()}`;
      const expires = expiresAfter === undefined ? {} : { expiresAt: finishedAt + expiresAfter };
      const content = Buffer.from(lines.join(''));
      files.add(id, { filename, purpose: 'batch_output', content, createdAt: finishedAt, ...expires });
      return id;
    };
    return {
      outputFileId: write(done, 'results.jsonl'),
      errorFileId: write(failed, 'errors.jsonl'), // of zero bytes when nothing failed
      completed: done.length,
      failed: failed.length,
    };
  }

  private written(batch: Batch, now: number): string {
    const { id, json, createdAt, cancelledAt, results } = batch;
    const { stepMs } = this.host;
    const status = this.statusOf(batch, now);
    /** When that step ended, once it has and unless the batch left its way before. */
    const since = (steps: number): number | null => {
      const at = createdAt + steps * stepMs;
      return now >= at && (cancelledAt === undefined || at <= cancelledAt) ? seconds(at) : null;
    };
    const hasFailed = status === 'failed';
    const isCompleted = status === 'completed';
    return JSON.stringify({
      id,
      object: 'batch',
      endpoint: json['endpoint'],
      input_file_id: json['input_file_id'],
      completion_window: json['completion_window'],
      metadata: json['metadata'] ?? null,
      status,
      errors: hasFailed ? { object: 'list', data: batch.errors } : null,
      output_file_id: isCompleted ? results?.outputFileId : null,
      error_file_id: isCompleted ? results?.errorFileId : null,
      created_at: seconds(createdAt),
      expires_at: seconds(createdAt) + DAY_S,
      in_progress_at: hasFailed ? null : since(1),
      finalizing_at: hasFailed ? null : since(2),
      completed_at: isCompleted ? since(3) : null,
      failed_at: hasFailed ? since(1) : null,
      expired_at: null,
      cancelling_at: cancelledAt === undefined ? null : seconds(cancelledAt),
      cancelled_at: status === 'cancelled' ? seconds((cancelledAt ?? 0) + stepMs) : null,
      request_counts: { total: batch.total, completed: results?.completed ?? 0, failed: results?.failed ?? 0 },
    });
  }
}

function seconds(ms: number): number {
  return Math.floor(ms / 1000);
}
