import type { Play } from '../row.ts';
import { callerPlays } from './callers.ts';
import { clockPlays } from './clock.ts';
import { identityPlays } from './identity.ts';
import { processPlays } from './process.ts';
import { timePlays } from './time.ts';

export const plays: readonly Play[] = [...timePlays, ...callerPlays, ...identityPlays, ...clockPlays, ...processPlays];
