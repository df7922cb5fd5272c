// Who can be measured: what each needs to be there, and how it is started.
import { alternativeProgram, balancerContender } from './balancer.ts';
import type { BalancerProgram } from './balancer.ts';
import { bareContender, undiciVersion } from './bare.ts';
import type { Contender, ContenderName, Surroundings } from './contender.ts';
import { directContender } from './direct.ts';
import { haproxyContender, haproxyVersion } from './haproxy.ts';
import { litellmContender, litellmVersion } from './litellm.ts';
import { nginxContender, nginxVersion } from './nginx.ts';
import { portkeyContender, portkeyVersion } from './portkey.ts';

/** Gateways for language models, with a plan of their own. */
export const peers: ReadonlySet<ContenderName> = new Set(['litellm', 'portkey']);

/** Measured only when asked for. */
export const alternatives: ReadonlySet<ContenderName> = new Set(['balancer-http', 'balancer-undici']);

export interface Requirement {
  /** Undefined when it is not installed. */
  readonly version: () => string | undefined;
  readonly install: string;
}

/** What must be installed; contenders without an entry need nothing. */
export const requirements: Partial<Readonly<Record<ContenderName, Requirement>>> = {
  nginx: { version: nginxVersion, install: 'on Debian: apt-get install nginx-light' },
  haproxy: { version: haproxyVersion, install: 'on Debian: apt-get install haproxy' },
  'bare-undici': { version: undiciVersion, install: 'npm ci' },
  litellm: { version: litellmVersion, install: 'npm run bench:peers' },
  portkey: { version: portkeyVersion, install: 'npm run bench:peers' },
};

export function createContender(name: ContenderName, surroundings: Surroundings, program: BalancerProgram): Contender {
  switch (name) {
    case 'direct':
      return directContender(surroundings);
    case 'nginx':
      return nginxContender(surroundings);
    case 'haproxy':
      return haproxyContender(surroundings);
    case 'bare':
    case 'bare-undici':
      return bareContender(surroundings, name);
    case 'balancer':
      return balancerContender(surroundings, program, name);
    case 'balancer-http':
    case 'balancer-undici':
      return balancerContender(surroundings, alternativeProgram(name), name);
    case 'litellm':
      return litellmContender(surroundings);
    case 'portkey':
      return portkeyContender(surroundings);
    default:
      return name satisfies never;
  }
}
