/**
 * Where nothing is locked (a loopback HOST and no client auth), the door is open to this machine's own programs only.
 * Port forwarding and DNS rebinding arrive from loopback too, but under another name, or (Codespaces, dev tunnels) say in a
 * header whom they forward for; a page of another site that a browser on this machine shows arrives under our name, but
 * says where it is from.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { isLoopback } from '../loopback.ts';

/** True for a request that a program of this machine sent on purpose, as far as its headers tell. */
export function isLocal(headers: IncomingHttpHeaders): boolean {
  const { host = '', origin, 'sec-fetch-site': site } = headers;
  if (!isLoopback(withoutPort(host))) return false;
  if (Object.keys(headers).some((name) => FORWARDED.test(name))) return false;
  // An app under development is a page of this machine too, under another port or name of it.
  if (origin !== undefined) return isLocalOrigin(origin);
  return site === undefined || SITES.has(site);
}

/** Links and images have no Origin. The site of a loopback name is that name, whatever the port; `none` is the address bar. */
const SITES: ReadonlySet<unknown> = new Set(['same-origin', 'same-site', 'none']);

/** What proxies and tunnels add; a program that calls by itself has no reason to. */
const FORWARDED =
  /^(?:forwarded|via|x-forwarded-.*|x-real-ip|x-original-(?:for|host)|(?:.*-)?client-ip|.*-connecting-ip)$/;

function withoutPort(host: string): string {
  return host.replace(/:\d{1,5}$/, '');
}

/** `null` is the origin of sandboxed pages and of files. */
function isLocalOrigin(origin: string): boolean {
  const host = /^https?:\/\/([^/]*)$/i.exec(origin)?.[1];
  return host !== undefined && isLoopback(withoutPort(host));
}
