// Decides what a simulated resource answers: credential, scripted fault, path, body, deployment, throttle, quota, and
// then the model's answer, in that order. Writes nothing to the wire; deliver.ts does.

import type { IncomingHttpHeaders } from 'node:http';
import { modelList, modelObject } from './answers.ts';
import type { Behaviour } from './behaviour.ts';
import { checkCredentials } from './credentials.ts';
import { cutInHalf, errorAnswer, jsonAnswer } from './deliver.ts';
import type { Answer, WholeAnswer } from './deliver.ts';
import { isJsonObject, textIn } from './json.ts';
import type { JsonObject } from './json.ts';
import { isFormOperation, isStreamed, jsonContent, modelAnswer, modelIn, promptTokensOf, tokensOf } from './model.ts';
import type { Content, FormOperation } from './model.ts';
import { readForm } from './multipart.ts';
import { oddAnswer, oddThrottle } from './oddities.ts';
import type { Overrides } from './oddities.ts';
import type { DeploymentSpec, ResourceOptions } from './options.ts';
import { findRoute } from './routes.ts';
import type { Operation, Route } from './routes.ts';
import type { Fault } from './scenario.ts';
import * as wire from './wire.ts';
import type { ErrorReply, HeaderList, Throttled } from './wire.ts';

export interface ArrivedRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly fault: Fault | undefined;
}

type OperationRoute = Extract<Route, { kind: 'operation' }>;

const DEFAULT_REGION = 'Sweden Central';
const DEFAULT_ANSWER_TOKENS = 8;
const DEFAULT_RETRY_AFTER_MS = 1000;

export class Answering {
  private readonly options: ResourceOptions;
  private readonly behaviour: Behaviour;
  private readonly now: () => number;
  private readonly answerTokens: number;
  private readonly models: readonly string[];
  private readonly idPrefix: string;
  private answered = 0;

  constructor(options: ResourceOptions, behaviour: Behaviour) {
    this.options = options;
    this.behaviour = behaviour;
    this.now = options.now ?? Date.now;
    this.answerTokens = Math.max(1, options.answerTokens ?? DEFAULT_ANSWER_TOKENS);
    this.models = [...new Set(Object.values(options.deployments).map((deployment) => deployment.model))];
    this.idPrefix = `${options.name}-${Date.now().toString(36)}`;
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
    const failed = fault === undefined ? undefined : this.failedAnswer(fault, route, request.body, base);
    if (failed !== undefined) {
      return failed;
    }
    switch (route.kind) {
      case 'not-found':
        return errorAnswer(wire.resourceNotFound, base);
      case 'dated-v1':
        return errorAnswer(wire.datedV1, base);
      case 'models':
        return this.modelsAnswer(route.id, base);
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

  /** The error a scripted fault puts in place of the answer; undefined when it only changes the delivery. */
  private failedAnswer(fault: Fault, route: Route, body: Buffer, base: HeaderList): Answer | undefined {
    switch (fault.kind) {
      case 'status':
        return statusAnswer(fault, base);
      case 'throttle':
        return scriptedThrottle(fault, route, this.deploymentAsked(route, body), base);
      case 'odd-throttle':
        return this.oddThrottle(fault, route, body, base);
      case 'missing-deployment':
        return errorAnswer(missingDeployment(route), base);
      case 'operation-not-supported':
        return errorAnswer(
          wire.operationNotSupported(asked(route).operation, this.deploymentAsked(route, body)?.model ?? 'unknown'),
          base,
        );
      case 'unauthorized':
        return errorAnswer(wire.accessDenied, base);
      case 'permission-denied':
        return errorAnswer(wire.permissionDenied(fault.status), base);
      case 'blocked':
        return errorAnswer(wire.temporarilyBlocked, base);
      case 'content-filter':
        return filteredPrompt(fault, base);
      case 'context-too-long':
        return errorAnswer(wire.contextTooLong(128_000, 128_001), base);
      case 'odd-headers':
      case 'throttle-in-stream':
      case 'refuse':
      case 'reset-before-headers':
      case 'reset-mid-stream':
      case 'truncated':
      case 'stall':
      case 'slow-first-byte':
      case 'slow-first-chunk':
      case 'hang':
      case 'gzip':
      case 'large':
      case 'early-answer':
        return undefined;
      default:
        return fault satisfies never;
    }
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
      : this.contentAnswer(route, jsonContent(operation, json), request.fault, base);
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
      : this.contentAnswer(route, { kind: 'form', operation, form }, request.fault, base);
  }

  private contentAnswer(route: OperationRoute, content: Content, fault: Fault | undefined, base: HeaderList): Answer {
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
    const admission = this.behaviour.limits.admit(name, deployment, { tokens: tokensOf(content), cachedTokens: 0 });
    const headers = [...base, ...admission.headers];
    if (admission.kind === 'refused') {
      return throttledAnswer({ ...asked(route), ...admission.throttled }, headers);
    }
    this.answered += 1;
    const answer = modelAnswer(content, {
      resourceName: this.options.name,
      model: deployment.model,
      generation: route.generation,
      id: `${this.idPrefix}-${this.answered.toString(36)}`,
      createdAt: Math.floor(now / 1000),
      answerTokens: this.answerTokens,
      fault,
      headers: [...headers, 'azureml-model-session', `simulated-${this.options.name}`],
    });
    const onEnd = (): void => admission.settle({ tokens: promptTokens + this.answerTokens, cachedTokens: 0 });
    const settled = deployment.provisioned === undefined ? answer : { ...answer, onEnd };
    return fault?.kind === 'odd-headers' ? withHeaders(settled, oddAnswer(fault.oddity)) : settled;
  }

  private oddThrottle(
    { oddity, retryAfterMs = DEFAULT_RETRY_AFTER_MS }: Extract<Fault, { kind: 'odd-throttle' }>,
    route: Route,
    body: Buffer,
    base: HeaderList,
  ): Answer {
    const headers = oddThrottle(oddity, retryAfterMs, this.now());
    return scriptedThrottle(
      { kind: 'throttle', retryAfterMs, headers },
      route,
      this.deploymentAsked(route, body),
      base,
    );
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

/** What was asked for, as a 429 names it; a fault may be scripted for a path that asks for nothing. */
function asked(route: Route): { readonly operation: Operation; readonly apiVersion: string } {
  return route.kind === 'operation'
    ? { operation: route.operation, apiVersion: route.apiVersion }
    : { operation: 'chat-completions', apiVersion: route.generation };
}

/** Codes for which Azure hands a provisioned deployment's request on. */
function isSpillable({ status, body }: WholeAnswer): boolean {
  return [429, 500, 503].includes(status) || (status === 400 && String(body).includes('context_length_exceeded'));
}

function missingDeployment(route: Route): ErrorReply {
  return route.generation === 'v1' ? wire.noMatchingDeployment : wire.deploymentNotFound;
}

function scriptedThrottle(
  fault: Extract<Fault, { kind: 'throttle' }>,
  route: Route,
  deployment: DeploymentSpec | undefined,
  base: HeaderList,
): Answer {
  const limit = fault.body ?? 'tokens';
  const retryAfterMs = fault.retryAfterMs ?? DEFAULT_RETRY_AFTER_MS;
  const remaining = limit === 'requests' ? { requests: 0 } : { tokens: 0 };
  const headers = [
    ...base,
    ...(deployment?.provisioned === undefined ? wire.quotaHeaders(deployment ?? {}, remaining) : []),
  ];
  const answer = throttledAnswer({ ...asked(route), retryAfterMs, limit }, headers);
  return withHeaders(answer, fault.headers ?? {});
}

function filteredPrompt(
  { variant = 'prompt' }: Extract<Fault, { kind: 'content-filter' }>,
  base: HeaderList,
): Answer | undefined {
  if (variant === 'answer') {
    return undefined; // the model's own answer is cut short
  }
  const code = variant === 'prompt' ? 'ResponsibleAIPolicyViolation' : 'ContentFiltered';
  return errorAnswer(wire.contentFiltered(code), base);
}

function withHeaders(answer: Answer, overrides: Overrides): Answer {
  return { ...answer, headers: wire.overrideHeaders(answer.headers, overrides) };
}

function throttledAnswer(throttled: Throttled, headers: HeaderList): WholeAnswer {
  return errorAnswer(wire.tooManyRequests(throttled), [...headers, ...wire.throttleHeaders(throttled)]);
}

function statusAnswer(fault: Extract<Fault, { kind: 'status' }>, base: HeaderList): Answer {
  const written = typeof fault.body === 'object' ? JSON.stringify(fault.body) : fault.body;
  const body = written ?? wire.statusError(fault.status).body;
  const plain = errorAnswer({ status: fault.status, body }, base);
  const answer = { ...plain, headers: wire.overrideHeaders(plain.headers, fault.headers ?? {}) };
  if (fault.truncateBody === true) {
    return { ...answer, cut: cutInHalf(body, { kind: 'end' }) };
  }
  return fault.stallBody === true ? { ...answer, cut: cutInHalf(body, { kind: 'silence' }) } : answer;
}

function parseJson(body: Buffer): JsonObject | undefined {
  try {
    const parsed: unknown = JSON.parse(body.toString());
    return isJsonObject(parsed) ? parsed : undefined;
  } catch {
    return undefined;
  }
}
