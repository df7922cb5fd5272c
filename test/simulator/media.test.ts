// Images, recordings and speech: every form of answer there is, whole and streamed.

import assert from 'node:assert/strict';
import { ask, askEvents, askJson, deployments, eventsIn, valueAt, withResource } from './support.ts';
import { upload, uploadForText } from './uploads.ts';

const IMAGES = '/openai/v1/images/generations';
const EDITS = '/openai/v1/images/edits';
const TRANSCRIPTIONS = '/openai/v1/audio/transcriptions';
const TRANSLATIONS = '/openai/v1/audio/translations';
const SPEECH = '/openai/v1/audio/speech';

const prompt = { model: 'chat', prompt: 'a cat' };
const heard = 'openai1 heard 32001 bytes with gpt-4o-transcribe';
const recording = { content: Buffer.alloc(32_001), fields: { model: 'gpt-4o-transcribe' } };

describe('simulator: images', () => {
  it('repeats what was asked for and counts tokens', () =>
    withResource({}, async (resource) => {
      const asked = { size: '1536x1024', quality: 'low', output_format: 'webp', background: 'transparent' };
      const { body } = await askJson(resource, { path: IMAGES, body: { ...prompt, ...asked, n: 2 } });
      assert.deepEqual(Object.fromEntries(Object.keys(asked).map((key) => [key, body[key]])), asked);
      assert.equal(valueAt(body, 'data', 'length'), 2);
      assert.equal(valueAt(body, 'usage', 'total_tokens'), 24);
    }));

  it('gives links in place of images when asked to', () =>
    withResource({}, async (resource) => {
      const { body } = await askJson(resource, { path: IMAGES, body: { ...prompt, response_format: 'url' } });
      assert.match(String(valueAt(body, 'data', 0, 'url')), /^https:\/\/images\.invalid\/.*\.png$/);
      assert.equal(valueAt(body, 'data', 0, 'b64_json'), undefined);
    }));

  it('streams partial images before each image', () =>
    withResource({}, async (resource) => {
      const body = { ...prompt, stream: true, partial_images: 2 };
      const events = await askEvents(resource, { path: IMAGES, body });
      assert.deepEqual(
        events.map((event) => [event['type'], event['partial_image_index']]),
        [
          ['image_generation.partial_image', 0],
          ['image_generation.partial_image', 1],
          ['image_generation.completed', undefined],
        ],
      );
      assert.equal(valueAt(events.at(-1), 'usage', 'output_tokens'), 16);
    }));

  it('edits as it generates, whole and streamed', () =>
    withResource({}, async (resource) => {
      const fields = { model: 'chat', prompt: 'a hat', n: '3', size: '1024x1536' };
      const whole = await upload(resource, { path: EDITS, content: 'cat', fields });
      assert.deepEqual([valueAt(whole.body, 'data', 'length'), whole.body['size']], [3, '1024x1536']);
      const more = { model: 'chat', stream: 'true', partial_images: '1' };
      const streamed = await uploadForText(resource, { path: EDITS, content: 'cat', fields: more });
      assert.deepEqual(
        eventsIn(streamed.body).map((data) => valueAt(JSON.parse(data), 'type')),
        ['image_edit.partial_image', 'image_edit.completed'],
      );
    }));
});

describe('simulator: transcriptions', () => {
  const formats: readonly (readonly [string, string, string])[] = [
    ['text', 'text/plain; charset=utf-8', `${heard}\n`],
    ['srt', 'text/plain; charset=utf-8', `1\n00:00:00,000 --> 00:00:02,000\n${heard}\n\n`],
    ['vtt', 'text/plain; charset=utf-8', `WEBVTT\n\n00:00:00.000 --> 00:00:02.000\n${heard}\n\n`],
  ];
  for (const path of [TRANSCRIPTIONS, TRANSLATIONS]) {
    for (const [format, type, body] of formats) {
      it(`answers ${path} as ${format}`, () =>
        withResource({}, async (resource) => {
          const fields = { ...recording.fields, response_format: format };
          assert.deepEqual(await uploadForText(resource, { path, ...recording, fields }), { status: 200, type, body });
        }));
    }

    it(`answers ${path} as verbose JSON`, () =>
      withResource({}, async (resource) => {
        const fields = { ...recording.fields, response_format: 'verbose_json' };
        const { body } = await upload(resource, { path, ...recording, fields });
        assert.deepEqual([body['text'], body['duration'], body['language']], [heard, 2, 'english']);
        assert.deepEqual([valueAt(body, 'segments', 0, 'text'), valueAt(body, 'segments', 0, 'end')], [heard, 2]);
      }));
  }

  it('counts tokens of a transcription, not of a translation', () =>
    withResource({}, async (resource) => {
      const transcription = await upload(resource, { path: TRANSCRIPTIONS, ...recording });
      assert.deepEqual(transcription.body['usage'], {
        type: 'tokens',
        input_tokens: 20,
        input_token_details: { text_tokens: 0, audio_tokens: 20 },
        output_tokens: 6,
        total_tokens: 26,
      });
      const translation = await upload(resource, { path: TRANSLATIONS, ...recording });
      assert.deepEqual(translation.body, { text: heard });
    }));

  it('streams a transcription word by word', () =>
    withResource({}, async (resource) => {
      const fields = { ...recording.fields, stream: 'true' };
      const { type, body } = await uploadForText(resource, { path: TRANSCRIPTIONS, ...recording, fields });
      assert.equal(type, 'text/event-stream; charset=utf-8');
      const events = eventsIn(body).map((data): unknown => JSON.parse(data));
      const deltas = events.filter((event) => valueAt(event, 'type') === 'transcript.text.delta');
      assert.equal(deltas.map((event) => String(valueAt(event, 'delta'))).join(''), heard);
      assert.equal(deltas.length, 6);
      const done = events.at(-1);
      assert.deepEqual([valueAt(done, 'type'), valueAt(done, 'text')], ['transcript.text.done', heard]);
      assert.equal(valueAt(done, 'usage', 'total_tokens'), 26);
    }));

  it('tells hours, minutes and seconds apart', () =>
    withResource({ deployments }, async (resource) => {
      const content = Buffer.alloc(32_000 * 65);
      const fields = { ...recording.fields, response_format: 'srt' };
      const { body } = await uploadForText(resource, { path: TRANSCRIPTIONS, content, fields });
      assert.match(body, /--> 00:01:05,000\n/);
    }));
});

describe('simulator: speech', () => {
  const input = { model: 'chat', voice: 'alloy', input: 'Say it.' };
  const types = {
    mp3: 'audio/mpeg',
    opus: 'audio/opus',
    aac: 'audio/aac',
    flac: 'audio/flac',
    wav: 'audio/wav',
    pcm: 'audio/pcm',
  };
  for (const [format, type] of Object.entries(types)) {
    it(`answers ${format} as ${type}`, () =>
      withResource({}, async (resource) => {
        const reply = await ask(resource, { path: SPEECH, body: { ...input, response_format: format } });
        assert.deepEqual([reply.headers['content-type'], reply.body.length], [type, 4096]);
      }));
  }

  it('streams the same sound as events', () =>
    withResource({}, async (resource) => {
      const whole = await ask(resource, { path: SPEECH, body: input });
      const events = await askEvents(resource, { path: SPEECH, body: { ...input, stream_format: 'sse' } });
      const sound = events
        .filter((event) => event['type'] === 'speech.audio.delta')
        .map((event) => Buffer.from(String(event['audio']), 'base64'));
      assert.equal(sound.length, 4);
      assert.deepEqual(Buffer.concat(sound), whole.body);
      assert.equal(events.at(-1)?.['type'], 'speech.audio.done');
      assert.equal(valueAt(events.at(-1), 'usage', 'input_tokens'), 2);
    }));
});
