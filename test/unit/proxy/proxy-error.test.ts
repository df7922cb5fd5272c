import assert from 'node:assert/strict';
import { ERROR_CODES, errorBody, errorEvent, printable } from '../../../app/src/proxy/proxy-error.ts';

describe('proxy error', () => {
  it("has the shape of Azure OpenAI's errors", () => {
    assert.deepEqual(JSON.parse(errorBody({ code: 'DeploymentNotFound', message: 'No "x".', headers: { a: 'b' } })), {
      error: { code: 'DeploymentNotFound', message: 'No "x".', type: 'invalid_request_error' },
    });
  });

  it('is one event at the end of a stream, with both of the words that SDKs look for', () => {
    const event = errorEvent({ code: 'stream_broken', message: 'It broke.\nSend it again.' });
    const [first, data, ...rest] = event.split('\n');
    assert.equal(first, 'event: error');
    assert.deepEqual(rest, ['', '']);
    assert.deepEqual(JSON.parse(data?.replace('data: ', '') ?? ''), {
      type: 'error',
      error: { type: 'server_error', code: 'stream_broken', message: 'It broke.\nSend it again.' },
    });
  });

  it('has an error status for every code', () => {
    for (const { status, type } of Object.values(ERROR_CODES)) {
      assert.ok(status >= 400 && status < 600);
      assert.match(type, /^[a-z_]+$/);
    }
  });

  it('prints names that strangers chose without control characters, and cuts long ones', () => {
    assert.equal(printable('gpt-5.4 mini'), 'gpt-5.4 mini');
    assert.equal(printable('a\r\nb\u001b[31mc\u007f\u0085ü'), 'a??b?[31mc???');
    assert.equal(printable('x'.repeat(100)), 'x'.repeat(100));
    assert.equal(printable('x'.repeat(101)), `${'x'.repeat(100)}…`);
  });
});
