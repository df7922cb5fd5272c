// Decides what a simulated resource answers: credential, scripted fault, path, body, deployment, throttle, quota, and
// then the model's answer, in that order. Writes nothing to the wire; deliver.ts does.

import type { IncomingHttpHeaders } from 'node:http';
import { modelList, modelObject } from '../model/answers.ts';
import type { Behaviour } from '../behaviour.ts';
import { checkCredentials } from './credentials.ts';
import { errorAnswer, jsonAnswer } from './deliver.ts';
import type { Answer } from './deliver.ts';
import {
  asked,
  failedAnswer,
  isSpillable,
  missingDeployment,
  modelErrorAnswer,
  scriptedThrottle,
  throttledAnswer,
  withHeaders,
} from './failing.ts';
import { parseJson, textIn } from './json.ts';
import { isFormOperation, isStreamed, modelIn, promptTokensOf, tokensOf } from '../model/model.ts';
import type { FormOperation } from '../model/model.ts';
import { readForm } from '../model/multipart.ts';
import { oddAnswer } from '../limits/oddities.ts';
import { deploymentOf } from '../options.ts';
import type { DeploymentSpec, ResourceOptions } from '../options.ts';
import { PromptCache } from '../model/prompt-cache.ts';
import { findRoute } from './routes.ts';
import type { Route } from './routes.ts';
import type { Fault } from '../scenario.ts';
import { Speaker } from './speaker.ts';
import type { Found } from './speaker.ts';
import * as wire from './wire.ts';
import type { HeaderList } from './wire.ts';

export interface ArrivedRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly fault: Fault | undefined;
}

type OperationRoute = Extract<Route, { kind: 'operation' }>;

const DEFAULT_REGION = 'Sweden Central';

export class Answering {
  private readonly options: ResourceOptions;
  private readonly behaviour: Behaviour;
  private readonly now: () => number;
  private readonly models: readonly string[];
  private readonly promptCache = new PromptCache();
  private readonly speaker: Speaker;

  constructor(options: ResourceOptions, behaviour: Behaviour) {
    this.options = options;
    this.behaviour = behaviour;
    this.now = options.now ?? Date.now;
    this.models = [...new Set(Object.values(options.deployments).map((deployment) => deployment.model))];
    this.speaker = new Speaker(options);
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
        return this.speaker.objects.answer(route, request, base);
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
      : this.contentAnswer(route, this.speaker.found(operation, json), request, base);
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
      return modelErrorAnswer(wire.contextTooLong(deployment.contextTokens, promptTokens), base);
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
    if (fault?.kind === 'error-mid-stream' && !isStreamed(content)) {
      return errorAnswer(wire.statusError(500), base); // nor one to fail in
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
    const { answer, outputTokens } = this.speaker.answer(route, found, admitted);
    const onEnd = (): void => admission.settle({ tokens: promptTokens + outputTokens, cachedTokens });
    const settled = deployment.provisioned === undefined ? answer : { ...answer, onEnd };
    const { counted } = answer;
    const booked =
      counted === undefined ? {} : { booked: { deployment: name, operation: route.operation, ...counted } };
    const given = { ...settled, ...booked };
    return fault?.kind === 'odd-headers' ? withHeaders(given, oddAnswer(fault.oddity)) : given;
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
    return deploymentOf(this.options, name);
  }
}
