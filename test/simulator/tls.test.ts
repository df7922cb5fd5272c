import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { request } from 'node:https';
import { text } from 'node:stream/consumers';
import type { ResourceOptions, SimulatedResource } from '../../simulator/server.ts';
import { createAuthority } from '../../simulator/tls.ts';
import type { Authority, CertificateOptions } from '../../simulator/tls.ts';
import { CHAT, chatBody, withResource } from './support.ts';

describe('a resource with a certificate', () => {
  let authority: Authority;
  before(async () => {
    authority = await createAuthority();
  });

  /** Asks over TLS, trusting the authority alone. */
  async function ask(resource: SimulatedResource, host = '127.0.0.1'): Promise<{ status: number; body: string }> {
    const url = new URL(resource.url + CHAT);
    url.hostname = host;
    const req = request(url, { method: 'POST', ca: authority.cert, agent: false });
    req.end(JSON.stringify(chatBody));
    return new Promise((resolve, reject) => {
      req.once('error', reject);
      req.once('response', (res) => {
        text(res).then((body) => resolve({ status: res.statusCode ?? 0, body }), reject);
      });
    });
  }

  async function withCertificate(
    certificate: CertificateOptions,
    test: (resource: SimulatedResource) => Promise<void>,
    options: Partial<ResourceOptions> = {},
  ): Promise<void> {
    const tls = await authority.issue(certificate);
    await withResource({ ...options, tls }, test);
  }

  it('speaks TLS to those who trust its authority, by name and by address', () =>
    withCertificate({}, async (resource) => {
      assert.match(resource.url, /^https:\/\/127\.0\.0\.1:\d+$/);
      for (const host of ['127.0.0.1', 'localhost']) {
        const { status, body } = await ask(resource, host);
        assert.equal(status, 200);
        assert.match(body, /openai1 answers: What is new\?/);
      }
      assert.equal(resource.calls.length, 2);
    }));

  it('is not believed by those who do not trust its authority', () =>
    withCertificate({}, async (resource) => {
      const other = await createAuthority('Somebody else');
      const req = request(resource.url + CHAT, { ca: other.cert, agent: false });
      const error = await new Promise<NodeJS.ErrnoException>((resolve) => req.once('error', resolve).end());
      assert.equal(error.code, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE');
      assert.equal(resource.calls.length, 0);
    }));

  it('can show an expired one', () =>
    withCertificate({ validUntil: new Date(Date.now() - 1000) }, (resource) =>
      assert.rejects(ask(resource), { code: 'CERT_HAS_EXPIRED' }),
    ));

  it('can show one for another name', () =>
    withCertificate({ names: ['openai1.openai.azure.com'] }, (resource) =>
      assert.rejects(ask(resource), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' }),
    ));

  it('resets the TCP connection under TLS, before the headers and in the middle of an answer', () =>
    withCertificate({}, async (resource) => {
      for (const fault of [{ kind: 'reset-before-headers' }, { kind: 'reset-mid-stream', afterChunks: 1 }] as const) {
        resource.script(fault);
        await assert.rejects(ask(resource), { code: 'ECONNRESET' });
      }
    }));

  it('signs as an authority, and only as one', async () => {
    const { cert } = await authority.issue();
    const [issuer, issued] = [new X509Certificate(authority.cert), new X509Certificate(cert)];
    assert.equal(issuer.ca, true);
    assert.equal(issued.ca, false);
    assert.equal(issued.verify(issuer.publicKey), true);
  });
});
