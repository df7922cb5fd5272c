// The answers that are no text: images, what was heard in a recording, and speech; whole and as streams.

import { jsonAnswer, streamAnswer } from '../answering/deliver.ts';
import type { Answer } from '../answering/deliver.ts';
import { textIn } from '../answering/json.ts';
import type { JsonObject } from '../answering/json.ts';
import type { Circumstances } from './model.ts';
import type { Form } from './multipart.ts';
import type { HeaderList } from '../answering/wire.ts';
import type { Counted } from '../books.ts';

/** One pixel as a PNG. */
const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
const MAX_IMAGES = 10;
const MAX_PARTIAL_IMAGES = 3;
const IMAGE_TOKENS = { prompt: 8, completion: 16 };
const IMAGE_USAGE = `{"input_tokens":${IMAGE_TOKENS.prompt},"input_tokens_details":{"image_tokens":0,"text_tokens":${IMAGE_TOKENS.prompt}},"output_tokens":${IMAGE_TOKENS.completion},"total_tokens":${IMAGE_TOKENS.prompt + IMAGE_TOKENS.completion}}`;
const SPEECH_BYTES = 4096;
const SPEECH_DELTAS = 4;
const TOKENS_A_DELTA = 10;
/** How much sound a byte of a recording is taken to be: 16-bit samples at 16 kHz. */
const BYTES_A_SECOND = 32_000;
const TOKENS_A_SECOND = 10;

/** A setting of an image request, which is JSON or a form. */
type Settings = (name: string) => string | undefined;

/** Of what has no prompt cache and does not think. */
export function countedOf(promptTokens: number, completionTokens: number, isTold = true): Counted {
  return { promptTokens, completionTokens, cachedTokens: 0, reasoningTokens: 0, isTold };
}

export function generatedImages(json: JsonObject, circumstances: Circumstances): Answer {
  return images('image_generation', (name) => settingIn(json, name), circumstances);
}

export function editedImages({ fields }: Form, circumstances: Circumstances): Answer {
  return images('image_edit', (name) => fields[name], circumstances);
}

function settingIn(json: JsonObject, name: string): string | undefined {
  const value = json[name];
  return typeof value === 'string' ? value : typeof value === 'number' || value === true ? String(value) : undefined;
}

function images(kind: 'image_generation' | 'image_edit', asked: Settings, circumstances: Circumstances): Answer {
  const counted = countedOf(IMAGE_TOKENS.prompt, IMAGE_TOKENS.completion);
  return { ...imagesAnswer(kind, asked, circumstances), counted };
}

function imagesAnswer(
  kind: 'image_generation' | 'image_edit',
  asked: Settings,
  { id, createdAt, headers }: Circumstances,
): Answer {
  const count = countIn(asked('n'), MAX_IMAGES) || 1;
  const shown = {
    background: asked('background') ?? 'opaque',
    output_format: asked('output_format') ?? 'png',
    quality: asked('quality') ?? 'high',
    size: asked('size') ?? '1024x1024',
  };
  if (asked('stream') !== 'true') {
    const isLink = asked('response_format') === 'url';
    const data = Array.from({ length: count }, (_, index) =>
      isLink ? { url: `https://images.invalid/${id}-${index}.${shown.output_format}` } : { b64_json: PIXEL },
    );
    const settings = JSON.stringify(shown).slice(1, -1);
    return jsonAnswer(
      `{"created":${createdAt},${settings},"data":${JSON.stringify(data)},"usage":${IMAGE_USAGE}}`,
      headers,
    );
  }
  const partial = countIn(asked('partial_images'), MAX_PARTIAL_IMAGES);
  const common = JSON.stringify({ b64_json: PIXEL, created_at: createdAt, ...shown }).slice(1, -1);
  return streamAnswer(imageEvents(kind, common, count, partial), headers);
}

function* imageEvents(kind: string, common: string, count: number, partial: number): Generator<string> {
  for (let image = 0; image < count; image += 1) {
    for (let index = 0; index < partial; index += 1) {
      yield event(`${kind}.partial_image`, `${common},"partial_image_index":${index}`);
    }
    yield event(`${kind}.completed`, `${common},"usage":${IMAGE_USAGE}`);
  }
}

/** Says how much it heard, as JSON, as a text or as subtitles; or word by word. */
export function transcript(
  operation: 'transcriptions' | 'translations',
  { fields, files }: Form,
  { resourceName, model, headers }: Circumstances,
): Answer {
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  const text = `${resourceName} heard ${bytes} bytes with ${model}`;
  const seconds = Math.max(1, Math.ceil(bytes / BYTES_A_SECOND));
  const isTranscription = operation === 'transcriptions';
  const isTold = isTranscription && (fields['stream'] === 'true' || (fields['response_format'] ?? 'json') === 'json');
  const answer = transcriptAnswer({ fields, text, seconds, isTranscription, headers });
  return { ...answer, counted: countedOf(seconds * TOKENS_A_SECOND, wordsIn(text), isTold) };
}

interface Heard {
  readonly fields: Form['fields'];
  readonly text: string;
  readonly seconds: number;
  readonly isTranscription: boolean;
  readonly headers: HeaderList;
}

function transcriptAnswer({ fields, text, seconds, isTranscription, headers }: Heard): Answer {
  if (isTranscription && fields['stream'] === 'true') {
    return streamAnswer(transcriptEvents(text, seconds), headers);
  }
  const plain = (body: string): Answer => {
    const typed = [...headers, 'content-type', 'text/plain; charset=utf-8'];
    return { kind: 'whole', status: 200, headers: typed, body };
  };
  switch (fields['response_format'] ?? 'json') {
    case 'text':
      return plain(`${text}\n`);
    case 'srt':
      return plain(`1\n00:00:00,000 --> ${clock(seconds, ',')}\n${text}\n\n`);
    case 'vtt':
      return plain(`WEBVTT\n\n00:00:00.000 --> ${clock(seconds, '.')}\n${text}\n\n`);
    case 'verbose_json':
      return jsonAnswer(JSON.stringify(verbose(text, seconds, isTranscription)), headers);
    default:
      return jsonAnswer(
        isTranscription
          ? `{"text":${JSON.stringify(text)},"usage":${heardUsage(text, seconds)}}`
          : JSON.stringify({ text }),
        headers,
      );
  }
}

function* transcriptEvents(text: string, seconds: number): Generator<string> {
  for (const delta of text.split(/(?<= )/)) {
    yield event('transcript.text.delta', `"delta":${JSON.stringify(delta)}`);
  }
  yield event('transcript.text.done', `"text":${JSON.stringify(text)},"usage":${heardUsage(text, seconds)}`);
}

/** Ten tokens for a second of sound, one for a word that was heard. */
function heardUsage(text: string, seconds: number): string {
  const heard = seconds * TOKENS_A_SECOND;
  const words = wordsIn(text);
  return `{"type":"tokens","input_tokens":${heard},"input_token_details":{"text_tokens":0,"audio_tokens":${heard}},"output_tokens":${words},"total_tokens":${heard + words}}`;
}

function wordsIn(text: string): number {
  return text.split(' ').length;
}

function verbose(text: string, seconds: number, isTranscription: boolean): JsonObject {
  const segment = {
    id: 0,
    seek: 0,
    start: 0,
    end: seconds,
    text,
    tokens: [],
    temperature: 0,
    avg_logprob: -0.1,
    compression_ratio: 1,
    no_speech_prob: 0,
  };
  const usage = isTranscription ? { usage: { type: 'duration', seconds } } : {};
  const task = isTranscription ? 'transcribe' : 'translate';
  return { task, language: 'english', duration: seconds, text, segments: [segment], ...usage };
}

function clock(seconds: number, separator: string): string {
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  const parts = [hours, minutes, seconds % 60].map((part) => String(part).padStart(2, '0'));
  return `${parts.join(':')}${separator}000`;
}

const soundTypes: Readonly<Record<string, string>> = {
  mp3: 'audio/mpeg',
  opus: 'audio/opus',
  aac: 'audio/aac',
  flac: 'audio/flac',
  wav: 'audio/wav',
  pcm: 'audio/pcm',
};

/** The text itself, over and over, in place of a sound. */
export function speech(json: JsonObject, text: string, headers: HeaderList): Answer {
  const body = Buffer.alloc(SPEECH_BYTES, text);
  const input = textIn(json, 'input') ?? '';
  const isStream = textIn(json, 'stream_format') === 'sse';
  const counted = countedOf(Math.ceil(input.length / 4), SPEECH_DELTAS * TOKENS_A_DELTA, isStream);
  if (isStream) {
    return { ...streamAnswer(speechEvents(body, counted), headers), counted };
  }
  const type = soundTypes[textIn(json, 'response_format') ?? 'mp3'] ?? 'audio/mpeg';
  return { kind: 'whole', status: 200, headers: [...headers, 'content-type', type], body, counted };
}

function* speechEvents(sound: Buffer, { promptTokens: said, completionTokens: heard }: Counted): Generator<string> {
  const length = sound.length / SPEECH_DELTAS;
  for (let at = 0; at < sound.length; at += length) {
    yield event('speech.audio.delta', `"audio":"${sound.subarray(at, at + length).toString('base64')}"`);
  }
  yield event(
    'speech.audio.done',
    `"usage":{"input_tokens":${said},"output_tokens":${heard},"total_tokens":${said + heard}}`,
  );
}

function event(type: string, rest: string): string {
  return `event: ${type}\ndata: {"type":"${type}",${rest}}\n\n`;
}

/** 0 when it is no number of at least 1. */
function countIn(asked: string | undefined, most: number): number {
  const count = Math.floor(Number(asked ?? 0));
  return count >= 1 ? Math.min(most, count) : 0;
}
