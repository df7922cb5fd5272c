import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { route, understand, type Asked } from '../../../app/src/proxy/front-door.ts';
import { isUsageRefused, UsageRefusals } from '../../../app/src/proxy/include-usage.ts';

const V1 = '/v1/chat/completions';

function askedWith(body: string | Buffer, path = V1, method = 'POST', contentType = 'application/json'): Asked {
  const found = route(path);
  assert.ok(found.kind === 'route');
  return understand(found, method, contentType, { bytes: Buffer.from(body) });
}

/** The body as it goes to a backend that has the deployment under this name. */
function sentTo(name: string, body: string | Buffer, path = V1): string {
  const asked = askedWith(body, path);
  return asked.upstreamBody(name, asked.usageAsking()).toString();
}

const CHAT = { model: 'm', messages: [{ role: 'user', content: 'Hi' }] };
const STREAM = { ...CHAT, stream: true };

function legacy(version: string): string {
  return `/openai/deployments/m/chat/completions?api-version=${version}`;
}

describe('include usage: where it is added', () => {
  it('follows the member that asks for the stream, and leaves every other byte as it is', () => {
    const body = `\uFEFF{ "model":"m", "stream" : true , "n":1.0, "n":1,"\\u0061":"\\/ \u00e9" }\n`;
    assert.equal(sentTo('m', body), body.replace('true', 'true,"stream_options":{"include_usage":true}'));
    // The last of repeated members counts.
    const twice = '{"stream":false,"model":"m","stream":true}';
    assert.equal(
      sentTo('m', twice),
      '{"stream":false,"model":"m","stream":true,"stream_options":{"include_usage":true}}',
    );
  });

  it('goes with another name for the deployment, wherever that stands', () => {
    for (const body of [
      '{"model":"m","stream":true}',
      '{"stream":true,"model":"m"}',
      '{"stream":true,"model":"m","model":"m"}',
    ]) {
      const expected = body
        .replaceAll('"m"', '"longer-name"')
        .replace('true', 'true,"stream_options":{"include_usage":true}');
      assert.equal(sentTo('longer-name', body), expected);
    }
  });

  it('is put into options that say something else, or say that it is not wanted', () => {
    for (const [said, sent] of [
      ['null', '{"include_usage":true}'],
      ['{}', '{"include_usage":true}'],
      ['{ \n}', '{"include_usage":true \n}'],
      ['{"include_obfuscation":false}', '{"include_usage":true,"include_obfuscation":false}'],
      ['{ "include_usage" : false }', '{ "include_usage" : true }'],
      ['{"include_usage":null,"x":{"include_usage":false}}', '{"include_usage":true,"x":{"include_usage":false}}'],
    ] as const) {
      const body = (options: string): string => `{"stream_options":${options},"model":"m","stream":true}`;
      assert.equal(sentTo('m', body(said)), body(sent), said);
    }
  });

  it('gives what JSON.parse reads as the same request that asks for it too, under any name', () => {
    const member = fc
      .string()
      .filter((name) => !['stream', 'stream_options', 'data_sources', 'model', '__proto__'].includes(name));
    const rest = fc.dictionary(member, fc.jsonValue());
    const options = fc.dictionary(
      fc.string().filter((name) => name !== 'include_usage' && name !== '__proto__'),
      fc.jsonValue(),
    );
    const kinds = fc.oneof(
      fc.constant(undefined),
      fc.constant(null),
      options,
      options.map((given) => ({ ...given, include_usage: false })),
    );
    fc.assert(
      fc.property(rest, kinds, rest, fc.string(), fc.nat(2), (before, given, after, name, spaces) => {
        const more = given === undefined ? {} : { stream_options: given };
        const body = { ...before, ...more, model: 'm', ...after, stream: true };
        const sent: unknown = JSON.parse(sentTo(name, JSON.stringify(body, undefined, spaces)));
        const expected = { ...body, model: name, stream_options: { ...given, include_usage: true } };
        assert.deepEqual(sent, JSON.parse(JSON.stringify(expected)));
      }),
    );
  });

  it('is for api-versions since 2024-09-01-preview and for v1', () => {
    for (const version of ['2024-09-01-preview', '2024-10-21', '2025-04-01-preview', '2025-04-01-PREVIEW']) {
      assert.match(sentTo('m', JSON.stringify(STREAM), legacy(version)), /include_usage/, version);
    }
    for (const path of [
      V1,
      '/openai/v1/chat/completions',
      '/chat/completions',
      '/openai/v1/chat/completions?api-version=preview',
    ]) {
      assert.match(sentTo('m', JSON.stringify(STREAM), path), /include_usage/, path);
    }
  });
});

describe('include usage: where not one byte is changed', () => {
  function assertUnchanged(body: string | Buffer, path = V1, method = 'POST', contentType = 'application/json'): void {
    const bytes = Buffer.from(body);
    const found = route(path);
    assert.ok(found.kind === 'route');
    const asked = understand(found, method, contentType, { bytes });
    assert.equal(asked.usageAsking(), undefined, `${path} ${body.toString()}`);
    assert.equal(asked.upstreamBody(asked.deployment, asked.usageAsking()), bytes);
  }

  it('the caller asks for it', () => {
    for (const options of [{ include_usage: true }, { include_obfuscation: false, include_usage: true }]) {
      assertUnchanged(JSON.stringify({ ...STREAM, stream_options: options }));
    }
  });

  it('the api-version is older, is none, or is said twice', () => {
    for (const version of ['2024-02-01', '2024-08-01-preview', '2023-05-15', '', 'v1', 'latest', '2024-10', '9999']) {
      assertUnchanged(JSON.stringify(STREAM), legacy(version));
    }
    assertUnchanged(JSON.stringify(STREAM), '/openai/deployments/m/chat/completions');
    assertUnchanged(JSON.stringify(STREAM), `${legacy('2024-10-21')}&api-version=2024-02-01`);
  });

  it('it goes to data of ones own', () => {
    for (const sources of [[{ type: 'azure_search' }], [], null]) {
      assertUnchanged(JSON.stringify({ ...STREAM, data_sources: sources }));
      assertUnchanged(JSON.stringify({ ...STREAM, data_sources: sources }), legacy('2024-10-21'));
    }
  });

  it('it is no stream, no chat, or nothing that makes one', () => {
    for (const stream of [undefined, false, null, 'true', 1]) assertUnchanged(JSON.stringify({ ...CHAT, stream }));
    for (const operation of [
      'completions',
      'responses',
      'embeddings',
      'chat/completions/id',
      'extensions/chat/completions',
    ]) {
      assertUnchanged(JSON.stringify(STREAM), `/openai/v1/${operation}`);
    }
    assertUnchanged(JSON.stringify(STREAM), V1, 'PUT');
    const form = '--x\r\ncontent-disposition: form-data; name="stream"\r\n\r\ntrue\r\n--x--\r\n';
    assertUnchanged(form, V1, 'POST', 'multipart/form-data; boundary=x');
  });

  it('the options are none that a backend would know, or come twice', () => {
    for (const options of ['[]', '"include_usage"', 'true', '7', '{"include_usage":1}', '{"include_usage":"false"}']) {
      assertUnchanged(`{"stream":true,"stream_options":${options}}`);
    }
    assertUnchanged('{"stream":true,"stream_options":{},"stream_options":{"include_usage":false}}');
    assertUnchanged('{"stream":true,"stream_options":{"include_usage":false,"include_usage":false}}');
    assertUnchanged('{"stream":true,"stream_options":');
    assertUnchanged('{"stream":true,"stream_options":{}');
  });
});

describe('include usage: refusals', () => {
  it('are those that name the option', () => {
    assert.ok(isUsageRefused(400, '{"error":{"message":"Unknown parameter: \'stream_options\'."}}'));
    assert.ok(isUsageRefused(422, 'stream_options: extra inputs are not permitted'));
    assert.ok(!isUsageRefused(400, '{"error":{"message":"Unknown parameter: \'stream\'."}}'));
    assert.ok(!isUsageRefused(500, 'stream_options'));
    assert.ok(!isUsageRefused(200, 'stream_options'));
  });

  it('are remembered for an hour, of one deployment at one backend in one version of the API', () => {
    const refusals = new UsageRefusals();
    refusals.add('openai1', 'chat', 'v1', 1000);
    assert.ok(refusals.has('openai1', 'chat', 'v1', 3_600_999));
    assert.ok(!refusals.has('openai1', 'chat', 'v1', 3_601_000));
    assert.ok(!refusals.has('openai2', 'chat', 'v1', 1000));
    assert.ok(!refusals.has('openai1', 'other', 'v1', 1000));
    assert.ok(!refusals.has('openai1', 'chat', '2024-10-21', 1000));
  });

  it('are remembered for the last 1,000 that there were', () => {
    const refusals = new UsageRefusals();
    for (let n = 0; n < 1000; n += 1) refusals.add('openai1', `d${n}`, 'v1', 0);
    refusals.add('openai1', 'd0', 'v1', 0);
    refusals.add('openai1', 'new', 'v1', 0);
    assert.deepEqual(
      ['d0', 'd1', 'd2', 'new'].map((name) => refusals.has('openai1', name, 'v1', 1)),
      [true, false, true, true],
    );
  });
});
