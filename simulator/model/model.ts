// The simulated model: what an admitted request is answered with. The text is the same for the same question and says
// which resource it came from.

import { chatCompletion, embeddings, textCompletion, wantsUsage } from './answers.ts';
import type { Saying } from './answers.ts';
import { jsonAnswer, streamAnswer } from '../answering/deliver.ts';
import type { Answer } from '../answering/deliver.ts';
import { textIn } from '../answering/json.ts';
import type { JsonObject } from '../answering/json.ts';
import { countedOf, generatedImages, editedImages, speech, transcript } from './media.ts';
import type { Form } from './multipart.ts';
import { readPrompt } from './prompt.ts';
import type { Prompt } from './prompt.ts';
import { estimateTokens, tokensIn } from '../limits/quota.ts';
import { response } from './response-object.ts';
import type { Generation, Operation } from '../answering/routes.ts';
import { plainText } from './saying.ts';
import type { Fault } from '../scenario.ts';
import { chatEvents, completionEvents, deltasOf, failedEvents, responseEvents, throttledEvents } from './streams.ts';
import type { HeaderList } from '../answering/wire.ts';

/** The body of a request, read once. */
export type Content =
  | TextContent
  | { readonly kind: 'other'; readonly operation: OtherOperation; readonly json: JsonObject; readonly prompt: Prompt }
  | { readonly kind: 'form'; readonly operation: FormOperation; readonly form: Form };

export interface TextContent {
  readonly kind: 'text';
  readonly operation: TextOperation;
  readonly json: JsonObject;
  readonly prompt: Prompt;
}

export type TextOperation = 'chat-completions' | 'completions' | 'responses';
export type FormOperation = 'transcriptions' | 'translations' | 'image-edits';
export type OtherOperation = Exclude<Operation, TextOperation | FormOperation>;

/** All that an answer depends on besides the request's content. */
export interface Circumstances {
  readonly resourceName: string;
  readonly model: string;
  readonly generation: Generation;
  readonly id: string;
  readonly createdAt: number;
  readonly answerTokens: number;
  /** Of the prompt's. */
  readonly cachedTokens: number;
  /** Whether the model thinks unasked. */
  readonly reasons: boolean;
  readonly fault: Fault | undefined;
  /** Of a success; the answer adds its own to them. */
  readonly headers: HeaderList;
}

const FILLER_LENGTH = 16 * 1024;

export function isFormOperation(operation: Operation): operation is FormOperation {
  return operation === 'transcriptions' || operation === 'translations' || operation === 'image-edits';
}

/** `before` is what was said earlier in the conversation. */
export function jsonContent(
  operation: Exclude<Operation, FormOperation>,
  json: JsonObject,
  before?: readonly JsonObject[],
): Content {
  const prompt = readPrompt(json, before);
  switch (operation) {
    case 'chat-completions':
    case 'completions':
    case 'responses':
      return { kind: 'text', operation, json, prompt };
    case 'embeddings':
    case 'speech':
    case 'image-generations':
      return { kind: 'other', operation, json, prompt };
    default:
      return operation satisfies never;
  }
}

/** The deployment the body asks for. */
export function modelIn(content: Content): string | undefined {
  return content.kind === 'form' ? content.form.fields['model'] : textIn(content.json, 'model');
}

export function isStreamed(content: Content): boolean {
  return content.kind === 'text' && content.json['stream'] === true;
}

/** Whether its answer, given to its end, says what was counted. */
export function tellsUsage({ operation, json }: TextContent): boolean {
  return json['stream'] !== true || operation === 'responses' || wantsUsage(json);
}

/** What the request is counted as when it arrives; a file counts as no tokens. */
export function tokensOf(content: Content): number {
  switch (content.kind) {
    case 'text':
      return estimateTokens(content.prompt.characters, content.prompt.maxTokens, content.prompt.bestOf);
    case 'other':
      return tokensIn(content.prompt.characters);
    case 'form':
      return 0;
    default:
      return content satisfies never;
  }
}

/** How long the prompt is, as far as it is text. */
export function promptTokensOf(content: Content): number {
  return content.kind === 'form' ? 0 : tokensIn(content.prompt.characters);
}

/** The answer of text: what is said, whole or as a stream. */
export function textAnswer(
  { operation, json }: TextContent,
  said: Saying,
  { fault, headers }: Pick<Circumstances, 'fault' | 'headers'>,
): Answer {
  if (json['stream'] !== true) {
    const padding = paddingOf(fault);
    return jsonAnswer(wholeText(operation, padding > 0 ? padded(said, padding) : said), headers);
  }
  if (fault?.kind === 'throttle-in-stream') {
    const retryAfter = String(Math.ceil((fault.retryAfterMs ?? 1000) / 1000));
    return streamAnswer(throttledEvents(said, fault.shape), [...headers, 'retry-after', retryAfter]);
  }
  // The text of a streamed response goes out five times: as deltas and in the four events that end it.
  const padding = operation === 'responses' ? Math.floor(paddingOf(fault) / 5) : paddingOf(fault);
  const full = padding > 0 ? padded(said, padding) : said;
  const deltas =
    padding > 0 ? filledDeltas(said.text, padding) : deltasOf(said.call?.arguments ?? said.text, said.answerTokens);
  const events = eventsOf(operation, full, deltas, {
    includeUsage: wantsUsage(json),
    keepsAlive: fault?.kind === 'keepalive',
  });
  return fault?.kind === 'error-mid-stream'
    ? streamAnswer(failedEvents(events, fault, operation === 'responses' ? said : undefined), headers)
    : streamAnswer(events, headers);
}

function eventsOf(
  operation: TextOperation,
  saying: Saying,
  deltas: Iterable<string>,
  { includeUsage, keepsAlive }: { readonly includeUsage: boolean; readonly keepsAlive: boolean },
): Iterable<string> {
  switch (operation) {
    case 'chat-completions':
      return chatEvents(saying, deltas, includeUsage);
    case 'completions':
      return completionEvents(saying, deltas, includeUsage);
    case 'responses':
      return responseEvents(saying, deltas, keepsAlive);
    default:
      return operation satisfies never;
  }
}

function wholeText(operation: TextOperation, saying: Saying): string {
  switch (operation) {
    case 'chat-completions':
      return chatCompletion(saying);
    case 'completions':
      return textCompletion(saying);
    case 'responses':
      return response(saying);
    default:
      return operation satisfies never;
  }
}

/** The answer of anything but text. */
export function otherAnswer(content: Exclude<Content, TextContent>, circumstances: Circumstances): Answer {
  const answer = content.kind === 'form' ? formAnswer(content, circumstances) : jsonBodyAnswer(content, circumstances);
  const padding = paddingOf(circumstances.fault);
  if (padding === 0 || answer.kind === 'stream') {
    return answer;
  }
  // White space after a JSON value is allowed.
  const { body } = answer;
  return { ...answer, body: typeof body === 'string' ? body.padEnd(padding) : Buffer.alloc(padding, body) };
}

function jsonBodyAnswer(content: Extract<Content, { kind: 'other' }>, circumstances: Circumstances): Answer {
  const { operation, json, prompt } = content;
  switch (operation) {
    case 'embeddings': {
      const promptTokens = tokensIn(prompt.characters);
      const answer = jsonAnswer(embeddings(json, circumstances.model, promptTokens), circumstances.headers);
      return { ...answer, counted: countedOf(promptTokens, 0) };
    }
    case 'image-generations':
      return generatedImages(json, circumstances);
    case 'speech':
      return speech(json, plainText(circumstances, prompt), circumstances.headers);
    default:
      return operation satisfies never;
  }
}

function formAnswer({ operation, form }: Extract<Content, { kind: 'form' }>, circumstances: Circumstances): Answer {
  return operation === 'image-edits' ? editedImages(form, circumstances) : transcript(operation, form, circumstances);
}

function padded(said: Saying, padding: number): Saying {
  return { ...said, text: said.text + 'x'.repeat(padding) };
}

function* filledDeltas(text: string, padding: number): Generator<string> {
  yield text;
  for (let left = padding; left > 0; left -= FILLER_LENGTH) {
    yield 'x'.repeat(Math.min(left, FILLER_LENGTH));
  }
}

function paddingOf(fault: Fault | undefined): number {
  return fault?.kind === 'large' ? fault.bytes : 0;
}
