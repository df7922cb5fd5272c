// What the simulated model says when it is to call a function, to write JSON, to think, to stop early or to say it twice.

import assert from 'node:assert/strict';
import { exampleOf } from '../../simulator/model/example-value.ts';
import type { SimulatedResource } from '../../simulator/server.ts';
import {
  CHAT,
  ask,
  askEvents,
  askJson,
  chatBody,
  codeOf,
  deployments,
  messageOf,
  textAt,
  valueAt,
  withResource,
} from './support.ts';
import type { Json } from './support.ts';

const RESPONSES = '/openai/v1/responses';

const parameters = {
  type: 'object',
  properties: { city: { type: 'string' }, days: { type: 'integer' } },
  required: ['city', 'days'],
};
const written = '{"city":"What is new?","days":1}';
const chatTools = ['clock', 'weather'].map((name) => ({ type: 'function', function: { name, parameters } }));
const responseTools = ['clock', 'weather'].map((name) => ({ type: 'function', name, parameters }));
const question = { model: 'chat', input: 'What is new?' };

async function chat(resource: SimulatedResource, more: object): Promise<Json> {
  const { status, body } = await askJson(resource, { body: { ...chatBody, ...more } });
  assert.equal(status, 200, JSON.stringify(body));
  return body;
}

async function respond(resource: SimulatedResource, more: object): Promise<Json> {
  const { status, body } = await askJson(resource, { path: RESPONSES, body: { ...question, ...more } });
  assert.equal(status, 200, JSON.stringify(body));
  return body;
}

describe('simulator: tool calls in chat', () => {
  const choices: readonly (readonly [unknown, string])[] = [
    ['required', 'clock'],
    [{ type: 'function', function: { name: 'weather' } }, 'weather'],
    [{ type: 'allowed_tools', allowed_tools: { mode: 'required', tools: [] } }, 'clock'],
  ];
  for (const [choice, name] of choices) {
    it(`calls ${name} for ${JSON.stringify(choice)}`, () =>
      withResource({}, async (resource) => {
        const body = await chat(resource, { tools: chatTools, tool_choice: choice });
        assert.equal(valueAt(body, 'choices', 0, 'finish_reason'), 'tool_calls');
        assert.equal(valueAt(body, 'choices', 0, 'message', 'content'), null);
        const call = valueAt(body, 'choices', 0, 'message', 'tool_calls', 0);
        assert.equal(valueAt(call, 'type'), 'function');
        assert.match(String(valueAt(call, 'id')), /^call_/);
        assert.deepEqual(valueAt(call, 'function'), { name, arguments: written });
      }));
  }

  for (const choice of ['auto', 'none', undefined, { type: 'function', function: { name: 'unknown' } }]) {
    it(`calls nothing for ${JSON.stringify(choice) ?? 'no choice'}`, () =>
      withResource({}, async (resource) => {
        const body = await chat(resource, { tools: chatTools, tool_choice: choice });
        assert.equal(valueAt(body, 'choices', 0, 'finish_reason'), 'stop');
        assert.equal(valueAt(body, 'choices', 0, 'message', 'tool_calls'), undefined);
      }));
  }

  it('streams the arguments in pieces after the name', () =>
    withResource({}, async (resource) => {
      const more = { tools: chatTools, tool_choice: 'required', stream: true };
      const events = await askEvents(resource, { body: { ...chatBody, ...more } });
      const calls = events.flatMap((event) => valueAt(event, 'choices', 0, 'delta', 'tool_calls', 0) ?? []);
      assert.equal(valueAt(calls[0], 'function', 'name'), 'clock');
      assert.equal(calls.map((call) => String(valueAt(call, 'function', 'arguments'))).join(''), written);
      assert.ok(calls.length > 3);
      assert.equal(valueAt(events.at(-1), 'choices', 0, 'finish_reason'), 'tool_calls');
    }));
});

describe('simulator: function calls in responses', () => {
  it('answers with a call in place of a message', () =>
    withResource({}, async (resource) => {
      const body = await respond(resource, {
        tools: responseTools,
        tool_choice: { type: 'function', name: 'weather' },
      });
      const items = body['output'];
      assert.ok(Array.isArray(items) && items.length === 1);
      const { id, call_id: callId, ...rest } = items[0];
      assert.match(String(id), /^fc_/);
      assert.match(String(callId), /^call_/);
      assert.deepEqual(rest, { type: 'function_call', status: 'completed', arguments: written, name: 'weather' });
    }));

  it('streams the arguments in pieces', () =>
    withResource({}, async (resource) => {
      const body = { ...question, tools: responseTools, tool_choice: 'required', stream: true };
      const events = await askEvents(resource, { path: RESPONSES, body });
      const ofType = (type: string): readonly Json[] => events.filter((event) => event['type'] === type);
      const deltas = ofType('response.function_call_arguments.delta');
      assert.equal(deltas.map((event) => String(event['delta'])).join(''), written);
      assert.equal(ofType('response.function_call_arguments.done')[0]?.['arguments'], written);
      assert.equal(valueAt(ofType('response.output_item.added')[0], 'item', 'arguments'), '');
      assert.equal(valueAt(ofType('response.output_item.done')[0], 'item', 'arguments'), written);
      assert.equal(valueAt(events.at(-1), 'response', 'output', 0, 'type'), 'function_call');
      assert.deepEqual(
        events.map((event) => event['sequence_number']),
        events.map((_, index) => index),
      );
    }));

  it('goes on after the result of the call', () =>
    withResource({}, async (resource) => {
      const first = await respond(resource, { tools: responseTools, tool_choice: 'required' });
      const result = { type: 'function_call_output', call_id: valueAt(first, 'output', 0, 'call_id'), output: 'sunny' };
      const second = await respond(resource, { previous_response_id: first['id'], input: [result] });
      assert.equal(valueAt(second, 'output', 0, 'type'), 'message');
      const characters = question.input.length + written.length + result.output.length;
      assert.equal(valueAt(second, 'usage', 'input_tokens'), Math.ceil(characters / 4));
    }));
});

describe('simulator: JSON answers', () => {
  const schema = { type: 'object', properties: { name: { type: 'string' }, ok: { type: 'boolean' } } };
  const fitting = { name: 'What is new?', ok: true };

  it('writes an object when JSON is asked for', () =>
    withResource({ answerTokens: 200 }, async (resource) => {
      const body = await chat(resource, { response_format: { type: 'json_object' } });
      assert.deepEqual(JSON.parse(String(valueAt(body, 'choices', 0, 'message', 'content'))), {
        answer: 'What is new?',
      });
    }));

  it('writes what fits the schema, in chat and in a response', () =>
    withResource({}, async (resource) => {
      const format = { type: 'json_schema', json_schema: { name: 'x', schema } };
      const completion = await chat(resource, { response_format: format });
      assert.deepEqual(JSON.parse(String(valueAt(completion, 'choices', 0, 'message', 'content'))), fitting);
      const response = await respond(resource, { text: { format: { type: 'json_schema', name: 'x', schema } } });
      assert.deepEqual(JSON.parse(String(valueAt(response, 'output', 0, 'content', 0, 'text'))), fitting);
    }));

  const examples: readonly (readonly [object, unknown])[] = [
    [{ enum: ['red', 'green'] }, 'red'],
    [{ const: 7 }, 7],
    [{ anyOf: [{ type: 'number' }, { type: 'null' }] }, 1],
    [{ type: ['string', 'null'] }, 'text'],
    [{ type: 'array', items: { type: 'integer' } }, [1]],
    [{ $ref: '#/$defs/a', $defs: { a: { type: 'boolean' } } }, true],
    [{ type: 'object' }, {}],
    [{}, null],
  ];
  for (const [given, value] of examples) {
    it(`fits ${JSON.stringify(given)}`, () => assert.deepEqual(exampleOf(given, 'text'), value));
  }

  it('comes to an end with a schema that refers to itself', () => {
    const tree = { type: 'object', properties: { left: { $ref: '#' }, right: { $ref: '#' } } };
    assert.ok(JSON.stringify(exampleOf(tree, 'text')).length < 10_000);
  });
});

describe('simulator: answers cut short', () => {
  for (const limit of ['max_tokens', 'max_completion_tokens']) {
    it(`ends a chat completion for its length at ${limit}`, () =>
      withResource({ answerTokens: 5 }, async (resource) => {
        const body = await chat(resource, { [limit]: 2 });
        assert.equal(valueAt(body, 'choices', 0, 'finish_reason'), 'length');
        assert.equal(valueAt(body, 'choices', 0, 'message', 'content'), 'openai1 ans');
        assert.equal(valueAt(body, 'usage', 'completion_tokens'), 2);
        const whole = await chat(resource, { [limit]: 5 });
        assert.equal(valueAt(whole, 'choices', 0, 'finish_reason'), 'stop');
        assert.equal(valueAt(whole, 'usage', 'completion_tokens'), 5);
      }));
  }

  it('streams no more than the limit', () =>
    withResource({ answerTokens: 5 }, async (resource) => {
      const more = { max_tokens: 2, stream: true, stream_options: { include_usage: true } };
      const events = await askEvents(resource, { body: { ...chatBody, ...more } });
      const text = events.map((event) => textAt(event, 'choices', 0, 'delta', 'content')).join('');
      assert.equal(text, 'openai1 ans');
      assert.equal(valueAt(events.at(-2), 'choices', 0, 'finish_reason'), 'length');
      assert.equal(valueAt(events.at(-1), 'usage', 'completion_tokens'), 2);
    }));

  it('leaves a response incomplete, whole and streamed', () =>
    withResource({ answerTokens: 20 }, async (resource) => {
      const body = await respond(resource, { max_output_tokens: 16 });
      assert.equal(body['status'], 'incomplete');
      assert.deepEqual(body['incomplete_details'], { reason: 'max_output_tokens' });
      assert.equal(valueAt(body, 'output', 0, 'status'), 'incomplete');
      assert.equal(valueAt(body, 'usage', 'output_tokens'), 16);
      const streamed = { ...question, max_output_tokens: 16, stream: true };
      const events = await askEvents(resource, { path: RESPONSES, body: streamed });
      assert.equal(events.at(-1)?.['type'], 'response.incomplete');
      assert.equal(valueAt(events.at(-1), 'response', 'status'), 'incomplete');
    }));

  it('ends in its middle for the content filter, in every API, whole and streamed', () =>
    withResource({ answerTokens: 4 }, async (resource) => {
      resource.always({ kind: 'content-filter', variant: 'answer' });
      const completion = await chat(resource, {});
      assert.equal(valueAt(completion, 'choices', 0, 'finish_reason'), 'content_filter');
      assert.equal(valueAt(completion, 'choices', 0, 'message', 'content'), 'openai1 answer');
      const events = await askEvents(resource, { body: { ...chatBody, stream: true } });
      assert.equal(valueAt(events.at(-1), 'choices', 0, 'finish_reason'), 'content_filter');
      const response = await respond(resource, {});
      assert.equal(response['status'], 'incomplete');
      assert.deepEqual(response['incomplete_details'], { reason: 'content_filter' });
      const streamed = await askEvents(resource, { path: RESPONSES, body: { ...question, stream: true } });
      assert.equal(streamed.at(-1)?.['type'], 'response.incomplete');
    }));

  it('ends a text completion for its length', () =>
    withResource({}, async (resource) => {
      const body = { model: 'chat', prompt: 'What is new?', max_tokens: 1 };
      const reply = await askJson(resource, { path: '/openai/v1/completions', body });
      assert.equal(valueAt(reply.body, 'choices', 0, 'finish_reason'), 'length');
    }));
});

describe('simulator: several choices', () => {
  it('answers with as many as are asked for and counts them all', () =>
    withResource({ answerTokens: 5 }, async (resource) => {
      const body = await chat(resource, { n: 3 });
      assert.deepEqual(
        [0, 1, 2, 3].map((at) => valueAt(body, 'choices', at, 'index')),
        [0, 1, 2, undefined],
      );
      assert.equal(valueAt(body, 'choices', 2, 'message', 'content'), 'openai1 answers: What is new?');
      assert.equal(valueAt(body, 'usage', 'completion_tokens'), 15);
      const most = await chat(resource, { n: 129 });
      assert.equal(valueAt(most, 'choices', 'length'), 128);
    }));

  for (const [path, body] of [
    [CHAT, chatBody],
    ['/openai/v1/completions', { model: 'chat', prompt: 'What is new?' }],
  ] as const) {
    it(`streams each of them, and the usage at the end: ${path}`, () =>
      withResource({ answerTokens: 5 }, async (resource) => {
        const more = { n: 2, stream: true, stream_options: { include_usage: true } };
        const events = await askEvents(resource, { path, body: { ...body, ...more } });
        for (const index of [0, 1]) {
          const mine = events.filter((event) => valueAt(event, 'choices', 0, 'index') === index);
          const text = mine.map(
            (event) => textAt(event, 'choices', 0, 'delta', 'content') || textAt(event, 'choices', 0, 'text'),
          );
          assert.equal(text.join(''), 'openai1 answers: What is new?');
          assert.equal(valueAt(mine.at(-1), 'choices', 0, 'finish_reason'), 'stop');
        }
        assert.deepEqual(events.at(-1)?.['choices'], []);
        assert.equal(valueAt(events.at(-1), 'usage', 'completion_tokens'), 10);
      }));
  }
});

describe('simulator: reasoning', () => {
  const include = ['reasoning.encrypted_content'];

  it('thinks before it answers when reasoning is asked for, and counts that', () =>
    withResource({ answerTokens: 5 }, async (resource) => {
      const body = await respond(resource, { reasoning: { effort: 'low' } });
      assert.equal(valueAt(body, 'output', 0, 'type'), 'reasoning');
      assert.equal(valueAt(body, 'output', 0, 'encrypted_content'), undefined);
      assert.equal(valueAt(body, 'output', 1, 'type'), 'message');
      assert.deepEqual(body['reasoning'], { effort: 'low', summary: null });
      assert.equal(valueAt(body, 'usage', 'output_tokens_details', 'reasoning_tokens'), 64);
      assert.equal(valueAt(body, 'usage', 'output_tokens'), 69);
      const completion = await chat(resource, { reasoning_effort: 'high' });
      assert.equal(valueAt(completion, 'usage', 'completion_tokens_details', 'reasoning_tokens'), 256);
      assert.equal(valueAt(completion, 'usage', 'completion_tokens'), 261);
      const none = await respond(resource, { reasoning: { effort: 'none' } });
      assert.equal(valueAt(none, 'output', 0, 'type'), 'message');
    }));

  for (const [effort, tokens] of [
    ['minimal', 16],
    ['low', 64],
    ['medium', 128],
    ['high', 256],
    ['xhigh', 512],
    ['max', 1024],
  ] as const) {
    it(`thinks for ${tokens} tokens with effort ${effort}`, () =>
      withResource({}, async (resource) => {
        const body = await respond(resource, { reasoning: { effort } });
        assert.equal(valueAt(body, 'usage', 'output_tokens_details', 'reasoning_tokens'), tokens);
      }));
  }

  it('thinks unasked when its deployment is of a reasoning model', () =>
    withResource({ deployments: { chat: { model: 'o4-mini', reasoning: true } } }, async (resource) => {
      assert.equal(valueAt(await respond(resource, {}), 'output', 0, 'type'), 'reasoning');
    }));

  it('may use up all its tokens before it says anything', () =>
    withResource({}, async (resource) => {
      const body = await respond(resource, { reasoning: { effort: 'high' }, max_output_tokens: 100 });
      assert.equal(body['status'], 'incomplete');
      assert.equal(valueAt(body, 'output', 'length'), 1);
      assert.equal(valueAt(body, 'usage', 'output_tokens'), 100);
      const completion = await chat(resource, { reasoning_effort: 'high', max_completion_tokens: 100 });
      assert.equal(valueAt(completion, 'choices', 0, 'message', 'content'), '');
      assert.equal(valueAt(completion, 'choices', 0, 'finish_reason'), 'length');
    }));

  it('streams a summary when one is asked for', () =>
    withResource({}, async (resource) => {
      const body = { ...question, reasoning: { effort: 'low', summary: 'auto' }, stream: true };
      const events = await askEvents(resource, { path: RESPONSES, body });
      assert.ok(events.some((event) => event['type'] === 'response.reasoning_summary_text.delta'));
      const output = valueAt(events.at(-1), 'response', 'output');
      assert.equal(valueAt(output, 0, 'summary', 0, 'text'), 'Thought for 64 tokens.');
      const indexes = events
        .filter((event) => event['type'] === 'response.output_item.done')
        .map((event) => event['output_index']);
      assert.deepEqual(indexes, [0, 1]);
    }));

  it('takes back the encrypted reasoning it gave, and refuses that of another resource', () =>
    withResource({ name: 'openai1' }, (one) =>
      withResource({ name: 'openai2', deployments }, async (two) => {
        const first = await respond(one, { reasoning: { effort: 'low' }, include, store: false });
        const sealed = String(valueAt(first, 'output', 0, 'encrypted_content'));
        const input = [valueAt(first, 'output', 0), { role: 'user', content: 'And you?' }];
        const body = { model: 'chat', input, store: false };
        assert.equal((await ask(one, { path: RESPONSES, body })).status, 200);
        const refused = await askJson(two, { path: RESPONSES, body });
        assert.equal(refused.status, 400);
        const message = `The encrypted content ${sealed.slice(0, 4)}...${sealed.slice(-4)} could not be verified. Reason: Encrypted content could not be decrypted or parsed.`;
        const code = 'invalid_encrypted_content';
        assert.deepEqual(refused.body, { error: { message, type: 'invalid_request_error', param: null, code } });
      }),
    ));

  it('takes back reasoning by its id alone when it was stored', () =>
    withResource({}, async (resource) => {
      const first = await respond(resource, { reasoning: { effort: 'low' } });
      const thought = valueAt(first, 'output', 0);
      const { id } = await respond(resource, { input: [thought, { role: 'user', content: 'And you?' }] });
      const path = `${RESPONSES}/${String(id)}/input_items?order=asc`;
      const { body } = await askJson(resource, { path, method: 'GET' });
      assert.deepEqual(valueAt(body, 'data', 0), thought);
    }));

  it('refuses reasoning by its id alone when it was not stored', () =>
    withResource({}, async (resource) => {
      const first = await respond(resource, { reasoning: { effort: 'low' }, store: false });
      const input = [valueAt(first, 'output', 0), { role: 'user', content: 'And you?' }];
      const reply = await ask(resource, { path: RESPONSES, body: { model: 'chat', input, store: false } });
      assert.equal(reply.status, 400);
      assert.match(messageOf(reply), /^Item with id 'rs_.*' not found\. Items are not persisted/);
    }));
});

describe('simulator: stream_options', () => {
  const body = { ...chatBody, stream: true, stream_options: { include_usage: true } };
  const legacy = (operation: string, version: string): string =>
    `/openai/deployments/chat/${operation}?api-version=${version}`;

  for (const version of ['2023-05-15', '2024-06-01', '2024-08-01-preview']) {
    it(`is unknown to api-version ${version}`, () =>
      withResource({}, async (resource) => {
        const reply = await askJson(resource, { path: legacy('chat/completions', version), body });
        assert.equal(reply.status, 400);
        const message = "Unknown parameter: 'stream_options'.";
        const [param, code] = ['stream_options', 'unknown_parameter'];
        assert.deepEqual(reply.body, { error: { message, type: 'invalid_request_error', param, code } });
        const prompt = { prompt: 'x', stream: true, stream_options: {} };
        assert.equal((await ask(resource, { path: legacy('completions', version), body: prompt })).status, 400);
      }));
  }

  for (const version of ['2024-09-01-preview', '2024-10-21', '2025-04-01-preview', 'preview']) {
    it(`is known to api-version ${version}`, () =>
      withResource({}, async (resource) => {
        assert.equal((await ask(resource, { path: legacy('chat/completions', version), body })).status, 200);
      }));
  }

  it('is unknown to a deployment that has none, whatever the version', () =>
    withResource({ deployments: { chat: { model: 'other', hasStreamOptions: false } } }, async (resource) => {
      for (const path of [CHAT, legacy('chat/completions', '2025-04-01-preview')]) {
        const reply = await ask(resource, { path, body: { ...body, model: 'chat' } });
        assert.deepEqual([reply.status, codeOf(reply)], [400, 'unknown_parameter']);
        assert.equal((await ask(resource, { path, body: { ...chatBody, model: 'chat', stream: true } })).status, 200);
      }
    }));

  it('is refused beside data sources', () =>
    withResource({}, async (resource) => {
      const path = legacy('chat/completions', '2024-10-21');
      const reply = await ask(resource, { path, body: { ...body, data_sources: [{ type: 'azure_search' }] } });
      assert.equal(reply.status, 400);
      assert.equal(messageOf(reply), 'Validation error at #/stream_options: Extra inputs are not permitted');
    }));
});
