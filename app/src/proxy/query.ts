/** A caller's query string, on its way to a backend: as it was sent, but for the credentials in it. */

/** Azure takes a key there from those who cannot set headers, API Management by default too; tokens are of RFC 6750 §2.3. */
const CREDENTIALS: ReadonlySet<string> = new Set(['api-key', 'subscription-key', 'access_token']);

/** The query without the parts that are a credential, which must not reach a backend; every other byte stays. */
export function withoutCredentials(query: string): string {
  // Names can be encoded; most queries have neither.
  if (!/key|token|%/i.test(query)) return query;
  const parts = query.slice(1).split('&');
  const kept = parts.filter((part) => !CREDENTIALS.has(nameOf(part)));
  if (kept.length === parts.length) return query;
  return kept.length === 0 ? '' : `?${kept.join('&')}`;
}

function nameOf(part: string): string {
  const [name = ''] = part.split('=', 1);
  try {
    return decodeURIComponent(name).toLowerCase();
  } catch {
    return name; // Not decoded by anybody else either.
  }
}
