// The simulated model: what an admitted request is answered with. The text is the same for the same question and says
// which resource it came from.

import { chatCompletion, embeddings, images, response, textCompletion, wantsUsage } from './answers.ts';
import type { Saying } from './answers.ts';
import { jsonAnswer, streamAnswer } from './deliver.ts';
import type { Answer } from './deliver.ts';
import { numberIn, textIn } from './json.ts';
import type { JsonObject } from './json.ts';
import type { Form } from './multipart.ts';
import { readPrompt } from './prompt.ts';
import type { Prompt } from './prompt.ts';
import { estimateTokens, tokensIn } from './quota.ts';
import type { Generation, Operation } from './routes.ts';
import type { Fault } from './scenario.ts';
import { chatEvents, completionEvents, responseEvents, throttledEvents } from './streams.ts';
import type { HeaderList } from './wire.ts';

/** The body of a request, read once. */
export type Content =
  | { readonly kind: 'text'; readonly operation: TextOperation; readonly json: JsonObject; readonly prompt: Prompt }
  | { readonly kind: 'other'; readonly operation: OtherOperation; readonly json: JsonObject; readonly prompt: Prompt }
  | { readonly kind: 'form'; readonly operation: FormOperation; readonly form: Form };

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
  readonly fault: Fault | undefined;
  /** Of a success; the answer adds its own to them. */
  readonly headers: HeaderList;
}

const EXCERPT_LENGTH = 40;
const FILLER_LENGTH = 16 * 1024;
const SPEECH_BYTES = 4096;
const MAX_IMAGES = 10;

export function isFormOperation(operation: Operation): operation is FormOperation {
  return operation === 'transcriptions' || operation === 'translations' || operation === 'image-edits';
}

export function jsonContent(operation: Exclude<Operation, FormOperation>, json: JsonObject): Content {
  const prompt = readPrompt(json);
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

/** What the request is counted as when it arrives; a file counts as no tokens. */
export function tokensOf(content: Content): number {
  switch (content.kind) {
    case 'text':
      return estimateTokens(content.prompt.characters, content.prompt.maxTokens);
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

export function modelAnswer(content: Content, circumstances: Circumstances): Answer {
  switch (content.kind) {
    case 'text':
      return textAnswer(content, circumstances);
    case 'other':
      return otherAnswer(content, circumstances);
    case 'form':
      return formAnswer(content, circumstances);
    default:
      return content satisfies never;
  }
}

function textAnswer(content: Extract<Content, { kind: 'text' }>, circumstances: Circumstances): Answer {
  const { fault, headers, answerTokens } = circumstances;
  const { operation, json } = content;
  const text = answerText(circumstances, content.prompt);
  const said = { ...circumstances, text, promptTokens: tokensIn(content.prompt.characters) };
  if (!isStreamed(content)) {
    const padding = paddingOf(fault);
    return jsonAnswer(
      wholeText(operation, padding > 0 ? { ...said, text: text + 'x'.repeat(padding) } : said),
      headers,
    );
  }
  if (fault?.kind === 'throttle-in-stream') {
    return streamAnswer(throttledEvents(said, fault.shape), [
      ...headers,
      'retry-after',
      String(Math.ceil((fault.retryAfterMs ?? 1000) / 1000)),
    ]);
  }
  // The text of a streamed response goes out five times: as deltas and in the four events that end it.
  const padding = operation === 'responses' ? Math.floor(paddingOf(fault) / 5) : paddingOf(fault);
  const full = padding > 0 ? { ...said, text: text + 'x'.repeat(padding) } : said;
  const deltas = padding > 0 ? filledDeltas(text, padding) : deltasOf(text, answerTokens);
  switch (operation) {
    case 'chat-completions':
      return streamAnswer(chatEvents(full, deltas, wantsUsage(json)), headers);
    case 'completions':
      return streamAnswer(completionEvents(full, deltas, wantsUsage(json)), headers);
    case 'responses':
      return streamAnswer(responseEvents(full, deltas), headers);
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

function otherAnswer(content: Extract<Content, { kind: 'other' }>, circumstances: Circumstances): Answer {
  const { operation, json, prompt } = content;
  const { model, fault, headers, createdAt } = circumstances;
  const padding = paddingOf(fault);
  switch (operation) {
    case 'embeddings':
      return jsonAnswer(padded(embeddings(json, model, tokensIn(prompt.characters)), padding), headers);
    case 'image-generations':
      return jsonAnswer(padded(images(imageCount(numberIn(json, 'n')), createdAt), padding), headers);
    case 'speech': {
      const body = Buffer.alloc(padding || SPEECH_BYTES, answerText(circumstances, prompt));
      return { kind: 'whole', status: 200, headers: [...headers, 'content-type', 'audio/mpeg'], body };
    }
    default:
      return operation satisfies never;
  }
}

function formAnswer({ operation, form }: Extract<Content, { kind: 'form' }>, circumstances: Circumstances): Answer {
  const { resourceName, model, fault, headers, createdAt } = circumstances;
  const padding = paddingOf(fault);
  if (operation === 'image-edits') {
    return jsonAnswer(padded(images(imageCount(Number(form.fields['n'])), createdAt), padding), headers);
  }
  const bytes = form.files.reduce((sum, file) => sum + file.bytes, 0);
  const text = `${resourceName} heard ${bytes} bytes with ${model}`;
  if (form.fields['response_format'] === 'text') {
    const typed = [...headers, 'content-type', 'text/plain; charset=utf-8'];
    return { kind: 'whole', status: 200, headers: typed, body: padded(`${text}\n`, padding) };
  }
  return jsonAnswer(padded(JSON.stringify({ text }), padding), headers);
}

/** At least as many characters as the answer has tokens, so that no chunk of a stream is empty. */
function answerText({ resourceName, answerTokens }: Circumstances, { lastUserText }: Prompt): string {
  const text = `${resourceName} answers: ${lastUserText.slice(0, EXCERPT_LENGTH).toWellFormed()}`;
  return text.padEnd(answerTokens, '.');
}

function* deltasOf(text: string, count: number): Generator<string> {
  for (let at = 0; at < count; at += 1) {
    yield text.slice(Math.floor((at * text.length) / count), Math.floor(((at + 1) * text.length) / count));
  }
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

function padded(text: string, padding: number): string {
  return padding > 0 ? text.padEnd(padding) : text; // white space after a JSON value is allowed
}

function imageCount(asked: number | undefined): number {
  return asked !== undefined && asked >= 1 ? Math.min(MAX_IMAGES, Math.floor(asked)) : 1;
}
