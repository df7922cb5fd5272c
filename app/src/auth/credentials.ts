/** What a caller sent to prove who it is, taken out of the headers. Nothing is checked here. */
import type { IncomingHttpHeaders } from 'node:http';

/** Both headers are looked at: some clients send a placeholder in the one and their credential in the other. */
export function credentialsOf(headers: IncomingHttpHeaders): readonly string[] {
  const { 'api-key': apiKey, authorization } = headers;
  const bearer = /^Bearer +(\S+) *$/i.exec(authorization ?? '')?.[1];
  return [typeof apiKey === 'string' ? apiKey : undefined, bearer].filter(
    (text): text is string => text !== undefined && text !== '',
  );
}

/** The password of `Authorization: Basic`, which is how a browser sends what a person typed (RFC 7617). */
export function passwordOf({ authorization }: IncomingHttpHeaders): string | undefined {
  const encoded = /^Basic +([A-Za-z0-9+/]+={0,2}) *$/i.exec(authorization ?? '')?.[1];
  if (encoded === undefined) return undefined;
  const text = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  return colon === -1 || colon === text.length - 1 ? undefined : text.slice(colon + 1);
}

/** True for what has the form of a signed or encrypted token (RFC 7515, RFC 7516), which no key of ours may have. */
export function isTokenLike(text: string): boolean {
  return /^eyJ[\w-]*(?:\.[\w-]*){2,4}$/.test(text);
}
