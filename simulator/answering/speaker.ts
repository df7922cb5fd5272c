// Answers admitted requests: finds what they refer to, has the model answer, and keeps of it what is to be kept.

import type { BatchOperation } from '../kept/batch-lines.ts';
import { errorAnswer } from './deliver.ts';
import type { Answer } from './deliver.ts';
import { textIn } from './json.ts';
import type { JsonObject } from './json.ts';
import { isStreamed, jsonContent, otherAnswer, tellsUsage, textAnswer } from '../model/model.ts';
import type { Content, FormOperation } from '../model/model.ts';
import { StoredObjects } from '../kept/objects.ts';
import { deploymentOf } from '../options.ts';
import type { DeploymentSpec, ResourceOptions } from '../options.ts';
import { refusalOf } from './refusal.ts';
import type { Generation, Operation } from './routes.ts';
import { outputTokensOf, sayingOf } from '../model/saying.ts';
import type { Fault } from '../scenario.ts';
import * as wire from './wire.ts';
import type { ErrorReply, HeaderList } from './wire.ts';

/** The content of a request. */
export interface Found {
  readonly content: Content;
  /** Why what it refers to cannot be had. */
  readonly refused?: ErrorReply;
}

/** What answering.ts found when it admitted the request. */
export interface Admitted {
  readonly deployment: DeploymentSpec;
  readonly now: number;
  readonly fault: Fault | undefined;
  /** Of the request's body. */
  readonly bytes: number;
  /** Of the prompt's tokens. */
  readonly cachedTokens: number;
  readonly headers: HeaderList;
}

const DEFAULT_ANSWER_TOKENS = 8;
const DEFAULT_JOB_STEP_MS = 1000;

export class Speaker {
  readonly objects: StoredObjects;
  private readonly options: ResourceOptions;
  private readonly now: () => number;
  private readonly answerTokens: number;
  private readonly idPrefix: string;
  private answered = 0;

  constructor(options: ResourceOptions) {
    this.options = options;
    this.now = options.now ?? Date.now;
    this.answerTokens = Math.max(1, options.answerTokens ?? DEFAULT_ANSWER_TOKENS);
    this.idPrefix = `${options.name}-${this.now().toString(36)}`;
    this.objects = new StoredObjects({
      resourceName: options.name,
      stepMs: options.jobStepMs ?? DEFAULT_JOB_STEP_MS,
      now: this.now,
      nextId: () => this.nextId(),
      run: (operation, json, generation) => this.batchLine(operation, json, generation),
      hasDeployment: (name) => deploymentOf(options, name) !== undefined,
    });
  }

  /** The content of a request, with what it refers to; a reference to nothing is refused once the request is admitted. */
  found(operation: Exclude<Operation, FormOperation>, json: JsonObject): Found {
    if (operation !== 'responses') {
      return { content: jsonContent(operation, json) };
    }
    const referred = this.objects.referred(json);
    return referred.kind === 'refused'
      ? { content: jsonContent(operation, json), refused: referred.reply }
      : { content: jsonContent(operation, referred.json, referred.before) };
  }

  /** What the model answers to an admitted request, and the tokens that took. */
  answer(
    route: { readonly apiVersion: string; readonly generation: Generation },
    { content, refused: missing }: Found,
    { deployment, now, fault, bytes, cachedTokens, headers }: Admitted,
  ): { readonly answer: Answer; readonly outputTokens: number } {
    const refused = missing ?? refusalOf(content, route.apiVersion, deployment);
    if (refused !== undefined) {
      return { answer: errorAnswer(refused, headers), outputTokens: 0 };
    }
    const circumstances = {
      resourceName: this.options.name,
      model: deployment.model,
      generation: route.generation,
      id: this.nextId(),
      createdAt: Math.floor(now / 1000),
      answerTokens: this.answerTokens,
      cachedTokens,
      reasons: deployment.reasoning === true,
      fault,
      headers,
    };
    if (content.kind !== 'text') {
      return { answer: otherAnswer(content, circumstances), outputTokens: 0 };
    }
    const saying = sayingOf(content, circumstances);
    if (fault?.kind !== 'throttle-in-stream' && fault?.kind !== 'error-mid-stream') {
      this.objects.keep(content, saying, now, bytes);
    }
    const isBegun = content.operation === 'responses' && content.json['background'] === true && !isStreamed(content);
    const answer = isBegun ? this.objects.begun(saying, headers) : textAnswer(content, saying, circumstances);
    const outputTokens = outputTokensOf(saying);
    if (fault?.kind === 'throttle-in-stream') {
      return { answer, outputTokens }; // it refuses, and counts nothing
    }
    const isTold = !isBegun && fault?.kind !== 'error-mid-stream' && tellsUsage(content);
    const counted = {
      promptTokens: saying.promptTokens,
      completionTokens: outputTokens,
      cachedTokens,
      reasoningTokens: saying.reasoningTokens,
      isTold,
    };
    return { answer: { ...answer, counted }, outputTokens };
  }

  /** Answers one line of a batch. Batches have a quota of their own, so it is counted against none here. */
  private batchLine(operation: BatchOperation, json: JsonObject, generation: Generation): ErrorReply {
    const deployment = deploymentOf(this.options, textIn(json, 'model') ?? '');
    if (deployment === undefined) {
      return generation === 'v1' ? wire.noMatchingDeployment : wire.deploymentNotFound;
    }
    const admitted = { deployment, now: this.now(), fault: undefined, bytes: 0, cachedTokens: 0, headers: [] };
    const { answer } = this.answer({ apiVersion: generation, generation }, this.found(operation, json), admitted);
    return answer.kind === 'whole' ? { status: answer.status, body: String(answer.body) } : wire.statusError(500);
  }

  private nextId(): string {
    this.answered += 1;
    return `${this.idPrefix}-${this.answered.toString(36)}`;
  }
}
