// Decides what a simulated resource answers: credential, scripted fault, path, body, deployment, throttle, quota, and
// then the model's answer, in that order. Writes nothing to the wire; deliver.ts does.

import type { IncomingHttpHeaders } from 'node:http';
import { modelList, modelObject } from './answers.ts';
import type { Behaviour } from './behaviour.ts';
import type { BatchOperation } from './batch-lines.ts';
import { checkCredentials } from './credentials.ts';
import { errorAnswer, jsonAnswer } from './deliver.ts';
import type { Answer } from './deliver.ts';
import {
  asked,
  failedAnswer,
  isSpillable,
  missingDeployment,
  scriptedThrottle,
  throttledAnswer,
  withHeaders,
} from './failing.ts';
import { parseJson, textIn } from './json.ts';
import type { JsonObject } from './json.ts';
import {
  isFormOperation,
  isStreamed,
  jsonContent,
  modelIn,
  otherAnswer,
  promptTokensOf,
  textAnswer,
  tokensOf,
} from './model.ts';
import type { Content, FormOperation } from './model.ts';
import { readForm } from './multipart.ts';
import { StoredObjects } from './objects.ts';
import { oddAnswer } from './oddities.ts';
import type { DeploymentSpec, ResourceOptions } from './options.ts';
import { PromptCache } from './prompt-cache.ts';
import { refusalOf } from './refusal.ts';
import { findRoute } from './routes.ts';
import type { Generation, Operation, Route } from './routes.ts';
import { outputTokensOf, sayingOf } from './saying.ts';
import type { Fault } from './scenario.ts';
import * as wire from './wire.ts';
import type { ErrorReply, HeaderList } from './wire.ts';

export interface ArrivedRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly fault: Fault | undefined;
}

type OperationRoute = Extract<Route, { kind: 'operation' }>;

interface Found {
  readonly content: Content;
  /** Why what it refers to cannot be had. */
  readonly refused?: ErrorReply;
}

interface Admitted {
  readonly deployment: DeploymentSpec;
  readonly now: number;
  readonly fault: Fault | undefined;
  /** Of the request's body. */
  readonly bytes: number;
  /** Of the prompt's tokens. */
  readonly cachedTokens: number;
  readonly headers: HeaderList;
}

const DEFAULT_REGION = 'Sweden Central';
const DEFAULT_ANSWER_TOKENS = 8;
const DEFAULT_JOB_STEP_MS = 1000;

export class Answering {
  private readonly options: ResourceOptions;
  private readonly behaviour: Behaviour;
  private readonly now: () => number;
  private readonly answerTokens: number;
  private readonly models: readonly string[];
  private readonly idPrefix: string;
  private readonly promptCache = new PromptCache();
  private readonly objects: StoredObjects;
  private answered = 0;

  constructor(options: ResourceOptions, behaviour: Behaviour) {
    this.options = options;
    this.behaviour = behaviour;
    this.now = options.now ?? Date.now;
    this.answerTokens = Math.max(1, options.answerTokens ?? DEFAULT_ANSWER_TOKENS);
    this.models = [...new Set(Object.values(options.deployments).map((deployment) => deployment.model))];
    this.idPrefix = `${options.name}-${Date.now().toString(36)}`;
    this.objects = new StoredObjects({
      resourceName: options.name,
      stepMs: options.jobStepMs ?? DEFAULT_JOB_STEP_MS,
      now: this.now,
      nextId: () => this.nextId(),
      run: (operation, json, generation) => this.batchLine(operation, json, generation),
      hasDeployment: (name) => this.deployment(name) !== undefined,
    });
  }

  answer(request: ArrivedRequest): Answer | Promise<Answer> {
    const { headers } = request;
    const base = this.baseHeaders(headers);
    const denied = checkCredentials(headers, this.options, this.behaviour.hasRole(this.now()));
    if (denied !== undefined) {
      return errorAnswer(denied, base);
    }
    const route = findRoute(request.method, request.url);
    const answer = this.directAnswer(route, request, base);
    return answer instanceof Promise ? answer : this.spilledOver(answer, route, request, base);
  }

  private directAnswer(route: Route, request: ArrivedRequest, base: HeaderList): Answer | Promise<Answer> {
    const { fault } = request;
    const failed =
      fault === undefined
        ? undefined
        : failedAnswer(
            fault,
            { route, now: this.now(), deployment: () => this.deploymentAsked(route, request.body) },
            base,
          );
    if (failed !== undefined) {
      return failed;
    }
    switch (route.kind) {
      case 'not-found':
        // Nothing is upgraded to a WebSocket, and a caller that wanted one has no use for the connection.
        return errorAnswer(
          wire.resourceNotFound,
          request.headers.upgrade === undefined ? base : [...base, 'connection', 'close'],
        );
      case 'dated-v1':
        return errorAnswer(wire.datedV1, base);
      case 'models':
        return this.modelsAnswer(route.id, base);
      case 'object':
        return this.objects.answer(route, request, base);
      case 'operation':
        return this.operationAnswer(route, request, base);
      default:
        return route satisfies never;
    }
  }

  /** What a provisioned deployment refuses, or fails at, is answered by another when it or the request names one. */
  private spilledOver(
    answer: Answer,
    route: Route,
    request: ArrivedRequest,
    base: HeaderList,
  ): Answer | Promise<Answer> {
    if (answer.kind === 'stream' || route.kind !== 'operation' || !isSpillable(answer)) {
      return answer;
    }
    const name = route.deployment ?? textIn(parseJson(request.body) ?? {}, 'model') ?? '';
    const deployment = this.deployment(name);
    const target = deployment?.spilloverDeploymentName ?? request.headers['x-ms-spillover-deployment'];
    if (deployment?.provisioned === undefined || typeof target !== 'string') {
      return answer;
    }
    const headers = [
      ...base,
      'x-ms-spillover-from-deployment',
      name,
      'x-ms-deployment-name',
      target,
      'x-ms-spillover-error',
      String(answer.status),
    ];
    return this.operationAnswer({ ...route, deployment: target }, { ...request, fault: undefined }, headers);
  }

  /** An answer given before the body was read. */
  earlyAnswer(status: number, headers: IncomingHttpHeaders): Answer {
    return errorAnswer(wire.statusError(status), this.baseHeaders(headers));
  }

  bodyTooLarge(headers: IncomingHttpHeaders): Answer {
    return errorAnswer(wire.bodyTooLarge, this.baseHeaders(headers));
  }

  private baseHeaders(headers: IncomingHttpHeaders): HeaderList {
    const sent = headers['x-ms-client-request-id'];
    return wire.baseHeaders(this.options.region ?? DEFAULT_REGION, typeof sent === 'string' ? sent : undefined);
  }

  private modelsAnswer(id: string | undefined, base: HeaderList): Answer {
    if (id === undefined) {
      return jsonAnswer(modelList(this.models), base);
    }
    const model = this.models.includes(id) ? id : this.deployment(id)?.model;
    return model === undefined ? errorAnswer(wire.resourceNotFound, base) : jsonAnswer(modelObject(model), base);
  }

  private operationAnswer(route: OperationRoute, request: ArrivedRequest, base: HeaderList): Answer | Promise<Answer> {
    const { operation } = route;
    if (isFormOperation(operation)) {
      return this.uploadAnswer(route, operation, request, base);
    }
    const json = parseJson(request.body);
    return json === undefined
      ? errorAnswer(wire.malformedJson, base)
      : this.contentAnswer(route, this.found(operation, json), request, base);
  }

  private async uploadAnswer(
    route: OperationRoute,
    operation: FormOperation,
    request: ArrivedRequest,
    base: HeaderList,
  ): Promise<Answer> {
    const form = await readForm(request.headers, request.body);
    return form === undefined
      ? errorAnswer(wire.malformedForm, base)
      : this.contentAnswer(route, { content: { kind: 'form', operation, form } }, request, base);
  }

  /** The content of a request, with what it refers to; a reference to nothing is refused once the request is admitted. */
  private found(operation: Exclude<Operation, FormOperation>, json: JsonObject): Found {
    if (operation !== 'responses') {
      return { content: jsonContent(operation, json) };
    }
    const referred = this.objects.referred(json);
    return referred.kind === 'refused'
      ? { content: jsonContent(operation, json), refused: referred.reply }
      : { content: jsonContent(operation, referred.json, referred.before) };
  }

  private contentAnswer(route: OperationRoute, found: Found, request: ArrivedRequest, base: HeaderList): Answer {
    const { content } = found;
    const { fault } = request;
    const name = route.deployment ?? modelIn(content);
    if (name === undefined) {
      return errorAnswer(wire.modelRequired, base);
    }
    const deployment = this.deployment(name);
    if (deployment === undefined) {
      return errorAnswer(missingDeployment(route), base);
    }
    const promptTokens = promptTokensOf(content);
    if (deployment.contextTokens !== undefined && promptTokens > deployment.contextTokens) {
      return errorAnswer(wire.contextTooLong(deployment.contextTokens, promptTokens), base);
    }
    const now = this.now();
    const throttledForMs = this.behaviour.throttledForMs(name, now);
    if (throttledForMs > 0) {
      const headers = [...base, ...this.behaviour.limits.headersOf(name, deployment, { tokens: 0 })];
      return throttledAnswer({ ...asked(route), retryAfterMs: throttledForMs, limit: 'tokens' }, headers);
    }
    if (fault?.kind === 'throttle-in-stream' && !isStreamed(content)) {
      return scriptedThrottle({ ...fault, kind: 'throttle' }, route, deployment, base); // there is no stream to throttle in
    }
    const cachedTokens = content.kind === 'text' ? this.promptCache.cachedTokensOf(name, content.prompt, now) : 0;
    const admission = this.behaviour.limits.admit(name, deployment, { tokens: tokensOf(content), cachedTokens });
    const headers = [...base, ...admission.headers];
    if (admission.kind === 'refused') {
      return throttledAnswer({ ...asked(route), ...admission.throttled }, headers);
    }
    if (content.kind === 'text') {
      this.promptCache.remember(name, content.prompt, now);
    }
    headers.push('azureml-model-session', `simulated-${this.options.name}`);
    const admitted = { deployment, now, fault, bytes: request.body.length, cachedTokens, headers };
    const { answer, outputTokens } = this.modelAnswer(route, found, admitted);
    const onEnd = (): void => admission.settle({ tokens: promptTokens + outputTokens, cachedTokens });
    const settled = deployment.provisioned === undefined ? answer : { ...answer, onEnd };
    return fault?.kind === 'odd-headers' ? withHeaders(settled, oddAnswer(fault.oddity)) : settled;
  }

  /** What the model answers to an admitted request, and the tokens that took. */
  private modelAnswer(
    route: Pick<OperationRoute, 'apiVersion' | 'generation'>,
    { content, refused = refusalOf(content, route.apiVersion) }: Found,
    { deployment, now, fault, bytes, cachedTokens, headers }: Admitted,
  ): { readonly answer: Answer; readonly outputTokens: number } {
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
    if (fault?.kind !== 'throttle-in-stream') {
      this.objects.keep(content, saying, now, bytes);
    }
    const isBegun = content.operation === 'responses' && content.json['background'] === true && !isStreamed(content);
    const answer = isBegun ? this.objects.begun(saying, headers) : textAnswer(content, saying, circumstances);
    return { answer, outputTokens: outputTokensOf(saying) };
  }

  /** Answers one line of a batch. Batches have a quota of their own, so it is counted against none here. */
  private batchLine(operation: BatchOperation, json: JsonObject, generation: Generation): ErrorReply {
    const deployment = this.deployment(textIn(json, 'model') ?? '');
    if (deployment === undefined) {
      return generation === 'v1' ? wire.noMatchingDeployment : wire.deploymentNotFound;
    }
    const admitted = { deployment, now: this.now(), fault: undefined, bytes: 0, cachedTokens: 0, headers: [] };
    const { answer } = this.modelAnswer({ apiVersion: generation, generation }, this.found(operation, json), admitted);
    return answer.kind === 'whole' ? { status: answer.status, body: String(answer.body) } : wire.statusError(500);
  }

  private nextId(): string {
    this.answered += 1;
    return `${this.idPrefix}-${this.answered.toString(36)}`;
  }

  /** For an error that is scripted, before the body is looked at in earnest; an upload's form is not read for it. */
  private deploymentAsked(route: Route, body: Buffer): DeploymentSpec | undefined {
    if (route.kind !== 'operation') {
      return undefined;
    }
    const name = route.deployment ?? textIn(parseJson(body) ?? {}, 'model');
    return name === undefined ? undefined : this.deployment(name);
  }

  private deployment(name: string): DeploymentSpec | undefined {
    const { deployments } = this.options;
    return Object.hasOwn(deployments, name) ? deployments[name] : undefined;
  }
}
