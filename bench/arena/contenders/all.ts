// Everybody who takes part, the oracle apart.
import { ancestor } from './ancestor.ts';
import { balancer } from './balancer.ts';
import type { Contender } from './contender.ts';
import { usageBased } from './usage-based.ts';

export const contenders: ReadonlyMap<string, Contender> = new Map([
  ['balancer', balancer],
  ['ancestor', ancestor],
  ['usage-based', usageBased],
]);
