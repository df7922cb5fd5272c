// The command line of the scorecard.
import { parseArgs } from 'node:util';
import { contenderNames, type ContenderName } from './row.ts';

export type Peer = Exclude<ContenderName, 'balancer'>;

export interface Options {
  /** Only rows whose names have this in them. */
  readonly only: string;
  /** Those of them that are installed. */
  readonly peers: readonly Peer[];
  /** Also the rows whose mechanisms are switched off. */
  readonly switchesOff: boolean;
  readonly outFile?: string;
  /** Runs nothing: writes the tables of this results file. */
  readonly readmeFile?: string;
}

export class OptionsError extends Error {
  override readonly name = 'OptionsError';
}

const peerNames = contenderNames.filter((name) => name !== 'balancer');

export const usage = `usage: npm run test:faults -- [options]
  --only TEXT     only the rows that have TEXT in their names; nothing is switched off then
  --peers a,b     also these of ${peerNames.join(', ')}, where they are installed
  --out FILE      write everything that was seen to FILE
  --readme FILE   run nothing; write the tables of README.md and docs/faults.md from that results file`;

export function readOptions(args: readonly string[]): Options {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        only: { type: 'string' },
        peers: { type: 'string' },
        out: { type: 'string' },
        readme: { type: 'string' },
      },
    });
    const { only, out, readme } = values;
    const peers = values.peers?.split(',') ?? [];
    const unknown = peers.filter((name) => !peerNames.some((known) => known === name));
    if (unknown.length > 0) throw new Error(`--peers ${unknown.join(',')}: use ${peerNames.join(', ')}`);
    return {
      only: only ?? '',
      peers: peerNames.filter((name) => peers.includes(name)),
      switchesOff: only === undefined,
      ...(out === undefined ? {} : { outFile: out }),
      ...(readme === undefined ? {} : { readmeFile: readme }),
    };
  } catch (error) {
    throw new OptionsError(error instanceof Error ? error.message : String(error));
  }
}
