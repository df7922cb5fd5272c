/** The counters and histograms: their names, labels and buckets. What is counted when is in metrics.ts. */

export interface CounterForm<L extends string> {
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly L[];
}

export interface HistogramForm<L extends string> extends CounterForm<L> {
  readonly buckets: readonly number[];
}

/** As the conventions recommend them, and on to the minutes that an answer may take here. */
const HTTP_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60, 120, 300];
const GEN_AI_SECONDS = [
  0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84, 327.68,
];
const TOKENS = Array.from({ length: 14 }, (_, n) => 4 ** n);
const HOLD_SECONDS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

const DEPLOYMENT = ['backend', 'gen_ai_request_model'] as const;
const SPENT = ['client', ...DEPLOYMENT] as const;
const ANSWERED = ['http_route', 'http_response_status_code'] as const;
const GEN_AI = ['gen_ai_operation_name', 'gen_ai_provider_name', 'gen_ai_request_model', 'backend'] as const;

export const COUNTERS = {
  requests: {
    name: 'balancer_requests_total',
    help: 'Requests that ended, by client, route, status and ending (delivered, broken, abandoned, refused).',
    labelNames: ['client', ...ANSWERED, 'ending'],
  },
  errors: {
    name: 'balancer_errors_total',
    help: 'Errors made here, by their code; a client is known or none.',
    labelNames: ['client', 'error_type'],
  },
  attempts: {
    name: 'balancer_attempts_total',
    help: 'Attempts at backends, by what they came to.',
    labelNames: [...DEPLOYMENT, 'outcome'],
  },
  failovers: {
    name: 'balancer_failovers_total',
    help: 'Requests that went on to another backend after one had failed them, by why.',
    labelNames: ['from_backend', 'reason'],
  },
  spillovers: {
    name: 'balancer_spillovers_total',
    help: 'Requests that a backend of a worse priority answered because the better one was throttled.',
    labelNames: ['backend', 'from_backend'],
  },
  cooldowns: {
    name: 'balancer_cooldowns_total',
    help: 'Throttles: a backend asked not to be asked for a while.',
    labelNames: DEPLOYMENT,
  },
  cooldownSeconds: {
    name: 'balancer_cooldown_seconds_total',
    help: 'The waits that throttles named, added up.',
    labelNames: DEPLOYMENT,
  },
  ejections: {
    name: 'balancer_ejections_total',
    help: 'How often a backend, or a deployment there, went out of rotation because it failed, was missing or refused us.',
    labelNames: [...DEPLOYMENT, 'state'],
  },
  tokens: {
    name: 'balancer_tokens_total',
    help: 'Tokens that backends said they counted: input and output.',
    labelNames: [...SPENT, 'gen_ai_token_type'],
  },
  cachedTokens: {
    name: 'balancer_cached_tokens_total',
    help: 'Of the input tokens, those that a backend found in its cache.',
    labelNames: SPENT,
  },
  reasoningTokens: {
    name: 'balancer_reasoning_tokens_total',
    help: 'Of the output tokens, those of reasoning.',
    labelNames: SPENT,
  },
  estimatedTokens: {
    name: 'balancer_estimated_tokens_total',
    help: 'Tokens of answers of which no backend said how many they were, as they are guessed here.',
    labelNames: [...SPENT, 'gen_ai_token_type'],
  },
} as const;

export const HISTOGRAMS = {
  durations: {
    name: 'http_server_request_duration_seconds',
    help: 'From when a request was let in to its end.',
    labelNames: ['http_request_method', ...ANSWERED, 'error_type'],
    buckets: HTTP_SECONDS,
  },
  firstContents: {
    name: 'balancer_time_to_first_content_seconds',
    help: 'From when a request for a stream was let in to its first content, with all waiting and failing over.',
    labelNames: ['http_route'],
    buckets: GEN_AI_SECONDS,
  },
  holds: {
    name: 'balancer_hold_duration_seconds',
    help: 'How long requests waited for a throttled backend, those that did, by how they ended.',
    labelNames: ['ending'],
    buckets: HOLD_SECONDS,
  },
  operations: {
    name: 'gen_ai_client_operation_duration_seconds',
    help: 'Of an attempt at a backend: from its beginning to the end of its answer.',
    labelNames: [...GEN_AI, 'error_type'],
    buckets: GEN_AI_SECONDS,
  },
  firstChunks: {
    name: 'gen_ai_client_operation_time_to_first_chunk_seconds',
    help: 'Of an attempt whose answer is a stream: from its beginning to the first content.',
    labelNames: GEN_AI,
    buckets: GEN_AI_SECONDS,
  },
  usage: {
    name: 'gen_ai_client_token_usage',
    help: 'Tokens of a request that a backend said it counted.',
    labelNames: [...GEN_AI, 'gen_ai_token_type'],
    buckets: TOKENS,
  },
} as const;
