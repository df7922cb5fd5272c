/** Names that resolve as a test says, in this process; all others resolve as ever. */
import dns from 'node:dns';

type Resolved = readonly string[] | 'never';
type Answer = (error: Error | null, addresses?: unknown, family?: number) => void;

export interface Names {
  /** The addresses of a name, in order. `never`: the question is not answered. */
  set(name: string, addresses: Resolved): void;
  /** How often names were asked for. */
  readonly lookups: readonly string[];
  restore(): void;
}

export function overrideNames(): Names {
  const known = new Map<string, Resolved>();
  const lookups: string[] = [];
  const { lookup } = dns;

  function resolve(name: string, options: { readonly all?: boolean }, answer: Answer): void {
    lookups.push(name);
    const addresses = known.get(name);
    if (addresses === undefined || addresses === 'never') {
      if (addresses === undefined) process.nextTick(answer, notFound(name));
      return;
    }
    const found = addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
    if (options.all === true) process.nextTick(answer, null, found);
    else process.nextTick(answer, null, found[0]?.address, found[0]?.family);
  }

  function override(name: string, options: object, answer: Answer): void {
    if (name.endsWith('.test')) resolve(name, options, answer);
    else Reflect.apply(lookup, dns, [name, options, answer]);
  }

  Reflect.set(dns, 'lookup', override);
  return {
    set: (name, addresses) => void known.set(name, addresses),
    lookups,
    restore: () => void Reflect.set(dns, 'lookup', lookup),
  };
}

function notFound(hostname: string): Error {
  const code = 'ENOTFOUND';
  return Object.assign(new Error(`getaddrinfo ${code} ${hostname}`), { code, syscall: 'getaddrinfo', hostname });
}
