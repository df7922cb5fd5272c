/** Names that a stranger can choose, as rows and labels have them: bounded whatever callers send. */

export const OTHER = 'other';

/** The first so many names are themselves, made printable, all further ones `other`. */
export function boundedNames(most: number): (name: string) => string {
  const known = new Set<string>();
  return (text) => {
    if (known.has(text)) return text;
    const name = text.replaceAll(/[^\x20-\x7e]/g, '?');
    if (known.has(name)) return name;
    if (known.size >= most) return OTHER;
    known.add(name);
    return name;
  };
}
