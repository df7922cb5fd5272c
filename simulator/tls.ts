// Certificates for simulated resources that speak TLS, as the real ones do: an authority of the simulator's own, and
// server certificates that it signs, good or (for tests) expired or for another name. The only importer of selfsigned.

import { generate } from 'selfsigned';

/** What a TLS server shows, as PEM. */
export interface ServerCertificate {
  readonly cert: string;
  readonly key: string;
}

export interface CertificateOptions {
  /** Names and addresses it is for; default `localhost` and `127.0.0.1`. */
  readonly names?: readonly string[];
  readonly validFrom?: Date;
  readonly validUntil?: Date;
}

export interface Authority {
  /** The authority's own certificate as PEM: what a client must trust, for example by NODE_EXTRA_CA_CERTS. */
  readonly cert: string;
  issue(options?: CertificateOptions): Promise<ServerCertificate>;
}

const DAY_MS = 86_400_000;
const IS_ADDRESS = /^[\d.]+$|:/;

export async function createAuthority(name = 'Simulated Azure OpenAI'): Promise<Authority> {
  const own = await generate([{ name: 'commonName', value: name }], {
    keyType: 'ec',
    algorithm: 'sha256',
    notBeforeDate: new Date(Date.now() - DAY_MS),
    notAfterDate: new Date(Date.now() + 365 * DAY_MS),
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
    ],
  });
  return {
    cert: own.cert,
    async issue({ names = ['localhost', '127.0.0.1'], validFrom, validUntil } = {}) {
      const { cert, private: key } = await generate([{ name: 'commonName', value: names[0] ?? 'localhost' }], {
        keyType: 'ec',
        algorithm: 'sha256',
        notBeforeDate: validFrom ?? new Date(Date.now() - DAY_MS),
        notAfterDate: validUntil ?? new Date(Date.now() + 90 * DAY_MS),
        ca: { key: own.private, cert: own.cert },
        extensions: [
          { name: 'basicConstraints', cA: false, critical: true },
          { name: 'keyUsage', digitalSignature: true, critical: true },
          { name: 'extKeyUsage', serverAuth: true },
          {
            name: 'subjectAltName',
            altNames: names.map((each) =>
              IS_ADDRESS.test(each) ? { type: 7 as const, ip: each } : { type: 2 as const, value: each },
            ),
          },
        ],
      });
      return { cert, key };
    },
  };
}
