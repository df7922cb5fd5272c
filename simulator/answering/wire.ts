// The error bodies and the headers of Azure OpenAI, word for word where they are known. simulator/README.md names the
// public source of each.

import { randomUUID } from 'node:crypto';
import type { QuotaLimits, Remaining } from '../limits/quota.ts';
import type { Operation } from './routes.ts';
import type { ThrottleBody } from '../scenario.ts';

/** Names and values in turn, the form that `writeHead` takes without copying. */
export type HeaderList = string[];

export interface ErrorReply {
  readonly status: number;
  readonly body: string;
}

/** What an unlimited deployment shows in its x-ratelimit headers. */
const UNLIMITED_TOKENS = 10_000_000;
const UNLIMITED_REQUESTS = 100_000;

export function baseHeaders(region: string, clientRequestId: string | undefined): HeaderList {
  const headers = [
    'x-request-id',
    randomUUID(),
    'apim-request-id',
    randomUUID(),
    'x-ms-region',
    region,
    'strict-transport-security',
    'max-age=31536000; includeSubDomains; preload',
    'x-content-type-options',
    'nosniff',
  ];
  if (clientRequestId !== undefined) {
    headers.push('x-ms-client-request-id', clientRequestId);
  }
  return headers;
}

export function quotaHeaders(limits: QuotaLimits, remaining: Remaining): HeaderList {
  const tokens = limits.tpm ?? UNLIMITED_TOKENS;
  const requests = limits.rpm ?? UNLIMITED_REQUESTS;
  return [
    'x-ratelimit-limit-requests',
    String(requests),
    'x-ratelimit-remaining-requests',
    String(remaining.requests ?? requests),
    'x-ratelimit-limit-tokens',
    String(tokens),
    'x-ratelimit-remaining-tokens',
    String(remaining.tokens ?? tokens),
  ];
}

export function throttleHeaders({ retryAfterMs, limit, minuteEndsInMs = retryAfterMs }: Throttled): HeaderList {
  const retryAfter = seconds(retryAfterMs);
  const minuteEnd = seconds(minuteEndsInMs);
  return [
    'retry-after-ms',
    String(Math.ceil(retryAfterMs)),
    'retry-after',
    retryAfter,
    'x-ratelimit-reset-requests',
    limit === 'requests' ? retryAfter : minuteEnd,
    'x-ratelimit-reset-tokens',
    limit === 'requests' ? minuteEnd : retryAfter,
    'policy-id',
    limit === 'requests' ? 'DeploymentRatelimit-Call' : 'DeploymentRatelimit-Token',
  ];
}

/** How full a provisioned deployment is, in place of the x-ratelimit headers. */
export function utilizationHeader(percent: number): HeaderList {
  return ['azure-openai-deployment-utilization', `${percent}%`];
}

/** What the gateway says of an error that came from the model behind it. */
export function modelErrorHeaders(status: number): HeaderList {
  return ['ms-azureml-model-error-reason', 'model_error', 'ms-azureml-model-error-statuscode', String(status)];
}

/** The list with some headers replaced, added or (undefined) taken away. */
export function overrideHeaders(
  headers: HeaderList,
  overrides: Readonly<Record<string, string | undefined>>,
): HeaderList {
  const changed = new Set(Object.keys(overrides).map((name) => name.toLowerCase()));
  const kept: HeaderList = [];
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const name = headers[at] ?? '';
    if (!changed.has(name.toLowerCase())) {
      kept.push(name, headers[at + 1] ?? '');
    }
  }
  for (const [name, value] of Object.entries(overrides)) {
    if (value !== undefined) {
      kept.push(name, value);
    }
  }
  return kept;
}

export const resourceNotFound = codeError(404, '404', 'Resource not found');

export const deploymentNotFound = codeError(
  404,
  'DeploymentNotFound',
  'The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, please wait a moment and try again.',
);

export const noMatchingDeployment = invalidRequest(
  'Could not find an existing deployment to match the model in the request.',
  'model',
);

export const modelRequired = invalidRequest('you must provide a model parameter', null);

export const datedV1 = codeError(400, 'BadRequest', 'api-version query parameter is not allowed when using /v1 path');

export const accessDenied = codeError(
  401,
  '401',
  'Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an active subscription and use a correct regional API endpoint for your resource.',
);

export function permissionDenied(status = 401): ErrorReply {
  return codeError(status, 'PermissionDenied', 'Principal does not have access to API/Operation.');
}

/** The role of the token's identity is missing, or not yet known to this resource. */
export const roleMissing = codeError(
  401,
  'PermissionDenied',
  'The principal `00000000-0000-0000-0000-000000000001` lacks the required data action `Microsoft.CognitiveServices/accounts/OpenAI/deployments/chat/completions/action` to perform `POST /openai/deployments/{deployment-id}/chat/completions` operation.',
);

export const keysDisabled = codeError(
  403,
  'AuthenticationTypeDisabled',
  'Key based authentication is disabled for this resource.',
);

/** A suspended resource; the words are assumed. */
export const temporarilyBlocked = codeError(403, '403', 'Access to this resource is temporarily blocked.');

/** No source says which credential wins when both are sent, so sending both is an error here. */
export const twoCredentials = codeError(
  400,
  'BadRequest',
  'The simulated resource was sent two credentials, api-key and Authorization. Send exactly one.',
);

export const malformedJson = invalidRequest(
  'We could not parse the JSON body of your request. (HINT: This likely means you aren\u2019t using your HTTP library correctly. The API expects a JSON payload, but what was sent was not valid JSON.)',
  null,
);

export const malformedForm = invalidRequest('Could not parse multipart form', null);

export const bodyTooLarge = codeError(413, '413', 'Request body too large.');

export type FilterCode = 'ResponsibleAIPolicyViolation' | 'ContentFiltered';

export function contentFiltered(code: FilterCode): ErrorReply {
  return {
    status: 400,
    body: JSON.stringify({
      error: {
        message:
          "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. Please modify your prompt and retry.",
        type: null,
        param: 'prompt',
        code: 'content_filter',
        status: 400,
        innererror: {
          code,
          content_filter_result: {
            hate: { filtered: false, severity: 'safe' },
            jailbreak: { filtered: false, detected: false },
            self_harm: { filtered: false, severity: 'safe' },
            sexual: { filtered: false, severity: 'safe' },
            violence: { filtered: true, severity: 'medium' },
          },
        },
      },
    }),
  };
}

export function contextTooLong(mostTokens: number, promptTokens: number): ErrorReply {
  return {
    status: 400,
    body: JSON.stringify({
      error: {
        message: `This model's maximum context length is ${mostTokens} tokens. However, your messages resulted in ${promptTokens} tokens. Please reduce the length of the messages.`,
        type: 'invalid_request_error',
        param: 'messages',
        code: 'context_length_exceeded',
      },
    }),
  };
}

const notSupportedNames: Readonly<Record<Operation, string>> = {
  'chat-completions': 'chatCompletion',
  completions: 'completion',
  embeddings: 'embeddings',
  responses: 'responses',
  transcriptions: 'audioTranscription',
  translations: 'audioTranslation',
  speech: 'textToSpeech',
  'image-generations': 'imageGenerations',
  'image-edits': 'imageEdits',
};

export function operationNotSupported(operation: Operation, model: string): ErrorReply {
  return codeError(
    400,
    'OperationNotSupported',
    `The ${notSupportedNames[operation]} operation does not work with the specified model, ${model}. Please choose different model and try again. You can learn more about which models can be used with each operation here: https://go.microsoft.com/fwlink/?linkid=2197993.`,
  );
}

const throttledNames: Readonly<Record<Operation, string>> = {
  'chat-completions': 'ChatCompletions_Create',
  completions: 'Completions_Create',
  embeddings: 'Embeddings_Create',
  responses: 'Responses_Create',
  transcriptions: 'Transcriptions_Create',
  translations: 'Translations_Create',
  speech: 'Speech_Create',
  'image-generations': 'ImageGenerations_Create',
  'image-edits': 'ImageEdits_Create',
};

export interface Throttled {
  readonly operation: Operation;
  readonly apiVersion: string;
  readonly retryAfterMs: number;
  readonly limit: ThrottleBody;
  /** When it differs: a slice of ten seconds was full, the minute goes on. */
  readonly minuteEndsInMs?: number;
}

export function tooManyRequests({ operation, apiVersion, retryAfterMs, limit }: Throttled): ErrorReply {
  const retryAfter = seconds(retryAfterMs);
  if (limit === 'capacity') {
    return codeError(
      429,
      '429',
      `The system is currently experiencing high demand and cannot process your request. Your request exceeds the maximum usage size allowed during peak load. Please retry after ${retryAfter} seconds. For improved latency reliability, consider switching to Provisioned Throughput.`,
    );
  }
  const rate = limit === 'requests' ? 'call' : 'token';
  return codeError(
    429,
    '429',
    `Requests to the ${throttledNames[operation]} Operation under Azure OpenAI API version ${apiVersion} have exceeded ${rate} rate limit of your current OpenAI S0 pricing tier. Please retry after ${retryAfter} seconds. Please go here: https://aka.ms/oai/quotaincrease if you would like to further increase the default rate limit.`,
  );
}

/** The body a bare status comes with when a scenario gives none. */
export function statusError(status: number): ErrorReply {
  if (status === 408) {
    return codeError(408, 'Timeout', 'The operation was timeout.');
  }
  if (status >= 500) {
    return {
      status,
      body: JSON.stringify({
        error: {
          message: `The server had an error while processing your request. Sorry about that! (simulated ${status})`,
          type: 'server_error',
          param: null,
          code: null,
        },
      }),
    };
  }
  return codeError(status, String(status), `Simulated status ${status}.`);
}

function seconds(ms: number): string {
  return String(Math.ceil(ms / 1000));
}

function codeError(status: number, code: string, message: string): ErrorReply {
  return { status, body: JSON.stringify({ error: { code, message } }) };
}

export function invalidRequest(message: string, param: string | null, code: string | null = null): ErrorReply {
  return { status: 400, body: JSON.stringify({ error: { message, type: 'invalid_request_error', param, code } }) };
}
