/** What this process believes of certificates: the simulator's authority, for as long as a test runs. */
import tls from 'node:tls';
import type { Authority } from '../../simulator/tls.ts';

/** Trusts this authority besides those that are trusted; what is returned forgets it again. */
export function trust({ cert }: Authority): () => void {
  const before = tls.getCACertificates('default');
  tls.setDefaultCACertificates([...before, cert]);
  return () => tls.setDefaultCACertificates(before);
}
