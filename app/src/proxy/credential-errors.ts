/**
 * What a caller is told whose credential is missing or not accepted: what was wrong with what was sent, and what to do.
 * Never the credential; of a token only the claims that its sender must see, made printable.
 */
import type { Identified } from '../auth/client-auth.ts';
import type { TokenProblem } from '../auth/entra-tokens.ts';
import { printable, type ProxyError } from './proxy-error.ts';

const BEARER = { 'www-authenticate': 'Bearer' };
const INVALID_TOKEN = { 'www-authenticate': 'Bearer error="invalid_token"' };

const MISSING: ProxyError = {
  code: 'missing_credential',
  message:
    'No credential was sent. Send a client key of this balancer, or a Microsoft Entra token where those are accepted, ' +
    'in the header api-key or as Authorization: Bearer; in an OpenAI client it goes where the API key goes. Whoever ' +
    'runs the balancer gives keys out (CLIENT_API_KEYS).',
  headers: BEARER,
};

const UNKNOWN: ProxyError = {
  code: 'unknown_credential',
  message:
    "The credential is not known here: it is none of this balancer's client keys (CLIENT_API_KEYS; it may have none, and " +
    'take Microsoft Entra tokens only). The key of an Azure OpenAI resource does not count here.',
  headers: BEARER,
};

export const NOT_LOCAL: ProxyError = {
  code: 'host_not_local',
  message:
    'Nothing is locked here, so this is open to programs of this machine only, under a loopback name such as ' +
    'http://localhost:8080, and not to pages of other sites. To call it from elsewhere (a forwarded port, say), set ' +
    'CLIENT_API_KEYS, and OPERATOR_KEYS for /status.',
};

type Refused = Exclude<Identified, { kind: 'client' }>;

export function credentialError(refused: Refused): ProxyError {
  switch (refused.kind) {
    case 'missing':
      return MISSING;
    case 'unknown':
      return UNKNOWN;
    case 'not-local':
      return NOT_LOCAL;
    case 'not-allowed':
      return {
        code: 'client_not_allowed',
        message:
          `The token is good, but ${printable(refused.name)} may not call here. Whoever runs the balancer can put its ` +
          'application or object id into ENTRA_ALLOWED_CLIENTS.',
      };
    case 'token':
      return tokenError(refused.problem);
    default:
      return refused satisfies never;
  }
}

/** Somebody whose token is good is known by name, though not let in. */
export function nameOf(client: Refused): string {
  return client.kind === 'not-allowed' ? client.name : '';
}

function tokenError(problem: TokenProblem): ProxyError {
  switch (problem.why) {
    case 'not-accepted':
      return {
        code: 'token_not_accepted',
        message:
          'A token was sent, but no tokens are accepted here. Send a client key of this balancer; or whoever runs it ' +
          'can set ENTRA_TENANT_ID.',
        headers: INVALID_TOKEN,
      };
    case 'malformed':
      return invalid('token_malformed', 'It is not a complete access token of Microsoft Entra. Get a new one.');
    case 'algorithm':
      return invalid('token_signature_invalid', 'It is not signed with RS256, as tokens of Microsoft Entra are.');
    case 'signature':
      return invalid(
        'token_signature_invalid',
        'Its signature is not by a key that its issuer publishes. Get a new one, and send it whole and unchanged.',
      );
    case 'issuer':
      return invalid('token_wrong_tenant', issuerAdvice(problem.sent, problem.expected));
    case 'audience':
      return invalid('token_wrong_audience', audienceAdvice(problem.sent, problem.expected));
    case 'expired':
      return invalid(
        'token_expired',
        `It expired at ${timeOf(problem.at)}; here it is ${timeOf(problem.now)}. Get a new one.`,
      );
    case 'early':
      return invalid(
        'token_not_yet_valid',
        `It is good from ${timeOf(problem.at)} on; here it is ${timeOf(problem.now)}. Check the clocks.`,
      );
    case 'keys-unavailable':
      return {
        code: 'token_keys_unavailable',
        message:
          'The token cannot be checked now: the keys that it may be signed with cannot be fetched. Try again in a moment.',
        headers: { 'retry-after': '5' },
      };
    default:
      return problem satisfies never;
  }
}

function invalid(code: ProxyError['code'], what: string): ProxyError {
  return { code, message: `The token is not accepted. ${what}`, headers: INVALID_TOKEN };
}

function audienceAdvice(sent: string, expected: readonly string[]): string {
  return (
    `It is for ${sent === '' ? 'no audience' : `the audience ${printable(sent)}`}; accepted is ` +
    `${expected.join(' or ')}. Get one with the scope ${expected[0] ?? ''}/.default.`
  );
}

/** The tenant may be right and the issuer's form not: another cloud, or a host of somebody else's with our tenant in it. */
function issuerAdvice(issuer: string, tenants: readonly string[]): string {
  const tenant = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/i.exec(issuer)?.[0]?.toLowerCase();
  if (tenant !== undefined && tenants.includes(tenant)) {
    return (
      `It is of the issuer ${printable(issuer)}, which is not one that is accepted for this tenant. In another cloud ` +
      'than the public one, whoever runs the balancer can set ENTRA_ISSUERS and ENTRA_JWKS_URL.'
    );
  }
  const from = issuer === '' ? 'no issuer' : `the issuer ${printable(issuer)}`;
  return (
    `It is of ${tenant === undefined ? from : `tenant ${tenant}`}; accepted are tokens of tenant ` +
    `${tenants.join(', ')}. Get one there (az login --tenant …), or whoever runs the balancer can list the other ` +
    'tenant in ENTRA_TENANT_ID.'
  );
}

/** Far-off numbers are no date. */
function timeOf(ms: number): string {
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? 'no time at all' : date.toISOString();
}
