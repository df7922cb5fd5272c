import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import {
  BARE_OPERATIONS,
  operationLabel,
  pathOf,
  route,
  understand,
  type Asked,
  type Route,
} from '../../../app/src/proxy/front-door.ts';

const NO_BODY = Buffer.alloc(0);
const JSON_TYPE = 'application/json';

function routeOf(target: string): Route {
  const found = route(target);
  assert.ok(found.kind === 'route', `${target} is ${found.kind}`);
  return found;
}

/** What a POST of this JSON (or these bytes) to this target asks. */
function asked(
  target: string,
  body: string | Buffer | object = NO_BODY,
  contentType = JSON_TYPE,
  method = 'POST',
): Asked {
  const bytes = Buffer.isBuffer(body) ? body : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
  return understand(routeOf(target), method, contentType, { bytes });
}

describe('front door: path forms', () => {
  /** target, operation, deployment of the path, upstream path for the deployment `up` */
  const forms: readonly (readonly [string, string, string | undefined, string])[] = [
    [
      '/openai/deployments/gpt/chat/completions?api-version=2024-10-21',
      'chat/completions',
      'gpt',
      '/openai/deployments/up/chat/completions?api-version=2024-10-21',
    ],
    [
      '/openai/deployments/emb/embeddings?api-version=1',
      'embeddings',
      'emb',
      '/openai/deployments/up/embeddings?api-version=1',
    ],
    ['/openai/deployments/gpt/chat/completions', 'chat/completions', 'gpt', '/openai/deployments/up/chat/completions'],
    ['/openai/deployments/gpt', '', 'gpt', '/openai/deployments/up'],
    ['/openai/responses?api-version=2025-03-01', 'responses', undefined, '/openai/responses?api-version=2025-03-01'],
    ['/openai/models/gpt?x=1&API-Version=1', 'models/gpt', undefined, '/openai/models/gpt?x=1&API-Version=1'],
    ['/openai/deployments?api-version=1', 'deployments', undefined, '/openai/deployments?api-version=1'],
    ['/openai/v1/responses', 'responses', undefined, '/openai/v1/responses'],
    ['/openai/v1/chat/completions', 'chat/completions', undefined, '/openai/v1/chat/completions'],
    ['/openai/v1/responses?api-version=preview', 'responses', undefined, '/openai/v1/responses?api-version=preview'],
    ['/openai/responses', 'responses', undefined, '/openai/v1/responses'],
    ['/openai/chat/completions?timeout=1', 'chat/completions', undefined, '/openai/v1/chat/completions?timeout=1'],
    ['/v1/embeddings', 'embeddings', undefined, '/openai/v1/embeddings'],
    ['/v1/chat/completions', 'chat/completions', undefined, '/openai/v1/chat/completions'],
    [
      '/v1/responses/resp_1/input_items',
      'responses/resp_1/input_items',
      undefined,
      '/openai/v1/responses/resp_1/input_items',
    ],
    ['/responses', 'responses', undefined, '/openai/v1/responses'],
    ['/chat/completions', 'chat/completions', undefined, '/openai/v1/chat/completions'],
    ['/models?after=a%2Fb', 'models', undefined, '/openai/v1/models?after=a%2Fb'],
    ['/videos/video_1:remix', 'videos/video_1:remix', undefined, '/openai/v1/videos/video_1:remix'],
  ];
  for (const [target, operation, deployment, upstream] of forms) {
    it(`reads ${target}`, () => {
      const found = routeOf(target);
      assert.deepEqual(
        [found.operation, found.pathDeployment, found.upstreamPath('up')],
        [operation, deployment, upstream],
      );
    });

    it(`reads ${target} in absolute form, whatever its authority`, () => {
      for (const authority of ['http://localhost:8080', 'HTTPS://user@example.com']) {
        const found = routeOf(authority + target);
        assert.deepEqual(
          [found.operation, found.pathDeployment, found.upstreamPath('up')],
          [operation, deployment, upstream],
        );
      }
    });
  }

  it('is told without its query and without an authority, which may hold a password', () => {
    assert.equal(pathOf('/v1/responses?key=secret'), '/v1/responses');
    assert.equal(pathOf('http://user:secret@example.com/v1/responses?key=secret'), '/v1/responses');
    assert.equal(pathOf('HTTPS://user:secret@example.com'), '');
    assert.equal(pathOf('/v1/files/http://x/y'), '/v1/files/http://x/y');
    assert.equal(pathOf('*'), '*');
  });

  it('serves every bare operation', () => {
    for (const operation of BARE_OPERATIONS) {
      assert.equal(routeOf(`/${operation}`).upstreamPath(''), `/openai/v1/${operation}`);
      assert.equal(routeOf(`/${operation}/x`).operation, `${operation}/x`);
    }
  });

  it('serves no realtime session in any form: its secret would lead past the balancer', () => {
    for (const target of [
      '/realtime',
      '/realtime/client_secrets',
      '/v1/realtime/client_secrets',
      '/openai/v1/Realtime/client_secrets',
      '/openai/v1/realtime/calls',
      '/openai/realtimeapi/sessions?api-version=2025-04-01-preview',
      '/openai/realtime?api-version=2024-10-01-preview&deployment=gpt-realtime',
      '/openai/deployments/gpt-realtime/realtime/sessions?api-version=2025-04-01-preview',
      '/v1/chatkit/sessions',
    ]) {
      assert.deepEqual(route(target), { kind: 'unserved' }, target);
    }
    assert.equal(routeOf('/v1/models/realtime').operation, 'models/realtime');
  });

  it('knows no other path: this is no open relay', () => {
    for (const target of [
      '/',
      '',
      '?x=1',
      '*',
      '//',
      '/openai',
      '/openai/',
      '/openai?api-version=1',
      '/openai/v1',
      '/openai/v1/',
      '/v1',
      '/v1/?x=1',
      '/v2/chat/completions',
      '/chats',
      '/Responses',
      '/admin',
      '/favicon.ico',
      '/openaiv1/responses',
      '/metadata/identity/oauth2/token',
      '/constructor',
      '/__proto__',
      'http://example.com',
      'http://example.com?x=1',
    ]) {
      assert.deepEqual(route(target), { kind: 'unknown' }, target);
    }
  });

  it('takes double and trailing slashes as one', () => {
    for (const target of [
      '//openai//deployments//gpt//chat//completions/?a=//b',
      '/openai/deployments/gpt/chat/completions//?a=//b',
    ]) {
      assert.equal(routeOf(target).upstreamPath('up'), '/openai/deployments/up/chat/completions?a=//b');
    }
    assert.equal(routeOf('//v1//responses/').upstreamPath(''), '/openai/v1/responses');
  });

  it('refuses what could climb out of the prefix, plain and encoded', () => {
    for (const part of [
      '.',
      '..',
      '%2e',
      '%2E%2e',
      '.%2e',
      '%2e.',
      'a%2fb',
      'a%2Fb',
      '..%2f..',
      'a%5cb',
      'a\\b',
      '..\\..',
      '%00',
      'a%0d%0ab',
      '%0a',
      '%7f',
      'a\tb',
      '%',
      '%zz',
      '%c3',
      '%ff',
    ]) {
      for (const target of [
        `/openai/deployments/${part}/chat/completions?api-version=1`,
        `/openai/deployments/gpt/${part}/completions`,
        `/openai/v1/${part}`,
        `/openai/${part}/v1/responses`,
        `/v1/files/${part}/content`,
        `/${part}/openai/v1/responses`,
        `/responses/${part}`,
        `/responses/${part}?q`,
      ]) {
        assert.deepEqual(route(target), { kind: 'invalid' }, target);
      }
    }
  });

  it('decodes a segment once, never twice', () => {
    assert.equal(routeOf('/v1/files/%252e%252e/content').upstreamPath(''), '/openai/v1/files/%252e%252e/content');
    assert.equal(routeOf('/openai/deployments/a%252fb/embeddings').pathDeployment, 'a%2fb');
    assert.equal(
      routeOf('/openai/deployments/a%252fb/embeddings').upstreamPath('a%2fb'),
      '/openai/deployments/a%252fb/embeddings',
    );
  });

  it('keeps names with dots, which climb nowhere', () => {
    assert.equal(routeOf('/v1/models/gpt-5.4..mini').operation, 'models/gpt-5.4..mini');
    assert.equal(routeOf('/v1/files/.../content').upstreamPath(''), '/openai/v1/files/.../content');
  });

  it('decodes names and encodes them again', () => {
    const found = routeOf('/openai/deployments/gr%C3%B6%C3%9Fe%20%F0%9F%98%80/chat/completions');
    assert.equal(found.pathDeployment, 'größe 😀');
    assert.equal(found.upstreamPath('größe 😀'), '/openai/deployments/gr%C3%B6%C3%9Fe%20%F0%9F%98%80/chat/completions');
    assert.equal(found.upstreamPath('a/../b?c#d'), '/openai/deployments/a%2F..%2Fb%3Fc%23d/chat/completions');
    assert.equal(routeOf('/v1/files/a%3Fb%23c').upstreamPath(''), '/openai/v1/files/a%3Fb%23c');
  });

  it('keeps the query string byte for byte', () => {
    const queries = fc
      .string({ unit: fc.constantFrom(...'?&=/%.+;:[]{}|\\~ü#"0aZ'.split('')) })
      .map((text) => `?${text}`);
    fc.assert(
      fc.property(queries, (query) => {
        for (const path of ['/openai/deployments/up/chat/completions', '/v1/responses', '/models']) {
          assert.ok(
            routeOf(path + query)
              .upstreamPath('up')
              .endsWith(query),
          );
        }
      }),
    );
  });
});

describe('front door: the deployment in the path', () => {
  it('is renamed in its own place only: /openai/deployments/chat/chat/completions', () => {
    const request = asked('/openai/deployments/chat/chat/completions?api-version=1&x=chat', { model: 'chat' });
    assert.equal(request.deployment, 'chat');
    assert.equal(request.operation, 'chat/completions');
    assert.equal(request.upstreamPath('gpt'), '/openai/deployments/gpt/chat/completions?api-version=1&x=chat');
    for (const name of ['openai', 'deployments', 'completions', '$&', '$1']) {
      assert.equal(
        request.upstreamPath(name),
        `/openai/deployments/${encodeURIComponent(name)}/chat/completions?api-version=1&x=chat`,
      );
    }
  });

  it('stays out of a v1 path that happens to have its name', () => {
    const request = asked('/openai/v1/chat/completions', { model: 'chat' });
    assert.equal(request.deployment, 'chat');
    assert.equal(request.upstreamPath('gpt'), '/openai/v1/chat/completions');
    assert.equal(request.upstreamBody('gpt').toString(), '{"model":"gpt"}');
  });

  it('counts before the model in the body, which is left alone', () => {
    const body = Buffer.from('{"model":"other","stream":true}');
    const request = asked('/openai/deployments/gpt/chat/completions', body);
    assert.equal(request.deployment, 'gpt');
    assert.equal(request.stream, true);
    assert.equal(request.upstreamBody('renamed'), body);
  });
});

describe('front door: the model in a JSON body', () => {
  /** body, the name that was asked for, the body for `up` */
  const bodies: Readonly<Record<string, readonly [string, string, string]>> = {
    'first of all': ['{"model":"gpt","input":1}', 'gpt', '{"model":"up","input":1}'],
    'last of all': ['{"input":"model","model":"gpt"}', 'gpt', '{"input":"model","model":"up"}'],
    'between blanks': ['\n{ "model"\t:\r\n "gpt" , "x" : 1 }\n', 'gpt', '\n{ "model"\t:\r\n "up" , "x" : 1 }\n'],
    'behind a byte order mark': ['\uFEFF{"model":"gpt"}', 'gpt', '\uFEFF{"model":"up"}'],
    'under an escaped name': ['{"\\u006dodel":"gpt"}', 'gpt', '{"\\u006dodel":"up"}'],
    'as an escaped value': ['{"model":"\\u0067pt\\"\\\\"}', 'gpt"\\', '{"model":"up"}'],
    'named twice: the last counts, both are renamed': [
      '{"model":"a","x":0,"model":"b"}',
      'b',
      '{"model":"up","x":0,"model":"up"}',
    ],
    'beside nested ones, which are not touched': [
      '{"metadata":{"model":"a"},"input":[{"model":"b"},"model"],"model":"gpt","tools":[{"model":"c"}]}',
      'gpt',
      '{"metadata":{"model":"a"},"input":[{"model":"b"},"model"],"model":"up","tools":[{"model":"c"}]}',
    ],
    'quoted in a prompt, which is not touched': [
      '{"input":"say {\\"model\\":\\"x\\"}","model":"gpt"}',
      'gpt',
      '{"input":"say {\\"model\\":\\"x\\"}","model":"up"}',
    ],
    'among numbers that no double can hold': [
      '{"seed":12345678901234567890,"t":1.0,"model":"gpt"}',
      'gpt',
      '{"seed":12345678901234567890,"t":1.0,"model":"up"}',
    ],
    'in any script': ['{"model":"größe-模型-😀","input":"ü😀"}', 'größe-模型-😀', '{"model":"up","input":"ü😀"}'],
    'before bytes that nobody reads': ['{"model":"gpt"} trailing', 'gpt', '{"model":"up"} trailing'],
  };
  for (const [where, [body, name, expected]] of Object.entries(bodies)) {
    it(`is found and renamed ${where}`, () => {
      for (const target of ['/v1/responses', '/responses', '/openai/v1/responses', '/openai/responses?api-version=1']) {
        const request = asked(target, body);
        assert.equal(request.deployment, name);
        assert.equal(request.upstreamBody('up').toString(), expected);
      }
    });
  }

  it('is the very same bytes when the name is unchanged', () => {
    const body = Buffer.from('{"\\u006dodel" : "\\u0067pt"}');
    assert.equal(asked('/v1/responses', body).upstreamBody('gpt'), body);
  });

  it('is renamed for one backend without a trace in the body for the next', () => {
    const request = asked('/v1/responses', '{"model":"gpt"}');
    assert.equal(request.upstreamBody('a-much-longer-name').toString(), '{"model":"a-much-longer-name"}');
    assert.equal(request.upstreamBody('b').toString(), '{"model":"b"}');
    assert.equal(request.upstreamBody('gpt').toString(), '{"model":"gpt"}');
  });

  it('is read once, and nothing of the body is kept when that is freed', () => {
    const body = { bytes: Buffer.from('{"model":"gpt","stream":true}') };
    const request = understand(routeOf('/v1/responses'), 'POST', JSON_TYPE, body);
    body.bytes = NO_BODY;
    assert.deepEqual([request.deployment, request.stream], ['gpt', true]);
    assert.equal(request.upstreamBody('gpt').length, 0);
  });

  it('is written as a JSON string, whatever the name', () => {
    const request = asked('/v1/responses', '{"model":"gpt"}');
    for (const name of ['a"b', 'a\\b', '😀', 'a\nb', '$&']) {
      assert.deepEqual(JSON.parse(request.upstreamBody(name).toString()), { model: name });
    }
  });

  it('is found in bodies that are not UTF-8, whose other bytes are kept', () => {
    const body = Buffer.concat([
      Buffer.from('{"x":"'),
      Buffer.from([0xff, 0xc3, 0x28]),
      Buffer.from('","model":"gpt"}'),
    ]);
    const request = asked('/v1/responses', body);
    assert.equal(request.deployment, 'gpt');
    assert.deepEqual(
      request.upstreamBody('up'),
      Buffer.concat([Buffer.from('{"x":"'), Buffer.from([0xff, 0xc3, 0x28]), Buffer.from('","model":"up"}')]),
    );
  });

  for (const [what, bulk] of [
    ['of prompt', () => JSON.stringify('ü"\\\n'.repeat(600_000))],
    ['of numbers', () => `[${'0.125,'.repeat(850_000)}1]`],
  ] as const) {
    it(`is found and renamed before and behind five megabytes ${what}`, function () {
      this.timeout(20_000);
      const input = bulk();
      assert.ok(input.length > 4_000_000);
      for (const [before, after] of [
        ['{"model":"', `","input":${input}}`],
        [`{"input":${input},"model":"`, '"}'],
      ]) {
        const request = asked('/v1/embeddings', `${before}gpt${after}`);
        assert.equal(request.deployment, 'gpt');
        assert.ok(request.upstreamBody('up').equals(Buffer.from(`${before}up${after}`)));
      }
    });
  }

  it('is nobody in a body that names none, or cannot be read, which is left alone', () => {
    for (const body of [
      '',
      '{}',
      '[]',
      '{"model":5}',
      '{"model":null}',
      '{"model":"a","model":5}',
      '{"model":"gpt"',
      'model=gpt',
      'null',
      '{"Model":"gpt"}',
    ]) {
      const bytes = Buffer.from(body);
      const request = asked('/v1/responses', bytes);
      assert.equal(request.deployment, '', body);
      assert.equal(request.stream, false);
      assert.equal(request.upstreamBody('up'), bytes);
    }
  });

  it('gives the same document with another model, for any document', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string(), fc.jsonValue()),
        fc.string({ minLength: 1 }),
        fc.string(),
        (rest, model, name) => {
          const document = { ...rest, model, last: rest };
          const request = asked('/v1/responses', JSON.stringify(document));
          assert.equal(request.deployment, model);
          const expected: unknown = JSON.parse(JSON.stringify({ ...document, model: name }));
          assert.deepEqual(JSON.parse(request.upstreamBody(name).toString()), expected);
        },
      ),
    );
  });
});

describe('front door: the model in a multipart body', () => {
  const TYPE = 'multipart/form-data; boundary=x';
  const field = (name: string, value: string): string =>
    `--x\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;
  const FILE = '--x\r\ncontent-disposition: form-data; name="file"; filename="model"\r\n\r\n\0ÿ\r\n--y\r\n--\r\n-\r\n';

  it('is found and renamed before and after the file', () => {
    for (const [before, after] of [
      ['', FILE],
      [FILE, ''],
      [field('stream', 'false'), FILE + field('language', 'en')],
    ]) {
      const request = asked('/v1/audio/transcriptions', `${before}${field('model', 'gpt')}${after}--x--\r\n`, TYPE);
      assert.equal(request.deployment, 'gpt');
      assert.equal(request.stream, false);
      assert.equal(request.upstreamBody('up').toString(), `${before}${field('model', 'up')}${after}--x--\r\n`);
    }
  });

  it('counts the last of several, and renames all', () => {
    const request = asked('/v1/audio/transcriptions', `${field('model', 'a')}${field('model', 'b')}--x--`, TYPE);
    assert.equal(request.deployment, 'b');
    assert.equal(request.upstreamBody('up').toString(), `${field('model', 'up')}${field('model', 'up')}--x--`);
  });

  it('tells whether a stream is wanted', () => {
    assert.equal(asked('/v1/audio/transcriptions', `${field('stream', 'true')}--x--`, TYPE).stream, true);
    assert.equal(asked('/v1/audio/transcriptions', `${field('stream', '1')}--x--`, TYPE).stream, false);
  });

  it('is nobody when there is no such field, and the body is left alone', () => {
    const bytes = Buffer.from(`${FILE}--x--`);
    const request = asked('/v1/audio/transcriptions', bytes, TYPE);
    assert.equal(request.deployment, '');
    assert.equal(request.upstreamBody('up'), bytes);
  });

  it('stays as it is under a deployment path', () => {
    const bytes = Buffer.from(`${field('model', 'gpt')}--x--`);
    const request = asked('/openai/deployments/whisper/audio/transcriptions', bytes, TYPE);
    assert.equal(request.deployment, 'whisper');
    assert.equal(request.upstreamBody('up'), bytes);
  });
});

describe('front door: what a request is', () => {
  it('is a stream when its last member stream is the literal true', () => {
    for (const [body, stream] of [
      ['{"stream":true}', true],
      ['{"stream": true }', true],
      ['{"stream":"true"}', false],
      ['{"stream":1}', false],
      ['{"stream":false}', false],
      ['{"stream":true,"stream":false}', false],
      ['{"stream":false,"stream":true,"model":"gpt"}', true],
      ['{"x":{"stream":true}}', false],
    ] as const) {
      assert.equal(asked('/v1/responses', body).stream, stream, body);
    }
  });

  const repeatable = [
    'audio/speech',
    'audio/transcriptions',
    'audio/translations',
    'chat/completions',
    'completions',
    'embeddings',
    'images/edits',
    'images/generations',
    'responses',
  ];
  for (const operation of repeatable) {
    it(`may be repeated: POST ${operation}, in every path form`, () => {
      for (const prefix of ['/openai/v1', '/v1', '', '/openai/deployments/gpt']) {
        assert.equal(asked(`${prefix}/${operation}`, '{"model":"gpt","background":false}').creates, false);
      }
    });
  }

  for (const operation of [
    'files',
    'batches',
    'fine_tuning/jobs',
    'uploads',
    'uploads/upload_1/complete',
    'vector_stores',
    'assistants',
    'threads/runs',
    'conversations',
    'containers',
    'evals',
    'videos',
    'responses/resp_1/cancel',
    'something/new',
  ]) {
    it(`creates something: POST, PUT and PATCH ${operation}`, () => {
      for (const method of ['POST', 'PUT', 'PATCH'])
        assert.equal(asked(`/v1/${operation}`, '{}', JSON_TYPE, method).creates, true);
    });
  }

  it('creates something with background: true, whatever else it is', () => {
    assert.equal(asked('/v1/responses', '{"model":"gpt","background":true}').creates, true);
    assert.equal(asked('/v1/responses', '{"background":true}').creates, true);
    assert.equal(asked('/v1/responses', '{"background":false,"background":true}').creates, true);
    assert.equal(asked('/v1/responses', '{"background":"true"}').creates, false);
    assert.equal(asked('/v1/responses', '{"input":{"background":true}}').creates, false);
  });

  it('creates nothing with GET, HEAD, DELETE and OPTIONS', () => {
    for (const method of ['GET', 'HEAD', 'DELETE', 'OPTIONS']) {
      assert.equal(asked('/v1/files/file_1', NO_BODY, '', method).creates, false);
    }
  });
});

describe('front door: the operation as a label', () => {
  it('is the operation for the ones that everybody uses, else its first word, else "other"', () => {
    assert.equal(operationLabel('chat/completions'), 'chat/completions');
    assert.equal(operationLabel('responses'), 'responses');
    assert.equal(operationLabel('responses/resp_1'), 'responses');
    assert.equal(operationLabel('files/file_1/content'), 'files');
    assert.equal(operationLabel('chat/completions/x'), 'chat');
    assert.equal(operationLabel(''), 'other');
    assert.equal(operationLabel('deployments'), 'other');
    assert.equal(operationLabel('constructor'), 'other');
  });

  it('is one of a closed set, whatever callers send', () => {
    const labels = new Set<string>();
    const segment = fc.oneof(fc.constantFrom(...BARE_OPERATIONS, 'completions', 'edits'), fc.string());
    fc.assert(
      fc.property(fc.array(segment), (segments) => {
        const label = operationLabel(segments.join('/'));
        labels.add(label);
        assert.ok(
          label === 'other' || BARE_OPERATIONS.some((one) => label === one || /^[a-z]+(\/[a-z_/]+)?$/.test(label)),
        );
      }),
      { numRuns: 2000 },
    );
    assert.ok(labels.size <= 40, `${labels.size} labels`);
  });
});

describe('front door: what a request says of its cost', () => {
  const PROMPT = { messages: [{ role: 'user', content: 'Say hello.' }] };
  const CHAT = '/v1/chat/completions';

  /** Of the completion, by a request with these members. */
  function most(members: object, path = CHAT): number | undefined {
    return asked(path, { ...PROMPT, ...members }).cost()?.mostCompletionTokens;
  }

  it('is the most that it names for its completion, in the words of each API', () => {
    assert.equal(most({ max_tokens: 300 }), 300);
    assert.equal(most({ max_completion_tokens: 300 }), 300);
    assert.equal(most({ max_output_tokens: 300 }), 300);
    assert.equal(most({ max_tokens: 100, max_completion_tokens: 300 }), 300);
    assert.equal(asked('/openai/deployments/gpt/chat/completions', { max_tokens: 7 }).cost()?.mostCompletionTokens, 7);
  });

  it('is so for each of several completions', () => {
    assert.equal(most({ max_tokens: 100, n: 3 }), 300);
    assert.equal(most({ max_tokens: 100, best_of: 5, n: 3 }), 500);
    assert.equal(most({ n: 3 }), undefined);
  });

  it('names no maximum with what is no count', () => {
    for (const value of [null, '300', 1.5, -1, 0, 1e30, true, [300], { value: 300 }]) {
      assert.equal(most({ max_tokens: value }), undefined, JSON.stringify(value));
    }
    assert.equal(most({ max_tokens: 300, n: 'many' }), 300);
  });

  it('counts the text of the whole body for its prompt', () => {
    const body = JSON.stringify(PROMPT);
    assert.equal(asked(CHAT, body).cost()?.promptTokens, Math.ceil(body.length / 4));
  });

  it('has no completion where none is made', () => {
    for (const path of ['/v1/audio/speech', '/v1/embeddings', '/v1/moderations', '/v1/responses/input_tokens']) {
      assert.equal(most({ max_tokens: 300 }, path), 0, path);
    }
  });

  it('is nothing for uploads, and for what makes files and batches', () => {
    const free = { promptTokens: 0, mostCompletionTokens: 0 };
    assert.equal(asked('/v1/batches', { input_file_id: 'file-1', max_tokens: 5 }).cost(), undefined);
    const form = '--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nwhisper\r\n--b--\r\n';
    assert.deepEqual(asked('/v1/audio/transcriptions', form, 'multipart/form-data; boundary=b').cost(), free);
    assert.deepEqual(asked(CHAT, 'not JSON').cost(), { promptTokens: 2 });
  });

  it('is told by answers to what is asked, not by what was stored', () => {
    assert.equal(asked(CHAT, PROMPT).isCounted, true);
    assert.equal(asked('/openai/deployments/gpt/embeddings', PROMPT).isCounted, true);
    assert.equal(asked('/v1/responses/resp_1', NO_BODY, '', 'GET').isCounted, false);
    assert.equal(asked('/v1/responses', NO_BODY, '', 'GET').isCounted, false);
    assert.equal(asked('/v1/chat/completions/chatcmpl-1', { metadata: {} }).isCounted, false);
    assert.equal(asked('/v1/responses/resp_1/cancel', {}).isCounted, false);
  });

  it('is counted for whatever is asked, however it is written, and not for what keeps and prepares', () => {
    const VERSION = '?api-version=2024-10-21';
    for (const path of [
      '/v1/Chat/Completions',
      '/openai/deployments/gpt/CHAT/completions',
      `/openai/Deployments/gpt/chat/completions${VERSION}`,
      '/v1/chat/completions%20',
      '/v1/chat/completions;x',
      '/v1/threads/runs',
      '/v1/threads/thread_1/Runs',
      '/v1/threads/thread_1/runs/run_1/submit_tool_outputs',
      '/v1/graders/run',
      '/v1/what-comes-next',
    ]) {
      const request = asked(path, { ...PROMPT, max_tokens: 300 });
      assert.equal(request.isCounted, true, path);
      assert.equal(request.cost()?.mostCompletionTokens, 300, path);
    }
    for (const path of ['/v1/threads', '/v1/threads/thread_1/messages', '/v1/Files', '/v1/fine_tuning/jobs']) {
      const request = asked(path, { ...PROMPT, max_tokens: 300 });
      assert.equal(request.isCounted, false, path);
      assert.equal(request.cost(), undefined, path);
    }
  });

  it('is not there without a body, and stays when the body has been freed', () => {
    assert.equal(asked('/v1/models', NO_BODY, '', 'GET').cost(), undefined);
    const body = { bytes: Buffer.from('{"max_tokens":5}') };
    const request = understand(routeOf(CHAT), 'POST', JSON_TYPE, body);
    const before = request.cost();
    body.bytes = NO_BODY;
    assert.deepEqual(request.cost(), before);
    assert.deepEqual(before, { promptTokens: 4, mostCompletionTokens: 5 });
  });
});
