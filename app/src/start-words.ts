/** What is said at start about the doors: who may call, and what is open or weak. No secret is named. */
import type { Config } from './config.ts';
import { isLoopback } from './loopback.ts';

/** `Callers: client keys of team-a; Entra tokens of tenant …` */
export function whoMayCall({ clientKeys, entra, allowAnonymous }: Config): string {
  const doors: string[] = [];
  if (clientKeys.length > 0) doors.push(`client keys of ${unique(clientKeys.map(({ name }) => name))}`);
  if (entra !== undefined) {
    const tenants = unique(entra.trust.issuers.map(({ tenantId }) => tenantId));
    const who = entra.allowedClients === undefined ? '' : `, of ${unique([...entra.allowedClients.values()])} only`;
    doors.push(`Microsoft Entra tokens of tenant ${tenants} for ${entra.trust.audiences.join(' or ')}${who}`);
  }
  if (doors.length > 0) return `Callers need a credential: ${doors.join('; ')}`;
  if (allowAnonymous) return 'Callers need no credential';
  return 'Callers need no credential, but must be programs of this machine (no CLIENT_API_KEYS, no ENTRA_TENANT_ID)';
}

/** What a person should know who did not mean it so. */
export function warningsOf(config: Config): readonly string[] {
  const { allowAnonymous, backends, clientKeys, operatorKeys, host } = config;
  const warnings: string[] = [];
  if (allowAnonymous) {
    warnings.push(
      'ALLOW_ANONYMOUS is true: anybody who reaches this port, and every web page in a browser that does, spends the quota of your backends',
    );
  }
  for (const { name, origin } of backends) {
    if (!origin.startsWith('http:') || isLoopback(new URL(origin).hostname)) continue;
    warnings.push(`${name} is asked over http: its credential and all prompts cross the network in the clear`);
  }
  const short = [...clientKeys, ...operatorKeys].filter(({ key }) => key.length < LEAST_KEY_LENGTH);
  if (short.length > 0 && !isLoopback(host)) {
    const names = unique(short.map(({ name }) => name));
    warnings.push(
      `The keys of ${names} are shorter than ${LEAST_KEY_LENGTH} characters and can be guessed. Make one with: ` +
        'openssl rand -hex 32',
    );
  }
  return warnings;
}

const LEAST_KEY_LENGTH = 20;

function unique(names: readonly string[]): string {
  return [...new Set(names)].join(', ');
}
