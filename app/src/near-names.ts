/** Names of settings with a typing error: in CLIENT_LIMTS it would mean no limits, in HTTP_TIMEOUT_SECOND another time. */

/** Of short names too much is near. */
const SHORTEST = 10;
const MOST_ERRORS = 2;

/** The setting that was meant, if this name is not one but nearly. */
export function meantBy(name: string, known: readonly string[]): string | undefined {
  if (known.includes(name)) return undefined;
  const upper = name.toUpperCase();
  return known.find((each) => {
    const [long, short] = each.length > upper.length ? [each, upper] : [upper, each];
    return (
      each.length >= SHORTEST && long.length - short.length <= MOST_ERRORS && errorsBetween(upper, each) <= MOST_ERRORS
    );
  });
}

/** Letters to be changed, added or taken out (Levenshtein). */
function errorsBetween(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const changed = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(changed, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
