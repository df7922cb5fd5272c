/** What to look at when a backend cannot be reached, by what the network or TLS said. For the log: callers are not told. */

const UNKNOWN_AUTHORITY =
  'Its certificate is of an authority that is not known here: name its file in NODE_EXTRA_CA_CERTS';

const ADVICE: ReadonlyMap<string, string> = new Map([
  ['ENOTFOUND', 'No host has this name: check its BACKEND_n_URL'],
  ['EAI_AGAIN', 'The name service does not answer: check the network and DNS of this machine'],
  ['ECONNREFUSED', 'Nothing listens there: check host and port of its BACKEND_n_URL'],
  ['CONNECT_TIMEOUT', 'The connection did not stand in time: check firewalls and private endpoints on the way'],
  ['EPROTO', 'It does not speak TLS as it should: check that its BACKEND_n_URL is not https where it must be http'],
  [
    'ECONNRESET',
    'It breaks connections off: if it never answered, check that its BACKEND_n_URL is not http where it must be https',
  ],
  ['CERT_HAS_EXPIRED', 'Its certificate has expired: renew it'],
  ['ERR_TLS_CERT_ALTNAME_INVALID', 'Its certificate is for another name: check the host of its BACKEND_n_URL'],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', UNKNOWN_AUTHORITY],
  ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', UNKNOWN_AUTHORITY],
  ['SELF_SIGNED_CERT_IN_CHAIN', UNKNOWN_AUTHORITY],
  ['DEPTH_ZERO_SELF_SIGNED_CERT', UNKNOWN_AUTHORITY],
]);

/** A sentence, or undefined when the reason (a status, say) speaks for itself. */
export function adviceOn(reason: string | undefined): string | undefined {
  return reason === undefined ? undefined : ADVICE.get(reason);
}
