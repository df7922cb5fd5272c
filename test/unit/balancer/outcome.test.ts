import assert from 'node:assert/strict';
import { classify, needsBody, type Outcome } from '../../../app/src/balancer/outcome.ts';

interface Given {
  readonly headers?: Readonly<Record<string, string>>;
  /** Text as it is; anything else as JSON. */
  readonly body?: unknown;
}

function outcomeOf(status: number, { headers = {}, body = '' }: Given = {}): Outcome {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return classify({ status, header: (name) => headers[name], bodyText: () => text }, 0);
}

const REFUSED = { kind: 'refused', status: 400 };
const NOT_FOUND_TEXT = 'Could not find an existing deployment to match the model in the request.';

describe('classify: answers that are given to the caller', () => {
  for (const status of [200, 201, 204, 206, 302, 304, 399]) {
    it(`takes ${status} as served, without looking at the body`, () => {
      const outcome = classify(
        {
          status,
          header: () => undefined,
          bodyText: () => assert.fail('the body was asked for'),
        },
        0,
      );
      assert.deepEqual(outcome, { kind: 'served', status });
    });
  }

  for (const status of [402, 404, 405, 409, 410, 413, 415, 422, 431, 451, 501, 505]) {
    it(`takes ${status} as the backend's own refusal`, () => {
      assert.deepEqual(outcomeOf(status), { kind: 'refused', status });
    });
  }

  it('asks for the body of errors only', () => {
    assert.equal(needsBody(399), false);
    assert.equal(needsBody(200), false);
    assert.equal(needsBody(400), true);
    assert.equal(needsBody(503), true);
  });
});

describe('classify: 429', () => {
  const legacy = {
    error: {
      code: '429',
      message:
        'Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-10-21 have exceeded token rate limit of your current OpenAI S0 pricing tier. Please retry after 9 seconds.',
    },
  };

  it('is throttled, for the wait that its headers name', () => {
    assert.deepEqual(outcomeOf(429, { headers: { 'retry-after-ms': '1200', 'retry-after': '2' }, body: legacy }), {
      kind: 'throttled',
      retryAfterMs: 1200,
      inStream: false,
    });
  });

  it('is throttled for an unknown wait when no header names one, whatever its text says', () => {
    for (const body of [
      legacy,
      { error: { message: 'The system is currently experiencing high demand. Please retry after 20 seconds.' } },
      '<html>Too Many Requests</html>',
      '',
    ]) {
      assert.deepEqual(outcomeOf(429, { body }), { kind: 'throttled', inStream: false });
    }
  });

  it('turns a date into a wait by the wall clock', () => {
    const header = (name: string) => (name === 'retry-after' ? 'Sun, 06 Nov 1994 08:49:37 GMT' : undefined);
    assert.deepEqual(classify({ status: 429, header, bodyText: () => '' }, 784_111_776_000), {
      kind: 'throttled',
      retryAfterMs: 1000,
      inStream: false,
    });
  });
});

describe('classify: failing backends', () => {
  for (const status of [408, 500, 502, 503, 504]) {
    it(`takes ${status} as failed by its status, whatever the body`, () => {
      for (const body of [
        '',
        '<html>Bad Gateway</html>',
        { error: { code: 'Timeout', message: 'The operation was timeout.' } },
        { error: { code: 'DeploymentNotFound', message: NOT_FOUND_TEXT } },
        { error: { message: 'That model is currently overloaded with other requests.', type: 'server_error' } },
      ]) {
        assert.deepEqual(outcomeOf(status, { body }), { kind: 'failed', status, cause: 'status' });
      }
    });
  }
});

describe('classify: a missing deployment', () => {
  it('is a 404 with the code DeploymentNotFound', () => {
    const message =
      'The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, please wait a moment and try again.';
    assert.deepEqual(outcomeOf(404, { body: { error: { code: 'DeploymentNotFound', message } } }), { kind: 'missing' });
  });

  it('is the 400 of v1, which has no code for it', () => {
    for (const error of [
      { message: NOT_FOUND_TEXT, type: 'invalid_request_error' },
      { code: 'invalid_request_error', message: NOT_FOUND_TEXT },
      { code: null, message: NOT_FOUND_TEXT.toUpperCase() },
      { code: 'DeploymentNotFound', message: 'Unknown.' },
    ]) {
      assert.deepEqual(outcomeOf(400, { body: { error } }), { kind: 'missing' });
    }
  });

  it('is not any other 404', () => {
    for (const body of [
      '',
      'DeploymentNotFound',
      { error: { code: '404', message: 'Resource not found' } },
      { error: { code: 'NotFound', message: 'DeploymentNotFound' } },
      { error: { code: null, message: NOT_FOUND_TEXT } },
      { code: 'DeploymentNotFound' },
      { error: 'DeploymentNotFound' },
      { error: null },
      [{ error: { code: 'DeploymentNotFound' } }],
      '"error"',
      '{"error":{"code":"DeploymentNotFound"}',
    ]) {
      assert.deepEqual(outcomeOf(404, { body }), { kind: 'refused', status: 404 });
    }
  });
});

describe('classify: our own credential', () => {
  const denied =
    'Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an active subscription.';

  it('is refused by the host with 401 and 403', () => {
    for (const status of [401, 403]) {
      for (const body of [
        { error: { code: String(status), message: denied } },
        { error: { code: '403', message: 'Your resource has been temporarily blocked.' } },
        { error: { code: 'Forbidden', message: 'PermissionDenied' } },
        { error: { innererror: 'PermissionDenied' } },
        { error: { innererror: ['PermissionDenied'] } },
        '<html>403</html>',
        '',
      ]) {
        assert.deepEqual(outcomeOf(status, { body }), { kind: 'unauthorized', scope: 'host', status });
      }
    }
  });

  it('is refused for the one operation when the code is PermissionDenied', () => {
    const message = 'The principal lacks the required data action to perform POST /openai/files.';
    for (const status of [401, 403]) {
      assert.deepEqual(outcomeOf(status, { body: { error: { code: 'PermissionDenied', message } } }), {
        kind: 'unauthorized',
        scope: 'operation',
        status,
      });
      assert.deepEqual(outcomeOf(status, { body: { error: { innererror: { code: 'PermissionDenied' } } } }), {
        kind: 'unauthorized',
        scope: 'operation',
        status,
      });
    }
  });
});

describe('classify: 400', () => {
  it('is too long with the code context_length_exceeded where such prompts are spilled, and refused elsewhere', () => {
    const body = JSON.stringify({ error: { code: 'context_length_exceeded', message: 'Too long.' } });
    const answer = { status: 400, header: () => undefined, bodyText: () => body };
    assert.deepEqual(classify(answer, 0, true), { kind: 'too-long' });
    assert.deepEqual(classify(answer, 0), { kind: 'refused', status: 400 });
    assert.deepEqual(classify({ ...answer, status: 422 }, 0, true), { kind: 'refused', status: 422 });
  });

  it('is unsupported with the code OperationNotSupported', () => {
    const error = {
      code: 'OperationNotSupported',
      message: 'The chatCompletion operation does not work with the specified model.',
    };
    assert.deepEqual(outcomeOf(400, { body: { error } }), { kind: 'unsupported' });
  });

  it('is refused for the content filter, in both of its forms', () => {
    const message =
      "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. Please modify your prompt and retry.";
    for (const code of ['ResponsibleAIPolicyViolation', 'ContentFiltered']) {
      const error = {
        message,
        type: null,
        param: 'prompt',
        code: 'content_filter',
        status: 400,
        innererror: { code, content_filter_result: { hate: { filtered: true, severity: 'high' } } },
      };
      assert.deepEqual(outcomeOf(400, { body: { error } }), REFUSED);
    }
  });

  it('is refused when it only quotes the text of another error, as a prompt may', () => {
    for (const quoted of [NOT_FOUND_TEXT, 'OperationNotSupported', '{"error":{"code":"DeploymentNotFound"}}']) {
      for (const error of [
        { code: 'content_filter', message: `The prompt was filtered: ${quoted}` },
        { code: null, message: `Invalid 'input': ${quoted}`, param: quoted },
        { code: 'context_length_exceeded', message: 'Too long.', details: { code: quoted, message: quoted } },
        { message: { text: quoted }, code: { value: quoted } },
      ]) {
        assert.deepEqual(outcomeOf(400, { body: { error } }), REFUSED);
      }
    }
  });

  it('is refused when its body is no JSON, no object, or has no error', () => {
    for (const body of [
      '',
      NOT_FOUND_TEXT,
      '<html>400 "error"</html>',
      'null "error"',
      'null',
      '["error"]',
      '"error"',
      { message: NOT_FOUND_TEXT },
      { error: NOT_FOUND_TEXT },
      { error: [{ message: NOT_FOUND_TEXT }] },
      `{"error":{"message":${JSON.stringify(NOT_FOUND_TEXT)}`,
    ]) {
      assert.deepEqual(outcomeOf(400, { body }), REFUSED);
    }
  });

  it('is refused when its body is too large to be an error of Azure, up to the last character', () => {
    const padded = (length: number): string => {
      const bare = JSON.stringify({ error: { code: 'OperationNotSupported', padding: '' } });
      return bare.replace('"padding":""', `"padding":"${'x'.repeat(length - bare.length)}"`);
    };
    assert.equal(padded(65_536).length, 65_536);
    assert.deepEqual(outcomeOf(400, { body: padded(65_536) }), { kind: 'unsupported' });
    assert.deepEqual(outcomeOf(400, { body: padded(65_537) }), REFUSED);
    assert.deepEqual(outcomeOf(400, { body: padded(5_000_000) }), REFUSED);
  });
});
